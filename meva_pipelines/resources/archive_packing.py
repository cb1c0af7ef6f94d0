"""Columns of many rows as one value each: packed by the server in its own binary form, unpacked into Arrow with numpy.

A value that may be NULL is packed as something else, with a byte per row that tells; a text with its length. Which
rows are fetched is `archive_export`'s.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from meva_pipelines.resources.archive_columns import ColdColumn, Kind
from meva_pipelines.resources.archive_digests import FROM_1970

_SENT: Final = {
    Kind.SMALL: "int2send({value})",
    Kind.INTEGER: "int4send({value})",
    Kind.BIG: "int8send({value})",
    Kind.DECIMAL: "int8send(({value} * {units})::bigint)",
    Kind.MOMENT: "timestamptz_send({value})",
    Kind.DAY: "date_send({value})",
    Kind.TEXT: "convert_to({value}, 'UTF8')",
    Kind.BYTES: "{value}",
}
_INSTEAD: Final = {
    Kind.SMALL: "0::smallint",
    Kind.INTEGER: "0",
    Kind.BIG: "0::bigint",
    Kind.DECIMAL: "0",
    Kind.MOMENT: "'2000-01-01Z'::timestamptz",
    Kind.DAY: "'2000-01-01'::date",
    Kind.TEXT: "''",
    Kind.BYTES: "''::bytea",
}
"""What is packed for NULL."""

_WIRE: Final = {
    Kind.SMALL: ">i2",
    Kind.INTEGER: ">i4",
    Kind.BIG: ">i8",
    Kind.DECIMAL: ">i8",
    Kind.MOMENT: ">i8",
    Kind.DAY: ">i4",
}
_SPELLED: Final = (Kind.TEXT, Kind.BYTES)


def packed(columns: Sequence[ColdColumn]) -> sql.Composable:
    """Return the expressions that pack all rows of a relation; `unpacked` takes what they give."""
    return sql.SQL(", ").join([sql.SQL("count(*)"), *(one for column in columns for one in _packed(column))])


def _packed(column: ColdColumn) -> Iterator[sql.Composable]:
    name = sql.Identifier(column.name)
    value: sql.Composable = sql.SQL("{}::text").format(name) if column.kind is Kind.TEXT else name
    if column.is_nullable:
        yield sql.SQL("string_agg(boolsend({} IS NULL), ''::bytea)").format(name)
        value = sql.SQL("coalesce({}, " + _INSTEAD[column.kind] + ")").format(value)
    if column.kind in _SPELLED:
        yield sql.SQL("string_agg(int4send(octet_length({})), ''::bytea)").format(value)
    sent = sql.SQL(_SENT[column.kind]).format(value=value, units=sql.Literal(10**column.scale))
    yield sql.SQL("string_agg({}, ''::bytea)").format(sent)


def unpacked(fetched: Sequence[Any], columns: Sequence[ColdColumn], schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of the one row that `packed` gives, in its binary form."""
    values = iter(fetched)
    rows = int(next(values))
    arrays = [_unpacked(values, rows, column, schema.field(column.name).type) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _unpacked(values: Iterator[Any], rows: int, column: ColdColumn, kind: pa.DataType) -> pa.Array:
    validity = None
    if column.is_nullable:
        is_null = np.frombuffer(next(values) or b"", np.bool_)
        validity = pa.py_buffer(np.packbits(~is_null, bitorder="little")) if is_null.any() else None
    if column.kind in _SPELLED:
        lengths = np.frombuffer(next(values) or b"", ">i4")
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        return pa.Array.from_buffers(kind, rows, [validity, pa.py_buffer(offsets), pa.py_buffer(next(values) or b"")])
    wire = np.dtype(_WIRE[column.kind])
    native = np.frombuffer(next(values) or b"", wire).astype(wire.newbyteorder("="))
    if column.kind is Kind.DECIMAL:
        native = _halves(native)
    elif column.kind in FROM_1970:
        native += FROM_1970[column.kind]
    return pa.Array.from_buffers(kind, rows, [validity, pa.py_buffer(native)])


def _halves(units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return whole numbers as 128 bits each, the lower half first: what a decimal of Arrow is."""
    halves = np.empty((units.size, 2), np.int64)
    halves[:, 0] = units
    halves[:, 1] = units >> 63
    return halves
