"""What may be a curve, and how its noise is told from its shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.pressure.trace import Trace, recorded
from meva_pipelines_tests.domain.pressure.curves import bell, bell_trace, clock


def rule_of(time_ms: list[float], pressure_mpa: list[float]) -> tuple[str, int | None]:
    with pytest.raises(Unusable) as caught:
        Trace(np.array(time_ms), np.array(pressure_mpa))
    return caught.value.rule, caught.value.row


def test_a_curve_that_is_none_is_refused_with_its_rule_and_row() -> None:
    assert rule_of([0.0, 1.0], [0.0]) == ("curve_shape", None)
    assert rule_of([0.0], [1.0]) == ("curve_length", None)
    assert rule_of([0.0, 1.0, 2.0], [0.0, np.nan, 1.0]) == ("curve_finite", 1)
    assert rule_of([0.0, np.inf], [0.0, 1.0]) == ("curve_finite", 1)
    assert rule_of([0.0, 1.0], [-1e9, 1.0]) == ("curve_finite", 0)
    assert rule_of([0.0, 1e-10], [0.0, 1.0]) == ("curve_time", 1)
    assert rule_of([0.0, 1.0, 1.0], [0.0, 1.0, 2.0]) == ("curve_time", 2)
    assert rule_of([0.0, 2.0, 1.0], [0.0, 1.0, 2.0]) == ("curve_time", 2)


def test_readings_below_zero_are_kept() -> None:
    trace = Trace(np.array([0.0, 1.0, 2.0]), np.array([-0.2, 3.0, -0.1]))
    assert trace.pressure_mpa.min() == -0.2
    assert (trace.duration_ms, trace.step_ms) == (2.0, 1.0)


def test_rows_of_one_time_become_their_mean() -> None:
    found = recorded(np.array([0.0, 1.0, 1.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0, 6.0, 5.0]))
    assert found.trace.time_ms.tolist() == [0.0, 1.0, 2.0]
    assert found.trace.pressure_mpa.tolist() == [0.0, 3.0, 5.0]
    assert found.merged_rows == 2


def test_a_record_whose_time_runs_backwards_is_not_sorted_but_refused() -> None:
    with pytest.raises(Unusable, match="backwards") as caught:
        recorded(np.array([0.0, 2.0, 1.0]), np.array([0.0, 1.0, 2.0]))
    assert (caught.value.rule, caught.value.row) == ("curve_time", 2)


def test_a_record_of_one_moment_is_no_curve() -> None:
    with pytest.raises(Unusable, match="two points"):
        recorded(np.array([1.0, 1.0]), np.array([0.0, 1.0]))


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0])
def test_noise_is_measured_on_top_of_a_pulse(sigma: float) -> None:
    noise = np.random.default_rng(7).normal(0.0, sigma, 4000)
    time_ms = clock(4000)
    assert Trace(time_ms, bell(time_ms) + noise).noise_mpa == pytest.approx(sigma, rel=0.05)


@given(curvature=st.floats(-5, 5), slope=st.floats(-5, 5), points=st.integers(2, 50))
def test_a_parabola_has_no_noise(curvature: float, slope: float, points: int) -> None:
    time_ms = np.arange(points, dtype=float)
    assert Trace(time_ms, curvature * time_ms**2 + slope * time_ms).noise_mpa < 1e-8


def test_a_smooth_pulse_of_twenty_points_is_not_called_noisy() -> None:
    assert bell_trace(20).noise_mpa < 0.02 * 40.0
