"""A warehouse with old rows of every archived table, and the steps of the archive without its files."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources import (
    archive_batches,
    archive_chain,
    archive_planning,
    archive_release,
    ledger,
    simulation_totals,
)
from meva_pipelines.resources.archive_batches import Batch
from meva_pipelines.resources.archive_chain import Log
from meva_pipelines.resources.archive_release import Released
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.aed import IMAGE_COLUMNS
from meva_pipelines.schema.roles import Role

SERIES = TABLES["simulation_time_series"]
MEASURED = TABLES["test_time_series"]
LOGS = TABLES["operation_logs"]
HISTORY = TABLES["aed_history"]
QUARTER = Period.named("2024-Q1")
MONTH = Period.named("2024-02")
SUITE = "cold_copies_equal_the_hot_rows"
POINTS = 5


class Desk:
    """Old rows in a warehouse with its policies, and one archiver."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        with postgres.connect(Role.WRITER, work="test") as connection:
            simulation_totals.enter_policies(connection)
            self.token = ledger.open_attempt(
                connection, subject="s", source="s", mode=Mode.FULL, day=date(2024, 1, 1), dagster_run_id="r"
            ).token
            connection.execute("INSERT INTO mgg.users (username, email) VALUES ('u', 'u@example.org')")
        self._names = 0

    def rows(self, query: LiteralString, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Execute a query as the owner and return its rows."""
        with self.postgres.connect(Role.OWNER, work="test") as connection:
            return connection.execute(query, values).fetchall()

    def execute(self, statement: LiteralString, values: Sequence[object] = (), role: Role = Role.OWNER) -> None:
        """Execute a statement in a role."""
        with self.postgres.connect(role, work="test") as connection:
            connection.execute(statement, values)

    def count(self, table: Archived) -> int:
        """How many rows of a table are hot."""
        with self.postgres.connect(Role.OWNER, work="test") as connection:
            row = connection.execute(f"SELECT count(*) FROM {table.schema}.{table.name}".encode()).fetchone()
        return row[0] if row else 0

    def simulate(self, moment: datetime | None = None, *, points: int = POINTS) -> int:
        """Put a simulation with its series in, and return its id."""
        self._names += 1
        moment = moment or QUARTER.start + timedelta(days=self._names)
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            row = connection.execute(
                "INSERT INTO mgg.forward_simulations (user_id, name, version, is_current, content_sha256, token,"
                " peak_pressure, peak_time, num_data_points, created_at)"
                " VALUES (1, %s, 1, true, 'c', %s, 30, 5, %s, %s) RETURNING id",
                [f"s{self._names}", self.token, points, moment],
            ).fetchone()
            assert row is not None
            connection.execute("SELECT mgg.ensure_partition('simulation_time_series', %s)", [moment])
            connection.execute(
                "INSERT INTO mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure,"
                " created_at) SELECT %s, n, n * 0.01, n - 0.5, %s FROM generate_series(0, %s - 1) AS n",
                [row[0], moment, points],
            )
        return int(row[0])

    def fire(self, day: date = date(2024, 1, 1)) -> None:
        """Put a firing with one file and its series in."""
        self._names += 1
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            connection.execute(
                "WITH firing AS (INSERT INTO mgg.test_results (user_id, test_date, recorded_at, name, version,"
                " is_current, content_sha256, token) VALUES (1, %s, now(), %s, 1, true, 'c', %s) RETURNING id)"
                " INSERT INTO mgg.test_result_files (test_result_id, test_date, position, file_name, file_path)"
                " SELECT id, %s, 0, 'f', 'p' FROM firing",
                [day, f"f{self._names}", self.token, day],
            )
            connection.execute("SELECT mgg.ensure_partition('test_time_series', %s)", [day])
            connection.execute(
                "INSERT INTO mgg.test_time_series (test_result_id, file_id, sequence_number, time_point, pressure,"
                " test_date) SELECT f.test_result_id, f.id, n, n, n, %s FROM generate_series(0, 2) AS n,"
                " (SELECT * FROM mgg.test_result_files ORDER BY id DESC LIMIT 1) AS f",
                [day],
            )

    def log(self, moment: datetime = MONTH.start, **columns: object) -> None:
        """Append an operation log as of a moment."""
        given = {"log_type": "admin", "action": "a", "created_at": moment} | columns
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            connection.execute("SELECT mgg.ensure_partition('operation_logs', %s)", [moment])
            connection.execute(
                f"INSERT INTO mgg.operation_logs ({', '.join(given)})"
                f" VALUES ({', '.join(['%s'] * len(given))})".encode(),
                list(given.values()),
            )

    def supersede(self, moment: datetime = QUARTER.start, *, token: int = 1) -> None:
        """Put a before-image of a device into the history of the registry."""
        self._names += 1
        image = dict.fromkeys(IMAGE_COLUMNS) | {"id": self._names}
        required = self.rows(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'aed'"
            " AND table_name = 'aed_history' AND is_nullable = 'NO' AND identity_generation IS NULL"
        )
        plain = {
            "text": f"k{self._names}", "timestamp with time zone": moment, "bigint": self._names, "integer": 0,
            "bytea": bytes(32), "date": moment.date(), "boolean": True, "smallint": 0, "jsonb": "{}",
        }  # fmt: skip
        row = {name: image.get(name) or plain[kind] for name, kind in required}
        row |= {"token": token, "change": "updated", "valid_from": moment, "valid_to": moment}
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            connection.execute(
                f"INSERT INTO aed.aed_history ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})".encode(),
                list(row.values()),
            )

    def open(self, table: Archived = SERIES, period: Period = QUARTER) -> Attempt:
        """Open an attempt of the archive."""
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            return ledger.open_attempt(
                connection,
                subject=table.subject,
                source=period.name,
                mode=Mode.ARCHIVE,
                day=ledger.today(connection),
                dagster_run_id="r",
            )

    def begin(self, attempt: Attempt, table: Archived = SERIES, period: Period = QUARTER) -> Batch:
        """Plan a period that has hot rows."""
        batch = archive_planning.begin(self.postgres, attempt, table=table, period=period)
        assert batch is not None
        return batch

    def write(self, batch: Batch) -> Batch:
        """Say that the file was written."""
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            return archive_batches.written(connection, batch, sha256="a" * 64, file_size=100, schema_version=1)

    def verify(self, batch: Batch) -> Batch:
        """Say that the file was verified."""
        with self.postgres.connect(Role.ARCHIVER, work="test") as connection:
            return archive_batches.verified(connection, batch)

    def judge(self, attempt: Attempt, batch: Batch, *, is_passed: bool = True) -> None:
        """Store the verdict of the one suite."""
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            ledger.store_verdict(
                connection,
                attempt.token,
                suite=SUITE,
                digest=batch.digest,
                is_passed=is_passed,
                results=[],
                duration_s=0.1,
            )

    def prove(self, table: Archived = SERIES, period: Period = QUARTER) -> tuple[Attempt, Batch]:
        """Bring a period to where its hot rows may leave."""
        attempt = self.open(table, period)
        batch = self.begin(attempt, table, period)
        if batch.sha256 is None:
            batch = self.write(batch)
        batch = self.verify(batch)
        self.judge(attempt, batch)
        return attempt, batch

    def release(self, attempt: Attempt, batch: Batch, *, ceiling: int = 1_000_000) -> Released:
        """Let the hot rows leave."""
        with ledger.watch(self.postgres, attempt):
            return archive_release.release(
                self.postgres, attempt, batch, suites=(SUITE,), ceiling=ceiling, approved_by="policy"
            )

    def batches(self, table: Archived = SERIES, period: Period = QUARTER) -> list[tuple[int, str]]:
        """Generations of a period and their states."""
        with self.postgres.connect(Role.READER, work="test") as connection:
            found = archive_batches.of_period(connection, table, period)
        return [(batch.generation, batch.state.value) for batch in found]

    def old(self, days: int) -> datetime:
        """A moment so many days ago by the clock of the database."""
        with self.postgres.connect(Role.READER, work="test") as connection:
            return ledger.now(connection).astimezone(UTC) - timedelta(days=days)


def chained_logs(connection: psycopg.Connection) -> list[Log]:
    """Every hot log in order of position."""
    with connection.cursor(row_factory=class_row(Log)) as cursor:
        columns = sql.SQL(", ").join(map(sql.Identifier, archive_chain.COLUMNS))
        return cursor.execute(
            sql.SQL("SELECT {} FROM mgg.operation_logs ORDER BY chain_position").format(columns)
        ).fetchall()
