"""Figures, their goals and the table they are shown in. Measuring itself happens elsewhere."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter


class Sense(StrEnum):
    """How a figure compares with its goal."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure; `value` is in `unit`, ours and theirs are shown as they are given."""

    name: str
    sense: Sense
    goal: float | None
    value: float
    unit: str
    ours: str
    against: str

    @property
    def verdict(self) -> str:
        """A mark for a goal that is met or missed; nothing for a figure without one."""
        if self.goal is None:
            return ""
        is_met = self.value <= self.goal if self.sense is Sense.AT_MOST else self.value >= self.goal
        return "✓" if is_met else "✗"

    def row(self) -> str:
        """The figure as a row of the table."""
        goal = "–" if self.goal is None else f"{self.sense} {self.goal:g} {self.unit}"
        cells = (self.name, goal, f"{self.value:.2f} {self.unit}", self.verdict, self.ours, self.against)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


HEAD = "| figure | goal | measured | | ours | against |\n|---|---|---|---|---|---|"

Laps = dict[str, list[float]]


def interleaved(rounds: int, ways: Mapping[str, Callable[[], Mapping[str, float]]]) -> Laps:
    """Run every way once in each round, in turning order, and collect the seconds that each names."""
    laps: Laps = {}
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            for part, seconds in ways[name]().items():
                laps.setdefault(part, []).append(seconds)
    return laps


def ratio(laps: Laps, ours: str, theirs: str) -> float:
    """The median over the rounds of ours / theirs."""
    return statistics.median(mine / other for mine, other in zip(laps[ours], laps[theirs], strict=True))


def slower(name: str, laps: Laps, ours: str, theirs: str, *, goal: float | None) -> Figure:
    """A figure that says how many times the seconds of `theirs` ours takes."""
    return Figure(
        name=name,
        sense=Sense.AT_MOST,
        goal=goal,
        value=ratio(laps, ours, theirs),
        unit="×",
        ours=seconds(laps, ours),
        against=f"{theirs} {seconds(laps, theirs)}",
    )


def faster(name: str, laps: Laps, ours: str, theirs: str, *, goal: float) -> Figure:
    """A figure that says how many times faster than `theirs` ours is."""
    return Figure(
        name=name,
        sense=Sense.AT_LEAST,
        goal=goal,
        value=ratio(laps, theirs, ours),
        unit="×",
        ours=seconds(laps, ours),
        against=f"{theirs} {seconds(laps, theirs)}",
    )


def seconds(laps: Laps, part: str) -> str:
    """The median of a part in seconds."""
    return f"{statistics.median(laps[part]):.2f} s"


def measured(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes."""
    started = perf_counter()
    work()
    return perf_counter() - started


def machine(postgres_version: str) -> str:
    """One line about the machine, so that figures can be compared."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{cores} cores, load {load:.1f}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, PostgreSQL {postgres_version}"
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures as a markdown table."""
    return "\n".join([HEAD, *(figure.row() for figure in figures)])
