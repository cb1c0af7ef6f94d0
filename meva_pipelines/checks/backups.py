"""Checks on backups: what is taken is whole, can be read, was restored, and cannot expire by mistake."""

import dagster as dg

from meva_pipelines.assets import backup, backup_custody
from meva_pipelines.domain import alarms
from meva_pipelines.domain.backup import preflight
from meva_pipelines.domain.backup.chains import chains
from meva_pipelines.domain.backup.retention import Policy, families
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.resources import backup_catalog, backup_programs, backup_server
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@dg.asset_check(asset=backup.FULL)
def server_is_ready(postgres: Postgres) -> dg.AssetCheckResult:
    """The server allows full backups, its log, and increments; what is missing comes with the command that sets it."""
    with backup_server.session(postgres.dsn(), work="preflight") as connection:
        programs = backup_programs.of_server(connection.info.server_version)
        facts = backup_server.facts(connection, tools=programs.major)
    missing = [finding for finding in preflight.server(facts) if not finding.is_met]
    is_serious = any(finding.is_required for finding in missing)
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.ERROR if is_serious else dg.AssetCheckSeverity.WARN,
        description="; ".join(finding.said for finding in missing),
        metadata={"server_version": facts.version, "data_bytes": facts.data_bytes, "missing": len(missing)},
    )


@dg.asset_check(asset=backup.FULL)
def backups_are_encrypted(vault: Vault) -> dg.AssetCheckResult:
    """What is written from now on is encrypted."""
    return dg.AssetCheckResult(
        passed=vault.is_encrypting,
        severity=dg.AssetCheckSeverity.WARN,
        description="" if vault.is_encrypting else "set MEVA_BACKUP_KEY; make a key with: openssl rand -base64 32",
    )


@dg.asset_check(asset=backup.WAL)
def log_has_no_gap(vault: Vault) -> dg.AssetCheckResult:
    """The log carries on from the oldest base without a gap: every moment since then can be brought back."""
    gaps = backup.log_gaps(vault)
    missing = ", ".join(f"timeline {gap.timeline}: segments {gap.first} to {gap.last}" for gap in gaps[:5])
    return dg.AssetCheckResult(
        passed=not gaps,
        description=f"missing: {missing}. Take a full backup: moments in the gap are lost" if gaps else "",
        metadata={"gaps": len(gaps), "missing_segments": sum(gap.last - gap.first + 1 for gap in gaps)},
    )


@dg.asset_check(asset=backup_custody.CATALOG, blocking=True)
def records_can_be_read(vault: Vault) -> dg.AssetCheckResult:
    """Every record on every target can be read, and no increment has lost its parent."""
    unreadable: list[str] = []
    orphans: list[str] = []
    for shelf in backup_custody.answering(vault):
        found = shelf.inventory()
        unreadable += [f"{shelf.target.name}/{name}" for name in found.unreadable]
        orphans += [
            f"{shelf.target.name}/{backup_.id}"
            for backup_ in found.backups.values()
            if backup_.parent_id is not None
            and (
                backup_.parent_id not in found.backups
                or found.backups[backup_.parent_id].digest != backup_.parent_digest
            )
        ]
    return dg.AssetCheckResult(
        passed=not unreadable and not orphans,
        metadata={
            "unreadable": len(unreadable),
            "without_parent": len(orphans),
            "names": ", ".join([*unreadable, *orphans][:10]) or "none",
        },
    )


@dg.asset_check(asset=backup_custody.VERIFICATION)
def every_backup_was_read_lately(postgres: Postgres) -> dg.AssetCheckResult:
    """No copy is corrupted, and every one was read to its end within the last eight days."""
    with postgres.connect(Role.READER, work="check verification") as connection:
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE status = 'corrupted'), count(*) FILTER (WHERE status = 'completed'"
            " AND coalesce(verified_at, '-infinity') < clock_timestamp() - interval '8 days')"
            " FROM backup.copies WHERE status <> 'expired'"
        ).fetchone()
    copies, corrupted, unread = row or (0, 0, 0)
    return dg.AssetCheckResult(
        passed=corrupted == 0 and unread == 0 and copies > 0,
        metadata={"copies": copies, "corrupted": corrupted, "not_read_lately": unread},
    )


@dg.asset_check(asset=backup_custody.DRILL)
def proof_is_fresh(postgres: Postgres) -> dg.AssetCheckResult:
    """The last restore passed, and is not older than 36 hours."""
    with postgres.connect(Role.READER, work="check proof") as connection:
        now = backup_server.clock(connection)
        last = connection.execute(
            "SELECT is_passed, backup_id FROM backup.proofs WHERE kind = 'drill' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        passed = connection.execute(
            "SELECT max(proved_at) FROM backup.proofs WHERE kind = 'drill' AND is_passed"
        ).fetchone()
    proved_at = passed[0] if passed else None
    age_h = (now - proved_at).total_seconds() / 3600 if proved_at else -1.0
    return dg.AssetCheckResult(
        passed=last is not None and bool(last[0]) and not alarms.is_stale(proved_at, now=now),
        description="" if last else "nothing was ever restored",
        metadata={"proof_age_h": round(age_h, 2), "backup_id": last[1] if last else "none"},
    )


@dg.asset_check(asset=backup_custody.REPORT)
def enough_chains_are_verified(postgres: Postgres, vault: Vault) -> dg.AssetCheckResult:
    """Every target holds at least two verified chains of the database, or all that were ever taken."""
    counts: dict[str, int] = {}
    for shelf in backup_custody.answering(vault):
        found = shelf.inventory()
        with postgres.connect(Role.READER, work="count chains") as connection:
            standings = backup_catalog.standings(connection, shelf.target.name, found)
        for (method, _), family in families(standings).items():
            if method in {Method.PHYSICAL, Method.LOGICAL}:
                usable = sum(chain.is_usable for chain in chains(family))
                counts[f"{shelf.target.name} {method}"] = usable
    lowest = min(counts.values(), default=0)
    return dg.AssetCheckResult(
        passed=lowest >= Policy().minimum_redundancy,
        severity=dg.AssetCheckSeverity.ERROR if lowest == 0 else dg.AssetCheckSeverity.WARN,
        description="" if counts else "no target holds a backup of the database",
        metadata={name.replace(" ", "_"): count for name, count in counts.items()},
    )
