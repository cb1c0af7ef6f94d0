"""Quarters that age: planned, written, proved and released by the jobs, as a person starts them in the UI."""

import json
import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pyarrow import parquet

from meva_pipelines.assets import archive, archive_custody
from meva_pipelines.assets.simulation import FIRINGS, SIMULATIONS
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox.firings import Season
from meva_pipelines_tests.fixtures.firings import Range
from meva_pipelines_tests.fixtures.location import Location
from meva_pipelines_tests.resources.archive_desk import Desk

OLD = Season(orders=2, repeats=1, first_day=date(2024, 1, 16))
QUARTER = "2024-Q1"
SIMULATED = TABLES["simulation_time_series"]
MEASURED = TABLES["test_time_series"]
RELEASE = {"archive__simulation_time_series_released": {"config": {"dry_run": False}}}
OPEN = "SELECT kind FROM ops.incidents WHERE resolved_at IS NULL AND kind LIKE 'archive%%'"
EVERYTHING = "SELECT * FROM mgg.simulation_time_series ORDER BY simulation_id, sequence_number"
HOT = "SELECT count(*) FROM mgg.simulation_time_series"


@pytest.fixture
def aged(firing_range: Range) -> Location:
    """A season of two years ago, compared, with the policies entered and the periods known."""
    firing_range.drop_season(OLD)
    assert firing_range.take(SIMULATIONS).success
    assert firing_range.take_and_compare(FIRINGS).success
    location = firing_range.location
    assert location.job("archive_nightly").success
    return location


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    """A warehouse into which old rows are put."""
    return Desk(postgres)


@pytest.fixture
def old(location: Location, desk: Desk) -> Location:
    """Three simulations of one quarter of 2024, without the files that they came from."""
    for _ in range(3):
        desk.simulate()
    location.execute("UPDATE mgg.forward_simulations SET peak_pressure = 3.5, peak_time = 0.04")
    assert location.job("archive_nightly").success
    return location


def archived(location: Location, table: str, period: str = QUARTER, **config: Any) -> dg.ExecuteInProcessResult:
    chosen = {"dry_run": False} | config
    ops = {f"archive__{table}_released": {"config": chosen}}
    return location.job(f"archive_{table}", partition=period, config=ops)


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    (event,) = [one for one in result.get_asset_materialization_events() if one.asset_key == key]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_quarter_leaves_the_database_against_its_file(aged: Location) -> None:
    ((before,),) = aged.rows(HOT)
    result = archived(aged, "simulation_time_series")
    assert result.success
    figures = metadata(result, archive.cold(SIMULATED))
    path = Path(figures["dagster/uri"].removeprefix("file://"))
    assert path.name == f"{QUARTER}.parquet"
    assert parquet.read_metadata(path).num_rows == before == figures["rows"]
    assert metadata(result, archive.released(SIMULATED))["rows"] == before
    assert aged.rows(HOT) == [(0,)]
    assert figures["recomputed_curves"] == 4
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True, True]


def test_a_quarter_without_hot_rows_has_nothing_to_judge_and_nothing_to_release(old: Location) -> None:
    assert archived(old, "simulation_time_series").success
    again = archived(old, "simulation_time_series")
    assert again.success
    assert metadata(again, archive.cold(SIMULATED))["rows"] == 0
    assert metadata(again, archive.released(SIMULATED))["rows"] == 0
    assert old.rows("SELECT generation, status FROM mgg.archive_batches") == [(1, "committed")]


def test_a_dry_run_and_a_low_ceiling_let_nothing_go(old: Location) -> None:
    ((before,),) = old.rows(HOT)
    dry = archived(old, "simulation_time_series", dry_run=True)
    assert dry.success
    assert metadata(dry, archive.released(SIMULATED)) | {"attempt": 0} == {
        "rows": before,
        "attempt": 0,
        "dry_run": True,
    }
    assert not archived(old, "simulation_time_series", ceiling=before - 1).success
    assert old.rows(HOT) == [(before,)]
    assert archived(old, "simulation_time_series", ceiling=before).success
    assert old.rows(HOT) == [(0,)]
    assert old.rows("SELECT generation, status FROM mgg.archive_batches") == [(1, "committed")]


def test_rows_leave_only_in_the_run_that_read_their_file(old: Location) -> None:
    result = old.job(
        "archive_simulation_time_series", partition=QUARTER, assets=[archive.released(SIMULATED)], config=RELEASE
    )
    assert not result.success
    assert old.rows(HOT) != [(0,)]


def test_published_numbers_that_do_not_follow_from_the_file_keep_the_rows_hot(aged: Location) -> None:
    aged.execute("UPDATE mgg.forward_simulations SET peak_pressure = peak_pressure + 1 WHERE id = 1")
    result = archived(aged, "simulation_time_series")
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.check_name for check in failed] == ["published_numbers_follow_from_the_file"]
    assert aged.rows(HOT) != [(0,)]
    aged.execute("UPDATE mgg.forward_simulations SET peak_pressure = peak_pressure - 1 WHERE id = 1")
    assert archived(aged, "simulation_time_series").success


def test_both_sides_of_a_comparison_may_lie_in_the_cold(aged: Location) -> None:
    for table in (SIMULATED, MEASURED):
        figures = metadata(archived(aged, table.name), archive.cold(table))
        assert figures["recomputed_comparisons"] == 8
    nightly = aged.job("archive_nightly")
    assert nightly.success
    figures = metadata(nightly, archive_custody.REPORT)
    assert figures["cold_parts"] == 2
    assert figures["due_rows"] == figures["overdue_periods"] == 0
    assert figures["compression_ratio"] > 1
    assert "data:image/png;base64," in figures["ages"]
    assert metadata(nightly, archive_custody.VERIFICATION)["chain_is_whole"]


def test_a_damaged_part_is_told_until_it_is_sound_again(old: Location) -> None:
    path = Path(metadata(archived(old, SIMULATED.name), archive.cold(SIMULATED))["dagster/uri"][7:])
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    everything = {"archive__verification": {"config": {"everything": True}}}
    night = old.job("archive_nightly", config=everything)
    assert metadata(night, archive_custody.VERIFICATION)["damaged_parts"] == 1
    assert ("archive_corrupted",) in old.rows(OPEN)
    assert metadata(old.job("archive_nightly"), archive_custody.VERIFICATION)["damaged_parts"] == 1
    path.write_bytes(content)
    assert metadata(old.job("archive_nightly"), archive_custody.VERIFICATION)["damaged_parts"] == 0
    assert old.rows(OPEN) == []


def test_a_quarter_that_waits_too_long_is_told(old: Location) -> None:
    assert old.rows(OPEN) == [("archive_overdue",)]
    assert archived(old, SIMULATED.name).success
    assert old.job("archive_nightly").success
    assert old.rows(OPEN) == []


def test_an_orphan_goes_after_its_grace_and_through_the_ledger(old: Location) -> None:
    folder = Path(old.store.url.removeprefix("file://"), "parquet_archive", SIMULATED.name)
    folder.mkdir(parents=True)
    for name, age_d in (("2001-Q1.parquet", 30), ("2001-Q2.parquet", 1)):
        folder.joinpath(name).write_bytes(b"left behind")
        moment = time.time() - age_d * 86_400
        os.utime(folder / name, (moment, moment))
    assert old.job("archive_nightly").success
    assert sorted(path.name for path in folder.iterdir()) == ["2001-Q2.parquet"]
    assert old.rows("SELECT kind, rows, executed_rows FROM ops.deletion_ledger") == [("purge", 1, 1)]


def test_a_quarter_comes_back_is_held_and_leaves_again_without_a_new_file(old: Location) -> None:
    before = old.rows(EVERYTHING)
    assert archived(old, SIMULATED.name).success
    wish = {"table": SIMULATED.name, "period": QUARTER, "held_by": "kim.ha-neul"}
    assert old.job("archive_restore", config={"bring_rows_back": {"config": wish}}).success
    assert old.rows(HOT) == [(0,)]
    config = {"bring_rows_back": {"config": wish | {"dry_run": False}}}
    assert old.job("archive_restore", config=config).success
    assert old.rows(EVERYTHING) == before
    assert old.job("archive_restore", config=config).success
    assert old.rows(EVERYTHING) == before
    assert not archived(old, SIMULATED.name).success
    assert old.rows(EVERYTHING) == before
    lift = {"table": SIMULATED.name, "period": QUARTER, "by": "kim.ha-neul"}
    assert old.job("archive_hold", config={"set_archive_hold": {"config": lift}}).success
    assert archived(old, SIMULATED.name).success
    assert old.rows(HOT) == [(0,)]
    assert old.rows("SELECT generation, status FROM mgg.archive_batches") == [(1, "committed")]


def test_rows_of_a_curve_come_back_and_leave_again(aged: Location) -> None:
    """A part of a curve has other fingerprints than the curve, and yet nothing is wrong with it."""
    before = aged.rows(EVERYTHING)
    assert archived(aged, SIMULATED.name).success
    where = json.dumps({"field": "sequence_number", "operator": "lt", "value": 50})
    wish = {"table": SIMULATED.name, "where": where, "held_by": "kim.ha-neul", "dry_run": False}
    assert aged.job("archive_restore", config={"bring_rows_back": {"config": wish}}).success
    ((returned,),) = aged.rows(HOT)
    assert 0 < returned < len(before)
    lift = {"table": SIMULATED.name, "period": QUARTER, "by": "kim.ha-neul"}
    assert aged.job("archive_hold", config={"set_archive_hold": {"config": lift}}).success
    assert archived(aged, SIMULATED.name).success
    assert aged.rows(HOT) == [(0,)]


def test_rows_that_come_late_make_a_second_part(old: Location, desk: Desk) -> None:
    assert archived(old, SIMULATED.name).success
    desk.simulate()
    old.execute("UPDATE mgg.forward_simulations SET peak_pressure = 3.5, peak_time = 0.04 WHERE peak_time = 5")
    figures = metadata(archived(old, SIMULATED.name), archive.cold(SIMULATED))
    assert figures["dagster/uri"].endswith(f"{QUARTER}.g2.parquet")
    assert figures["recomputed_curves"] == 1
    assert old.rows(HOT) == [(0,)]


def test_a_held_quarter_stays(old: Location) -> None:
    hold = {"table": SIMULATED.name, "period": QUARTER, "by": "lee.seo-jun", "reason": "a dispute", "days": 3}
    assert old.job("archive_hold", config={"set_archive_hold": {"config": hold}}).success
    assert not archived(old, SIMULATED.name).success
    plan = metadata(old.job("archive_nightly"), archive.PLAN)
    assert plan["due_periods"] == 0
    assert "held until" in plan["periods"]
