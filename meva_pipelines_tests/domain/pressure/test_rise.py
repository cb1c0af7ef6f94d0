"""Crossings of shares of the peak on a bell, whose inverse is known: t = at ∓ width · √(-ln share)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.pressure import rise
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines_tests.domain.pressure.curves import bell, bell_trace, clock


def limbs(trace: Trace) -> rise.Limbs:
    found = rise.limbs(trace)
    assert isinstance(found, rise.Limbs)
    return found


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_both_limbs_of_a_bell_are_crossed_where_its_inverse_says(share: float) -> None:
    away = 5.0 * math.sqrt(-math.log(share))
    found = limbs(bell_trace(4001))
    assert found.risen_ms(share) == pytest.approx(15.0 - away, abs=1e-4)
    assert found.fallen_ms(share) == pytest.approx(15.0 + away, abs=1e-4)


def test_a_crossing_on_straight_lines_is_exact() -> None:
    found = limbs(Trace(np.array([0.0, 2.0, 10.0]), np.array([0.0, 10.0, 0.0])))
    assert found.risen_ms(0.5) == 1.0
    assert found.fallen_ms(0.5) == 6.0


def test_the_first_of_two_equal_peaks_counts() -> None:
    top = rise.peak(Trace(np.arange(5.0), np.array([0.0, 7.0, 3.0, 7.0, 0.0])))
    assert (top.index, top.time_ms, top.pressure_mpa) == (1, 1.0, 7.0)


def test_a_spike_long_before_the_rise_is_not_the_ignition() -> None:
    trace = bell_trace(4001)
    pressure = trace.pressure_mpa.copy()
    pressure[200:203] = 25.0
    assert rise.ignition_ms(Trace(trace.time_ms, pressure)) == pytest.approx(rise.ignition_ms(trace), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_readings_below_zero_move_the_ignition_by_less_than_the_noise_lasts(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0.0, 0.4, 4001)
    time_ms = clock(4001)
    pressure = bell(time_ms) + noise
    assert pressure.min() < 0
    exact = 15.0 - 5.0 * math.sqrt(-math.log(0.1))
    rate = 2 * (15.0 - exact) / 5.0**2 * 4.0
    assert rise.ignition_ms(Trace(time_ms, pressure)) == pytest.approx(exact, abs=4 * 0.4 / rate)


def test_a_curve_without_a_rise_says_why() -> None:
    time_ms = np.arange(6.0)
    assert rise.ignition_ms(Trace(time_ms, np.zeros(6))) == "the pressure is nowhere above zero"
    assert rise.ignition_ms(Trace(time_ms, np.full(6, -1.0))) == "the pressure is nowhere above zero"
    falling = rise.ignition_ms(Trace(time_ms, np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])))
    assert falling == "the record begins above 10% of the peak"
    assert limbs(Trace(time_ms, np.arange(6.0))).fallen_ms(0.5) == "the record ends above 50% of the peak"
    noise = np.random.default_rng(3).normal(0.0, 1.0, 500)
    assert "points scatter by" in str(rise.ignition_ms(Trace(np.arange(500.0), noise)))


@given(offset=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3), share=st.floats(0.06, 0.95))
def test_a_crossing_moves_with_the_clock_and_not_with_the_unit_of_pressure(
    offset: float, scale: float, share: float
) -> None:
    trace = bell_trace()
    moved = Trace(trace.time_ms + offset, trace.pressure_mpa * scale)
    before, after = limbs(trace).risen_ms(share), limbs(moved).risen_ms(share)
    assert isinstance(before, float)
    assert after == pytest.approx(before + offset, abs=1e-9)
