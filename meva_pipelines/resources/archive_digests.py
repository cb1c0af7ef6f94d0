"""Digests of rows that do not depend on their order: PostgreSQL's over hot rows, and ours over cold ones.

A row's hash is a chain through all its columns, the key last; a digest is the sum of the signed hashes of all rows.
The two sides share no code: the server hashes with its own functions, `archive_hashing` with numpy. What these leave
out is mixed into their seed: the sign of a decimal, the upper half of a 64-bit number, which they fold onto the lower
one, and whether a value is NULL. Two moments are hashed alike only where both halves of their microseconds differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np
import psycopg
from psycopg import sql

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources import archive_arrays, archive_columns, archive_hashing
from meva_pipelines.resources.archive_columns import ColdColumn, Kind
from meva_pipelines.resources.archive_hashing import Hashes

if TYPE_CHECKING:
    import pyarrow as pa

_SEED: Final = 0x6D657661
_NEGATIVE, _NULL = 1, 2

FROM_1970: Final = {Kind.MOMENT: 946_684_800_000_000, Kind.DAY: 10_957}
"""2000-01-01, from which PostgreSQL counts microseconds and days, as Arrow counts from 1970."""

_BLOCK: Final = 16_384
"""Rows hashed at once: so many words of all three kinds stay in the cache of a core."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows there are, their digest as a decimal string, and the least and the greatest key, value by value.

    Keys are texts: numbers in digits, days as 2024-03-31, moments as 2024-03-31T23:59:59.999999Z. None of no rows.
    """

    rows: int
    digest: str
    min_key: tuple[str, ...] | None
    max_key: tuple[str, ...] | None


def hot(connection: psycopg.Connection, table: Archived, period: Period) -> Extent:
    """Return what lies in the hot table in a period, read in one statement by whatever role the session has."""
    keys = sql.SQL(", ").join(map(_key_text, archive_columns.of_key(table)))
    statement = sql.SQL(
        "SELECT d.rows, d.digest,"
        " (SELECT ARRAY[{keys}] FROM {table} WHERE {within} ORDER BY {up} LIMIT 1),"
        " (SELECT ARRAY[{keys}] FROM {table} WHERE {within} ORDER BY {down} LIMIT 1)"
        " FROM (SELECT count(*) AS rows, coalesce(sum({hash}), 0)::text AS digest FROM {table} WHERE {within}) AS d"
    ).format(
        keys=keys,
        table=sql.Identifier(table.schema, table.name),
        within=within(table),
        up=_order(table, sql.SQL("{}")),
        down=_order(table, sql.SQL("{} DESC")),
        hash=_row_hash(table),
    )
    found = connection.execute(statement, bounds(table, period)).fetchone()
    rows, digest, least, greatest = found or (0, "0", None, None)
    return Extent(rows, digest, least and tuple(least), greatest and tuple(greatest))


def within(table: Archived) -> sql.Composed:
    """Return the condition that a row lies in a period; its parameters are `bounds`."""
    return sql.SQL("({age} >= %(start)s AND {age} < %(end)s)").format(age=sql.Identifier(table.age_column))


def bounds(table: Archived, period: Period) -> dict[str, date | datetime]:
    """Return the bounds of a period in the type of a table's age column, so that partitions are pruned by them."""
    kinds = {column.name: column.kind for column in archive_columns.columns(table)}
    if kinds[table.age_column] is Kind.DAY:
        return {"start": period.start.date(), "end": period.end.date()}
    return {"start": period.start, "end": period.end}


def _order(table: Archived, each: sql.SQL) -> sql.Composed:
    return sql.SQL(", ").join(each.format(sql.Identifier(name)) for name in table.key)


def _key_text(column: ColdColumn) -> sql.Composed:
    form = {
        Kind.MOMENT: """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
        Kind.DAY: "to_char({}, 'YYYY-MM-DD')",
    }
    return sql.SQL(form.get(column.kind, "{}::text")).format(sql.Identifier(column.name))


_HASH: Final = {
    Kind.SMALL: "hashint2extended({value}, {seed})",
    Kind.INTEGER: "hashint4extended({value}, {seed})",
    Kind.BIG: "hashint8extended({value}, {seed} # ({value} >> 32))",
    Kind.DECIMAL: "hash_numeric_extended({value}, {seed})",
    Kind.MOMENT: "timestamp_hash_extended({value} AT TIME ZONE 'UTC', {seed})",
    Kind.DAY: "hashint4extended({value} - '2000-01-01'::date, {seed})",
    Kind.TEXT: 'hashtextextended({value}::text COLLATE "C", {seed})',
    Kind.BYTES: "hashtextextended(encode({value}, 'hex') COLLATE \"C\", {seed})",
}
_INSTEAD: Final = {
    Kind.SMALL: "coalesce({}, 0::smallint)",
    Kind.MOMENT: "coalesce({}, '2000-01-01Z'::timestamptz)",
    Kind.DAY: "coalesce({}, '2000-01-01'::date)",
    Kind.TEXT: "coalesce({}::text, '')",
    Kind.BYTES: "coalesce({}, ''::bytea)",
}
"""What is hashed for NULL; 0 for all others."""


def _hashed(table: Archived, columns: Sequence[ColdColumn]) -> Sequence[ColdColumn]:
    """Return columns in the order of the chain: the key last, which is never NULL."""
    by_name = {column.name: column for column in columns}
    others = [column for column in columns if column.name not in table.key]
    return [*others, *(by_name[name] for name in reversed(table.key))]


def _row_hash(table: Archived) -> sql.Composable:
    chain: sql.Composable = sql.SQL("{}::bigint").format(sql.Literal(_SEED))
    for column in _hashed(table, archive_columns.columns(table)):
        name = sql.Identifier(column.name)
        value = sql.SQL(_INSTEAD.get(column.kind, "coalesce({}, 0)") if column.is_nullable else "{}").format(name)
        chain = sql.SQL(_HASH[column.kind]).format(value=value, seed=_marked(chain, column))
    return chain


def _marked(seed: sql.Composable, column: ColdColumn) -> sql.Composable:
    cases = [f"WHEN {{column}} < 0 THEN {_NEGATIVE}"] if column.kind is Kind.DECIMAL else []
    cases += [f"WHEN {{column}} IS NULL THEN {_NULL}"] if column.is_nullable else []
    if not cases:
        return seed
    mark = sql.SQL("({seed} # CASE " + " ".join(cases) + " ELSE 0 END::bigint)")
    return mark.format(seed=seed, column=sql.Identifier(column.name))


class Folded:
    """The extent of cold rows, batch after batch as they lie in a file."""

    def __init__(self, table: Archived, columns: Sequence[ColdColumn] | None = None) -> None:
        """Begin with no rows; `columns` are those of an older version of the table, if it is one."""
        self._table = table
        self._hashed = _hashed(table, archive_columns.columns(table) if columns is None else columns)
        self._rows, self._sum = 0, 0
        self._min_key: tuple[str, ...] | None = None
        self._max_key: tuple[str, ...] | None = None

    def add(self, batch: "pa.RecordBatch") -> None:
        """Fold rows in. Their order is that of the file: the first one's key is taken as the least."""
        for start in range(0, batch.num_rows, _BLOCK):
            self._sum += _summed(batch.slice(start, _BLOCK), self._hashed)
        if batch.num_rows:
            self._rows += batch.num_rows
            self._min_key = self._min_key or key_of(batch, 0, self._table)
            self._max_key = key_of(batch, batch.num_rows - 1, self._table)

    def extent(self) -> Extent:
        """Return what was folded in so far."""
        return Extent(self._rows, str(self._sum), self._min_key, self._max_key)


def _summed(batch: "pa.RecordBatch", columns: Sequence[ColdColumn]) -> int:
    hashes = np.full(batch.num_rows, _SEED, np.uint64)
    for column in columns:
        array = batch.column(column.name)
        if array.null_count:
            hashes ^= np.where(array.is_null().to_numpy(zero_copy_only=False), np.uint64(_NULL), np.uint64(0))
            array = array.fill_null(_ZERO[column.kind])
        hashes = _chained(array, column, hashes)
    signed = hashes.view(np.int64)
    return (int((signed >> 32).sum()) << 32) + int((signed & 0xFFFFFFFF).sum())


_ZERO: Final = {
    Kind.SMALL: 0,
    Kind.INTEGER: 0,
    Kind.BIG: 0,
    Kind.DECIMAL: Decimal(0),
    Kind.MOMENT: datetime(2000, 1, 1, tzinfo=UTC),
    Kind.DAY: date(2000, 1, 1),
    Kind.TEXT: "",
    Kind.BYTES: b"",
}


def _chained(array: "pa.Array", column: ColdColumn, seeds: Hashes) -> Hashes:
    if column.kind in {Kind.TEXT, Kind.BYTES}:
        content, offsets = archive_arrays.spelled(array)
        if column.kind is Kind.BYTES:
            content, offsets = _HEX[content].reshape(-1), 2 * offsets
        return archive_hashing.text(content, offsets, seeds)
    if column.kind is Kind.DECIMAL:
        units = archive_arrays.units(array)
        return archive_hashing.decimal(units, column.places, seeds ^ (units < 0).astype(np.uint64) * _NEGATIVE)
    values = archive_arrays.whole(array) - FROM_1970.get(column.kind, 0)
    if column.kind is Kind.BIG:
        return archive_hashing.whole64(values, seeds ^ (values >> 32).view(np.uint64))
    if column.kind is Kind.MOMENT:
        return archive_hashing.whole64(values, seeds)
    return archive_hashing.whole32(values.astype(np.int32), seeds)


_HEX: Final = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)


def key_of(batch: "pa.RecordBatch", row: int, table: Archived) -> tuple[str, ...]:
    """Return the key of a row of a batch, value by value as text."""
    return tuple(_told(batch.column(name)[row].as_py()) for name in table.key)


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return value.isoformat() if isinstance(value, date) else str(value)
