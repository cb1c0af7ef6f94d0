"""The elastic line of a record, by the method that the recipe names, and whether there is a straight part at all."""

import math
from typing import assert_never

import numpy as np

from meva_pipelines.domain.tensile.evaluation import lines, proof, sdar
from meva_pipelines.domain.tensile.evaluation.recipe import MaterialClass, Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.record import Record
from meva_pipelines.domain.tensile.evaluation.values import Line
from meva_pipelines.domain.tensile.recording import Series

_ROUNDS = 20
_OPEN = 0.05  # relative standard error of a slope
_STRAIGHT = 0.99  # R² below which the points bend, unless it is their noise
_BENT = 2.0  # times the noise
_LOWER = 0.7  # of a guess of Rp0.2 whose band bends
_LEAST_OF_METALS_MPA = 10_000.0  # lead has 16 GPa
_LEAST_ON_A_FRAME_MPA = 2_500.0  # soft frames show a metal several times too soft, not ten times


def elastic(record: Record, strain: Series, recipe: Recipe) -> Line | str:
    """The elastic line of a record whose strain is `strain`, shape (points,), or the reason why there is none."""
    stress, top = record.stress_mpa, record.top
    match recipe.slope:
        case SlopeMethod.STRESS_BAND:
            line = _by_stress(strain, stress, top, recipe)
        case SlopeMethod.STRAIN_BAND:
            line = _in_band(strain, strain, stress, recipe.strain_band, "strain")
        case SlopeMethod.RESIDUALS:
            line = _by_residuals(strain[: top + 1], stress[: top + 1], recipe)
        case _:
            assert_never(recipe.slope)
    if isinstance(line, str):
        return line
    if line.points < recipe.least_points:
        return f"too few points: {line.points} in the elastic window, {recipe.least_points} are needed"
    return _why_not_straight(record, line) or line


def _why_not_straight(record: Record, line: Line) -> str | None:
    """Why a fitted line is none: it does not rise, noise leaves its slope open, or the points bend more than noise."""
    if line.slope_mpa <= 0.0:
        return "stress does not rise in the elastic window"
    if line.relative_error > _OPEN:
        return (
            f"the slope is uncertain by {100 * line.relative_error:.1f} %, {line.points} points are too noisy for one"
        )
    noise = math.hypot(record.noise_mpa, line.slope_mpa * record.noise_strain)
    if line.r_squared < _STRAIGHT and line.residual_mpa > _BENT * noise:
        return f"no straight part: R² is {line.r_squared:.4f} in the elastic window, and noise does not explain it"
    return None


def why_no_metal(line: Line, recipe: Recipe, *, is_of_crosshead: bool) -> str | None:
    """Why proof and yield strengths of ISO 6892-1 do not apply to a record; None where they do."""
    match recipe.material_class:
        case MaterialClass.METAL:
            return None
        case MaterialClass.OTHER:
            return "ISO 6892-1 defines it for metals, and the material is declared as another"
        case MaterialClass.BY_SLOPE:
            least = _LEAST_ON_A_FRAME_MPA if is_of_crosshead else _LEAST_OF_METALS_MPA
            if line.slope_mpa >= least:
                return None
            return f"ISO 6892-1 defines it for metals; a slope of {line.slope_mpa / 1000:.2f} GPa is not that of one"


def _by_residuals(strain: Series, stress_mpa: Series, recipe: Recipe) -> Line | str:
    found = sdar.search(strain, stress_mpa, min_fraction=recipe.min_fraction, most_points=recipe.most_points)
    return "no linear region: ASTM E3076 finds no point of tangency" if found is None else found.line


def _by_stress(strain: Series, stress_mpa: Series, top: int, recipe: Recipe) -> Line | str:
    """The band in shares of Rp0.2, which itself depends on the line: repeated until the window stands still.

    The first guess is maximum stress, which stands where the offset line is not crossed, unless the band bends: a
    metal that hardens a lot yields within it, and the guess is lowered. The search runs on behind the maximum, because
    an upper yield point may be the greatest stress.
    """
    low, high = recipe.stress_band
    reference = float(stress_mpa[top])
    line: Line | str = "no elastic window"
    seen: tuple[int, int] | None = None
    for _ in range(_ROUNDS):
        line = _in_band(stress_mpa, strain, stress_mpa, (low * reference, high * reference), "stress")
        if isinstance(line, str) or (line.start, line.stop) == seen:
            break
        seen = line.start, line.stop
        crossed = proof.crossing(strain, stress_mpa, line, 0.002)
        if crossed is not None:
            reference = crossed.stress_mpa
        elif line.r_squared < _STRAIGHT and line.points > recipe.least_points:
            reference *= _LOWER
        else:
            break
    return line


def _in_band(values: Series, strain: Series, stress_mpa: Series, band: tuple[float, float], name: str) -> Line | str:
    """The line through the points that lie in a band of `values` on the way up, noise at the edges included."""
    low, high = band
    if values[0] > low + 0.25 * (high - low):
        return f"the record begins inside the elastic window, at {values[0]:.4g} of {low:.4g} to {high:.4g} ({name})"
    stop = lines.first(values > high)
    if stop is None:
        return f"the record ends before the elastic window does, at {high:.4g} ({name})"
    below = np.flatnonzero(values[:stop] < low)
    start = int(below[-1]) + 1 if below.size else 0
    line = lines.fitted(strain, stress_mpa, start, stop)
    if line is None:
        return f"too few points: {max(stop - start, 0)} in the elastic window of {low:.4g} to {high:.4g} ({name})"
    return line
