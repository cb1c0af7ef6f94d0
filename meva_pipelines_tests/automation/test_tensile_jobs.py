"""What people decide of the laboratory's tests: conflicts, rollbacks, replays. Dry runs write nothing."""

import dagster as dg
import pytest

from meva_pipelines import definitions
from meva_pipelines.assets import tensile
from meva_pipelines.automation import tensile_jobs
from meva_pipelines.quality.tensile_suites import TENSILE_SUITES
from meva_pipelines_tests.fixtures.laboratory import (
    ALUMINIUM,
    LABORATORY,
    STEEL_4140,
    TEST_DAY,
    Shop,
    conflicting,
    metadata,
    sound,
    uncalibrated,
)

NAME = sound(STEEL_4140).stem
AREAS = "SELECT name, area_mm2, version, is_disputed FROM meva.tensile_test ORDER BY name"


@pytest.mark.parametrize(
    "selection", [tensile_jobs.tensile_intake.selection, tensile_jobs.tensile_replay_quarantine.selection]
)
def test_nothing_is_published_without_its_gates(selection: dg.AssetSelection) -> None:
    graph = definitions.defs().resolve_asset_graph()
    taken = selection.resolve_checks(graph)
    gates = {dg.AssetCheckKey(tensile.UPLOADS, suite.name) for suite in TENSILE_SUITES}
    assert gates <= taken
    assert all(graph.get(key).blocking for key in gates)
    assert taken == {key for key in graph.asset_check_keys if key.asset_key in selection.resolve(graph)}


@pytest.fixture
def disputed(shop: Shop) -> Shop:
    """The laboratory with one test of which two contents are in conflict."""
    shop.intake(sound(STEEL_4140))
    shop.intake(conflicting(STEEL_4140))
    return shop


def conflict(shop: Shop) -> int:
    ((number,),) = shop.location.rows("SELECT conflict_id FROM meva.data_conflict_log WHERE status = 'open'")
    return int(number)


def decide(shop: Shop, resolution: str, *, by: str = "HK", number: int | None = None) -> bool:
    config = {"conflict_id": conflict(shop) if number is None else number, "resolution": resolution, "decided_by": by}
    return shop.job("resolve_tensile_conflict", resolve_conflict={**config, "dry_run": False}).success


def newest(shop: Shop) -> int:
    ((token,),) = shop.location.rows("SELECT max(token) FROM ops.sync_runs WHERE subject = 'meva.tensile_test'")
    return int(token)


def roll_back(shop: Shop, token: int, *, dry_run: bool = False) -> str:
    """Roll back and return what was said; a failed run is told by what it says."""
    return shop.said(shop.job("tensile_rollback", roll_back_tests={"token": token, "dry_run": dry_run}))


def test_a_dry_run_lists_the_conflicts_with_what_differs_and_writes_nothing(disputed: Shop) -> None:
    before = disputed.digest(), newest(disputed)
    result = disputed.job("resolve_tensile_conflict", resolve_conflict={"conflict_id": 0})
    assert result.success
    said = disputed.said(result)
    assert f"conflict {conflict(disputed)}, {NAME}: {NAME}.json stands, {NAME} (2).json waits; area_mm2:" in said
    assert (disputed.digest(), newest(disputed)) == before


@pytest.mark.parametrize(("resolution", "areas"), [("KEEP", [1.0]), ("REPLACE", [1.06]), ("KEEP_BOTH", [1.0, 1.06])])
def test_what_a_person_decides_is_carried_out(disputed: Shop, resolution: str, areas: list[float]) -> None:
    area = sound(STEEL_4140).trials[0].specimen.area_mm2 or 0.0
    assert decide(disputed, resolution)
    tests = disputed.location.rows(AREAS)
    assert [found for _, found, _, _ in tests] == pytest.approx([area * factor for factor in areas], rel=1e-4)
    assert not any(is_disputed for *_, is_disputed in tests)
    assert [name for name, *_ in tests] == [NAME, f"{NAME} (2)"][: len(areas)]
    assert disputed.location.rows("SELECT decided_by, status FROM meva.data_conflict_log") == [("HK", "resolved")]


@pytest.mark.parametrize("by", ["", "  "])
def test_a_decision_names_the_person_who_makes_it(disputed: Shop, by: str) -> None:
    before = disputed.digest()
    assert not decide(disputed, "REPLACE", by=by)
    assert disputed.digest() == before
    assert disputed.location.rows("SELECT status FROM meva.data_conflict_log") == [("open",)]


def test_a_conflict_that_does_not_wait_is_refused_and_those_that_do_are_named(disputed: Shop) -> None:
    open_one = conflict(disputed)
    config = {"conflict_id": 999, "resolution": "KEEP", "decided_by": "HK", "dry_run": False}
    result = disputed.job("resolve_tensile_conflict", resolve_conflict=config)
    assert not result.success
    said = disputed.said(result)
    assert f"conflict 999 waits for no decision. Those that do: {open_one} ({NAME})" in said


@pytest.mark.parametrize("resolution", ["KEEP", "REPLACE", "KEEP_BOTH"])
def test_a_decision_is_taken_back_and_made_again_byte_for_byte(disputed: Shop, resolution: str) -> None:
    before = disputed.digest()
    assert decide(disputed, resolution)
    after, decision = disputed.digest(), newest(disputed)
    assert f"rolled back {decision}" in roll_back(disputed, decision)
    assert disputed.digest() == before
    assert conflict(disputed)
    rollback = newest(disputed)
    assert f"rolled back {rollback}" in roll_back(disputed, rollback)
    assert disputed.digest() == after


def test_a_batch_is_rolled_back_and_its_rollback_too(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140))
    first = shop.digest()
    shop.intake(sound(ALUMINIUM))
    second, token = shop.digest(), newest(shop)
    assert f"rolled back {token}" in roll_back(shop, token)
    assert shop.digest() == first
    assert f"rolled back {newest(shop)}" in roll_back(shop, newest(shop))
    assert shop.digest() == second


def test_a_dry_rollback_only_says_whether_it_can_be_done(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140))
    before, token = shop.digest(), newest(shop)
    assert f"dry run: attempt {token} can be rolled back; nothing was written" in roll_back(shop, token, dry_run=True)
    assert (shop.digest(), newest(shop)) == (before, token)


def test_a_rollback_out_of_order_is_refused_and_names_what_is_possible(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140))
    older = newest(shop)
    shop.intake(sound(ALUMINIUM))
    before = shop.digest()
    assert f"attempt {older} cannot be rolled back now. Possible: {newest(shop)}" in roll_back(shop, older)
    assert shop.digest() == before


def test_a_calibration_that_was_entered_late_heals_the_test_by_a_replay(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(uncalibrated(STEEL_4140), sound(ALUMINIUM))
    waiting = "SELECT rule, specimen FROM meva.quarantine WHERE released_at IS NULL"
    assert shop.location.rows(waiting) == [("calibration_holds_on_the_test_date", NAME)]
    machines = LABORATORY.registers()["testing_machines.csv"]
    ((machine,),) = shop.location.rows(
        "SELECT name FROM meva.testing_machine AS m WHERE NOT EXISTS (SELECT FROM meva.machine_calibration AS c"
        " WHERE c.machine_id = m.machine_id AND %s BETWEEN c.calibrated_on AND c.valid_until)",
        TEST_DAY,
    )
    shop.lay_registers(
        machines=f"{machines}{machine},ZwickRoell,10000,{TEST_DAY},{TEST_DAY.replace(year=2027)},1,K-9\n"
    )
    assert shop.job("tensile_registers").success
    replay = {"replays": True, "rule": "calibration_holds_on_the_test_date"}
    result = shop.job("tensile_replay_quarantine", day=TEST_DAY, tensile__uploads=replay)
    assert result.success
    assert metadata(result, "tensile", "uploads")["replayed_uploads"] == 1
    assert shop.location.rows(waiting) == []
    assert shop.location.rows("SELECT calibration_state FROM meva.tensile_test WHERE name = %s", NAME) == [("valid",)]
    assert shop.location.rows("SELECT count(*) FROM meva.simulation_result") == [(2,)]


def test_a_replay_without_a_fix_changes_nothing_and_counts_once_more(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(uncalibrated(STEEL_4140), sound(ALUMINIUM))
    before = shop.digest()
    shop.job("tensile_replay_quarantine", day=TEST_DAY)
    assert shop.digest() == before
    assert shop.location.rows("SELECT times_seen, released_at FROM meva.quarantine") == [(2, None)]


def test_a_replay_of_nothing_says_that_nothing_waits(shop: Shop) -> None:
    replay = {"replays": True, "rule": "unit_is_known"}
    result = shop.job("tensile_replay_quarantine", day=TEST_DAY, tensile__uploads=replay)
    assert not result.success
    assert "no upload waits in meva.quarantine because of unit_is_known: nothing to replay" in shop.said(result)
