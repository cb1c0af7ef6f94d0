"""Publication of tensile tests: what runs inside the publishing transaction, once a staged batch may be published.

Whether it may is decided in `publishing`; what moves where, in `tensile_moves`. A content that is known already is
accounted for and written no second time.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from meva_pipelines.resources import landing_ledger, ledger, tensile_contents, tensile_machines, tensile_moves
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.tensile_batch import Batch, Transaction
from meva_pipelines.resources.tensile_contents import Decision
from meva_pipelines.resources.tensile_intake import FILES


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed, in tests and points."""

    new_tests: int
    new_versions: int
    older_versions: int
    conflicts: int
    set_aside: int
    unchanged_tests: int
    refused_tests: int
    points: int
    live_tests: int

    def figures(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def publish(connection: psycopg.Connection, batch: Batch, store: ObjectStore, *, now: datetime) -> Published:
    """Make a staged batch visible. Runs inside `publishing.publication`, which commits it.

    Raises:
        Unavailable: staged points are gone or are not those that were judged.
        Rejected: a post-condition does not hold; the transaction must be rolled back.
    """
    transaction = Transaction(connection, batch.attempt.token, now, batch, store)
    _enter_names(connection, batch)
    tests, decisions = tensile_contents.joined(connection, batch)
    points = tensile_moves.move(transaction, tests.values())
    _release(connection, batch, now)
    _finish_files(connection, batch)
    counts = Counter(decisions.values())
    return Published(
        new_tests=counts[Decision.NEW],
        new_versions=counts[Decision.VERSION],
        older_versions=counts[Decision.OLDER],
        conflicts=counts[Decision.CONFLICT],
        set_aside=counts[Decision.SET_ASIDE],
        unchanged_tests=counts[Decision.UNCHANGED],
        refused_tests=_count(connection, sql.SQL("SELECT count(*) FROM {}").format(batch.refused)),
        points=points,
        live_tests=_count(connection, sql.SQL("SELECT count(*) FROM meva.tensile_test")),
    )


def record(connection: psycopg.Connection, batch: Batch, published: Published) -> None:
    """Write the figures of a publication to its attempt in the same transaction; rows are tests."""
    taken = published.older_versions + published.conflicts + published.set_aside
    ledger.record(
        connection,
        batch.attempt.token,
        received_rows=published.new_tests
        + published.new_versions
        + taken
        + published.unchanged_tests
        + published.refused_tests,
        inserted_rows=published.new_tests,
        updated_rows=published.new_versions + taken,
        unchanged_rows=published.unchanged_tests,
        quarantined_rows=published.refused_tests,
        live_rows=published.live_tests,
        details=published.figures(),
    )


def _enter_names(connection: psycopg.Connection, batch: Batch) -> None:
    names = {
        column: [
            name
            for (name,) in connection.execute(
                sql.SQL("SELECT DISTINCT {0} FROM {1} WHERE {0} IS NOT NULL").format(
                    sql.Identifier(column), batch.tests
                )
            )
        ]
        for column in ("material", "machine")
    }
    tensile_machines.enter(connection, materials=names["material"], machines=names["machine"])


def _release(connection: psycopg.Connection, batch: Batch, now: datetime) -> None:
    """Release what waits in quarantine for a test, or for an upload, that is published now."""
    connection.execute(
        sql.SQL(
            "UPDATE meva.quarantine AS q SET released_at = %s FROM {tests} AS t WHERE q.released_at IS NULL"
            " AND q.last_token < %s AND (q.specimen = t.name OR (q.specimen = '' AND q.file_name = t.file_name))"
        ).format(tests=batch.tests),
        [now, batch.attempt.token],
    )


def _finish_files(connection: psycopg.Connection, batch: Batch) -> None:
    manifests = connection.execute(
        sql.SQL(
            "SELECT manifest FROM {files} AS f WHERE EXISTS (SELECT FROM {tests} AS t WHERE t.upload = f.upload)"
        ).format(files=batch.files, tests=batch.tests)
    ).fetchall()
    landing_ledger.finish(
        connection, [key for (key,) in manifests], files=FILES, outcome="published", token=batch.attempt.token
    )


def _count(connection: psycopg.Connection, query: sql.SQL | sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])
