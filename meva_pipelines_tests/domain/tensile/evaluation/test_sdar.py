"""ASTM E3076: the published self-test, a slow reference, and what the quality figures see."""

from itertools import combinations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from meva_pipelines.domain.tensile.evaluation import sdar, sdar_quality
from meva_pipelines.domain.tensile.evaluation.values import Quality
from meva_pipelines.domain.tensile.recording import Series

STEPS = 2**14


def aluminium() -> tuple[Series, Series]:
    """The record of the published self-test: Ramberg-Osgood through 160 MPa at 0.2 % and 215 MPa at 8 %, E 69,000 MPa.

    A toe leads from 3 to 15 MPa with a slope of 13,600 MPa; 10 MPa are added; both channels have 14 bits.
    """
    slope, yields, greatest, end = 69_000.0, 160.0, 215.0, 0.08
    exponent = np.log((end - greatest / slope) / 0.002) / np.log(greatest / yields)
    levels = np.linspace(0.0, greatest, STEPS)
    whole = PchipInterpolator(levels / slope + 0.002 * (levels / yields) ** exponent, levels)
    strain = np.linspace(0.0, end, STEPS)
    stress = whole(strain)
    is_toe = stress <= 15.0
    before = np.linspace(-23 * strain[1], 0.0, 24)
    toe = PchipInterpolator(
        np.concatenate((before, strain[is_toe][-1:], strain[~is_toe][:23])),
        np.concatenate((13_600.0 * before + 3.0, stress[is_toe][-1:], stress[~is_toe][:23])),
    )
    bent = PchipInterpolator(strain, np.where(is_toe, toe(strain), stress))
    strain = np.rint(strain / (end / STEPS)) * (end / STEPS)
    stress = bent(strain) + 10.0
    step = stress.max() / STEPS
    return strain, np.rint(stress / step) * step


def test_the_published_self_test_is_met() -> None:
    strain, stress = aluminium()

    found = sdar.search(strain, stress, min_fraction=0.2, most_points=1_500)

    assert found is not None
    assert found.line.slope_mpa == pytest.approx(68995.0585161614, rel=1e-9)
    assert found.line.intercept_mpa == pytest.approx(10.002547500777, rel=1e-9)
    assert found.line.stress_band_mpa == pytest.approx((24.8291015625, 82.7682495117188), rel=1e-9)
    quality = sdar_quality.quality(found.region, found.line)
    assert quality.curvature.value == pytest.approx(0.00712826619905767, rel=1e-6)
    assert quality.fit_range.value == pytest.approx(0.817634510547523, rel=1e-9)
    assert quality.resolution.value == pytest.approx(1 / 3)
    assert quality.is_data_good
    assert quality.is_fit_good


def slow_best(x: Series, y: Series, least: int) -> tuple[float, int, int, float]:
    """Every window by numpy.polyfit: the smallest SSE/SST, its ends and its slope."""
    found = []
    for start, stop in combinations(range(x.size + 1), 2):
        if stop - start >= least:
            slope, intercept = np.polyfit(x[start:stop], y[start:stop], 1)
            rest = y[start:stop] - slope * x[start:stop] - intercept
            spread = y[start:stop] - y[start:stop].mean()
            found.append((float(rest @ rest / (spread @ spread)), start, stop, float(slope)))
    return min(found)


@pytest.mark.parametrize("seed", range(3))
def test_all_windows_by_prefix_sums_are_all_windows_by_polyfit(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(0.0, 1.0, 70))
    y = x - 0.1 * x**3 + 0.02 * np.exp(-30.0 * x) + random.normal(0.0, 1e-3, x.size)

    residual, start, stop, slope = slow_best(x, y, 14)
    window = sdar.best_window(x, y, 14)

    assert (window.start, window.stop) == (start, stop)
    assert window.residual == pytest.approx(residual, rel=1e-9)
    assert np.polyfit(x[window.start : window.stop], y[window.start : window.stop], 1)[0] == pytest.approx(
        slope, rel=1e-9
    )


def test_blocks_of_windows_hide_none() -> None:
    """Enough points for many blocks: the share of variance of every window from the blocks is that of the line."""
    random = np.random.default_rng(1)
    x = np.linspace(0.0, 1.0, 600)
    y = np.where(x < 0.35, 0.7 * x, x - 0.105) - 0.2 * np.clip(x - 0.8, 0.0, None) + random.normal(0.0, 5e-4, x.size)

    window = sdar.best_window(x, y, 120)

    coarse = range(0, 600, 8)
    rivals = [
        1.0 - np.corrcoef(x[start:stop], y[start:stop])[0, 1] ** 2
        for start in coarse
        for stop in coarse
        if stop - start >= 120
    ]
    assert window.residual == pytest.approx(
        1.0 - np.corrcoef(x[window.start : window.stop], y[window.start : window.stop])[0, 1] ** 2, rel=1e-6
    )
    assert window.residual <= min(rivals)
    assert 0.34 < x[window.start] < x[window.stop - 1] < 0.81


def test_thinning_out_leaves_the_slope() -> None:
    strain, stress = aluminium()

    slopes = []
    for most in (375, 200, 120):
        found = sdar.search(strain, stress, min_fraction=0.2, most_points=most)
        assert found is not None
        slopes.append(found.line.slope_mpa)

    assert slopes == pytest.approx([slopes[0]] * 3, rel=5e-4)


def test_a_longer_least_window_is_kept() -> None:
    strain, stress = aluminium()

    found = sdar.search(strain, stress, min_fraction=0.7, most_points=1_500)

    assert found is not None
    assert found.line.points >= 0.7 * found.region.x.size


def test_a_straight_record_has_no_tangency() -> None:
    line = np.linspace(0.0, 1.0, 200)

    assert sdar.search(line, 100.0 * line, min_fraction=0.2, most_points=1_500) is None


def test_noise_and_coarse_steps_are_told() -> None:
    strain, stress = aluminium()
    noisy = stress + np.random.default_rng(0).normal(0.0, 2.0, stress.size)
    coarse = np.rint(stress / 4.0) * 4.0

    assert not quality_of(strain, noisy).noise.is_good
    assert not quality_of(strain, coarse).resolution.is_good


def quality_of(strain: Series, stress: Series) -> Quality:
    found = sdar.search(strain, stress, min_fraction=0.2, most_points=200)
    assert found is not None
    return sdar_quality.quality(found.region, found.line)
