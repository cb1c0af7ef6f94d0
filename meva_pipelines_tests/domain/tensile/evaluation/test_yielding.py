"""Yield with a drop and smooth yield are told apart, and noise does not decide."""

import numpy as np
import pytest

from meva_pipelines.domain.tensile.evaluation.evaluator import evaluate
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Symbol, Value, Withheld
from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines_tests.domain.tensile.evaluation.curves import Drop, Material, Setup, recorded, smooth


def evaluated(material: Material, seed: int = 0, *, noise_mpa: float = 0.0, points: int = 1_500) -> Evaluation:
    how = Setup(points=points, noise_mpa=noise_mpa, noise_strain=1e-6)
    return evaluate(*recorded(material, how, seed), Recipe())


@pytest.mark.parametrize("noise_mpa", [0.0, 0.3, 1.0, 3.0, 10.0])
def test_noise_makes_no_yield_point(noise_mpa: float) -> None:
    """Up to 3 % of the strength, ten records each."""
    for seed in range(10):
        evaluation = evaluated(smooth(), seed, noise_mpa=noise_mpa)
        assert evaluation.is_discontinuous is not True
        assert isinstance(evaluation.results[Symbol.REH], Withheld)


@pytest.mark.parametrize("noise_mpa", [0.0, 0.3, 1.0, 3.0])
def test_noise_hides_no_yield_point_of_a_tenth(noise_mpa: float) -> None:
    for seed in range(10):
        evaluation = evaluated(Drop().material(), seed, noise_mpa=noise_mpa)
        assert evaluation.is_discontinuous
        for symbol, truth in ((Symbol.REH, 320.0), (Symbol.REL, 290.0)):
            found = evaluation.results[symbol]
            assert isinstance(found, Value)
            assert abs(found.value - truth) <= found.expanded_uncertainty, (symbol, seed)


@pytest.mark.parametrize(("drop_mpa", "is_drop"), [(0.6, False), (1.2, False), (1.8, True), (5.0, True)])
@pytest.mark.parametrize("noise_mpa", [0.0, 0.1])
def test_the_drop_has_to_be_half_a_percent(drop_mpa: float, noise_mpa: float, *, is_drop: bool) -> None:
    """Half a percent of 290 MPa is 1.45 MPa."""
    evaluation = evaluated(Drop(upper_mpa=290.0 + drop_mpa).material(), noise_mpa=noise_mpa)

    assert evaluation.is_discontinuous is is_drop


@pytest.mark.parametrize("breaks", [True, False])
def test_necking_is_no_yield_point(*, breaks: bool) -> None:
    """A cold-worked metal: greatest force at 0.4 % plastic strain, then the force falls to the break."""

    def hardening(plastic: Series) -> Series:
        return 600.0 - 60.0 * np.maximum(1.0 - plastic / 0.004, 0.0) ** 2 - 2000.0 * np.maximum(plastic - 0.004, 0.0)

    material = Material(70_000.0, 540.0, hardening, 0.004, 0.06)
    evaluation = evaluate(*recorded(material, Setup(breaks=breaks, elastic_end=0.01)), Recipe())

    assert evaluation.is_discontinuous is False
    rm = evaluation.results[Symbol.RM]
    assert isinstance(rm, Value)
    assert rm.value == pytest.approx(600.0, rel=1e-4)


def test_serrations_of_late_flow_are_no_yield_point() -> None:
    """An aluminium alloy that flows in jerks of 2 % from 3 % strain on."""
    smooth_metal = smooth()

    def hardening(plastic: Series) -> Series:
        jerks = 0.02 * np.where(plastic > 0.03, (plastic * 400.0) % 1.0, 0.0)
        return smooth_metal.hardening(plastic) * (1.0 - jerks)

    evaluation = evaluated(Material(70_000.0, 180.0, hardening, 0.12, 0.2))

    assert evaluation.is_discontinuous is False


@pytest.mark.parametrize("noise_mpa", [0.0, 0.3])
@pytest.mark.parametrize(("plateau", "lower_mpa"), [([285.0, 290.0], 285.0), ([290.0, 290.0], 290.0)])
def test_the_first_undershoot_is_no_lower_yield_strength(
    plateau: list[float], lower_mpa: float, noise_mpa: float
) -> None:
    """ISO 6892-1: the initial transient does not count; here the stress falls to 270 MPa before it stands near 290."""

    def hardening(plastic: Series) -> Series:
        knots = [0.0, 0.0005, 0.001, 0.004, 0.008, 0.02, 0.15, 0.2]
        return np.interp(plastic, knots, [320.0, 270.0, 290.0, *plateau, 290.0, 420.0, 320.0])

    evaluation = evaluated(Material(205_000.0, 320.0, hardening, 0.15, 0.2), points=5_000, noise_mpa=noise_mpa)

    lower = evaluation.results[Symbol.REL]
    assert isinstance(lower, Value)
    assert lower.value == pytest.approx(lower_mpa, rel=3e-3)
