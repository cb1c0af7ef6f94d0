"""The object store: immutable objects under one root, on a local disk or S3. No object is ever overwritten."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
from pydantic import Field

from meva_pipelines.domain.failures import Refused, StoreUnavailable
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point

if TYPE_CHECKING:
    from pyarrow import fs

_PARTIAL = ".partial"
_PARTIAL_TTL_S = 86_400.0
_CHECKSUMS = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
"""Settings of the AWS library, which can be given in no other way: without them it sends every object in chunks with a
checksum at the end and no length, which stores other than Amazon's refuse (HTTP 411)."""


class ObjectStore(dg.ConfigurableResource["ObjectStore"]):
    """Objects by key below one root. A key is relative, written with slashes, and names one object for ever."""

    url: str = Field(description="Root: file:///folder or s3://bucket/prefix", repr=False)

    def put(self, key: str, content: bytes) -> str:
        """Write an object and return its URI. Writing the same content again is a no-op.

        Raises:
            Refused: the key exists with other content, or leaves the root.
            StoreUnavailable: the store cannot take it (full disk, no permission, no connection).
        """
        filesystem, root = self._open()
        path = _inside(root, key)
        with _explained("write", key):
            if _size(filesystem, path) is not None:
                return self._same(key, content)
            if (folder := self._folder()) is not None:
                try:
                    _write_locally(folder, Path(path), content)
                except FileExistsError:  # another writer was first
                    return self._same(key, content)
            else:
                with filesystem.open_output_stream(path, compression=None) as stream:
                    stream.write(content)
        return self.uri(key)

    def _same(self, key: str, content: bytes) -> str:
        if self.get(key) != content:
            raise Refused(f"object {key} exists with other content: objects are never overwritten")
        return self.uri(key)

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            StoreUnavailable: it is not there, or the store does not answer.
        """
        filesystem, root = self._open()
        with (
            _explained("read", key),
            filesystem.open_input_stream(_inside(root, key), compression=None) as stream,
        ):
            return bytes(stream.read())

    def discard(self, prefix: str) -> None:
        """Remove everything below a prefix, which nobody refers to any more. Idempotent.

        Raises:
            Refused: the prefix leaves the root.
            Unavailable: the store does not answer.
        """
        from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who touch objects

        filesystem, root = self._open()
        path = _inside(root, prefix)
        with _explained("remove", prefix):
            if filesystem.get_file_info(path).type is not fs.FileType.NotFound:
                filesystem.delete_dir(path)

    def discard_partials(self, prefix: str) -> int:
        """Remove what writers that died left half-written below a prefix more than a day ago. Returns how many files.

        A remote store shows an object whole or not at all and has none.
        """
        folder = self._folder()
        if folder is None:
            return 0
        oldest = time.time() - _PARTIAL_TTL_S
        with _explained("clean up", prefix):
            left = [path for path in folder.joinpath(prefix).rglob(f".*{_PARTIAL}") if path.stat().st_mtime < oldest]
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    def uri(self, key: str) -> str:
        """Return where an object is, without credentials."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/{key}"

    def _folder(self) -> Path | None:
        """Return the local folder, or None for a remote store."""
        parts = urlsplit(self.url)
        return Path(url2pathname(parts.path)) if parts.scheme == "file" else None

    def _open(self) -> "tuple[fs.FileSystem, str]":
        from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who touch objects

        folder = self._folder()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return fs.LocalFileSystem(), str(folder)
        for setting in _CHECKSUMS:
            os.environ.setdefault(setting, "when_required")
        filesystem, root = fs.FileSystem.from_uri(self.url)
        return filesystem, root


def _inside(root: str, key: str) -> str:
    parts = key.split("/")
    if not key or key.startswith("/") or any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise Refused(f"object key {key!r} does not stay below the root of the store")
    return f"{root.rstrip('/')}/{key}"


def _size(filesystem: "fs.FileSystem", path: str) -> int | None:
    size: int | None = filesystem.get_file_info(path).size
    return size


def _write_locally(root: Path, path: Path, content: bytes) -> None:
    """Write beside, fsync, link to the final name, fsync the folder: the name appears whole or not at all."""
    _make_private(root, path.parent)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=_PARTIAL, dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        failpoints.reach(Point.OBJECT_BEFORE_RENAME)
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _make_private(root: Path, folder: Path) -> None:
    """Create the folders below the root for nobody else to read, each on disk before anything lies in it."""
    missing = [step for step in (folder, *folder.parents) if step.is_relative_to(root) and not step.exists()]
    for step in reversed(missing):
        step.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(step.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"cannot {verb} object {key}: {error.strerror or error}") from error
