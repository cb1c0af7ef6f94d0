"""`meva.data_conflict_log`: kept in line with what is in conflict now, and read for people who decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.tensile.versions import Arrangement, Conflict, Difference, Resolution
from meva_pipelines.resources.tensile_batch import Transaction
from meva_pipelines.resources.tensile_contents import Test


@dataclass(frozen=True, slots=True)
class Dispute:
    """One row of the log as people see it."""

    conflict_id: int
    name: str
    standing_sha256: str
    standing_file: str
    standing_revised_at: datetime
    waiting_sha256: str
    waiting_file: str
    waiting_revised_at: datetime
    differences: list[dict[str, str]]
    opened_at: datetime
    status: str


_DISPUTE = sql.SQL(
    "SELECT conflict_id, name, standing_sha256, standing_file, standing_revised_at, waiting_sha256, waiting_file,"
    " waiting_revised_at, differences, opened_at, status FROM meva.data_conflict_log"
)


def open_ones(connection: psycopg.Connection) -> list[Dispute]:
    """Return the conflicts that wait for a decision, oldest first."""
    with connection.cursor(row_factory=class_row(Dispute)) as cursor:
        return cursor.execute(_DISPUTE + sql.SQL(" WHERE status = 'open' ORDER BY conflict_id")).fetchall()


def find(connection: psycopg.Connection, conflict_id: int) -> Dispute:
    """Return one conflict that waits for a decision.

    Raises:
        Refused: there is none with this number, or it is resolved.
    """
    with connection.cursor(row_factory=class_row(Dispute)) as cursor:
        found = cursor.execute(_DISPUTE + sql.SQL(" WHERE conflict_id = %s FOR UPDATE"), [conflict_id]).fetchone()
    if found is None or found.status != "open":
        numbers = ", ".join(f"{dispute.conflict_id} ({dispute.name})" for dispute in open_ones(connection)) or "none"
        raise Refused(f"conflict {conflict_id} waits for no decision. Those that do: {numbers}")
    return found


def rule(
    transaction: Transaction, dispute: Dispute, resolution: Resolution, *, by: str, second_name: str | None
) -> None:
    """Write down what a person decided; `second_name` is the test that the waiting content becomes."""
    transaction.connection.execute(
        "UPDATE meva.data_conflict_log SET status = 'resolved', resolution = %s, decided_by = %s, resolved_at = %s,"
        " resolved_token = %s, second_name = %s WHERE conflict_id = %s",
        [resolution, by, transaction.now, transaction.token, second_name, dispute.conflict_id],
    )


def keep_log(transaction: Transaction, arranged: Sequence[tuple[Test, Arrangement, int | None]]) -> None:
    """Open the conflicts of some tests that are new, and close as overtaken those that other contents settled.

    Each test comes with how its contents stand and with its number. A person's decision stays as it is.
    """
    current = []
    for test, arrangement, test_id in arranged:
        for conflict in arrangement.conflicts:
            _open(transaction, test, conflict, test_id=test_id)
            current.append(
                test.name + min(conflict.standing, conflict.waiting) + max(conflict.standing, conflict.waiting)
            )
    transaction.connection.execute(
        "UPDATE meva.data_conflict_log SET status = 'resolved', resolution = 'overtaken', resolved_at = %s,"
        " resolved_token = %s WHERE name = ANY(%s) AND status = 'open'"
        " AND name || least(standing_sha256, waiting_sha256) || greatest(standing_sha256, waiting_sha256) <> ALL(%s)",
        [transaction.now, transaction.token, [test.name for test, _, _ in arranged], current],
    )


def _open(transaction: Transaction, test: Test, conflict: Conflict, *, test_id: int | None) -> None:
    transaction.connection.execute(
        "INSERT INTO meva.data_conflict_log AS l (test_id, name, standing_sha256, standing_revised_at, standing_file,"
        " waiting_sha256, waiting_revised_at, waiting_file, waiting_original, differences, status, opened_at,"
        " opened_token) SELECT %(test)s, %(name)s, s.content_sha256, s.revised_at, s.file_name, w.content_sha256,"
        " w.revised_at, w.file_name, w.original, %(differences)s, 'open', %(now)s, %(token)s"
        " FROM (SELECT content_id, content_sha256, revised_at, file_name FROM meva.tensile_test"
        " UNION ALL SELECT content_id, content_sha256, revised_at, file_name FROM meva.tensile_test_history) AS s,"
        " meva.tensile_test_history AS w WHERE s.content_id = %(standing)s AND w.content_id = %(waiting)s"
        " ON CONFLICT (name, least(standing_sha256, waiting_sha256), greatest(standing_sha256, waiting_sha256))"
        " DO UPDATE SET status = 'open', resolution = NULL, decided_by = NULL, resolved_at = NULL,"
        " resolved_token = NULL, opened_at = excluded.opened_at, opened_token = excluded.opened_token,"
        " test_id = excluded.test_id WHERE l.resolution = 'overtaken'",
        {
            "test": test_id,
            "name": test.name,
            "differences": Jsonb(_shown(conflict.differences)),
            "now": transaction.now,
            "token": transaction.token,
            "standing": test.holdings[conflict.standing].content_id,
            "waiting": test.holdings[conflict.waiting].content_id,
        },
    )


def _shown(differences: Sequence[Difference]) -> list[dict[str, str]]:
    return [{"fact": each.fact, "standing": each.standing, "waiting": each.waiting} for each in differences]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision that a rollback takes back, or makes again; `second_name` where both sides were kept."""

    conflict_id: int
    resolution: str
    name: str
    second_name: str | None
    waiting_sha256: str


def take_back(transaction: Transaction, target: int) -> list[Ruling]:
    """Open the conflicts again that a run decided, and return what it had decided."""
    return _changed(
        transaction,
        "WITH ruled AS (SELECT conflict_id, resolution FROM meva.data_conflict_log WHERE resolved_token = %s"
        " AND resolution <> 'overtaken' FOR UPDATE) UPDATE meva.data_conflict_log AS l SET status = 'open',"
        " resolution = NULL, resolved_at = NULL, resolved_token = NULL FROM ruled"
        " WHERE l.conflict_id = ruled.conflict_id RETURNING l.conflict_id, ruled.resolution, l.name, l.second_name,"
        " l.waiting_sha256",
        [target],
    )


def make_again(transaction: Transaction, decisions: Mapping[int, str]) -> list[Ruling]:
    """Make decisions again that a rollback took back, by the number of their conflicts."""
    return _changed(
        transaction,
        "UPDATE meva.data_conflict_log AS l SET status = 'resolved', resolution = d.resolution, resolved_at = %s,"
        " resolved_token = %s FROM unnest(%s::bigint[], %s::text[]) AS d(conflict_id, resolution)"
        " WHERE l.conflict_id = d.conflict_id RETURNING l.conflict_id, l.resolution, l.name, l.second_name,"
        " l.waiting_sha256",
        [transaction.now, transaction.token, list(decisions), list(decisions.values())],
    )


def _changed(transaction: Transaction, statement: LiteralString, values: Sequence[object]) -> list[Ruling]:
    with transaction.connection.cursor(row_factory=class_row(Ruling)) as cursor:
        return cursor.execute(statement, values).fetchall()
