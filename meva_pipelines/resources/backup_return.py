"""A restored copy brought into a live server: beside the live database, and into its place only when told to.

The copy runs as a scratch server of its own; what is wanted of it is dumped there and restored here, so that the
live server never stops, keeps its other databases (Dagster's among them), and any server will do, ours or not. The
database that was live stays under another name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import backup_programs, backup_server, failpoints
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_sealing import CHUNK_BYTES
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres import parts_of

_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Returned:
    """What stands on the live server now: the restored database, and the one that was live before, if it gave way."""

    database: str
    kept_as: str | None


def beside(copy_dsn: str, live_dsn: str, *, at: datetime, programs: Programs) -> str:
    """Make a database beside the live one from a restored copy and return its name.

    Raises:
        Refused: a database of that name exists.
        Unavailable: one of the servers failed; what was made is dropped.
    """
    live = parts_of(live_dsn)["dbname"]
    name = named_beside(live, "restored", at)
    with backup_server.session(live_dsn, work="restore") as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            raise Refused(f"a database {name} exists: drop it, or restore to another moment")
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
        connection.execute(create.format(sql.Identifier(name)))
        try:
            _copy(copy_dsn, live_dsn, name, programs)
        except BaseException:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            raise
    return name


def swap(live_dsn: str, restored: str, *, at: datetime) -> Returned:
    """Put a restored database in the place of the live one, whose sessions are ended; both names change at once.

    Raises:
        Unavailable: the server failed; nothing has changed.
    """
    live = parts_of(live_dsn)["dbname"]
    kept_as = named_beside(live, "before_restore", at)
    maintenance = psycopg.conninfo.make_conninfo(live_dsn, dbname="postgres")
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with backup_server.session(maintenance, work="swap") as connection:
        failpoints.reach(Point.BACKUP_RESTORE_BEFORE_SWAP)
        with connection.transaction():
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY(%s)",
                [[live, restored]],
            )
            connection.execute(rename.format(sql.Identifier(live), sql.Identifier(kept_as)))
            connection.execute(rename.format(sql.Identifier(restored), sql.Identifier(live)))
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
    chosen = [f"--table={_pattern(name)}" for name in names]
    _copy(copy_dsn, live_dsn, parts_of(live_dsn)["dbname"], programs, *chosen)


def _copy(copy_dsn: str, live_dsn: str, database: str, programs: Programs, *chosen: str) -> None:
    """Let a dump of the copy flow into a database, in one transaction."""
    into = ["--single-transaction", "--exit-on-error", "--no-password", f"--dbname={database}"]
    words = ["--format=custom", "--compress=0", "--no-password", *chosen]
    with (
        backup_programs.login(live_dsn) as to,
        backup_programs.login(copy_dsn) as of,
        programs.feeding("pg_restore", *into, address=to) as restore,
        programs.streaming("pg_dump", *words, address=of) as dump,
    ):
        while chunk := dump.read(CHUNK_BYTES):
            restore.write(chunk)


def _pattern(name: str) -> str:
    """Spell a table for pg_dump, which would take capitals and wildcards for something else."""
    schema, _, table = name.partition(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))


def named_beside(live: str, what: str, at: datetime) -> str:
    """Return the name of a database beside the live one."""
    name = f"{live}_{what}_{at:%Y%m%d_%H%M%S}"
    if len(name.encode()) > _LONGEST_NAME:
        raise Refused(f"the name {name} is longer than PostgreSQL allows")
    return name
