"""Is a model version worse than another one by more than firings scatter? A decision, never an activation.

The yardstick is repeatability: firings of one recipe differ although nothing was changed. Two versions whose errors
differ by less than that cannot be told apart, and the one with the smaller number is not the better one.

How it is judged. Every comparison of a version with a firing gives each metric a *loss*: |value| of a difference or
an error, 1 - value of a score. Recipes are cells, and cells are judged one by one: a version may not pay for a new
weakness with an old strength. For a metric, the losses within each group (one version, one cell) scatter with the
pooled standard deviation s; it has as many degrees of freedom as there are repeats beyond the first in the cells,
whatever number of versions was compared with them. The candidate is worse in a cell if its mean loss exceeds that
of the active version by more than t · s · √(1/n + 1/m), with n and m firings and Student's one-sided t at 5 %
divided by the number of judgements (Bonferroni): among equal versions at most one decision in twenty is wrong. Both
versions are usually compared with the same firings, which makes their difference less uncertain than this assumes:
the rule errs on the side of calling them equal. With few repeats t is large (two degrees of freedom and one
judgement: 2.9, ten judgements: 9.9); with fewer than three repeats of a recipe the scatter is unknown, and a
version that looks worse is left to a person.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import special

from meva_pipelines.domain.pressure.comparison import Metric

DECISIVE: Final = (
    Metric.PEAK_PRESSURE_DIFF,
    Metric.PEAK_TIME_DIFF,
    Metric.IMPULSE_DIFF,
    Metric.RMSE,
    Metric.ISO_OVERALL,
)
"""What a version is judged by; few, because every further judgement makes each of them weaker."""

CONFIDENCE_LEVEL: Final = 0.95

LEAST_FREEDOM: Final = 2
"""Fewest degrees of freedom of a scatter: three repeats of one recipe, or two of each of two."""

_SCORES: Final = {
    Metric.CORRELATION,
    Metric.R_SQUARED,
    Metric.ISO_CORRIDOR,
    Metric.ISO_PHASE,
    Metric.ISO_MAGNITUDE,
    Metric.ISO_SLOPE,
    Metric.ISO_OVERALL,
}


class Verdict(StrEnum):
    """What the scorecard says of activating a version."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Observation:
    """The measures of one version beside one firing; `cell` names the recipe, in words of the caller."""

    version: str
    cell: str
    firing: str
    values: Mapping[Metric, float]


@dataclass(frozen=True, slots=True)
class Scatter:
    """The pooled standard deviation of a loss among repeats, in the unit of its metric, and its degrees of freedom."""

    deviation: float
    freedom: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One version in one cell by one metric, beside what two firings of that recipe differ by.

    `loss` is the mean over `firings` firings. `corridor` is the greatest loss between two repeats, None where fewer
    than three repeats were compared with each other: then `is_inside` is None as well.
    """

    version: str
    cell: str
    metric: Metric
    firings: int
    loss: float
    corridor: float | None

    @property
    def is_inside(self) -> bool | None:
        """Whether the version is no further from the firings than they are from each other."""
        return None if self.corridor is None else self.loss <= self.corridor


@dataclass(frozen=True, slots=True)
class Difference:
    """A candidate beside the active version in one cell by one metric, as mean losses in the unit of the metric.

    `critical` is the smallest difference that counts as worse; None where the scatter is unknown.
    """

    cell: str
    metric: Metric
    candidate: float
    active: float
    critical: float | None

    @property
    def is_worse(self) -> bool | None:
        """Whether the candidate is worse beyond scatter; None if it looks worse and the scatter is unknown."""
        excess = self.candidate - self.active
        if excess <= 0:
            return False
        return None if self.critical is None else excess > self.critical


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version may be activated, why, and everything that was judged."""

    verdict: Verdict
    reasons: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One version in the sequence of versions: its mean loss over the cells, and how that changed.

    `change` is against the version before, over the cells that both have, each counting once; None for the first
    version and where no cell is common. `change_in_scatter` is the change in pooled standard deviations.
    """

    version: str
    metric: Metric
    cells: int
    firings: int
    loss: float
    change: float | None
    change_in_scatter: float | None


def loss(metric: Metric, value: float) -> float:
    """Return how bad a value of a metric is, at least 0: its size, or what a score lacks to 1."""
    return 1.0 - value if metric in _SCORES else abs(value)


def scatter(observations: Iterable[Observation], metric: Metric) -> Scatter | None:
    """Return how the losses scatter among repeats, pooled over all groups of one version and one cell.

    None with fewer than two degrees of freedom: then the scatter is unknown, which is not the same as none.
    """
    groups = _losses(observations, metric)
    repeated = {key: losses for key, losses in groups.items() if len(losses) > 1}
    most: dict[str, int] = {}
    for (_, cell), losses in repeated.items():
        most[cell] = max(most.get(cell, 0), len(losses) - 1)
    freedom = sum(most.values())
    if freedom < LEAST_FREEDOM:
        return None
    squares = sum(float(np.var(losses)) * len(losses) for losses in repeated.values())
    weights = sum(len(losses) - 1 for losses in repeated.values())
    return Scatter(math.sqrt(squares / weights), freedom)


def standings(observations: Sequence[Observation], repeats: Iterable[Observation]) -> tuple[Standing, ...]:
    """Return the standing of every version in every cell by every metric that it has, in this order.

    `repeats` are comparisons of firings of one recipe with each other: `version` and `firing` name the two.
    """
    between = list(repeats)
    by_cell: dict[str, set[str]] = {}
    for repeat in between:
        by_cell.setdefault(repeat.cell, set()).update((repeat.version, repeat.firing))
    found = []
    for metric in Metric:
        corridors: dict[str, float] = {}
        for (_, cell), losses in _losses(between, metric).items():
            if len(by_cell[cell]) > LEAST_FREEDOM:
                corridors[cell] = max(corridors.get(cell, 0.0), *losses)
        found += [
            Standing(version, cell, metric, len(losses), float(np.mean(losses)), corridors.get(cell))
            for (version, cell), losses in _losses(observations, metric).items()
        ]
    return tuple(sorted(found, key=lambda standing: (standing.version, standing.cell)))


def decide(
    observations: Sequence[Observation],
    *,
    candidate: str,
    active: str | None,
    metrics: Sequence[Metric] = DECISIVE,
) -> Decision:
    """Return whether a candidate may take the place of the active version; a total function.

    Refused if the candidate is worse beyond scatter in any cell by any of `metrics`. Otherwise undecided if it was
    not compared in a cell where the active version was, lacks a metric that the active version has, or looks worse
    while the scatter is unknown. Otherwise allowed; always without an active version.
    """
    if active is None:
        return Decision(Verdict.ALLOWED, ("no version is active",), ())
    missing: list[str] = []
    compared: list[tuple[str, Metric, Sequence[float], Sequence[float], Scatter | None]] = []
    relevant = [item for item in observations if item.version in {candidate, active}]
    for metric in metrics:
        groups, spread = _losses(relevant, metric), scatter(relevant, metric)
        for (version, cell), theirs in groups.items():
            if version != active:
                continue
            if ours := groups.get((candidate, cell)):
                compared.append((cell, metric, ours, theirs, spread))
            else:
                missing.append(f"{cell}: {candidate} has no {metric}, {active} has")
    differences = tuple(
        Difference(
            cell,
            metric,
            float(np.mean(ours)),
            float(np.mean(theirs)),
            None if spread is None else _critical(spread, len(ours), len(theirs), judgements=len(compared)),
        )
        for cell, metric, ours, theirs, spread in compared
    )
    return _decided(differences, missing)


def trend(observations: Sequence[Observation], metric: Metric, versions: Sequence[str]) -> tuple[Step, ...]:
    """Return one step for each of `versions`, in their order, that was compared by the metric at all."""
    groups, spread = _losses(observations, metric), scatter(observations, metric)
    steps: list[Step] = []
    before: Mapping[str, float] = {}
    for version in versions:
        own = {cell: losses for (name, cell), losses in groups.items() if name == version}
        if not own:
            continue
        means = {cell: float(np.mean(losses)) for cell, losses in own.items()}
        changes = [means[cell] - before[cell] for cell in means if cell in before]
        change = float(np.mean(changes)) if changes else None
        steps.append(
            Step(
                version,
                metric,
                len(own),
                sum(map(len, own.values())),
                float(np.mean(list(means.values()))),
                change,
                _in_scatter(change, spread),
            )
        )
        before = means
    return tuple(steps)


def _losses(observations: Iterable[Observation], metric: Metric) -> dict[tuple[str, str], list[float]]:
    """The losses of each version in each cell, in the order of the observations."""
    groups: dict[tuple[str, str], list[float]] = {}
    for item in observations:
        if (value := item.values.get(metric)) is not None:
            groups.setdefault((item.version, item.cell), []).append(loss(metric, value))
    return groups


def _in_scatter(change: float | None, spread: Scatter | None) -> float | None:
    if change is None or spread is None or spread.deviation == 0:
        return None
    return change / spread.deviation


def _critical(spread: Scatter, ours: int, theirs: int, *, judgements: int) -> float:
    """The smallest difference of two mean losses that is more than scatter."""
    quantile = -float(special.stdtrit(spread.freedom, (1 - CONFIDENCE_LEVEL) / judgements))
    return quantile * spread.deviation * math.sqrt(1 / ours + 1 / theirs)


def _decided(differences: tuple[Difference, ...], missing: Sequence[str]) -> Decision:
    worse = [_said(item) for item in differences if item.is_worse]
    unclear = [_said(item) for item in differences if item.is_worse is None]
    if worse:
        return Decision(Verdict.REFUSED, tuple(worse), differences)
    if unclear or missing:
        return Decision(Verdict.UNDECIDED, (*unclear, *missing), differences)
    if not differences:
        return Decision(Verdict.UNDECIDED, ("the active version was compared with no firing",), ())
    return Decision(Verdict.ALLOWED, ("nowhere worse than the active version beyond scatter",), differences)


def _said(item: Difference) -> str:
    limit = "the scatter is unknown" if item.critical is None else f"scatter allows {item.critical:.3g}"
    excess = item.candidate - item.active
    return f"{item.cell}: {item.metric} is off by {item.candidate:.4g}, {excess:.3g} more than the active; {limit}"
