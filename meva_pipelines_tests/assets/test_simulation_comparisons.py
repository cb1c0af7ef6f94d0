"""New firings beside the simulations of their work order, models beside the scatter of repeats, and what may answer."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest

from meva_pipelines.assets import tables
from meva_pipelines.assets.simulation import FIRINGS, SIMULATIONS
from meva_pipelines.assets.simulation_comparisons import PT_COMPARISONS
from meva_pipelines.assets.simulation_scorecard import MODEL_SCORECARD
from meva_pipelines.domain.pressure import comparison
from meva_pipelines.domain.pressure.comparison import Alignment, Measures
from meva_pipelines.domain.simulation import curves
from meva_pipelines.resources.simulation_comparisons import COLUMN
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import GOOD_MODEL, WORSE_MODEL, Season
from meva_pipelines_tests.fixtures.firings import Range, compared_season

SEASON = Season(orders=2, repeats=3)


@pytest.fixture(scope="module")
def template(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A season that is published and compared, once for the module: every test takes a copy."""
    with compared_season(server_url, template, tmp_path_factory.mktemp("season"), SEASON) as name:
        yield name


@pytest.fixture
def compared(firing_range: Range) -> Range:
    """A season that is published and compared, with an empty landing zone."""
    return firing_range


def activate(firing_range: Range, version: str, **config: Any) -> dg.ExecuteInProcessResult:
    chosen = {"version": version, "dry_run": False} | config
    return firing_range.location.job("activate_model", config={"switch_model": {"config": chosen}})


def active(firing_range: Range) -> list[str]:
    rows = firing_range.location.rows("SELECT version_name FROM mgg.model_versions WHERE is_active")
    return [name for (name,) in rows]


def test_every_firing_is_compared_with_every_simulation_of_its_order(compared: Range) -> None:
    assert compared.counts("pt_comparisons") == [2 * 3 * 2 * len(Alignment)]
    foreign = compared.location.rows(
        "SELECT FROM mgg.pt_comparisons AS c JOIN mgg.forward_simulations AS s ON s.id = c.simulation_id"
        " JOIN mgg.test_results AS t ON t.id = c.test_result_id WHERE s.work_order_id <> t.work_order_id"
    )
    assert foreign == []


def test_published_figures_are_those_of_the_stored_curves(compared: Range) -> None:
    order = next(SEASON.work_orders())
    simulation, firing = SEASON.simulations(order)[0], list(SEASON.firings(order))[1]
    expected = comparison.compare(
        curves.stored(simulation.time_ms(), simulation.pressure_mpa()).trace(),
        curves.stored(firing.time_ms(), firing.readings_mpa()).trace(),
    )
    for alignment in Alignment:
        measures = expected.under(alignment)
        assert isinstance(measures, Measures)
        ((row,),) = compared.location.rows(
            "SELECT to_jsonb(c) FROM mgg.pt_comparisons AS c JOIN mgg.forward_simulations AS s ON s.id = simulation_id"
            " JOIN mgg.test_results AS t ON t.id = test_result_id"
            " WHERE (s.name, t.name, c.alignment) = (%s, %s, %s)",
            *(simulation.name, firing.name, alignment.value),
        )
        for metric, value in measures.values.items():
            assert row[COLUMN[metric]] == pytest.approx(value, rel=1e-9, abs=6e-5), metric
        assert row["shift_ms"] == pytest.approx(measures.overlap.shift_ms)


def test_the_newest_firing_is_shown_beside_its_simulations(compared: Range) -> None:
    (event,) = [
        event
        for event in compared.run(FIRINGS, [PT_COMPARISONS]).get_asset_materialization_events()
        if event.asset_key == PT_COMPARISONS
    ]
    metadata = event.materialization.metadata
    assert "data:image/png;base64," in str(metadata["overlay"].value)
    assert WORSE_MODEL in str(metadata["newest_firing"].value)
    assert metadata["compared_pairs"].value == 0


def test_any_pair_is_compared_by_name(compared: Range) -> None:
    first, second = SEASON.work_orders()
    pair = {
        "simulation": SEASON.simulations(first)[0].name,
        "firing": next(SEASON.firings(second)).name,
        "notes": "another recipe",
    }
    assert compared.location.job("compare_curves", config={"compare_pair": {"config": pair}}).success
    assert compared.location.rows("SELECT count(*) FROM mgg.pt_comparisons WHERE notes = 'another recipe'") == [(2,)]
    assert not compared.location.job(
        "compare_curves", config={"compare_pair": {"config": pair | {"firing": "nobody"}}}
    ).success


def test_the_first_version_answers_and_the_worse_one_is_refused(compared: Range) -> None:
    assert activate(compared, GOOD_MODEL).success
    assert not activate(compared, WORSE_MODEL).success
    assert not activate(compared, WORSE_MODEL, approved_by="a person").success
    assert active(compared) == [GOOD_MODEL]
    verdicts = compared.location.rows(
        "SELECT verdict FROM mgg.model_decisions JOIN mgg.model_versions AS m ON m.id = model_version_id"
        " WHERE m.version_name = %s ORDER BY model_decisions.id DESC LIMIT 1",
        WORSE_MODEL,
    )
    assert verdicts == [("refused",)]


def test_a_dry_run_activates_nothing(compared: Range) -> None:
    assert activate(compared, GOOD_MODEL, dry_run=True).success
    assert active(compared) == []


def test_the_database_itself_refuses_what_was_not_judged(compared: Range) -> None:
    assert activate(compared, GOOD_MODEL).success
    location = compared.location
    location.execute("DELETE FROM mgg.model_decisions")
    location.execute("UPDATE mgg.model_versions SET is_active = false")
    with pytest.raises(psycopg.errors.CheckViolation, match="not judged"):
        location.execute("UPDATE mgg.model_versions SET is_active = true WHERE version_name = %s", WORSE_MODEL)
    location.execute("UPDATE mgg.model_versions SET is_active = true WHERE version_name = %s", GOOD_MODEL)


def test_the_scorecard_knows_the_corridor_of_repeats(compared: Range) -> None:
    good, worse = (
        compared.location.rows(
            "SELECT count(*) FILTER (WHERE is_inside), count(*) FROM mgg.model_scorecard AS s"
            " JOIN mgg.model_versions AS m ON m.id = s.model_version_id"
            " WHERE m.version_name = %s AND metric IN ('rmse_mpa', 'peak_pressure_diff_mpa')",
            name,
        )[0]
        for name in (GOOD_MODEL, WORSE_MODEL)
    )
    assert good[0] > worse[0] == 0
    assert compared.counts("repeat_comparisons") == [2 * 3]


def test_an_evaluation_that_says_nothing_new_writes_nothing(compared: Range) -> None:
    """The scorecard is a history: it grows with what changes, not with the runs."""
    before = compared.counts("model_scorecard", "model_decisions")
    assert compared.run(FIRINGS, [MODEL_SCORECARD]).success
    assert compared.counts("model_scorecard", "model_decisions") == before
    assert activate(compared, GOOD_MODEL).success
    for _ in range(2):
        assert compared.run(FIRINGS, [MODEL_SCORECARD]).success
    (newest,) = compared.location.rows(
        "SELECT count(DISTINCT evaluated_at), count(*) FILTER (WHERE is_worse) > 0 FROM mgg.model_scorecard AS s"
        " JOIN mgg.model_versions AS m ON m.id = model_version_id WHERE version_name = %s",
        WORSE_MODEL,
    )
    assert newest == (2, True)
    assert compared.counts("model_scorecard")[0] == before[0] * 3 // 2


@pytest.mark.parametrize(
    ("table", "away"), [("simulation_time_series", "simulation "), ("test_time_series", "firing ")]
)
def test_what_has_aged_is_told_and_nothing_turns_red(compared: Range, table: str, away: str) -> None:
    """Published comparisons stay; a picture that cannot be drawn says where its curves lie."""
    compared.drop(SIMULATIONS, dict(firing_files.simulation_files(SEASON, models=(GOOD_MODEL,))))
    before = compared.counts("pt_comparisons")
    compared.archive(table)
    for flow in (SIMULATIONS, FIRINGS):
        result = compared.run(flow, [PT_COMPARISONS, *map(tables.key, flow.published), MODEL_SCORECARD])
        assert result.success
        failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
        assert failed == []
    (event,) = compared.run(FIRINGS, [PT_COMPARISONS]).get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert f"the curve of {away}" in str(metadata["not_drawn"].value)
    assert "lies in the archive: bring 2026-Q1 of mgg." in str(metadata["not_drawn"].value)
    assert ("overlay" in metadata) == (table == "simulation_time_series")
    assert compared.counts("pt_comparisons") == before
