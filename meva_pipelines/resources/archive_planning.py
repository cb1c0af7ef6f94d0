"""What the archive would move, and the first step of moving it: a batch with what the database says of its hot rows.

`plan` looks at every table and never acts. The clock of the database decides, never ours.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from meva_pipelines.domain.archive import ageing
from meva_pipelines.domain.archive.ageing import Retention
from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import (
    archive_batches,
    archive_digests,
    archive_holds,
    archive_hot_rows,
    failpoints,
    ledger,
)
from meva_pipelines.resources.archive_batches import Batch, State
from meva_pipelines.resources.archive_digests import Extent
from meva_pipelines.resources.archive_hot_rows import Measure
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@dataclass(frozen=True, slots=True)
class Planned:
    """A period of a table with its hot rows; `why_not` says why it stays, None: it is due.

    What is due is counted, the rest estimated. `generations` are the committed parts that it has already.
    """

    table: Archived
    period: Period
    hot: Measure
    generations: tuple[int, ...]
    why_not: str | None

    @property
    def is_due(self) -> bool:
        """Whether the archive would move it now."""
        return self.why_not is None


def plan(connection: psycopg.Connection) -> tuple[Planned, ...]:
    """Return every period that holds hot rows, table by table, the oldest first, and whether it would move."""
    retentions = _retentions(connection)
    return tuple(_planned(connection, retentions))


def due(connection: psycopg.Connection, *, since: timedelta = timedelta()) -> tuple[tuple[Archived, Period], ...]:
    """Return the periods with hot rows that are due, and have been for `since`: a cheap look that counts no row."""
    retentions = _retentions(connection)
    return tuple(
        (table, period)
        for table, period in archive_hot_rows.periods(connection)
        if _why(ageing.why_not_archived, connection, table, period, retentions.get(table.name), since=since) is None
    )


def demand_due(connection: psycopg.Connection, table: Archived, period: Period) -> None:
    """Refuse a period that is not to be archived now.

    Raises:
        Refused: no policy, too young, or held.
    """
    _demand(ageing.why_not_archived, connection, table, period)


def demand_releasable(connection: psycopg.Connection, table: Archived, period: Period) -> None:
    """Refuse a period whose hot rows are not to leave now.

    Raises:
        Refused: as `demand_due`, or the policy keeps rows that are archived.
    """
    _demand(ageing.why_not_released, connection, table, period)


def begin(postgres: Postgres, attempt: Attempt, *, table: Archived, period: Period) -> Batch | None:
    """Return the batch that an attempt is to write, verify or release; None: no row is hot in the period.

    A new batch is planned from one snapshot. One that another attempt left unfinished is taken over when the hot rows
    are still the same, and given up otherwise; a process that still writes it can only write the same file.
    The newest committed part is taken when the hot rows are exactly its rows: they were brought back, nothing more. One
    that was found damaged since is not: what came back becomes a further part.

    Raises:
        Refused: the period is not due by the clock of the database, or held.
        Superseded: a newer attempt owns the period.
    """
    with postgres.connect(Role.ARCHIVER, work=f"plan {attempt.token}") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ledger.demand_current(connection, attempt)
        demand_due(connection, table, period)
        extent = archive_digests.hot(connection, table, period)
        batch = _settled(connection, attempt, table, period, extent)
    failpoints.reach(Point.ARCHIVE_PLANNED)
    return batch


def _settled(
    connection: psycopg.Connection, attempt: Attempt, table: Archived, period: Period, extent: Extent
) -> Batch | None:
    taken: Batch | None = None
    for old in archive_batches.unfinished(connection, table, period):
        if taken is None and _holds(old, extent):
            taken = archive_batches.take_over(connection, old, attempt)
        else:
            archive_batches.failed(connection, old, "the hot rows changed before they were released")
    if taken is not None or extent.rows == 0:
        return taken
    committed = [b for b in archive_batches.of_period(connection, table, period) if b.state is State.COMMITTED]
    if committed and committed[-1].read_at is not None and _holds(committed[-1], extent):
        return archive_batches.take_over(connection, committed[-1], attempt)
    return archive_batches.enter(connection, attempt, table=table, period=period, extent=extent)


def _holds(batch: Batch, extent: Extent) -> bool:
    return (batch.rows, batch.digest) == (extent.rows, extent.digest)


def _planned(connection: psycopg.Connection, retentions: Mapping[str, Retention]) -> Iterator[Planned]:
    parts = {table.name: archive_batches.parts(connection, table) for table in TABLES.values()}
    for table, period in archive_hot_rows.periods(connection):
        why_not = _why(ageing.why_not_archived, connection, table, period, retentions.get(table.name))
        measure = archive_hot_rows.count if why_not is None else archive_hot_rows.estimate
        yield Planned(
            table=table,
            period=period,
            hot=measure(connection, table, period),
            generations=tuple(part.generation for part in parts[table.name] if part.period == period),
            why_not=why_not,
        )


def _demand(judge: Callable[..., str | None], connection: psycopg.Connection, table: Archived, period: Period) -> None:
    why_not = _why(judge, connection, table, period, _retentions(connection).get(table.name))
    if why_not is not None:
        raise Refused(f"{table.name} {period.name} stays as it is: {why_not}")


def _why(
    judge: Callable[..., str | None],
    connection: psycopg.Connection,
    table: Archived,
    period: Period,
    retention: Retention | None,
    *,
    since: timedelta = timedelta(),
) -> str | None:
    held_until = archive_holds.held_until(connection, table, period)
    return judge(table, period, retention, now=ledger.now(connection) - since, held_until=held_until)


def _retentions(connection: psycopg.Connection) -> dict[str, Retention]:
    rows = connection.execute(
        "SELECT table_name, retention_days, archive_enabled, delete_after_archive, file_period, age_column"
        " FROM mgg.retention_policies"
    ).fetchall()
    return {name: Retention(*values) for name, *values in rows}
