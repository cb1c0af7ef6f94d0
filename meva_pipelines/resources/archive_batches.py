"""Batches of the archive and their states: planned, written, verified, committed, or failed. No hot row is touched.

A batch belongs to the attempt that planned it or took it over. Every change names the state and the attempt that it
expects, so that a process that was overtaken changes nothing. The file of a failed batch is never written again: the
next batch of its period has the next generation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Superseded
from meva_pipelines.resources.archive_digests import Extent
from meva_pipelines.resources.cold_files import Part
from meva_pipelines.resources.ledger import Attempt


class State(StrEnum):
    """How far a batch has come."""

    PLANNED = "planned"
    WRITTEN = "written"
    VERIFIED = "verified"
    COMMITTED = "committed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a table that were hot in a period when it was planned, and the cold file that holds them.

    `digest` is the decimal sum of the signed 64-bit row hashes; keys hold their values as text, in the order of
    `Archived.key`; `file_size` is in bytes. `read_at` is when the file was last read to its end and found unchanged.
    """

    id: int
    name: str
    table: Archived
    period: Period
    generation: int
    state: State
    token: int | None
    rows: int
    digest: str
    min_key: tuple[str, ...]
    max_key: tuple[str, ...]
    file_key: str
    schema_version: int | None
    sha256: str | None
    file_size: int | None
    planned_at: datetime
    written_at: datetime | None
    verified_at: datetime | None
    archived_at: datetime | None
    read_at: datetime | None
    failure: str | None

    @property
    def part(self) -> Part:
        """Its cold file."""
        return Part(self.table, self.period, self.generation)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be done with it."""
        return self.state in {State.COMMITTED, State.FAILED}


def enter(
    connection: psycopg.Connection,
    attempt: Attempt,
    *,
    table: Archived,
    period: Period,
    extent: Extent,
) -> Batch:
    """Enter a planned batch of the hot rows of `extent`, with the next generation of its period.

    Raises:
        Superseded: another attempt entered the same generation at the same moment.
    """
    row = connection.execute(
        "SELECT coalesce(max(generation), 0) + 1 FROM mgg.archive_batches WHERE table_name = %s AND start_date = %s",
        [table.name, period.start],
    ).fetchone()
    generation = 1 if row is None else int(row[0])
    part = Part(table, period, generation)
    try:
        found = _select(
            connection,
            "INSERT INTO mgg.archive_batches (batch_name, table_name, period, start_date, end_date, generation, token,"
            " row_count, digest, min_key, max_key, parquet_file_path, status)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'planned') RETURNING *",
            [
                part.name,
                table.name,
                period.name,
                period.start,
                period.end,
                generation,
                attempt.token,
                extent.rows,
                extent.digest,
                Jsonb(extent.min_key),
                Jsonb(extent.max_key),
                part.key,
            ],
        )
    except psycopg.errors.UniqueViolation:
        raise Superseded(
            f"another attempt planned {table.name} {period.name} at the same moment as attempt {attempt.token}: "
            "this one changed nothing"
        ) from None
    return found[0]


def written(connection: psycopg.Connection, batch: Batch, *, sha256: str, file_size: int, schema_version: int) -> Batch:
    """Note that the cold file of a planned batch lies under its name.

    Raises:
        Superseded: the batch is not planned any more, or belongs to another attempt by now.
    """
    return _advance(
        connection,
        batch,
        "UPDATE mgg.archive_batches SET status = 'written', written_at = clock_timestamp(), checksum = %s,"
        " parquet_file_size = %s, schema_version = %s"
        " WHERE id = %s AND token = %s AND status = 'planned' RETURNING *",
        [sha256, file_size, schema_version],
    )


def verified(connection: psycopg.Connection, batch: Batch) -> Batch:
    """Note that the cold file was read again and equals the hot rows. A committed batch stays committed.

    Raises:
        Superseded: the batch is not written any more, or belongs to another attempt by now.
    """
    return _advance(
        connection,
        batch,
        "UPDATE mgg.archive_batches SET status = CASE status WHEN 'written' THEN 'verified' ELSE status END,"
        " verified_at = clock_timestamp(), read_at = clock_timestamp()"
        " WHERE id = %s AND token = %s AND status IN ('written', 'verified', 'committed') RETURNING *",
        [],
    )


def committed(connection: psycopg.Connection, batch: Batch) -> Batch:
    """Note that the hot rows of a verified batch are gone. One that was committed before keeps its time.

    Raises:
        Superseded: the batch is not verified any more, or belongs to another attempt by now.
    """
    return _advance(
        connection,
        batch,
        "UPDATE mgg.archive_batches SET status = 'committed', archived_at = coalesce(archived_at, clock_timestamp())"
        " WHERE id = %s AND token = %s AND status IN ('verified', 'committed') RETURNING *",
        [],
    )


def failed(connection: psycopg.Connection, batch: Batch, reason: str) -> Batch:
    """Note why a batch came to nothing; `reason` without the contents of rows.

    Raises:
        Superseded: the batch has ended already, or belongs to another attempt by now.
    """
    return _advance(
        connection,
        batch,
        "UPDATE mgg.archive_batches SET status = 'failed', failure = %s"
        " WHERE id = %s AND token = %s AND status IN ('planned', 'written', 'verified') RETURNING *",
        [reason],
    )


def take_over(connection: psycopg.Connection, batch: Batch, attempt: Attempt) -> Batch:
    """Make a batch belong to an attempt: one that was verified is to be verified again, by this attempt.

    Raises:
        Superseded: a newer attempt owns it, or it has changed since it was looked at.
    """
    found = _select(
        connection,
        "UPDATE mgg.archive_batches SET token = %s, status = CASE status WHEN 'verified' THEN 'written' ELSE status END"
        " WHERE id = %s AND status = %s AND coalesce(token, 0) <= %s RETURNING *",
        [attempt.token, batch.id, batch.state, attempt.token],
    )
    return _only(found, batch)


def note_read(connection: psycopg.Connection, batch: Batch, *, is_sound: bool) -> None:
    """Note that the cold file of a batch was read to its end just now; one that is not sound counts as never read."""
    connection.execute(
        "UPDATE mgg.archive_batches SET read_at = CASE WHEN %s THEN clock_timestamp() END WHERE id = %s",
        [is_sound, batch.id],
    )


def locked(connection: psycopg.Connection, batch: Batch) -> Batch:
    """Return a batch as it stands now, its row locked until the end of the transaction.

    Raises:
        Superseded: it belongs to another attempt by now.
    """
    return _only(
        _select(
            connection,
            "SELECT * FROM mgg.archive_batches WHERE id = %s AND token = %s FOR UPDATE",
            [batch.id, batch.token],
        ),
        batch,
    )


def of_period(connection: psycopg.Connection, table: Archived, period: Period) -> tuple[Batch, ...]:
    """Return every batch of a period, the first generation first."""
    return _select(
        connection,
        "SELECT * FROM mgg.archive_batches WHERE table_name = %s AND start_date = %s ORDER BY generation",
        [table.name, period.start],
    )


def of_attempt(connection: psycopg.Connection, attempt: Attempt) -> Batch | None:
    """Return the batch that an attempt works on; None: it has none, or it failed."""
    found = _select(
        connection, "SELECT * FROM mgg.archive_batches WHERE token = %s AND status <> 'failed'", [attempt.token]
    )
    return found[0] if found else None


def unfinished(connection: psycopg.Connection, table: Archived, period: Period) -> tuple[Batch, ...]:
    """Return the batches of a period with which something is left to be done, the newest first."""
    return tuple(batch for batch in reversed(of_period(connection, table, period)) if not batch.is_finished)


def parts(connection: psycopg.Connection, table: Archived) -> tuple[Batch, ...]:
    """Return the committed parts of a table, by period and generation: the only cold rows that readers see."""
    return _select(
        connection,
        "SELECT * FROM mgg.archive_batches WHERE table_name = %s AND status = 'committed'"
        " ORDER BY start_date, generation",
        [table.name],
    )


def all_parts(connection: psycopg.Connection) -> tuple[Batch, ...]:
    """Return the committed parts of every declared table in the order of planning."""
    return tuple(batch for batch in known(connection) if batch.state is State.COMMITTED)


def known(connection: psycopg.Connection) -> tuple[Batch, ...]:
    """Return every batch of a declared table in the order of planning."""
    return _select(
        connection, "SELECT * FROM mgg.archive_batches WHERE table_name = ANY(%s) ORDER BY id", [list(TABLES)]
    )


def file_keys(connection: psycopg.Connection) -> set[str]:
    """Return the keys of all files that a batch names which has not failed, of tables declared or not."""
    rows = connection.execute("SELECT parquet_file_path FROM mgg.archive_batches WHERE status <> 'failed'").fetchall()
    return {key for (key,) in rows if key is not None}


def _advance(connection: psycopg.Connection, batch: Batch, statement: LiteralString, values: list[object]) -> Batch:
    return _only(_select(connection, statement, [*values, batch.id, batch.token]), batch)


def _only(found: tuple[Batch, ...], batch: Batch) -> Batch:
    if not found:
        raise Superseded(
            f"batch {batch.name} is not {batch.state} any more, or belongs to a newer attempt than {batch.token}: "
            "this run changed nothing. Nothing needs to be done if the newer run succeeds."
        )
    return found[0]


def _select(connection: psycopg.Connection, statement: LiteralString, values: Sequence[object]) -> tuple[Batch, ...]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return tuple(_batch(row) for row in cursor.execute(statement, values))


def _batch(row: Mapping[str, Any]) -> Batch:
    return Batch(
        id=row["id"],
        name=row["batch_name"],
        table=TABLES[row["table_name"]],
        period=Period.named(row["period"]),
        generation=row["generation"],
        state=State(row["status"]),
        token=row["token"],
        rows=row["row_count"] or 0,
        digest=row["digest"] or "",
        min_key=tuple(row["min_key"] or ()),
        max_key=tuple(row["max_key"] or ()),
        file_key=row["parquet_file_path"],
        schema_version=row["schema_version"],
        sha256=row["checksum"],
        file_size=row["parquet_file_size"],
        planned_at=row["planned_at"],
        written_at=row["written_at"],
        verified_at=row["verified_at"],
        archived_at=row["archived_at"],
        read_at=row["read_at"],
        failure=row["failure"],
    )
