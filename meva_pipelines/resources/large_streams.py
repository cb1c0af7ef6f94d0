"""Streams of rows that may be larger than memory: put in order, or freed of the rows whose keys others have.

DuckDB does it in a private folder that is gone afterwards. It reads nothing but the streams that it is given.
"""

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import ColumnExpression, DuckDBPyConnection

from meva_pipelines.domain.archive.queries import Sort
from meva_pipelines.domain.failures import MevaError, StoreUnavailable

MEMORY_LIMIT: Final = "128MB"
"""What DuckDB may take before it writes to its folder."""

_BATCH_ROWS: Final = 65_536
_FEW_ROWS: Final = 65_536
_SETTINGS: Final[dict[str, str | int | float | list[str]]] = {
    "memory_limit": MEMORY_LIMIT,
    "threads": 1,
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@dataclass(frozen=True, slots=True)
class Stream:
    """Batches of one schema, to be taken once."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]


def without(rows: Stream, hidden: Stream, key: Sequence[str]) -> Generator[pa.RecordBatch]:
    """Yield the rows whose key is not among the hidden ones, in any order.

    Raises:
        MevaError: what the streams raise.
        StoreUnavailable: memory and disk do not suffice.
    """

    def joined(database: DuckDBPyConnection, feed: Callable[[Stream], Any]) -> Any:
        return database.from_arrow(feed(rows)).join(database.from_arrow(feed(hidden)), ",".join(key), how="anti")

    return _worked(rows.schema, joined)


def ordered(rows: Stream, sort: Sequence[Sort], *, limit: int | None, offset: int) -> Generator[pa.RecordBatch]:
    """Yield rows in an order, NULLs last and text by code point, beginning behind the first `offset`.

    A few rows are sorted where they are, because starting DuckDB would take longer than everything else.

    Raises:
        MevaError: what the stream raises.
        StoreUnavailable: memory and disk do not suffice.
    """
    batches = iter(rows.batches)
    first = list(_first(batches))
    if sum(batch.num_rows for batch in first) <= _FEW_ROWS:
        table = pa.Table.from_batches(first, rows.schema)
        keys = [(one.field, "descending" if one.is_descending else "ascending", "at_end") for one in sort]
        places = pc.sort_indices(table, sort_keys=keys)
        yield from table.take(places.slice(offset, limit)).to_batches()
        return

    def sorted_out(database: DuckDBPyConnection, feed: Callable[[Stream], Any]) -> Any:
        every = Stream(rows.schema, chain(first, batches))
        relation = database.from_arrow(feed(every)).sort(*map(_direction, sort))
        return relation.limit(_EVERY_ROW if limit is None else limit, offset)

    yield from _worked(rows.schema, sorted_out)


def _first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches until they hold more than a few rows, or end."""
    rows = 0
    for batch in batches:
        yield batch
        rows += batch.num_rows
        if rows > _FEW_ROWS:
            return


_EVERY_ROW = (1 << 63) - 1
_EXHAUSTED = (duckdb.OutOfMemoryException, duckdb.IOException, OSError)


def _worked(
    schema: pa.Schema, work: Callable[[DuckDBPyConnection, Callable[[Stream], Any]], Any]
) -> Generator[pa.RecordBatch]:
    raised: list[MevaError] = []
    try:
        with _database() as database:
            for batch in work(database, lambda stream: _reader(stream, raised)).to_arrow_reader(_BATCH_ROWS):
                yield batch.cast(schema)
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        if raised:
            raise raised[0] from None
        if isinstance(error, _EXHAUSTED):
            raise StoreUnavailable("no room to put the rows together: neither in memory nor on disk") from error
        raise


@contextmanager
def _database() -> Iterator[DuckDBPyConnection]:
    """Lend a DuckDB that may write to a private folder and nowhere else."""
    with (
        tempfile.TemporaryDirectory(prefix="meva-query-") as folder,
        duckdb.connect(":memory:", config={**_SETTINGS, "temp_directory": folder}) as database,
    ):
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        yield database


def _reader(stream: Stream, raised: list[MevaError]) -> pa.RecordBatchReader:
    """Return a stream as DuckDB reads it, which would wrap our errors in its own and lose their kind."""

    def watched() -> Generator[pa.RecordBatch]:
        try:
            yield from stream.batches
        except MevaError as error:
            raised.append(error)
            raise

    return pa.RecordBatchReader.from_batches(stream.schema, watched())


def _direction(sort: Sort) -> duckdb.Expression:
    column = ColumnExpression(sort.field)
    return (column.desc() if sort.is_descending else column.asc()).nulls_last()
