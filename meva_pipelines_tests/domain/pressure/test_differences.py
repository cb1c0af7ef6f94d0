"""The simple measures in closed form, and beside numpy, scipy and the package `similaritymeasures`."""

import math

import numpy as np
import pytest
import similaritymeasures
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from meva_pipelines.domain.pressure import differences
from meva_pipelines_tests.domain.pressure.curves import base, bell, clock

TEST = bell(clock())
curves = st.integers(2, 40).flatmap(
    lambda points: st.tuples(*[st.lists(st.floats(-50, 50), min_size=points, max_size=points) for _ in range(2)])
)


def test_an_offset_is_the_root_mean_square_and_the_mean_absolute_error() -> None:
    pair = base(TEST - 1.5, TEST, step_ms=0.1)
    assert differences.rmse(pair) == pytest.approx(1.5)
    assert differences.mean_absolute_error(pair) == pytest.approx(1.5)
    assert differences.area_mpa_ms(pair) == pytest.approx(1.5 * 40.0)
    assert differences.correlation(pair) == pytest.approx(1.0)


def test_a_wave_is_off_by_its_amplitude_over_root_two() -> None:
    wave = np.sin(2 * np.pi * np.arange(400) / 40)
    pair = base(TEST[:400] + 3 * wave, TEST[:400])
    assert differences.rmse(pair) == pytest.approx(3 / math.sqrt(2))
    assert differences.r_squared(pair) == pytest.approx(1 - 400 * 4.5 / np.sum((TEST[:400] - TEST[:400].mean()) ** 2))


@given(factor=st.floats(0.1, 10))
def test_a_scaled_curve_is_all_magnitude_and_no_phase(factor: float) -> None:
    errors = differences.sprague_geers(base(factor * TEST, TEST))
    assert errors == pytest.approx((factor - 1, 0.0, abs(factor - 1)), abs=1e-7)


@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 180])
def test_a_shifted_wave_is_all_phase_and_no_magnitude(degrees: int) -> None:
    """Over whole periods, P is the shift in half turns."""
    at = 2 * np.pi * np.arange(401) / 400
    errors = differences.sprague_geers(base(np.sin(3 * at - math.radians(degrees)), np.sin(3 * at)))
    assert errors == pytest.approx((0.0, degrees / 180, degrees / 180), abs=1e-7)


def test_a_late_bell_has_the_phase_of_its_autocorrelation() -> None:
    """∫CT / ∫T² of two bells that are d apart is exp(-d² / (2 · width²))."""
    time_ms = clock(4001)
    errors = differences.sprague_geers(base(bell(time_ms, at_ms=22.0), bell(time_ms, at_ms=19.0)))
    phase = math.acos(math.exp(-(3.0**2) / (2 * 5.0**2))) / math.pi
    assert errors == pytest.approx((0.0, phase, phase), abs=1e-5)


def test_the_area_between_crossing_lines_is_two_triangles() -> None:
    """The package counts a crossed quadrilateral as if it were not crossed: exact only where the curves do not."""
    pair = base(np.array([0.0, 3.0]), np.array([2.0, 1.0]), step_ms=2.0)
    assert differences.area_mpa_ms(pair) == pytest.approx(0.5 * 2.0 * 1.0 + 0.5 * 2.0 * 1.0)


@given(pair=curves)
def test_the_area_is_theirs_where_the_curves_do_not_cross(pair: tuple[list[float], list[float]]) -> None:
    first, gap = np.array(pair[0]), np.abs(np.array(pair[1])) + 0.1
    time = np.arange(first.size, dtype=float)
    theirs = similaritymeasures.area_between_two_curves(
        np.column_stack((time, first + gap)), np.column_stack((time, first))
    )
    assert differences.area_mpa_ms(base(first + gap, first)) == pytest.approx(theirs, rel=1e-6)


@given(pair=curves)
def test_the_area_is_that_of_a_hundred_times_as_many_points(pair: tuple[list[float], list[float]]) -> None:
    first, second = (np.array(series) for series in pair)
    fine = np.linspace(0, first.size - 1, 100 * (first.size - 1) + 1)
    apart = np.interp(fine, np.arange(first.size), first - second)
    found = differences.area_mpa_ms(base(first, second))
    assert found == pytest.approx(float(np.trapezoid(np.abs(apart), fine)), rel=1e-2, abs=1e-2)


@given(pair=curves)
def test_the_correlation_is_that_of_scipy(pair: tuple[list[float], list[float]]) -> None:
    first, second = (np.round(np.array(series), 2) for series in pair)
    assume(np.ptp(first) > 0)
    assume(np.ptp(second) > 0)
    found = differences.correlation(base(first, second))
    assert found == pytest.approx(stats.pearsonr(first, second).statistic, abs=1e-6)


@given(pair=curves)
def test_distances_are_symmetric(pair: tuple[list[float], list[float]]) -> None:
    there, back = (base(*(np.array(series) for series in way)) for way in (pair, pair[::-1]))
    for measure in (differences.rmse, differences.mean_absolute_error, differences.area_mpa_ms):
        assert measure(there) == pytest.approx(measure(back), rel=1e-12)


def test_what_is_not_defined_says_why() -> None:
    flat, zero = np.full(401, 2.0), np.zeros(401)
    assert differences.correlation(base(flat, TEST)) == "the pressure of the simulation is constant"
    assert differences.correlation(base(TEST, flat)) == "the pressure of the test is constant"
    assert differences.r_squared(base(TEST, flat)) == "the pressure of the test is constant"
    assert differences.r_squared(base(flat, TEST)) == pytest.approx(
        1 - np.sum((TEST - 2) ** 2) / np.sum((TEST - TEST.mean()) ** 2)
    )
    assert differences.sprague_geers(base(TEST, zero)) == "the test is zero throughout"
    assert differences.sprague_geers(base(zero, TEST)) == "the simulation is zero throughout"
    assert differences.frechet_ratio(base(TEST, zero)) == "the test is zero throughout"
