"""A small laboratory in the warehouse: simulations and firings with their curves, compared, hot or in cold parts."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import LiteralString

import numpy as np
import psycopg
import pyarrow as pa

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources import (
    archive_batches,
    archive_digests,
    archive_export,
    archive_reading,
    ledger,
    simulation_comparisons,
    simulation_series,
)
from meva_pipelines.resources.archive_invariance import Checker, Invariance
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.published_curves import Curves
from meva_pipelines.resources.simulation_comparisons import Pair
from meva_pipelines.resources.simulation_series import Measured, Simulated
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archived_rows import FIRED, SERIES

SIMULATED_AT = datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
FIRED_ON = date(2024, 5, 6)
SIMULATIONS, FIRINGS, FILES = 3, 2, 2
PAIRS = SIMULATIONS * FIRINGS
POINTS = 700


class Laboratory:
    """Simulations and firings of two sensors each, published and compared; and a place for cold files."""

    def __init__(self, postgres: Postgres, store: ObjectStore) -> None:
        self.postgres, self.files = postgres, ColdFiles(store)
        with postgres.connect(Role.WRITER, work="test") as connection:
            self.attempt = ledger.open_attempt(
                connection, subject="s", source="s", mode=Mode.FULL, day=FIRED_ON, dagster_run_id="r"
            )
        self.execute("INSERT INTO mgg.users (username, email) VALUES ('u', 'u@example.org')")
        with postgres.connect(Role.WRITER, work="test") as connection:
            simulation_series.ensure_partitions(connection, SERIES.name, [SIMULATED_AT])
            simulation_series.ensure_partitions(connection, FIRED.name, [FIRED_ON])
            self.simulations = [self._simulate(connection, number) for number in range(SIMULATIONS)]
            self.firings = [self._fire(connection, number) for number in range(FIRINGS)]
            pairs = [Pair(one, other, 1) for one in self.simulations for other in self.firings]
            staged = simulation_comparisons.rows_of(self.attempt)
            left_out = list[MevaError]()
            found = Curves(connection, self.files)
            staged.stage(connection, list(simulation_comparisons.compared(found, pairs, left_out)))
            assert left_out == []
            assert simulation_comparisons.publish(connection, staged) == 2 * PAIRS

    def execute(self, statement: LiteralString, values: Sequence[object] = ()) -> None:
        """Do what nobody may, without triggers and foreign keys."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement, values)

    def _simulate(self, connection: psycopg.Connection, number: int) -> int:
        curve = shape(30 + number, number)
        row = connection.execute(
            "INSERT INTO mgg.forward_simulations (user_id, name, version, is_current, content_sha256, token,"
            " peak_pressure, peak_time, num_data_points, curve_sha256, created_at)"
            " VALUES (1, %s, 1, true, 'c', %s, %s, %s, %s, %s, %s) RETURNING id",
            [str(number), self.attempt.token, *published(curve), SIMULATED_AT],
        ).fetchone()
        assert row is not None
        rows = Simulated(row[0], SIMULATED_AT, curve)
        simulation_series.copy(connection, simulation_series.COPY_SIMULATED, iter([rows]))
        return int(row[0])

    def _fire(self, connection: psycopg.Connection, number: int) -> int:
        row = connection.execute(
            "INSERT INTO mgg.test_results (user_id, test_date, recorded_at, name, version, is_current, content_sha256,"
            " token) VALUES (1, %s, now(), %s, 1, true, 'c', %s) RETURNING id",
            [FIRED_ON, str(number), self.attempt.token],
        ).fetchone()
        assert row is not None
        for position in reversed(range(FILES)):  # so that the order of files is not that of their numbers
            curve = shape(31 + number, 7 * number + position)
            file = connection.execute(
                "INSERT INTO mgg.test_result_files (test_result_id, test_date, position, file_name, file_path,"
                " peak_pressure, peak_time, num_data_points, curve_sha256)"
                " VALUES (%s, %s, %s, 'f', 'p', %s, %s, %s, %s) RETURNING id",
                [row[0], FIRED_ON, position, *published(curve)],
            ).fetchone()
            assert file is not None
            rows = Measured(row[0], file[0], FIRED_ON, curve)
            simulation_series.copy(connection, simulation_series.COPY_MEASURED, iter([rows]))
        return int(row[0])

    def archive(self, table: Archived, generation: int = 1) -> str:
        """Write a part of a table and return its SHA-256."""
        part = part_of(table, generation)
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            extent = archive_digests.hot(connection, table, part.period)
        return archive_export.write(self.postgres, self.files, part, extent).sha256

    def commit(self, table: Archived) -> None:
        """Let a part be the only place where its rows are."""
        sha256 = self.archive(table)
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            period = part_of(table).period
            extent = archive_digests.hot(connection, table, period)
            batch = archive_batches.enter(connection, self.attempt, table=table, period=period, extent=extent)
            batch = archive_batches.written(connection, batch, sha256=sha256, file_size=1, schema_version=1)
            archive_batches.committed(connection, archive_batches.verified(connection, batch))
        self.execute("TRUNCATE mgg.simulation_time_series" if table is SERIES else "TRUNCATE mgg.test_time_series")

    def check(self, table: Archived, sha256: str = "", *, at_once: int = 65_536, generation: int = 1) -> Invariance:
        """Read a part of a table, so many rows at a time, and recompute what was published."""
        sha256 = sha256 or self.archive(table, generation)
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            checker = Checker(connection, self.files, table)

            def each(batch: pa.RecordBatch) -> None:
                for start in range(0, batch.num_rows, at_once):
                    checker.add(batch.slice(start, at_once))

            archive_reading.read(self.files, part_of(table, generation), sha256=sha256, each=each)
            return checker.finish()


def shape(peak_mpa: float, seed: int) -> StoredCurve:
    time_ms = np.arange(POINTS, dtype=np.float64) * 0.01
    scaled = time_ms / (2 + 0.05 * seed)
    noise = np.random.default_rng(seed).normal(0, 1e-3, POINTS)
    pressure_mpa: Series = peak_mpa * scaled**2 * np.exp(2 * (1 - scaled)) + noise
    return curves.stored(time_ms, pressure_mpa)


def published(curve: StoredCurve) -> tuple[Decimal, Decimal, int, str]:
    time_ms, pressure_mpa = (Decimal(str(value)) for value in curve.peak)
    return pressure_mpa, time_ms, curve.points, curve.sha256


def part_of(table: Archived, generation: int = 1) -> Part:
    return Part(table, Period.named("2024-Q1" if table is SERIES else "2024-Q2"), generation)
