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
    met, points = _met(strain[begin:], above, at, noise_mpa)
    return Crossing(met, line.stress_at(met - offset), _tangent(strain, stress_mpa, met), points)


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
    return Crossing(total, stress, _tangent(strain, stress_mpa, total), 1)


def _met(strain: Series, above: Series, at: int, noise_mpa: float) -> tuple[float, int]:
    """The strain at which `above` falls through zero about its index `at`, and the points that told it."""
    zone = _zone(above, at, _ZONE * noise_mpa)
    points = zone.stop - zone.start
    fall = lines.slope(strain[zone], above[zone]) if points >= _LEAST_IN_ZONE else 0.0
    if fall < 0.0:
        return float(strain[zone].mean() - above[zone].mean() / fall), points
    share = float(above[at - 1] / (above[at - 1] - above[at]))
    return float(strain[at - 1] + share * (strain[at] - strain[at - 1])), 1


def _zone(above: Series, at: int, width: float) -> slice:
    """The points around a crossing whose distance from the line may be noise."""
    outside = np.flatnonzero(above[:at] > width)
    start = int(outside[-1]) + 1 if outside.size else 0
    stop = lines.first(above < -width, at)
    return slice(start, above.size if stop is None else stop)


def _tangent(strain: Series, stress_mpa: Series, at: float) -> float:
    """Slope of the record in MPa about a strain."""
    near = np.flatnonzero(np.abs(strain - at) < _NEAR)
    if near.size < 3:
        middle = int(np.abs(strain - at).argmin())
        near = np.arange(max(middle - 1, 0), min(middle + 2, strain.size))
    return lines.slope(strain[near], stress_mpa[near])
