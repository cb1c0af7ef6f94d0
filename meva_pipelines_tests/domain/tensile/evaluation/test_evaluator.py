"""Evaluations against closed forms, and that nothing about a record but the test itself moves a value."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.tensile.evaluation.evaluator import EVALUATOR_VERSION, evaluate
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Flag, Symbol, Value
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Series, Shape, Specimen
from meva_pipelines_tests.domain.tensile.evaluation.curves import Drop, Setup, recorded, smooth

METAL = smooth()
STEEL = Drop()
TRUTH = {
    Symbol.SLOPE: 70_000.0,
    Symbol.MODULUS: 70_000.0,
    Symbol.RP01: METAL.stress(0.001),
    Symbol.RP02: METAL.stress(0.002),
    Symbol.RP10: METAL.stress(0.01),
    Symbol.RM: 300.0,
}


def number(evaluation: Evaluation, symbol: Symbol) -> float:
    found = evaluation.results[symbol]
    assert isinstance(found, Value), found
    return found.value


def numbers(evaluation: Evaluation) -> dict[Symbol, float]:
    return {found.symbol: found.value for found in evaluation.values}


@pytest.mark.parametrize("method", SlopeMethod)
@pytest.mark.parametrize(
    "how",
    [
        Setup(),
        Setup(points=700),
        Setup(toe=0.0004),
        Setup(slack=0.003),
        Setup(slack=0.003, toe=0.0004, points=1_500),
        Setup(breaks=False),
    ],
    ids=["plain", "few points", "toe", "slack", "slack and toe", "no break"],
)
def test_a_smooth_metal_without_noise_is_met_within_a_thousandth(how: Setup, method: SlopeMethod) -> None:
    if method is SlopeMethod.STRAIN_BAND and (how.slack or how.toe):
        how = replace(how, slack=0.0, toe=0.0)  # a band of recorded strain means what it says
    evaluation = evaluate(*recorded(METAL, how), Recipe(slope=method))

    for symbol, truth in TRUTH.items():
        assert number(evaluation, symbol) == pytest.approx(truth, rel=1e-3), symbol
    assert number(evaluation, Symbol.AG) == pytest.approx(12.0, abs=0.02)
    assert evaluation.is_discontinuous is False
    assert evaluation.evaluator_version == EVALUATOR_VERSION


def test_extensions_and_energies_are_those_of_the_closed_form() -> None:
    curve, specimen = recorded(METAL)

    evaluation = evaluate(curve, specimen, Recipe())

    plastic = np.linspace(0.0, METAL.breaking, 200_001)
    stress = METAL.hardening(plastic)
    elastic = 0.5 * METAL.first_mpa**2 / METAL.modulus_mpa
    area = elastic + np.trapezoid(stress, plastic + stress / METAL.modulus_mpa)
    assert number(evaluation, Symbol.AGT) == pytest.approx(100 * METAL.total(0.12), abs=0.02)
    assert number(evaluation, Symbol.A) == pytest.approx(20.0, abs=0.01)
    assert number(evaluation, Symbol.AT) == pytest.approx(100 * METAL.total(0.2), abs=0.01)
    assert number(evaluation, Symbol.TOUGHNESS) == pytest.approx(area, rel=1e-3)
    assert number(evaluation, Symbol.RESILIENCE) == pytest.approx(0.5 * METAL.stress(0.002) ** 2 / 70_000.0, rel=1e-3)
    assert number(evaluation, Symbol.RT05) == pytest.approx(float(METAL.curve(np.array([0.005]))[0]), rel=1e-4)


def test_hollomon_recovers_its_own_exponent() -> None:
    """A curve made from true stress K · plastic strain ** n, which it returns."""
    strength, exponent, slope = 600.0, 0.18, 70_000.0
    plastic = np.concatenate(([0.0], np.geomspace(1e-6, 0.3, 20_000)))
    true_stress = strength * plastic**exponent
    engineering = np.expm1(plastic + true_stress / slope)
    stress = true_stress / (1.0 + engineering)
    # The elastic part of engineering and of true strain differ by 1e-5 here: the line is drawn on the former.
    start = stress[1]
    rising = np.linspace(0.0, start / slope, 200, endpoint=False)
    strain = np.concatenate((rising, engineering[1:]))
    curve = Curve(np.concatenate((slope * rising, stress[1:])) * 10.0, strain * 50.0, DisplacementSource.EXTENSOMETER)

    evaluation = evaluate(curve, Specimen("power", area_mm2=10.0, gauge_length_mm=50.0), Recipe())

    assert number(evaluation, Symbol.N) == pytest.approx(exponent, rel=3e-3)
    assert number(evaluation, Symbol.K) == pytest.approx(strength, rel=3e-3)


def test_a_yield_point_is_met() -> None:
    evaluation = evaluate(*recorded(STEEL.material()), Recipe())

    assert evaluation.is_discontinuous
    assert number(evaluation, Symbol.MODULUS) == pytest.approx(205_000.0, rel=1e-3)
    assert number(evaluation, Symbol.REH) == pytest.approx(320.0, rel=1e-3)
    assert number(evaluation, Symbol.REL) == pytest.approx(290.0, rel=1e-3)
    assert number(evaluation, Symbol.AE) == pytest.approx(100 * (0.02 + 290 / 205e3 - 320 / 205e3), abs=0.02)
    assert number(evaluation, Symbol.RP02) == pytest.approx(290.0, rel=1e-3)
    proof = evaluation.results[Symbol.RP02]
    assert isinstance(proof, Value)
    assert Flag.PLATEAU in proof.flags


def test_the_strength_is_that_after_the_yield_point() -> None:
    """ISO 6892-1: Fm is the greatest force after the yield point, which may be the greater one."""
    steel = Drop(upper_mpa=450.0, lower_mpa=290.0, rise_mpa=1000.0).material()

    evaluation = evaluate(*recorded(steel), Recipe())

    assert number(evaluation, Symbol.REH) == pytest.approx(450.0, rel=5e-3)  # the peak lies between points
    assert number(evaluation, Symbol.RM) == pytest.approx(420.0, rel=1e-3)
    assert number(evaluation, Symbol.AG) == pytest.approx(15.0, abs=0.02)


@pytest.mark.parametrize("how", [Setup(step_mpa=0.5), Setup(step_mpa=2.0), Setup(noise_mpa=1.0, noise_strain=5e-6)])
def test_noise_and_steps_stay_within_the_stated_uncertainty(how: Setup) -> None:
    evaluation = evaluate(*recorded(METAL, how), Recipe())

    for symbol, truth in TRUTH.items():
        found = evaluation.results[symbol]
        assert isinstance(found, Value)
        assert abs(found.value - truth) <= found.expanded_uncertainty, symbol


def thinned(curve: Curve, is_kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Curve:
    elapsed = curve.elapsed_s
    return replace(
        curve,
        load_n=curve.load_n[is_kept],
        displacement_mm=curve.displacement_mm[is_kept],
        elapsed_s=None if elapsed is None else elapsed[is_kept],
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_missing_samples_move_nothing(seed: int, share: float) -> None:
    curve, specimen = recorded(METAL)
    is_kept = np.random.default_rng(seed).uniform(size=curve.load_n.size) > share

    evaluation = evaluate(thinned(curve, is_kept), specimen, Recipe())

    for symbol, truth in TRUTH.items():
        assert number(evaluation, symbol) == pytest.approx(truth, rel=1e-3), symbol


def test_points_without_a_value_are_as_good_as_missing() -> None:
    curve, specimen = recorded(METAL)
    is_kept = np.ones(curve.load_n.size, dtype=bool)
    is_kept[::7] = False
    holed = curve.load_n.copy()
    holed[::7] = np.nan

    left_out = evaluate(thinned(curve, is_kept), specimen, Recipe())
    not_a_number = evaluate(replace(curve, load_n=holed), specimen, Recipe())

    assert numbers(not_a_number) == numbers(left_out)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0))
def test_a_larger_specimen_of_the_same_metal_has_the_same_properties(wider: float, longer: float) -> None:
    curve, specimen = recorded(METAL, Setup(points=800, noise_mpa=0.5))
    larger = replace(curve, load_n=wider * curve.load_n, displacement_mm=longer * curve.displacement_mm)
    named = replace(specimen, area_mm2=20.0 * wider, gauge_length_mm=50.0 * longer)

    one, other = evaluate(curve, specimen, Recipe()), evaluate(larger, named, Recipe())

    assert numbers(other) == pytest.approx(numbers(one), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 1000.0))
def test_the_unit_of_time_moves_nothing(factor: float) -> None:
    curve, specimen = recorded(METAL, Setup(points=800, noise_mpa=0.5))
    assert curve.elapsed_s is not None

    one = evaluate(curve, specimen, Recipe())
    other = evaluate(replace(curve, elapsed_s=factor * curve.elapsed_s), specimen, Recipe())

    assert numbers(other) == pytest.approx(numbers(one), rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5_000))
def test_rows_in_chunks_make_the_same_test(size: int) -> None:
    curve, specimen = recorded(METAL, Setup(noise_mpa=0.5))

    def chunked(values: Series) -> Series:
        return np.concatenate([values[first : first + size] for first in range(0, values.size, size)])

    again = replace(curve, load_n=chunked(curve.load_n), displacement_mm=chunked(curve.displacement_mm))

    assert numbers(evaluate(again, specimen, Recipe())) == numbers(evaluate(curve, specimen, Recipe()))


@pytest.mark.parametrize(
    ("specimen", "area"),
    [
        (Specimen("round", shape=Shape.ROUND, diameter_mm=10.0), 78.53981633974483),
        (Specimen("flat", shape=Shape.RECTANGULAR, thickness_mm=2.0, width_mm=12.5), 25.0),
        (Specimen("tube", shape=Shape.TUBE, diameter_mm=20.0, thickness_mm=1.0), 59.69026041820607),
        (Specimen("stated", shape=Shape.ROUND, diameter_mm=10.0, area_mm2=80.0), 80.0),
    ],
)
def test_the_area_is_that_of_the_shape(specimen: Specimen, area: float) -> None:
    curve, _ = recorded(METAL, Setup(points=600))

    evaluation = evaluate(curve, specimen, Recipe())

    assert number(evaluation, Symbol.RM) == pytest.approx(curve.load_n.max() / area, rel=1e-12)


def test_everything_is_a_value_or_withheld_and_carries_its_making() -> None:
    evaluation = evaluate(*recorded(METAL), Recipe())

    assert set(evaluation.results) == set(Symbol)
    for found in evaluation.values:
        assert found.method
        assert found.clause
        assert found.unit in {"MPa", "%", "1"}
        assert found.budget
        total = sum(one.standard_uncertainty**2 for one in found.budget)
        assert found.expanded_uncertainty == pytest.approx(2 * total**0.5)
    assert all(found.reason for found in evaluation.withheld)


def test_marks_lie_on_the_curve() -> None:
    evaluation = evaluate(*recorded(STEEL.material()), Recipe())

    assert evaluation.marks is not None
    marked = {mark.symbol for mark in evaluation.marks.points}
    assert {Symbol.REH, Symbol.REL, Symbol.RP02, Symbol.RM, Symbol.AG, Symbol.AT} <= marked
    for mark in evaluation.marks.points:
        assert np.interp(mark.strain, evaluation.marks.strain, evaluation.marks.stress_mpa) == pytest.approx(
            mark.stress_mpa, rel=2e-3
        )
    assert evaluation.marks.residuals is not None
    assert np.abs(evaluation.marks.residuals.y).max() < 0.2
    assert evaluation.marks.offsets == {Symbol.RP01: 0.001, Symbol.RP02: 0.002, Symbol.RP10: 0.01}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(-100, 100)), max_size=60),
    st.sampled_from(SlopeMethod),
    st.sampled_from(DisplacementSource),
)
def test_no_record_makes_it_raise(
    points: list[tuple[float, float]], method: SlopeMethod, source: DisplacementSource
) -> None:
    load, displacement = (np.array([point[channel] for point in points]) for channel in range(2))
    curve = Curve(load, displacement, source)

    evaluation = evaluate(curve, Specimen("any", area_mm2=1.0, gauge_length_mm=50.0), Recipe(slope=method))

    assert_sound(evaluation)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(3, 400),
    st.floats(0.0, 3.0),
    st.floats(0.2, 3.0),
    st.sampled_from(SlopeMethod),
    st.sampled_from(DisplacementSource),
)
def test_no_wandering_record_makes_it_raise(
    seed: int, points: int, drift: float, power: float, method: SlopeMethod, source: DisplacementSource
) -> None:
    random = np.random.default_rng(seed)
    strain = np.cumsum(random.normal(0.002, 0.002 * drift, points))
    stress = 300.0 * np.abs(strain / 0.1) ** power + np.cumsum(random.normal(0.0, 3.0 * drift, points))
    curve = Curve(stress * 20.0, strain * 50.0, source)
    specimen = Specimen("any", area_mm2=20.0, gauge_length_mm=50.0, final_area_mm2=10.0)

    assert_sound(evaluate(curve, specimen, Recipe(slope=method, hardening_band=(0.001, 0.2))))


def assert_sound(evaluation: Evaluation) -> None:
    assert set(evaluation.results) == set(Symbol)
    for found in evaluation.values:
        assert np.isfinite(found.value)
        assert np.isfinite(found.expanded_uncertainty)
