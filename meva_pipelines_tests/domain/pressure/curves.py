"""Curves whose every figure is known in closed form, and the lengths they are tested at."""

from typing import TypedDict

import numpy as np

from meva_pipelines.domain.pressure.timebase import Base
from meva_pipelines.domain.pressure.trace import Series, Trace

DURATION_MS = 40.0


class Shape(TypedDict):
    """What makes one bell differ from another."""

    at_ms: float
    peak_mpa: float
    width_ms: float


def bell(time_ms: Series, *, at_ms: float = 15.0, peak_mpa: float = 40.0, width_ms: float = 5.0) -> Series:
    """P(t) = peak · exp(-((t - at) / width)²); it has the share s of its peak at t = at ∓ width · √(-ln s)."""
    return peak_mpa * np.exp(-(((time_ms - at_ms) / width_ms) ** 2))


def clock(points: int = 401) -> Series:
    return np.linspace(0.0, DURATION_MS, points)


def bell_trace(
    points: int = 401, *, at_ms: float = 15.0, peak_mpa: float = 40.0, width_ms: float = 5.0, offset_ms: float = 0.0
) -> Trace:
    """A bell on its own clock, which is ahead by `offset_ms`."""
    time_ms = clock(points)
    return Trace(time_ms + offset_ms, bell(time_ms, at_ms=at_ms, peak_mpa=peak_mpa, width_ms=width_ms))


def base(simulation_mpa: Series, test_mpa: Series, *, step_ms: float = 1.0) -> Base:
    return Base(step_ms * np.arange(simulation_mpa.size, dtype=np.float64), simulation_mpa, test_mpa)
