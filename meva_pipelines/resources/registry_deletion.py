"""Tombstones of the registry: devices long absent are marked deleted, through the deletion ledger, never removed.

A plan counts and names what would go and why; approval is a ceiling; execution plans again and stops above it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import deletions, failpoints, ledger, reference, registry_absences, registry_publishing
from meva_pipelines.resources.deletions import Deletion
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.registry_staging import Batch

_SAMPLE = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be tombstoned: devices under suspicion per sido, each with the newest full sync that proves it."""

    source: str
    rows: int
    oldest_suspicion: date | None
    newest_suspicion: date | None
    per_sido: Mapping[str, int]
    sample_keys: tuple[str, ...]
    proofs: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as it is written to the ledger: keys are samples, nothing personal is in it."""
        return {
            "source": self.source,
            "rows": self.rows,
            "oldest_suspicion": self.oldest_suspicion and self.oldest_suspicion.isoformat(),
            "newest_suspicion": self.newest_suspicion and self.newest_suspicion.isoformat(),
            "per_sido": dict(self.per_sido),
            "sample_keys": list(self.sample_keys),
        }


def plan(connection: psycopg.Connection, *, subject: str, source: str) -> Plan:
    """Return what would be tombstoned now: every device of the source whose deletion is suspected."""
    per_sido: dict[str, int] = dict(
        connection.execute(
            "SELECT coalesce(sido_code, '-'), count(*) FROM aed.aed_data"
            " WHERE source = %s AND data_status = 'deletion_suspected' GROUP BY 1 ORDER BY 1",
            [source],
        ).fetchall()
    )
    bounds = connection.execute(
        "SELECT min(deletion_suspected_date), max(deletion_suspected_date) FROM aed.aed_data"
        " WHERE source = %s AND data_status = 'deletion_suspected'",
        [source],
    ).fetchone()
    sample = connection.execute(
        "SELECT source_id FROM aed.aed_data WHERE source = %s AND data_status = 'deletion_suspected'"
        " ORDER BY deletion_suspected_date, source_id LIMIT %s",
        [source, _SAMPLE],
    ).fetchall()
    known = registry_absences.proofs(
        connection,
        subject=subject,
        source=source,
        sido_groups=reference.regions().sido_groups(ledger.today(connection)),
    )
    oldest, newest = bounds or (None, None)
    return Plan(
        source=source,
        rows=sum(per_sido.values()),
        oldest_suspicion=oldest,
        newest_suspicion=newest,
        per_sido=per_sido,
        sample_keys=tuple(key for (key,) in sample),
        proofs={sido: known[sido].token for sido in per_sido if sido in known},
    )


def execute(connection: psycopg.Connection, attempt: Attempt, *, ceiling: int, approved_by: str, now: datetime) -> Plan:
    """Tombstone what the plan, made again in this transaction, names. Runs inside `publishing.locked`.

    Raises:
        Rejected: more rows than `ceiling`, or a sido in which no complete full sync proves the absence.
    """
    found = plan(connection, subject=attempt.subject, source=attempt.source)
    if found.rows > ceiling:
        raise Rejected(
            f"{found.rows:,} devices would be tombstoned and {ceiling:,} are approved: nothing was changed. "
            "Look at the plan, then approve a higher ceiling."
        )
    if unproved := sorted(found.per_sido.keys() - found.proofs.keys()):
        raise Rejected(
            f"no full sync that came completely stands behind the absences in {', '.join(unproved)}:"
            " nothing was changed"
        )
    changed = registry_publishing.tombstone(connection, Batch(attempt), now)
    plan_id = deletions.enter(
        connection,
        Deletion(
            subject=attempt.subject,
            kind="tombstone",
            plan=found.as_json(),
            rows=found.rows,
            proof={"complete_full_syncs": dict(found.proofs)},
            ceiling=ceiling,
            approved_by=approved_by,
            token=attempt.token,
        ),
    )
    deletions.executed(connection, plan_id, rows=changed)
    failpoints.reach(Point.DELETION_AFTER_TOMBSTONE)
    return found
