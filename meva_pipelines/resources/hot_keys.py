"""Which keys of cold rows lie hot as well: the server is asked for the keys of rows that were read, never for all.

Keys travel packed, as rows do on their way into a file. Which rows count then is decided in `hot_and_cold`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.filters import Filter
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources import (
    archive_arrays,
    archive_columns,
    archive_digests,
    archive_packing,
    archive_predicates,
    cold_rows,
)
from meva_pipelines.resources.archive_arrays import Whole

_FEW: Final = 1_000
"""Rows whose keys the server is asked for one by one; of more rows, for all between the first and the last."""

_AT_ONCE: Final = 65_536


@dataclass(frozen=True, slots=True)
class HotKeys:
    """The keys of the hot rows of a period, as a session sees them."""

    connection: psycopg.Connection
    table: Archived
    period: Period

    def are_there(self, asked: Filter) -> bool:
        """Return whether there is one that a filter on keys chooses."""
        chosen = archive_predicates.condition(asked, self.table)
        found = self.connection.execute(sql.SQL("SELECT EXISTS ({})").format(self._selected(chosen))).fetchone()
        return bool(found and found[0])

    def hide(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows whose keys are not hot, of batches that are each in the order of keys; few wait for more."""
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            if waiting and sum(one.num_rows for one in (*waiting, batch)) > _FEW:
                yield from self._left(pa.concat_batches(waiting))
                waiting = []
            waiting.append(batch)
        if waiting:
            yield from self._left(pa.concat_batches(waiting))

    def _left(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        is_left = np.ones(rows.num_rows, np.bool_)
        for keys in self._among(rows):
            is_left[_places(rows, keys, self.table.key)] = False
        if is_left.any():
            yield rows.filter(pa.array(is_left))

    def _among(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield the hot keys that may be those of some rows, a bounded number at a time."""
        if rows.num_rows <= _FEW:
            yield self._fetched(self._each_of(rows))
            return
        last = self._key(rows, rows.num_rows - 1)
        after = sql.SQL("({}) >= {}").format(self._names, self._key(rows, 0))
        while True:
            beyond = self._selected(sql.SQL("{} AND ({}) <= {}").format(after, self._names, last))
            keys = self._fetched(sql.SQL("{} ORDER BY {} LIMIT {}").format(beyond, self._names, sql.Literal(_AT_ONCE)))
            yield keys
            if keys.num_rows < _AT_ONCE:
                return
            after = sql.SQL("({}) > {}").format(self._names, self._key(keys, _AT_ONCE - 1))

    def _each_of(self, rows: pa.RecordBatch) -> sql.Composed:
        """Return the statement that looks up key by key: with its own LIMIT, no plan walks through all keys instead."""
        names = sql.SQL(", ").join(sql.Identifier("asked", name) for name in self.table.key)
        return sql.SQL("SELECT hot.* FROM (VALUES {}) AS asked ({}) CROSS JOIN LATERAL ({} LIMIT 1) AS hot").format(
            sql.SQL(", ").join(map(_literal, rows.select(self.table.key).to_pylist())),
            self._names,
            self._selected(sql.SQL("({}) = ({})").format(self._names, names)),
        )

    def _key(self, rows: pa.RecordBatch, place: int) -> sql.Composed:
        return _literal(rows.select(self.table.key).slice(place, 1).to_pylist()[0])

    def _fetched(self, statement: sql.Composable) -> pa.RecordBatch:
        """Return the keys that a statement selects."""
        columns = archive_columns.of_key(self.table)
        packed = sql.SQL("SELECT {} FROM ({}) AS r").format(archive_packing.packed(columns), statement)
        with self.connection.cursor(binary=True) as cursor:
            found = cursor.execute(packed, prepare=False).fetchone()
        return archive_packing.unpacked(found or (), columns, cold_rows.chosen(self.table, self.table.key))

    def _selected(self, condition: sql.Composable) -> sql.Composed:
        bounds = archive_digests.bounds(self.table, self.period)
        return sql.SQL("SELECT {} FROM {} WHERE {age} >= {} AND {age} < {} AND {}").format(
            self._names,
            sql.Identifier(self.table.schema, self.table.name),
            sql.Literal(bounds["start"]),
            sql.Literal(bounds["end"]),
            condition,
            age=sql.Identifier(self.table.age_column),
        )

    @property
    def _names(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self.table.key))


def _places(rows: pa.RecordBatch, keys: pa.RecordBatch, names: Sequence[str]) -> Whole:
    """Return the places of the rows whose keys are among others; neither side has a key twice."""
    both = [np.concatenate([archive_arrays.whole(side.column(name)) for side in (rows, keys)]) for name in names]
    order = np.lexsort(both[::-1])
    is_next_equal = np.logical_and.reduce([column[order[1:]] == column[order[:-1]] for column in both])
    return order[:-1][is_next_equal]  # a stable sort: of two that are equal, the row stands before the key


def _literal(key: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, key.values())))
