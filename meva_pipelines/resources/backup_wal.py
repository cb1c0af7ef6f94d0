"""The log of the server, fetched once an hour: nothing is lost between runs, and nothing runs in between.

The slot on the server keeps what was not fetched; the spool under the state folder keeps what was fetched and lies
on no target yet. A segment leaves the spool only when the record of its backup is written.

    <spool>/<server>/<segment>.partial    under way: the next run goes on with it
    <spool>/<server>/received/<segment>   finished, and on no target yet
"""

from pathlib import Path

from meva_pipelines.domain.backup import wal
from meva_pipelines.domain.backup.records import Backup, Part, Server
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import backup_programs, backup_server, backup_taking, failpoints
from meva_pipelines.resources.backup_catalog import Draft
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_sealing import CHUNK_BYTES
from meva_pipelines.resources.backup_server import Identity, SwitchedLog
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres import Postgres

RECEIVE_TIMEOUT_S = 3_600.0
_SPOOL = "backup-spool"
_RECEIVED = "received"


def take(postgres: Postgres, vault: Vault, request: Request) -> Backup:
    """Fetch what the server has logged since the last time and store it as one backup.

    Raises:
        Refused: the server keeps no log for backups, or had to let go of it; a full backup begins anew.
        Unavailable: the server or every target failed, or another backup is under way. What was fetched waits in the
            spool.
    """
    with backup_server.session(postgres.dsn(), work="backup log") as connection:
        identity = backup_server.identity(connection)
        kept_from = backup_server.kept_from(connection)
        if kept_from is None:
            raise Refused("the server keeps no log for backups, or has lost it: take a full backup first")
        programs = backup_programs.of_server(identity.version)
        spool = _spool(vault, identity)
        with backup_taking.taking(
            postgres, vault, request, method=Method.WAL, extent=Extent.FULL, subject=identity.system_id
        ) as (draft, shelf):
            switched = backup_server.switch_log(connection)
            _set_aside(spool)
            _forget_before(spool, wal.position(kept_from) // identity.segment_bytes, identity)
            _receive(postgres, programs, spool, switched)
            failpoints.reach(Point.BACKUP_WAL_RECEIVED)
            _set_aside(spool)
            stored = _store(shelf, draft, spool)
            server = _server(identity, [path.name for path in stored])
            backup = Backup(
                **draft.facts(),
                completed_at=backup_server.clock(connection),
                covers_until=switched.covers_until,
                parts=tuple(stored.values()),
                key_id=shelf.keyring.sealing_id,
                server=server,
                data_types=("write-ahead log",),
                figures={"segments": len(stored)},
            )
            shelf.finish(backup)
            for path in stored:
                path.unlink()
            return backup


def segments(backup: Backup) -> tuple[wal.Segment, ...]:
    """Return the segments that a backup of the log holds, in order."""
    if backup.server is None:
        return ()
    size = backup.server.segment_bytes
    return tuple(sorted(wal.segment(part.name, size) for part in backup.parts if wal.is_segment(part.name)))


def spool_bytes(vault: Vault) -> int:
    """Return the bytes that were fetched and lie on no target yet."""
    return sum(path.stat().st_size for path in vault.folder(_SPOOL).rglob("*") if path.is_file())


def _spool(vault: Vault, identity: Identity) -> Path:
    folder = vault.folder(_SPOOL) / identity.system_id
    for made in (folder, folder / _RECEIVED):
        made.mkdir(mode=0o700, exist_ok=True)
    return folder


def _set_aside(spool: Path) -> None:
    """Move what is finished away: pg_receivewal goes on behind the last file that it finds."""
    for path in spool.iterdir():
        if wal.is_segment(path.name) or wal.is_history(path.name):
            path.rename(spool / _RECEIVED / path.name)


def _forget_before(spool: Path, first: int, identity: Identity) -> None:
    """Remove the segment under way of a slot that is no more: the server does not continue what it lies before."""
    for path in spool.glob("*.partial"):
        if wal.segment(path.stem, identity.segment_bytes).number < first:
            path.unlink()


def _receive(postgres: Postgres, programs: Programs, spool: Path, switched: SwitchedLog) -> None:
    words = [f"--directory={spool}", f"--slot={backup_server.SLOT}", f"--endpos={switched.stop_at}"]
    words += ["--no-loop", "--synchronous", "--no-password"]
    with backup_programs.login(postgres.dsn()) as address:
        programs.run("pg_receivewal", *words, address=address, timeout_s=RECEIVE_TIMEOUT_S)


def _store(shelf: Shelf, draft: Draft, spool: Path) -> dict[Path, Part]:
    """Seal every finished file of the spool, oldest first."""
    stored: dict[Path, Part] = {}
    for path in sorted((spool / _RECEIVED).iterdir()):
        with shelf.part(draft.id, path.name) as sealing, path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                sealing.write(chunk)
        stored[path] = sealing.finished()
    return stored


def _server(identity: Identity, names: list[str]) -> Server:
    size = identity.segment_bytes
    found = sorted(wal.segment(name, size) for name in names if wal.is_segment(name))
    if not found:
        raise Refused("the server gave no finished segment of its log")
    return Server(
        system_id=identity.system_id,
        version=identity.version,
        segment_bytes=size,
        timeline=found[-1].timeline,
        start_lsn=wal.spelled(found[0].start(size)),
        end_lsn=wal.spelled(found[-1].start(size) + size),
    )
