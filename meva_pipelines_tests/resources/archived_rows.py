"""Made-up rows of every archived table, as hostile as their columns allow, in a warehouse and as record batches."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
from hypothesis import strategies as st
from psycopg import sql

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources import archive_columns, archive_schemas
from meva_pipelines.resources.archive_columns import ColdColumn, Kind
from meva_pipelines.schema.mgg_records import LOG_TYPES

Rows = Sequence[Mapping[str, Any]]
SERIES, FIRED = TABLES["simulation_time_series"], TABLES["test_time_series"]
LOGS, HISTORY = TABLES["operation_logs"], TABLES["aed_history"]
QUARTER, MONTH = Period.named("2024-Q1"), Period.named("2024-02")

_TEXT = st.one_of(
    st.sampled_from(["", " ", "a", "대한민국 서울특별시", "正向仿真", "é", "\\", "'", '"', "\n\t", "NULL", "x" * 37]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
)
_SPECIAL: Mapping[str, st.SearchStrategy[Any]] = {
    "log_type": st.sampled_from(LOG_TYPES),
    "change": st.sampled_from(["updated", "missing", "deleted"]),
    "ip_address": st.none() | st.sampled_from(["192.0.2.1/32", "10.0.0.0/8", "2001:db8::/48", "::1/128"]),
    "chain_hash": st.binary(min_size=32, max_size=32),
}


def period_of(table: Archived) -> Period:
    """The period that the rows of a table lie in."""
    return MONTH if table is LOGS else QUARTER


def rows_of(table: Archived, *, most: int = 30) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of a table within its period, no two of one key."""
    columns = archive_columns.columns(table)
    row = st.fixed_dictionaries({column.name: _values(column, table) for column in columns})
    return st.lists(row, min_size=1, max_size=most, unique_by=lambda one: tuple(one[name] for name in table.key))


def _values(column: ColdColumn, table: Archived) -> st.SearchStrategy[Any]:
    if column.name in _SPECIAL:
        return _SPECIAL[column.name]
    period = period_of(table)
    if column.name == table.age_column:
        seconds = int((period.end - period.start).total_seconds()) - 1
        moments = st.integers(0, seconds * 10**6).map(lambda us: period.start + timedelta(microseconds=us))
        return moments.map(datetime.date) if column.kind is Kind.DAY else moments
    most = 10**column.precision - 1
    plain: Mapping[Kind, st.SearchStrategy[Any]] = {
        Kind.SMALL: st.integers(-(2**15), 2**15 - 1),
        Kind.INTEGER: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 9),
        Kind.BIG: st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9) | st.sampled_from([2**31, -(2**31), 2**32, 1]),
        Kind.DECIMAL: (st.integers(-most, most) | st.sampled_from([0, 1, -1, 10**4, -(10**4), 10**8, 10**6])).map(
            lambda units: Decimal(units).scaleb(-column.scale)
        ),
        Kind.MOMENT: st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis takes naive bounds
        Kind.DAY: st.dates(date(1900, 1, 1), date(2100, 1, 1)),
        Kind.TEXT: _TEXT,
        Kind.BYTES: st.binary(max_size=40),
    }
    return st.none() | plain[column.kind] if column.is_nullable else plain[column.kind]


def lay(dsn: str, table: Archived, rows: Rows) -> None:
    """Let these be the rows of a table, without triggers and foreign keys."""
    names = archive_schemas.current(table).schema.names
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        sql.Identifier(table.schema, table.name),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join([sql.Placeholder()] * len(names)),
    )
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table.schema, table.name)))
        if table.schema == "mgg":
            connection.execute("SELECT mgg.ensure_partition(%s, %s)", [table.name, period_of(table).start])
        cursor.executemany(statement, [[row[name] for name in names] for row in rows])


def batch_of(table: Archived, rows: Rows) -> pa.RecordBatch:
    """The rows as a cold file has them, in the order of their keys; made by Arrow from Python's values."""
    ordered = sorted(rows, key=lambda row: [row[name] for name in table.key])
    return pa.RecordBatch.from_pylist(ordered, archive_schemas.current(table).schema)
