"""A restore for its own sake: the newest backup brought back, compared, measured, thrown away. Nothing live is touched.

What a sound copy must keep is handed in (`quality/restored_copies`); structure is looked at by PostgreSQL's own
amcheck, content by the fingerprints that were taken with the backup.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import psycopg

from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources import (
    backup_catalog,
    backup_fingerprints,
    backup_logical,
    backup_programs,
    backup_restoring,
    backup_server,
)
from meva_pipelines.resources.backup_catalog import Proof
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.postgres import Postgres, parts_of
from meva_pipelines.schema.roles import Role

_CHECK_TIMEOUT_S = 3_600.0

Judge = Callable[[psycopg.Connection], Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What a drill has shown. `rto_s`: from nothing to an answering server; `rpo_s`: what would have been lost."""

    backup: Backup
    target: str
    rto_s: float
    rpo_s: float
    differences: tuple[str, ...]
    is_comparable: bool
    breaches: Mapping[str, int]
    is_structure_sound: bool
    bases: int
    log_backups: int
    tables: int

    @property
    def is_passed(self) -> bool:
        """Whether the copy is what was backed up, keeps every invariant and is sound inside."""
        is_same = not self.differences or not self.is_comparable
        return is_same and self.is_structure_sound and not any(self.breaches.values())


def newest(shelf: Shelf, system_id: str) -> Backup:
    """Return what a drill should restore: the newest physical backup of a server, else the newest dump.

    Raises:
        Refused: the target holds neither.
    """
    found = sorted(shelf.inventory().backups.values(), key=lambda backup: backup.sequence)
    physical = [backup for backup in found if backup.method is Method.PHYSICAL and backup.subject == system_id]
    logical = [backup for backup in found if backup.method is Method.LOGICAL]
    for candidates in (physical, logical):
        if candidates:
            return candidates[-1]
    raise Refused(f"target {shelf.target.name} holds no backup of the database: nothing can be proved")


def run(postgres: Postgres, vault: Vault, shelf: Shelf, backup: Backup, *, judge: Judge) -> Drill:
    """Restore a backup, compare and measure, and write the evidence down, whether it passed or not.

    Raises:
        MevaError, psycopg.Error: the restore itself failed; that is written down as well.
    """
    with backup_server.session(postgres.dsn(), work="drill") as connection:
        now = backup_server.clock(connection)
    try:
        if backup.method is Method.LOGICAL:
            drill = _logical(postgres, shelf, backup, judge=judge, now=now)
        else:
            drill = _physical(postgres, vault, shelf, backup, judge=judge, now=now)
    except (MevaError, psycopg.Error) as error:
        said = str(error) if isinstance(error, MevaError) else type(error).__name__
        failed = Proof(backup.id, shelf.target.name, "drill", is_passed=False, details={"error": said})
        _write(postgres, failed)
        raise
    details = {
        "differences": list(drill.differences),
        "is_comparable": drill.is_comparable,
        "breaches": dict(drill.breaches),
        "is_structure_sound": drill.is_structure_sound,
        "tables": drill.tables,
        "bases": drill.bases,
        "log_backups": drill.log_backups,
    }
    _write(
        postgres,
        Proof(
            backup.id,
            shelf.target.name,
            "drill",
            is_passed=drill.is_passed,
            details=details,
            rto_s=drill.rto_s,
            rpo_s=drill.rpo_s,
        ),
    )
    return drill


def _physical(postgres: Postgres, vault: Vault, shelf: Shelf, backup: Backup, *, judge: Judge, now: datetime) -> Drill:
    parts = parts_of(postgres.dsn())
    user, database = parts.get("user", ""), parts.get("dbname", "")
    latest = backup_restoring.plan(shelf, Goal(), system_id=backup.subject)
    route = backup_restoring.plan(shelf, Goal(restore_point=backup.id), system_id=backup.subject)
    goal = Goal(restore_point=backup.id) if route.log else Goal(backup_id=backup.id)
    expected = backup_logical.fingerprints(shelf, backup)
    with backup_restoring.restored(vault, shelf, goal, system_id=backup.subject) as restored:
        dsn = restored.scratch.dsn(user=user, database=database)
        with backup_server.session(dsn, work="compare") as copy:
            found, breaches = backup_fingerprints.taken(copy), judge(copy)
            superuser = backup_server.superuser(copy)
        return Drill(
            backup=backup,
            target=shelf.target.name,
            differences=tuple(backup_fingerprints.differences(expected, found)),
            breaches=breaches,
            tables=len(found.tables),
            # Without the log a copy stands at the end of the base, a little before the fingerprints.
            is_comparable=expected.is_exact and goal.restore_point is not None,
            is_structure_sound=_is_sound(restored.programs, restored.scratch.dsn(user=superuser, database=database)),
            rto_s=restored.seconds,
            rpo_s=(now - latest.covers_until).total_seconds(),
            bases=len(restored.route.bases),
            log_backups=len(restored.route.log),
        )


def _logical(postgres: Postgres, shelf: Shelf, backup: Backup, *, judge: Judge, now: datetime) -> Drill:
    """Restore a dump into a database of its own on the live server, under a name that no live one has."""
    expected = backup_logical.fingerprints(shelf, backup)
    started = perf_counter()
    with backup_logical.restored(postgres.dsn(), shelf, backup) as dsn:
        rto_s = perf_counter() - started
        with backup_server.session(dsn, work="compare") as copy:
            found, breaches = backup_fingerprints.taken(copy), judge(copy)
        return Drill(
            backup=backup,
            target=shelf.target.name,
            differences=tuple(backup_fingerprints.differences(expected, found)),
            breaches=breaches,
            tables=len(found.tables),
            is_comparable=True,
            is_structure_sound=True,
            rto_s=rto_s,
            rpo_s=(now - backup.covers_until).total_seconds(),
            bases=1,
            log_backups=0,
        )


def _is_sound(programs: Programs, dsn: str) -> bool:
    """Whether amcheck finds no fault in tables and indexes; a copy may be given the extension."""
    with backup_programs.login(dsn) as address:
        words = ["--install-missing", "--no-password", "--no-strict-names", address["PGDATABASE"]]
        try:
            programs.run("pg_amcheck", *words, address=address, timeout_s=_CHECK_TIMEOUT_S)
        except Unavailable:
            return False
    return True


def _write(postgres: Postgres, proof: Proof) -> None:
    with postgres.connect(Role.WRITER, work="write proof") as connection:
        backup_catalog.prove(connection, proof)
