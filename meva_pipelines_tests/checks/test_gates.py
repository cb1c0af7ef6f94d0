"""The gates report the stored verdict: what failed by name, what stops and what only warns."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import dagster as dg
import pytest
from psycopg.types.json import Jsonb

from meva_pipelines.checks import gates
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.quality.expectations import Severity
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location
from meva_pipelines_tests.resources.registry_desk import Desk, item

STAGED = dg.AssetKey(["aed", "staged_records"])
DRIFT = "changes_stay_within_expectation"
SENSE = "records_make_sense"


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    judged = Desk(postgres)
    judged.stage([item(20)])
    return judged


def reported(desk: Desk) -> Mapping[str | None, dg.AssetCheckResult]:
    ask = cast("Callable[..., Iterable[dg.AssetCheckResult]]", gates.staged_records_pass_their_audit)
    return {result.check_name: result for result in ask(postgres=desk.postgres)}


def store(desk: Desk, suite: str, *findings: tuple[str, Severity, bool, str], is_passed: bool) -> None:
    names = ("expectation", "severity", "is_met", "observed")
    results = [dict(zip(names, finding, strict=True)) for finding in findings]
    desk.change(
        "UPDATE ops.audit_verdicts SET results = %s, is_passed = %s WHERE suite = %s", Jsonb(results), is_passed, suite
    )


def test_a_passed_audit_passes_every_gate(desk: Desk) -> None:
    found = reported(desk)
    assert found.keys() == {suite.name for suite in AED_SUITES}
    assert all(result.passed for result in found.values())
    assert found[SENSE].description == next(suite.meaning for suite in AED_SUITES if suite.name == SENSE)


def test_an_unmet_critical_expectation_stops_and_is_named_with_its_figures(desk: Desk) -> None:
    met = ("devices_remain", Severity.CRITICAL, True, "300")
    unmet = ("counts_change_moderately", Severity.CRITICAL, False, "1 outside: -50")
    store(desk, DRIFT, met, unmet, is_passed=False)
    found = reported(desk)
    assert (found[DRIFT].passed, found[DRIFT].severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found[DRIFT].description == "counts_change_moderately: 1 outside: -50"
    assert found[DRIFT].metadata["unmet"].value == 1
    assert found[DRIFT].metadata["expectations"].value == 2
    assert found[SENSE].passed


def test_an_unmet_warning_is_shown_and_stops_nothing(desk: Desk) -> None:
    unmet = ("devices_are_made_before_they_are_installed", Severity.WARNING, False, "")
    store(desk, SENSE, unmet, is_passed=True)
    found = reported(desk)[SENSE]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "devices_are_made_before_they_are_installed: not met"


def test_a_suite_that_was_not_judged_stops(desk: Desk) -> None:
    desk.change("DELETE FROM ops.audit_verdicts WHERE suite = %s", SENSE)
    found = reported(desk)[SENSE]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "no verdict was stored" in (found.description or "")


def test_the_newest_batch_is_the_one_reported(desk: Desk) -> None:
    store(desk, SENSE, ("source_id_occurs_once", Severity.CRITICAL, False, ""), is_passed=False)
    assert not reported(desk)[SENSE].passed
    newer = desk.stage([item(21)])
    assert reported(desk)[SENSE].passed
    assert reported(desk)[SENSE].metadata["attempt"].value == newer.token


def test_every_gate_is_blocking() -> None:
    specs = list(gates.staged_records_pass_their_audit.check_specs)
    assert {spec.name for spec in specs} == {suite.name for suite in AED_SUITES}
    assert all(spec.blocking and spec.asset_key == STAGED and spec.description for spec in specs)


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
