"""Curves as they are stored: rounded once, fingerprinted by what is stored, refused when no firing looks like that."""

import hashlib
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import curves

TIME = np.array([0.0, 0.01, 0.02, 0.03])
PRESSURE = np.array([-0.0123456789, 10.0, 45.1234562, 0.5])


@given(arrays.arrays(np.float64, 50, elements=st.floats(-199, 2_000)))
def test_a_stored_value_is_the_number_with_six_decimals(values: np.ndarray) -> None:
    curve = curves.stored(np.arange(50.0), np.append(values[:-1], 1_999.0))
    for given_value, found in zip(values[:-1], curve.pressure_pa[:-1], strict=True):
        assert abs(Decimal(int(found)) / 1_000_000 - Decimal(float(given_value))) <= Decimal("0.0000005001")


def test_the_fingerprint_is_that_of_the_whole_numbers() -> None:
    curve = curves.stored(TIME, PRESSURE)
    points = [(0, -12_346), (10_000, 10_000_000), (20_000, 45_123_456), (30_000, 500_000)]
    encoded = b"".join(a.to_bytes(8, "little", signed=True) + b.to_bytes(8, "little", signed=True) for a, b in points)
    assert curve.sha256 == hashlib.sha256(encoded).hexdigest()
    assert curves.decoded(curve.encoded()).sha256 == curve.sha256


def test_noise_below_the_sixth_decimal_changes_nothing() -> None:
    assert curves.stored(TIME, PRESSURE).sha256 == curves.stored(TIME + 1e-9, PRESSURE + 1e-8).sha256


def test_readings_below_zero_stay() -> None:
    assert curves.stored(TIME, PRESSURE).pressure_mpa[0] == -0.012346


def test_a_reading_may_lie_a_tenth_of_the_peak_below_zero() -> None:
    assert curves.stored(TIME, np.array([-1.0, 10.0, 3.0, 0.0])).lowest_pct == curves.LOWEST_PCT


def test_the_peak_is_the_first_greatest_reading() -> None:
    assert curves.stored(TIME, np.array([0.0, 7.0, 7.0, 1.0])).peak == (0.01, 7.0)


@pytest.mark.parametrize(
    ("time_ms", "pressure_mpa", "rule"),
    [
        (TIME[::-1], PRESSURE, "curve_time"),
        (TIME[:1], PRESSURE[:1], "curve_length"),
        (TIME, PRESSURE * np.nan, "curve_finite"),
        (TIME + 1.5, PRESSURE, "curve_start"),
        (TIME * 1e6, PRESSURE, "curve_duration"),
        (TIME, PRESSURE * 1e-3, "curve_magnitude"),
        (TIME, PRESSURE * 1e3, "curve_magnitude"),
        (TIME, PRESSURE - 2_100, "curve_magnitude"),
        (TIME, np.array([-1.01, 10.0, 3.0, 0.0]), "curve_zero"),
    ],
)
def test_what_no_firing_shows_is_refused_by_name(time_ms: np.ndarray, pressure_mpa: np.ndarray, rule: str) -> None:
    with pytest.raises(Unusable) as caught:
        curves.stored(time_ms, pressure_mpa)
    assert caught.value.rule == rule


def test_several_sensors_are_averaged_on_their_overlap() -> None:
    first = curves.stored(np.arange(0.0, 10.0), np.full(10, 4.0))
    second = curves.stored(np.arange(0.5, 8.0, 0.5), np.full(15, 6.0))
    mean = curves.mean((first, second))
    assert mean.time_ms[0] == 0.5
    assert mean.time_ms[-1] == 7.5
    assert np.all(mean.pressure_mpa == 5.0)


def test_sensors_without_a_common_time_are_refused() -> None:
    first = curves.stored(np.array([0.0, 0.5]), np.array([1.0, 2.0]))
    second = curves.stored(np.array([0.9, 2.0]), np.array([1.0, 2.0]))
    with pytest.raises(Unusable) as caught:
        curves.mean((first, second))
    assert caught.value.rule == "curves_overlap"
