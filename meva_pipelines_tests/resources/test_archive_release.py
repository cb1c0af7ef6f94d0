"""Hot rows leave only as they were planned, once, with the line that proves it; whoever interferes stops them."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import MevaError, Refused, Rejected, Superseded, Unavailable
from meva_pipelines.resources import archive_holds, archive_planning, published_runs
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.warehouse import holders_of_locks
from meva_pipelines_tests.resources.archive_desk import (
    HISTORY,
    LOGS,
    MEASURED,
    MONTH,
    POINTS,
    QUARTER,
    SERIES,
    SUITE,
    Desk,
)

TABLES = [(SERIES, QUARTER), (MEASURED, QUARTER), (LOGS, MONTH), (HISTORY, QUARTER)]
EACH_TABLE = pytest.mark.parametrize(("table", "period"), TABLES, ids=lambda value: getattr(value, "name", None))
SHARED = "SELECT pg_advisory_lock_shared(hashtextextended('archive.simulation_time_series.readers', 0))"


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def fill(desk: Desk, table: Archived) -> None:
    fills: dict[Archived, Callable[[], object]] = {
        SERIES: desk.simulate,
        MEASURED: desk.fire,
        LOGS: desk.log,
        HISTORY: desk.supersede,
    }
    fills[table]()


@EACH_TABLE
def test_rows_leave_and_the_books_say_so(desk: Desk, table: Archived, period: Period) -> None:
    for _ in range(3):
        fill(desk, table)
    before = desk.count(table)
    attempt, batch = desk.prove(table, period)
    released = desk.release(attempt, batch)
    assert released.rows == before > 0
    assert desk.count(table) == 0
    assert desk.batches(table, period) == [(1, "committed")]
    assert released.batch.archived_at is not None
    ((kind, subject, rows, executed, proof, token, ceiling),) = desk.rows(
        "SELECT kind, subject, rows, executed_rows, proof, token, ceiling FROM ops.deletion_ledger WHERE id = %s",
        [released.ledger_id],
    )
    assert (kind, subject, rows, executed) == ("archive", f"{table.schema}.{table.name}", before, before)
    assert (token, ceiling) == (attempt.token, 1_000_000)
    assert proof == {
        "batch": batch.name,
        "file": table.file_key(period, 1),
        "sha256": "a" * 64,
        "digest": batch.digest,
        "verdict_token": attempt.token,
        "suites": [SUITE],
    }
    assert desk.rows(
        "SELECT status FROM ops.sync_runs WHERE token = %s UNION ALL SELECT table_name FROM mgg.retention_policies"
        " WHERE last_cleanup_at IS NOT NULL",
        [attempt.token],
    ) == [("published",), (table.name,)]


def test_only_the_period_leaves(desk: Desk) -> None:
    desk.simulate()
    desk.simulate(QUARTER.start - timedelta(microseconds=1))
    desk.simulate(QUARTER.end)
    for moment in (QUARTER.start - timedelta(microseconds=1), QUARTER.start, QUARTER.end):
        desk.supersede(moment)
    desk.release(*desk.prove())
    desk.release(*desk.prove(HISTORY))
    assert desk.count(SERIES) == 2 * POINTS
    assert desk.rows("SELECT valid_to FROM aed.aed_history ORDER BY 1") == [
        (QUARTER.start - timedelta(microseconds=1),),
        (QUARTER.end,),
    ]


def insert_late(desk: Desk) -> None:
    desk.simulate(QUARTER.end - timedelta(days=1))


def change(desk: Desk) -> None:
    desk.execute("UPDATE mgg.simulation_time_series SET pressure = -pressure WHERE sequence_number = 3")


def exchange(desk: Desk) -> None:
    """Rows and sums stay the same."""
    desk.execute("UPDATE mgg.simulation_time_series SET pressure = 4 - pressure WHERE sequence_number IN (1, 4)")


def delete(desk: Desk) -> None:
    desk.execute("DELETE FROM mgg.simulation_time_series WHERE sequence_number = 0")


@pytest.mark.parametrize("interfere", [insert_late, change, exchange, delete])
def test_rows_that_changed_since_the_plan_stay_and_the_next_generation_takes_them(
    desk: Desk, interfere: Callable[[Desk], None]
) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    interfere(desk)
    rows = desk.count(SERIES)
    with pytest.raises(Rejected, match="changed since they were planned"):
        desk.release(attempt, batch)
    assert desk.count(SERIES) == rows
    assert desk.batches() == [(1, "failed")]
    assert desk.rows("SELECT count(*) FROM ops.deletion_ledger") == [(0,)]
    released = desk.release(*desk.prove())
    assert (released.batch.generation, released.rows, desk.count(SERIES)) == (2, rows, 0)
    assert released.batch.file_key == "parquet_archive/simulation_time_series/2024-Q1.g2.parquet"


def test_rows_of_history_that_came_late_stay(desk: Desk) -> None:
    desk.supersede()
    attempt, batch = desk.prove(HISTORY)
    desk.supersede()
    with pytest.raises(Rejected, match="changed"):
        desk.release(attempt, batch)
    assert desk.count(HISTORY) == 2


def test_a_quarter_that_was_brought_back_unchanged_leaves_without_a_new_part(desk: Desk) -> None:
    number = desk.simulate()
    rows = desk.rows("SELECT * FROM mgg.simulation_time_series ORDER BY sequence_number")
    desk.release(*desk.prove())
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        connection.execute("SELECT mgg.ensure_partition('simulation_time_series', %s)", [QUARTER.start])
        connection.cursor().executemany(
            "INSERT INTO mgg.simulation_time_series OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s)", rows
        )
    attempt, batch = desk.prove()
    released = desk.release(attempt, batch)
    assert (released.batch.generation, released.rows, desk.count(SERIES)) == (1, POINTS, 0)
    assert desk.batches() == [(1, "committed")]
    assert desk.rows("SELECT count(*), sum(executed_rows) FROM ops.deletion_ledger") == [(2, 2 * POINTS)]
    assert desk.rows("SELECT id FROM mgg.forward_simulations") == [(number,)]


def test_a_committed_part_stays_committed_when_rows_that_came_back_were_changed(desk: Desk) -> None:
    desk.simulate(points=2)
    desk.release(*desk.prove())
    desk.simulate(points=3)
    attempt, batch = desk.prove()
    assert batch.generation == 2
    change(desk)
    desk.simulate()
    with pytest.raises(Rejected):
        desk.release(attempt, batch)
    assert desk.batches() == [(1, "committed"), (2, "failed")]


def test_above_the_ceiling_nothing_leaves_and_the_batch_stays_verified(desk: Desk) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    with pytest.raises(Refused, match=r"5 rows .* 4 are approved"):
        desk.release(attempt, batch, ceiling=4)
    assert (desk.count(SERIES), desk.batches()) == (POINTS, [(1, "verified")])


def test_without_a_passed_verdict_for_this_digest_nothing_leaves(desk: Desk) -> None:
    desk.simulate()
    attempt = desk.open()
    batch = desk.verify(desk.write(desk.begin(attempt)))
    with pytest.raises(Rejected, match="was not judged"):
        desk.release(attempt, batch)
    attempt = desk.open()
    batch = desk.verify(desk.begin(attempt))
    desk.judge(attempt, batch, is_passed=False)
    with pytest.raises(Rejected, match="failed"):
        desk.release(attempt, batch)
    assert desk.count(SERIES) == POINTS


def test_a_batch_that_is_only_written_does_not_leave(desk: Desk) -> None:
    desk.simulate()
    attempt = desk.open()
    batch = desk.write(desk.begin(attempt))
    desk.judge(attempt, batch)
    with pytest.raises(Refused, match="not verified"):
        desk.release(attempt, batch)
    assert desk.count(SERIES) == POINTS


def test_a_hold_that_was_placed_meanwhile_stops_the_release(desk: Desk) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        hold = archive_holds.place(
            connection, table=SERIES, period=QUARTER, reason="audit", held_by="qa", until=desk.old(-1)
        )
    with pytest.raises(Refused, match="held until"):
        desk.release(attempt, batch)
    assert (desk.count(SERIES), desk.batches()) == (POINTS, [(1, "verified")])
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        archive_holds.lift(connection, hold.id)
    assert desk.release(*desk.prove()).batch.generation == 1


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("delete_after_archive = false", "keeps rows that are archived"),
        ("delete_after_archive = false, archive_enabled = false, file_period = NULL", "archives nothing"),
        ("retention_days = 36500", "hot until"),
        ("file_period = 'month'", "declared"),
        ("table_name = 'other'", "no retention policy"),
    ],
)
def test_a_policy_that_changed_meanwhile_stops_the_release(desk: Desk, policy: str, said: str) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    with desk.postgres.connect(Role.OWNER, work="test") as connection:
        connection.execute(
            f"UPDATE mgg.retention_policies SET {policy} WHERE table_name = 'simulation_time_series'".encode()
        )
    with pytest.raises(Refused, match=said):
        desk.release(attempt, batch)
    assert desk.count(SERIES) == POINTS


def test_of_two_archivers_only_the_newer_releases(desk: Desk) -> None:
    desk.simulate()
    old, batch = desk.prove()
    newer, taken = desk.prove()
    assert (taken.id, taken.token) == (batch.id, newer.token)
    with pytest.raises(Superseded):
        desk.release(old, batch)
    with pytest.raises(Superseded):
        desk.verify(batch)
    desk.release(newer, taken)
    assert desk.rows("SELECT count(*), sum(executed_rows) FROM ops.deletion_ledger") == [(1, POINTS)]


def test_two_archivers_with_the_same_batch_release_it_once(desk: Desk) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    start = threading.Barrier(2)

    def race() -> bool:
        start.wait(timeout=120)
        try:
            desk.release(attempt, batch)
        except MevaError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(future.result(timeout=300) for future in [pool.submit(race) for _ in range(2)]) == [False, True]
    assert desk.rows("SELECT count(*) FROM ops.deletion_ledger") == [(1,)]


def waits(postgres: Postgres, work: str) -> bool:
    """Whether a session with that piece of work waits for a lock, within two minutes."""
    with postgres.connect(Role.READER, work="watch", autocommit=True) as connection:
        for _ in range(6_000):
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
                " AND datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0",
                [f"meva {work}%"],
            ).fetchone()
            if row and row[0]:
                return True
            time.sleep(0.02)
    return False


def test_readers_of_hot_and_cold_are_waited_for(desk: Desk) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    with ThreadPoolExecutor(1) as pool:
        with desk.postgres.connect(Role.READER, work="read") as reader:
            reader.execute(SHARED)
            reader.commit()
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            leaving = pool.submit(desk.release, attempt, batch)
            assert waits(desk.postgres, "publish")
            assert reader.execute(
                "SELECT count(*), (SELECT count(*) FROM mgg.archive_batches WHERE status = 'committed')"
                " FROM mgg.simulation_time_series"
            ).fetchone() == (POINTS, 0)
        assert leaving.result(timeout=300).rows == POINTS


def test_a_late_writer_that_waited_finds_a_partition_again(desk: Desk) -> None:
    """The partition is dropped while the writer waits for it: its rows come into a new one, and none is lost."""
    desk.simulate()
    attempt, batch = desk.prove()
    with ThreadPoolExecutor(2) as pool:
        with desk.postgres.connect(Role.READER, work="read") as reader:
            reader.execute(SHARED)
            leaving = pool.submit(desk.release, attempt, batch)
            assert waits(desk.postgres, "publish")
            ensuring = pool.submit(ensure_and_insert, desk.postgres)
            assert waits(desk.postgres, "late")
        assert leaving.result(timeout=300).rows == POINTS
        ensuring.result(timeout=300)
    assert desk.rows("SELECT sequence_number FROM mgg.simulation_time_series") == [(99,)]


def ensure_and_insert(postgres: Postgres) -> None:
    with postgres.connect(Role.WRITER, work="late") as connection:
        connection.execute("SELECT mgg.ensure_partition('simulation_time_series', '2024-02-01')")
        connection.execute(
            "INSERT INTO mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure, created_at)"
            " SELECT id, 99, 1, 1, created_at FROM mgg.forward_simulations"
        )


def test_a_reader_outside_ours_makes_the_release_give_up_and_change_nothing(desk: Desk) -> None:
    desk.simulate()
    attempt, batch = desk.prove()
    with desk.postgres.connect(Role.READER, work="read") as reader:
        reader.execute("SELECT count(*) FROM mgg.simulation_time_series")
        used = (
            rf"changed nothing: mgg\.{SERIES.name} is used by process {reader.info.backend_pid} \(meva read\)\. When "
        )
        with pytest.raises(Unavailable, match=used):
            desk.release(attempt, batch)
    assert (desk.count(SERIES), desk.batches()) == (POINTS, [(1, "verified")])
    taken, same = desk.prove()
    assert same.id == batch.id
    assert desk.release(taken, same).rows == POINTS


def test_what_is_released_is_not_planned_again(desk: Desk) -> None:
    desk.simulate()
    desk.release(*desk.prove())
    assert archive_planning.begin(desk.postgres, desk.open(), table=SERIES, period=QUARTER) is None
    with desk.postgres.connect(Role.READER, work="test") as connection:
        assert archive_planning.plan(connection) == ()


def test_a_release_holds_no_lock_and_no_role_afterwards(desk: Desk) -> None:
    desk.simulate()
    desk.release(*desk.prove())
    assert holders_of_locks(desk.postgres.dsn()) == []
    with desk.postgres.connect(Role.WRITER, work="test") as connection:
        assert published_runs.newest(connection, subject=SERIES.subject) > 0
