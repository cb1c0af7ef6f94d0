"""Jobs take their checks along, ask the source as their name says, and roll back only what may be rolled back."""

from datetime import timedelta

import dagster as dg
import pytest

from meva_pipelines import definitions
from meva_pipelines.automation import jobs
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.resources import registry_rollback
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location

SYNCS = {job.name: job.selection for job in (jobs.aed_incremental_sync, jobs.aed_full_sync)}
STAGED = dg.AssetKey(["aed", "staged_records"])
PUBLISHED = dg.AssetKey(["aed", "aed_data"])


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return definitions.defs()


def digest(location: Location) -> str:
    with location.postgres.connect(Role.BACKUP, work="digest registry") as connection:
        return registry_rollback.table_digest(connection, source="data_go_kr")


@pytest.mark.parametrize("name", SYNCS)
def test_a_sync_never_runs_without_its_gates(defs: dg.Definitions, name: str) -> None:
    graph, selection = defs.resolve_asset_graph(), SYNCS[name]
    taken = selection.resolve_checks(graph)
    gates = {dg.AssetCheckKey(STAGED, suite.name) for suite in AED_SUITES}
    assert gates <= taken
    assert all(graph.get(key).blocking for key in gates)
    every = {key for key in graph.asset_check_keys if key.asset_key in selection.resolve(graph)}
    assert taken == every


@pytest.mark.parametrize("name", SYNCS)
def test_a_sync_makes_everything_from_raw_pages_to_the_report(defs: dg.Definitions, name: str) -> None:
    made = {key.to_user_string() for key in defs.resolve_job_def(name).asset_layer.executable_asset_keys}
    assert {"aed/raw_records", "aed/staged_records", "aed/aed_data", "aed/aed_history", "aed/sync_report"} <= made


def test_a_dry_run_says_what_would_change_and_writes_nothing(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    token, before = location.newest_run()["token"], digest(location)
    count = location.rows("SELECT count(*) FROM aed.aed_data")[0][0]
    result = location.roll_back(token, dry_run=True)
    assert result.success
    said = "".join(str(event) for event in location.instance.all_logs(result.run_id))
    assert f"would touch {count:,} rows; nothing was written" in said
    assert digest(location) == before
    assert location.newest_run()["token"] == token


def test_a_rollback_restores_the_day_before_and_its_rollback_the_day(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    first = digest(location)
    assert location.sync(FIRST_DAY + timedelta(days=1)).success
    second, token = digest(location), location.newest_run()["token"]
    assert second != first
    assert location.roll_back(token).success
    assert digest(location) == first
    assert location.newest_run()["status"] == "published"
    assert location.roll_back(location.newest_run()["token"]).success
    assert digest(location) == second


def test_a_rollback_out_of_order_is_refused_and_names_what_is_possible(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    older = location.newest_run()["token"]
    assert location.sync(FIRST_DAY + timedelta(days=1)).success
    before, newest = digest(location), location.newest_run()["token"]
    result = location.roll_back(older)
    assert not result.success
    said = "".join(str(event) for event in location.instance.all_logs(result.run_id))
    assert f"sync {older} cannot be rolled back now" in said
    assert f"Possible: {newest}" in said
    assert digest(location) == before
    assert not location.roll_back(999).success
