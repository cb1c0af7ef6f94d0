"""The discrete Fréchet distance of curves on a uniform base: the shortest leash on which both can be walked.

Eiter and Mannila, Computing Discrete Fréchet Distance, CD-TR 94/64, Vienna 1994. Exact: a simple coupling gives an
upper bound, and the best coupling never enters a cell whose points are further apart in time alone than this bound.
"""

from math import sqrt
from typing import Final

import numpy as np

from meva_pipelines.domain.pressure import lattice
from meva_pipelines.domain.pressure.trace import Series

_LAGS: Final = 33
_FURTHEST_LAG: Final = 0.25
"""The couplings that are tried for the upper bound: lags of up to a quarter of the points. They only save work."""


def distance(step: float, first: Series, second: Series) -> float:
    """Return the discrete Fréchet distance of the points (i · step, first[i]) and (j · step, second[j]).

    The series have shape (points,), at least two; both axes are in one dimensionless unit, and so is the result.
    Work and memory grow with points · distance / step.
    """
    bound = _bound(step, first, second)
    half_width = min(int(sqrt(bound) / step * (1 + 1e-9)) + 1, first.size - 1)
    return sqrt(lattice.swept(first, second, np.maximum, half_width=half_width, offset_cost=step**2).value)


def _bound(step: float, first: Series, second: Series) -> float:
    """The squared length of a leash that suffices: one curve waits for some points, then both go on together."""
    lags = np.unique(np.linspace(0, _FURTHEST_LAG * (first.size - 1), _LAGS).astype(int)).tolist()
    return min(min(_lagged(step, first, second, lag), _lagged(step, second, first, lag)) for lag in lags)


def _lagged(step: float, leading: Series, waiting: Series, lag: int) -> float:
    """The squared leash if one curve leads by `lag` points: alone at the start, together, the other at the end."""
    points = leading.size
    offsets = (step * np.arange(lag + 1)) ** 2
    start = (leading[: lag + 1] - waiting[0]) ** 2 + offsets
    together = (leading[lag:] - waiting[: points - lag]) ** 2 + offsets[-1]
    end = (leading[-1] - waiting[points - lag - 1 :]) ** 2 + offsets[::-1]
    return float(max(start.max(), together.max(), end.max()))
