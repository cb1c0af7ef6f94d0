"""The deletion ledger as verbs: what would go is written down with its proof before, or with, what goes.

Whether something may go, and that it goes, is each subject's business.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
import psycopg
from psycopg.types.json import Jsonb

from meva_pipelines.domain.failures import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What would go of a subject: `rows` rows or files, why they may, and up to how many somebody approved."""

    subject: str
    kind: str
    plan: Mapping[str, object]
    rows: int
    proof: Mapping[str, object]
    ceiling: int
    approved_by: str
    token: int | None = None


def enter(connection: psycopg.Connection, deletion: Deletion) -> int:
    """Write down what would go and return its number in the ledger."""
    row = connection.execute(
        "INSERT INTO ops.deletion_ledger (subject, kind, plan, plan_hash, rows, proof, ceiling, approved_by, token)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        [
            deletion.subject,
            deletion.kind,
            Jsonb(deletion.plan),
            hashlib.sha256(orjson.dumps(deletion.plan, option=orjson.OPT_SORT_KEYS)).hexdigest(),
            deletion.rows,
            Jsonb(deletion.proof),
            deletion.ceiling,
            deletion.approved_by,
            deletion.token,
        ],
    ).fetchone()
    if row is None:
        raise Unavailable("the deletion ledger took no plan")
    return int(row[0])


def executed(connection: psycopg.Connection, plan_id: int, *, rows: int) -> None:
    """Note that a plan was executed just now, and how many rows or files really went."""
    connection.execute(
        "UPDATE ops.deletion_ledger SET executed_at = clock_timestamp(), executed_rows = %s WHERE id = %s",
        [rows, plan_id],
    )
