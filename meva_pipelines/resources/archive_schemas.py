"""Registered schemas of cold files: one per table and version, derived from the table and pinned by fingerprint.

A file carries its whole schema and the version of it. What a column becomes in Arrow is decided here, and how a part
of an older version is read under the schema of today. How rows travel is in `archive_export`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import pyarrow as pa

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.failures import Refused, Unusable
from meva_pipelines.resources import archive_columns
from meva_pipelines.resources.archive_columns import ColdColumn, Kind

VERSION_KEY: Final = "meva.schema_version"
"""Name of the version among the key-value metadata of a file."""

_ARROW: Final[Mapping[Kind, pa.DataType]] = {
    Kind.SMALL: pa.int16(),
    Kind.INTEGER: pa.int32(),
    Kind.BIG: pa.int64(),
    Kind.MOMENT: pa.timestamp("us", "UTC"),
    Kind.DAY: pa.date32(),
    Kind.TEXT: pa.string(),
    Kind.BYTES: pa.binary(),
}

_WIDENED: Final = frozenset({(pa.int16(), pa.int32()), (pa.int16(), pa.int64()), (pa.int32(), pa.int64())})
"""Types of an older version that may be read as another one of today. Everything else needs a decision."""

_FINGERPRINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "simulation_time_series": ("4eee8a5b0efbbca1f07b7ffd901b48bc6e0ba62fa302947c447a4364d64bec28",),
    "test_time_series": ("8e8da7f158fe8ca3397b4fb9e4ae529b5a55ce12d9bd5f470f8221491e78461b",),
    "operation_logs": ("6203ab1c926a0217e31fd55bddc1ef955d6482ab57c9e23c08060d46bd7e2c63",),
    "aed_history": ("3c083c258948a6374b905496945a5a3f6e8b5d2a650bf0d102472ee22c3beccc",),
}
"""Fingerprints of all versions of each table, the oldest first. A changed table gets a further one; none is changed."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The schema of a table's cold files in its newest version."""

    version: int
    columns: tuple[ColdColumn, ...]
    schema: pa.Schema


@lru_cache
def current(table: Archived) -> Registered:
    """Return the newest registered schema of a table: its columns in table order.

    Raises:
        Refused: the table differs from its newest version, or has a column that no cold file holds.
    """
    columns = archive_columns.columns(table)
    schema = pa.schema([_field(column) for column in columns])
    versions = _FINGERPRINTS[table.name]
    if fingerprint(schema) != versions[-1]:
        raise Refused(
            f"{table.name} is not the table of version {len(versions)} of its cold files: its fingerprint is"
            f" {fingerprint(schema)}. Register it as version {len(versions) + 1}."
        )
    return Registered(len(versions), columns, schema)


def fingerprint(schema: pa.Schema) -> str:
    """Return SHA-256 over the names, types and nullability of all fields in their order."""
    lines = (f"{field.name} {field.type} {'NULL' if field.nullable else 'NOT NULL'}\n" for field in schema)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def registered_version(schema: pa.Schema, table: Archived) -> int:
    """Return which version of a table's schema a file has.

    Raises:
        Unusable: `archive_schema`: none.
    """
    versions = _FINGERPRINTS[table.name]
    found = fingerprint(schema)
    if found not in versions:
        raise Unusable(
            f"the columns are those of no version of {table.name}: {', '.join(schema.names)}", rule="archive_schema"
        )
    return versions.index(found) + 1


def columns_of(schema: pa.Schema) -> tuple[ColdColumn, ...]:
    """Return the columns of a registered schema of any version, as they were when it was written."""
    return tuple(_column(field) for field in schema)


def conform(batch: pa.RecordBatch, table: Archived) -> pa.RecordBatch:
    """Return rows of any version under the newest schema: missing columns become NULL, listed types are widened.

    Raises:
        Unusable: `archive_schema`: a column is too many, may not be missing, or has a type that is not widened.
    """
    schema = current(table).schema
    if batch.schema.equals(schema):
        return batch
    if strangers := set(batch.schema.names) - set(schema.names):
        raise Unusable(f"{table.name} has no {', '.join(sorted(strangers))}", rule="archive_schema")
    columns = [_conformed(batch, field) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _conformed(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    at = batch.schema.get_field_index(field.name)
    if at < 0:
        if not field.nullable:
            raise Unusable(f"{field.name} is missing and may not be NULL", rule="archive_schema", field=field.name)
        return pa.nulls(batch.num_rows, field.type)
    array = batch.column(at)
    if array.null_count and not field.nullable:
        raise Unusable(f"{field.name} is NULL and may not be", rule="archive_schema", field=field.name)
    if array.type == field.type:
        return array
    if not _is_widened(array.type, field.type):
        raise Unusable(
            f"{field.name} is {array.type}, which is not read as {field.type}", rule="archive_schema", field=field.name
        )
    return array.cast(field.type)


def _is_widened(old: pa.DataType, new: pa.DataType) -> bool:
    if pa.types.is_decimal128(old) and pa.types.is_decimal128(new):
        return bool(old.scale == new.scale and old.precision < new.precision)
    return (old, new) in _WIDENED


def _column(field: pa.Field) -> ColdColumn:
    if pa.types.is_decimal128(field.type):
        return ColdColumn(field.name, Kind.DECIMAL, field.nullable, field.type.precision, field.type.scale)
    kind = next(kind for kind, arrow in _ARROW.items() if arrow == field.type)
    return ColdColumn(field.name, kind, field.nullable)


def _field(column: ColdColumn) -> pa.Field:
    is_decimal = column.kind is Kind.DECIMAL
    kind = pa.decimal128(column.precision, column.scale) if is_decimal else _ARROW[column.kind]
    return pa.field(column.name, kind, column.is_nullable)
