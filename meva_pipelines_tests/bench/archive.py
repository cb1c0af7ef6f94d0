"""Hot rows to proved cold files, beside psql's binary COPY to nowhere and pandas, which proves nothing.

Curves of 1,000 to 4,000 points, in four quarters, with their simulations; one quarter leaves in each round. Memory is
that of a process of its own that writes a quarter, reads it again and recomputes what was published of it.
"""

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import create_engine

from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.filters import Both, Condition, Operator
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.local.environment import libpq_variables
from meva_pipelines.resources import (
    archive_digests,
    archive_export,
    archive_reading,
    hot_and_cold,
    simulation_series,
)
from meva_pipelines.resources.archive_export import Written
from meva_pipelines.resources.archive_invariance import Checker
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.cold_rows import Effort
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_series import Simulated
from meva_pipelines.schema import migrate
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.report import Figure, Laps, Sense, measured
from meva_pipelines_tests.bench.world import Warehouse, World

ROWS = 10_000_000
QUARTERS = tuple(Period.named(f"2024-Q{number}") for number in range(1, 5))
SMALL = Period.named("2023-Q4")
"""A quarter of a tenth of the rows: memory must not grow with them."""

_TABLE = TABLES["simulation_time_series"]
_LEAST_POINTS, _MOST_POINTS = 1_000, 4_000
_CURVES_AT_ONCE = 200
_FIRST_ROWS = 100
_PARENTS = """
INSERT INTO mgg.users (username, email) VALUES ('bench', 'bench@example.org');
INSERT INTO ops.sync_runs (subject, source, mode, day, dagster_run_id, status)
  VALUES ('bench', 'bench', 'full', '2026-02-03', 'bench', 'started');
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A warehouse with curves, and a folder for cold files."""

    warehouse: Warehouse
    files: ColdFiles
    folder: Path

    @property
    def postgres(self) -> Postgres:
        """The warehouse as a resource."""
        return self.warehouse.postgres


@dataclass(slots=True)
class Sizes:
    """Bytes of all quarters."""

    rows: int = 0
    hot: int = 0
    csv: int = 0
    cold: int = 0


def figures(world: World, *, rows: int, rounds: int) -> list[Figure]:
    """Measure everything, on a database of its own; there is one quarter for each round, so at most four."""
    with world.warehouse() as warehouse:
        folder = world.home / "archive"
        folder.mkdir()
        place = Place(warehouse, ColdFiles(ObjectStore(url=(folder / "store").as_uri())), folder)
        _fill(place, rows)
        small, large = _memory(place, SMALL), _memory(place, QUARTERS[-1])
        laps: Laps = {}
        sizes = Sizes()
        middles = [_written(place, period, sizes) for period in QUARTERS]
        _ask(place, middles[-1])
        for simulation in middles[:rounds]:
            laps.setdefault("hot alone", []).append(measured(partial(_ask, place, simulation)))
            laps.setdefault("first rows, hot alone", []).append(measured(partial(_first_rows, place)))
        for period in QUARTERS[:rounds]:
            _round(place, period, laps)
            if period is QUARTERS[0]:
                _first_rows(place)
                laps["first rows, half cold"] = [measured(partial(_first_rows, place)) for _ in range(rounds)]
        shares = []
        for simulation in middles[:rounds]:
            laps.setdefault("hot and cold", []).append(measured(partial(_ask, place, simulation)))
            shares.append(_share(_ask(place, simulation)))
        return [*_speeds(laps, sizes), *_memories(small, large), *_sizes(sizes), _lookup(shares)]


def _fill(place: Place, rows: int) -> None:
    place.warehouse.psql(_PARENTS)
    random = np.random.default_rng(7)
    with psycopg.connect(place.warehouse.url) as connection:
        for period, wanted in ((SMALL, rows // 40), *((period, rows // 4) for period in QUARTERS)):
            simulation_series.ensure_partitions(connection, _TABLE.name, [period.start])
            made = 0
            while made < wanted:
                made += _simulated(connection, random, period, wanted - made)
            connection.commit()
    with psycopg.connect(place.warehouse.url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE mgg.simulation_time_series")
        connection.execute("CHECKPOINT")


def _simulated(connection: psycopg.Connection, random: np.random.Generator, period: Period, wanted: int) -> int:
    """Put simulations with their curves in, up to so many points, and return how many points came."""
    series: list[StoredCurve] = []
    while sum(one.points for one in series) < wanted and len(series) < _CURVES_AT_ONCE:
        series.append(_curve(random))
    moments = [period.start + timedelta(seconds=float(s)) for s in random.uniform(0, 89 * 86_400, len(series))]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO mgg.forward_simulations (user_id, peak_pressure, peak_time, num_data_points, curve_sha256,"
            " content_sha256, name, version, is_current, token, created_at)"
            " VALUES (1, %s, %s, %s, %s, 'c', gen_random_uuid(), 1, true, 1, %s) RETURNING id, created_at",
            [
                (one.peak[1], one.peak[0], one.points, one.sha256, moment)
                for one, moment in zip(series, moments, strict=True)
            ],
            returning=True,
        )
        parents = [row for _ in cursor.results() for row in cursor.fetchall()]
    stream = (Simulated(number, moment, one) for (number, moment), one in zip(parents, series, strict=True))
    return simulation_series.copy(connection, simulation_series.COPY_SIMULATED, stream)


def _curve(random: np.random.Generator) -> StoredCurve:
    """A smooth rise and fall in steps of 0.01 ms, with noise of 1 to 100 Pa."""
    points = int(random.integers(_LEAST_POINTS, _MOST_POINTS + 1))
    time_ms = np.arange(points, dtype=np.float64) * 0.01
    scaled = time_ms / (0.003 * points)
    noise = random.normal(0, 10 ** random.uniform(-6, -4), points)
    pressure_mpa: Series = random.uniform(20, 60) * scaled**2 * np.exp(2 * (1 - scaled)) + noise
    return curves.stored(time_ms, pressure_mpa)


def _written(place: Place, period: Period, sizes: Sizes) -> int:
    """Write a quarter, add its bytes up, and return a simulation in its middle."""
    part = Part(_TABLE, period)
    with place.postgres.connect(Role.ARCHIVER, work="bench") as connection:
        extent = archive_digests.hot(connection, _TABLE, period)
    done = archive_export.write(place.postgres, place.files, part, extent)
    with psycopg.connect(place.warehouse.url) as connection:
        found = connection.execute("SELECT pg_total_relation_size(%s)", [_partition(period)]).fetchone()
    sizes.rows += done.rows
    sizes.hot += found[0] if found else 0
    sizes.csv += _csv_bytes(place, period)
    sizes.cold += done.size
    return (int((extent.min_key or ("0",))[0]) + int((extent.max_key or ("0",))[0])) // 2


def _partition(period: Period) -> str:
    return f"mgg.simulation_time_series_{period.start:%Y}_q{(period.start.month + 2) // 3}"


def _round(place: Place, period: Period, laps: Laps) -> None:
    """One quarter by every way, and away."""
    part = Part(_TABLE, period, 2)

    def lap(name: str, seconds: float) -> None:
        laps.setdefault(name, []).append(seconds)

    place.warehouse.world.settle()
    lap("psql", measured(lambda: _copy(place, period, "binary", subprocess.DEVNULL)))
    lap("pandas", measured(lambda: _pandas(place, period)))
    place.warehouse.world.settle()
    started = perf_counter()
    with place.postgres.connect(Role.ARCHIVER, work="bench") as connection:
        extent = archive_digests.hot(connection, _TABLE, period)
    planned = perf_counter()
    done = archive_export.write(place.postgres, place.files, part, extent)
    written = perf_counter()
    with place.postgres.connect(Role.ARCHIVER, work="bench") as connection:
        _prove(connection, place.files, part, done.sha256)
        proved = perf_counter()
    with psycopg.connect(place.warehouse.url) as connection:
        if archive_digests.hot(connection, _TABLE, period) != extent:
            raise RuntimeError("the hot rows changed")
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(*_partition(period).split("."))))
        _commit(connection, part, done)
    released = perf_counter()
    for name, seconds in (
        ("plan digest", planned - started),
        ("export", written - planned),
        ("re-read and recomputation", proved - written),
        ("release", released - proved),
        ("protocol", released - started),
    ):
        lap(name, seconds)


def _prove(connection: psycopg.Connection, files: ColdFiles, part: Part, sha256: str) -> None:
    checker = Checker(connection, files, _TABLE)
    archive_reading.read(files, part, sha256=sha256, each=checker.add)
    found = checker.finish()
    if not found.curves or found.differences:
        raise RuntimeError(f"the numbers of {part.name} do not follow from its file: {found}")


def _copy(place: Place, period: Period, form: str, into: int) -> "subprocess.Popen[bytes]":
    words = [str(place.warehouse.world.server.bindir / "psql"), "-X", "-q", "-c"]
    query = (
        f"COPY (SELECT * FROM mgg.simulation_time_series WHERE created_at >= '{period.start}'"
        f" AND created_at < '{period.end}') TO STDOUT (FORMAT {form})"
    )
    process = subprocess.Popen([*words, query], env={**os.environ, **libpq_variables(place.warehouse.url)}, stdout=into)
    if into == subprocess.DEVNULL and process.wait():
        raise RuntimeError("psql failed")
    return process


def _csv_bytes(place: Place, period: Period) -> int:
    with _copy(place, period, "csv", subprocess.PIPE) as process:
        return sum(map(len, iter(lambda: process.stdout.read(1 << 20) if process.stdout else b"", b"")))


def _pandas(place: Place, period: Period) -> None:
    """What a person would write."""
    engine = create_engine(migrate.sqlalchemy_url(place.warehouse.url))
    query = "SELECT * FROM mgg.simulation_time_series WHERE created_at >= %(start)s AND created_at < %(end)s"
    frame = pd.read_sql(query, engine, params={"start": period.start, "end": period.end})
    frame.to_parquet(place.folder / "pandas.parquet")
    engine.dispose()


def _speeds(laps: Laps, sizes: Sizes) -> Iterator[Figure]:
    rows = sizes.rows // len(QUARTERS)
    export = report.slower(f"a quarter exported, {rows:,} rows, digest and checksums", laps, "export", "psql", goal=2.3)
    yield replace(export, ours=f"{export.ours}, {rows / statistics.median(laps['export']):,.0f} rows/s")
    yield report.slower("the whole protocol, proved and released", laps, "protocol", "psql", goal=6.0)
    for step in ("plan digest", "re-read and recomputation", "release"):
        yield report.slower(f"… {step}", laps, step, "psql", goal=None)
    yield report.slower(
        "one simulation asked for, hot and cold, beside hot alone", laps, "hot and cold", "hot alone", goal=3.0
    )
    yield report.slower(
        "first 100 rows of two quarters by key, one quarter cold, beside hot alone",
        laps,
        "first rows, half cold",
        "first rows, hot alone",
        goal=3.0,
    )
    yield report.faster("export beside read_sql and to_parquet", laps, "export", "pandas", goal=4.0)
    yield report.faster("protocol beside read_sql and to_parquet", laps, "protocol", "pandas", goal=1.5)


def _memories(small_mb: float, large_mb: float) -> Iterator[Figure]:
    yield Figure(
        name="peak memory: a quarter written, re-read, recomputed",
        sense=Sense.AT_MOST,
        goal=300.0,
        value=large_mb,
        unit="MB",
        ours=f"{large_mb:.0f} MB",
        against="–",
    )
    yield Figure(
        name="peak memory beside that of a tenth of the rows",
        sense=Sense.AT_MOST,
        goal=1.1,
        value=large_mb / small_mb,
        unit="×",
        ours=f"{large_mb:.0f} MB",
        against=f"{small_mb:.0f} MB",
    )


def _sizes(sizes: Sizes) -> Iterator[Figure]:
    for name, other in (("CSV", sizes.csv), ("the hot table with its index", sizes.hot)):
        yield Figure(
            name=f"cold files smaller than {name}",
            sense=Sense.AT_LEAST,
            goal=10.0,
            value=other / sizes.cold,
            unit="×",
            ours=f"{sizes.cold / 1e6:.1f} MB",
            against=f"{other / 1e6:.0f} MB",
        )


def _lookup(shares: list[float]) -> Figure:
    share = statistics.median(shares)
    return Figure(
        name="cold lookup of one simulation, share of the archive read",
        sense=Sense.AT_MOST,
        goal=2.0,
        value=share,
        unit="%",
        ours=f"{share:.2f} %",
        against="–",
    )


def _commit(connection: psycopg.Connection, part: Part, done: Written) -> None:
    """Let readers see a part."""
    connection.execute(
        "INSERT INTO mgg.archive_batches (batch_name, table_name, period, start_date, end_date, generation, row_count,"
        " digest, min_key, max_key, schema_version, parquet_file_path, parquet_file_size, checksum, status,"
        " verified_at, archived_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'committed',"
        " now(), now())",
        [
            part.name,
            part.table.name,
            part.period.name,
            part.period.start,
            part.period.end,
            part.generation,
            done.rows,
            done.digest,
            Jsonb(done.extent.min_key),
            Jsonb(done.extent.max_key),
            done.schema_version,
            part.key,
            done.size,
            done.sha256,
        ],
    )


def _ask(place: Place, simulation_id: int) -> Effort:
    """Ask for one curve, wherever it lies, and return what was read for it."""
    query = Query(_TABLE, Condition("simulation_id", Operator.EQ, simulation_id), sort=(Sort("sequence_number"),))
    with hot_and_cold.answer(place.postgres, place.files, query, role=Role.ARCHIVER) as found:
        if not sum(batch.num_rows for batch in found.batches):
            raise RuntimeError(f"simulation {simulation_id} is nowhere")
    return found.effort


def _first_rows(place: Place) -> None:
    """Ask for the first rows of two quarters in the order of the key, wherever they lie."""
    ages = [(Operator.GTE, QUARTERS[0].start), (Operator.LT, QUARTERS[1].end)]
    asked = Both(tuple(Condition(_TABLE.age_column, operator, moment) for operator, moment in ages))
    query = Query(_TABLE, asked, sort=tuple(map(Sort, _TABLE.key)), limit=_FIRST_ROWS)
    with hot_and_cold.answer(place.postgres, place.files, query, role=Role.ARCHIVER) as found:
        if sum(batch.num_rows for batch in found.batches) != _FIRST_ROWS:
            raise RuntimeError("there are fewer rows than were asked for")


def _share(effort: Effort) -> float:
    return 100 * effort.bytes_read / sum(part.batch.file_size or 0 for part in effort.parts)


def _memory(place: Place, period: Period) -> float:
    """The peak of a process that archives a quarter, in MB."""
    settings = {
        "MEVA_BENCH_DSN": place.warehouse.url,
        "MEVA_BENCH_FOLDER": str(place.folder / "memory"),
        "MEVA_BENCH_PERIOD": period.name,
    }
    words = [sys.executable, "-m", "meva_pipelines_tests.bench.archive"]
    done = subprocess.run(words, env={**os.environ, **settings}, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def main() -> None:
    """Archive one quarter and print the peak memory in MB: the process whose memory is measured."""
    postgres = Postgres(url=os.environ["MEVA_BENCH_DSN"], home=".")
    files = ColdFiles(ObjectStore(url=Path(os.environ["MEVA_BENCH_FOLDER"]).as_uri()))
    part = Part(_TABLE, Period.named(os.environ["MEVA_BENCH_PERIOD"]))
    with postgres.connect(Role.ARCHIVER, work="bench") as connection:
        extent = archive_digests.hot(connection, _TABLE, part.period)
        done = archive_export.write(postgres, files, part, extent)
        _prove(connection, files, part, done.sha256)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    main()
