"""Of any cold rows, those are left whose keys are not hot, whichever way the server is asked for the keys."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Operator
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources import hot_keys
from meva_pipelines.resources.hot_keys import HotKeys
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources import archived_rows
from meva_pipelines_tests.resources.archived_rows import QUARTER, SERIES
from meva_pipelines_tests.resources.test_archive_export import lay_points

CURVES, POINTS = 40, 4_000
SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15, deadline=None
)


@pytest.fixture
def connection(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with postgres.connect(Role.READER, work="test") as connection:
        yield connection


@pytest.fixture
def keys(postgres: Postgres, connection: psycopg.Connection) -> HotKeys:
    """Those of 160,000 points, which are more than are taken at once."""
    lay_points(postgres.dsn(), POINTS, curves=CURVES)
    with psycopg.connect(postgres.dsn(), autocommit=True) as owner:
        owner.execute("ANALYZE mgg.simulation_time_series")
    return HotKeys(connection, SERIES, QUARTER)


def points(*places: tuple[int, int], later_us: int = 0) -> pa.RecordBatch:
    """Cold rows of curves and numbers: their keys, and something that is not hot."""
    moments = [QUARTER.start + timedelta(hours=curve, microseconds=later_us) for curve, _ in places]
    columns = {
        "note": [f"{curve} {number}" for curve, number in places],
        "simulation_id": pa.array([curve for curve, _ in places], pa.int32()),
        "sequence_number": pa.array([number for _, number in places], pa.int32()),
        "created_at": pa.array(moments, pa.timestamp("us", "UTC")),
    }
    return pa.RecordBatch.from_pydict(columns)


def left(keys: HotKeys, *rows: pa.RecordBatch) -> list[str]:
    return [note for batch in keys.hide(rows) for note in batch.column("note").to_pylist()]


@pytest.mark.parametrize("step", [1, 2, 29, 7_919, 100_000])
def test_rows_that_are_not_hot_are_left_in_their_order(keys: HotKeys, step: int) -> None:
    """Every curve has as many numbers again as are hot."""
    every = range(0, 2 * CURVES * POINTS, step)
    places = [(1 + row // (2 * POINTS), row % (2 * POINTS)) for row in every]
    expected = [f"{curve} {number}" for curve, number in places if number >= POINTS]
    assert left(keys, points(*places)) == expected
    pieces = [points(*places[start : start + 30_001]) for start in range(0, len(places), 30_001)]
    assert left(keys, *pieces) == expected


def test_a_key_is_the_same_in_all_its_values(keys: HotKeys) -> None:
    places = [(1, 0), (1, POINTS - 1), (CURVES, POINTS - 1)]
    assert left(keys, points(*places)) == []
    assert left(keys, points(*places, later_us=1)) == ["1 0", f"1 {POINTS - 1}", f"{CURVES} {POINTS - 1}"]
    assert left(keys, points((0, 0), *places, (CURVES + 1, 0))) == ["0 0", f"{CURVES + 1} 0"]


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([(1, 0), (CURVES, POINTS)], id="far apart"),
        pytest.param([(CURVES // 2, number) for number in range(100)], id="side by side"),
        pytest.param([(curve, 7) for curve in range(1, CURVES)], id="one of each curve"),
        pytest.param([(CURVES // 2, number) for number in range(1_500)], id="many side by side"),
    ],
)
def test_the_keys_of_some_rows_are_not_looked_for_among_all(keys: HotKeys, places: list[tuple[int, int]]) -> None:
    """The server once preferred to walk through ten million keys beside a hundred that it was given."""
    left(keys, points(*places))
    assert_read_at_most(keys, len(places))


def test_rows_of_many_batches_are_not_looked_for_among_all(keys: HotKeys) -> None:
    batches = [[(curve, number) for number in range(0, POINTS, 80)] for curve in range(1, CURVES + 1)]
    assert left(keys, *(points(*batch) for batch in batches)) == []
    assert_read_at_most(keys, sum(map(len, batches)))


def assert_read_at_most(keys: HotKeys, rows: int) -> None:
    read = keys.connection.execute(
        "SELECT sum(seq_tup_read), sum(idx_tup_fetch) FROM pg_stat_xact_user_tables"
        " WHERE relname LIKE 'simulation_time_series%'"
    ).fetchone()
    assert read is not None
    assert read[0] == 0
    assert read[1] <= rows


def test_hot_keys_are_there_when_a_filter_on_keys_chooses_one(keys: HotKeys) -> None:
    assert keys.are_there(EVERYTHING)
    assert keys.are_there(Condition("simulation_id", Operator.EQ, CURVES))
    assert not keys.are_there(Condition("simulation_id", Operator.GT, CURVES))
    assert not HotKeys(keys.connection, SERIES, Period.named("2024-Q2")).are_there(EVERYTHING)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(("few", "at_once"), [(1_000, 65_536), (0, 3)])
@SHARED
@given(data=st.data())
def test_keys_of_every_table_hide_rows(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, table: Archived, few: int, at_once: int, data: st.DataObject
) -> None:
    monkeypatch.setattr(hot_keys, "_FEW", few)
    monkeypatch.setattr(hot_keys, "_AT_ONCE", at_once)
    rows = data.draw(archived_rows.rows_of(table))
    are_hot = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    archived_rows.lay(postgres.dsn(), table, [row for row, is_hot in zip(rows, are_hot, strict=True) if is_hot])
    expected = [row for row, is_hot in zip(rows, are_hot, strict=True) if not is_hot]
    with postgres.connect(Role.ARCHIVER, work="test") as connection:
        keys = HotKeys(connection, table, archived_rows.period_of(table))
        found = list(keys.hide([archived_rows.batch_of(table, rows)]))
    assert found == ([archived_rows.batch_of(table, expected)] if expected else [])
