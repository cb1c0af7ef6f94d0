"""The landing zone: folders into which people and machines drop files. Nothing here knows what is in a file.

One folder per subject; below it `taken/` and `refused/`, into which files are moved and from which nothing is ever
removed. Names of files are never trusted: no path is built from one before it was proved plain, and no symbolic
link is followed.
"""

import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
from pydantic import Field

from meva_pipelines.domain.failures import Refused, Rejected, Unavailable

TAKEN, REFUSED = "taken", "refused"
_OURS = frozenset({TAKEN, REFUSED})
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_ABANDONED_S = 3_600
_MAX_NAME_BYTES = 220
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file as it lies there; `identity` changes with its content as far as that can be told without reading."""

    name: str
    size: int
    modified_ns: int
    inode: int
    changed_ns: int = field(compare=False)
    """When it was moved here, copied here or changed last; a file may bring an older `modified_ns` along."""

    @property
    def modified_at(self) -> datetime:
        """When the file was last written, as the disk says."""
        return datetime.fromtimestamp(self.modified_ns / 1e9, UTC)

    @property
    def identity(self) -> str:
        """Name, size, time and inode as one text."""
        return f"{self.name}/{self.size}/{self.modified_ns}/{self.inode}"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What lies in a folder: files that have settled, oldest first; files still changing; entries left alone."""

    settled: tuple[Arrival, ...]
    changing: tuple[str, ...]
    ignored: tuple[str, ...]

    def is_changing(self, name: str) -> bool:
        """Tell whether a file of this name, as it is shown, still changes."""
        return _shown(name) in self.changing


class Landing(dg.ConfigurableResource["Landing"]):
    """The landing zone on a local or mounted disk."""

    url: str = Field(description="Root: file:///folder")
    settle_s: float = Field(default=30.0, ge=0, description="Seconds without a change after which a file has arrived")
    max_file_mb: int = Field(default=200, ge=1, le=2_000, description="Largest file that is read, in MB")

    def place(self, subject: str) -> str:
        """Return the folder of a subject, for people."""
        return str(self._folder(subject))

    def arrived(self, subject: str) -> Arrivals:
        """Look at a folder without reading a file; the folder is made when it is not there.

        Raises:
            Unavailable: the folder cannot be listed.
        """
        settled, changing, ignored = [], [], []
        with self._opened(subject) as folder:
            now_ns = time.time_ns()
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 - an open folder, which pathlib cannot list
                try:
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue  # moved meanwhile
                if name in _OURS:
                    continue
                age_s = abs(now_ns - found.st_mtime_ns) / 1e9
                is_unfinished = name.lower().endswith(_UNFINISHED)
                if why := _left_alone(name, found):
                    ignored.append(f"{_shown(name)} ({why})")
                elif is_unfinished and age_s > _ABANDONED_S:
                    ignored.append(f"{_shown(name)} (a download that was never finished)")
                elif is_unfinished or age_s < self.settle_s:
                    changing.append(_shown(name))
                else:
                    settled.append(_arrival(name, found))
        settled.sort(key=lambda arrival: (arrival.modified_ns, arrival.name))
        return Arrivals(tuple(settled), tuple(changing), tuple(ignored))

    def find(self, subject: str, name: str) -> Arrival | None:
        """Look for one file by its name; None when it is not there (any more).

        Raises:
            Refused: the name leaves the folder, or names a link, a folder or a device.
        """
        demand_plain(name)
        with self._opened(subject) as folder:
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return None
        if why := _left_alone(name, found):
            raise Refused(f"the file {_shown(name)!r} is refused: {why}")
        return _arrival(name, found)

    def read(self, subject: str, arrival: Arrival) -> bytes:
        """Read a whole file.

        Raises:
            Rejected: the file is larger than is read.
            Unavailable: it is another file by now, it changed while it was read, or the disk does not answer.
        """
        limit = self.max_file_mb * _MB
        if arrival.size > limit:
            raise Rejected(f"the file has {arrival.size / _MB:,.0f} MB, at most {self.max_file_mb} MB are read")
        with self._opened(subject) as folder:
            descriptor = os.open(arrival.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                is_same = _arrival(arrival.name, os.fstat(descriptor)) == arrival
                content = file.read(limit + 1) if is_same else b""
                is_same = is_same and _arrival(arrival.name, os.fstat(descriptor)) == arrival
        if not is_same or len(content) != arrival.size:
            raise Unavailable(f"{_shown(arrival.name)} changed while it was read; it is taken when it has settled")
        return content

    def take(self, subject: str, arrival: Arrival, *, sha256: str) -> str | None:
        """Move a file that was read to `taken/` and return its name there; None when it is another file by now."""
        with self._opened(subject) as folder:
            return self._moved(folder, arrival, f"{TAKEN}/{sha256[:16]} {arrival.name}")

    def refuse(self, subject: str, arrival: Arrival, *, mark: str, reason: str) -> str | None:
        """Move a file to `refused/` with its reason beside it, and return its name there; None as for `take`.

        `mark` goes in front of the name and keeps files of one name apart.
        """
        target = f"{REFUSED}/{mark} {arrival.name}"
        with self._opened(subject) as folder:
            descriptor = os.open(
                f"{target}.reason.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=folder
            )
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{reason}\n")
            return self._moved(folder, arrival, target)

    @staticmethod
    def _moved(folder: int, arrival: Arrival, target: str) -> str | None:
        try:
            found = os.stat(arrival.name, dir_fd=folder, follow_symlinks=False)
            if _arrival(arrival.name, found) != arrival:
                return None
            os.rename(arrival.name, target, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            return None
        os.fsync(folder)
        return target

    def _folder(self, subject: str) -> Path:
        parts = urlsplit(self.url)
        if parts.scheme != "file":
            raise Refused(f"a landing zone is a folder (file:///...), not {parts.scheme or 'a path'}://")
        return Path(url2pathname(parts.path)) / subject

    @contextmanager
    def _opened(self, subject: str) -> Iterator[int]:
        """Lend the folder as a descriptor: names are looked up in it and nowhere else."""
        path = self._folder(subject)
        try:
            for below in _OURS:
                (path / below).mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise Unavailable(f"the landing zone of {subject} cannot be opened: {error.strerror}") from None
        try:
            yield folder
        except OSError as error:
            raise Unavailable(f"the landing zone of {subject} does not answer: {error.strerror}") from None
        finally:
            os.close(folder)


def demand_plain(name: str) -> None:
    """Refuse a name that is not that of a visible file directly in the folder, however it is written.

    Raises:
        Refused: it is empty, hidden, too long, holds a separator or a control character, or looks like one that does.
    """
    if why := _not_plain(name):
        raise Refused(f"the file name {_shown(name)!r} is refused: {why}")


def _not_plain(name: str) -> str | None:
    compatible = unicodedata.normalize("NFKC", name)
    if not name or any(form.startswith((".", "~")) for form in (name, compatible)):
        return "hidden or empty name"
    if any(mark in form for form in (name, compatible) for mark in "/\\:"):
        return "name with a separator"
    if any(unicodedata.category(letter) in {"Cc", "Cf", "Cs"} for letter in name):
        return "name with invisible characters"
    return "name too long" if len(name.encode()) > _MAX_NAME_BYTES else None


def _left_alone(name: str, found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "no ordinary file"
    return _not_plain(name)


def _arrival(name: str, found: os.stat_result) -> Arrival:
    return Arrival(name, found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def _shown(name: str) -> str:
    """Return a name as it can be shown: printable, at most 80 characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)[:80]
