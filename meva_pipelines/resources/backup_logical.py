"""The portable copy: one database as `pg_dump -Fc` writes it, with fingerprints of the very snapshot.

A dump brings back the moment at which it was taken and no other: the log cannot be replayed on it. It is all that can
be had of a managed server without replication rights, and it can be read by newer versions of PostgreSQL.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.resources import (
    backup_fingerprints,
    backup_programs,
    backup_return,
    backup_server,
    backup_taking,
)
from meva_pipelines.resources.backup_catalog import Draft
from meva_pipelines.resources.backup_fingerprints import Prints
from meva_pipelines.resources.backup_physical import FINGERPRINTS
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_sealing import CHUNK_BYTES
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.postgres import Postgres, parts_of

DUMP = "database.dump"


def take(postgres: Postgres, vault: Vault, request: Request) -> Backup:
    """Dump the warehouse's database and return the record.

    Raises:
        Unavailable: the server or every target failed, there is no room, or another backup is under way.
    """
    dsn = postgres.dsn()
    with backup_server.session(dsn, work="dump") as connection:
        programs = backup_programs.of_server(connection.info.server_version)
        size = backup_server.facts(connection, tools=programs.major).data_bytes
        with backup_taking.taking(
            postgres,
            vault,
            request,
            method=Method.LOGICAL,
            extent=Extent.FULL,
            subject=f"database {parts_of(dsn).get('dbname', '')}",
            data_bytes=size,
        ) as (draft, shelf):
            return _dump(connection, dsn, programs, shelf, draft)


def _dump(connection: psycopg.Connection, dsn: str, programs: Programs, shelf: Shelf, draft: Draft) -> Backup:
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        covers_until = backup_server.clock(connection)
        snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
        words = ["--format=custom", "--compress=0", "--no-password", f"--snapshot={snapshot[0] if snapshot else ''}"]
        with (
            backup_programs.login(dsn) as address,
            shelf.part(draft.id, DUMP) as dump,
            programs.streaming("pg_dump", *words, address=address) as stream,
        ):
            while chunk := stream.read(CHUNK_BYTES):
                dump.write(chunk)
        prints = backup_fingerprints.in_transaction(connection)
    with shelf.part(draft.id, FINGERPRINTS) as kept:
        kept.write(backup_fingerprints.written(prints))
    backup = Backup(
        **draft.facts(),
        completed_at=backup_server.clock(connection),
        covers_until=covers_until,
        parts=(dump.finished(), kept.finished()),
        key_id=shelf.keyring.sealing_id,
        data_types=("postgresql",),
        figures={"tables": len(prints.tables)},
    )
    shelf.finish(backup)
    return backup


@contextmanager
def restored(live_dsn: str, shelf: Shelf, backup: Backup) -> Iterator[str]:
    """Lend the address of a database on the live server that holds a dump; it is dropped afterwards.

    Raises:
        Unusable: something on the target is not what was written.
        Unavailable: the target or the server failed.
    """
    with backup_server.session(live_dsn, work="restore dump") as connection:
        programs = backup_programs.of_server(connection.info.server_version)

    def fill(name: str) -> None:
        with backup_return.restoring(live_dsn, name, programs) as write, shelf.open(backup, DUMP) as dump:
            while chunk := dump.read(CHUNK_BYTES):
                write(chunk)

    with backup_return.new_database(live_dsn, fill) as name:
        yield psycopg.conninfo.make_conninfo(live_dsn, dbname=name)


def fingerprints(shelf: Shelf, backup: Backup) -> Prints:
    """Return the fingerprints that lie beside a backup of a database."""
    with shelf.open(backup, FINGERPRINTS) as data:
        return backup_fingerprints.read(data.read())
