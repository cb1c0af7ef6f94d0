"""Positions and files of the write-ahead log: names, order and gaps. Nothing here opens a segment."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meva_pipelines.domain.failures import Unusable

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")


def position(text: str) -> int:
    """Return a log sequence number as a count of bytes.

    Raises:
        Unusable: the text is no position (`XXXXXXXX/XXXXXXXX`).
    """
    found = _LSN.fullmatch(text)
    if found is None:
        raise Unusable(f"{text[:40]!r} is no position in the write-ahead log", rule="wal_position")
    return (int(found[1], 16) << 32) + int(found[2], 16)


def spelled(lsn: int) -> str:
    """Return a count of bytes as PostgreSQL spells a position."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file of the log: `number` counts segments from the beginning, whatever the timeline."""

    timeline: int
    number: int

    def start(self, segment_bytes: int) -> int:
        """Return the position of its first byte."""
        return self.number * segment_bytes

    def name(self, segment_bytes: int) -> str:
        """Return the name that PostgreSQL gives the file."""
        per_log = 0x1_0000_0000 // segment_bytes
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"


def segment(name: str, segment_bytes: int) -> Segment:
    """Return the segment that a file name stands for.

    Raises:
        Unusable: the name is not that of a segment of this size.
    """
    per_log = 0x1_0000_0000 // segment_bytes
    if not _SEGMENT.fullmatch(name) or int(name[16:], 16) >= per_log:
        raise Unusable(f"{name[:40]!r} is no file of the write-ahead log", rule="wal_segment")
    return Segment(int(name[:8], 16), int(name[8:16], 16) * per_log + int(name[16:], 16))


def is_segment(name: str) -> bool:
    """Whether a file name is that of a finished segment."""
    return _SEGMENT.fullmatch(name) is not None


def is_history(name: str) -> bool:
    """Whether a file name is that of a timeline's history."""
    return _HISTORY.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Gap:
    """Segments that are missing between two that are there; both numbers are inclusive."""

    timeline: int
    first: int
    last: int


def gaps(segments: Iterable[Segment], *, since: Segment) -> tuple[Gap, ...]:
    """Return what is missing after `since` (itself wanted) up to the newest segment."""
    return tuple(
        Gap(item.timeline, wanted, item.number - 1)
        for item, wanted in _walked(segments, since=since)
        if item.number > wanted
    )


def reach(segments: Iterable[Segment], *, since: Segment) -> Segment | None:
    """Return the last segment of the unbroken run that begins with `since`, or None where it is missing."""
    last: Segment | None = None
    for item, wanted in _walked(segments, since=since):
        if item.number > wanted:
            break
        last = item
    return last


def _walked(segments: Iterable[Segment], *, since: Segment) -> Iterator[tuple[Segment, int]]:
    """Yield each segment from `since` on with the number that was expected in its place.

    A later timeline begins with the segment in which it was forked, which may repeat one of the timeline before.
    """
    timeline, wanted = since.timeline, since.number
    for item in sorted(set(segments)):
        if item < since:
            continue
        if item.timeline > timeline:
            timeline, wanted = item.timeline, min(wanted, item.number)
        yield item, wanted
        wanted = item.number + 1
