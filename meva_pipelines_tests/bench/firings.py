"""Intake of firings: workbooks read, and their points published beside a plain COPY of the same rows.

Both sides write into the real table with its partitions, primary key and foreign key. Ours begins at the staged
objects: it reads, proves, encodes and copies them; the floor is psql's `copy` of a CSV file that lies ready.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg

from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources import firing_files, simulation_series
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.simulation_series import Measured
from meva_pipelines.sandbox import firing_files as sandbox
from meva_pipelines.sandbox.firings import POINTS, Season
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.report import Figure, Sense
from meva_pipelines_tests.bench.world import Warehouse, World

FIRINGS = 250
WORKBOOKS = 20
_DAY = date(2026, 2, 3)
_PARENTS = """
INSERT INTO mgg.users (username, email) VALUES ('bench', 'bench@example.org') ON CONFLICT DO NOTHING;
INSERT INTO ops.sync_runs (subject, source, mode, day, dagster_run_id, status)
  VALUES ('bench', 'bench', 'full', '2026-02-03', 'bench', 'started');
"""


def figures(world: World, *, rounds: int) -> list[Figure]:
    """The seconds of a COPY of a million points, ours beside psql, and how fast workbooks are read."""
    season = Season(orders=1, repeats=FIRINGS)
    order = next(season.work_orders())
    stored = [curves.stored(f.time_ms(), f.readings_mpa()) for f in season.firings(order)]
    store = ObjectStore(url=(world.home / "bench-store").as_uri())
    for curve in stored:
        store.put(f"staged/{curve.sha256}", curve.encoded())
    with world.warehouse() as warehouse:
        warehouse.psql(_PARENTS)
        laps = report.interleaved(
            rounds,
            {
                "ours": lambda: {"ours": _ours(warehouse, store, stored)},
                "floor": lambda: {"psql copy": _floor(warehouse, stored)},
            },
        )
    rows = FIRINGS * POINTS
    copied = report.slower(f"points of firings published, {rows:,} rows", laps, "ours", "psql copy", goal=1.2)
    return [replace(copied, ours=f"{copied.ours}, {rows / min(laps['ours']):,.0f} rows/s"), _workbooks(season)]


def _workbooks(season: Season) -> Figure:
    firings = list(season.firings(next(season.work_orders())))[:WORKBOOKS]
    contents = [sandbox.sheet(firing) for firing in firings]

    def read() -> None:
        for content in contents:
            sheet = firing_files.read(content)
            curves.stored(sheet.time_ms, sheet.pressure_mpa)

    seconds = report.measured(read)
    return Figure(
        name=f"workbooks read, {WORKBOOKS} of {POINTS:,} rows",
        sense=Sense.AT_LEAST,
        goal=None,
        value=WORKBOOKS * POINTS / seconds,
        unit="rows/s",
        ours=f"{1_000 * seconds / WORKBOOKS:.0f} ms each",
        against="–",
    )


def _ours(warehouse: Warehouse, store: ObjectStore, stored: list[StoredCurve]) -> float:
    with psycopg.connect(warehouse.url) as connection:
        places = _parents(connection, len(stored))
        warehouse.world.settle()

        def rows() -> Iterator[Measured]:
            for (firing, file), curve in zip(places, stored, strict=True):
                content = store.get(f"staged/{curve.sha256}")
                if hashlib.sha256(content).hexdigest() != curve.sha256:
                    raise RuntimeError("the staged object is not the one that was put")
                yield Measured(firing, file, _DAY, curves.decoded(content))

        def publish() -> None:
            simulation_series.ensure_partitions(connection, "test_time_series", [_DAY])
            simulation_series.copy(connection, simulation_series.COPY_MEASURED, rows())
            connection.commit()

        return report.measured(publish)


def _floor(warehouse: Warehouse, stored: list[StoredCurve]) -> float:
    with psycopg.connect(warehouse.url) as connection:
        simulation_series.ensure_partitions(connection, "test_time_series", [_DAY])
        places = _parents(connection, len(stored))
        connection.commit()
    path = _csv(warehouse.world.home, places, stored)
    columns = "test_result_id, file_id, sequence_number, time_point, pressure, test_date"
    warehouse.world.settle()
    return report.measured(
        lambda: warehouse.psql(f"\\copy mgg.test_time_series ({columns}) FROM '{path}' WITH (FORMAT csv)\n")
    )


def _csv(folder: Path, places: list[tuple[int, int]], stored: list[StoredCurve]) -> Path:
    path = folder / "points.csv"
    with path.open("w", encoding="ascii") as file:
        for (firing, file_id), curve in zip(places, stored, strict=True):
            lines = zip(curve.time_ms.tolist(), curve.pressure_mpa.tolist(), strict=True)
            file.writelines(f"{firing},{file_id},{n},{t:.6f},{p:.6f},{_DAY}\n" for n, (t, p) in enumerate(lines))
    return path


def _parents(connection: psycopg.Connection, count: int) -> list[tuple[int, int]]:
    """Make firings with one file each and return their numbers."""
    return connection.execute(
        "WITH results AS (INSERT INTO mgg.test_results (user_id, test_date, recorded_at, name, version, is_current,"
        " content_sha256, token) SELECT 1, %s, now(), 'bench ' || gen_random_uuid(), 1, true, 'x', 1"
        " FROM generate_series(1, %s) RETURNING id) INSERT INTO mgg.test_result_files (test_result_id, test_date,"
        " position, file_name, file_path) SELECT id, %s, 0, 'f', 'f' FROM results RETURNING test_result_id, id",
        [_DAY, count, _DAY],
    ).fetchall()
