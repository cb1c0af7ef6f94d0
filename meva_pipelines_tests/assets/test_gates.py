"""The gates: what failed by name, what stops and what only warns; a failed one stops the run."""

from collections.abc import Sequence

import dagster as dg
import pytest

from meva_pipelines.assets import aed_staged, simulation_uploads, tensile_uploads, verdicts_shown
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.quality.expectations import Severity, Suite
from meva_pipelines.quality.simulation_suites import RESULT_SUITES
from meva_pipelines.quality.tensile_suites import TENSILE_SUITES
from meva_pipelines.quality.verdicts import Finding, Verdict
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location

STAGED = dg.AssetKey(["aed", "staged_records"])
DRIFT = "changes_stay_within_expectation"
SUITE = AED_SUITES[0]


def shown(*findings: Finding) -> dg.AssetCheckResult:
    return verdicts_shown.check(SUITE, Verdict(SUITE.name, findings, 1.23456), attempt=7, asset=STAGED)


MET = Finding("devices_remain", Severity.CRITICAL, is_met=True, observed="300")


def test_what_holds_is_shown_with_its_meaning() -> None:
    found = shown(MET)
    assert found.passed
    assert found.description == SUITE.meaning
    assert {name: found.metadata[name].value for name in ("attempt", "expectations", "unmet", "duration_s")} == {
        "attempt": 7,
        "expectations": 1,
        "unmet": 0,
        "duration_s": 1.235,
    }


def test_an_unmet_critical_expectation_stops_and_is_named_with_its_figures() -> None:
    found = shown(MET, Finding("counts_change_moderately", Severity.CRITICAL, is_met=False, observed="1 outside: -50"))
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.description == "counts_change_moderately: 1 outside: -50"
    assert (found.metadata["unmet"].value, found.metadata["expectations"].value) == (1, 2)
    assert str(found.metadata["findings"].value).splitlines()[2].startswith("| ✗ | counts_change_moderately |")


def test_an_unmet_warning_is_shown_and_stops_nothing() -> None:
    found = shown(Finding("devices_are_made_before_they_are_installed", Severity.WARNING, is_met=False, observed=""))
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "devices_are_made_before_they_are_installed: not met"


@pytest.mark.parametrize(
    ("asset", "suites"),
    [
        (aed_staged.staged_records, AED_SUITES),
        (tensile_uploads.uploads, TENSILE_SUITES),
        (simulation_uploads.simulation_uploads, RESULT_SUITES),
        (simulation_uploads.firing_uploads, RESULT_SUITES),
    ],
)
def test_every_gate_is_blocking(asset: dg.AssetsDefinition, suites: Sequence[Suite]) -> None:
    specs = {spec.name: spec for spec in asset.check_specs}
    assert all(specs[suite.name].blocking and specs[suite.name].description == suite.meaning for suite in suites)


def test_a_failed_gate_stops_the_run_before_anything_is_published(location: Location) -> None:
    location.sandbox.world.set(mutation=Mutation.ALL_COORDINATES_NULL)
    result = location.sync(FIRST_DAY, mode="full")
    assert not result.success
    evaluations = {e.check_name: e for e in result.get_asset_check_evaluations() if e.asset_key == STAGED}
    failed = {name for name, evaluation in evaluations.items() if not evaluation.passed}
    assert failed == {DRIFT}
    assert evaluations[DRIFT].blocking
    assert evaluations[DRIFT].severity is dg.AssetCheckSeverity.ERROR
    assert "coordinates_are_rarely_missing" in (evaluations[DRIFT].description or "")
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    assert STAGED in made
    assert dg.AssetKey(["aed", "aed_data"]) not in made
    assert "likely_cause" in evaluations[DRIFT].metadata
