"""Backups as assets: what becomes of them. Mirrored and copied, read again, restored for proof, expired, reported.

How they are taken is in `backup`; which may go is decided in `domain/backup/retention`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
import psycopg
from psycopg.rows import dict_row
from pydantic import Field

from meva_pipelines.assets import backup, backup_pictures, tables
from meva_pipelines.domain.alarms import Alarm
from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.failures import MevaError, Unavailable
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import alarms, backup_catalog, backup_custody, backup_drill, backup_server
from meva_pipelines.resources.backup_custody import Expiry
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import backup as schema
from meva_pipelines.schema.roles import Role

CATALOG = tables.key(schema.CATALOG)
VERIFICATION = dg.AssetKey(["backup", "verification"])
DRILL = dg.AssetKey(["backup", "restore_drill"])
EXPIRY = dg.AssetKey(["backup", "expiry"])
REPORT = dg.AssetKey(["backup", "report"])
SUBJECT = "backup.catalog"
_SHOWN = 15


class PolicyConfig(dg.Config):
    """How long backups are kept."""

    window_days: int = Field(default=7, ge=1, le=3650, description="Any moment of these days can be brought back")
    minimum_redundancy: int = Field(default=2, ge=1, le=1000, description="Verified chains that always stay")
    daily: int = Field(default=7, ge=0, le=1000, description="Days of which the newest chain stays")
    weekly: int = Field(default=4, ge=0, le=1000, description="Weeks of which the newest chain stays")
    monthly: int = Field(default=3, ge=0, le=1000, description="Months of which the newest chain stays")

    @property
    def policy(self) -> Policy:
        """The policy as the judgement takes it."""
        return Policy(
            window=timedelta(days=self.window_days),
            minimum_redundancy=self.minimum_redundancy,
            daily=self.daily,
            weekly=self.weekly,
            monthly=self.monthly,
        )


class ExpiryConfig(PolicyConfig):
    """How much may go at once."""

    target: str = Field(default="", description="Target; empty: every one")
    ceiling: int = Field(default=500, ge=0, description="Most backups that may go from a target in one run")
    approved_by: str = Field(default="policy", min_length=1, description="Who approves; stands in the deletion ledger")
    dry_run: bool = Field(default=True, description="Only say what would go; nothing is removed")


class VerificationConfig(dg.Config):
    """How much is read."""

    everything: bool = Field(default=False, description="Read every backup, not only what is due")


class DrillConfig(dg.Config):
    """What is restored for proof."""

    target: str = Field(default="", description="Target to restore from; empty: the first that answers")
    backup_id: str = Field(default="", description="Backup to restore; empty: the newest")


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.CATALOG,
            group=backup.GROUP,
            description="Every backup that was ever begun, mirrored from the targets; copies are made where they lack.",
            deps=[backup.FULL, backup.INCREMENTAL, backup.WAL, backup.LOGICAL, backup.FILES],
        )
    ],
    pool=backup.POOL,
)
def catalog(context: dg.AssetExecutionContext, postgres: Postgres, vault: Vault) -> dg.MaterializeResult[None]:
    """Look at every target, copy what one lacks from another, collect what died, and show the newest backups."""
    seen = backup_custody.survey(postgres, vault)
    removed = backup_custody.collect(postgres, vault, seen)
    with postgres.connect(Role.WRITER, work="plan copies") as connection:
        since = backup_custody.first_wanted(connection)
    copied, failed = backup_custody.replicate(vault, seen, since=since)
    silent = {**seen.silent, **failed}
    if copied:
        seen = backup_custody.survey(postgres, vault)
    for name, said in silent.items():
        context.log.warning(f"target {name}: {said}")
    said = f"{', '.join(sorted(silent))}: nothing was copied there; it is made up for later." if silent else ""
    alarms.set_alarm(postgres, Alarm.BACKUP_TARGET_SILENT, SUBJECT, said)
    if not seen.found:
        raise Unavailable("no backup target answers: nothing is known of any backup")
    with postgres.connect(Role.READER, work="show catalogue") as connection:
        standing = backup_catalog.statuses(connection)
        with connection.cursor(row_factory=dict_row) as cursor:
            newest = cursor.execute(_NEWEST, [_SHOWN]).fetchall()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(standing.values()),
            **{status.value: count for status, count in standing.items()},
            "targets_answering": len(seen.found),
            "targets_silent": len(silent),
            "copied": sum(map(len, copied.values())),
            "collected": len(removed),
            "unreadable_records": sum(len(found.unreadable) for found in seen.found.values()),
            "newest_backups": dg.MetadataValue.md(tables.markdown(newest)),
        }
    )


_NEWEST = (
    "SELECT sequence, method, array_to_string(backup_types, ', ') AS types, status, trigger,"
    " created_at::timestamp(0) AS created_utc, round(compressed_size / 1e6, 2)::float8 AS stored_mb,"
    " round(compression_ratio::numeric, 1)::float8 AS saved_pct,"
    " (SELECT string_agg(target, ', ' ORDER BY target) FROM backup.copies AS p"
    " WHERE p.backup_id = c.backup_id AND p.status = 'completed') AS targets"
    " FROM backup.catalog AS c ORDER BY sequence DESC LIMIT %s"
)


@dg.asset(
    key=VERIFICATION, deps=[CATALOG], group_name=backup.GROUP, kinds={"file"}, owners=[tables.OWNER], pool=backup.POOL
)
def verification(config: VerificationConfig, postgres: Postgres, vault: Vault) -> dg.MaterializeResult[None]:
    """Backups read to their last byte: new ones at once, every one within a week, a share of them every day."""
    read = size = 0
    corrupted: dict[str, str] = {}
    unread: list[str] = []
    for shelf in answering(vault):
        found = shelf.inventory()
        with postgres.connect(Role.READER, work="plan verification") as connection:
            now = backup_server.clock(connection)
            due = backup_custody.due(connection, shelf, found, now=now)
        wanted = sorted(found.backups.values(), key=lambda one: one.sequence) if config.everything else due
        verified = backup_custody.verify(postgres, shelf, wanted)
        unread += verified.unread
        read, size = read + len(wanted), size + verified.bytes_read
        corrupted |= {f"{shelf.target.name}/{name}": said for name, said in verified.corrupted.items()}
    said = f"{len(corrupted)} copies: {', '.join(sorted(corrupted)[:5])}." if corrupted else ""
    with postgres.connect(Role.READER, work="count corrupted") as connection:
        row = connection.execute("SELECT count(*) FROM backup.copies WHERE status = 'corrupted'").fetchone()
    known = row[0] if row else 0
    if corrupted or not known:
        alarms.set_alarm(postgres, Alarm.BACKUP_CORRUPTED, SUBJECT, said)
    if unread:
        raise Unavailable(f"{len(unread)} backups could not be read: {unread[0]}")
    return dg.MaterializeResult(
        metadata={
            "read_backups": read,
            "read_bytes": size,
            "corrupted": len(corrupted),
            "corrupted_in_all": known,
            "findings": dg.MetadataValue.md(
                "\n".join(f"- {text}" for text in corrupted.values()) or "Nothing is wrong."
            ),
        }
    )


@dg.asset(
    key=DRILL,
    deps=[VERIFICATION],
    group_name=backup.GROUP,
    kinds={"postgres"},
    owners=[tables.OWNER],
    pool=backup.POOL,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)),
)
def restore_drill(config: DrillConfig, postgres: Postgres, vault: Vault) -> dg.MaterializeResult[None]:
    """The newest backup brought back into a server of its own, compared, measured and thrown away."""
    with _proving(postgres):
        shelf = vault.shelf(config.target) if config.target else next(answering(vault))
        with backup_server.session(postgres.dsn(), work="plan drill") as connection:
            system_id = backup_server.identity(connection).system_id
        chosen = shelf.record(config.backup_id) if config.backup_id else backup_drill.newest(shelf, system_id)
        drill = backup_drill.run(postgres, vault, shelf, chosen, judge=restored_copies.breaches)
    said = "" if drill.is_passed else f"{chosen.id} from {shelf.target.name} came back other than it was."
    alarms.set_alarm(postgres, Alarm.BACKUP_UNPROVEN, SUBJECT, said)
    return dg.MaterializeResult(
        metadata={
            "is_passed": drill.is_passed,
            "backup_id": chosen.id,
            "target": shelf.target.name,
            "rto_s": round(drill.rto_s, 2),
            "rpo_s": round(drill.rpo_s, 1),
            "bases": drill.bases,
            "log_backups": drill.log_backups,
            "compared_tables": drill.tables if drill.is_comparable else 0,
            "differing_tables": len(drill.differences),
            "broken_invariants": sum(1 for count in drill.breaches.values() if count),
            "is_structure_sound": drill.is_structure_sound,
            "findings": dg.MetadataValue.md(_findings(drill)),
        }
    )


@contextmanager
def _proving(postgres: Postgres) -> Iterator[None]:
    try:
        yield
    except (MevaError, psycopg.Error) as error:
        alarms.raise_alarm(postgres, Alarm.BACKUP_UNPROVEN, SUBJECT, f"The restore failed with {type(error).__name__}.")
        raise


def _findings(drill: backup_drill.Drill) -> str:
    lines = [f"- {said}" for said in drill.differences]
    if drill.differences and not drill.is_comparable:
        lines.append("- others wrote while the fingerprints were taken: the differences say nothing")
    lines += [
        f"- {'✓' if not count else f'✗ {count:,} breaches:'} {restored_copies.INVARIANTS[name].sentence}"
        for name, count in drill.breaches.items()
    ]
    lines.append(f"- {'✓' if drill.is_structure_sound else '✗'} tables and indexes are sound inside (amcheck)")
    return "\n".join(lines)


@dg.asset(key=EXPIRY, deps=[DRILL], group_name=backup.GROUP, kinds={"file"}, owners=[tables.OWNER], pool=backup.POOL)
def expiry(config: ExpiryConfig, postgres: Postgres, vault: Vault) -> dg.MaterializeResult[None]:
    """What the retention policy lets go, target by target: a verdict, and its execution only when told to."""
    shelves = [vault.shelf(config.target)] if config.target else list(answering(vault))
    found = [
        judged(postgres, shelf, config.policy)
        if config.dry_run
        else backup_custody.expire(
            postgres, vault, shelf, policy=config.policy, ceiling=config.ceiling, approved_by=config.approved_by
        )
        for shelf in shelves
    ]
    blocked = sorted({reason for verdict in found for reason in verdict.blocked})
    said = f"Nothing may go: {'; '.join(blocked)}." if blocked else ""
    alarms.set_alarm(postgres, Alarm.BACKUP_EXPIRY_BLOCKED, SUBJECT, said)
    return dg.MaterializeResult(metadata=_verdicts(found, is_dry=config.dry_run))


def judged(postgres: Postgres, shelf: Shelf, policy: Policy) -> Expiry:
    """Return what may go from a target, without removing it."""
    with postgres.connect(Role.READER, work="judge backups") as connection:
        now = backup_server.clock(connection)
        return backup_custody.judge(connection, shelf, shelf.inventory(), now=now, policy=policy)


def _verdicts(found: list[Expiry], *, is_dry: bool) -> Mapping[str, dg.MetadataValue | str | int | bool]:
    rows = [
        {
            "target": verdict.target,
            "sequence": decision.backup.sequence,
            "method": decision.backup.method.value,
            "extent": decision.backup.extent.value,
            "verdict": "keep" if decision.is_kept else "expire",
            "why": "; ".join(decision.reasons),
        }
        for verdict in found
        for decision in verdict.decisions
    ]
    return {
        "dry_run": is_dry,
        "kept": sum(1 for row in rows if row["verdict"] == "keep"),
        "expired": sum(1 for row in rows if row["verdict"] == "expire"),
        "freed_bytes": sum(one.compressed_size for verdict in found for one in verdict.expired),
        "blocked": "; ".join(sorted({reason for verdict in found for reason in verdict.blocked})) or "no",
        "verdict": dg.MetadataValue.md(tables.markdown(rows)),
    }


@dg.asset(key=REPORT, deps=[EXPIRY], group_name=backup.GROUP, kinds={"postgres"}, owners=[tables.OWNER])
def report(postgres: Postgres, vault: Vault) -> dg.MaterializeResult[None]:
    """Chains, sizes, durations, the age of the proof and what expires next, in one picture and a few figures."""
    with (
        postgres.connect(Role.READER, work="report backups") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        now = backup_server.clock(connection)
        rows = cursor.execute(_STORED).fetchall()
        proof = cursor.execute(
            "SELECT proved_at, rto_s, rpo_s FROM backup.proofs WHERE kind = 'drill' AND is_passed"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
    next_out = [one for shelf in answering(vault) for one in judged(postgres, shelf, Policy()).expired]
    stored = sum(row["compressed_size"] for row in rows)
    size = sum(row["file_size"] for row in rows)
    return dg.MaterializeResult(
        metadata={
            "backups": len(rows),
            "stored_bytes": stored,
            "saved_pct": round(100 * (1 - stored / size), 1) if size else 0.0,
            "proof_age_h": round((now - proof["proved_at"]).total_seconds() / 3600, 2) if proof else -1.0,
            "proven_rto_s": round(proof["rto_s"], 2) if proof else -1.0,
            "expires_next": len(next_out),
            "is_encrypting": vault.is_encrypting,
            "chains": backup_pictures.chains(rows, now=now, proven_at=proof["proved_at"] if proof else None),
        }
    )


_STORED = (
    "SELECT sequence, method, extent, created_at, completed_at, covers_until, file_size, compressed_size, status"
    " FROM backup.catalog WHERE status IN ('completed', 'corrupted') ORDER BY sequence"
)


def answering(vault: Vault) -> Iterator[Shelf]:
    """Yield the targets that answer.

    Raises:
        Unavailable: none does.
    """
    count = 0
    for shelf in vault.shelves():
        try:
            shelf.demand_answer()
        except Unavailable:
            continue
        count += 1
        yield shelf
    if not count:
        raise Unavailable("no backup target answers")
