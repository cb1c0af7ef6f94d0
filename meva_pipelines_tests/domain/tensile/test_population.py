"""Scatter, outliers, trends and the representative curve, against numbers worked out by other means."""

import statistics
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.tensile import population
from meva_pipelines.domain.tensile.population import Sample

START = date(2026, 1, 1)


def samples(*values: float, machine: str | None = None) -> list[Sample]:
    return [Sample(f"t{number}", value, machine) for number, value in enumerate(values)]


def test_the_scatter_of_five_is_that_of_the_statistics_module() -> None:
    values = (1101.0, 1108.0, 1112.0, 1095.0, 1104.0)
    found = population.scatter(samples(*values))
    assert found.mean == pytest.approx(statistics.mean(values))
    assert found.deviation == pytest.approx(statistics.stdev(values))
    assert found.median == statistics.median(values)
    assert found.spread == pytest.approx(1.4826 * 4.0)
    assert found.variation_pct == pytest.approx(100 * statistics.stdev(values) / statistics.mean(values))
    assert not found.outliers


def test_one_wrong_specimen_is_named_and_left_out_of_the_mean() -> None:
    found = population.scatter(samples(1101, 1108, 1112, 1095, 1104, 560))
    assert found.outliers == ("t5",)
    assert found.mean == pytest.approx(1104.0)
    assert (found.least, found.tests) == (560, 6)


def test_four_tests_are_too_few_to_call_one_an_outlier() -> None:
    assert not population.scatter(samples(1101, 1108, 1112, 560)).outliers


def test_equal_values_have_no_outlier() -> None:
    assert not population.scatter(samples(1, 1, 1, 1, 2)).outliers


def test_a_single_test_has_no_deviation() -> None:
    found = population.scatter(samples(1100.0))
    assert found.deviation is None
    assert found.variation_pct is None


def test_nothing_has_no_scatter() -> None:
    with pytest.raises(ValueError, match="nothing"):
        population.scatter([])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-1e3, 1e3))
def test_a_shift_of_all_values_moves_the_centre_only(values: list[float], shift: float) -> None:
    found, moved = (population.scatter(samples(*(v + s for v in values))) for s in (0.0, shift))
    assert moved.median == pytest.approx(found.median + shift, abs=1e-6)
    assert moved.spread == pytest.approx(found.spread, abs=1e-5)


def test_a_drift_is_told_per_year_and_one_wild_day_does_not_move_it() -> None:
    line = [Sample(f"t{n}", 1000 + 0.1 * n, "Zwick", START + timedelta(days=n)) for n in range(0, 100, 10)]
    wild = Sample("wild", 5_000.0, "Zwick", START + timedelta(days=50))
    (trend,) = population.trends([*line, wild])
    assert trend.per_year == pytest.approx(0.1 * 365.25, rel=0.02)
    assert trend.offset is None


def test_machines_are_compared_with_the_others() -> None:
    found = population.trends([*samples(10, 11, 12, machine="A"), *samples(20, 21, 22, machine="B"), *samples(99)])
    assert [(trend.machine, trend.tests, trend.median, trend.offset) for trend in found] == [
        ("A", 3, 11.0, -10.0),
        ("B", 3, 21.0, 10.0),
    ]


def test_tests_of_one_day_have_no_trend() -> None:
    (trend,) = population.trends([Sample(f"t{n}", float(n), "A", START) for n in range(6)])
    assert trend.per_year is None


def test_the_representative_is_the_curve_nearest_to_the_median() -> None:
    strain = np.linspace(0, 0.1, 50)
    curves = {name: (strain, slope * strain) for name, slope in (("low", 900.0), ("middle", 1000.0), ("high", 1200.0))}
    found = population.representative(curves)
    assert found is not None
    assert found.test == "middle"
    assert found.rmse_mpa == pytest.approx(0.0, abs=1e-9)
    assert found.low_mpa[-1] == pytest.approx(95.0)
    assert found.high_mpa[-1] == pytest.approx(110.0)


def test_nothing_is_extrapolated_beyond_the_shortest_curve() -> None:
    curves = {
        "short": (np.array([0.0, 0.05]), np.array([0.0, 50.0])),
        "long": (np.array([0.0, 0.1]), np.array([0.0, 100.0])),
    }
    found = population.representative(curves)
    assert found is not None
    assert found.strain[-1] == 0.05
    assert found.rmse_mpa == pytest.approx(0.0, abs=1e-9)


def test_no_curve_has_no_representative() -> None:
    assert population.representative({}) is None
