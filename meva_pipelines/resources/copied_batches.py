"""Rows through COPY as record batches: out of a SELECT, and into a table. Every value arrives exactly.

The form is CSV, which PostgreSQL and Arrow both know; a NULL is empty and an empty text stands between quotation marks.
"""

import io
from collections.abc import Generator

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources.archive_columns import ColdColumn, Kind

_CHUNK_BYTES = 4_000_000
_PARSING = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
_WRITING = csv.WriteOptions(include_header=False)


def selected(column: ColdColumn) -> sql.Composed:
    """Return the expression by which a column is selected: text in one form whatever its type is in the table."""
    name = sql.Identifier(column.name)
    return sql.SQL("{}::text" if column.kind is Kind.TEXT else "{}").format(name)


def fetched(connection: psycopg.Connection, statement: sql.Composable, schema: pa.Schema) -> Generator[pa.RecordBatch]:
    """Yield the rows of a SELECT as they arrive, a few megabytes at a time. Its values are part of the statement.

    Raises:
        Rejected: a value has no place in the type of its column, such as a number that is none.
    """
    command = sql.SQL("COPY ({}) TO STDOUT (FORMAT CSV)").format(statement)
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        waiting, size_bytes = [], 0
        for line in copy:
            waiting.append(line)
            size_bytes += len(line)
            if size_bytes >= _CHUNK_BYTES:
                yield _decoded(b"".join(waiting), schema)
                waiting, size_bytes = [], 0
    if waiting:
        yield _decoded(b"".join(waiting), schema)


def encoded(batch: pa.RecordBatch) -> bytes:
    """Return rows as lines of `COPY … FROM STDIN (FORMAT CSV)`."""
    sink = io.BytesIO()
    csv.write_csv(spelled(batch), sink, _WRITING)
    return sink.getvalue()


def spelled(batch: pa.RecordBatch) -> pa.RecordBatch:
    r"""Return rows whose bytes are spelled as PostgreSQL spells them, in hexadecimal digits behind `\x`."""
    arrays = [_as_hex(array) if pa.types.is_binary(array.type) else array for array in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=spelled_schema(batch.schema))


def spelled_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of rows that are `spelled`."""
    return pa.schema([f.with_type(pa.string()) if pa.types.is_binary(f.type) else f for f in schema])


def _decoded(content: bytes, schema: pa.Schema) -> pa.RecordBatch:
    kinds = {field.name: pa.string() if pa.types.is_binary(field.type) else field.type for field in schema}
    try:
        table = csv.read_csv(
            io.BytesIO(content),
            csv.ReadOptions(column_names=schema.names, use_threads=False, block_size=len(content) + 1),
            _PARSING,
            csv.ConvertOptions(
                column_types=kinds, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        raise Rejected(f"a value of {', '.join(schema.names)} has no place in the type of its column") from None
    (batch,) = table.to_batches()
    arrays = [
        _of_hex(array) if pa.types.is_binary(field.type) else array
        for array, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as_hex(array: pa.Array) -> pa.Array:
    return pa.array([None if value is None else f"\\x{value.hex()}" for value in array.to_pylist()], pa.string())


def _of_hex(array: pa.Array) -> pa.Array:
    values = array.to_pylist()
    return pa.array([None if value is None else bytes.fromhex(value[2:]) for value in values], pa.binary())
