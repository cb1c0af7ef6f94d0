"""Measured properties beside standard values: fair, explained, and nothing said where nothing can be said."""

from meva_pipelines_tests.fixtures.laboratory import (
    FILM,
    STEEL_1020,
    STEEL_4140,
    TEST_DAY,
    Shop,
    checks,
    conflicting,
    metadata,
    sound,
)

COMPARISON = ("meva", "standard_comparison")
OUTCOMES = "SELECT property, outcome, reason FROM meva.standard_comparison ORDER BY property"


def test_every_property_of_every_test_has_a_verdict_with_its_reason(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(sound(STEEL_4140), sound(STEEL_1020), sound(FILM))
    result = shop.job("tensile_comparison")
    assert result.success
    assert checks(result)["comparisons_are_fair"].passed
    counts = metadata(result, *COMPARISON)
    assert counts["passed"] + counts["failed"] + counts["not_comparable"] == counts["dagster/row_count"] == 12
    assert counts["passed"] > 0
    assert shop.location.rows("SELECT count(*) FROM meva.standard_comparison WHERE reason = ''") == [(0,)]


def test_the_largest_difference_of_a_test_stands_in_its_result(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(sound(STEEL_4140))
    assert shop.job("tensile_comparison").success
    ((entered, largest),) = shop.location.rows(
        "SELECT max(r.compare_to_std_pct), (array_agg(c.difference_pct ORDER BY abs(c.difference_pct) DESC NULLS LAST))"
        "[1] FROM meva.simulation_result AS r JOIN meva.standard_comparison AS c USING (sim_id)"
    )
    assert entered == largest != 0


def test_the_same_comparison_again_writes_nothing(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(sound(STEEL_4140))
    first, again = (shop.job("tensile_comparison") for _ in range(2))
    assert metadata(first, *COMPARISON)["changed_comparisons"] == 4
    assert metadata(again, *COMPARISON)["changed_comparisons"] == 0


def test_a_test_in_conflict_is_compared_with_nothing_until_a_person_decided(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(sound(STEEL_4140))
    assert shop.job("tensile_comparison").success
    assert {outcome for _, outcome, _ in shop.location.rows(OUTCOMES)} != {"not comparable"}
    shop.intake(conflicting(STEEL_4140))
    assert shop.job("tensile_comparison").success
    told = shop.location.rows(OUTCOMES)
    assert {(outcome, reason) for _, outcome, reason in told} == {
        ("not comparable", "two contents of the test are in conflict: resolve it first")
    }
    assert shop.location.rows("SELECT compare_to_std_pct FROM meva.simulation_result") == [(None,)]
    ((number,),) = shop.location.rows("SELECT conflict_id FROM meva.data_conflict_log WHERE status = 'open'")
    decided = {"conflict_id": number, "resolution": "KEEP", "decided_by": "HK", "dry_run": False}
    assert shop.job("resolve_tensile_conflict", resolve_conflict=decided).success
    assert shop.job("tensile_comparison").success
    assert {outcome for _, outcome, _ in shop.location.rows(OUTCOMES)} != {"not comparable"}


def test_without_an_approved_value_there_is_a_reason_and_no_verdict(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140))
    assert shop.job("tensile_comparison").success
    reasons = {(outcome, reason) for _, outcome, reason in shop.location.rows(OUTCOMES)}
    assert reasons == {("not comparable", "no approved standard value of Steel_AISI4140")}


def test_comparisons_of_a_superseded_result_go(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140))
    assert shop.job("tensile_comparison").success
    shop.location.execute("UPDATE meva.simulation_result SET evaluator = '0', created_at = created_at - interval '1 d'")
    again = {"simulation_result": {"again": True}}
    assert shop.job("tensile_evaluation", day=TEST_DAY, **again).success
    assert shop.job("tensile_comparison").success
    assert shop.location.rows(
        "SELECT r.evaluator, count(*) FROM meva.standard_comparison JOIN meva.simulation_result AS r USING (sim_id)"
        " GROUP BY 1"
    ) == [("1", 4)]


def test_nothing_evaluated_is_nothing_compared_and_no_failure(shop: Shop) -> None:
    result = shop.job("tensile_comparison")
    assert result.success
    assert checks(result)["comparisons_are_fair"].description == "no row to judge"
    assert metadata(result, *COMPARISON)["dagster/row_count"] == 0
