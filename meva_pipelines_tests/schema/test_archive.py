"""What the server itself guarantees of the archive: partitions leave only with proof, and logs are chained."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.resources import archive_chain
from meva_pipelines.schema import migrate
from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.roles import GRANTS
from meva_pipelines_tests.resources import archive_desk

PARENT = "simulation_time_series"
IS_THERE = "SELECT to_regclass('mgg.simulation_time_series_2024_q1') IS NOT NULL"
BATCH = (
    "INSERT INTO mgg.archive_batches (batch_name, table_name, period, start_date, end_date, status, row_count,"
    " parquet_file_path, checksum, digest, verified_at, archived_at, failure)"
    " VALUES ('b', %s, '2024-Q1', %s, %s, %s, 0, 'p', 'c', '0', now(), now(), 'f')"
)


@pytest.fixture
def archiver(warehouse_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute("SELECT mgg.ensure_partition(%s, '2024-02-03')", [PARENT])
        connection.execute("SET ROLE meva_archiver")
        yield connection


def prove(
    connection: psycopg.Connection,
    *,
    table: str = PARENT,
    start: str = "2024-01-01Z",
    end: str = "2024-04-01Z",
    status: str = "verified",
) -> None:
    connection.execute(BATCH, [table, start, end, status])


def drop(connection: psycopg.Connection, low: str = "2024-01-01Z", parent: str = PARENT) -> None:
    connection.execute("SELECT mgg.drop_partition(%s, %s)", [parent, low])


@pytest.mark.parametrize("status", ["verified", "committed"])
def test_a_proved_partition_leaves_and_comes_back_empty(archiver: psycopg.Connection, status: str) -> None:
    prove(archiver, status=status)
    drop(archiver)
    assert archiver.execute(IS_THERE).fetchone() == (False,)
    assert archiver.execute("SELECT mgg.lock_partition(%s, '2024-01-01Z')", [PARENT]).fetchone() == (False,)
    with pytest.raises(errors.UndefinedTable, match="is not there"):
        drop(archiver)
    archiver.execute("SELECT mgg.ensure_partition(%s, '2024-01-01Z')", [PARENT])
    assert archiver.execute(IS_THERE).fetchone() == (True,)


@pytest.mark.parametrize(
    "other",
    [
        {"table": "test_time_series"},
        {"status": "planned"},
        {"status": "written"},
        {"status": "failed"},
        {"start": "2024-04-01Z", "end": "2024-07-01Z"},
        {"end": "2024-03-31Z"},
        {"start": "2024-01-02Z"},
        {"start": "2024-01-01 00:00+09", "end": "2024-04-01 00:00+09"},
    ],
)
def test_the_batch_of_something_else_proves_nothing(archiver: psycopg.Connection, other: dict[str, str]) -> None:
    prove(archiver, **other)
    archiver.execute("SET timezone = 'Asia/Seoul'")
    for function in ("lock_partition", "drop_partition"):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="no cold copy"):
            archiver.execute(f"SELECT mgg.{function}(%s, '2024-01-01Z')".encode(), [PARENT])
    assert archiver.execute(IS_THERE).fetchone() == (True,)


def test_only_the_beginning_of_a_period_names_it(archiver: psycopg.Connection) -> None:
    prove(archiver)
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        drop(archiver, "2024-02-01Z")


@pytest.mark.parametrize("parent", ["users", "aed_history", "simulation_time_series; DROP TABLE mgg.users", ""])
def test_only_tables_with_partitions_lose_one(archiver: psycopg.Connection, parent: str) -> None:
    with pytest.raises(errors.InvalidParameterValue):
        drop(archiver, parent=parent)


def test_a_held_partition_stays(archiver: psycopg.Connection) -> None:
    prove(archiver)
    archiver.execute(
        "INSERT INTO mgg.archive_holds (table_name, start_date, end_date, reason, held_by, until)"
        " VALUES (%s, '2024-03-31Z', '2024-04-02Z', 'r', 'h', now() + interval '1 hour')",
        [PARENT],
    )
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="under a hold"):
        drop(archiver)
    archiver.execute("UPDATE mgg.archive_holds SET lifted_at = now()")
    drop(archiver)


@pytest.mark.parametrize("role", ["meva_writer", "meva_reader", "meva_backup"])
@pytest.mark.parametrize("function", ["lock_partition", "drop_partition"])
def test_nobody_but_the_archiver_touches_partitions(archiver: psycopg.Connection, role: str, function: str) -> None:
    prove(archiver)
    archiver.execute(f"SET ROLE {role}".encode())
    with pytest.raises(errors.InsufficientPrivilege):
        archiver.execute(f"SELECT mgg.{function}(%s, '2024-01-01Z')".encode(), [PARENT])


def test_a_locked_partition_is_read_and_not_written(archiver: psycopg.Connection, warehouse_url: str) -> None:
    prove(archiver)
    with archiver.transaction(), psycopg.connect(warehouse_url, autocommit=True) as other:
        archiver.execute("SELECT mgg.lock_partition(%s, '2024-01-01Z')", [PARENT])
        other.execute("SET lock_timeout = '100ms'")
        assert other.execute("SELECT count(*) FROM mgg.simulation_time_series").fetchone() == (0,)
        for statement in (
            "SELECT mgg.ensure_partition('simulation_time_series', '2024-03-01Z')",
            "DELETE FROM mgg.simulation_time_series",
        ):
            with pytest.raises(errors.LockNotAvailable):
                other.execute(statement)
        other.execute("SELECT mgg.ensure_partition('simulation_time_series', '2024-04-01Z')")


@pytest.mark.parametrize(
    ("status", "missing", "constraint"),
    [
        ("committed", "digest", "committed_has_a_proof"),
        ("committed", "verified_at", "committed_has_a_proof"),
        ("committed", "archived_at", "committed_has_a_proof"),
        ("failed", "failure", "failed_says_why"),
        ("written", "checksum", "written_has_a_file"),
    ],
)
def test_a_state_demands_its_evidence(archiver: psycopg.Connection, status: str, missing: str, constraint: str) -> None:
    prove(archiver, status=status)
    with pytest.raises(errors.CheckViolation) as caught:
        archiver.execute(f"UPDATE mgg.archive_batches SET {missing} = NULL".encode())
    assert caught.value.diag.constraint_name == f"archive_batches_{constraint}_check"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_what_is_personal_is_hidden_from_readers(table: object) -> None:
    for archived in TABLES.values():
        if archived is table:
            columns = METADATA.tables[f"{archived.schema}.{archived.name}"]
            hidden = set(GRANTS[columns].hidden_from_reader) & set(columns.columns.keys())
            assert set(archived.personal) == hidden


def test_logs_that_were_there_before_are_chained_and_the_chain_goes_on(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0006")
    with psycopg.connect(empty_database_url) as connection:
        for month in ("2024-03-01Z", "2024-02-01Z"):
            connection.execute("SELECT mgg.ensure_partition('operation_logs', %s)", [month])
            connection.execute(
                "INSERT INTO mgg.operation_logs (log_type, action, details, ip_address, created_at)"
                " SELECT 'admin', 'a' || n, nullif(n, 3)::text, '10.0.0.0/8', %s FROM generate_series(1, 5) AS n",
                [month],
            )
    migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("SELECT mgg.ensure_partition('operation_logs', '2024-03-02Z')")
        connection.execute(
            "INSERT INTO mgg.operation_logs (log_type, action, created_at) VALUES ('admin', 'b', '2024-03-02Z')"
        )
        chain = archive_chain.verify(archive_desk.chained_logs(connection), head=archive_chain.head(connection))
        assert (chain.logs, chain.is_whole) == (11, True)
        with pytest.raises(errors.RestrictViolation):
            connection.execute("UPDATE mgg.operation_logs SET action = 'c'")


def test_downgrading_keeps_the_logs_and_the_partitions(warehouse_url: str) -> None:
    with psycopg.connect(warehouse_url) as connection:
        connection.execute("SELECT mgg.ensure_partition('operation_logs', '2024-03-02Z')")
        connection.execute(
            "INSERT INTO mgg.operation_logs (log_type, action, created_at) VALUES ('admin', 'b', '2024-03-02Z')"
        )
    migrate.downgrade(warehouse_url, "0006")
    with psycopg.connect(warehouse_url) as connection:
        connection.execute("SELECT mgg.ensure_partition('operation_logs', '2024-04-02Z')")
        connection.execute(
            "INSERT INTO mgg.operation_logs (log_type, action, created_at) VALUES ('admin', 'c', '2024-04-02Z')"
        )
        assert connection.execute("SELECT count(*) FROM mgg.operation_logs").fetchone() == (2,)
