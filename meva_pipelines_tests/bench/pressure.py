"""A season of firings beside a simulation: every measure, raw and at ignition, on one core.

The parts of a sample are timed alone as well, on the bases that the comparison makes: their shares say where time goes.
"""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from meva_pipelines.domain.pressure import differences, frechet, iso18571, timebase
from meva_pipelines.domain.pressure.comparison import WARPING_POINTS, Alignment, Measures, compare
from meva_pipelines.domain.pressure.figures import figures as curve_figures
from meva_pipelines.domain.pressure.iso18571 import Pair
from meva_pipelines.domain.pressure.timebase import Base, Overlap
from meva_pipelines.domain.pressure.trace import Series, Trace
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.report import Figure, Sense

FIRINGS = 1_000
POINTS = 4_000
SIMULATED_POINTS = 200
SAMPLED = 50
STEP_MS = 0.01


def figures(*, goal_s: float = 60.0) -> list[Figure]:
    """Compare a season once, which is a thousand repetitions of one comparison, and then time a sample's parts."""
    season = firings(FIRINGS)
    simulation = simulated()
    laps = [report.measured(partial(_compared, simulation, test)) for test in season]
    whole = Figure(
        name=f"{FIRINGS:,} firings × {POINTS:,} points, all measures, two alignments",
        sense=Sense.AT_MOST,
        goal=goal_s,
        value=sum(laps),
        unit="s",
        ours=f"{1e3 * statistics.median(laps):.1f} ms a pair",
        against="the goal",
    )
    return [whole, *_shares(simulation, season[:SAMPLED]), _lattice(season)]


def firings(count: int) -> list[Trace]:
    """Made firings that differ in delay, peak, rise and noise; readings below zero before the rise."""
    rng = np.random.default_rng(18571)
    time_ms = STEP_MS * np.arange(POINTS, dtype=np.float64)
    return [
        Trace(
            time_ms,
            _pulse(
                time_ms,
                delay_ms=rng.normal(5.0, 0.4),
                rise_ms=rng.normal(3.0, 0.1),
                scale_mpa=rng.normal(40.0, 1.5),
            )
            + rng.normal(0.0, 0.1, POINTS),
        )
        for _ in range(count)
    ]


def simulated() -> Trace:
    """A simulation that is a little late and a little strong, with few points as time-point models give."""
    time_ms: Series = np.linspace(0.0, STEP_MS * (POINTS - 1), SIMULATED_POINTS)
    return Trace(time_ms, _pulse(time_ms, delay_ms=5.5, rise_ms=3.2, scale_mpa=42.0))


def _pulse(time_ms: Series, *, delay_ms: float, rise_ms: float, scale_mpa: float) -> Series:
    since = np.clip(time_ms - delay_ms, 0.0, None)
    pressure: Series = scale_mpa * (1 - np.exp(-((since / rise_ms) ** 2))) * np.exp(-since / 15.0)
    return pressure


def _compared(simulation: Trace, test: Trace) -> None:
    found = compare(simulation, test)
    for alignment in Alignment:
        measures = found.under(alignment)
        if isinstance(measures, str) or measures.withheld:
            raise RuntimeError(f"not every measure was computed under {alignment}, so the time says nothing")


def _shares(simulation: Trace, sample: Sequence[Trace]) -> list[Figure]:
    """The share of each part in the sum of all, timed alone, both alignments counted."""
    overlaps = [(test, common) for test in sample for common in _overlaps(simulation, test)]
    fine = [timebase.base(simulation, *both) for both in overlaps]
    coarse = [timebase.base(simulation, *both, most_points=WARPING_POINTS) for both in overlaps]
    parts: dict[str, Callable[[], object]] = {
        "figures of both curves": lambda: [(curve_figures(simulation), curve_figures(test)) for test in sample],
        "common bases": lambda: [timebase.base(simulation, *both) for both in overlaps * 2],
        "ISO/TS 18571 rating": lambda: [iso18571.rated(Pair(base.simulation_mpa, base.test_mpa)) for base in coarse],
        "Fréchet distance": lambda: [differences.frechet_ratio(base) for base in coarse],
        "simple measures": lambda: [_simple(base) for base in fine],
    }
    taken = {name: report.measured(work) / len(sample) for name, work in parts.items()}
    return [
        Figure(
            name=f"… share of {name}",
            sense=Sense.AT_MOST,
            goal=None,
            value=100 * each_s / sum(taken.values()),
            unit="%",
            ours=f"{1e3 * each_s:.2f} ms a pair",
            against="all parts",
        )
        for name, each_s in taken.items()
    ]


def _lattice(season: Sequence[Trace]) -> Figure:
    """The exact Fréchet distance of whole records, which the comparison takes of at most 2,000 points."""
    scale = float(season[0].pressure_mpa.max())
    curves = [test.pressure_mpa / scale for test in season[: SAMPLED + 1]]
    laps = [report.measured(partial(frechet.distance, 1 / (POINTS - 1), one, other)) for one, other in pairwise(curves)]
    return Figure(
        name=f"Fréchet distance, {POINTS:,} × {POINTS:,} points",
        sense=Sense.AT_MOST,
        goal=None,
        value=1e3 * statistics.median(laps),
        unit="ms",
        ours=f"worst of {SAMPLED}: {1e3 * max(laps):.0f} ms",
        against="–",
    )


def _overlaps(simulation: Trace, test: Trace) -> list[Overlap]:
    found = compare(simulation, test)
    return [measures.overlap for measures in (found.raw, found.at_ignition) if isinstance(measures, Measures)]


def _simple(base: Base) -> tuple[object, ...]:
    return (
        differences.rmse(base),
        differences.mean_absolute_error(base),
        differences.correlation(base),
        differences.r_squared(base),
        differences.area_mpa_ms(base),
        differences.sprague_geers(base),
    )
