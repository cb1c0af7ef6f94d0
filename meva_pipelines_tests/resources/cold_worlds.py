"""Worlds of hot rows and cold parts, laid without the protocol of the archive: any split, any overlap, any version."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.types.json import Jsonb
from pyarrow import parquet

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources import archive_export, archive_schemas, copied_batches
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres

Rows = Sequence[Mapping[str, Any]]
HISTORY = TABLES["aed_history"]
LOGS = TABLES["operation_logs"]
SIMULATED = TABLES["simulation_time_series"]
QUARTER = Period.named("2024-Q1")
_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def image(history_id: int, **values: Any) -> dict[str, Any]:
    """A row of `aed.aed_history`, whole."""
    row: dict[str, Any] = dict.fromkeys(archive_schemas.current(HISTORY).schema.names)
    row |= {
        "history_id": history_id,
        "token": history_id,
        "change": "updated",
        "valid_from": _MOMENT,
        "valid_to": _MOMENT,
        "id": history_id,
        "source": "egen",
        "source_id": str(history_id),
        "data_status": "active",
        "first_seen_date": date(2024, 1, 1),
        "consecutive_missing_days": 0,
        "row_hash": b"\0\xff",
        "sync_batch_id": history_id,
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
    }
    return row | values


@dataclass(frozen=True, slots=True)
class World:
    """A warehouse and a folder of cold files."""

    postgres: Postgres
    folder: Path

    @property
    def files(self) -> ColdFiles:
        """The cold files of the folder."""
        return ColdFiles(ObjectStore(url=self.folder.as_uri()))

    def lay_hot(self, table: Archived, rows: Rows) -> None:
        """Put rows into a hot table, without triggers and foreign keys."""
        schema = archive_schemas.current(table).schema
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT CSV)").format(
            sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, schema.names))
        )
        with psycopg.connect(self.postgres.dsn()) as connection, connection.cursor() as cursor:
            connection.execute("SET session_replication_role = replica")
            if table.schema == "mgg":
                for age in {row[table.age_column] for row in rows}:
                    connection.execute("SELECT mgg.ensure_partition(%s, %s)", [table.name, age])
            with cursor.copy(statement) as copy:
                for batch in pa.Table.from_pylist(list(rows), schema).to_batches():
                    copy.write(copied_batches.encoded(batch))

    def lay_cold(self, table: Archived, period: Period, generation: int, rows: Rows, *, group_rows: int = 1_000) -> str:
        """Write a committed part and return the key of its file."""
        ordered = sorted(rows, key=lambda row: [row[name] for name in table.key])
        registered = archive_schemas.current(table)
        labels = archive_export.labels(Part(table, period, generation), registered.version)
        content = io.BytesIO()
        parquet.write_table(
            pa.Table.from_pylist(ordered, registered.schema.with_metadata(labels)),
            content,
            row_group_size=group_rows,
            write_page_checksum=True,
        )
        key = table.file_key(period, generation)
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
        self.enter(table, period, generation, ordered)
        return key

    def enter(self, table: Archived, period: Period, generation: int, ordered: Rows) -> None:
        """Enter a committed batch."""
        least, greatest = ([_told(row[name]) for name in table.key] for row in (ordered[0], ordered[-1]))
        with psycopg.connect(self.postgres.dsn()) as connection:
            connection.execute(
                "INSERT INTO mgg.archive_batches (batch_name, table_name, period, start_date, end_date, generation,"
                " row_count, digest, min_key, max_key, schema_version, parquet_file_path, parquet_file_size, checksum,"
                " verified_at, archived_at, status)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, '0', %s, %s, 1, %s, 0, 'x', now(), now(), 'committed')",
                [
                    f"{table.name}/{period.name}/g{generation}",
                    table.name,
                    period.name,
                    period.start,
                    period.end,
                    generation,
                    len(ordered),
                    Jsonb(least),
                    Jsonb(greatest),
                    table.file_key(period, generation),
                ],
            )

    def clear(self, table: Archived) -> None:
        """Forget all rows of a table, hot and cold."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table.schema, table.name)))
            connection.execute("DELETE FROM mgg.archive_batches WHERE table_name = %s", [table.name])


def _told(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
