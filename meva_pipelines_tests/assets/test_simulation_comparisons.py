"""New firings beside the simulations of their work order, models beside the scatter of repeats, and what may answer."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest

from meva_pipelines.assets import tables
from meva_pipelines.assets.simulation import FIRINGS
from meva_pipelines.assets.simulation_comparisons import PT_COMPARISONS
from meva_pipelines.assets.simulation_scorecard import MODEL_SCORECARD
from meva_pipelines.domain.pressure import comparison
from meva_pipelines.domain.pressure.comparison import Alignment, Measures, Metric
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
    with_notes = "SELECT notes FROM mgg.pt_comparisons WHERE notes IS NOT NULL"
    assert compared.location.rows(with_notes) == [("another recipe",)] * 2
    assert not compared.location.job(
        "compare_curves", config={"compare_pair": {"config": pair | {"firing": "nobody"}}}
    ).success


def test_notes_that_would_not_be_kept_are_refused(compared: Range) -> None:
    """What is published is never changed: other notes for it were dropped without a word."""
    first, second = SEASON.work_orders()
    foreign = {"simulation": SEASON.simulations(first)[0].name, "firing": next(SEASON.firings(second)).name}

    def ask(**pair: str) -> bool:
        return compared.location.job("compare_curves", config={"compare_pair": {"config": pair}}).success

    assert ask(**foreign, notes="first")
    assert ask(**foreign, notes="first")
    assert ask(**foreign)
    attempts = compared.location.rows("SELECT count(*) FROM ops.sync_runs")
    assert not ask(**foreign, notes="second")
    assert not ask(**foreign | {"firing": next(SEASON.firings(first)).name}, notes="to one that the night compared")
    assert compared.location.rows("SELECT count(*) FROM ops.sync_runs") == attempts
    with_notes = "SELECT notes FROM mgg.pt_comparisons WHERE notes IS NOT NULL"
    assert compared.location.rows(with_notes) == [("first",)] * 2


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


def comparisons(firing_range: Range) -> set[str]:
    rows = firing_range.location.rows("SELECT to_jsonb(c)::text FROM mgg.pt_comparisons AS c")
    return {row for (row,) in rows}


@pytest.mark.parametrize("table", ["simulation_time_series", "test_time_series"])
def test_a_firing_that_comes_after_curves_have_aged_is_compared_with_them(compared: Range, table: str) -> None:
    """Simulations age within half a year, and an order may be fired again after that."""
    before = comparisons(compared)
    compared.archive(table)
    order = next(SEASON.work_orders())
    late = list(Season(orders=1, repeats=SEASON.repeats + 1).firings(order))[-1]
    compared.drop(FIRINGS, dict(firing_files.firing_document(late)))
    result = compared.take_and_compare(FIRINGS)
    assert result.success
    assert [check.check_name for check in result.get_asset_check_evaluations() if not check.passed] == []

    assert before < comparisons(compared), "what was published stays as it was"
    measured = curves.stored(late.time_ms(), late.readings_mpa()).trace()
    for simulation in SEASON.simulations(order):
        raw = comparison.compare(curves.stored(simulation.time_ms(), simulation.pressure_mpa()).trace(), measured).raw
        assert isinstance(raw, Measures)
        assert compared.location.rows(
            "SELECT rmse_mpa FROM (SELECT s.name AS simulation, t.name AS firing, alignment, rmse::float AS rmse_mpa"
            " FROM mgg.pt_comparisons AS c JOIN mgg.forward_simulations AS s ON s.id = c.simulation_id"
            " JOIN mgg.test_results AS t ON t.id = c.test_result_id) AS found"
            " WHERE (simulation, firing, alignment) = (%s, %s, 'raw')",
            *(simulation.name, late.name),
        ) == [(pytest.approx(raw.values[Metric.RMSE], abs=1e-6),)]
    assert len(comparisons(compared) - before) == 2 * len(Alignment)
    repeats = compared.location.rows(
        "SELECT measures ? 'rmse_mpa' FROM mgg.repeat_comparisons AS r JOIN mgg.test_results AS t ON t.id = r.repeat_id"
        " WHERE t.name = %s",
        late.name,
    )
    assert repeats == [(True,)] * SEASON.repeats

    shown = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert shown[PT_COMPARISONS]["pairs_left_out"].value == shown[MODEL_SCORECARD]["repeats_left_out"].value == 0
    assert "overlay" in shown[PT_COMPARISONS]
    assert "not_drawn" not in shown[PT_COMPARISONS]


@pytest.mark.parametrize("table", ["simulation_time_series", "test_time_series"])
def test_what_is_compared_already_reads_no_curve(compared: Range, table: str) -> None:
    """Published comparisons stay without their curves; a picture that cannot be drawn says why."""
    before = comparisons(compared), compared.counts("repeat_comparisons")
    compared.archive(table)
    compared.cold_file(table).unlink()
    result = compared.run(FIRINGS, [PT_COMPARISONS, *map(tables.key, FIRINGS.published), MODEL_SCORECARD])
    assert result.success
    assert [check.check_name for check in result.get_asset_check_evaluations() if not check.passed] == []
    shown = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert shown[PT_COMPARISONS]["pairs_left_out"].value == shown[MODEL_SCORECARD]["repeats_left_out"].value == 0
    assert "2026-Q1.parquet" in str(shown[PT_COMPARISONS]["not_drawn"].value)
    assert ("overlay" in shown[PT_COMPARISONS]) == (table == "simulation_time_series")
    assert (comparisons(compared), compared.counts("repeat_comparisons")) == before
