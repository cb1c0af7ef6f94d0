"""Each rule is broken by one pair of values and by nothing less."""

import math
from collections.abc import Mapping

import pytest

from meva_pipelines.domain.tensile import plausibility
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Symbol, Value, Withheld

SOUND = {
    Symbol.MODULUS: 205_000.0,
    Symbol.RP01: 400.0,
    Symbol.RP02: 415.0,
    Symbol.RP10: 450.0,
    Symbol.RM: 655.0,
    Symbol.AG: 12.0,
    Symbol.AGT: 12.3,
    Symbol.A: 25.0,
    Symbol.AT: 25.4,
    Symbol.Z: 60.0,
}


def evaluation(numbers: Mapping[Symbol, float], *, uncertainty: float = 0.0, yields: bool = False) -> Evaluation:
    results: dict[Symbol, Value | Withheld] = {symbol: Withheld(symbol, "not in the record") for symbol in Symbol}
    results |= {symbol: Value(symbol, number, "", "", "", uncertainty, ()) for symbol, number in numbers.items()}
    return Evaluation(
        "1",
        "",
        results,
        line=None,
        quality=None,
        is_metal=True,
        is_discontinuous=yields,
        marks=None,
        true_curve=None,
        assumptions=(),
    )


def rules(numbers: Mapping[Symbol, float], *, uncertainty: float = 0.0, yields: bool = False) -> list[str]:
    found = plausibility.contradictions(evaluation({**SOUND, **numbers}, uncertainty=uncertainty, yields=yields))
    return [contradiction.rule for contradiction in found]


def test_a_sound_test_breaks_nothing() -> None:
    assert rules({}) == []


def test_what_is_withheld_breaks_nothing() -> None:
    assert not plausibility.contradictions(evaluation({}))


@pytest.mark.parametrize(
    ("numbers", "rule"),
    [
        ({Symbol.RP01: 416.0}, "proof_strengths_are_in_order"),
        ({Symbol.RP02: 451.0}, "proof_strengths_are_in_order"),
        ({Symbol.RP02: 656.0, Symbol.RP10: 657.0}, "proof_strength_is_less_than_tensile"),
        ({Symbol.AG: 12.4}, "plastic_extension_is_less_than_total"),
        ({Symbol.AGT: 25.5}, "extension_at_maximum_is_less_than_at_fracture"),
        ({Symbol.A: 11.9}, "uniform_elongation_is_less_than_elongation"),
        ({Symbol.REH: 400.0, Symbol.REL: 401.0}, "lower_yield_is_less_than_upper"),
        ({Symbol.MODULUS: 205.0e6}, "modulus_is_that_of_a_solid"),
        ({Symbol.MODULUS: 0.01}, "modulus_is_that_of_a_solid"),
        ({Symbol.Z: 101.0}, "contraction_is_a_share"),
        ({Symbol.REL: 0.0}, "strengths_are_positive"),
        ({Symbol.RP01: -1.0}, "strengths_are_positive"),
        ({Symbol.A: 2_001.0, Symbol.AT: 2_002.0}, "elongation_is_possible"),
        ({Symbol.AG: -2.0, Symbol.A: -1.1}, "elongation_is_possible"),
        ({Symbol.RM: math.inf}, "values_are_numbers"),
    ],
)
def test_each_rule_has_values_that_break_it(numbers: Mapping[Symbol, float], rule: str) -> None:
    assert rules(numbers) == [rule]


def test_what_breaks_without_flowing_may_have_a_little_less_than_no_elongation() -> None:
    assert rules({Symbol.AG: -0.02, Symbol.A: -0.01}) == []


def test_uncertainty_is_the_benefit_of_the_doubt() -> None:
    assert rules({Symbol.RP01: 416.0}, uncertainty=1.0) == []


def test_a_yield_drop_lowers_the_proof_strength() -> None:
    assert rules({Symbol.REH: 430.0, Symbol.REL: 410.0, Symbol.RP01: 425.0, Symbol.RP02: 411.0}, yields=True) == []
