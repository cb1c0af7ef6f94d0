"""Rehydration: cold rows come back into PostgreSQL, exactly as they were, and are held there for a while.

The cold parts stay where they are. Rows that are hot already are not touched, so that a repetition brings nothing
twice; what came back is proved by the server's own digest before anybody sees it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter

import psycopg
import pyarrow as pa
from psycopg import sql

from meva_pipelines.domain.archive.declared import Archived, Release
from meva_pipelines.domain.archive.filters import Both, Condition, Filter, Operator
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.queries import Query
from meva_pipelines.domain.failures import Refused, Rejected, Unavailable
from meva_pipelines.resources import (
    archive_batches,
    archive_digests,
    archive_holds,
    archive_schemas,
    copied_batches,
    failpoints,
    hot_and_cold,
    ledger,
    publishing,
)
from meva_pipelines.resources.archive_batches import Batch
from meva_pipelines.resources.archive_digests import Extent, Folded
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.postgres import Postgres, acting_as
from meva_pipelines.schema.roles import Role


@dataclass(frozen=True, slots=True)
class Returned:
    """Rows of a period that come, or came, back into the hot table."""

    period: Period
    rows: int


@dataclass(frozen=True, slots=True)
class Wish:
    """Which rows shall come back, how long they are held, and who wants it for which reason."""

    table: Archived
    filter: Filter
    hold_days: int
    held_by: str
    reason: str


def whole(table: Archived, period: Period) -> Filter:
    """Return the filter that chooses a whole period."""
    bounds = archive_digests.bounds(table, period)
    ends = ((Operator.GTE, bounds["start"]), (Operator.LT, bounds["end"]))
    return Both(tuple(Condition(table.age_column, operator, moment) for operator, moment in ends))


def plan(postgres: Postgres, files: ColdFiles, table: Archived, asked: Filter) -> tuple[Returned, ...]:
    """Return what a filter would bring back, period by period; nothing is changed.

    Raises:
        Refused, Rejected, Unavailable: as `hot_and_cold.cold_only`.
    """
    with hot_and_cold.cold_only(postgres, files, Query(table, asked, columns=table.key)) as found:
        counted = [Returned(period, sum(rows.num_rows for rows in batches)) for period, batches in _by_period(found)]
    return tuple(one for one in counted if one.rows)


def restore(
    postgres: Postgres, files: ColdFiles, attempt: Attempt, wish: Wish, *, ceiling: int
) -> tuple[Returned, ...]:
    """Bring cold rows back in one transaction and hold their periods.

    Raises:
        Refused: more rows than `ceiling`, or the hold would not last; nothing was changed.
        Rejected: a cold file is damaged, or the rows that came are not those that left.
        Superseded, Unavailable: as `publishing.locked`.
    """
    try:
        with publishing.locked(postgres, attempt) as connection:
            with (
                acting_as(connection, Role.ARCHIVER, then=Role.WRITER),
                hot_and_cold.cold_only(postgres, files, Query(wish.table, wish.filter)) as found,
            ):
                returned = tuple(_brought(connection, files, wish, found, ceiling))
                failpoints.reach(Point.ARCHIVE_ROWS_RETURNED)
                _hold(connection, wish, returned)
                failpoints.reach(Point.ARCHIVE_RETURN_HELD)
            rows = {one.period.name: one.rows for one in returned}
            ledger.record(connection, attempt.token, received_rows=sum(rows.values()), details={"returned": rows})
    except psycopg.errors.UniqueViolation:
        raise Unavailable(
            f"a row of {wish.table.name} became hot while it was brought back: nothing was changed. Run it again."
        ) from None
    return returned


def _by_period(
    found: Iterator[tuple[Period, pa.RecordBatch]],
) -> Iterator[tuple[Period, Iterator[pa.RecordBatch]]]:
    for period, rows in groupby(found, key=itemgetter(0)):
        yield period, (batch for _, batch in rows)


def _brought(
    connection: psycopg.Connection,
    files: ColdFiles,
    wish: Wish,
    found: Iterator[tuple[Period, pa.RecordBatch]],
    ceiling: int,
) -> Iterator[Returned]:
    table, total = wish.table, 0
    for period, batches in _by_period(found):
        parts = [part for part in archive_batches.parts(connection, table) if part.period == period]
        _demand_bytes(files, parts)
        before = archive_digests.hot(connection, table, period)
        if table.release is Release.PARTITION:
            connection.execute("SELECT mgg.ensure_partition(%s, %s)", [table.name, period.start])
        came = _copied(connection, table, batches, ceiling - total)
        _demand_proof(archive_digests.hot(connection, table, period), before=before, came=came, parts=parts)
        total += came.rows
        yield Returned(period, came.rows)


def _demand_bytes(files: ColdFiles, parts: Iterable[Batch]) -> None:
    for part in parts:
        if files.store.sha256(part.file_key) != part.sha256:
            raise Rejected(
                f"cold file {part.file_key} is not the file that was written: nothing was changed. The runbook "
                "archive_corrupted says how to go on."
            )


def _copied(
    connection: psycopg.Connection, table: Archived, batches: Iterable[pa.RecordBatch], most_rows: int
) -> Extent:
    """Copy rows with every value that they had, numbers that the table gives by itself among them."""
    folded = Folded(table)
    with connection.cursor() as cursor:
        for batch in batches:
            folded.add(batch)
            if folded.extent().rows > most_rows:
                raise Refused(
                    f"more rows of {table.name} would come back than are approved: nothing was changed. Look at the "
                    "plan, then approve a higher ceiling or ask for fewer rows."
                )
            columns = sql.SQL(", ").join(map(sql.Identifier, batch.schema.names))
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT CSV)").format(
                sql.Identifier(table.schema, table.name), columns
            )
            with cursor.copy(statement) as copy:
                copy.write(copied_batches.encoded(batch))
    return folded.extent()


def _demand_proof(after: Extent, *, before: Extent, came: Extent, parts: Sequence[Batch]) -> None:
    """Refuse to go on unless the server finds exactly the rows of before and those that came.

    Of a period that came back whole from its only part, the digest is that with which it left, unless the table has
    other columns by now.
    """
    part = parts[0]
    if (after.rows, int(after.digest)) != (before.rows + came.rows, int(before.digest) + int(came.digest)):
        raise Rejected(f"the rows of {part.name} came back otherwise than they lie in their file: nothing was changed")
    has_its_columns = part.schema_version == archive_schemas.current(part.table).version
    if len(parts) == 1 and has_its_columns and came.rows == part.rows and came.digest != part.digest:
        raise Rejected(f"{part.name} came back with another digest than it left with: nothing was changed")


def _hold(connection: psycopg.Connection, wish: Wish, returned: Iterable[Returned]) -> None:
    until = ledger.now(connection) + timedelta(days=wish.hold_days)
    for one in returned:
        archive_holds.place(
            connection,
            table=wish.table,
            period=one.period,
            reason=wish.reason,
            held_by=wish.held_by,
            until=until,
            restored_rows=one.rows,
        )
