"""The figures of a bell, of a parabola and of triangles, in closed form."""

import math

import numpy as np
import pytest

from meva_pipelines.domain.pressure.figures import Figure, figures
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines_tests.domain.pressure.curves import bell, bell_trace, clock


def test_every_figure_of_a_bell() -> None:
    found = figures(bell_trace(8001))
    away = {share: 5.0 * math.sqrt(-math.log(share)) for share in (0.1, 0.5, 0.9)}
    assert not found.withheld
    assert found.values[Figure.PEAK_PRESSURE] == 40.0
    assert found.values[Figure.PEAK_TIME] == 15.0
    assert found.values[Figure.T10] == pytest.approx(15.0 - away[0.1], abs=1e-4)
    assert found.values[Figure.T50] == pytest.approx(15.0 - away[0.5], abs=1e-4)
    assert found.values[Figure.T90] == pytest.approx(15.0 - away[0.9], abs=1e-4)
    assert found.values[Figure.RISE_TIME] == pytest.approx(away[0.1] - away[0.9], abs=1e-4)
    assert found.values[Figure.DURATION_10] == pytest.approx(2 * away[0.1], abs=1e-4)
    assert found.values[Figure.DURATION_50] == pytest.approx(2 * away[0.5], abs=1e-4)
    area = 40.0 * 5.0 * math.sqrt(math.pi) * (math.erf(5.0) + math.erf(3.0)) / 2
    assert found.values[Figure.IMPULSE] == pytest.approx(area, rel=1e-7)
    steepest = 40.0 * math.sqrt(2 / math.e) / 5.0
    assert found.values[Figure.MAX_RATE] == pytest.approx(steepest, rel=2e-3)


def test_the_greatest_rate_of_a_parabola_is_exact() -> None:
    """P = 40 (1 - (1 - t/10)²) has its greatest rate, 8 MPa/ms, in the first point."""
    time_ms = clock(401)[:201]
    found = figures(Trace(time_ms, 40 * (1 - (1 - time_ms / 10) ** 2)))
    assert found.values[Figure.MAX_RATE] == pytest.approx(8.0, rel=1e-9)


def test_the_greatest_rate_hardly_follows_the_noise() -> None:
    """Differences from point to point would say some 100 MPa/ms here."""
    time_ms = clock(4000)
    noise = np.random.default_rng(1).normal(0.0, 0.2, 4000)
    found = figures(Trace(time_ms, bell(time_ms) + noise))
    assert found.values[Figure.MAX_RATE] == pytest.approx(40.0 * math.sqrt(2 / math.e) / 5.0, rel=0.2)


def test_readings_below_zero_count_in_the_impulse() -> None:
    found = figures(Trace(np.array([0.0, 1.0, 2.0, 3.0]), np.array([-1.0, -1.0, 3.0, 3.0])))
    assert found.values[Figure.IMPULSE] == 3.0


def test_a_record_that_ends_early_has_a_rise_and_no_durations() -> None:
    trace = bell_trace(401)
    found = figures(Trace(trace.time_ms[:170], trace.pressure_mpa[:170]))
    assert Figure.T90 in found.values
    assert found.withheld == {
        Figure.DURATION_10: "the record ends above 10% of the peak",
        Figure.DURATION_50: "the record ends above 50% of the peak",
    }


def test_a_flat_curve_keeps_its_peak_and_says_why_it_has_no_moments() -> None:
    found = figures(Trace(np.arange(5.0), np.full(5, 3.0)))
    assert found.values == {Figure.PEAK_PRESSURE: 3.0, Figure.PEAK_TIME: 0.0, Figure.IMPULSE: 12.0}
    assert set(found.withheld) == set(Figure) - set(found.values)
    assert found.withheld[Figure.T10] == "the record begins above 10% of the peak"


def test_a_rise_of_few_points_has_no_greatest_rate() -> None:
    found = figures(bell_trace(21))
    assert found.withheld == {Figure.MAX_RATE: "5 points are wider than 50% of the rise"}


@pytest.mark.parametrize("points", [2, 3, 4, 5, 7, 60, 1000])
def test_every_figure_is_given_or_withheld(points: int) -> None:
    found = figures(bell_trace(points))
    assert set(found.values) | set(found.withheld) == set(Figure)
    assert not set(found.values) & set(found.withheld)
