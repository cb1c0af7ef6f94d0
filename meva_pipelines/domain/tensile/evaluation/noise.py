"""How noisy and how coarse a channel is, told by the record itself. What follows from it is decided elsewhere."""

import math

import numpy as np

from meva_pipelines.domain.tensile.recording import Series

_MAD_TO_SD = 1.482602218505602  # of a normal distribution
_EVEN = math.sqrt(1.5)


def noise(values: Series, position: Series | None) -> float:
    """Standard deviation of the noise of a channel of shape (points,), in its unit.

    Each inner point is compared with the straight line between its neighbours (over `position`, e.g. the time;
    None for even steps); the median makes it blind to yield drops, the break and changes of speed.
    """
    if values.size < 5:
        return 0.0
    if position is None:
        off = (values[1:-1] - 0.5 * (values[:-2] + values[2:])) / _EVEN
    else:
        right = (position[1:-1] - position[:-2]) / (position[2:] - position[:-2])
        line = values[:-2] + right * (values[2:] - values[:-2])
        off = (values[1:-1] - line) / np.sqrt(1.0 + right * right + (1.0 - right) ** 2)
    return _MAD_TO_SD * float(np.median(np.abs(off)))


def resolution(values: Series) -> float:
    """The step in which a channel of shape (points,) was written, in its unit; 0 where no common step is seen."""
    steps = np.abs(np.diff(values))
    steps = steps[steps > 1e-12 * float(np.abs(values).max(initial=0.0))]
    if steps.size < 5:
        return 0.0
    step = float(steps.min())
    shares = steps / step
    is_whole = np.abs(shares - np.rint(shares)) < 0.02
    return step if float(is_whole.mean()) > 0.99 else 0.0
