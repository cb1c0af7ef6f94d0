"""The generated season keeps its closed forms."""

import numpy as np
import pytest
from scipy import integrate

from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import GOOD_MODEL, NOISE_MPA, SCATTER, WORSE_MODEL, Order, Season

SEASON = Season(orders=8, repeats=5)


@pytest.mark.parametrize("order", list(SEASON.work_orders()), ids=lambda order: order.number)
def test_a_pulse_peaks_where_it_says_and_has_the_area_that_it_says(order: Order) -> None:
    pulse = order.pulse
    time_ms = np.linspace(0.0, 60 * pulse.rise_ms, 2_000_001)
    pressure_mpa = pulse.pressure_mpa(time_ms)
    assert pressure_mpa.max() == pytest.approx(pulse.peak_mpa, rel=1e-8)
    assert time_ms[pressure_mpa.argmax()] == pytest.approx(pulse.peak_ms, abs=1e-3 * pulse.rise_ms)
    assert np.all(pressure_mpa[time_ms < pulse.ignition_ms] == 0)
    assert integrate.simpson(pressure_mpa, x=time_ms) == pytest.approx(pulse.impulse_mpa_ms(), rel=1e-4)


def test_repeats_scatter_as_stated_and_readings_go_below_zero() -> None:
    ratios = [f.pulse.peak_mpa / order.pulse.peak_mpa for order in SEASON.work_orders() for f in SEASON.firings(order)]
    assert 0.5 * SCATTER < np.std(ratios) < 1.5 * SCATTER
    readings = next(SEASON.firings(next(SEASON.work_orders()))).readings_mpa()
    assert -6 * NOISE_MPA < readings.min() < 0


def test_a_season_is_the_same_each_time() -> None:
    small = Season(orders=1, repeats=1)
    assert dict(firing_files.firing_files(small)) == dict(firing_files.firing_files(small))


def test_the_worse_model_is_off_by_more_than_repeats_scatter() -> None:
    for order in SEASON.work_orders():
        good, worse = SEASON.simulations(order)
        assert (good.model, worse.model) == (GOOD_MODEL, WORSE_MODEL)
        assert abs(good.pulse.peak_mpa / order.pulse.peak_mpa - 1) < SCATTER < 3 * SCATTER
        assert worse.pulse.peak_mpa / order.pulse.peak_mpa - 1 > 3 * SCATTER
