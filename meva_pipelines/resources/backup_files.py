"""Backups of folders: everything, or the files that changed since the parent. Restoring is `backup_files_restoring`.

    files.tar    the content of this backup's own files, in a plain tar
    index        every file of the sources, as `backup_index` tells

A source that is not there fails the backup. Links, devices and files whose names no restore would accept are left out
and counted; empty folders are not kept.
"""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from meva_pipelines.domain.backup.members import Member, is_contained
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import backup_index, backup_server, backup_taking
from meva_pipelines.resources.backup_index import INDEX, Listing, Marks
from meva_pipelines.resources.backup_sealing import CHUNK_BYTES
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.backup_targets import Folder, Target
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

PACK = "files.tar"
SUBJECT = "files"
_WHOLE_IN_MEMORY = 4 << 20
_BLOCK = 512


@dataclass(slots=True)
class Packing:
    """A file backup under way: what its parent has, where content and lines go; what was packed and left out."""

    backup_id: str
    known: Mapping[Marks, bytes]
    write: Callable[[bytes], object]
    listing: Listing
    packed_files: int = 0
    packed_bytes: int = 0
    left_out: int = 0


def take(postgres: Postgres, vault: Vault, request: Request, *, extent: Extent) -> Backup:
    """Back the sources up, or what changed in them since the newest sound backup of files.

    Raises:
        Refused: no source is set, one is not there, or it holds a target; an increment has no parent.
        Unavailable: a file cannot be read or changes while it is read; every target failed or has no room; another
            backup is under way.
    """
    sources = vault.source_folders()
    _demand_sources(sources, [shelf.target for shelf in vault.shelves()])
    size = sum(map(_bytes_below, sources.values())) if extent is Extent.FULL else 0
    with (
        backup_taking.taking(
            postgres, vault, request, method=Method.FILES, extent=extent, subject=SUBJECT, data_bytes=size
        ) as (draft, shelf),
        postgres.connect(Role.READER, work="backup files", autocommit=True) as connection,
    ):
        parent = (
            backup_taking.parent(connection, vault, method=Method.FILES, subject=SUBJECT)
            if extent is Extent.INCREMENTAL
            else None
        )
        known = backup_index.known(*parent) if parent else {}
        with shelf.part(draft.id, PACK) as pack, shelf.part(draft.id, INDEX) as listed:
            packing = Packing(draft.id, known, pack.write, Listing(listed.write))
            _pack(sources, packing)
        backup = Backup(
            **draft.facts(),
            completed_at=backup_server.clock(connection),
            covers_until=draft.created_at,
            parts=(pack.finished(), listed.finished()),
            key_id=shelf.keyring.sealing_id,
            parent_id=parent[1].id if parent else None,
            parent_digest=parent[1].digest if parent else None,
            source_paths=tuple(str(folder) for folder in sources.values()),
            data_types=tuple(sources),
            figures={
                "files": packing.listing.files,
                "packed_files": packing.packed_files,
                "packed_bytes": packing.packed_bytes,
                "left_out": packing.left_out,
            },
        )
        shelf.finish(backup)
        return backup


def has_parent(postgres: Postgres, vault: Vault) -> bool:
    """Whether there is a backup of files that an increment can be made on."""
    with postgres.connect(Role.READER, work="find parent", autocommit=True) as connection:
        try:
            backup_taking.parent(connection, vault, method=Method.FILES, subject=SUBJECT)
        except Refused:
            return False
    return True


def _demand_sources(sources: Mapping[str, Path], targets: Iterable[Target]) -> None:
    if not sources:
        raise Refused("no folder is set to be backed up")
    missing = [f"{name} ({folder})" for name, folder in sources.items() if not folder.is_dir()]
    if missing:
        raise Refused(f"these sources are not there, so nothing was backed up: {', '.join(missing)}")
    for target in targets:
        holds = [
            name
            for name, folder in sources.items()
            if isinstance(target, Folder) and target.root.resolve().is_relative_to(folder.resolve())
        ]
        if holds:
            raise Refused(f"target {target.name} lies inside the source {holds[0]}: a backup would hold itself")


def _bytes_below(root: Path) -> int:
    """Return the bytes of the files below a folder, as far as they are there while it is walked."""
    size = 0
    for _, _, names, descriptor in os.fwalk(root):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
    return size


def _pack(sources: Mapping[str, Path], packing: Packing) -> None:
    for source, root in sources.items():
        for name, entry in _walked(root, packing):
            _take_file(source, name, entry, packing)
    packing.write(b"\0" * (2 * _BLOCK))
    packing.listing.finish()


def _walked(root: Path, packing: Packing) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield every regular file below a root with its name, folder by folder, in order of names."""
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue  # gone since its parent was listed
        except OSError as error:
            raise Unavailable(f"{folder} cannot be read: {error.strerror}") from error
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                waiting.append((folder / entry.name, f"{prefix}{entry.name}/"))
            elif entry.is_file(follow_symlinks=False):
                yield f"{prefix}{entry.name}", entry
            else:
                packing.left_out += 1


def _take_file(source: str, name: str, entry: "os.DirEntry[str]", packing: Packing) -> None:
    """Index one file; its content is packed unless the parent has it."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    line = packing.known.get(backup_index.marks(f"{source}/{name}", found))
    if line is not None:
        packing.listing.add(line)
        return
    if not is_contained(name):
        packing.left_out += 1
        return
    try:
        size, sha256 = _packed(Path(entry.path), f"{source}/{name}", found, packing.write)
    except FileNotFoundError:
        return
    packing.packed_files += 1
    packing.packed_bytes += size
    member = Member(
        source=source,
        name=name,
        size_bytes=size,
        modified_ns=found.st_mtime_ns,
        changed_ns=found.st_ctime_ns,
        inode=found.st_ino,
        mode=stat.S_IMODE(found.st_mode),
        sha256=sha256,
        pack=packing.backup_id,
    )
    packing.listing.enter(member)


def _packed(path: Path, name: str, found: os.stat_result, write: Callable[[bytes], object]) -> tuple[int, str]:
    """Write a file as a member of a tar and return its size and SHA-256.

    Raises:
        Unavailable: it cannot be read, or became shorter while it was read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if found.st_size <= _WHOLE_IN_MEMORY:
                return _packed_whole(file, name, found, write)
            return _packed_streaming(file, name, found, write)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error


def _packed_whole(
    file: io.FileIO, name: str, found: os.stat_result, write: Callable[[bytes], object]
) -> tuple[int, str]:
    content = file.read(_WHOLE_IN_MEMORY + 1)
    write(_header(name, len(content), found) + content + b"\0" * (-len(content) % _BLOCK))
    return len(content), hashlib.sha256(content).hexdigest()


def _packed_streaming(
    file: io.FileIO, name: str, found: os.stat_result, write: Callable[[bytes], object]
) -> tuple[int, str]:
    size = os.fstat(file.fileno()).st_size
    digest, left = hashlib.sha256(), size
    write(_header(name, size, found))
    while left:
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise Unavailable(f"{name} became shorter while it was read; the next run takes it")
        write(chunk)
        digest.update(chunk)
        left -= len(chunk)
    write(b"\0" * (-size % _BLOCK))
    return size, digest.hexdigest()


def _header(name: str, size: int, found: os.stat_result) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, stat.S_IMODE(found.st_mode) & 0o777, int(found.st_mtime)
    return member.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
