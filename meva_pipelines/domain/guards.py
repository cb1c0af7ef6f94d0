"""How much may change at once: the ±10 % rule as a judgement over counts. Nothing here counts or stops anything."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """A change is too large when it exceeds both `pct` percent and `rows` rows (seed 001 §5.1 stage 4: ±10 %).

    The absolute part keeps a district with seven devices from stopping the country.
    """

    pct: float = 10.0
    rows: int = 10


@dataclass(frozen=True, slots=True)
class Excess:
    """A scope whose count changed too much."""

    scope: str
    before: int
    after: int

    @property
    def change_pct(self) -> float:
        """Change in percent of the count before."""
        return 100.0 * (self.after - self.before) / self.before

    def __str__(self) -> str:
        return f"{self.scope}: {self.before:,} → {self.after:,} ({self.change_pct:+.1f} %)"


def excesses(before: Mapping[str, int], after: Mapping[str, int], limit: Limit) -> list[Excess]:
    """Return the scopes that changed by more than `limit`, worst first. A scope that had no rows has no percentage."""
    found = [
        Excess(scope, count, after.get(scope, 0))
        for scope, count in before.items()
        if count > 0 and _is_excess(count, after.get(scope, 0), limit)
    ]
    return sorted(found, key=lambda excess: -abs(excess.change_pct))


def _is_excess(before: int, after: int, limit: Limit) -> bool:
    change = abs(after - before)
    return change > limit.rows and 100.0 * change > limit.pct * before


def undoable(runs: Mapping[int, int | None]) -> frozenset[int]:
    """Return the published runs that may be rolled back now: the newest effective one, or the last rollback.

    `runs` maps the token of each published run, oldest first, to the run that it rolled back (None for a sync).
    """
    effective: list[int] = []
    syncs: dict[int, int] = {}
    last: int | None = None
    for token, target in runs.items():
        last = token
        sync = syncs[token] = token if target is None else syncs.get(target, target)
        if sync in effective:
            effective.remove(sync)
        else:
            effective.append(sync)
    allowed = set(effective[-1:])
    if last is not None and runs[last] is not None:
        allowed.add(last)
    return frozenset(allowed)
