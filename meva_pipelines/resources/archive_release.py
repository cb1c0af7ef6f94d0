"""Hot rows leave: in the transaction that records it, against a verified cold copy, and only if they did not change.

Under a lock against writers the rows are digested once more. Readers of hot and cold share a lock that this waits for,
so that no row is seen in neither place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from meva_pipelines.domain.archive.declared import Archived, Release
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Refused, Rejected, Superseded, Unavailable
from meva_pipelines.resources import (
    archive_batches,
    archive_digests,
    archive_hot_rows,
    archive_planning,
    deletions,
    failpoints,
    ledger,
    publishing,
)
from meva_pipelines.resources.archive_batches import Batch, State
from meva_pipelines.resources.deletions import Deletion
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.postgres import Postgres, acting_as
from meva_pipelines.schema.roles import Role

_DROP_LOCK_TIMEOUT = "5s"
"""How long dropping a partition may wait for readers outside our own: meanwhile everybody else waits behind it."""


@dataclass(frozen=True, slots=True)
class Released:
    """What left: the committed batch, its rows, the bytes that PostgreSQL gave back, the line in the ledger."""

    batch: Batch
    rows: int
    freed_bytes: int
    ledger_id: int


class _HotRowsChanged(Rejected):
    """The hot rows are not those of the cold copy any more."""


def release(
    postgres: Postgres,
    attempt: Attempt,
    batch: Batch,
    *,
    suites: tuple[str, ...],
    ceiling: int,
    approved_by: str,
) -> Released:
    """Take the hot rows of a verified batch out of the database and commit the batch, in one transaction.

    `suites` must have passed for the digest of the batch under the token of the attempt. A batch whose hot rows have
    changed fails, so that the next run plans the next generation; one that was committed before stays so.

    Raises:
        Refused: more rows than `ceiling`, the period is not due by the clock of the database, held, or kept by its
            policy; or the batch is not verified.
        Rejected: a verdict is missing or failed, or the hot rows changed since the plan.
        Unavailable: another session uses the table for longer than a release waits; the message names it.
        Superseded, Unavailable: as `publishing.locked`.
    """
    if batch.rows > ceiling:
        raise Refused(
            f"{batch.rows:,} rows of {batch.name} would leave and {ceiling:,} are approved: nothing was changed. "
            "Look at the plan, then approve a higher ceiling."
        )
    if batch.token != attempt.token:
        raise Superseded(
            f"batch {batch.name} belongs to attempt {batch.token}, not to {attempt.token}: nothing changed"
        )
    try:
        with publishing.publication(
            postgres, attempt, digest=lambda connection: _digest(connection, batch), suites=suites
        ) as connection:
            with _patient(postgres, connection, batch), acting_as(connection, Role.ARCHIVER, then=Role.WRITER):
                released = _leave(connection, batch, ceiling=ceiling, approved_by=approved_by, suites=suites)
            ledger.record(
                connection,
                attempt.token,
                received_rows=released.rows,
                details={"batch": batch.name, "freed_bytes": released.freed_bytes},
            )
    except _HotRowsChanged as error:
        if batch.state is not State.COMMITTED:
            with postgres.connect(Role.ARCHIVER, work=f"give up {attempt.token}") as connection:
                archive_batches.failed(connection, batch, "the hot rows changed before they were released")
        raise Rejected(str(error)) from error
    return released


@contextmanager
def _patient(postgres: Postgres, connection: psycopg.Connection, batch: Batch) -> Iterator[None]:
    """Say who uses the table when the body has waited for its lock in vain."""
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        with postgres.connect(Role.ARCHIVER, work=f"look around {batch.name}") as watch:
            users = archive_hot_rows.users(watch, batch.table)
        users.pop(connection.info.backend_pid, None)
        named = " and ".join(f"process {pid} ({application or 'unnamed'})" for pid, application in users.items())
        raise Unavailable(
            f"{batch.name} was not released and changed nothing: {batch.table.schema}.{batch.table.name} is used by "
            f"{named or 'a session that is not seen any more'}. When its transaction has ended, by itself or by "
            "pg_terminate_backend, run this again: it goes on with the cold copy that is proved."
        ) from None


def _leave(
    connection: psycopg.Connection, batch: Batch, *, ceiling: int, approved_by: str, suites: tuple[str, ...]
) -> Released:
    proved = archive_batches.locked(connection, batch)
    if proved.state not in {State.VERIFIED, State.COMMITTED}:
        raise Refused(f"batch {batch.name} is {proved.state}, not verified: nothing was changed")
    table, period = proved.table, proved.period
    _lock(connection, table, period)
    failpoints.reach(Point.ARCHIVE_RELEASE_LOCKED)
    _demand_unchanged(connection, proved)
    # whoever reads hot and cold rows shares this lock: from here on nobody does
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"archive.{table.name}.readers"])
    archive_planning.demand_releasable(connection, table, period)
    size = archive_hot_rows.size(connection, table, period, rows=proved.rows)
    _remove(connection, proved)
    failpoints.reach(Point.ARCHIVE_ROWS_GONE)
    connection.execute(
        "UPDATE mgg.retention_policies SET last_cleanup_at = clock_timestamp() WHERE table_name = %s", [table.name]
    )
    return Released(
        batch=archive_batches.committed(connection, proved),
        rows=proved.rows,
        freed_bytes=size if table.release is Release.PARTITION else 0,
        ledger_id=_enter(connection, proved, size=size, ceiling=ceiling, approved_by=approved_by, suites=suites),
    )


def _lock(connection: psycopg.Connection, table: Archived, period: Period) -> None:
    """Keep writers out until the end of the transaction; readers go on."""
    match table.release:
        case Release.PARTITION:
            connection.execute("SELECT mgg.lock_partition(%s, %s)", [table.name, period.start])
        case Release.KEY:
            connection.execute(
                sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(archive_hot_rows.named(table))
            )


def _demand_unchanged(connection: psycopg.Connection, batch: Batch) -> None:
    found = archive_digests.hot(connection, batch.table, batch.period)
    if (found.rows, found.digest) != (batch.rows, batch.digest):
        raise _HotRowsChanged(
            f"the hot rows of {batch.name} changed since they were planned ({batch.rows:,} rows then, {found.rows:,} "
            "now, or other contents): nothing was deleted. The next run plans them anew."
        )


def _remove(connection: psycopg.Connection, batch: Batch) -> None:
    table, period = batch.table, batch.period
    match table.release:
        case Release.PARTITION:
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_DROP_LOCK_TIMEOUT)))
            connection.execute("SELECT mgg.drop_partition(%s, %s)", [table.name, period.start])
        case Release.KEY:
            removed = connection.execute(
                sql.SQL("DELETE FROM {} WHERE {}").format(archive_hot_rows.named(table), archive_digests.within(table)),
                archive_digests.bounds(table, period),
            ).rowcount
            if removed != batch.rows:
                raise _HotRowsChanged(f"{removed:,} rows of {batch.name} would have gone instead of {batch.rows:,}")


def _enter(
    connection: psycopg.Connection,
    batch: Batch,
    *,
    size: int,
    ceiling: int,
    approved_by: str,
    suites: tuple[str, ...],
) -> int:
    plan = {
        "table": batch.table.name,
        "period": batch.period.name,
        "generation": batch.generation,
        "rows": batch.rows,
        "hot_bytes": size,
        "first_key": list(batch.min_key),
        "last_key": list(batch.max_key),
    }
    proof = {
        "batch": batch.name,
        "file": batch.file_key,
        "sha256": batch.sha256,
        "digest": batch.digest,
        "verdict_token": batch.token,
        "suites": list(suites),
    }
    plan_id = deletions.enter(
        connection,
        Deletion(
            subject=f"{batch.table.schema}.{batch.table.name}",
            kind="archive",
            plan=plan,
            rows=batch.rows,
            proof=proof,
            ceiling=ceiling,
            approved_by=approved_by,
            token=batch.token,
        ),
    )
    deletions.executed(connection, plan_id, rows=batch.rows)
    return plan_id


def _digest(connection: psycopg.Connection, batch: Batch) -> str:
    with acting_as(connection, Role.ARCHIVER, then=Role.WRITER):
        return archive_batches.locked(connection, batch).digest
