"""Where a record crosses a line: proof strengths at a plastic extension, and stress at a total extension."""

from dataclasses import dataclass

import numpy as np

from meva_pipelines.domain.tensile.evaluation import lines
from meva_pipelines.domain.tensile.evaluation.values import Line
from meva_pipelines.domain.tensile.recording import Series

_ZONE = 4.0  # standard deviations of noise within which a crossing is a matter of chance
_LEAST_IN_ZONE = 5
_NEAR = 0.0005  # strain to either side over which the tangent is taken


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the record meets a line: strain, stress, the tangent of the record there and the points that told it."""

    strain: float
    stress_mpa: float
    tangent_mpa: float
    points: int


def crossing(strain: Series, stress_mpa: Series, line: Line, offset: float, noise_mpa: float = 0.0) -> Crossing | None:
    """The first crossing of the elastic line moved by `offset`, searched from the elastic window to the end.

    `strain` and `stress_mpa` have shape (points,) and end at maximum force; None where they do not reach the line.
    Between two samples it is interpolated; where noise makes the record cross the line back and forth, a straight
    line through the whole zone of chance decides. `noise_mpa` is that of stress about the line.
    """
    begin = line.stop - 1
    above = stress_mpa[begin:] - line.slope_mpa * (strain[begin:] - offset) - line.intercept_mpa
    at = lines.first(above < 0.0)
    if not at:
        return None
    return _met(strain, stress_mpa, begin, above, at, noise_mpa)


def reaching(strain: Series, stress_mpa: Series, begin: int, total: float) -> Crossing | None:
    """Where the record, from index `begin` on, first reaches a strain, and its stress there, interpolated.

    `strain` and `stress_mpa` have shape (points,); None where the strain is not reached.
    """
    at = lines.first(strain[begin:] >= total)
    if not at:
        return None
    last = begin + at
    share = float((total - strain[last - 1]) / (strain[last] - strain[last - 1]))
    stress = float(stress_mpa[last - 1] + share * (stress_mpa[last] - stress_mpa[last - 1]))
    return Crossing(total, stress, _tangent(strain, stress_mpa, last, total), 1)


def _met(strain: Series, stress_mpa: Series, begin: int, above: Series, at: int, noise_mpa: float) -> Crossing:
    """The crossing between the points `at` - 1 and `at` after `begin`, or in the zone of noise around them."""
    zone = _zone(above, at, _ZONE * noise_mpa)
    points = zone.stop - zone.start
    if points >= _LEAST_IN_ZONE:
        within, rest = strain[begin:][zone], above[zone]
        fall = lines.slope(within, rest)
        met = float(within.mean() - rest.mean() / fall) if fall < 0.0 else float(within.mean())
        stress = float(stress_mpa[begin:][zone].mean() - rest.mean())
    else:
        points = 1
        share = float(above[at - 1] / (above[at - 1] - above[at]))
        met = float(strain[begin + at - 1] + share * (strain[begin + at] - strain[begin + at - 1]))
        stress = float(stress_mpa[begin + at - 1] + share * (stress_mpa[begin + at] - stress_mpa[begin + at - 1]))
    return Crossing(met, stress, _tangent(strain, stress_mpa, begin + at, met), points)


def _zone(above: Series, at: int, width: float) -> slice:
    """The points around a crossing whose distance from the line may be noise."""
    outside = np.flatnonzero(above[:at] > width)
    start = int(outside[-1]) + 1 if outside.size else 0
    stop = lines.first(above < -width, at)
    return slice(start, above.size if stop is None else stop)


def _tangent(strain: Series, stress_mpa: Series, around: int, at: float) -> float:
    """Slope of the record in MPa about a strain; of the neighbouring points where none are nearer."""
    start, stop = max(around - 2, 0), min(around + 2, strain.size)
    while start > 0 and strain[start - 1] > at - _NEAR:
        start -= 1
    while stop < strain.size and strain[stop] < at + _NEAR:
        stop += 1
    return lines.slope(strain[start:stop], stress_mpa[start:stop])
