"""Whole comparisons: known pairs, two alignments, and what may not change the numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.pressure.comparison import Alignment, Comparison, Measures, Metric, compare
from meva_pipelines.domain.pressure.iso18571 import Grade
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines_tests.domain.pressure.curves import Shape, bell, bell_trace, clock

POWER_OF_PRESSURE = {
    Metric.PEAK_PRESSURE_DIFF: 1,
    Metric.MAX_RATE_DIFF: 1,
    Metric.IMPULSE_DIFF: 1,
    Metric.RMSE: 1,
    Metric.MAE: 1,
    Metric.AREA: 1,
}
"""Metrics in MPa, alone or by or over a time; all others have no unit of pressure."""

differing = st.builds(Shape, at_ms=st.floats(12, 20), peak_mpa=st.floats(25, 60), width_ms=st.floats(4, 7))


def measures(found: Comparison, alignment: Alignment = Alignment.RAW) -> Measures:
    under = found.under(alignment)
    assert isinstance(under, Measures)
    return under


def assert_same(found: Measures, expected: Measures, *, within: float = 1e-6) -> None:
    assert dict(found.values) == pytest.approx(dict(expected.values), rel=within, abs=within)
    assert found.withheld == expected.withheld
    assert found.grade == expected.grade


def test_a_curve_beside_itself_is_perfect_in_every_measure() -> None:
    found = compare(bell_trace(), bell_trace())
    perfect = {
        metric: 1.0 if metric.startswith("iso18571") or metric in {Metric.CORRELATION, Metric.R_SQUARED} else 0.0
        for metric in Metric
    }
    for alignment in Alignment:
        assert dict(measures(found, alignment).values) == pytest.approx(perfect, abs=1e-7)
        assert measures(found, alignment).grade is Grade.EXCELLENT
        assert measures(found, alignment).late_ms == 0.0


def test_a_late_and_strong_simulation_has_the_differences_that_were_put_in() -> None:
    found = compare(bell_trace(4001, at_ms=16.2, peak_mpa=44.0), bell_trace(4001))
    raw, aligned = measures(found), measures(found, Alignment.IGNITION)
    assert raw.values[Metric.PEAK_PRESSURE_DIFF] == pytest.approx(4.0)
    for metric in (Metric.PEAK_TIME_DIFF, Metric.T10_DIFF, Metric.T50_DIFF, Metric.T90_DIFF):
        assert raw.values[metric] == pytest.approx(1.2, abs=1e-4)
        assert aligned.values[metric] == pytest.approx(0.0, abs=1e-4)
    assert raw.values[Metric.IMPULSE_DIFF] == pytest.approx(4.0 * 5.0 * math.sqrt(math.pi), rel=1e-3)
    assert raw.values[Metric.MAX_RATE_DIFF] == pytest.approx(0.1 * 40.0 * math.sqrt(2 / math.e) / 5.0, rel=1e-2)
    assert raw.late_ms == pytest.approx(1.2, abs=0.02)
    assert (raw.overlap.shift_ms, raw.overlap.ratio) == (0.0, 1.0)
    assert aligned.overlap.shift_ms == pytest.approx(1.2, abs=1e-4)
    assert aligned.overlap.ratio == pytest.approx(1 - 1.2 / 40.0, abs=1e-5)
    assert aligned.values[Metric.CORRELATION] == pytest.approx(1.0, abs=1e-6)
    assert aligned.values[Metric.RMSE] < raw.values[Metric.RMSE]
    assert aligned.values[Metric.SG_MAGNITUDE] == pytest.approx(0.1, abs=1e-3)


def test_white_noise_is_the_root_mean_square_error() -> None:
    time_ms = clock(4000)
    noise = np.random.default_rng(11).normal(0.0, 0.5, 4000)
    found = measures(compare(bell_trace(4000), Trace(time_ms, bell(time_ms) + noise)))
    assert found.values[Metric.RMSE] == pytest.approx(0.5, rel=0.05)
    assert found.values[Metric.MAE] == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=0.05)
    assert found.values[Metric.RMSE_RATIO] == pytest.approx(0.5 / 40.0, rel=0.1)


def test_a_simulation_of_sixty_points_is_compared_on_the_base_of_the_test() -> None:
    found = measures(compare(bell_trace(60), bell_trace(4000)))
    assert (found.points, found.warping_points) == (4000, 2000)
    assert found.values[Metric.RMSE] < 0.01 * 40.0


def test_too_little_overlap_leaves_the_figures_and_no_measures() -> None:
    test = bell_trace()
    half = Trace(test.time_ms[:180], test.pressure_mpa[:180])
    found = compare(half, test)
    assert found.raw == "the simulation covers 45% of the test; 50% are needed"
    assert found.simulation.values == compare(half, test, least_overlap=0.4).simulation.values
    assert isinstance(compare(half, test, least_overlap=0.4).raw, Measures)


def test_curves_that_only_overlap_after_alignment_are_compared_after_alignment() -> None:
    found = compare(bell_trace(offset_ms=1_000.0), bell_trace())
    assert isinstance(found.raw, str)
    assert measures(found, Alignment.IGNITION).values[Metric.RMSE] == pytest.approx(0.0, abs=1e-9)


def test_without_an_ignition_there_is_no_alignment_by_it() -> None:
    flat = Trace(clock(), np.full(401, 5.0))
    found = compare(flat, bell_trace())
    assert found.at_ignition == "no ignition of the simulation: the record begins above 10% of the peak"
    raw = measures(found)
    assert raw.withheld[Metric.CORRELATION] == "the pressure of the simulation is constant"
    assert raw.withheld[Metric.ISO_OVERALL] == "the pressure of the simulation is constant"
    assert raw.withheld[Metric.T10_DIFF] == "simulation: the record begins above 10% of the peak"
    assert (raw.grade, raw.late_ms) == (None, None)
    assert raw.values[Metric.PEAK_PRESSURE_DIFF] == -35.0


def test_a_dead_firing_is_compared_as_far_as_it_goes() -> None:
    found = compare(bell_trace(), Trace(clock(), np.zeros(401)))
    assert found.at_ignition == "no ignition of the test: the pressure is nowhere above zero"
    raw = measures(found)
    assert set(raw.values) == {
        Metric.PEAK_PRESSURE_DIFF,
        Metric.PEAK_TIME_DIFF,
        Metric.IMPULSE_DIFF,
        Metric.RMSE,
        Metric.MAE,
        Metric.AREA,
    }
    assert set(raw.values) | set(raw.withheld) == set(Metric)


any_pressure = st.one_of(
    st.sampled_from([0.0, -1.0, 40.0, 1e-12, 1e-300, 5e8]), st.floats(-1e8, 1e8), st.floats(-100, 100)
)
any_trace = st.lists(st.tuples(st.sampled_from([1e-8, 0.01, 1.0, 1e5]), any_pressure), min_size=2, max_size=40).map(
    lambda rows: Trace(np.cumsum([step for step, _ in rows]), np.array([pressure for _, pressure in rows]))
)


@given(simulation=any_trace, test=any_trace)
def test_whatever_the_curves_are_every_measure_is_a_number_or_has_a_reason(simulation: Trace, test: Trace) -> None:
    found = compare(simulation, test, least_overlap=0.0)
    for under in (found.raw, found.at_ignition):
        if isinstance(under, Measures):
            assert set(under.values) | set(under.withheld) == set(Metric)
            assert not set(under.values) & set(under.withheld)
            assert all(math.isfinite(value) for value in under.values.values())


@given(shape=differing, offset=st.floats(-20, 500))
def test_at_ignition_the_clock_of_the_simulation_does_not_matter(shape: Shape, offset: float) -> None:
    test = bell_trace()
    expected = measures(compare(bell_trace(**shape), test), Alignment.IGNITION)
    moved = measures(compare(bell_trace(**shape, offset_ms=offset), test), Alignment.IGNITION)
    assert_same(moved, expected)
    assert moved.overlap.shift_ms == pytest.approx(expected.overlap.shift_ms + offset, abs=1e-9)


@given(shape=differing, offset=st.integers(-1000, 1000))
def test_one_shift_of_both_clocks_changes_nothing(shape: Shape, offset: int) -> None:
    expected = compare(bell_trace(**shape), bell_trace())
    moved = compare(bell_trace(**shape, offset_ms=offset), bell_trace(offset_ms=offset))
    for alignment in Alignment:
        assert_same(measures(moved, alignment), measures(expected, alignment))


@given(shape=differing, power=st.integers(-10, 10))
def test_the_unit_of_pressure_scales_what_has_it_and_nothing_else(shape: Shape, power: int) -> None:
    factor = 2.0**power
    simulation, test = bell_trace(**shape), bell_trace()
    expected = measures(compare(simulation, test))
    scaled = measures(
        compare(
            Trace(simulation.time_ms, factor * simulation.pressure_mpa),
            Trace(test.time_ms, factor * test.pressure_mpa),
        )
    )
    for metric, value in expected.values.items():
        wanted = value * factor ** POWER_OF_PRESSURE.get(metric, 0)
        assert scaled.values[metric] == pytest.approx(wanted, rel=1e-9, abs=1e-9), metric


@settings(max_examples=30)
@given(shape=differing)
def test_finer_sampling_of_the_same_curves_changes_little(shape: Shape) -> None:
    """All but the slope, whose moving average is nine points wide whatever their distance is."""
    coarse = measures(compare(bell_trace(401, **shape), bell_trace(401)))
    fine = measures(compare(bell_trace(801, **shape), bell_trace(801)))
    for metric in set(Metric) - {Metric.ISO_SLOPE, Metric.ISO_OVERALL, Metric.MAX_RATE_DIFF, Metric.PEAK_TIME_DIFF}:
        assert fine.values[metric] == pytest.approx(coarse.values[metric], rel=0.02, abs=0.02), metric


@given(shape=differing)
def test_swapping_the_curves_changes_the_sign_of_the_differences(shape: Shape) -> None:
    there = measures(compare(bell_trace(**shape), bell_trace()))
    back = measures(compare(bell_trace(), bell_trace(**shape)))
    for metric in Metric:
        if "_diff_" in metric:
            assert back.values[metric] == pytest.approx(-there.values[metric], abs=1e-9), metric
    for metric in (Metric.RMSE, Metric.MAE, Metric.AREA, Metric.CORRELATION, Metric.SG_PHASE):
        assert back.values[metric] == pytest.approx(there.values[metric], rel=1e-9, abs=1e-9), metric
