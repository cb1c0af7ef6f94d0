"""A restored copy brought into a live server: beside the live database, and into its place only when told to.

The copy is a server or a database of its own; what is wanted of it is dumped there and restored here, so that the
live server never stops, keeps its other databases (Dagster's among them), and any server will do, ours or not. The
database that was live stays under another name.

A database is made under a name that says that it is not finished, and gets its own when everything is in it. One
whose process died is dropped by the next that is made.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import backup_programs, backup_server, failpoints
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_sealing import CHUNK_BYTES
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres import parts_of

UNFINISHED = "meva_restoring_"
_LONGEST_NAME = 63
_TRIES = 5
_RENAME = sql.SQL("ALTER DATABASE {} RENAME TO {}")


@dataclass(frozen=True, slots=True)
class Returned:
    """What stands on the live server now: the restored database, and the name of the one that was live before."""

    database: str
    kept_as: str


@contextmanager
def new_database(live_dsn: str, fill: Callable[[str], None]) -> Iterator[str]:
    """Lend a new database on the live server that `fill` has filled; dropped afterwards unless it was renamed.

    Raises:
        Unavailable: the server failed.
    """
    name = f"{UNFINISHED}{secrets.token_hex(6)}"
    with backup_server.session(_maintenance(live_dsn), work="restore") as connection:
        _sweep(connection)
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
        connection.execute(create.format(sql.Identifier(name)))
        try:
            fill(name)
            yield name
        finally:
            _drop(connection, name)


def beside(copy_dsn: str, live_dsn: str, *, at: datetime, programs: Programs) -> str:
    """Make a database beside the live one from a restored copy of the moment `at` and return its name.

    Raises:
        Refused: a database of that name exists.
        Unavailable: one of the servers failed; what was made is dropped.
    """
    name = _named_beside(parts_of(live_dsn)["dbname"], "restored", at)
    with backup_server.session(_maintenance(live_dsn), work="restore") as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            raise Refused(f"a database {name} exists: drop it, or restore to another moment")
        with new_database(live_dsn, lambda made: copied(copy_dsn, live_dsn, made, programs=programs)) as made:
            connection.execute(_RENAME.format(sql.Identifier(made), sql.Identifier(name)))
    return name


def instead(copy_dsn: str, live_dsn: str, *, programs: Programs) -> Returned:
    """Put a restored copy in the place of the live database, whose sessions are ended; both names change at once.

    Raises:
        Unavailable: one of the servers failed; nothing has changed.
    """
    live = parts_of(live_dsn)["dbname"]
    with backup_server.session(_maintenance(live_dsn), work="swap") as connection:
        kept_as = _named_beside(live, "before_restore", backup_server.clock(connection))
        with new_database(live_dsn, lambda made: copied(copy_dsn, live_dsn, made, programs=programs)) as made:
            failpoints.reach(Point.BACKUP_RESTORE_BEFORE_SWAP)
            _swap(connection, live, made, kept_as)
    return Returned(live, kept_as)


def tables(copy_dsn: str, live_dsn: str, names: Sequence[str], *, programs: Programs) -> None:
    """Bring single tables (schema.table) back into the live database, with their rows, indexes and grants.

    Raises:
        Refused: one of them is there: it is renamed or dropped by a person first.
        Unavailable: one of the servers failed; nothing has changed.
    """
    with backup_server.session(live_dsn, work="restore tables") as connection:
        there = [name for name in names if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,)]
    if there:
        raise Refused(f"{', '.join(there)} exists: rename or drop it first, nothing was overwritten")
    copied(copy_dsn, live_dsn, parts_of(live_dsn)["dbname"], programs=programs, chosen=names)


def copied(copy_dsn: str, live_dsn: str, database: str, *, programs: Programs, chosen: Sequence[str] = ()) -> None:
    """Let a dump of the copy, or of chosen tables of it, flow into a database of the live server, in one transaction.

    Raises:
        Unavailable: one of the servers failed; nothing has changed.
    """
    words = ["--format=custom", "--compress=0", "--no-password", *(f"--table={_pattern(name)}" for name in chosen)]
    with (
        restoring(live_dsn, database, programs) as write,
        backup_programs.login(copy_dsn) as of,
        programs.streaming("pg_dump", *words, address=of) as dump,
    ):
        while chunk := dump.read(CHUNK_BYTES):
            write(chunk)


@contextmanager
def restoring(live_dsn: str, database: str, programs: Programs) -> Iterator[Callable[[bytes], object]]:
    """Lend what takes the bytes of a dump and restores them into a database, in one transaction.

    Raises:
        Unavailable: the server failed; nothing has changed.
    """
    words = ["--single-transaction", "--exit-on-error", "--no-password", f"--dbname={database}"]
    with (
        backup_programs.login(live_dsn) as to,
        programs.feeding("pg_restore", *words, address=to) as restore,
    ):
        yield restore.write


def _swap(connection: psycopg.Connection, live: str, restored: str, kept_as: str) -> None:
    """Rename both databases in one transaction; whoever comes back between is sent away again."""
    for _ in range(_TRIES):
        try:
            with connection.transaction():
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY(%s)",
                    [[live, restored]],
                )
                connection.execute(_RENAME.format(sql.Identifier(live), sql.Identifier(kept_as)))
                connection.execute(_RENAME.format(sql.Identifier(restored), sql.Identifier(live)))
        except psycopg.errors.ObjectInUse:
            continue
        return
    raise Unavailable(f"others come back to {live} faster than they are sent away: stop them, then restore again")


def _sweep(connection: psycopg.Connection) -> None:
    """Drop what processes that died have left: their lock is free."""
    names = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [UNFINISHED])
    for (name,) in names.fetchall():
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
        if row is not None and row[0]:
            _drop(connection, name)
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _maintenance(dsn: str) -> str:
    return psycopg.conninfo.make_conninfo(dsn, dbname="postgres")


def _pattern(name: str) -> str:
    """Spell a table for pg_dump, which would take capitals and wildcards for something else."""
    schema, _, table = name.partition(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))


def _named_beside(live: str, what: str, at: datetime) -> str:
    name = f"{live}_{what}_{at:%Y%m%d_%H%M%S}"
    if len(name.encode()) > _LONGEST_NAME:
        raise Refused(f"the name {name} is longer than PostgreSQL allows")
    return name
