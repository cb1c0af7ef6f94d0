"""The common base: the overlap and nothing beyond it, the finer step, straight lines between the points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.pressure import timebase
from meva_pipelines.domain.pressure.timebase import Overlap
from meva_pipelines.domain.pressure.trace import Trace


def line(start: float, end: float, points: int) -> Trace:
    """A pressure of 2 t + 1."""
    time_ms = np.linspace(start, end, points)
    return Trace(time_ms, 2 * time_ms + 1)


def common(simulation: Trace, test: Trace, shift_ms: float = 0.0) -> Overlap:
    found = timebase.overlap(simulation, test, shift_ms=shift_ms, least_ratio=0.0)
    assert isinstance(found, Overlap)
    return found


def test_the_base_is_the_overlap_at_the_finer_step() -> None:
    simulation, test = line(2.0, 12.0, 6), line(0.0, 10.0, 101)
    found = common(simulation, test)
    assert (found.start_ms, found.end_ms, found.ratio) == (2.0, 10.0, 0.8)
    base = timebase.base(simulation, test, found)
    assert base.time_ms == pytest.approx(np.linspace(2.0, 10.0, 81))
    assert base.step_ms == pytest.approx(0.1)
    assert base.simulation_mpa == pytest.approx(2 * base.time_ms + 1)
    assert base.test_mpa == pytest.approx(2 * base.time_ms + 1)


def test_a_shift_is_taken_from_the_clock_of_the_simulation() -> None:
    simulation, test = line(3.0, 13.0, 101), line(0.0, 10.0, 101)
    found = common(simulation, test, shift_ms=3.0)
    assert (found.start_ms, found.end_ms, found.shift_ms) == (0.0, 10.0, 3.0)
    base = timebase.base(simulation, test, found)
    assert base.simulation_mpa - base.test_mpa == pytest.approx(np.full(101, 6.0))


def test_a_record_of_four_thousand_rows_keeps_its_own_points() -> None:
    time_ms = np.round(np.arange(4000) * 0.01, 6)
    trace = Trace(time_ms, np.sin(time_ms))
    base = timebase.base(trace, trace, common(trace, trace))
    assert base.time_ms == pytest.approx(time_ms, abs=1e-9)
    assert base.test_mpa == pytest.approx(trace.pressure_mpa, abs=1e-9)


def test_too_little_overlap_is_a_reason_and_not_a_number() -> None:
    found = timebase.overlap(line(8.0, 20.0, 13), line(0.0, 10.0, 11), shift_ms=0.0, least_ratio=0.5)
    assert found == "the simulation covers 20% of the test; 50% are needed"
    apart = timebase.overlap(line(11.0, 20.0, 10), line(0.0, 10.0, 11), shift_ms=0.0, least_ratio=0.0)
    assert isinstance(apart, str)


@given(
    starts=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    lengths=st.tuples(st.floats(1, 100), st.floats(1, 100)),
    points=st.tuples(st.integers(2, 300), st.integers(2, 300)),
    most=st.integers(2, 200),
)
def test_nothing_is_extrapolated_and_the_limit_holds(
    starts: tuple[float, float], lengths: tuple[float, float], points: tuple[int, int], most: int
) -> None:
    simulation, test = (line(a, a + b, n) for a, b, n in zip(starts, lengths, points, strict=True))
    found = timebase.overlap(simulation, test, shift_ms=0.0, least_ratio=0.0)
    if isinstance(found, str):
        assert max(starts) >= min(a + b for a, b in zip(starts, lengths, strict=True))
        return
    base = timebase.base(simulation, test, found, most_points=most)
    assert 2 <= base.time_ms.size <= most
    assert base.time_ms[0] == max(starts)
    assert base.time_ms[-1] == min(simulation.time_ms[-1], test.time_ms[-1])
    assert base.simulation_mpa == pytest.approx(base.test_mpa, abs=1e-9)
    if base.time_ms.size < most:
        assert base.step_ms <= found.step_ms * (1 + 1e-5)
