"""An archive taken apart while it streams: every name checked, every limit enforced as bytes arrive.

Regular files and folders only. Links, devices and anything else are refused, and so is a name that would leave the
folder; the folder is the caller's, and new.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from meva_pipelines.domain.backup.members import Limits, contained
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.resources.postgres_binaries import Account

CHUNK_BYTES = 1 << 20
_TAR_BYTES = 64 << 10
"""What tarfile reads ahead: it copies the rest at every member, and most files of a cluster are small."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came out of an archive."""

    files: int
    bytes: int


def members(stream: IO[bytes], *, limits: Limits) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yield each member with its content (None for a folder), in order; each content is read before the next.

    Raises:
        Unusable: the archive is damaged, a member is neither file nor folder, or a name leaves the root.
        Refused: a limit is exceeded.
    """
    files = total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_TAR_BYTES) as archive:
            for member in archive:
                name_of(member)
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise Unusable("a member of the backup is neither a file nor a folder", rule="member_type")
                files, total = files + 1, total + member.size
                if files > limits.files or member.size > limits.file_bytes or total > limits.total_bytes:
                    raise Refused(f"the backup holds more than a restore may write: {limits}")
                yield member, archive.extractfile(member) if member.isreg() else None
                cast(Any, archive).members = []  # a stream is never rewound, and the list would grow for ever
    except tarfile.TarError as error:
        raise Unusable("an archive in the backup is damaged", rule="archive") from error
    while stream.read(CHUNK_BYTES):  # padding; the seal is checked at the very end
        pass


def extract(stream: IO[bytes], folder: Path, *, account: Account, limits: Limits) -> Taken:
    """Take an archive apart into a folder that this account owns.

    Raises:
        Unusable, Refused: as in `members`; what was written until then lies in the folder.
    """
    files = size = 0
    for member, content in members(stream, limits=limits):
        path = folder / name_of(member)
        make_folders(folder, path if content is None else path.parent, account)
        if content is None:
            continue
        size += write_new(path, content, mode=0o600, owner=account)
        files += 1
    return Taken(files, size)


def name_of(member: tarfile.TarInfo) -> PurePosixPath:
    """Return where a member belongs below its root; `./` in front, as pg_basebackup writes it, says nothing.

    Raises:
        Unusable: it would leave the root.
    """
    return contained(member.name.removeprefix("./").rstrip("/"))


def write_new(
    path: Path, content: IO[bytes], *, mode: int, owner: Account, digest: "Callable[[bytes], object] | None" = None
) -> int:
    """Write a new file, never through a link and never over another, and return its bytes.

    Raises:
        Unusable: there is a file of this name.
        Unavailable: it cannot be written, as on a full disk.
    """
    size = 0
    chunks = _chunks(content)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
                if digest is not None:
                    digest(chunk)
            if owner.uid != os.geteuid():
                os.fchown(file.fileno(), owner.uid, owner.gid)
    except FileExistsError:
        raise Unusable("two members of the backup have the same name", rule="member_name") from None
    except OSError as error:
        raise Unavailable(f"{path.parent} cannot be written: {error.strerror or error}") from error
    return size


def make_folders(root: Path, folder: Path, account: Account) -> None:
    """Make what is missing of the folders below a root, each for this account only."""
    if folder.is_dir():
        return
    steps = [step for step in (folder, *folder.parents) if step.is_relative_to(root) and not step.exists()]
    for step in reversed(steps):
        step.mkdir(mode=0o700)
        account.take(step)


def _chunks(content: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
    except tarfile.TarError as error:
        raise Unusable("an archive in the backup is damaged", rule="archive") from error
