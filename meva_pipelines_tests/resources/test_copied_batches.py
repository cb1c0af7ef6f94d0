"""Rows through COPY: whatever a column can hold comes out of PostgreSQL, and goes back in, as it is."""

from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import archive_columns, archive_schemas, copied_batches
from meva_pipelines_tests.resources.archived_rows import rows_of

CASES = st.sampled_from(list(TABLES.values())).flatmap(lambda table: st.tuples(st.just(table), rows_of(table, most=8)))


@pytest.fixture
def plain(warehouse_url: str) -> Any:
    """A session with bare tables of the same columns."""
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        for table in TABLES.values():
            connection.execute(
                sql.SQL("CREATE TEMP TABLE {} (LIKE {})").format(
                    sql.Identifier(table.name), sql.Identifier(table.schema, table.name)
                )
            )
        connection.execute("SET timezone = 'UTC'")
        yield connection


def select(table: Archived) -> sql.Composed:
    return sql.SQL("SELECT {} FROM pg_temp.{} ORDER BY {}").format(
        sql.SQL(", ").join(map(copied_batches.selected, archive_columns.columns(table))),
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, table.key)),
    )


def put(connection: psycopg.Connection, table: Archived, rows: list[dict[str, Any]]) -> None:
    schema = archive_schemas.current(table).schema
    statement = sql.SQL("COPY pg_temp.{} ({}) FROM STDIN (FORMAT CSV)").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, schema.names))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in pa.Table.from_pylist(rows, schema).to_batches():
            copy.write(copied_batches.encoded(batch))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CASES)
def test_rows_go_in_and_come_out_as_they_are(
    plain: psycopg.Connection, case: tuple[Archived, list[dict[str, Any]]]
) -> None:
    table, rows = case
    put(plain, table, rows)
    found = list(copied_batches.fetched(plain, select(table), archive_schemas.current(table).schema))
    told = plain.execute(select(table)).fetchall()
    plain.execute(sql.SQL("TRUNCATE pg_temp.{}").format(sql.Identifier(table.name)))
    ordered = sorted(rows, key=lambda row: [row[name] for name in table.key])
    assert [row for batch in found for row in batch.to_pylist()] == ordered
    names = archive_schemas.current(table).schema.names
    assert told == [tuple(row[name] for name in names) for row in ordered]


def test_a_lone_column_tells_null_from_nothing(plain: psycopg.Connection) -> None:
    """A NULL alone in its row is an empty line, which is easily taken for no row."""
    statement = sql.SQL("SELECT t FROM (VALUES (1, NULL), (2, ''), (3, 'NULL'), (4, NULL)) AS v (n, t) ORDER BY n")
    (batch,) = copied_batches.fetched(plain, statement, pa.schema([("t", pa.string())]))
    assert batch.column("t").to_pylist() == [None, "", "NULL", None]


def test_many_rows_come_in_pieces(plain: psycopg.Connection) -> None:
    statement = sql.SQL("SELECT n, repeat('x', 100) AS t FROM generate_series(1, 100000) AS n")
    found = list(copied_batches.fetched(plain, statement, pa.schema([("n", pa.int64()), ("t", pa.string())])))
    assert len(found) > 2
    assert [number for batch in found for number in batch.column("n").to_pylist()] == list(range(1, 100_001))


def test_a_number_that_is_none_is_an_error(plain: psycopg.Connection) -> None:
    schema = pa.schema([("pressure", pa.decimal128(10, 6))])
    with pytest.raises(Rejected, match="pressure"):
        list(copied_batches.fetched(plain, sql.SQL("SELECT 'NaN'::numeric AS pressure"), schema))


def test_rows_that_nobody_takes_leave_the_session_usable(plain: psycopg.Connection) -> None:
    statement = sql.SQL("SELECT n, repeat('x', 100) AS t FROM generate_series(1, 1000000) AS n")
    rows = copied_batches.fetched(plain, statement, pa.schema([("n", pa.int64()), ("t", pa.string())]))
    next(rows)
    rows.close()
    assert plain.execute("SELECT 1").fetchone() == (1,)
