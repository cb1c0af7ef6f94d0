"""The four quality figures of ASTM E3076, for any line on a record, and the residuals for its picture.

Each figure is relative to its limit, so that 1 is the worst that passes.
"""

import math

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.tensile.evaluation import lines
from meva_pipelines.domain.tensile.evaluation.sdar import Region
from meva_pipelines.domain.tensile.evaluation.values import Line, Measure, Quality, Residuals
from meva_pipelines.domain.tensile.recording import Series

_NOISE = 0.005
_STEP = 2.0**-12
_STEPS = 3
_SHARE = 0.25
_CURVATURE = 0.05
_QUARTER_POINTS = 5
_RANGE = 0.4


def quality(part: Region, line: Line) -> Quality:
    """The four figures (steps 5, 6, 9 and 10) of a line fitted to the record that `part` was cut from."""
    is_fitted = _is_fitted(part, line)
    reach = float(np.ptp(part.y[is_fitted])) if is_fitted.any() else 0.0
    fit_range = _RANGE / reach if reach > 0.0 else math.inf
    noise = max(_noise(part.x), _noise(part.y))
    return Quality(
        noise=Measure(noise, noise <= 1.0),
        resolution=_worse(_resolution(part.x), _resolution(part.y)),
        curvature=_curvature(part.x[is_fitted], _residuals(part, line)[is_fitted], _normalised_slope(part, line)),
        fit_range=Measure(fit_range, fit_range <= 1.0),
    )


def residuals(part: Region, line: Line) -> Residuals:
    """The picture of the method: normalised residuals of a line over the whole searched part."""
    low, high = ((strain - part.x_zero) / part.x_scale for strain in line.strain_band)
    return Residuals(part.x, _residuals(part, line), (low, high))


def _is_fitted(part: Region, line: Line) -> npt.NDArray[np.bool_]:
    return (part.indices >= line.start) & (part.indices < line.stop)


def _normalised_slope(part: Region, line: Line) -> float:
    return line.slope_mpa * part.x_scale / part.y_scale


def _residuals(part: Region, line: Line) -> Series:
    intercept = (line.stress_at(part.x_zero) - part.y_zero) / part.y_scale
    return part.y - _normalised_slope(part, line) * part.x - intercept


def _noise(values: Series) -> float:
    """Scatter of the first differences, relative to its limit (step 5)."""
    return float(np.diff(values).std(ddof=1)) / _NOISE


def _resolution(values: Series) -> Measure:
    """The most frequent step that is not zero, in shares of three times 2⁻¹² (step 6)."""
    steps = np.rint(np.abs(np.diff(values, 2)) / _STEP).astype(np.intp)
    counts = np.bincount(steps, minlength=2)
    common = int(counts[1:].argmax()) + 1
    value = common / _STEPS
    shares = counts[[0, common]] / max(steps.size, 1)
    return Measure(value, value <= 1.0 or bool((shares <= _SHARE).all()))


def _worse(one: Measure, other: Measure) -> Measure:
    return Measure(max(one.value, other.value), one.is_good and other.is_good)


def _curvature(x: Series, residual: Series, slope: float) -> Measure:
    """Slope of the residuals in the first and last quarter of x, in shares of 5 % of the slope (step 9)."""
    if x.size < _QUARTER_POINTS:
        return Measure(math.inf, is_good=False)
    low, reach = float(x.min()), float(np.ptp(x))
    quarters = (x <= low + 0.25 * reach, x >= low + 0.75 * reach)
    worst = max(abs(lines.slope(x[quarter], residual[quarter])) for quarter in quarters) / (_CURVATURE * abs(slope))
    is_populated = all(int(quarter.sum()) >= _QUARTER_POINTS for quarter in quarters)
    return Measure(worst, is_populated and worst <= 1.0)
