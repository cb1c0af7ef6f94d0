"""Files brought back from a backup: verified while they are written, into a new folder, which then takes its place.

The folder that was there is exchanged in one step and kept beside; an interrupted restore leaves it as it was.
"""

import ctypes
import errno
import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import IO

from meva_pipelines.domain.backup import chains
from meva_pipelines.domain.backup.members import Limits, Member, contained, is_chosen
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.resources import backup_extraction, backup_files, backup_index, failpoints
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres_binaries import Account
from meva_pipelines.resources.postgres_cluster import sync_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """What a restore would write."""

    backup: Backup
    members: Mapping[str, Member]

    @property
    def bytes(self) -> int:
        """Bytes in all."""
        return sum(member.size_bytes for member in self.members.values())


@dataclass(frozen=True, slots=True)
class FilesRestored:
    """What a restore has done: files written, where the former folder went, how long it took."""

    restored_files: int
    restored_bytes: int
    kept_as: Path | None
    duration_s: float
    message: str


def plan(shelf: Shelf, backup_id: str, patterns: tuple[str, ...] = ()) -> FilesPlan:
    """Return what a restore would write: paths (`source/name`), folders or globs; none for everything.

    Raises:
        Refused: there is no such backup, its parents are not there, or nothing matches.
        Unusable: its record or index is not what was written.
    """
    backup = shelf.record(backup_id)
    chains.lineage(list(shelf.inventory().backups.values()), backup)
    found = {path: member for path, member in backup_index.members(shelf, backup).items() if is_chosen(path, patterns)}
    if not found:
        raise Refused(f"nothing in backup {backup_id} matches {', '.join(patterns) or 'anything'}")
    return FilesPlan(backup, found)


def restore(
    shelf: Shelf, wanted: FilesPlan, into: Path, *, at: datetime, replaces: bool = False, limits: Limits | None = None
) -> FilesRestored:
    """Write the files of a plan below `into`, each under its source and name.

    Raises:
        Refused: `into` is there and not empty, and `replaces` is not said; a limit is exceeded.
        Unusable: something on the target is not what was written; `into` is as it was.
        Unavailable: the target does not answer, or the disk is full; `into` is as it was.
    """
    started = perf_counter()
    into = into.absolute()
    is_there = into.exists() or into.is_symlink()
    if is_there and not (into.is_dir() and not into.is_symlink() and (replaces or not any(into.iterdir()))):
        raise Refused(f"{into} is there and not empty: name another folder, or say that it may be replaced")
    discard_drafts(into)
    draft = into.with_name(f".{into.name}.restoring-{secrets.token_hex(4)}")
    try:
        draft.mkdir(mode=0o700, parents=True)
        _fill(shelf, wanted, draft, limits or Limits())
        os.sync()
        failpoints.reach(Point.BACKUP_RESTORE_BEFORE_SWAP)
        kept_as = _put_in_place(draft, into, at=at)
    except OSError as error:
        raise Unavailable(f"{into} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return FilesRestored(
        restored_files=len(wanted.members),
        restored_bytes=wanted.bytes,
        kept_as=kept_as,
        duration_s=perf_counter() - started,
        message=f"{len(wanted.members):,} files of {wanted.backup.id} are in {into}",
    )


def discard_drafts(into: Path) -> None:
    """Remove what interrupted restores of this folder left beside it."""
    for left in into.parent.glob(f".{glob.escape(into.name)}.restoring-*"):
        shutil.rmtree(left, ignore_errors=True)


def _fill(shelf: Shelf, wanted: FilesPlan, draft: Path, limits: Limits) -> None:
    by_pack: dict[str, dict[str, Member]] = {}
    for path, member in wanted.members.items():
        by_pack.setdefault(member.pack, {})[path] = member
    if len(wanted.members) > limits.files or wanted.bytes > limits.total_bytes:
        raise Refused(f"the backup holds more than a restore may write: {limits}")
    for pack, members in by_pack.items():
        backup = wanted.backup if pack == wanted.backup.id else shelf.record(pack)
        _unpack(shelf, backup, members, draft)


def _unpack(shelf: Shelf, backup: Backup, members: dict[str, Member], draft: Path) -> None:
    missing = dict(members)
    everything = Limits()
    with shelf.open(backup, backup_files.PACK) as stream:
        for found, content in backup_extraction.members(stream, limits=everything):
            member = missing.pop(found.name, None)
            if member is not None and content is not None:
                if found.size != member.size_bytes:
                    raise Unusable("a file in the backup is not what was written", rule="backup_member")
                path = draft / contained(member.path)
                backup_extraction.make_folders(draft, path.parent, Account.caller())
                _write(path, member, content)
    if missing:
        raise Unusable(f"{len(missing)} files are not in backup {backup.id}", rule="backup_member")


def _write(path: Path, member: Member, content: IO[bytes]) -> None:
    digest = hashlib.sha256()
    backup_extraction.write_new(path, content, mode=0o600, owner=Account.caller(), digest=digest.update)
    if digest.hexdigest() != member.sha256:
        raise Unusable("a file in the backup is not what was written", rule="backup_member", field=member.name)
    os.utime(path, ns=(member.modified_ns, member.modified_ns))


def _put_in_place(draft: Path, into: Path, *, at: datetime) -> Path | None:
    """Let the new folder take the place of what is there, in one step; what was there is kept beside unless empty.

    The draft has the name under which the other is kept before they are exchanged: from then on nobody sweeps it.
    """
    if not into.exists():
        draft.rename(into)
        sync_folder(into.parent)
        return None
    was_empty = not any(into.iterdir())
    kept_as = into.with_name(f"{into.name}.pre-restore-{at:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}")
    draft.rename(kept_as)
    try:
        _exchange(kept_as, into)
    except OSError:
        shutil.rmtree(kept_as, ignore_errors=True)
        raise
    failpoints.reach(Point.BACKUP_RESTORE_SWAPPED)
    if was_empty:
        kept_as.rmdir()
    sync_folder(into.parent)
    return None if was_empty else kept_as


def _exchange(one: Path, other: Path) -> None:
    """Let two folders exchange their names at once.

    Raises:
        OSError: the file system cannot.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, os.strerror(code))
