"""The schema `mgg` as the server keeps it: constraints, triggers, views, partitions, and what readers may not see."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors

from meva_pipelines.schema.base import METADATA

SEED_TABLES = {
    "users", "igniter_types", "nc_types", "gp_types", "test_devices", "work_orders", "forward_simulations",
    "simulation_time_series", "reverse_simulations", "test_results", "test_result_files", "test_time_series",
    "pt_comparisons", "operation_logs", "archive_batches", "model_versions", "retention_policies",
}  # fmt: skip
POLICY = "INSERT INTO mgg.retention_policies (table_name, retention_days, age_column, {}) VALUES ('t', 90, 'c', {})"


@pytest.fixture
def owner(warehouse_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute("INSERT INTO mgg.users (username, email, full_name) VALUES ('u', 'u@example.org', 'U')")
        connection.execute(
            "INSERT INTO mgg.work_orders (work_order_number, created_by) VALUES ('WO-20260101-120000', 1)"
        )
        connection.execute(
            "INSERT INTO ops.sync_runs (subject, source, mode, day, dagster_run_id, status)"
            " VALUES ('s', 's', 'full', '2026-01-01', 'r', 'started')"
        )
        yield connection


def simulation(connection: psycopg.Connection, **values: Any) -> int:
    columns = {
        "user_id": 1,
        "work_order_id": 1,
        "name": "s",
        "version": 1,
        "is_current": True,
        "content_sha256": "c",
        "token": 1,
        "peak_pressure": 30,
        "peak_time": 5,
        "num_data_points": 2,
        "created_at": "2026-02-03 00:00+00",
    } | values
    row = connection.execute(
        f"INSERT INTO mgg.forward_simulations ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
        " RETURNING id",
        list(columns.values()),
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_the_seventeen_tables_are_there() -> None:
    assert {table.name for table in METADATA.tables.values() if table.schema == "mgg"} >= SEED_TABLES


def test_every_column_tells_what_it_means() -> None:
    silent = [c for t in METADATA.tables.values() if t.schema == "mgg" for c in t.columns if not c.comment]
    assert silent == []


def test_no_index_repeats_the_beginning_of_a_unique_one(owner: psycopg.Connection) -> None:
    """The design listed several that a UNIQUE constraint gives already."""
    rows = owner.execute(
        "SELECT a.indexrelid::regclass::text FROM pg_index AS a JOIN pg_index AS b USING (indrelid)"
        " JOIN pg_class AS t ON t.oid = a.indrelid WHERE t.relnamespace = 'mgg'::regnamespace AND NOT a.indisunique"
        " AND a.indpred IS NULL AND a.indexrelid <> b.indexrelid AND b.indisunique AND b.indpred IS NULL"
        " AND a.indoption::text NOT LIKE '%3%' AND b.indkey::text || ' ' LIKE a.indkey::text || ' %'"
    ).fetchall()
    assert rows == []


@pytest.mark.parametrize(
    ("columns", "values", "constraint"),
    [
        ("delete_after_archive", "true", "retention_policies_delete_needs_archive_check"),
        ("archive_enabled", "true", "retention_policies_archive_needs_period_check"),
        ("file_period", "'quarter'", "retention_policies_archive_needs_period_check"),
        ("archive_enabled, file_period", "true, 'week'", "retention_policies_file_period_check"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(
    owner: psycopg.Connection, columns: str, values: str, constraint: str
) -> None:
    with pytest.raises(errors.CheckViolation) as caught:
        owner.execute(POLICY.format(columns, values))
    assert caught.value.diag.constraint_name == constraint


def test_by_default_nothing_is_archived_and_nothing_deleted(owner: psycopg.Connection) -> None:
    owner.execute("INSERT INTO mgg.retention_policies (table_name, retention_days, age_column) VALUES ('t', 90, 'c')")
    row = owner.execute("SELECT archive_enabled, delete_after_archive FROM mgg.retention_policies").fetchone()
    assert row == (False, False)


@pytest.mark.parametrize("table", ["users", "work_orders", "test_results", "retention_policies"])
def test_a_change_is_stamped(owner: psycopg.Connection, table: str) -> None:
    found = owner.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s",
        [f"mgg.{table}", f"{table}_touch"],
    ).fetchone()
    assert found == (1,)
    if table == "users":
        before = owner.execute("SELECT updated_at FROM mgg.users").fetchone()
        owner.execute("UPDATE mgg.users SET department = 'RD'")
        assert owner.execute("SELECT updated_at > %s FROM mgg.users", before).fetchone() == (True,)


@pytest.mark.parametrize("number", ["WO-1", "WO-20260101-1200", "XX-20260101-120000", "WO-20260101-120000-1"])
def test_a_work_order_has_its_form(owner: psycopg.Connection, number: str) -> None:
    with pytest.raises(errors.CheckViolation):
        owner.execute("INSERT INTO mgg.work_orders (work_order_number, created_by) VALUES (%s, 1)", [number])


def test_orders_of_one_second_are_told_apart(owner: psycopg.Connection) -> None:
    owner.execute("INSERT INTO mgg.work_orders (work_order_number, created_by) VALUES ('WO-20260101-120000-02', 1)")


@pytest.mark.parametrize(
    ("table", "moment", "part", "low", "high"),
    [
        ("simulation_time_series", "2024-01-01 00:00+09", "simulation_time_series_2023_q4", "2023-10-01", "2024-01-01"),
        ("simulation_time_series", "2024-03-31 23:59+00", "simulation_time_series_2024_q1", "2024-01-01", "2024-04-01"),
        ("operation_logs", "2024-02-29 12:00+00", "operation_logs_2024_02", "2024-02-01", "2024-03-01"),
    ],
)
def test_partitions_are_made_on_demand_in_utc(
    owner: psycopg.Connection, table: str, moment: str, part: str, low: str, high: str
) -> None:
    owner.execute("SET timezone = 'Asia/Seoul'")
    for _ in range(2):
        assert owner.execute("SELECT mgg.ensure_partition(%s, %s)", [table, moment]).fetchone() == (part,)
    owner.execute("SET timezone = 'UTC'")
    bounds = owner.execute(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = %s::regclass", [f"mgg.{part}"]
    ).fetchone()
    assert bounds == (f"FOR VALUES FROM ('{low} 00:00:00+00') TO ('{high} 00:00:00+00')",)


def test_the_writer_makes_partitions_and_no_other_tables(owner: psycopg.Connection) -> None:
    owner.execute("SET ROLE meva_writer")
    owner.execute("SELECT mgg.ensure_partition('test_time_series', '2026-05-05')")
    for statement, error in (
        ("SELECT mgg.ensure_partition('users', now())", errors.InvalidParameterValue),
        ("SELECT mgg.ensure_partition('x; DROP TABLE mgg.users', now())", errors.InvalidParameterValue),
        ("CREATE TABLE mgg.mine (x int)", errors.InsufficientPrivilege),
    ):
        with pytest.raises(error):
            owner.execute(statement)
    owner.execute("SET ROLE meva_reader")
    with pytest.raises(errors.InsufficientPrivilege):
        owner.execute("SELECT mgg.ensure_partition('test_time_series', '2026-05-05')")


def test_a_row_lies_in_the_quarter_of_its_simulation_or_nowhere(owner: psycopg.Connection) -> None:
    number = simulation(owner)
    owner.execute("SELECT mgg.ensure_partition('simulation_time_series', '2026-02-03')")
    owner.execute("SELECT mgg.ensure_partition('simulation_time_series', '2026-05-03')")
    insert = (
        "INSERT INTO mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure, created_at)"
        " VALUES (%s, 0, 0, 0, %s)"
    )
    with pytest.raises(errors.ForeignKeyViolation):
        owner.execute(insert, [number, datetime(2026, 5, 3, tzinfo=UTC)])
    owner.execute(insert, [number, datetime(2026, 2, 3, tzinfo=UTC)])
    with pytest.raises(errors.UniqueViolation):
        owner.execute(insert, [number, datetime(2026, 2, 3, tzinfo=UTC)])


def test_a_quarter_is_dropped_whole_and_the_simulation_stays(owner: psycopg.Connection) -> None:
    number = simulation(owner)
    owner.execute("SELECT mgg.ensure_partition('simulation_time_series', '2026-02-03')")
    owner.execute(
        "INSERT INTO mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure, created_at)"
        " SELECT %s, n, n, n, '2026-02-03 00:00+00' FROM generate_series(0, 99) AS n",
        [number],
    )
    owner.execute("ALTER TABLE mgg.simulation_time_series DETACH PARTITION mgg.simulation_time_series_2026_q1")
    owner.execute("DROP TABLE mgg.simulation_time_series_2026_q1")
    assert owner.execute("SELECT count(*) FROM mgg.simulation_time_series").fetchone() == (0,)
    assert owner.execute("SELECT count(*) FROM mgg.forward_simulations").fetchone() == (1,)


def test_only_one_version_of_a_name_counts(owner: psycopg.Connection) -> None:
    simulation(owner)
    with pytest.raises(errors.UniqueViolation):
        simulation(owner, version=2, content_sha256="d")


@pytest.mark.parametrize(
    "values",
    [
        {"peak_pressure": None},
        {"status": "failed"},
        {"status": "unknown"},
        {"nc_amount": -1},
        {"r_squared": 1.1},
        {"simulation_type": "sideways"},
    ],
)
def test_a_simulation_says_what_its_status_needs(owner: psycopg.Connection, values: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation):
        simulation(owner, **values)


def test_the_views_show_what_counts(owner: psycopg.Connection) -> None:
    simulation(owner)
    simulation(owner, name="failed", status="failed", error_message="e", content_sha256="f")
    simulation(owner, name="old", is_current=False, content_sha256="o")
    rows = owner.execute("SELECT work_order_number, username, full_name, peak_pressure FROM mgg.v_active_simulations")
    assert rows.fetchall() == [("WO-20260101-120000", "u", "U", 30)]
    owner.execute(
        "INSERT INTO mgg.test_results (user_id, work_order_id, tester_id, test_date, recorded_at, name, version,"
        " is_current, content_sha256, token) VALUES (1, 1, 'E1', '2026-02-03', now(), 't', 1, true, 'c', 1)"
    )
    owner.execute(
        "INSERT INTO mgg.test_result_files (test_result_id, test_date, position, file_name, file_path)"
        " SELECT 1, '2026-02-03', n, 'f', 'p' FROM generate_series(0, 2) AS n"
    )
    rows = owner.execute("SELECT work_order_number, tester_id, device_name, file_count FROM mgg.v_test_results_summary")
    assert rows.fetchall() == [("WO-20260101-120000", "E1", None, 3)]


def test_a_reader_sees_the_views_without_the_people(owner: psycopg.Connection) -> None:
    simulation(owner)
    owner.execute("SET ROLE meva_reader")
    assert owner.execute("SELECT work_order_number, peak_time FROM mgg.v_active_simulations").fetchall()
    for query in (
        "SELECT username FROM mgg.v_active_simulations",
        "SELECT tester_id FROM mgg.v_test_results_summary",
        "SELECT full_name FROM mgg.users",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            owner.execute(query)


def test_an_operation_log_is_never_changed(owner: psycopg.Connection) -> None:
    owner.execute("SELECT mgg.ensure_partition('operation_logs', now())")
    owner.execute("INSERT INTO mgg.operation_logs (log_type, action) VALUES ('admin', 'a')")
    with pytest.raises(errors.RestrictViolation):
        owner.execute("UPDATE mgg.operation_logs SET action = 'b'")


@pytest.mark.parametrize("table", ["forward_simulations", "test_results", "test_result_files"])
def test_a_parent_is_never_deleted_under_its_series(owner: psycopg.Connection, table: str) -> None:
    """Its curve may lie in a cold file by now: nobody but who takes the trigger away gets rid of it."""
    simulation(owner)
    owner.execute(
        "INSERT INTO mgg.test_results (user_id, test_date, recorded_at, name, version, is_current, content_sha256,"
        " token) VALUES (1, '2026-02-03', now(), 't', 1, true, 'c', 1)"
    )
    owner.execute(
        "INSERT INTO mgg.test_result_files (test_result_id, test_date, position, file_name, file_path)"
        " VALUES (1, '2026-02-03', 0, 'f', 'p')"
    )
    with pytest.raises(errors.RestrictViolation, match="kept for ever"):
        owner.execute(f"DELETE FROM mgg.{table}")
