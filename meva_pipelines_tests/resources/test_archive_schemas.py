"""Registered schemas: a table that changed asks for a new version, and parts of older versions are read under it."""

import pyarrow as pa
import pytest

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.failures import Unusable
from meva_pipelines.resources import archive_columns, archive_schemas
from meva_pipelines.resources.archive_columns import Kind
from meva_pipelines_tests.resources.archived_rows import HISTORY, LOGS, SERIES


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_is_its_newest_registered_version(table: Archived) -> None:
    """When this fails, a table changed: append its new fingerprint, never change one that is there."""
    found = archive_schemas.current(table)
    assert archive_schemas.registered_version(found.schema, table) == found.version
    assert archive_schemas.columns_of(found.schema) == found.columns


def test_the_columns_of_a_file_are_fixed() -> None:
    schema = archive_schemas.current(SERIES).schema
    assert [(field.name, str(field.type), field.nullable) for field in schema] == [
        ("id", "int64", False),
        ("simulation_id", "int64", False),
        ("sequence_number", "int32", False),
        ("time_point", "decimal128(10, 6)", False),
        ("pressure", "decimal128(10, 6)", False),
        ("created_at", "timestamp[us, tz=UTC]", False),
    ]


def test_what_only_postgresql_knows_is_text() -> None:
    kinds = {column.name: column.kind for column in archive_columns.columns(LOGS)}
    assert (kinds["ip_address"], kinds["chain_hash"], kinds["details"]) == (Kind.TEXT, Kind.BYTES, Kind.TEXT)


def batch(table: Archived) -> pa.RecordBatch:
    """One row of NULLs and zeros."""
    schema = archive_schemas.current(table).schema
    arrays = [
        pa.nulls(1, field.type) if field.nullable else pa.array([_zero(field.type)], field.type) for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _zero(kind: pa.DataType) -> object:
    if pa.types.is_string(kind):
        return ""
    return b"" if pa.types.is_binary(kind) else 0


def altered(rows: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.RecordBatch:
    table = pa.Table.from_batches([rows])
    at = table.schema.get_field_index(name)
    return table.set_column(
        at, pa.field(name, kind, table.schema.field(at).nullable), table[name].cast(kind)
    ).to_batches()[0]


def test_a_missing_column_is_null_where_it_may_be() -> None:
    rows = batch(HISTORY)
    old = rows.drop_columns(["remarks", "longitude"])
    assert archive_schemas.conform(old, HISTORY).equals(rows)
    with pytest.raises(Unusable, match="source_id is missing and may not be NULL"):
        archive_schemas.conform(rows.drop_columns(["source_id"]), HISTORY)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("id", pa.int32()),
        ("id", pa.int16()),
        ("sequence_number", pa.int16()),
        ("pressure", pa.decimal128(8, 6)),
    ],
)
def test_listed_types_are_widened(name: str, kind: pa.DataType) -> None:
    rows = batch(SERIES)
    assert archive_schemas.conform(altered(rows, name, kind), SERIES).equals(rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pressure", pa.float64()),
        ("pressure", pa.decimal128(10, 4)),
        ("pressure", pa.decimal128(12, 6)),
        ("sequence_number", pa.int64()),
        ("created_at", pa.timestamp("us")),
        ("created_at", pa.timestamp("ms", "UTC")),
    ],
)
def test_everything_else_is_unusable(name: str, kind: pa.DataType) -> None:
    with pytest.raises(Unusable, match=f"{name} is .* which is not read as"):
        archive_schemas.conform(altered(batch(SERIES), name, kind), SERIES)


def test_a_column_too_many_and_a_null_too_many_are_unusable() -> None:
    rows = batch(SERIES)
    with pytest.raises(Unusable, match="has no note"):
        archive_schemas.conform(rows.append_column("note", pa.array([""])), SERIES)
    nothing = pa.Table.from_batches([rows]).set_column(0, "id", pa.nulls(1, pa.int64())).to_batches()[0]
    with pytest.raises(Unusable, match="id is NULL and may not be"):
        archive_schemas.conform(nothing, SERIES)


def test_columns_may_come_in_another_order() -> None:
    rows = batch(SERIES)
    assert archive_schemas.conform(rows.select(rows.schema.names[::-1]), SERIES).equals(rows)


def test_a_schema_of_no_version_is_unusable() -> None:
    with pytest.raises(Unusable, match="no version of simulation_time_series"):
        archive_schemas.registered_version(archive_schemas.current(LOGS).schema, SERIES)
