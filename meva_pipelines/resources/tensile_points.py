"""The points of a test as bytes: packed to be staged, and as rows of a binary COPY. No file and no database here.

Both are made column by column with numpy: a loop over points would cost more than PostgreSQL takes to store them.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.domain.tensile.recording import Curve, Series

CHANNELS = ("elapsed_s", "load_n", "displacement_mm", "crosshead_mm", "strain")
"""The series of a curve in the order of the columns of `meva.tensile_data`."""

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"

_HEADER_BYTES = 64
_ROWS_AT_ONCE = 16_384
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIXED = (("key", ">i8"), ("point", ">i4"), ("timestamp", ">i8"))
_NULL = -1


def pack(curve: Curve) -> bytes:
    """Return the channels of a curve one after another as little-endian doubles, after 64 bytes that name them."""
    given = {name: getattr(curve, name) for name in CHANNELS if getattr(curve, name) is not None}
    header = " ".join(given).encode().ljust(_HEADER_BYTES)
    return b"".join([header, *(np.ascontiguousarray(series, dtype="<f8").data for series in given.values())])


def unpack(content: bytes | memoryview, *, sha256: str) -> Mapping[str, Series]:
    """Return the channels of a packed curve, each of shape (points,), without copying them.

    Raises:
        Unavailable: it is not what was packed.
    """
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Unavailable("the staged points are not those that were judged: their SHA-256 differs; stage them again")
    names = bytes(content[:_HEADER_BYTES]).decode().split()
    values = np.frombuffer(content, dtype="<f8", offset=_HEADER_BYTES).reshape(len(names), -1)
    return dict(zip(names, values, strict=True))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one test for a binary COPY: `key` is its test_id or content_id, `started_at` the time of 0 s."""

    key: int
    started_at: datetime
    channels: Mapping[str, Series]

    def __len__(self) -> int:
        return len(self.channels["load_n"])

    def encoded(self) -> Iterator[bytes]:
        """Yield the rows in blocks. NaN becomes NULL; without a time, points are 1 µs apart."""
        start = (self.started_at - _EPOCH) // _MICROSECOND
        for first in range(0, len(self), _ROWS_AT_ONCE):
            part = {name: series[first : first + _ROWS_AT_ONCE] for name, series in self.channels.items()}
            points = np.arange(first, first + len(part["load_n"]))
            elapsed = part.get("elapsed_s")
            moments = start + (points if elapsed is None else np.rint(elapsed * 1e6).astype(np.int64))
            yield _block((np.int64(self.key), points, moments), [part.get(name) for name in CHANNELS])


def _block(fixed: Sequence[npt.NDArray[np.int64] | np.int64], series: Sequence[Series | None]) -> bytes:
    """Encode some rows: field count, then each value after its length; a value that is nowhere given has no bytes."""
    missing = [None if values is None else np.isnan(values) for values in series]
    is_absent = [gaps is None or bool(gaps.all()) for gaps in missing]
    layout = [("fields", ">i2")]
    for name, kind in _FIXED:
        layout += [(f"{name}_bytes", ">i4"), (name, kind)]
    for name, absent in zip(CHANNELS, is_absent, strict=True):
        layout += [(f"{name}_bytes", ">i4"), *([] if absent else [(name, ">f8")])]
    rows = np.empty(np.size(fixed[1]), dtype=np.dtype(layout))
    rows["fields"] = len(_FIXED) + len(CHANNELS)
    for (name, kind), value in zip(_FIXED, fixed, strict=True):
        rows[f"{name}_bytes"], rows[name] = np.dtype(kind).itemsize, value
    keep = None
    for name, values, gaps, absent in zip(CHANNELS, series, missing, is_absent, strict=True):
        rows[f"{name}_bytes"] = _NULL if absent else 8
        if absent or values is None or gaps is None:
            continue
        rows[name] = values
        if gaps.any():
            rows[f"{name}_bytes"][gaps] = _NULL
            keep = np.ones((len(rows), rows.itemsize), dtype=bool) if keep is None else keep
            offset = rows.dtype.fields[name][1]  # type: ignore[index]  # a structured type has fields
            keep[gaps, offset : offset + 8] = False
    return rows.tobytes() if keep is None else rows.view(np.uint8).reshape(len(rows), -1)[keep].tobytes()
