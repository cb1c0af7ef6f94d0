"""The index of a backup of files: every file of the sources, one JSON line each. What is packed is `backup_files`'s.

A line says where a file was, what gives a change of it away, its SHA-256, and which backup has its content. An
increment takes over the lines of unchanged files as they are.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from os import stat_result
from typing import IO, Any

import orjson

from meva_pipelines.domain.backup.members import Member
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.failures import Unusable
from meva_pipelines.resources.backup_shelves import Shelf

INDEX = "index"
_LINES_AT_ONCE = 1_000


Marks = tuple[str, int, int, int, int]
"""Source and name, size in bytes, modification and change time in nanoseconds, inode: what an unchanged file keeps.

The change time of the inode is set by the kernel alone: a file that was given its old times back differs.
"""


def marks(path: str, found: stat_result) -> Marks:
    """Return the marks of a file as it is found."""
    return path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


class Listing:
    """The index of a backup that is being taken; `files` counts the lines."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Write lines in batches, because each piece that is sealed costs a call of the compression."""
        self.files = 0
        self._write = write
        self._waiting: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Take the line of a file over from the parent."""
        self.files += 1
        self._waiting.append(line)
        if len(self._waiting) == _LINES_AT_ONCE:
            self.finish()

    def enter(self, member: Member) -> None:
        """Write the line of a file that was packed now."""
        self.add(json.dumps({name: getattr(member, name) for name in Member.__slots__}).encode() + b"\n")

    def finish(self) -> None:
        """Write what waits."""
        self._write(b"".join(self._waiting))
        self._waiting.clear()


def known(shelf: Shelf, parent: Backup) -> dict[Marks, bytes]:
    """Return the lines of the files that the parent of an increment has, by the marks of the files.

    Those that changed after it was begun are left out: one may have changed once more in the tick of the kernel's
    clock in which it was read.

    Raises:
        Unusable: the index is not what was written.
        Unavailable: the target does not answer.
    """
    begun_ns = int(parent.created_at.timestamp() * 1e9)
    with _entries(shelf, parent) as entries:
        return {
            (f"{of['source']}/{of['name']}", of["size_bytes"], of["modified_ns"], of["changed_ns"], of["inode"]): line
            for line, of in entries
            if of["changed_ns"] < begun_ns
        }


def members(shelf: Shelf, backup: Backup) -> dict[str, Member]:
    """Return every file of a backup by its source and name.

    Raises:
        Unusable: the index is not what was written.
        Unavailable: the target does not answer.
    """
    with _entries(shelf, backup) as entries:
        return {member.path: member for member in (Member(**entry) for _, entry in entries)}


@contextmanager
def _entries(shelf: Shelf, backup: Backup) -> Iterator[Iterator[tuple[bytes, dict[str, Any]]]]:
    with shelf.open(backup, INDEX) as data:
        try:
            yield _parsed(data)
        except (ValueError, TypeError, KeyError) as error:
            raise Unusable(f"the index of backup {backup.id} cannot be read", rule="backup_index") from error


def _parsed(data: IO[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    while lines := list(islice(data, _LINES_AT_ONCE)):
        try:
            entries = orjson.loads(b"[" + b",".join(lines) + b"]")
        except orjson.JSONDecodeError:  # a name that is no UTF-8 is written with surrogates, which orjson refuses
            entries = list(map(json.loads, lines))
        yield from zip(lines, entries, strict=True)
