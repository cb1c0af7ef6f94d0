"""Names and limits of what is taken out of a backup of files. Nothing here touches a file.

A name is the path below the root of its source, with slashes. Whatever could leave the root, stand for a device or
mean something else on another system is refused, never mended.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from meva_pipelines.domain.failures import Unusable

LONGEST_NAME_BYTES = 4_096
_ODD = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{0,2}(?:/|\Z)|^.:", re.DOTALL)
"""A control character, a backslash; a part that is empty, `.` or `..`; a drive letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a restore may write: files, bytes of one file, bytes in all."""

    files: int = 5_000_000
    file_bytes: int = 1 << 40
    total_bytes: int = 1 << 43


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in a backup: where it was, and where its content lies (`pack` is the id of the backup that holds it)."""

    source: str
    name: str
    size_bytes: int
    modified_ns: int
    changed_ns: int
    inode: int
    mode: int
    sha256: str
    pack: str

    @property
    def path(self) -> str:
        """Source and name: unique in a backup."""
        return f"{self.source}/{self.name}"


def contained(name: str) -> PurePosixPath:
    """Return a member name as a relative path that stays below whatever root it is put.

    Raises:
        Unusable: it is empty, absolute, climbs up, has a drive letter, a backslash, a control character or is too long.
    """
    if not is_contained(name):
        raise Unusable("a member of the backup has a name that does not stay below its root", rule="member_name")
    return PurePosixPath(name)


def is_contained(name: str) -> bool:
    """Whether `contained` takes a name."""
    return bool(name) and not _ODD.search(name) and len(name.encode("utf-8", "surrogateescape")) <= LONGEST_NAME_BYTES


def is_chosen(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path is asked for: it equals a pattern, lies below one, or matches it as a glob. No pattern: all."""
    return not patterns or any(
        path == pattern.rstrip("/") or path.startswith(f"{pattern.rstrip('/')}/") or fnmatchcase(path, pattern)
        for pattern in patterns
    )
