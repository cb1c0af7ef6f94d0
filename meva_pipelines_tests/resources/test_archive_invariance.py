"""Published numbers follow from the rows of a cold part, or it is said which do not."""

from typing import Any, LiteralString

import psycopg
import pyarrow as pa
import pytest

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.pressure.comparison import Alignment
from meva_pipelines.resources.archive_invariance import MOST_DIFFERENCES, Checker, Invariance
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archived_rows import FIRED, HISTORY, SERIES
from meva_pipelines_tests.resources.curve_laboratory import FILES, FIRINGS, PAIRS, POINTS, SIMULATIONS, Laboratory


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


@pytest.mark.parametrize("table", [SERIES, FIRED], ids=SOUND)
def test_a_comparison_that_was_taken_over_does_not_keep_its_curves_hot(laboratory: Laboratory, table: Archived) -> None:
    """It never had fingerprints, so nothing can differ; one of our own without them does."""
    laboratory.execute(
        "UPDATE mgg.pt_comparisons SET method_version = 'old-' || id, simulation_sha256 = '', test_sha256 = '',"
        " rmse = 99 WHERE id > 1"
    )
    assert laboratory.check(table) == SOUND[table.name]
    laboratory.execute("UPDATE mgg.pt_comparisons SET simulation_sha256 = '', test_sha256 = '' WHERE id = 1")
    assert laboratory.check(table).differing_comparisons == 1


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
