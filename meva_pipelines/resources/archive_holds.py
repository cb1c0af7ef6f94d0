"""Holds: periods whose hot rows stay although a policy would let them go, placed by people and by rehydration."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import dict_row

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Refused


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold over [start, end) of a table, over by itself at `until`; `restored_rows` were brought back under it."""

    id: int
    table: Archived
    start: datetime
    end: datetime
    reason: str
    held_by: str
    restored_rows: int
    created_at: datetime
    until: datetime
    lifted_at: datetime | None


def place(
    connection: psycopg.Connection,
    *,
    table: Archived,
    period: Period,
    reason: str,
    held_by: str,
    until: datetime,
    restored_rows: int = 0,
) -> Hold:
    """Hold a period until a moment. Waits for a release of the table that is under way.

    Raises:
        Refused: the moment has passed by the clock of the database, or no reason is given.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [table.subject])
    try:
        with connection.transaction():
            found = _select(
                connection,
                "INSERT INTO mgg.archive_holds (table_name, start_date, end_date, reason, held_by, restored_rows,"
                " created_at, until) VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp(), %s) RETURNING *",
                [table.name, period.start, period.end, reason.strip(), held_by, restored_rows, until],
            )
    except psycopg.errors.CheckViolation:
        raise Refused(
            f"{table.name} {period.name} was not held: a hold needs a reason and must end in the future, not at "
            f"{until:%Y-%m-%d %H:%M}"
        ) from None
    return found[0]


def lift(connection: psycopg.Connection, hold_id: int) -> Hold:
    """End a hold before its time.

    Raises:
        Refused: there is no such hold, or it is over already.
    """
    found = _select(
        connection,
        "UPDATE mgg.archive_holds SET lifted_at = clock_timestamp()"
        " WHERE id = %s AND lifted_at IS NULL AND until > clock_timestamp() RETURNING *",
        [hold_id],
    )
    if not found:
        raise Refused(f"hold {hold_id} cannot be lifted: there is none, or it is over already")
    return found[0]


def active(connection: psycopg.Connection) -> tuple[Hold, ...]:
    """Return the holds that hold now, by table and period."""
    return _select(
        connection,
        "SELECT * FROM mgg.archive_holds WHERE table_name = ANY(%s) AND lifted_at IS NULL AND until > clock_timestamp()"
        " ORDER BY table_name, start_date, id",
        [list(TABLES)],
    )


def held_until(connection: psycopg.Connection, table: Archived, period: Period) -> datetime | None:
    """Return when the last hold over any moment of a period ends; None: it is not held."""
    row = connection.execute(
        "SELECT max(until) FROM mgg.archive_holds WHERE table_name = %s AND start_date < %s AND end_date > %s"
        " AND lifted_at IS NULL AND until > clock_timestamp()",
        [table.name, period.end, period.start],
    ).fetchone()
    return None if row is None else row[0]


def _select(connection: psycopg.Connection, statement: LiteralString, values: Sequence[object]) -> tuple[Hold, ...]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return tuple(
            Hold(
                id=row["id"],
                table=TABLES[row["table_name"]],
                start=row["start_date"],
                end=row["end_date"],
                reason=row["reason"],
                held_by=row["held_by"],
                restored_rows=row["restored_rows"],
                created_at=row["created_at"],
                until=row["until"],
                lifted_at=row["lifted_at"],
            )
            for row in cursor.execute(statement, values)
        )
