"""An old database is taken over once, from where it stopped, and proved by what both sides hold."""

import sqlite3
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.resources import ledger, sqlite_source, sqlite_takeover
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.sqlite_proof import Proof
from meva_pipelines.resources.sqlite_takeover import Takeover
from meva_pipelines.sandbox.firings import Season
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures import old_databases

SEOUL = ZoneInfo("Asia/Seoul")
ORDERS = 3


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    old_databases.write(path, Season(orders=ORDERS, repeats=1))
    return path


def take_over(postgres: Postgres, path: Path) -> dict[str, Proof]:
    with sqlite_source.opened(path) as source:
        with postgres.connect(Role.WRITER, work="test") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject=sqlite_takeover.SUBJECT,
                source=source.sha256[:12],
                mode=Mode.FULL,
                day=date(2026, 11, 21),
                dagster_run_id="run",
            )
        return {proof.table: proof for proof in Takeover(postgres, source, attempt, SEOUL).run()}


def rows(postgres: Postgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.dsn()) as connection:
        return connection.execute(query).fetchall()


def test_every_old_row_is_here_or_in_quarantine(postgres: Postgres, old: Path) -> None:
    proofs = take_over(postgres, old)
    with closing(sqlite3.connect(old)) as connection:
        for table, proof in proofs.items():
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert proof.source_rows == count == proof.rows + proof.quarantined_rows, table
            assert proof.quarantined_rows == old_databases.FLAWED.get(table, 0), table
    assert rows(
        postgres, "SELECT bool_and(proved_at IS NOT NULL AND source_digest = target_digest) FROM mgg.takeovers"
    )[0] == (True,)


def test_what_cannot_be_taken_says_why(postgres: Postgres, old: Path) -> None:
    take_over(postgres, old)
    found = rows(postgres, "SELECT split_part(name, '/', 2), field FROM mgg.quarantine WHERE subject = 'takeover'")
    assert sorted(found, key=str) == sorted(
        [
            ("work_orders", "work_orders_number_check"),
            ("forward_simulations", "user_id"),
            ("operation_logs", "InvalidTextRepresentation"),
            ("simulation_time_series", None),
        ],
        key=str,
    )


def test_naive_times_are_those_of_the_stated_zone(postgres: Postgres, old: Path) -> None:
    take_over(postgres, old)
    ((moment,),) = rows(postgres, "SELECT created_at FROM mgg.users LIMIT 1")
    assert moment == datetime(2024, 3, 1, 9, 0, tzinfo=SEOUL)


def test_points_arrive_as_they_were(postgres: Postgres, old: Path) -> None:
    take_over(postgres, old)
    order = next(Season(orders=ORDERS, repeats=1).work_orders())
    firing = next(Season(orders=ORDERS, repeats=1).firings(order))
    found = rows(
        postgres,
        "SELECT s.pressure::float8 FROM mgg.test_time_series AS s JOIN mgg.test_results AS t ON t.id = s.test_result_id"
        " JOIN mgg.work_orders AS w ON w.id = t.work_order_id WHERE w.work_order_number ="
        f" '{order.number}' ORDER BY s.sequence_number",
    )
    assert [value for (value,) in found] == pytest.approx(firing.readings_mpa(old_databases.POINTS).tolist(), abs=5e-7)


def test_a_second_takeover_changes_nothing(postgres: Postgres, old: Path) -> None:
    first = take_over(postgres, old)
    before = rows(
        postgres, "SELECT count(*) FROM mgg.operation_logs UNION ALL SELECT count(*) FROM mgg.test_time_series"
    )
    assert take_over(postgres, old) == first
    after = rows(
        postgres, "SELECT count(*) FROM mgg.operation_logs UNION ALL SELECT count(*) FROM mgg.test_time_series"
    )
    assert before == after


def test_a_row_that_was_changed_is_found_by_the_proof(postgres: Postgres, old: Path) -> None:
    take_over(postgres, old)
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute(
            "UPDATE mgg.simulation_time_series SET pressure = pressure + 0.000001 WHERE sequence_number = 7"
        )
    with pytest.raises(Rejected, match="simulation_time_series differs"):
        take_over(postgres, old)


def test_a_row_that_vanished_is_found_by_the_proof(postgres: Postgres, old: Path) -> None:
    take_over(postgres, old)
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("DELETE FROM mgg.operation_logs WHERE id = (SELECT min(id) FROM mgg.operation_logs)")
    with pytest.raises(Rejected, match="operation_logs differs"):
        take_over(postgres, old)


def test_a_name_that_was_here_with_other_content_is_told(postgres: Postgres, old: Path) -> None:
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("INSERT INTO mgg.igniter_types (type_code, description) VALUES ('IG-0', 'another')")
    with pytest.raises(Rejected, match="igniter_types differs"):
        take_over(postgres, old)


def test_rows_that_were_archived_since_are_proved_as_they_were(postgres: Postgres, old: Path) -> None:
    first = take_over(postgres, old)["simulation_time_series"]
    quarters = rows(postgres, "SELECT DISTINCT tableoid::regclass::text FROM mgg.simulation_time_series")
    with psycopg.connect(postgres.dsn()) as connection:
        for ((quarter,),) in zip(quarters, strict=True):
            connection.execute(f"DROP TABLE {quarter}")
    with pytest.raises(Rejected, match="simulation_time_series differs"):
        take_over(postgres, old)
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute(
            "INSERT INTO mgg.archive_batches (batch_name, table_name, period, start_date, end_date, row_count, digest,"
            " parquet_file_path, checksum, status, verified_at, archived_at) VALUES ('b', 'simulation_time_series',"
            " '2024-Q1', '2024-01-01Z', '2024-04-01Z', 1, '1', 'p', 'c', 'committed', now(), now())"
        )
    again = take_over(postgres, old)["simulation_time_series"]
    assert again.proved_before is not None
    assert (again.rows, again.digest) == (first.rows, first.digest)


def test_a_database_that_is_still_open_is_refused(postgres: Postgres, old: Path) -> None:
    """What lies in its write-ahead log would be missed by both sides of the proof."""
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE users SET department = 'RD'")
        connection.commit()
        with pytest.raises(Refused, match="-wal holds changes"):
            take_over(postgres, old)


def test_text_in_another_encoding_waits_in_quarantine(postgres: Postgres, old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        gbk = "CAST(x'D6D0B9FA' AS TEXT)"
        connection.execute(
            f"INSERT INTO igniter_types (id, type_code, description, is_active) VALUES (9, 'IG-9', {gbk}, 1)"
        )
        connection.execute(
            "INSERT INTO igniter_types (id, type_code, description, is_active) VALUES (10, 'IG-' || char(0), 'x', 1)"
        )
        connection.execute("UPDATE work_orders SET created_by = 'nobody' WHERE id = 990")
        connection.commit()
    assert take_over(postgres, old)["igniter_types"].quarantined_rows == 2
    found = rows(postgres, "SELECT rule, field FROM mgg.quarantine WHERE name LIKE '%/igniter_types/%' ORDER BY name")
    assert found == [("DataError", "DataError"), ("value_is_typed", "description")]
    assert ("reference_exists",) in rows(postgres, "SELECT rule FROM mgg.quarantine WHERE name LIKE '%/990'")


def test_the_old_database_is_only_read(postgres: Postgres, old: Path) -> None:
    before = old.read_bytes()
    take_over(postgres, old)
    assert old.read_bytes() == before


def test_what_is_no_database_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database", encoding="utf-8")
    for name, why in (("text", "no SQLite database"), ("absent", "cannot be read")):
        with pytest.raises(Refused, match=why):
            take_over(postgres, tmp_path / name)
