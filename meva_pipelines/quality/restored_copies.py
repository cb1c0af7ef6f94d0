"""What must hold in any sound copy of the warehouse, as queries that count breaches. Where it runs is not said here.

A restore drill asks them of the copy; whatever they find was broken in the backup or by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence that must hold, and the query that counts what breaks it."""

    sentence: str
    query: LiteralString


INVARIANTS: Mapping[str, Invariant] = {
    "schema_has_one_revision": Invariant(
        "the schema is at exactly one revision",
        "SELECT abs(count(*) - 1) FROM ops.alembic_version",
    ),
    "constraints_are_valid": Invariant(
        "every constraint was validated",
        "SELECT count(*) FROM pg_catalog.pg_constraint WHERE NOT convalidated",
    ),
    "indexes_are_valid": Invariant(
        "every index is valid and ready",
        "SELECT count(*) FROM pg_catalog.pg_index WHERE NOT (indisvalid AND indisready)",
    ),
    "books_balance": Invariant(
        "received = published + unchanged + quarantined, for every published sync of the registry",
        "SELECT count(*) FROM ops.sync_runs WHERE subject = 'aed.aed_data' AND status = 'published'"
        " AND mode IN ('full', 'incremental') AND received_rows <> inserted_rows + updated_rows + renamed_rows"
        " - coalesce((details->>'reappeared_rows')::bigint, 0) + unchanged_rows + quarantined_rows",
    ),
    "publications_were_judged": Invariant(
        "nothing of the registry was published without a passed verdict",
        "SELECT count(*) FROM ops.sync_runs AS run WHERE subject = 'aed.aed_data' AND status = 'published'"
        " AND mode IN ('full', 'incremental')"
        " AND NOT EXISTS (SELECT FROM ops.audit_verdicts AS v WHERE v.token = run.token AND v.is_passed)",
    ),
    "attempts_have_ended_once": Invariant(
        "no attempt is both ended and open",
        "SELECT count(*) FROM ops.sync_runs WHERE status IN ('published', 'rejected') AND finished_at IS NULL",
    ),
    "messages_have_incidents": Invariant(
        "every message but a digest tells of an incident",
        "SELECT count(*) FROM ops.outbox AS o WHERE kind <> 'digest'"
        " AND NOT EXISTS (SELECT FROM ops.incidents AS i WHERE i.id = o.incident_id)",
    ),
    "increments_have_parents": Invariant(
        "no backup that is there has lost its parent",
        "SELECT count(*) FROM backup.catalog AS c WHERE status = 'completed' AND parent_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM backup.catalog AS p WHERE p.backup_id = c.parent_id AND p.status = 'completed')",
    ),
}


def breaches(connection: psycopg.Connection) -> dict[str, int]:
    """Return how many breaches each invariant has; all zero in a sound copy.

    -1 is for one that cannot be asked: the copy is from before its tables were there.
    """
    found: dict[str, int] = {}
    for name, invariant in INVARIANTS.items():
        try:
            row = connection.execute(invariant.query).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            row = None
        found[name] = int(row[0]) if row else -1
    return found
