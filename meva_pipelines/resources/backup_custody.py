"""What is done with backups once they are taken: mirrored, copied to every target, read again, expired.

The judgement which may go is `domain/backup/retention`; the way back is `backup_restoring`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from meva_pipelines.domain.backup import retention
from meva_pipelines.domain.backup.chains import Standing
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.retention import Decision, Policy, Verdict
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.resources import backup_catalog, backup_server, deletions, failpoints
from meva_pipelines.resources.backup_catalog import Proof
from meva_pipelines.resources.backup_server import Lock
from meva_pipelines.resources.backup_shelves import Hold, Inventory, Shelf
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.deletions import Deletion
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

SAMPLE_EVERY = timedelta(days=7)
"""Everything on a target is read once in this time; a share of it every day."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What every target holds, and which did not answer."""

    found: Mapping[str, Inventory] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has read and found; `unread` says of each that could not be read why."""

    sound: tuple[str, ...]
    corrupted: Mapping[str, str]
    bytes_read: int
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expiry:
    """What an expiry would remove from one target, or has removed."""

    target: str
    verdicts: tuple[Verdict, ...]
    removed: tuple[str, ...] = ()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Every decision."""
        return tuple(decision for verdict in self.verdicts for decision in verdict.decisions)

    @property
    def expired(self) -> tuple[Backup, ...]:
        """What may go, newest first: a child goes before its parent."""
        found = [backup for verdict in self.verdicts for backup in verdict.expired]
        return tuple(sorted(found, key=lambda backup: -backup.sequence))

    @property
    def blocked(self) -> tuple[str, ...]:
        """Why nothing may go."""
        return tuple(sorted({reason for verdict in self.verdicts for reason in verdict.blocked}))


def survey(postgres: Postgres, vault: Vault) -> Survey:
    """Look at every target and bring the catalogue in line with what lies there. A silent target changes nothing."""
    found: dict[str, Inventory] = {}
    silent: dict[str, str] = {}
    for shelf in vault.shelves():
        try:
            with postgres.connect(Role.READER, work="look for targets") as connection:
                backup_catalog.demand_mounted(connection, shelf.target)
                looked_at = backup_server.clock(connection)
            inventory = shelf.inventory()
        except Unavailable as error:
            silent[shelf.target.name] = str(error)
            continue
        found[shelf.target.name] = inventory
        with postgres.connect(Role.WRITER, work="mirror backups") as connection:
            backup_catalog.mirror(connection, shelf.target.name, shelf.target.place, inventory, looked_at=looked_at)
    return Survey(found, silent)


def replicate(vault: Vault, seen: Survey, *, since: Mapping[str, int]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Copy what a target lacks from one that has it, oldest first; returns what was copied, and what failed.

    `since` is the lowest sequence that is wanted on each target: what was expired there is not brought back. A child
    whose parent could not be copied stays away as well.
    """
    copied: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    everything = {backup.id: backup for found in seen.found.values() for backup in found.backups.values()}
    for name, found in seen.found.items():
        there = set(found.backups)
        for backup in sorted(everything.values(), key=lambda one: one.sequence):
            if backup.id in there or backup.sequence < since.get(name, 0):
                continue
            if backup.parent_id is not None and backup.parent_id not in there:
                continue
            sources = [vault.shelf(other) for other, held in seen.found.items() if backup.id in held.backups]
            try:
                said = _copied(sources, vault.shelf(name), backup)
            except Unavailable as error:
                failed[name] = str(error)
                break
            if said:
                failed[name] = said
                continue
            there.add(backup.id)
            copied.setdefault(name, []).append(backup.id)
    return copied, failed


def _copied(sources: Sequence[Shelf], sink: Shelf, backup: Backup) -> str:
    """Copy a backup from the first source whose copy is sound; returns what failed, or nothing.

    Raises:
        Unavailable: the sink does not answer.
    """
    said = ""
    for source in sources:
        try:
            source.copy_to(sink, backup)
        except (Unusable, Unavailable) as error:
            said = str(error)
            sink.demand_answer()
        else:
            return ""
    return said


def first_wanted(connection: psycopg.Connection) -> dict[str, int]:
    """Return by target the lowest sequence that no expiry has let go there: older ones are not copied again."""
    rows = connection.execute(
        "SELECT ledger.plan ->> 'target', max(catalog.sequence) + 1 FROM ops.deletion_ledger AS ledger,"
        " jsonb_array_elements(ledger.plan -> 'backups') AS planned"
        " JOIN backup.catalog ON catalog.backup_id = planned ->> 'id'"
        " WHERE ledger.subject = 'backup.catalog' AND ledger.kind = 'expiry' GROUP BY 1"
    )
    return dict(rows.fetchall())


def collect(postgres: Postgres, vault: Vault, seen: Survey) -> list[str]:
    """Remove what is left of backups that died while they were taken. Returns their ids."""
    removed: list[str] = []
    for name, found in seen.found.items():
        with postgres.connect(Role.WRITER, work="collect dead backups") as connection:
            dead = backup_catalog.dead(connection, found.unfinished)
        for backup_id in dead:
            vault.shelf(name).remove(backup_id)
        removed += dead
    return removed


def due(connection: psycopg.Connection, shelf: Shelf, found: Inventory, *, now: datetime) -> list[Backup]:
    """Return what should be read now: everything never read, and of the rest the seventh that was read longest ago."""
    read_at = backup_catalog.unverified_since(connection, shelf.target.name)
    fresh = [backup for backup in found.backups.values() if read_at.get(backup.id) is None]
    known = sorted(
        ((moment, backup) for backup in found.backups.values() if (moment := read_at.get(backup.id)) is not None),
        key=lambda pair: (pair[0], pair[1].sequence),
    )
    overdue = [backup for moment, backup in known if moment <= now - SAMPLE_EVERY]
    share = [backup for _, backup in known[: -(-len(known) // SAMPLE_EVERY.days)]]
    return sorted({backup.id: backup for backup in [*fresh, *overdue, *share]}.values(), key=lambda b: b.sequence)


def verify(postgres: Postgres, shelf: Shelf, backups: Sequence[Backup]) -> Verified:
    """Read backups to their end, every byte, and write down what was found. One that cannot be read stops no other.

    Raises:
        Unavailable: the target does not answer; what was read until then is written down.
    """
    sound: list[str] = []
    corrupted: dict[str, str] = {}
    unread: list[str] = []
    for backup in backups:
        try:
            shelf.verify(backup)
        except Unusable as error:
            corrupted[backup.id] = str(error)
        except Unavailable as error:
            shelf.demand_answer()
            unread.append(str(error))
            continue
        else:
            sound.append(backup.id)
        with postgres.connect(Role.WRITER, work="write proof") as connection:
            backup_catalog.prove(
                connection,
                Proof(
                    backup_id=backup.id,
                    target=shelf.target.name,
                    kind="verification",
                    is_passed=backup.id not in corrupted,
                    details={"stored_bytes": backup.compressed_size, "error": corrupted.get(backup.id, "")},
                ),
            )
    return Verified(tuple(sound), corrupted, sum(backup.compressed_size for backup in backups), tuple(unread))


def judge(connection: psycopg.Connection, shelf: Shelf, found: Inventory, *, now: datetime, policy: Policy) -> Expiry:
    """Return what may go from a target. Nothing is removed."""
    everything = backup_catalog.standings(connection, shelf.target.name, found)
    families = retention.families(everything)
    unreadable = len(found.unreadable)
    verdicts: list[Verdict] = []
    bases: dict[str, Verdict] = {}
    for (method, subject), standings in families.items():
        if method is not Method.WAL:
            verdict = retention.judge(standings, now=now, policy=policy, unreadable=unreadable)
            verdicts.append(verdict)
            if method is Method.PHYSICAL:
                bases[subject] = verdict
    for (method, subject), standings in families.items():
        if method is Method.WAL:
            verdicts.append(_judged_log(standings, bases.get(subject)))
    return Expiry(shelf.target.name, tuple(verdicts))


def expire(postgres: Postgres, vault: Vault, shelf: Shelf, *, policy: Policy, ceiling: int, approved_by: str) -> Expiry:
    """Remove what may go from a target: planned in the deletion ledger, decided again under the lock, then done.

    Raises:
        Refused: more backups would go than the ceiling allows; nothing went.
        Unavailable: the target does not answer, or a backup is being taken.
    """
    with (
        backup_server.session(postgres.dsn(), work="expire backups") as lock,
        backup_server.exclusively(lock, patience_s=vault.patience_s),
        backup_server.exclusively(lock, Lock.EXPIRY, patience_s=vault.patience_s),
    ):
        found = shelf.inventory()
        with postgres.connect(Role.WRITER, work="plan expiry") as connection:
            now = backup_server.clock(connection)
            expiry = judge(connection, shelf, found, now=now, policy=policy)
            if len(expiry.expired) > ceiling:
                raise Refused(
                    f"{len(expiry.expired)} backups would expire on {shelf.target.name} and {ceiling} are approved: "
                    "look at the plan, then approve it with `ceiling`"
                )
            if not expiry.expired:
                return expiry
            plan_id = _plan(connection, expiry, ceiling=ceiling, approved_by=approved_by)
        failpoints.reach(Point.BACKUP_EXPIRY_PLANNED)
        for backup in expiry.expired:
            shelf.remove(backup.id)
        with postgres.connect(Role.WRITER, work="close expiry") as connection:
            deletions.executed(connection, plan_id, rows=len(expiry.expired))
            looked_at = backup_server.clock(connection)
            left = shelf.inventory()
            backup_catalog.mirror(connection, shelf.target.name, shelf.target.place, left, looked_at=looked_at)
    return Expiry(expiry.target, expiry.verdicts, tuple(backup.id for backup in expiry.expired))


def hold(postgres: Postgres, vault: Vault, shelf: Shelf, backup_id: str, *, reason: str, by: str) -> None:
    """Keep a backup and its whole chain on a target whatever the policy says; no expiry that is under way misses it.

    Raises:
        Refused: the target holds no such backup (any more).
        Unavailable: the target does not answer, or an expiry takes too long.
    """
    with (
        backup_server.session(postgres.dsn(), work="hold backup") as lock,
        backup_server.exclusively(lock, Lock.EXPIRY, patience_s=vault.patience_s),
    ):
        shelf.hold(backup_id, Hold(reason, by, backup_server.clock(lock)))


def _judged_log(standings: Collection[Standing], bases: Verdict | None) -> Verdict:
    return retention.judge_log(standings, bases or Verdict(()))


def _plan(connection: psycopg.Connection, expiry: Expiry, *, ceiling: int, approved_by: str) -> int:
    reasons = {decision.backup.id: decision.reasons for decision in expiry.decisions}
    plan = {
        "target": expiry.target,
        "backups": [
            {"id": backup.id, "digest": backup.digest, "bytes": backup.compressed_size, "why": reasons[backup.id][0]}
            for backup in expiry.expired
        ],
    }
    kept = [decision.backup.id for decision in expiry.decisions if decision.is_kept]
    return deletions.enter(
        connection,
        Deletion(
            subject="backup.catalog",
            kind="expiry",
            plan=plan,
            rows=len(expiry.expired),
            proof={"kept": kept},
            ceiling=ceiling,
            approved_by=approved_by,
        ),
    )
