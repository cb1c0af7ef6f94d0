"""The object store: immutable objects under one root, on a local disk or S3. No object is ever overwritten."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
from pydantic import Field

from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import failpoints, object_creation
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_creation import PARTIAL, Creation, explained

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

_PARTIAL_TTL_S = 86_400.0
_PIECE_BYTES = 1_048_576
_CHECKSUMS = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
"""Settings of the AWS library, which can be given in no other way: without them it sends every object in chunks with a
checksum at the end and no length, which stores other than Amazon's refuse (HTTP 411)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as its store lists it."""

    key: str
    size: int
    modified_at: datetime


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
        with explained("write", key):
            if _size(filesystem, path) is not None:
                return self._same(key, content)
            if (folder := self._folder()) is not None:
                try:
                    object_creation.write_locally(folder, Path(path), content)
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
            explained("read", key),
            filesystem.open_input_stream(_inside(root, key), compression=None) as stream,
        ):
            return bytes(stream.read())

    @contextmanager
    def creating(self, key: str) -> Iterator[Creation]:
        """Lend a stream for a new object: it is there, whole, once the block has ended, and not there when it raises.

        On a disk it is written beside, flushed and linked; on S3 it is put under the condition that no object of its
        name is there. The same content again is a no-op.

        Raises:
            Refused: the key exists with other content, or leaves the root.
            StoreUnavailable: the store cannot take it (full disk, no permission, no connection).
        """
        _, root = self._open()
        path, folder = Path(_inside(root, key)), self._folder()
        with (
            object_creation.locally(folder, path, key)
            if folder is not None
            else self._remotely_created(key) as creation
        ):
            yield creation
        if not creation.is_new and self.sha256(key) != creation.sha256:
            raise Refused(f"object {key} exists with other content: objects are never overwritten")

    @contextmanager
    def _remotely_created(self, key: str) -> Iterator[Creation]:
        from meva_pipelines.resources.object_uploads import Bucket, Upload  # noqa: PLC0415 - boto3 costs 30 MB

        upload = Upload(Bucket(self.url), key)
        creation = Creation(key, upload.write)
        try:
            yield creation
            failpoints.reach(Point.OBJECT_BEFORE_LINK)
            creation.is_new = upload.complete()
        except BaseException:
            upload.abort()
            raise

    @contextmanager
    def opened(self, key: str) -> Iterator["pa.NativeFile"]:
        """Lend an object as a file that can be read anywhere.

        Raises:
            StoreUnavailable: it is not there, or the store does not answer.
        """
        filesystem, root = self._open()
        with explained("read", key):
            file = filesystem.open_input_file(_inside(root, key))
        with file:
            yield file

    def sha256(self, key: str) -> str:
        """Return the SHA-256 of an object in hexadecimal digits, read piece by piece.

        Raises:
            StoreUnavailable: it is not there, or the store does not answer.
        """
        digest = hashlib.sha256()
        with self.opened(key) as file, explained("read", key):
            while piece := file.read_buffer(_PIECE_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    def listed(self, prefix: str) -> "list[Listed]":
        """Return the objects below a prefix, ordered by key; none where nothing was ever written.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who touch objects

        filesystem, root = self._open()
        selector = fs.FileSelector(_inside(root, prefix), recursive=True, allow_not_found=True)
        with explained("list", prefix):
            found = filesystem.get_file_info(selector)
        objects = [
            Listed(one.path.removeprefix(f"{root.rstrip('/')}/"), one.size, one.mtime.astimezone(UTC))
            for one in found
            if one.type is fs.FileType.File and not one.base_name.endswith(PARTIAL)
        ]
        return sorted(objects, key=lambda one: one.key)

    def remove(self, key: str) -> None:
        """Remove an object that nobody refers to any more; none there is no error.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who touch objects

        filesystem, root = self._open()
        path = _inside(root, key)
        with explained("remove", key):
            if filesystem.get_file_info(path).type is not fs.FileType.NotFound:
                filesystem.delete_file(path)

    def discard(self, prefix: str) -> None:
        """Remove everything below a prefix, which nobody refers to any more. Idempotent.

        Raises:
            Refused: the prefix leaves the root.
            Unavailable: the store does not answer.
        """
        from pyarrow import fs  # noqa: PLC0415 - costs 40 MB: only for those who touch objects

        filesystem, root = self._open()
        path = _inside(root, prefix)
        with explained("remove", prefix):
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
        with explained("clean up", prefix):
            left = [path for path in folder.joinpath(prefix).rglob(f".*{PARTIAL}") if path.stat().st_mtime < oldest]
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    def discard_uploads(self, prefix: str) -> int:
        """End uploads of large objects below a prefix that stopped more than a day ago. Returns how many; none locally.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        if self._folder() is not None:
            return 0
        from meva_pipelines.resources.object_uploads import Bucket  # noqa: PLC0415 - boto3 costs 30 MB

        return Bucket(self.url).discard_uploads(prefix, older_than=timedelta(seconds=_PARTIAL_TTL_S))

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
