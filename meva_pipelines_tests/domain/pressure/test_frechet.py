"""The Fréchet distance in closed form, and beside the package `similaritymeasures`."""

import numpy as np
import pytest
import similaritymeasures
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.pressure import frechet
from meva_pipelines_tests.domain.pressure.curves import bell, clock

values = st.floats(-10, 10)
pairs = st.integers(2, 25).flatmap(
    lambda points: st.tuples(*[st.lists(values, min_size=points, max_size=points) for _ in range(2)])
)


def theirs(step: float, first: np.ndarray, second: np.ndarray) -> float:
    time = step * np.arange(first.size)
    return float(similaritymeasures.frechet_dist(np.column_stack((time, first)), np.column_stack((time, second))))


@given(pair=pairs, step=st.floats(1e-3, 10))
def test_it_is_that_of_an_independent_implementation(pair: tuple[list[float], list[float]], step: float) -> None:
    first, second = (np.array(series) for series in pair)
    assert frechet.distance(step, first, second) == pytest.approx(theirs(step, first, second), abs=1e-9)


@pytest.mark.parametrize("late", [0.0, 1.0, 6.0, 20.0])
@pytest.mark.parametrize("peak", [0.5, 1.0, 1.6])
def test_it_is_theirs_for_pulses(late: float, peak: float) -> None:
    time_ms = clock(301)
    first, second = bell(time_ms, peak_mpa=1.0), bell(time_ms, at_ms=15.0 + late, peak_mpa=peak)
    assert frechet.distance(1 / 300, first, second) == pytest.approx(theirs(1 / 300, first, second), abs=1e-12)


@given(pair=pairs, step=st.floats(1e-3, 10))
def test_it_is_symmetric(pair: tuple[list[float], list[float]], step: float) -> None:
    first, second = (np.array(series) for series in pair)
    assert frechet.distance(step, first, second) == pytest.approx(frechet.distance(step, second, first), abs=1e-12)


def test_an_offset_is_as_far_as_it_is_high() -> None:
    first = bell(clock(), peak_mpa=1.0)
    assert frechet.distance(1 / 400, first, first + 0.2) == pytest.approx(0.2)
    assert frechet.distance(1 / 400, first, first) == 0.0


def test_a_shift_is_as_far_as_it_is_long() -> None:
    """Where both curves begin and end at zero, one waits for the other as long as the shift lasts."""
    time_ms = clock()
    first, second = bell(time_ms, width_ms=2.0, peak_mpa=5.0), bell(time_ms, at_ms=19.0, width_ms=2.0, peak_mpa=5.0)
    assert frechet.distance(1 / 400, first, second) == pytest.approx(0.1, abs=1e-9)
