"""Places where backups lie: folders and S3 buckets, as one kind of thing. What the objects mean is `backup_shelves`.

An object appears whole or not at all in a folder (written beside, flushed, renamed; mode 0600 in folders of 0700) and
on S3 (a multipart upload is invisible until it ends). Removing is the caller's decision, never this module's.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from meva_pipelines.domain.backup.members import contained
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources.postgres_cluster import sync_folder

if TYPE_CHECKING:
    from pyarrow import fs

PARTIAL = ".partial"
CHECKSUM_SETTINGS = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
"""The AWS library takes these from the environment only: without them stores other than Amazon's answer HTTP 411."""


class Target(Protocol):
    """A place for objects by key; keys are relative, with slashes."""

    @property
    def name(self) -> str:
        """What people call it: local, archive, emergency."""

    @property
    def place(self) -> str:
        """Where it is, without credentials."""

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        """Lend a stream; the object is there when the block ends, and not there when it raises."""

    @contextmanager
    def reading(self, key: str) -> Iterator[IO[bytes]]:
        """Lend the content of an object as a stream."""

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly below a prefix; none where nothing was ever written."""

    def tree(self, prefix: str) -> dict[str, list[str]]:
        """Return `folders` with the `names` in each, in few requests."""

    def is_absent(self, prefix: str) -> bool:
        """Whether not even the folder of a prefix is there, as when a disk is not mounted; a bucket never says so."""

    def names(self, prefix: str) -> list[str]:
        """Return the names of the objects directly below a prefix, half-written ones included."""

    def remove(self, key: str) -> None:
        """Remove an object; none there is no error."""

    def remove_folder(self, prefix: str) -> None:
        """Remove what is left of an emptied folder."""

    def free_bytes(self) -> int | None:
        """Return the free space, or None where the place does not tell."""


def target(name: str, url: str) -> Target:
    """Return the target at a URL: file:///folder or s3://bucket/prefix.

    Raises:
        Refused: another scheme.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Folder(name, Path(url2pathname(parts.path)))
    if parts.scheme == "s3":
        return Bucket(name, url)
    raise Refused(f"backup target {name}: {parts.scheme or 'no scheme'} is not file or s3; see MEVA_BACKUP_URL")


def content(target: Target, key: str, *, at_most: int) -> bytes:
    """Return a small object.

    Raises:
        Unavailable: it is not there, or the place does not answer.
        Refused: it is larger than `at_most` bytes.
    """
    with target.reading(key) as stream:
        found = stream.read(at_most + 1)
    if len(found) > at_most:
        raise Refused(f"{key} on {target.name} is larger than the {at_most:,} bytes that such an object has")
    return found


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the local disk, or of a mounted one."""

    name: str
    root: Path

    @property
    def place(self) -> str:
        """The folder as a URL."""
        return self.root.as_uri()

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        """Write beside, flush to disk, rename, flush the folder."""
        with self._explained("write", key):
            path = self._path(key)
            _make_private(self.root, path.parent)
            partial = path.with_name(f".{path.name}{PARTIAL}")
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            try:
                with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            sync_folder(path.parent)

    @contextmanager
    def reading(self, key: str) -> Iterator[IO[bytes]]:
        """Lend the file."""
        with self._explained("read", key), self._path(key).open("rb") as file:
            yield file

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the sub-folders."""
        return [path.name for path in self._listed(prefix) if path.is_dir()]

    def tree(self, prefix: str) -> dict[str, list[str]]:
        """Return the names of the sub-folders with those of their files."""
        return {folder: self.names(f"{prefix}/{folder}") for folder in self.folders(prefix)}

    def is_absent(self, prefix: str) -> bool:
        """Whether the folder is not there."""
        return not self._path(prefix).is_dir()

    def names(self, prefix: str) -> list[str]:
        """Return the names of the files."""
        return [path.name for path in self._listed(prefix) if path.is_file()]

    def remove(self, key: str) -> None:
        """Remove a file."""
        with self._explained("remove", key):
            self._path(key).unlink(missing_ok=True)

    def remove_folder(self, prefix: str) -> None:
        """Remove a folder that has become empty."""
        with self._explained("remove", prefix):
            path = self._path(prefix)
            if path.is_dir():
                path.rmdir()
                sync_folder(path.parent)

    def free_bytes(self) -> int | None:
        """Return what the file system has left for this account."""
        with self._explained("measure", "its free space"):
            _make_private(self.root.parent, self.root)
            return shutil.disk_usage(self.root).free

    def _path(self, key: str) -> Path:
        return self.root / contained(key)

    def _listed(self, prefix: str) -> list[Path]:
        with self._explained("list", prefix):
            folder = self._path(prefix)
            return sorted(folder.iterdir()) if folder.exists() else []

    @contextmanager
    def _explained(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = "the disk is full: " if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else ""
            raise Unavailable(f"target {self.name} cannot {verb} {key}: {full}{error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of S3 or of a server that speaks S3."""

    name: str
    url: str

    @property
    def place(self) -> str:
        """Bucket and prefix, without credentials and options."""
        parts = urlsplit(self.url)
        return f"s3://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        """Upload in parts; what a raising block leaves behind is removed."""
        with self._explained("write", key):
            filesystem, path = self._open(key)
            stream = filesystem.open_output_stream(path, compression=None)
            try:
                yield stream
            except BaseException:
                stream.close()
                filesystem.delete_file(path)
                raise
            stream.close()

    @contextmanager
    def reading(self, key: str) -> Iterator[IO[bytes]]:
        """Lend the object as it comes."""
        with self._explained("read", key):
            filesystem, path = self._open(key)
            with filesystem.open_input_stream(path, compression=None, buffer_size=1 << 20) as stream:
                yield stream

    def folders(self, prefix: str) -> list[str]:
        """Return the common prefixes below a prefix."""
        return [info.base_name for info in self._listed(prefix) if not info.is_file]

    def tree(self, prefix: str) -> dict[str, list[str]]:
        """Return the common prefixes with the objects below each: one request for a thousand objects."""
        listed = self._listed(prefix, recursive=True)
        _, root = self._open(prefix)
        found: dict[str, list[str]] = {}
        for info in listed:
            folder, *below = info.path.removeprefix(f"{root}/").split("/")
            if len(below) == (1 if info.is_file else 0):
                found.setdefault(folder, []).extend(below)
        return found

    def is_absent(self, prefix: str) -> bool:  # noqa: ARG002 - a bucket has no folders that could be missing
        """A bucket that answers is there."""
        return False

    def names(self, prefix: str) -> list[str]:
        """Return the names of the objects below a prefix."""
        return [info.base_name for info in self._listed(prefix) if info.is_file]

    def remove(self, key: str) -> None:
        """Remove an object."""
        with self._explained("remove", key):
            filesystem, path = self._open(key)
            if filesystem.get_file_info(path).is_file:
                filesystem.delete_file(path)

    def remove_folder(self, prefix: str) -> None:
        """Remove the marker object that stands for an empty folder, if there is one."""
        with self._explained("remove", prefix):
            filesystem, path = self._open(prefix)
            if not self.names(prefix):
                filesystem.delete_dir(path)

    def free_bytes(self) -> int | None:
        """A bucket does not tell."""
        return None

    def _listed(self, prefix: str, *, recursive: bool = False) -> "list[fs.FileInfo]":
        from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who use S3

        with self._explained("list", prefix):
            filesystem, path = self._open(prefix)
            selector = fs.FileSelector(path, allow_not_found=True, recursive=recursive)
            return sorted(filesystem.get_file_info(selector), key=attrgetter("path"))

    def _open(self, key: str) -> "tuple[fs.FileSystem, str]":
        filesystem, root = _client(self.url)
        return filesystem, f"{root.rstrip('/')}/{contained(key)}"

    @contextmanager
    def _explained(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = str(error).split(" Detail: ")[0]
            raise Unavailable(f"target {self.name} cannot {verb} {key}: {reason[:300]}") from error


@lru_cache(maxsize=8)
def _client(url: str) -> "tuple[fs.FileSystem, str]":
    """Return the client of a bucket and the path in it; one for all, so that its connections are used again."""
    from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who use S3

    for setting in CHECKSUM_SETTINGS:
        os.environ.setdefault(setting, "when_required")
    filesystem, root = fs.FileSystem.from_uri(url)
    return filesystem, str(root)


def _make_private(root: Path, folder: Path) -> None:
    """Make the folders from the root on, for nobody else to read; parents of the root are made as usual."""
    root.parent.mkdir(parents=True, exist_ok=True)
    steps = [step for step in (folder, *folder.parents) if step.is_relative_to(root)]
    for step in reversed(steps):
        if not step.exists():
            step.mkdir(mode=0o700, exist_ok=True)
            sync_folder(step.parent)
