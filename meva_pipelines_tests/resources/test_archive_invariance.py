"""Published numbers follow from the rows of a cold part, or it is said which do not."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, LiteralString

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.pressure.comparison import Alignment
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources import (
    archive_batches,
    archive_digests,
    archive_export,
    archive_reading,
    ledger,
    simulation_comparisons,
    simulation_series,
)
from meva_pipelines.resources.archive_invariance import MOST_DIFFERENCES, Checker, Invariance
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_comparisons import Pair
from meva_pipelines.resources.simulation_series import Measured, Simulated
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archived_rows import FIRED, HISTORY, SERIES

SIMULATED_AT = datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
FIRED_ON = date(2024, 5, 6)
SIMULATIONS, FIRINGS, FILES = 3, 2, 2
PAIRS = SIMULATIONS * FIRINGS
POINTS = 700


class Laboratory:
    """Simulations and firings of two sensors each, published and compared; and a place for cold files."""

    def __init__(self, postgres: Postgres, store: ObjectStore) -> None:
        self.postgres, self.files = postgres, ColdFiles(store)
        with postgres.connect(Role.WRITER, work="test") as connection:
            self.attempt = ledger.open_attempt(
                connection, subject="s", source="s", mode=Mode.FULL, day=FIRED_ON, dagster_run_id="r"
            )
        self.execute("INSERT INTO mgg.users (username, email) VALUES ('u', 'u@example.org')")
        with postgres.connect(Role.WRITER, work="test") as connection:
            simulation_series.ensure_partitions(connection, SERIES.name, [SIMULATED_AT])
            simulation_series.ensure_partitions(connection, FIRED.name, [FIRED_ON])
            self.simulations = [self._simulate(connection, number) for number in range(SIMULATIONS)]
            self.firings = [self._fire(connection, number) for number in range(FIRINGS)]
            pairs = [Pair(one, other, 1) for one in self.simulations for other in self.firings]
            staged = simulation_comparisons.rows_of(self.attempt)
            found = simulation_comparisons.Curves(connection)
            staged.stage(connection, list(simulation_comparisons.compared(found, pairs)))
            assert simulation_comparisons.publish(connection, staged) == 2 * PAIRS

    def execute(self, statement: LiteralString, values: Sequence[object] = ()) -> None:
        """Do what nobody may, without triggers and foreign keys."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement, values)

    def _simulate(self, connection: psycopg.Connection, number: int) -> int:
        curve = shape(30 + number, number)
        row = connection.execute(
            "INSERT INTO mgg.forward_simulations (user_id, name, version, is_current, content_sha256, token,"
            " peak_pressure, peak_time, num_data_points, curve_sha256, created_at)"
            " VALUES (1, %s, 1, true, 'c', %s, %s, %s, %s, %s, %s) RETURNING id",
            [str(number), self.attempt.token, *published(curve), SIMULATED_AT],
        ).fetchone()
        assert row is not None
        rows = Simulated(row[0], SIMULATED_AT, curve)
        simulation_series.copy(connection, simulation_series.COPY_SIMULATED, iter([rows]))
        return int(row[0])

    def _fire(self, connection: psycopg.Connection, number: int) -> int:
        row = connection.execute(
            "INSERT INTO mgg.test_results (user_id, test_date, recorded_at, name, version, is_current, content_sha256,"
            " token) VALUES (1, %s, now(), %s, 1, true, 'c', %s) RETURNING id",
            [FIRED_ON, str(number), self.attempt.token],
        ).fetchone()
        assert row is not None
        for position in reversed(range(FILES)):  # so that the order of files is not that of their numbers
            curve = shape(31 + number, 7 * number + position)
            file = connection.execute(
                "INSERT INTO mgg.test_result_files (test_result_id, test_date, position, file_name, file_path,"
                " peak_pressure, peak_time, num_data_points, curve_sha256)"
                " VALUES (%s, %s, %s, 'f', 'p', %s, %s, %s, %s) RETURNING id",
                [row[0], FIRED_ON, position, *published(curve)],
            ).fetchone()
            assert file is not None
            rows = Measured(row[0], file[0], FIRED_ON, curve)
            simulation_series.copy(connection, simulation_series.COPY_MEASURED, iter([rows]))
        return int(row[0])

    def archive(self, table: Archived, generation: int = 1) -> str:
        """Write a part of a table and return its SHA-256."""
        part = part_of(table, generation)
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            extent = archive_digests.hot(connection, table, part.period)
        return archive_export.write(self.postgres, self.files, part, extent).sha256

    def commit(self, table: Archived) -> None:
        """Let a part be the only place where its rows are."""
        sha256 = self.archive(table)
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            period = part_of(table).period
            extent = archive_digests.hot(connection, table, period)
            batch = archive_batches.enter(connection, self.attempt, table=table, period=period, extent=extent)
            batch = archive_batches.written(connection, batch, sha256=sha256, file_size=1, schema_version=1)
            archive_batches.committed(connection, archive_batches.verified(connection, batch))
        self.execute("TRUNCATE mgg.simulation_time_series" if table is SERIES else "TRUNCATE mgg.test_time_series")

    def check(self, table: Archived, sha256: str = "", *, at_once: int = 65_536, generation: int = 1) -> Invariance:
        """Read a part of a table, so many rows at a time, and recompute what was published."""
        sha256 = sha256 or self.archive(table, generation)
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            checker = Checker(connection, self.files, table)

            def each(batch: pa.RecordBatch) -> None:
                for start in range(0, batch.num_rows, at_once):
                    checker.add(batch.slice(start, at_once))

            archive_reading.read(self.files, part_of(table, generation), sha256=sha256, each=each)
            return checker.finish()


def shape(peak_mpa: float, seed: int) -> StoredCurve:
    time_ms = np.arange(POINTS, dtype=np.float64) * 0.01
    scaled = time_ms / (2 + 0.05 * seed)
    noise = np.random.default_rng(seed).normal(0, 1e-3, POINTS)
    pressure_mpa: Series = peak_mpa * scaled**2 * np.exp(2 * (1 - scaled)) + noise
    return curves.stored(time_ms, pressure_mpa)


def published(curve: StoredCurve) -> tuple[Decimal, Decimal, int, str]:
    time_ms, pressure_mpa = (Decimal(str(value)) for value in curve.peak)
    return pressure_mpa, time_ms, curve.points, curve.sha256


def part_of(table: Archived, generation: int = 1) -> Part:
    return Part(table, Period.named("2024-Q1" if table is SERIES else "2024-Q2"), generation)


@pytest.fixture
def laboratory(postgres: Postgres, store: ObjectStore) -> Laboratory:
    return Laboratory(postgres, store)


SOUND = {
    SERIES.name: Invariance(curves=SIMULATIONS, comparisons=2 * PAIRS),
    FIRED.name: Invariance(curves=FIRINGS * FILES, comparisons=2 * PAIRS),
}


@pytest.mark.parametrize("table", [SERIES, FIRED], ids=SOUND)
@pytest.mark.parametrize("at_once", [65_536, 999, POINTS, 50])
def test_what_was_published_follows_from_the_file(laboratory: Laboratory, table: Archived, at_once: int) -> None:
    assert laboratory.check(table, at_once=at_once) == SOUND[table.name]


@pytest.mark.parametrize("table", [SERIES, FIRED], ids=SOUND)
def test_the_other_curve_of_a_pair_may_be_cold(laboratory: Laboratory, table: Archived) -> None:
    sha256 = laboratory.archive(table)
    laboratory.commit(FIRED if table is SERIES else SERIES)
    assert laboratory.check(table, sha256) == SOUND[table.name]


def test_a_curve_of_which_a_few_rows_were_brought_back_is_found_in_the_cold(laboratory: Laboratory) -> None:
    laboratory.commit(FIRED)
    with laboratory.postgres.connect(Role.ARCHIVER, work="test") as connection:
        connection.execute(
            "INSERT INTO mgg.test_time_series (test_result_id, file_id, sequence_number, time_point, pressure,"
            " test_date) SELECT test_result_id, id, 0, 0, 0, test_date FROM mgg.test_result_files"
        )
    assert laboratory.check(SERIES) == SOUND[SERIES.name]


@pytest.mark.parametrize("table", [SERIES, FIRED], ids=SOUND)
def test_rows_of_a_curve_that_lies_whole_in_the_cold_are_no_curve_of_their_own(
    laboratory: Laboratory, table: Archived
) -> None:
    """A period of which a few rows had been brought back could never be archived again."""
    laboratory.commit(FIRED if table is SERIES else SERIES)
    kept = f"CREATE TABLE public.kept AS SELECT * FROM mgg.{table.name} WHERE {table.curve[-1]} = 1"
    laboratory.execute(kept + " AND sequence_number < 99")
    laboratory.commit(table)
    laboratory.execute(f"INSERT INTO mgg.{table.name} OVERRIDING SYSTEM VALUE SELECT * FROM public.kept")
    returned = laboratory.check(table, generation=2)
    assert (returned.curves, returned.differing_curves, returned.differing_comparisons) == (
        (1, 0, 0) if table is SERIES else (FILES, 0, 0)
    )
    assert returned.comparisons == 2 * PAIRS // (SIMULATIONS if table is SERIES else FIRINGS)
    laboratory.execute(f"UPDATE mgg.{table.name} SET pressure = 0 WHERE sequence_number = 50")
    assert laboratory.check(table, generation=3).differing_curves > 0, "the row is not the one that lies in the cold"


def test_a_pair_whose_other_curve_is_nowhere_differs(laboratory: Laboratory) -> None:
    laboratory.execute("TRUNCATE mgg.test_time_series")
    found = laboratory.check(SERIES)
    assert (found.differing_curves, found.differing_comparisons) == (0, 2 * PAIRS)
    assert found.differences[0] == "comparison 1: no curve with its test_sha256, hot or cold"


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE mgg.pt_comparisons SET rmse = rmse + 0.000001 WHERE id = 3", "rmse"),
        ("UPDATE mgg.pt_comparisons SET correlation = correlation - 0.00000001 WHERE id = 3", "correlation"),
        (
            "UPDATE mgg.pt_comparisons SET impulse_diff_mpa_ms = -impulse_diff_mpa_ms WHERE id = 3",
            "impulse_diff_mpa_ms",
        ),
        ("UPDATE mgg.pt_comparisons SET t50_diff_ms = NULL WHERE id = 3", "t50_diff_ms"),
        ("UPDATE mgg.pt_comparisons SET points = points + 1 WHERE id = 3", "points"),
        ("UPDATE mgg.pt_comparisons SET iso18571_grade = 'x' WHERE id = 3", "iso18571_grade"),
        ('UPDATE mgg.pt_comparisons SET withheld = \'{"rmse_mpa": "x"}\' WHERE id = 3', "withheld"),
        ("UPDATE mgg.pt_comparisons SET figures = figures #- '{test,impulse_mpa_ms}' WHERE id = 3", "figures"),
        ("UPDATE mgg.pt_comparisons SET simulation_sha256 = 'x' WHERE id = 3", "simulation_sha256"),
    ],
)
def test_a_published_comparison_that_does_not_follow_is_named(
    laboratory: Laboratory, statement: LiteralString, word: str
) -> None:
    laboratory.execute(statement)
    found = laboratory.check(SERIES)
    assert found.differences == (f"comparison 3: {word}",)
    assert (found.differing_curves, found.differing_comparisons, found.comparisons) == (0, 1, 2 * PAIRS)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("peak_pressure = peak_pressure + 0.0001", "peak_pressure"),
        ("peak_time = peak_time - 0.01", "peak_time"),
        ("num_data_points = 1, curve_sha256 = 'x'", "curve_sha256, num_data_points"),
    ],
)
def test_a_published_figure_of_a_curve_that_does_not_follow_is_named(
    laboratory: Laboratory, assignment: LiteralString, words: str
) -> None:
    laboratory.execute("UPDATE mgg.forward_simulations SET " + assignment + " WHERE id = 2")
    laboratory.execute("UPDATE mgg.test_result_files SET " + assignment + " WHERE id = 2")
    assert laboratory.check(SERIES).differences == (f"simulation_id 2, curve 2: {words}",)
    assert laboratory.check(FIRED).differences == (f"test_result_id 1, curve 2: {words}",)


def test_rows_that_are_not_those_published_differ_in_curve_and_comparisons(laboratory: Laboratory) -> None:
    laboratory.execute(
        "UPDATE mgg.simulation_time_series SET pressure = pressure + 0.000001"
        " WHERE simulation_id = 1 AND sequence_number = 5"
    )
    found = laboratory.check(SERIES)
    assert (found.differing_curves, found.differing_comparisons) == (1, 2 * FIRINGS)
    assert found.differences[0] == "simulation_id 1, curve 1: curve_sha256"
    assert found.differences[1] == "comparison 1: simulation_sha256"


def test_figures_that_were_never_published_are_not_missed(laboratory: Laboratory) -> None:
    laboratory.execute("UPDATE mgg.test_result_files SET peak_pressure = NULL, curve_sha256 = NULL")
    assert laboratory.check(FIRED) == SOUND[FIRED.name]


def test_a_curve_without_its_parent_differs(laboratory: Laboratory) -> None:
    laboratory.execute("DELETE FROM mgg.forward_simulations WHERE id = 2")
    assert laboratory.check(SERIES).differences == ("simulation_id 2, curve 2: its parent is not there",)


def test_of_an_older_method_only_fingerprints_are_compared(laboratory: Laboratory) -> None:
    laboratory.execute("UPDATE mgg.pt_comparisons SET method_version = '0', rmse = 99")
    assert laboratory.check(SERIES) == SOUND[SERIES.name]
    laboratory.execute("UPDATE mgg.pt_comparisons SET test_sha256 = 'x' WHERE id = 4")
    assert laboratory.check(FIRED).differences == ("comparison 4: test_sha256",)


def test_all_differences_are_counted_and_some_are_told(laboratory: Laboratory) -> None:
    laboratory.execute("UPDATE mgg.pt_comparisons SET rmse = 99 WHERE is_comparable")
    laboratory.execute(
        "INSERT INTO mgg.pt_comparisons (user_id, simulation_id, test_result_id, alignment, method_version,"
        " is_comparable, reason, withheld, figures, simulation_sha256, test_sha256)"
        " SELECT 1, simulation_id, test_result_id, alignment, n::text, false, 'r', '{}', '{}', 'x', 'x'"
        " FROM mgg.pt_comparisons, generate_series(2, 4) AS n"
    )
    found = laboratory.check(SERIES)
    assert found.differing_comparisons == found.comparisons == 8 * PAIRS
    assert len(found.differences) == MOST_DIFFERENCES


def test_a_table_without_curves_has_nothing_to_recompute(laboratory: Laboratory) -> None:
    rows: Any = pa.RecordBatch.from_pydict({"history_id": [1]})
    with laboratory.postgres.connect(Role.ARCHIVER, work="test") as connection:
        checker = Checker(connection, laboratory.files, HISTORY)
        checker.add(rows)
        assert checker.finish() == Invariance()


def test_both_alignments_were_published(laboratory: Laboratory) -> None:
    """Otherwise the tests above would compare less than they say."""
    with psycopg.connect(laboratory.postgres.dsn()) as connection:
        rows = connection.execute(
            "SELECT alignment, count(*) FROM mgg.pt_comparisons WHERE is_comparable GROUP BY alignment"
        ).fetchall()
    assert dict(rows) == {alignment.value: PAIRS for alignment in Alignment}
