"""What would move, what would not and why; and the first step, which any number of dead processes may have left."""

from datetime import UTC, datetime, timedelta

import pytest

from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Refused, Superseded
from meva_pipelines.resources import archive_batches, archive_holds, archive_hot_rows, archive_planning
from meva_pipelines.resources.archive_batches import State
from meva_pipelines.resources.archive_planning import Planned
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archive_desk import HISTORY, LOGS, MEASURED, MONTH, POINTS, QUARTER, SERIES, Desk


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def plan(desk: Desk) -> dict[tuple[str, str], Planned]:
    with desk.postgres.connect(Role.READER, work="test") as connection:
        return {(found.table.name, found.period.name): found for found in archive_planning.plan(connection)}


def due(desk: Desk) -> list[tuple[str, str]]:
    with desk.postgres.connect(Role.READER, work="test") as connection:
        return [(table.name, period.name) for table, period in archive_planning.due(connection)]


def test_nothing_hot_is_nothing_to_plan(desk: Desk) -> None:
    desk.execute("SELECT mgg.ensure_partition('operation_logs', '2024-02-01')")
    assert plan(desk) == {}


def test_the_plan_names_every_period_that_holds_rows(desk: Desk) -> None:
    desk.simulate()
    desk.simulate(QUARTER.end)
    desk.fire()
    desk.log()
    desk.supersede()
    desk.supersede(QUARTER.end + timedelta(days=200))
    found = plan(desk)
    assert {key: planned.hot.rows for key, planned in found.items()} == {
        ("simulation_time_series", "2024-Q1"): POINTS,
        ("simulation_time_series", "2024-Q2"): POINTS,
        ("test_time_series", "2024-Q1"): 3,
        ("operation_logs", "2024-02"): 1,
        ("aed_history", "2024-Q1"): 1,
        ("aed_history", "2024-Q4"): 1,
    }
    assert all(planned.is_due and planned.hot.oldest and planned.hot.size > 0 for planned in found.values())
    series = found["simulation_time_series", "2024-Q2"].hot
    assert series.oldest == series.newest == QUARTER.end
    with desk.postgres.connect(Role.READER, work="test") as connection:
        hot = archive_hot_rows.periods(connection)
    assert [(table.name, period.name) for table, period in hot] == list(found) == due(desk)


def test_what_is_young_is_estimated_and_says_until_when(desk: Desk) -> None:
    desk.simulate(desk.old(1))
    desk.supersede(desk.old(1))
    desk.execute("ANALYZE mgg.simulation_time_series")
    young = {planned.table.name: planned for planned in plan(desk).values()}
    assert (young["simulation_time_series"].hot.rows, young["simulation_time_series"].hot.oldest) == (POINTS, None)
    assert (young["aed_history"].hot.rows, young["aed_history"].hot.oldest is None) == (1, False)
    for planned in young.values():
        assert str(planned.why_not).startswith("hot until ")
    assert due(desk) == []


def test_the_plan_knows_the_parts_that_are_there(desk: Desk) -> None:
    desk.simulate()
    desk.release(*desk.prove())
    desk.simulate()
    assert plan(desk)["simulation_time_series", "2024-Q1"].generations == (1,)


def test_a_table_without_a_policy_is_left_alone(desk: Desk) -> None:
    desk.simulate()
    desk.execute("DELETE FROM mgg.retention_policies")
    assert plan(desk)["simulation_time_series", "2024-Q1"].why_not == "no retention policy names the table"
    with pytest.raises(Refused, match="no retention policy"):
        desk.begin(desk.open())


def test_a_period_that_is_held_or_young_is_not_begun(desk: Desk) -> None:
    desk.simulate()
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        archive_holds.place(connection, table=SERIES, period=QUARTER, reason="r", held_by="h", until=desk.old(-1))
    with pytest.raises(Refused, match="held until"):
        desk.begin(desk.open())
    young = Period.containing(desk.old(1), SERIES.span)
    desk.simulate(desk.old(1))
    with pytest.raises(Refused, match="hot until"):
        desk.begin(desk.open(period=young), period=young)
    assert desk.rows("SELECT count(*) FROM mgg.archive_batches") == [(0,)]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_period_without_rows_makes_no_batch(desk: Desk, table: object) -> None:
    for each, period in ((SERIES, QUARTER), (MEASURED, QUARTER), (LOGS, MONTH), (HISTORY, QUARTER)):
        if each is table:
            assert archive_planning.begin(desk.postgres, desk.open(each, period), table=each, period=period) is None
    assert desk.rows("SELECT count(*) FROM mgg.archive_batches") == [(0,)]


def test_a_planned_batch_says_what_the_database_holds(desk: Desk) -> None:
    first, last = desk.simulate(), desk.simulate()
    attempt = desk.open()
    batch = desk.begin(attempt)
    assert (batch.rows, batch.generation, batch.state, batch.token) == (2 * POINTS, 1, State.PLANNED, attempt.token)
    assert (batch.min_key[:2], batch.max_key[:2]) == ((str(first), "0"), (str(last), str(POINTS - 1)))
    assert batch.name == "simulation_time_series/2024-Q1/g1"
    assert batch.file_key == "parquet_archive/simulation_time_series/2024-Q1.parquet"


def test_a_batch_whose_process_died_before_the_file_is_taken_over(desk: Desk) -> None:
    desk.simulate()
    first = desk.begin(desk.open())
    attempt = desk.open()
    again = desk.begin(attempt)
    assert (again.id, again.generation, again.token) == (first.id, 1, attempt.token)
    assert desk.batches() == [(1, "planned")]
    with pytest.raises(Superseded):
        desk.write(first)


@pytest.mark.parametrize("is_verified", [False, True])
def test_a_written_batch_is_taken_over_and_verified_again(desk: Desk, *, is_verified: bool) -> None:
    desk.simulate()
    batch = desk.write(desk.begin(desk.open()))
    if is_verified:
        batch = desk.verify(batch)
    attempt = desk.open()
    taken = desk.begin(attempt)
    assert (taken.id, taken.state, taken.token) == (batch.id, State.WRITTEN, attempt.token)
    with pytest.raises(Superseded):
        desk.verify(batch)


def test_a_written_batch_whose_rows_changed_is_given_up(desk: Desk) -> None:
    desk.simulate()
    desk.verify(desk.write(desk.begin(desk.open())))
    desk.simulate()
    batch = desk.begin(desk.open())
    assert (batch.generation, batch.rows) == (2, 2 * POINTS)
    assert desk.rows("SELECT failure FROM mgg.archive_batches WHERE generation = 1") == [
        ("the hot rows changed before they were released",)
    ]


def test_a_written_batch_whose_rows_vanished_is_given_up_and_nothing_is_planned(desk: Desk) -> None:
    desk.simulate()
    desk.write(desk.begin(desk.open()))
    desk.execute("DELETE FROM mgg.simulation_time_series")
    assert archive_planning.begin(desk.postgres, desk.open(), table=SERIES, period=QUARTER) is None
    assert desk.batches() == [(1, "failed")]


def test_an_overtaken_attempt_plans_nothing(desk: Desk) -> None:
    desk.simulate()
    old = desk.open()
    desk.begin(desk.open())
    with pytest.raises(Superseded):
        desk.begin(old)
    assert desk.batches() == [(1, "planned")]


def test_late_rows_alone_make_the_next_generation(desk: Desk) -> None:
    desk.simulate()
    desk.release(*desk.prove())
    late = desk.simulate(points=1)
    batch = desk.begin(desk.open())
    assert (batch.generation, batch.rows, batch.min_key[0]) == (2, 1, str(late))


def test_states_only_go_forwards(desk: Desk) -> None:
    desk.simulate()
    attempt = desk.open()
    batch = desk.begin(attempt)
    with pytest.raises(Superseded):
        desk.verify(batch)
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        with pytest.raises(Superseded):
            archive_batches.committed(connection, batch)
        failed = archive_batches.failed(connection, batch, "no room on the disk")
        assert (failed.state, failed.failure, failed.is_finished) == (State.FAILED, "no room on the disk", True)
        for change in (archive_batches.verified, archive_batches.committed):
            with pytest.raises(Superseded):
                change(connection, failed)
        assert archive_batches.known(connection) == (failed,)
        assert archive_batches.parts(connection, SERIES) == ()


def test_the_reading_of_a_file_is_noted(desk: Desk) -> None:
    desk.simulate()
    released = desk.release(*desk.prove())
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        archive_batches.note_read(connection, released.batch, is_sound=True)
        (part,) = archive_batches.parts(connection, SERIES)
    assert part.read_at is not None
    assert released.batch.read_at is not None
    assert part.read_at > released.batch.read_at


@pytest.mark.parametrize(("is_sound", "generation"), [(True, 1), (False, 2)])
def test_rows_that_came_back_leave_against_their_part_unless_it_was_damaged(
    desk: Desk, *, is_sound: bool, generation: int
) -> None:
    desk.supersede()
    rows = desk.rows("SELECT * FROM aed.aed_history")
    released = desk.release(*desk.prove(HISTORY))
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        archive_batches.note_read(connection, released.batch, is_sound=is_sound)
        connection.cursor().executemany(
            f"INSERT INTO aed.aed_history OVERRIDING SYSTEM VALUE VALUES ({', '.join(['%s'] * len(rows[0]))})".encode(),
            rows,
        )
    assert desk.begin(desk.open(HISTORY), HISTORY).generation == generation


def test_what_has_been_due_for_long_is_told_apart(desk: Desk) -> None:
    desk.simulate()
    with desk.postgres.connect(Role.READER, work="test") as connection:
        for since, periods in ((timedelta(days=7), [QUARTER]), (timedelta(days=36_500), [])):
            assert [period for _, period in archive_planning.due(connection, since=since)] == periods


def test_a_hold_ends_by_itself_or_is_lifted_once(desk: Desk) -> None:
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        hold = archive_holds.place(
            connection, table=LOGS, period=MONTH, reason="why", held_by="who", until=desk.old(-1), restored_rows=7
        )
        assert archive_holds.active(connection) == (hold,)
        assert archive_holds.held_until(connection, LOGS, MONTH) == hold.until
        assert archive_holds.held_until(connection, LOGS, Period.named("2024-03")) is None
        assert archive_holds.held_until(connection, SERIES, QUARTER) is None
        assert archive_holds.lift(connection, hold.id).lifted_at is not None
        assert archive_holds.active(connection) == ()
        with pytest.raises(Refused, match="cannot be lifted"):
            archive_holds.lift(connection, hold.id)
        connection.execute(
            "INSERT INTO mgg.archive_holds (table_name, start_date, end_date, reason, held_by, created_at, until)"
            " VALUES ('operation_logs', '2024-02-01', '2024-03-01', 'r', 'h', '2024-05-01', '2024-06-01')"
        )
        assert archive_holds.held_until(connection, LOGS, MONTH) is None


@pytest.mark.parametrize(("reason", "days"), [(" ", -1), ("why", 1)])
def test_a_hold_needs_a_reason_and_a_future(desk: Desk, reason: str, days: int) -> None:
    until = desk.old(days)
    with (
        desk.postgres.connect(Role.ARCHIVER, work="test") as connection,
        pytest.raises(Refused, match="needs a reason"),
    ):
        archive_holds.place(connection, table=LOGS, period=MONTH, reason=reason, held_by="who", until=until)


def test_the_bounds_of_periods_are_utc_whatever_the_session_says(desk: Desk) -> None:
    desk.supersede(datetime(2024, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    desk.supersede(datetime(2024, 4, 1, tzinfo=UTC))
    with desk.postgres.connect(Role.READER, work="test") as connection:
        connection.execute("SET timezone = 'Asia/Seoul'")
        found = [period.name for table, period in archive_hot_rows.periods(connection) if table == HISTORY]
        assert found == ["2024-Q1", "2024-Q2"]
        assert archive_hot_rows.count(connection, HISTORY, QUARTER).rows == 1
