"""The publish phase beside the floor: first load, then the reload of the next day, of which 2 % changed.

Between the days both tables are vacuumed and analysed, as autovacuum does overnight. Both get the rows of the same
data set in the same database, taking turns.
"""

from statistics import median

import psycopg

from meva_pipelines_tests.bench import floor, publish, report
from meva_pipelines_tests.bench.dataset import DAYS, Dataset
from meva_pipelines_tests.bench.report import Figure, Laps, Sense
from meva_pipelines_tests.bench.world import World

_GOALS = (1.4, 0.7)
_NAMES = ("first load", "reload, 2 % changed")
_FLOOR = "floor"


def measured(world: World, rows: Dataset, *, rounds: int) -> Laps:
    """Measure both ways; each round has a database of its own."""
    laps: Laps = {}
    for number in range(rounds):
        for part, seconds in _round(world, rows, is_ours_first=number % 2 == 0).items():
            laps.setdefault(part, []).append(seconds)
    return laps


def figures(size: int, laps: Laps, *, shows_parts: bool = True) -> list[Figure]:
    """The ratios with and without the typing of records, and where our time goes."""
    found = []
    for number, (name, goal) in enumerate(zip(_NAMES, _GOALS, strict=True)):
        floor_laps = {**laps, _FLOOR: laps[f"floor {number}"]}
        title = f"publish phase, {name}, {size:,} rows"
        found.append(report.slower(f"{title}, rows typed", floor_laps, f"typed {number}", _FLOOR, goal=goal))
        found.append(report.slower(f"{title}, typing included", floor_laps, f"whole {number}", _FLOOR, goal=None))
        if shows_parts:
            parts = [part for part in laps if part.startswith(f"part {number} ")]
            print(f"{title}: " + ", ".join(f"{part[7:]} {report.seconds(laps, part)}" for part in parts))
    return found


def growth(small: Laps, large: Laps, *, factor: float) -> list[Figure]:
    """Whether ten times the rows take ten times as long."""
    return [
        Figure(
            name=f"publish phase, {name}: {factor:g} × the rows",
            sense=Sense.AT_MOST,
            goal=1.2 * factor,
            value=median(large[f"typed {number}"]) / median(small[f"typed {number}"]),
            unit="× time",
            ours=report.seconds(large, f"typed {number}"),
            against=f"{report.seconds(small, f'typed {number}')} at a tenth",
        )
        for number, name in enumerate(_NAMES)
    ]


def _round(world: World, rows: Dataset, *, is_ours_first: bool) -> dict[str, float]:
    seconds: dict[str, float] = {}

    def ours(number: int) -> None:
        lap = publish.published(warehouse, rows, DAYS[number])
        seconds[f"whole {number}"] = lap.total()
        seconds[f"typed {number}"] = lap.total() - lap.parts["mapping"]
        seconds.update({f"part {number} {part}": spent for part, spent in lap.parts.items()})

    def theirs(number: int) -> None:
        seconds[f"floor {number}"] = floor.load(warehouse, rows.csv(DAYS[number]))

    with world.warehouse() as warehouse:
        floor.prepare(warehouse)
        for number in range(len(DAYS)):
            for load in (ours, theirs) if is_ours_first else (theirs, ours):
                load(number)
            with psycopg.connect(warehouse.url, autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE) aed.aed_data, floor.aed_data")
    return seconds
