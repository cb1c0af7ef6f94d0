"""Rows that left come back exactly as they were, once, proved and held; whoever asks for too much gets nothing."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Filter, Operator
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.domain.failures import MevaError, Refused, Rejected
from meva_pipelines.resources import (
    archive_batches,
    archive_export,
    archive_holds,
    archive_reading,
    archive_restoring,
    hot_and_cold,
    ledger,
)
from meva_pipelines.resources.archive_digests import Extent
from meva_pipelines.resources.archive_restoring import Returned, Wish
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archive_desk import HISTORY, LOGS, MEASURED, MONTH, QUARTER, SERIES, Desk

TABLES = [(SERIES, QUARTER), (MEASURED, QUARTER), (LOGS, MONTH), (HISTORY, QUARTER)]
EACH_TABLE = pytest.mark.parametrize(("table", "period"), TABLES, ids=lambda value: getattr(value, "name", None))


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


@pytest.fixture
def files(store: ObjectStore) -> ColdFiles:
    return ColdFiles(store)


def fill(desk: Desk, table: Archived) -> None:
    fills: dict[Archived, Callable[[], object]] = {
        SERIES: desk.simulate,
        MEASURED: desk.fire,
        LOGS: lambda: desk.log(details='김철수, "x"\n', ip_address="192.0.2.1", user_agent=""),
        HISTORY: desk.supersede,
    }
    for _ in range(3):
        fills[table]()


def archive(desk: Desk, files: ColdFiles, table: Archived, period: Period) -> None:
    """Let the hot rows of a period leave for a real cold file."""
    attempt = desk.open(table, period)
    batch = desk.begin(attempt, table, period)
    part = Part(table, period, batch.generation)
    extent = Extent(batch.rows, batch.digest, batch.min_key, batch.max_key)
    written = archive_export.write(desk.postgres, files, part, extent)
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        batch = archive_batches.written(
            connection, batch, sha256=written.sha256, file_size=written.size, schema_version=written.schema_version
        )
    assert archive_reading.read(files, part, sha256=written.sha256).extent == extent
    batch = desk.verify(batch)
    desk.judge(attempt, batch)
    desk.release(attempt, batch)


def restore(
    desk: Desk, files: ColdFiles, table: Archived, asked: Filter, *, ceiling: int = 1_000
) -> tuple[Returned, ...]:
    with desk.postgres.connect(Role.WRITER, work="test") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=table.subject,
            source="restore",
            mode=Mode.RESTORE,
            day=ledger.today(connection),
            dagster_run_id="r",
        )
    wish = Wish(table, asked, hold_days=7, held_by="an engineer", reason="to look at it again")
    with ledger.watch(desk.postgres, attempt):
        return archive_restoring.restore(desk.postgres, files, attempt, wish, ceiling=ceiling)


def dump(desk: Desk, table: Archived) -> bytes:
    """Every byte of a hot table, as PostgreSQL writes it."""
    statement = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT").format(
        sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, table.key))
    )
    with psycopg.connect(desk.postgres.dsn()) as connection, connection.cursor().copy(statement) as copy:
        return b"".join(copy)


def seen(desk: Desk, files: ColdFiles, table: Archived) -> int:
    return hot_and_cold.count(desk.postgres, files, Query(table))[0]


@EACH_TABLE
def test_a_period_comes_back_byte_by_byte(desk: Desk, files: ColdFiles, table: Archived, period: Period) -> None:
    fill(desk, table)
    before, rows = dump(desk, table), desk.count(table)
    archive(desk, files, table, period)
    assert dump(desk, table) == b""
    asked = archive_restoring.whole(table, period)
    assert archive_restoring.plan(desk.postgres, files, table, asked) == (Returned(period, rows),)
    assert restore(desk, files, table, asked) == (Returned(period, rows),)
    assert dump(desk, table) == before
    assert seen(desk, files, table) == rows
    assert desk.batches(table, period) == [(1, "committed")]


@EACH_TABLE
def test_a_repetition_brings_nothing_twice(desk: Desk, files: ColdFiles, table: Archived, period: Period) -> None:
    fill(desk, table)
    archive(desk, files, table, period)
    restore(desk, files, table, EVERYTHING)
    once = dump(desk, table)
    assert archive_restoring.plan(desk.postgres, files, table, EVERYTHING) == ()
    assert restore(desk, files, table, EVERYTHING) == ()
    assert dump(desk, table) == once


def test_a_curve_comes_back_alone_and_the_others_later(desk: Desk, files: ColdFiles) -> None:
    fill(desk, SERIES)
    before = dump(desk, SERIES)
    archive(desk, files, SERIES, QUARTER)
    one = Condition("simulation_id", Operator.EQ, 2)
    assert restore(desk, files, SERIES, one) == (Returned(QUARTER, 5),)
    assert desk.rows("SELECT DISTINCT simulation_id FROM mgg.simulation_time_series") == [(2,)]
    assert seen(desk, files, SERIES) == 15
    assert restore(desk, files, SERIES, EVERYTHING) == (Returned(QUARTER, 10),)
    assert dump(desk, SERIES) == before


def test_what_came_back_is_held(desk: Desk, files: ColdFiles) -> None:
    fill(desk, SERIES)
    archive(desk, files, SERIES, QUARTER)
    restore(desk, files, SERIES, EVERYTHING)
    with desk.postgres.connect(Role.READER, work="test") as connection:
        (hold,) = archive_holds.active(connection)
        left = hold.until - ledger.now(connection)
    assert (hold.table, hold.start, hold.end) == (SERIES, QUARTER.start, QUARTER.end)
    assert (hold.held_by, hold.restored_rows) == ("an engineer", 15)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_periods_are_restored_and_held_one_by_one(desk: Desk, files: ColdFiles) -> None:
    other = Period.named("2023-Q4")
    desk.simulate(QUARTER.start)
    desk.simulate(other.start)
    for period in (QUARTER, other):
        archive(desk, files, SERIES, period)
    assert set(restore(desk, files, SERIES, EVERYTHING)) == {Returned(QUARTER, 5), Returned(other, 5)}
    assert desk.rows("SELECT count(*) FROM mgg.archive_holds") == [(2,)]


def test_a_log_that_comes_back_keeps_its_place_in_the_chain(desk: Desk, files: ColdFiles) -> None:
    fill(desk, LOGS)
    chain = desk.rows("SELECT chain_position, chain_hash FROM mgg.operation_logs ORDER BY id")
    archive(desk, files, LOGS, MONTH)
    restore(desk, files, LOGS, EVERYTHING)
    desk.log()
    assert desk.rows("SELECT chain_position, chain_hash FROM mgg.operation_logs ORDER BY id")[:3] == chain
    assert desk.rows("SELECT max(chain_position) FROM mgg.operation_logs") == [(4,)]


def spoil_file(desk: Desk, files: ColdFiles) -> None:
    del desk
    root = Path(urlsplit(files.store.url).path)
    path = root / SERIES.file_key(QUARTER, 1)
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def spoil_digest(desk: Desk, files: ColdFiles) -> None:
    del files
    desk.execute("UPDATE mgg.archive_batches SET digest = '7'")


def ask_for_too_much(desk: Desk, files: ColdFiles) -> None:
    """Nothing is spoilt: the ceiling is what refuses."""
    del desk, files


@pytest.mark.parametrize(
    ("spoil", "ceiling", "error", "words"),
    [
        (spoil_file, 1_000, Rejected, "is not the file that was written"),
        (spoil_digest, 1_000, Rejected, "another digest than it left with"),
        (ask_for_too_much, 14, Refused, "than are approved"),
    ],
)
def test_what_cannot_be_proved_or_was_not_approved_changes_nothing(
    desk: Desk,
    files: ColdFiles,
    spoil: Callable[[Desk, ColdFiles], None],
    ceiling: int,
    error: type[MevaError],
    words: str,
) -> None:
    fill(desk, SERIES)
    archive(desk, files, SERIES, QUARTER)
    spoil(desk, files)
    with pytest.raises(error, match=words):
        restore(desk, files, SERIES, EVERYTHING, ceiling=ceiling)
    assert desk.count(SERIES) == 0
    assert desk.rows("SELECT count(*) FROM mgg.archive_holds") == [(0,)]


def test_an_approved_ceiling_is_enough_when_it_is_met_exactly(desk: Desk, files: ColdFiles) -> None:
    fill(desk, SERIES)
    archive(desk, files, SERIES, QUARTER)
    assert restore(desk, files, SERIES, EVERYTHING, ceiling=15) == (Returned(QUARTER, 15),)


def test_rows_that_left_in_parts_come_back_as_the_newest_ones(desk: Desk, files: ColdFiles) -> None:
    """A quarter that was restored, got a late curve and left again lies in two parts, the second with all its rows."""
    fill(desk, SERIES)
    archive(desk, files, SERIES, QUARTER)
    restore(desk, files, SERIES, EVERYTHING)
    desk.execute("UPDATE mgg.archive_holds SET lifted_at = now()")
    desk.simulate()
    before = dump(desk, SERIES)
    archive(desk, files, SERIES, QUARTER)
    assert desk.batches() == [(1, "committed"), (2, "committed")]
    assert restore(desk, files, SERIES, archive_restoring.whole(SERIES, QUARTER)) == (Returned(QUARTER, 20),)
    assert dump(desk, SERIES) == before
    query = Query(SERIES, columns=("simulation_id",), sort=(Sort("simulation_id"),), limit=1)
    with hot_and_cold.answer(desk.postgres, files, query) as found:
        assert [row for batch in found.batches for row in batch.to_pylist()] == [{"simulation_id": 1}]
