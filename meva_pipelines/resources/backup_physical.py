"""Physical backups of the whole server: full, and increments of the blocks that changed.

    base.tar       what pg_basebackup streams, with the log that makes it consistent
    manifest       its manifest: the next increment is made on it
    fingerprints   rows and digest of every table at the restore point that is named after the backup

How one is laid back is in `backup_restoring`.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter

import psycopg

from meva_pipelines.domain.backup import preflight
from meva_pipelines.domain.backup.preflight import ServerFacts
from meva_pipelines.domain.backup.records import Backup, Part, Server
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import backup_fingerprints, backup_programs, backup_server, backup_taking
from meva_pipelines.resources.backup_catalog import Draft
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_sealing import CHUNK_BYTES
from meva_pipelines.resources.backup_server import Identity
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.backup_tar import Tap
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

BASE = "base.tar"
MANIFEST = "manifest"
FINGERPRINTS = "fingerprints"
_CAUGHT = "backup_manifest"


@dataclass(frozen=True, slots=True)
class Streamed:
    """What came out of pg_basebackup, stored; `ended_at` is the moment from which a restore of it can start."""

    parts: tuple[Part, ...]
    server: Server
    ended_at: datetime
    seconds: float


def take_full(postgres: Postgres, vault: Vault, request: Request) -> Backup:
    """Take a full backup of the server and return its record.

    Raises:
        Refused: the server allows no physical backup; says what to set.
        Unavailable: the server or every target failed, there is no room, or another backup is under way.
    """
    return _take(postgres, vault, request, extent=Extent.FULL)


def take_incremental(postgres: Postgres, vault: Vault, request: Request) -> Backup:
    """Take what changed since the newest sound backup of this server, wherever that lies.

    Raises:
        Refused: there is no full backup yet, or the server cannot take increments; says what to do.
        Unavailable: as in `take_full`; also when the server no longer knows what changed since the parent.
    """
    return _take(postgres, vault, request, extent=Extent.INCREMENTAL)


def _take(postgres: Postgres, vault: Vault, request: Request, *, extent: Extent) -> Backup:
    with backup_server.session(postgres.dsn(), work="backup") as connection:
        programs = backup_programs.of_server(connection.info.server_version)
        facts = _demand(connection, programs, extent)
        identity = backup_server.identity(connection)
        with backup_taking.taking(
            postgres,
            vault,
            request,
            method=Method.PHYSICAL,
            extent=extent,
            subject=identity.system_id,
            data_bytes=facts.data_bytes if extent is Extent.FULL else 0,
        ) as (draft, shelf):
            parent = _parent(postgres, vault, identity) if extent is Extent.INCREMENTAL else None
            backup_server.ensure_slot(connection)
            with _manifest_of(parent) as manifest:
                streamed = _stream(postgres, connection, programs, shelf, draft, manifest)
            prints = backup_fingerprints.at_restore_point(connection, name=draft.id)
            with shelf.part(draft.id, FINGERPRINTS) as sealing:
                sealing.write(backup_fingerprints.written(prints))
            backup = Backup(
                **draft.facts(),
                completed_at=backup_server.clock(connection),
                covers_until=streamed.ended_at,
                parts=(*streamed.parts, sealing.finished()),
                key_id=shelf.keyring.sealing_id,
                server=streamed.server,
                parent_id=parent[1].id if parent else None,
                parent_digest=parent[1].digest if parent else None,
                restore_point=draft.id,
                data_types=("postgresql",),
                figures={
                    "streamed_s": round(streamed.seconds, 3),
                    "fingerprints_s": round(prints.seconds, 3),
                    "database_bytes": facts.data_bytes,
                },
            )
            shelf.finish(backup)
            return backup


def _demand(connection: psycopg.Connection, programs: Programs, extent: Extent) -> ServerFacts:
    facts = backup_server.facts(connection, tools=programs.major)
    backup_server.demand_physical(facts)
    if extent is Extent.INCREMENTAL and not preflight.can_be_incremental(facts):
        missing = [finding.said for finding in preflight.server(facts) if not finding.is_met]
        raise Refused(f"no increment can be taken: {'; '.join(missing)}")
    return facts


def _parent(postgres: Postgres, vault: Vault, identity: Identity) -> tuple[Shelf, Backup]:
    with postgres.connect(Role.READER, work="find parent", autocommit=True) as connection:
        return backup_taking.parent(connection, vault, method=Method.PHYSICAL, subject=identity.system_id)


def _stream(
    postgres: Postgres,
    connection: psycopg.Connection,
    programs: Programs,
    shelf: Shelf,
    draft: Draft,
    manifest: Path | None,
) -> Streamed:
    """Let the server's data pass through compression and encryption into the target, in memory of constant size."""
    words = ["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--no-password"]
    words += [f"--label={draft.id}", *([f"--incremental={manifest}"] if manifest else [])]
    tap, started = Tap({_CAUGHT}), perf_counter()
    with (
        backup_programs.login(postgres.dsn()) as address,
        shelf.part(draft.id, BASE) as base,
        programs.streaming("pg_basebackup", *words, address=address) as stream,
    ):
        while chunk := stream.read(CHUNK_BYTES):
            tap.feed(chunk)
            base.write(chunk)
    ended_at, seconds = backup_server.clock(connection), perf_counter() - started
    caught = bytes(tap.caught.get(_CAUGHT, b""))
    server = _server(backup_server.identity(connection), caught)
    with shelf.part(draft.id, MANIFEST) as kept:
        kept.write(caught)
    return Streamed((base.finished(), kept.finished()), server, ended_at, seconds)


def _server(identity: Identity, manifest: bytes) -> Server:
    try:
        ranges = json.loads(manifest)["WAL-Ranges"]
        first, last = ranges[0], ranges[-1]
        return Server(
            system_id=identity.system_id,
            version=identity.version,
            segment_bytes=identity.segment_bytes,
            timeline=int(last["Timeline"]),
            start_lsn=str(first["Start-LSN"]),
            end_lsn=str(last["End-LSN"]),
        )
    except (ValueError, KeyError, IndexError) as error:
        raise Unavailable("pg_basebackup ended without a manifest: the backup is not whole") from error


@contextmanager
def _manifest_of(parent: tuple[Shelf, Backup] | None) -> Iterator[Path | None]:
    if parent is None:
        yield None
        return
    shelf, backup = parent
    with tempfile.TemporaryDirectory(prefix="meva-manifest-") as folder, shelf.open(backup, MANIFEST) as data:
        path = Path(folder, "manifest")
        path.write_bytes(data.read())
        yield path
