"""Rows that a run worked out are staged whole, told by a digest that no order moves, and gone without a trace."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql
from sqlalchemy import BigInteger, Column, Double, Text
from sqlalchemy.dialects.postgresql import JSONB

from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema.roles import Role

COLUMNS: tuple[Column[Any], ...] = (
    Column("n", BigInteger),
    Column("name", Text),
    Column("value", Double),
    Column("document", JSONB),
)
ATTEMPT = Attempt(
    token=7,
    subject="meva.simulation_result",
    source="evaluator",
    mode=Mode.FULL,
    day=date(2026, 11, 3),
    dagster_run_id="test",
    status=Status.STARTED,
    fetch_id=None,
    staged_digest=None,
    started_at=datetime(2026, 11, 3, tzinfo=UTC),
)
ROWS: list[list[object]] = [
    [1, "강", 0.1 + 0.2, {"E": [1, None]}],
    [2, None, None, None],
    [3, "tab\t\\N\n", -1e300, {"a": "'; --"}],
]


@pytest.fixture
def rows() -> StagedRows:
    return StagedRows(ATTEMPT, "results", COLUMNS)


def test_values_come_back_as_they_were_whatever_they_hold(postgres: Postgres, rows: StagedRows) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        assert rows.stage(connection, ROWS) == 3
        found = connection.execute(sql.SQL("SELECT * FROM {} ORDER BY n").format(rows.table)).fetchall()
    assert [list(row) for row in found] == ROWS


def test_staging_again_starts_anew(postgres: Postgres, rows: StagedRows) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        rows.stage(connection, ROWS)
        digest = rows.digest(connection)
        assert rows.stage(connection, ROWS[:1]) == 1
        assert rows.stage(connection, ROWS) == 3
        assert rows.digest(connection) == digest


@given(order=st.permutations(range(len(ROWS))))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_order_moves_the_digest(postgres: Postgres, rows: StagedRows, order: list[int]) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        rows.stage(connection, ROWS)
        expected = rows.digest(connection)
        rows.stage(connection, [ROWS[place] for place in order])
        assert rows.digest(connection) == expected


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM {} WHERE n = 1", "UPDATE {} SET value = value + 1e-9 WHERE n = 1", "UPDATE {} SET n = 4 WHERE n = 3"],
)
def test_every_change_moves_the_digest(postgres: Postgres, rows: StagedRows, change: str) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        rows.stage(connection, ROWS)
        before = rows.digest(connection)
        connection.execute(sql.SQL(change).format(rows.table))
        assert rows.digest(connection) != before


def test_nothing_is_a_digest_of_its_own(postgres: Postgres, rows: StagedRows) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        assert rows.stage(connection, []) == 0
        assert rows.digest(connection) == "0:0"


def test_rows_that_fail_half_way_leave_no_half(postgres: Postgres, rows: StagedRows) -> None:
    def broken() -> Iterator[list[object]]:
        yield from ROWS
        raise RuntimeError("the evaluation broke")

    with (
        pytest.raises(RuntimeError, match="the evaluation broke"),
        postgres.connect(Role.WRITER, work="test") as connection,
    ):
        rows.stage(connection, broken())
    with postgres.connect(Role.WRITER, work="test") as connection, pytest.raises(errors.UndefinedTable):
        rows.digest(connection)


def test_dropping_twice_is_dropping_once(postgres: Postgres, rows: StagedRows) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        rows.stage(connection, ROWS)
        for _ in range(2):
            rows.drop(connection)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'").fetchone() == (0,)
