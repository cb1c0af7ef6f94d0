"""Published tests are evaluated once by each version of the formulas; no published number changes unasked."""

from typing import Any

from meva_pipelines.domain.tensile.evaluation.values import Symbol
from meva_pipelines.resources.tensile_results import IMPLAUSIBLE
from meva_pipelines_tests.fixtures.laboratory import (
    ALUMINIUM,
    FILM,
    STEEL_1020,
    STEEL_4140,
    TEST_DAY,
    TITANIUM,
    Shop,
    checks,
    metadata,
    sound,
    with_gauge_length,
)

RESULT = ("meva", "simulation_result")
UNCHANGED = "no_published_number_changes_unasked"
HEADLINES = (
    "SELECT test_id, evaluator, young_modulus_gpa, yield_strength_mpa, tensile_strength_mpa, elongation_pct"
    " FROM meva.simulation_result ORDER BY test_id, evaluator"
)


def evaluate(shop: Shop, **config: object) -> Any:
    return shop.job("tensile_evaluation", day=TEST_DAY, simulation_result={"again": True, **config})


def test_the_truth_of_a_generated_test_lies_within_the_stated_uncertainty(shop: Shop) -> None:
    file = sound(STEEL_4140, points=2_000)
    result = shop.intake(file)
    assert checks(result)["properties_are_plausible"].passed
    ((stored,),) = shop.location.rows("SELECT results->'properties' FROM meva.simulation_result")
    truth = file.trials[0].truth
    for symbol in (Symbol.MODULUS, Symbol.RP02, Symbol.RM):
        found = stored[symbol.value]
        assert abs(found["value"] - truth[symbol]) <= found["expanded_uncertainty"], symbol
        assert found["clause"].startswith("ISO 6892-1")


def test_metals_with_and_without_a_yield_drop_and_films_are_drawn(shop: Shop) -> None:
    shown = metadata(shop.intake(*(sound(number, points=1_500) for number in (STEEL_1020, STEEL_4140, FILM))), *RESULT)
    for kind in ("curve_with_yield_drop", "curve_that_yields_smoothly", "curve_of_no_metal"):
        assert shown[kind].startswith("![evaluation of"), kind
    assert shown["evaluated_tests"] == shown["new_results"] == 3
    assert "withheld because" in shown["results"]


def test_what_the_record_does_not_support_is_withheld_with_a_reason_and_has_no_number(shop: Shop) -> None:
    shop.intake(sound(FILM))
    ((proof, reason),) = shop.location.rows(
        "SELECT yield_strength_mpa, results->'properties'->'Rp0.2'->>'withheld' FROM meva.simulation_result"
    )
    assert proof is None
    assert reason


def test_a_test_is_evaluated_once_by_one_version_of_the_formulas(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140))
    before = shop.location.rows("SELECT * FROM meva.simulation_result")
    result = shop.intake(sound(ALUMINIUM))
    assert metadata(result, *RESULT)["evaluated_tests"] == 1
    assert shop.location.rows("SELECT * FROM meva.simulation_result WHERE sim_id = 1") == before
    again = evaluate(shop)
    assert again.success
    assert metadata(again, *RESULT)["evaluated_tests"] == 2
    assert (metadata(again, *RESULT)["new_results"], metadata(again, *RESULT)["replaced_results"]) == (0, 0)
    assert checks(again)[UNCHANGED].passed


def test_numbers_that_would_change_are_reported_and_kept_until_the_run_says_replace(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140), sound(TITANIUM))
    before = shop.location.rows(HEADLINES)
    reported = evaluate(shop, slope="RESIDUALS")
    assert reported.success
    told = checks(reported)[UNCHANGED]
    assert not told.passed
    assert "would change; run again with `replaces: true`" in (told.description or "")
    assert "young_modulus_gpa" in metadata(reported, *RESULT)["would_change"]
    assert shop.location.rows(HEADLINES) == before
    replaced = evaluate(shop, slope="RESIDUALS", replaces=True)
    assert replaced.success
    assert checks(replaced)[UNCHANGED].passed
    assert metadata(replaced, *RESULT)["replaced_results"] == 2
    after = shop.location.rows(HEADLINES)
    assert [row[2] for row in after] != [row[2] for row in before]
    assert [row[4] for row in after] == [row[4] for row in before]
    assert shop.location.rows("SELECT DISTINCT results->'properties'->'mE'->>'clause' FROM meva.simulation_result") == [
        ("ASTM E3076-18",)
    ]


def test_results_of_an_earlier_version_are_kept_beside_the_new_ones(shop: Shop) -> None:
    """Every version of the formulas has a row of its own; where the numbers agree nothing has to be asked."""
    shop.intake(sound(STEEL_4140))
    shop.location.execute("UPDATE meva.simulation_result SET evaluator = '0', created_at = created_at - interval '1 d'")
    result = shop.job("tensile_evaluation", day=TEST_DAY, simulation_result={"again": False})
    assert result.success
    assert metadata(result, *RESULT)["new_results"] == 1
    old, new = shop.location.rows(HEADLINES)
    assert (old[1], new[1]) == ("0", "1")
    assert old[2:] == new[2:]


def test_an_older_version_whose_number_differs_holds_the_new_one_back(shop: Shop) -> None:
    shop.intake(sound(STEEL_4140), sound(ALUMINIUM))
    shop.location.execute("UPDATE meva.simulation_result SET evaluator = '0', created_at = created_at - interval '1 d'")
    shop.location.execute("UPDATE meva.simulation_result SET yield_strength_mpa = 1 WHERE sim_id = 1")
    assert shop.job("tensile_evaluation", day=TEST_DAY, simulation_result={"again": False}).success
    assert shop.location.rows("SELECT evaluator, count(*) FROM meva.simulation_result GROUP BY 1 ORDER BY 1") == [
        ("0", 2),
        ("1", 1),
    ]
    assert evaluate(shop, replaces=True).success
    assert shop.location.rows("SELECT count(*) FROM meva.simulation_result WHERE evaluator = '1'") == [(2,)]


def test_two_processes_say_what_one_says(shop: Shop) -> None:
    shop.intake(*(sound(number, points=200) for number in range(200, 219)))
    one = shop.location.rows("SELECT test_id, results FROM meva.simulation_result ORDER BY test_id")
    shop.location.execute("DELETE FROM meva.simulation_result")
    assert evaluate(shop, processes=2).success
    assert shop.location.rows("SELECT test_id, results FROM meva.simulation_result ORDER BY test_id") == one


def test_a_result_that_cannot_be_true_waits_in_quarantine_and_the_others_are_published(shop: Shop) -> None:
    """A gauge length of a metre on a bar of 25 mm makes steel forty times stiffer than diamond is."""
    result = shop.intake(with_gauge_length(sound(STEEL_4140), 1_000.0), sound(ALUMINIUM))
    assert metadata(result, *RESULT)["implausible_tests"] == 1
    waiting = "SELECT specimen, rule, reason, released_at IS NULL FROM meva.quarantine"
    ((specimen, rule, reason, is_waiting),) = shop.location.rows(waiting)
    assert (specimen, rule, is_waiting) == (sound(STEEL_4140).stem, IMPLAUSIBLE, True)
    assert "modulus_is_that_of_a_solid" in reason
    assert shop.location.rows("SELECT count(*) FROM meva.simulation_result") == [(1,)]


def test_a_run_of_nothing_but_implausible_results_publishes_nothing_and_ends_well(shop: Shop) -> None:
    result = shop.intake(with_gauge_length(sound(STEEL_4140), 1_000.0))
    assert checks(result)["properties_are_plausible"].description == "no row to judge"
    assert shop.location.rows("SELECT count(*) FROM meva.simulation_result") == [(0,)]
    assert shop.location.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'") == [(0,)]


def test_a_result_that_became_plausible_is_released(shop: Shop) -> None:
    """Formulas that were mended evaluate the same content again: it must not wait for ever."""
    shop.intake(sound(STEEL_4140))
    shop.location.execute(
        "INSERT INTO meva.quarantine (content_id, file_name, specimen, rule, reason, original, first_token, last_token)"
        " SELECT content_sha256, file_name, name, %s, 'as it was', original, token, token FROM meva.tensile_test",
        IMPLAUSIBLE,
    )
    assert evaluate(shop).success
    assert shop.location.rows("SELECT released_at IS NOT NULL FROM meva.quarantine") == [(True,)]
