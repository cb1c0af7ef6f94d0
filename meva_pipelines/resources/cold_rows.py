"""Rows of committed cold parts, read no further than a question needs; every page is checked as it is read.

Periods are left out by their bounds, parts by the keys that they hold, row groups by their statistics. Which rows of
several parts count is decided in `hot_and_cold`.
"""

import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from meva_pipelines.domain.archive.column_types import Columns, DateType, Value
from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.filters import EVERYTHING, Both, Filter, fields
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.ranges import Ranges, may_lie_between, ranges
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import archive_predicates, archive_reading, archive_schemas
from meva_pipelines.resources.archive_batches import Batch
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.first_rows import FirstRows
from meva_pipelines.schema.roles import Role

_BATCH_ROWS = 65_536


@dataclass(slots=True)
class PartEffort:
    """What was read of a part; `left_out` says why nothing was, when that was known without opening it."""

    batch: Batch
    left_out: str = ""
    row_groups: int = 0
    row_groups_read: int = 0
    bytes_read: int = 0


@dataclass(slots=True)
class Effort:
    """What was read for an answer, so far."""

    hot_rows: int = 0
    parts: list[PartEffort] = field(default_factory=list)

    @property
    def bytes_read(self) -> int:
        """Bytes read of cold files."""
        return sum(part.bytes_read for part in self.parts)

    @property
    def parts_read(self) -> int:
        """Cold files that were opened."""
        return sum(part.bytes_read > 0 for part in self.parts)

    def of(self, batch: Batch) -> PartEffort:
        """Return what was read of a part."""
        return next(part for part in self.parts if part.batch.id == batch.id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of cold rows: columns, and a filter whose fields need not be among them.

    Rows that cannot be among the first of a sorted answer are not wanted; where those are likely is read first.
    """

    table: Archived
    columns: tuple[str, ...]
    filter: Filter
    first: FirstRows = field(default_factory=FirstRows)

    @property
    def schema(self) -> pa.Schema:
        """The schema of the rows."""
        return chosen(self.table, self.columns)


def chosen(table: Archived, names: Sequence[str]) -> pa.Schema:
    """Return the registered fields of some columns."""
    schema = archive_schemas.current(table).schema
    return pa.schema([schema.field(name) for name in names])


def why_left_out(batch: Batch, asked: Filter) -> str:
    """Return why a part can hold no row of a filter; empty: it may hold some."""
    columns = archive_predicates.nameable(batch.table, Role.ARCHIVER)
    if not ranges(asked, batch.table.age_column).touch(*_span(batch.period, columns, batch.table)):
        return "another time"
    allowed = [ranges(asked, name) for name in batch.table.key]
    least, greatest = (_key(batch, key, columns) for key in (batch.min_key, batch.max_key))
    return "" if may_lie_between(allowed, least, greatest) else "other keys"


def read(files: ColdFiles, batch: Batch, wanted: Wanted, effort: PartEffort) -> Generator[pa.RecordBatch]:
    """Yield the wanted rows of a part under the newest schema: in the order of its keys, if no other is asked for.

    Raises:
        Rejected: the file is damaged, or is not the part that the batch says.
        StoreUnavailable: the file is not there, or the store does not answer.
    """
    names = [*wanted.columns, *sorted(fields(wanted.filter) - set(wanted.columns))]
    with _opened(files, batch, effort) as file:
        is_current = _version(batch, file) == archive_schemas.current(batch.table).version
        for group, asked in _groups(file, wanted, effort):
            chooses = _expression(asked, batch.table)
            for rows in file.iter_batches(
                _BATCH_ROWS, [group], columns=names if is_current else None, use_threads=False
            ):
                conformed = rows if is_current else archive_schemas.conform(rows, batch.table)
                found = conformed if chooses is None else conformed.filter(chooses)
                if found.num_rows:
                    yield found.select(wanted.columns).cast(wanted.schema)


@lru_cache(maxsize=8)
def _expression(asked: Filter, table: Archived) -> Any:
    return None if asked == EVERYTHING else archive_predicates.expression(asked, archive_schemas.current(table).schema)


@contextmanager
def _opened(files: ColdFiles, batch: Batch, effort: PartEffort) -> Iterator[parquet.ParquetFile]:
    with files.open(batch.file_key) as content:
        counted = _Counted(content, effort)
        try:
            with parquet.ParquetFile(pa.PythonFile(counted, "r"), page_checksum_verification=True) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise Rejected(
                f"cold file {batch.file_key} of {batch.name} is damaged: {type(error).__name__}. Restore it from a "
                "backup or a copy; the runbook archive_corrupted says how."
            ) from error


def _version(batch: Batch, file: parquet.ParquetFile) -> int:
    """Return the version of a file's schema when its labels say that it is the file of a batch."""
    version = archive_reading.demand_schema(file, batch.part)
    if file.metadata.num_rows != batch.rows:
        raise Rejected(f"cold file {batch.file_key} is not that of {batch.name}: it has other rows")
    return version


def _groups(file: parquet.ParquetFile, wanted: Wanted, effort: PartEffort) -> Iterator[tuple[int, Filter]]:
    """Yield the row groups that may hold wanted rows, and the filter of them, as narrow as rows that came make it."""
    effort.row_groups = file.num_row_groups
    places = range(file.num_row_groups)
    for group in reversed(places) if wanted.first.is_descending else places:
        bound = wanted.first.bound()
        asked = wanted.filter if bound == EVERYTHING else Both((wanted.filter, bound))
        if _may_hold(file.metadata.row_group(group), _allowed(asked)):
            effort.row_groups_read += 1
            yield group, asked


@lru_cache(maxsize=8)
def _allowed(asked: Filter) -> Mapping[str, Ranges]:
    return {name: found for name in fields(asked) if not (found := ranges(asked, name)).is_unbounded}


def _may_hold(group: Any, allowed: Mapping[str, Ranges]) -> bool:
    """Whether the statistics of a row group let a row have what a filter allows; a column without them may."""
    for position in range(group.num_columns):
        column = group.column(position)
        found = allowed.get(column.path_in_schema)
        statistics = column.statistics if found else None
        if found and statistics and statistics.has_min_max and not found.touch(statistics.min, statistics.max):
            return False
    return True


def _span(period: Period, columns: Columns, table: Archived) -> tuple[Value, Value]:
    """Return the first and the last value that the age of a row of a period can have."""
    if isinstance(columns[table.age_column], DateType):
        return period.start.date(), period.end.date() - timedelta(days=1)
    return period.start, period.end - timedelta(microseconds=1)


def _key(batch: Batch, key: Sequence[str], columns: Columns) -> list[Value]:
    return [columns[name].read(value) for name, value in zip(batch.table.key, key, strict=True)]


@dataclass(slots=True)
class _Counted(io.RawIOBase):
    """A file that counts the bytes that are read of it."""

    file: BinaryIO
    effort: PartEffort

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.effort.bytes_read += len(content)
        return content

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(position, whence)

    def tell(self) -> int:
        return self.file.tell()
