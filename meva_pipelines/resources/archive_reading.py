"""A cold part read again from its first byte to its last: what is wrong with it, or what it holds.

The bytes are proved before anything is parsed, then every page, then the schema, the labels that bind a file to its
part, and the order. Whether the rows are those of the database is for the caller to compare.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Unusable
from meva_pipelines.resources import archive_arrays, archive_export, archive_schemas, failpoints
from meva_pipelines.resources.archive_columns import Kind
from meva_pipelines.resources.archive_digests import Extent, Folded
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.failpoints import Point

_PIECE_BYTES: Final = 4 * 1024 * 1024
_DAY_US: Final = 86_400_000_000
_TOLD: Final = frozenset({Kind.SMALL, Kind.INTEGER, Kind.BIG, Kind.DECIMAL, Kind.MOMENT, Kind.DAY})
"""Kinds whose least and greatest value may be shown: texts may be personal."""

Each = Callable[[pa.RecordBatch], None]


@dataclass(slots=True)
class Profile:
    """What a column of a part holds; the least and the greatest value are those of numbers, days and moments."""

    name: str
    nulls: int = 0
    least: Any = None
    greatest: Any = None


@dataclass(frozen=True, slots=True)
class Reread:
    """What was read: rows, digest and keys, `size` in bytes, how many rows lie outside of the period."""

    part: Part
    extent: Extent
    sha256: str
    size: int
    schema_version: int
    row_groups: int
    rows_outside: int
    forbidden_nulls: int
    profiles: tuple[Profile, ...]


def read(files: ColdFiles, part: Part, *, sha256: str, each: Each | None = None) -> Reread:
    """Read a part to its end through a fresh handle and return what it holds.

    `each` is given all rows, batch after batch in their order and in the newest schema. The digest is that of the
    columns that the file has: those of the table when it was written.

    Raises:
        Unusable: `archive_bytes`: another SHA-256; `archive_pages`: a page or the footer is damaged; `archive_labels`:
            the file of another part; `archive_schema`: columns of no registered version; `archive_order`: keys do not
            rise.
        StoreUnavailable: the file is not there, or the store does not answer.
    """
    with files.open(part.key) as file:
        size = _demand_bytes(file, part, sha256)
        file.seek(0)
        with _proved(part), parquet.ParquetFile(file, page_checksum_verification=True) as content:
            version = demand_schema(content, part)
            seen = _Seen(part, content.schema_arrow)
            row_groups = content.num_row_groups
            for batch in _batches(content):
                seen.add(batch)
                if each is not None:
                    each(archive_schemas.conform(batch, part.table))
    failpoints.reach(Point.ARCHIVE_REREAD)
    return Reread(
        part=part,
        extent=seen.folded.extent(),
        sha256=sha256,
        size=size,
        schema_version=version,
        row_groups=row_groups,
        rows_outside=seen.rows_outside,
        forbidden_nulls=seen.forbidden_nulls,
        profiles=tuple(seen.profiles.values()),
    )


def _batches(content: parquet.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield all rows, one row group after the other: an iterator over all of them would keep the bytes of the file."""
    for group in range(content.num_row_groups):
        yield from content.iter_batches(archive_export.ROW_GROUP_ROWS, [group])


def _demand_bytes(file: pa.NativeFile, part: Part, sha256: str) -> int:
    digest, size = hashlib.sha256(), 0
    while piece := file.read_buffer(_PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    if digest.hexdigest() != sha256:
        raise Unusable(f"{part.key} is not the file that was written: its SHA-256 differs", rule="archive_bytes")
    return size


@contextmanager
def _proved(part: Part) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise Unusable(f"{part.key} is damaged: {type(error).__name__}", rule="archive_pages") from error


def demand_schema(content: parquet.ParquetFile, part: Part) -> int:
    """Return the version of a file's schema when its labels say that it is the file of a part.

    Raises:
        Unusable: `archive_schema`: columns of no registered version; `archive_labels`: the file of another part.
    """
    schema = content.schema_arrow
    version = archive_schemas.registered_version(schema, part.table)
    found = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    if found != archive_export.labels(part, version):
        raise Unusable(
            f"{part.key} is not that of {part.name}: it calls itself {found.get('meva.part', 'nothing')}",
            rule="archive_labels",
        )
    return version


class _Seen:
    """What was seen of a part so far."""

    def __init__(self, part: Part, schema: pa.Schema) -> None:
        columns = archive_schemas.columns_of(schema)
        self.folded = Folded(part.table, columns)
        self.profiles = {column.name: Profile(column.name) for column in columns}
        self.rows_outside, self.forbidden_nulls = 0, 0
        self._part = part
        self._columns = columns
        self._last: tuple[int, ...] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at rows that follow on those before."""
        self._demand_order(batch)
        self.rows_outside += _outside(batch.column(self._part.table.age_column), self._part.period)
        for column in self._columns:
            array, profile = batch.column(column.name), self.profiles[column.name]
            profile.nulls += array.null_count
            self.forbidden_nulls += 0 if column.is_nullable else array.null_count
            if column.kind in _TOLD:
                _widen(profile, array)
        self.folded.add(batch)

    def _demand_order(self, batch: pa.RecordBatch) -> None:
        keys = [archive_arrays.whole(batch.column(name)) for name in self._part.table.key]
        first = tuple(int(key[0]) for key in keys)
        rises = np.zeros(batch.num_rows - 1, np.bool_)
        for key in reversed(keys):
            rises = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rises)
        if not rises.all() or (self._last is not None and first <= self._last):
            raise Unusable(f"{self._part.key}: keys do not rise from row to row", rule="archive_order")
        self._last = tuple(int(key[-1]) for key in keys)


def _outside(age: pa.Array, period: Period) -> int:
    """Return how many rows do not lie in a period, by days or by microseconds since 1970."""
    per_second = 1 if pa.types.is_date32(age.type) else _DAY_US
    start, end = (int(bound.timestamp()) // 86_400 * per_second for bound in (period.start, period.end))
    moments = archive_arrays.whole(age)
    return int(((moments < start) | (moments >= end)).sum())


def _widen(profile: Profile, array: pa.Array) -> None:
    found = pc.min_max(array).as_py()
    if found["min"] is not None:
        profile.least = found["min"] if profile.least is None else min(profile.least, found["min"])
        profile.greatest = found["max"] if profile.greatest is None else max(profile.greatest, found["max"])
