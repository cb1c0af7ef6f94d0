"""Stated uncertainties hold: 93 to 97 % of generated tests lie within theirs, and budgets name what they assume."""

import math
from dataclasses import replace

import numpy as np
import pytest

from meva_pipelines.domain.tensile.evaluation.evaluator import evaluate
from meva_pipelines.domain.tensile.evaluation.recipe import Machine, Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.uncertainty import Equipment
from meva_pipelines.domain.tensile.evaluation.values import Symbol, Value
from meva_pipelines_tests.domain.tensile.evaluation.curves import Errors, Setup, recorded, smooth

METAL = smooth()
LONG = Setup(points=800, elastic_share=0.25, elastic_end=0.004, length_mm=500.0, noise_mpa=0.3, noise_strain=2e-6)
TESTS = 3_000
TRUTH = {
    Symbol.SLOPE: METAL.modulus_mpa,
    Symbol.MODULUS: METAL.modulus_mpa,
    Symbol.RP01: METAL.stress(0.001),
    Symbol.RP02: METAL.stress(0.002),
    Symbol.RP10: METAL.stress(0.01),
    Symbol.RT05: float(METAL.curve(np.array([0.005]))[0]),
    Symbol.RM: METAL.stress(METAL.uniform),
    Symbol.AG: 100 * METAL.uniform,
    Symbol.AGT: 100 * METAL.total(METAL.uniform),
    Symbol.A: 100 * METAL.breaking,
    Symbol.AT: 100 * METAL.total(METAL.breaking),
}


def errors(machine: Machine, random: np.random.Generator) -> Errors:
    """Errors with the standard uncertainties of the budget: limit/√3 of each class, in %."""
    limits = (machine.force_class, machine.area_percent, machine.extensometer_class, machine.gauge_length_percent)
    return Errors(*(random.normal(0.0, (limit or 0.0) / 100 / math.sqrt(3.0)) for limit in limits))


@pytest.mark.parametrize(
    "machine",
    [Machine(1.0, 1.0, 1.0, 0.5), Machine(0.1, 0.1, 0.1, 0.1)],
    ids=["class 1", "noise counts as much"],
)
def test_93_to_97_percent_of_tests_lie_within_their_uncertainty(machine: Machine) -> None:
    """On a gauge length of 500 mm, where the limits of the extensometer are relative ones."""
    random = np.random.default_rng(20)
    held = dict.fromkeys(TRUTH, 0)
    for seed in range(TESTS):
        curve, specimen = recorded(METAL, replace(LONG, errors=errors(machine, random)), seed)
        results = evaluate(curve, specimen, Recipe(machine=machine)).results
        for symbol, truth in TRUTH.items():
            found = results[symbol]
            assert isinstance(found, Value)
            held[symbol] += abs(found.value - truth) <= found.expanded_uncertainty

    assert all(0.93 * TESTS <= count <= 0.97 * TESTS for count in held.values()), held


def test_a_small_extension_meets_the_absolute_limit_of_the_extensometer() -> None:
    """ISO 9513, class 1: 1 % or 3 µm. On 50 mm, 0.1 % of strain is 50 µm, of which 3 µm are 6 %."""
    equipment = Equipment(Machine(extensometer_class=1.0), length_mm=50.0, is_crosshead=False)

    small, large = equipment.strain(1.0, 0.001)[0], equipment.strain(1.0, 0.1)[0]

    assert small.standard_uncertainty == pytest.approx(0.06 / math.sqrt(3.0))
    assert large.standard_uncertainty == pytest.approx(0.01 / math.sqrt(3.0))


def test_what_nobody_stated_is_named_as_assumed() -> None:
    curve, specimen = recorded(METAL, Setup(points=800))

    assumed = evaluate(curve, specimen, Recipe())
    stated = evaluate(curve, specimen, Recipe(machine=Machine(0.5, 0.5, 0.2, 0.2, 1.0, 0.1)))

    assert "force of class 1 (ISO 7500-1)" in assumed.assumptions
    assert stated.assumptions == ()
    for evaluation, is_assumed in ((assumed, True), (stated, False)):
        strength = evaluation.results[Symbol.RM]
        assert isinstance(strength, Value)
        assert {one.source: one.is_assumed for one in strength.budget if one.source == "force"} == {"force": is_assumed}


def test_a_better_machine_makes_a_smaller_uncertainty() -> None:
    curve, specimen = recorded(METAL, Setup(points=800))

    widths = []
    for limit in (0.2, 0.5, 1.0, 2.0):
        found = evaluate(curve, specimen, Recipe(machine=Machine(limit, limit, limit, limit))).results[Symbol.RP02]
        assert isinstance(found, Value)
        widths.append(found.expanded_uncertainty)

    assert widths == sorted(widths)
    assert widths[3] == pytest.approx(10 * widths[0], rel=0.02)


@pytest.mark.parametrize("method", SlopeMethod)
def test_the_error_of_the_regression_is_that_of_repeated_tests(method: SlopeMethod) -> None:
    """Fixed windows: the scatter of the slope over 200 noisy tests is its stated standard error."""
    slopes, stated = [], []
    for seed in range(200):
        evaluation = evaluate(*recorded(METAL, LONG, seed), Recipe(slope=method))
        assert evaluation.line is not None
        slopes.append(evaluation.line.slope_mpa)
        stated.append(evaluation.line.slope_error_mpa)

    widest = 1.15 if method is not SlopeMethod.RESIDUALS else 3.0  # the search picks a window by its residuals
    assert np.std(slopes) < widest * np.mean(stated)
