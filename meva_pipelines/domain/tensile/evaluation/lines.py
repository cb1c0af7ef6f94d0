"""Ordinary least squares over one window of a record. Which window is decided elsewhere."""

import math

import numpy as np

from meva_pipelines.domain.tensile.evaluation.values import Line
from meva_pipelines.domain.tensile.recording import Series


def fitted(strain: Series, stress_mpa: Series, start: int, stop: int) -> Line | None:
    """The line through the points `start` to `stop` (exclusive) of two series of shape (points,).

    None where fewer than three points or no extension span the window.
    """
    points = stop - start
    if points < 3:
        return None
    x, y = strain[start:stop], stress_mpa[start:stop]
    mean_x, mean_y = float(x.mean()), float(y.mean())
    from_x, from_y = x - mean_x, y - mean_y
    xx, xy, yy = float(from_x @ from_x), float(from_x @ from_y), float(from_y @ from_y)
    if xx <= 0.0 or yy <= 0.0:
        return None
    slope = xy / xx
    rest = from_y - slope * from_x
    squares = float(rest @ rest)
    residual = math.sqrt(squares / (points - 2))
    return Line(
        slope_mpa=slope,
        intercept_mpa=mean_y - slope * mean_x,
        start=start,
        stop=stop,
        points=points,
        strain_band=(float(x.min()), float(x.max())),
        stress_band_mpa=(float(y.min()), float(y.max())),
        mean_strain=mean_x,
        mean_stress_mpa=mean_y,
        slope_error_mpa=residual / math.sqrt(xx),
        residual_mpa=residual,
        r_squared=1.0 - squares / yy,
    )


def slope(x: Series, y: Series) -> float:
    """The slope of y over x, both of shape (points,); 0 where x does not vary."""
    if x.size < 2:
        return 0.0
    from_x = x - x.mean()
    spread = float(from_x @ from_x)
    return float(from_x @ y) / spread if spread > 0.0 else 0.0


def first(mask: np.ndarray[tuple[int], np.dtype[np.bool_]], start: int = 0) -> int | None:
    """Index of the first True at or after `start`; None where there is none."""
    part = mask[start:]
    if part.size == 0:
        return None
    index = int(part.argmax())
    return start + index if part[index] else None
