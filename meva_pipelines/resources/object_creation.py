"""New objects: written beside and linked on a disk, so that a name appears whole or not at all. How errors are told.

Which objects there are, and those on S3, is `object_store`'s.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from meva_pipelines.domain.failures import StoreUnavailable
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point

PARTIAL: Final = ".partial"
"""End of the names of what is not whole yet."""


class Creation:
    """The stream of a new object, which counts and hashes what passes; `is_new` is False where its name was taken."""

    def __init__(self, key: str, write: Callable[[bytes | memoryview], object]) -> None:
        """Pass everything on to `write`."""
        self.size, self.is_new, self.closed = 0, True, False
        self._key, self._write, self._digest = key, write, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of what passed, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Take more content and return how many bytes that was.

        Raises:
            StoreUnavailable: the store cannot take it.
        """
        with explained("write", self._key):
            self._write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes have passed."""
        return self.size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The object is closed by who lends the stream."""


def write_locally(root: Path, path: Path, content: bytes) -> None:
    """Write beside, fsync, link to the final name, fsync the folder: the name appears whole or not at all."""
    with _beside(root, path) as (file, partial):
        file.write(content)
        _flush(file)
        failpoints.reach(Point.OBJECT_BEFORE_RENAME)
        os.link(partial, path)
    _sync_folder(path.parent)


@contextmanager
def locally(root: Path, path: Path, key: str) -> Iterator[Creation]:
    """Lend the stream of a new file, which appears when the block ends; raises as `ObjectStore.creating`."""
    with explained("write", key), _beside(root, path) as (file, partial):
        creation = Creation(key, file.write)
        yield creation
        _flush(file)
        failpoints.reach(Point.OBJECT_BEFORE_LINK)
        try:
            os.link(partial, path)
        except FileExistsError:
            creation.is_new = False
    _sync_folder(path.parent)


@contextmanager
def _beside(root: Path, path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Lend a file beside the final name, which is gone afterwards."""
    _make_private(root, path.parent)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=PARTIAL, dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, partial
    finally:
        partial.unlink(missing_ok=True)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


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
def explained(verb: str, key: str) -> Iterator[None]:
    """Raise what an operating system says of an object as StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"cannot {verb} object {key}: {error.strerror or error}") from error
