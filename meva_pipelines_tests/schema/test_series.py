"""The points of tensile tests lie in hash partitions, or in a hypertable where the server has TimescaleDB loaded.

The second half runs where a server with the extension is named: MEVA_TIMESCALEDB_URL, a superuser's.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import migrate, series
from meva_pipelines.schema.series import Layout
from meva_pipelines_tests.conftest import TIMESCALEDB_URL
from meva_pipelines_tests.resources.tensile_desk import Desk, later, recording


def test_the_points_lie_in_hash_partitions_of_equal_share(warehouse_url: str) -> None:
    with psycopg.connect(warehouse_url) as connection:
        bounds = connection.execute(
            "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'meva.tensile_data'::regclass ORDER BY c.relname"
        ).fetchall()
    assert [bound for (bound,) in bounds] == [
        f"FOR VALUES WITH (modulus {series.PARTITIONS}, remainder {number})" for number in range(series.PARTITIONS)
    ]


def test_a_search_by_test_looks_into_one_partition_and_uses_the_index(warehouse_url: str) -> None:
    with psycopg.connect(warehouse_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(
            line
            for (line,) in connection.execute(
                "EXPLAIN SELECT * FROM meva.tensile_data WHERE test_id = 7 ORDER BY timestamp"
            )
        )
    assert len(set(re.findall(r"\btensile_data_(\d+)", plan))) == 1
    assert "_test_id_timestamp_idx" in plan


def test_a_test_that_has_points_is_not_deleted(warehouse_url: str, tmp_path: Path) -> None:
    desk = Desk(Postgres(url=warehouse_url, home=""), ObjectStore(url=(tmp_path / "store").as_uri()))
    desk.deliver(recording())
    with (
        psycopg.connect(warehouse_url) as connection,
        pytest.raises(psycopg.errors.ForeignKeyViolation, match="still has points"),
    ):
        connection.execute("DELETE FROM meva.tensile_test")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e10"])
@pytest.mark.parametrize("column", ["load_n", "displacement_mm", "crosshead_mm", "strain", "elapsed_s"])
def test_no_impossible_number_is_stored(warehouse_url: str, column: str, value: str) -> None:
    given = {"load_n": "1", "displacement_mm": "1", column: value}
    statement = sql.SQL(
        "INSERT INTO meva.tensile_data (test_id, point, timestamp, {}) VALUES (1, 0, now(), {})"
    ).format(sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Literal, given.values())))
    with psycopg.connect(warehouse_url) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(statement)


# ---- TimescaleDB


@pytest.fixture
def timescale_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Libpq URL of an empty database on the server that has the extension loaded."""
    server = make_url(request.config.stash[TIMESCALEDB_URL])
    name = f"meva_series_{os.getpid()}"
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield server.set(database=name).render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.timescaledb
def test_where_the_extension_is_loaded_the_points_lie_in_chunks_of_one_day(timescale_url: str, tmp_path: Path) -> None:
    migrate.upgrade(timescale_url)
    migrate.upgrade(timescale_url)
    desk = Desk(Postgres(url=timescale_url, home=""), ObjectStore(url=(tmp_path / "store").as_uri()))
    desk.deliver(recording("A-1", started_at=later(0)), recording("A-2", started_at=later(-3 * 1_440)))
    desk.deliver(recording("A-1", started_at=later(0), stiffness=2.0), at=later(5))
    assert desk.rows(
        "SELECT count(*), max(range_end - range_start)::text FROM timescaledb_information.chunks"
        " WHERE hypertable_schema = 'meva' AND hypertable_name = 'tensile_data'"
    ) == [(2, "1 day")]
    assert desk.rows("SELECT count(*), max(load_n) FROM meva.tensile_data") == [(100, 9800.0)]
    before = desk.digest()
    desk.undo(desk.newest())
    assert desk.digest() != before
    assert desk.rows("SELECT count(*), max(load_n) FROM meva.tensile_data") == [(100, 4900.0)]
    migrate.downgrade(timescale_url)


@pytest.mark.timescaledb
def test_partitions_can_be_asked_for_where_the_extension_is_loaded(timescale_url: str) -> None:
    migrate.upgrade(timescale_url, layout=Layout.PARTITIONS)
    with psycopg.connect(timescale_url) as connection:
        assert connection.execute(
            "SELECT relkind FROM pg_class WHERE oid = 'meva.tensile_data'::regclass"
        ).fetchone() == ("p",)
        assert connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchall() == []
