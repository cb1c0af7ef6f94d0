"""A simulation beside a firing: both curves' figures and every measure of their difference, raw and at ignition.

Every difference is simulation - test. A measure that a pair cannot have is withheld with its reason: never 0, never
1, never NaN. The same two curves always give the same numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np

from meva_pipelines.domain.pressure import differences, iso18571, timebase
from meva_pipelines.domain.pressure.figures import Figure, Figures, figures
from meva_pipelines.domain.pressure.timebase import Base, Overlap
from meva_pipelines.domain.pressure.trace import FLAT_MPA, Trace

METHOD_VERSION: Final = "1"
"""Changes whenever the same two curves would give other numbers."""

WARPING_POINTS: Final = 2_000
"""Most points of the base of the rating and of the Fréchet distance, whose work grows with the square of them."""

LEAST_OVERLAP: Final = 0.5
"""Smallest share of the duration of the test that the simulation must cover, unless the caller says otherwise."""


class Alignment(StrEnum):
    """What the clocks of the two curves are set by."""

    RAW = "raw"
    IGNITION = "ignition"


class Metric(StrEnum):
    """The measures, named with their units; `ratio` and the last five have none."""

    PEAK_PRESSURE_DIFF = "peak_pressure_diff_mpa"
    PEAK_TIME_DIFF = "peak_time_diff_ms"
    T10_DIFF = "t10_diff_ms"
    T50_DIFF = "t50_diff_ms"
    T90_DIFF = "t90_diff_ms"
    MAX_RATE_DIFF = "max_rate_diff_mpa_per_ms"
    IMPULSE_DIFF = "impulse_diff_mpa_ms"
    RMSE = "rmse_mpa"
    RMSE_RATIO = "rmse_ratio"
    MAE = "mae_mpa"
    CORRELATION = "correlation"
    R_SQUARED = "r_squared"
    SG_MAGNITUDE = "sprague_geers_magnitude_ratio"
    SG_PHASE = "sprague_geers_phase_ratio"
    SG_COMPREHENSIVE = "sprague_geers_comprehensive_ratio"
    AREA = "area_mpa_ms"
    FRECHET = "frechet_ratio"
    ISO_CORRIDOR = "iso18571_corridor"
    ISO_PHASE = "iso18571_phase"
    ISO_MAGNITUDE = "iso18571_magnitude"
    ISO_SLOPE = "iso18571_slope"
    ISO_OVERALL = "iso18571_overall"


_BY_FIGURE: Final[Mapping[Metric, Figure]] = {
    Metric.PEAK_PRESSURE_DIFF: Figure.PEAK_PRESSURE,
    Metric.PEAK_TIME_DIFF: Figure.PEAK_TIME,
    Metric.T10_DIFF: Figure.T10,
    Metric.T50_DIFF: Figure.T50,
    Metric.T90_DIFF: Figure.T90,
    Metric.MAX_RATE_DIFF: Figure.MAX_RATE,
}
_MOMENTS: Final = {Metric.PEAK_TIME_DIFF, Metric.T10_DIFF, Metric.T50_DIFF, Metric.T90_DIFF}
_SPRAGUE_GEERS: Final = (Metric.SG_MAGNITUDE, Metric.SG_PHASE, Metric.SG_COMPREHENSIVE)
_ISO: Final = (
    Metric.ISO_CORRIDOR,
    Metric.ISO_PHASE,
    Metric.ISO_MAGNITUDE,
    Metric.ISO_SLOPE,
    Metric.ISO_OVERALL,
)

_Found: TypeAlias = dict[Metric, float | str]


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures under one alignment: every member of `Metric` is in `values` or, with the reason, in `withheld`.

    `points` and `warping_points` are the sizes of the two bases. `grade` and `late_ms`, by how much the simulation
    is late on these clocks by the best correlation, are None where the rating is withheld.
    """

    overlap: Overlap
    points: int
    warping_points: int
    values: Mapping[Metric, float]
    withheld: Mapping[Metric, str]
    grade: iso18571.Grade | None
    late_ms: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One simulation beside one firing; under an alignment there are the measures, or the reason why there are none."""

    simulation: Figures
    test: Figures
    raw: Measures | str
    at_ignition: Measures | str
    method_version: str = METHOD_VERSION

    def under(self, alignment: Alignment) -> Measures | str:
        """Return the measures under an alignment, or why there are none."""
        return self.raw if alignment is Alignment.RAW else self.at_ignition


def compare(simulation: Trace, test: Trace, *, least_overlap: float = LEAST_OVERLAP) -> Comparison:
    """Return the comparison of two curves; it never fails on curves that are valid.

    Differences of peak, rate and moments are those of the curves' own points. Everything else is measured on the
    uniform base of the overlap (`timebase`), the rating and the Fréchet distance on one of at most 2,000 points. At
    ignition, both clocks are set to the crossing of 10 % of the peak.
    """
    simulated, measured = figures(simulation), figures(test)

    def under(shift_ms: float) -> Measures | str:
        common = timebase.overlap(simulation, test, shift_ms=shift_ms, least_ratio=least_overlap)
        if isinstance(common, str):
            return common
        fine = timebase.base(simulation, test, common)
        coarse = fine
        if fine.time_ms.size > WARPING_POINTS:
            coarse = timebase.base(simulation, test, common, most_points=WARPING_POINTS)
        return _measures(common, fine, coarse, _figure_differences(simulated, measured, shift_ms))

    for name, found in (("simulation", simulated), ("test", measured)):
        if (reason := found.withheld.get(Figure.T10)) is not None:
            return Comparison(simulated, measured, under(0.0), f"no ignition of the {name}: {reason}")
    shift_ms = simulated.values[Figure.T10] - measured.values[Figure.T10]
    return Comparison(simulated, measured, under(0.0), under(shift_ms))


def _measures(common: Overlap, fine: Base, coarse: Base, found: _Found) -> Measures:
    scale = float(fine.test_mpa.max())
    rmse = differences.rmse(fine)
    found |= {
        Metric.IMPULSE_DIFF: float(np.trapezoid(fine.simulation_mpa - fine.test_mpa, dx=fine.step_ms)),
        Metric.RMSE: rmse,
        Metric.RMSE_RATIO: rmse / scale if scale > FLAT_MPA else "the pressure of the test is nowhere above zero",
        Metric.MAE: differences.mean_absolute_error(fine),
        Metric.CORRELATION: differences.correlation(fine),
        Metric.R_SQUARED: differences.r_squared(fine),
        Metric.AREA: differences.area_mpa_ms(fine),
        Metric.FRECHET: differences.frechet_ratio(coarse),
    }
    errors = differences.sprague_geers(fine)
    found |= zip(_SPRAGUE_GEERS, (errors,) * 3 if isinstance(errors, str) else errors, strict=True)
    rating = iso18571.rated(iso18571.Pair(coarse.simulation_mpa, coarse.test_mpa))
    found |= zip(_ISO, (rating,) * 5 if isinstance(rating, str) else _parts(rating), strict=True)
    return Measures(
        common,
        fine.time_ms.size,
        coarse.time_ms.size,
        {metric: value for metric, value in found.items() if not isinstance(value, str)},
        {metric: reason for metric, reason in found.items() if isinstance(reason, str)},
        None if isinstance(rating, str) else rating.grade,
        None if isinstance(rating, str) else rating.late_points * coarse.step_ms,
    )


def _figure_differences(simulated: Figures, measured: Figures, shift_ms: float) -> _Found:
    """Simulation - test of the figures; moments of the simulation are on the shifted clock."""
    found: _Found = {}
    for metric, figure in _BY_FIGURE.items():
        reasons = [
            f"{name}: {side.withheld[figure]}"
            for name, side in (("simulation", simulated), ("test", measured))
            if figure in side.withheld
        ]
        shift = shift_ms if metric in _MOMENTS else 0.0
        found[metric] = "; ".join(reasons) or simulated.values[figure] - shift - measured.values[figure]
    return found


def _parts(rating: iso18571.Rating) -> tuple[float, float, float, float, float]:
    return rating.corridor, rating.phase, rating.magnitude, rating.slope, rating.overall
