"""Curves on their way into PostgreSQL and back: the server's own arithmetic agrees with every point."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources.simulation_series import Measured, Simulated
from meva_pipelines.resources.tensile_points import COPY_HEADER, COPY_TRAILER

WHOLE = st.integers(-9_999_999_999, 9_999_999_999)


@pytest.fixture
def plain(warehouse_url: str) -> Iterator[psycopg.Connection]:
    """A session with bare tables of the same columns."""
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE s (LIKE mgg.simulation_time_series)")
        connection.execute("ALTER TABLE s ALTER id DROP NOT NULL")
        yield connection


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=40))
def test_every_decimal_arrives_exactly(plain: psycopg.Connection, points: list[tuple[int, int]]) -> None:
    times, pressures = (np.array(column) for column in zip(*points, strict=True))
    rows = Simulated(7, datetime(2026, 5, 4, 3, 2, 1, 5, tzinfo=UTC), StoredCurve(times, pressures))
    statement = "COPY s (simulation_id, sequence_number, time_point, pressure, created_at) FROM STDIN (FORMAT BINARY)"
    with plain.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(COPY_HEADER + rows.encoded + COPY_TRAILER)
    found = plain.execute(
        "SELECT simulation_id, (time_point * 1000000)::bigint, (pressure * 1000000)::bigint, created_at FROM s"
        " ORDER BY sequence_number"
    ).fetchall()
    plain.execute("TRUNCATE s")
    assert [row[1:3] for row in found] == points
    assert {(row[0], row[3]) for row in found} == {(7, datetime(2026, 5, 4, 3, 2, 1, 5, tzinfo=UTC))}


def test_the_text_of_a_number_is_the_usual_one(plain: psycopg.Connection) -> None:
    """Digits of our own making must not differ from those that PostgreSQL would have made."""
    points = [(0, 0), (1, -1), (10_000, 100), (1_000_000, -45_123_456), (9_999_999_999, -9_999_999_999)]
    times, pressures = (np.array(column) for column in zip(*points, strict=True))
    rows = Simulated(1, datetime(2026, 1, 1, tzinfo=UTC), StoredCurve(times, pressures))
    statement = "COPY s (simulation_id, sequence_number, time_point, pressure, created_at) FROM STDIN (FORMAT BINARY)"
    with plain.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(COPY_HEADER + rows.encoded + COPY_TRAILER)
    found = plain.execute(
        "SELECT s.time_point::text, (n.t / 1000000.0)::numeric(10,6)::text, hash_numeric(s.pressure),"
        " hash_numeric(n.p / 1000000.0)"
        " FROM s JOIN unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS n(t, p, k) ON k - 1 = sequence_number",
        [times.tolist(), pressures.tolist()],
    ).fetchall()
    assert len(found) == len(points)
    for ours, usual, our_hash, usual_hash in found:
        assert (ours, our_hash) == (usual, usual_hash)


def test_a_measured_row_carries_its_file_and_its_day() -> None:
    rows = Measured(3, 9, date(2026, 2, 1), StoredCurve(np.array([0, 1]), np.array([5, -5])))
    assert len(rows.encoded) == 2 * (2 + 12 + 12 + 8 + 18 + 18 + 8)
