"""Many tests of one material: scatter, outliers, the representative curve, trends per machine. No test is judged.

Robust statistics throughout: one wrong specimen among five must not move what is said of the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.recording import Series

_CONSISTENT: Final = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution: 1 / Φ⁻¹(3/4)."""

OUTLIER_Z: Final = 3.5
"""Modified z-score from which a value is labelled an outlier (Iglewicz and Hoaglin, How to Detect and Handle
Outliers, 1993)."""

LEAST_FOR_OUTLIERS: Final = 5
LEAST_FOR_TREND: Final = 4
_DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Sample:
    """One property of one test, in the unit of that property."""

    test: str
    value: float
    machine: str | None = None
    tested_on: date | None = None


@dataclass(frozen=True, slots=True)
class Scatter:
    """How one property scatters, in its unit; `spread` is the robust standard deviation, 1.4826 · MAD.

    `mean` and `deviation` (n - 1) leave the outliers out; `deviation` is None for a single value. `variation_pct` is
    the coefficient of variation in percent.
    """

    tests: int
    median: float
    spread: float
    mean: float
    deviation: float | None
    least: float
    greatest: float
    outliers: tuple[str, ...]

    @property
    def variation_pct(self) -> float | None:
        """Return the coefficient of variation in percent."""
        return None if self.deviation is None or self.mean == 0 else 100 * self.deviation / abs(self.mean)


@dataclass(frozen=True, slots=True)
class Trend:
    """One machine: its median, the offset of that from the other machines', and the change in a year.

    `per_year` is the Theil–Sen slope in the property's unit; None where fewer than four tests on two days have a
    date. `offset` is None where no other machine tested the material.
    """

    machine: str
    tests: int
    median: float
    offset: float | None
    per_year: float | None


def scatter(samples: Sequence[Sample]) -> Scatter:
    """Return how the values of at least one test scatter.

    Raises:
        ValueError: there is no value.
    """
    values = np.array([sample.value for sample in samples], dtype=float)
    if not values.size:
        raise ValueError("the scatter of nothing")
    median = float(np.median(values))
    spread = float(_CONSISTENT * np.median(np.abs(values - median)))
    is_outlier = np.zeros(values.size, dtype=bool)
    if values.size >= LEAST_FOR_OUTLIERS and spread > 0:
        is_outlier = np.abs(values - median) / spread > OUTLIER_Z
    kept = values[~is_outlier]
    return Scatter(
        tests=int(values.size),
        median=median,
        spread=spread,
        mean=float(kept.mean()),
        deviation=float(kept.std(ddof=1)) if kept.size > 1 else None,
        least=float(values.min()),
        greatest=float(values.max()),
        outliers=tuple(sample.test for sample, is_out in zip(samples, is_outlier, strict=True) if is_out),
    )


def trends(samples: Sequence[Sample]) -> tuple[Trend, ...]:
    """Return one trend for each machine that is named, in the order of their names."""
    by_machine: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.machine is not None:
            by_machine.setdefault(sample.machine, []).append(sample)
    return tuple(_trend(machine, by_machine) for machine in sorted(by_machine))


def _trend(machine: str, by_machine: Mapping[str, Sequence[Sample]]) -> Trend:
    own = by_machine[machine]
    others = [sample.value for name, samples in by_machine.items() if name != machine for sample in samples]
    median = float(np.median([sample.value for sample in own]))
    return Trend(
        machine=machine,
        tests=len(own),
        median=median,
        offset=median - float(np.median(others)) if others else None,
        per_year=_theil_sen(own),
    )


def _theil_sen(samples: Sequence[Sample]) -> float | None:
    """Return the median of the slopes between all pairs of tests of different days, per year."""
    dated = [(sample.tested_on.toordinal(), sample.value) for sample in samples if sample.tested_on is not None]
    if len(dated) < LEAST_FOR_TREND:
        return None
    days, values = np.array(dated, dtype=float).T
    first, second = np.triu_indices(days.size, k=1)
    apart = days[second] - days[first]
    if not apart.any():
        return None
    slopes = (values[second] - values[first])[apart != 0] / apart[apart != 0]
    return float(np.median(slopes)) * _DAYS_A_YEAR


@dataclass(frozen=True, slots=True, eq=False)
class Representative:
    """The test whose curve lies nearest to the pointwise median of all, and that median with its band.

    `strain`, `median_mpa`, `low_mpa` and `high_mpa` (quartiles) have shape (grid,).
    """

    test: str
    rmse_mpa: float
    strain: Series
    median_mpa: Series
    low_mpa: Series
    high_mpa: Series


def representative(curves: Mapping[str, tuple[Series, Series]], *, points: int = 200) -> Representative | None:
    """Return the representative of curves (strain, stress in MPa), each of shape (points,), strains increasing.

    The grid reaches as far as the shortest curve: nothing is extrapolated. None without a curve.
    """
    if not curves:
        return None
    start = max(float(strain[0]) for strain, _ in curves.values())
    end = min(float(strain[-1]) for strain, _ in curves.values())
    if end <= start:
        return None
    grid = np.linspace(start, end, points)
    names = list(curves)
    stresses = np.array([np.interp(grid, *curves[name]) for name in names])
    low, median, high = np.quantile(stresses, (0.25, 0.5, 0.75), axis=0)
    distances = np.sqrt(((stresses - median) ** 2).mean(axis=1))
    nearest = int(distances.argmin())
    return Representative(names[nearest], float(distances[nearest]), grid, median, low, high)
