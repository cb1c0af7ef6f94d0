"""Machine files to published points: beside Arrow with psql's `copy`, beside pandas, and row by row.

1,000 files of every dialect with 5,000 points each, and one file of a million points. Libraries are imported and read
beforehand; the files lie in the landing zone, and everything that a run does with them counts.
"""

import importlib
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines_tests.bench import report, tensile_files, tensile_peers
from meva_pipelines_tests.bench.report import Figure, Laps, Sense
from meva_pipelines_tests.bench.tensile_files import Files
from meva_pipelines_tests.bench.tensile_intake import Intake
from meva_pipelines_tests.bench.world import World

FILES = 1_000
POINTS = 5_000
LONG = 1_000_000
_PEER_FILES = 38
_INSERTED_TESTS = 4
_PARTS = ("keep", "read", "stage", "judge", "publish")


def figures(world: World, *, rounds: int, files: int = FILES) -> list[Figure]:
    """Everything from file to published rows; the folder with the files goes when it is measured."""
    importlib.import_module("great_expectations")
    with TemporaryDirectory(prefix="tensile-", dir=world.home) as name:
        home = Path(name)
        mixed = tensile_files.mixed(home / "mixed", files, points=POINTS)
        long = tensile_files.single(home / "long", Dialect.PARENTHESES, points=LONG)
        laps = _measured(world, mixed, home / "mixed.rows", rounds=rounds)
        pandas_s_per_row = _pandas(world, home)
        return [
            _from_file(f"{files:,} files × {POINTS:,} points, every dialect, {mixed.size / 1e6:.0f} MB", laps),
            _from_file(
                f"one file of {LONG:,} points, {long.size / 1e6:.0f} MB",
                _measured(world, long, home / "long.rows", rounds=rounds),
            ),
            Figure(
                name=f"… of {files:,} files against pandas.read_csv + to_sql into an identical table without its rules"
                f" ({_PEER_FILES} files, scaled by rows)",
                sense=Sense.AT_LEAST,
                goal=15.0,
                value=pandas_s_per_row * mixed.points / min(laps["ours"]),
                unit="×",
                ours=f"{mixed.points / min(laps['ours']):,.0f} rows/s",
                against=f"pandas {1 / pandas_s_per_row:,.0f} rows/s",
            ),
            *_ways_in(world, rounds=rounds),
        ]


def published(world: World, intake: Intake, files: Files) -> dict[str, float]:
    """Drop files into a landing zone and take them to the end; seconds by part and in all."""
    files.drop(intake.folder)
    world.settle()
    seconds = intake.run()
    if intake.points != files.points:
        raise RuntimeError(f"{intake.points} of {files.points} points were published, so the time says nothing")
    return {"ours": seconds, **intake.parts}


def _measured(world: World, files: Files, rows: Path, *, rounds: int) -> Laps:
    """Ours and the floor in turn; the floor copies the rows that our first round published."""
    laps: Laps = {}

    def ours() -> dict[str, float]:
        with TemporaryDirectory(prefix="intake-", dir=world.home) as home, world.warehouse() as warehouse:
            seconds = published(world, Intake(warehouse.postgres, Path(home)), files)
            if not rows.exists():
                tensile_peers.export(warehouse, rows)
            return seconds

    def theirs() -> dict[str, float]:
        with world.warehouse() as warehouse:
            return tensile_peers.floor(warehouse, files, rows)

    for number in range(rounds):
        for way in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            for part, seconds in way().items():
                laps.setdefault(part, []).append(seconds)
    return laps


def _from_file(title: str, laps: Laps) -> Figure:
    parts = ", ".join(f"{part} {report.seconds(laps, part)}" for part in _PARTS)
    floor = ", ".join(f"{part} {report.seconds(laps, part)}" for part in ("Arrow", "psql"))
    name = f"file to published rows, {title} ({parts}; floor: {floor})"
    return report.slower(name, laps, "ours", "Arrow + psql", goal=2.5)


def _pandas(world: World, home: Path) -> float:
    """Seconds of pandas for each row."""
    files = tensile_files.mixed(home / "few", _PEER_FILES, points=POINTS)
    with world.warehouse() as warehouse:
        found = tensile_peers.with_pandas(warehouse, files)
    return found["pandas"] / found["rows"]


def _ways_in(world: World, *, rounds: int) -> list[Figure]:
    with world.warehouse() as warehouse:
        ways = tensile_peers.ways_in(warehouse, tests=_INSERTED_TESTS, points=POINTS)
        laps = report.interleaved(rounds, ways)
    title = f"COPY of {_INSERTED_TESTS * POINTS:,} points into meva.tensile_data against"
    faster = partial(report.faster, laps=laps, ours="COPY", goal=10.0)
    return [
        faster(f"{title} prepared INSERTs, one by one", theirs="INSERT"),
        faster(f"{title} prepared INSERTs in a pipeline (executemany)", theirs="executemany"),
    ]
