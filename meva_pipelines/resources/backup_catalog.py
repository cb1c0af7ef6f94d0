"""The catalogue as verbs on the tables of the schema `backup`.

What lies on the targets is the truth; the catalogue mirrors it, and holds the evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from meva_pipelines.domain.backup import records
from meva_pipelines.domain.backup.chains import Standing
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent, Method, Status, Trigger, types
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources.backup_shelves import ROOT, Inventory
from meva_pipelines.resources.backup_targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A backup about to be taken."""

    id: str
    sequence: int
    method: Method
    extent: Extent
    trigger: Trigger
    subject: str
    created_at: datetime
    description: str = ""
    tags: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what the record of the finished backup takes over, by the names that it has there."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence on one copy of a backup."""

    backup_id: str
    target: str
    kind: str
    is_passed: bool
    details: Mapping[str, object]
    rto_s: float | None = None
    rpo_s: float | None = None


def highest_sequence(connection: psycopg.Connection) -> int:
    """Return the highest sequence that the catalogue knows, 0 for none."""
    row = connection.execute("SELECT coalesce(max(sequence), 0) FROM backup.catalog").fetchone()
    return int(row[0]) if row else 0


def begin(connection: psycopg.Connection, draft: Draft, *, run_id: str) -> None:
    """Enter a backup that is about to be taken; those that never said how they ended are failed now.

    Called under the lock of backups, so whoever is still in progress is dead.
    """
    connection.execute(
        "UPDATE backup.catalog SET status = 'failed', error = 'the process that took it died'"
        " WHERE status IN ('pending', 'in_progress')"
    )
    connection.execute(
        "INSERT INTO backup.catalog (backup_id, sequence, method, extent, backup_types, status, trigger, subject,"
        " created_at, description, tags, version, dagster_run_id)"
        " VALUES (%s, %s, %s, %s, %s, 'in_progress', %s, %s, %s, %s, %s, %s, %s)",
        [
            draft.id,
            draft.sequence,
            draft.method,
            draft.extent,
            list(types(draft.trigger.origin, draft.extent)),
            draft.trigger,
            draft.subject,
            draft.created_at,
            draft.description,
            list(draft.tags),
            records.FORMAT,
            run_id,
        ],
    )


def fail(connection: psycopg.Connection, backup_id: str, error: str) -> None:
    """Write down why a backup was not taken."""
    connection.execute(
        "UPDATE backup.catalog SET status = 'failed', error = %s WHERE backup_id = %s AND record IS NULL",
        [error[:2_000], backup_id],
    )


def enter(connection: psycopg.Connection, backup: Backup, *, target: str, place: str, hold: str | None = None) -> None:
    """Enter a finished backup as its record tells of it, and its copy on a target. Entering it again is harmless.

    A backup that is there again after it had been expired, as after a restore of the catalogue, is completed again.
    """
    body = {**_columns(backup), "file_path": f"{place}/backups/{backup.id}"}
    connection.execute(
        "INSERT INTO backup.catalog (backup_id, sequence, method, extent, backup_types, status, trigger, subject,"
        " created_at, completed_at, covers_until, parent_id, file_path, file_size, compressed_size, compression_ratio,"
        " checksum, checksum_md5, key_id, data_types, source_paths, description, tags, version, record)"
        " VALUES (%(backup_id)s, %(sequence)s, %(method)s, %(extent)s, %(backup_types)s, 'completed', %(trigger)s,"
        " %(subject)s, %(created_at)s, %(completed_at)s, %(covers_until)s, %(parent_id)s, %(file_path)s, %(file_size)s,"
        " %(compressed_size)s, %(compression_ratio)s, %(checksum)s, %(checksum_md5)s, %(key_id)s, %(data_types)s,"
        " %(source_paths)s, %(description)s, %(tags)s, %(version)s, %(record)s)"
        " ON CONFLICT (backup_id) DO UPDATE SET status = 'completed', completed_at = excluded.completed_at,"
        " covers_until = excluded.covers_until, parent_id = excluded.parent_id, file_path = excluded.file_path,"
        " file_size = excluded.file_size, compressed_size = excluded.compressed_size,"
        " compression_ratio = excluded.compression_ratio, checksum = excluded.checksum,"
        " checksum_md5 = excluded.checksum_md5, key_id = excluded.key_id, data_types = excluded.data_types,"
        " source_paths = excluded.source_paths, record = excluded.record, error = NULL"
        " WHERE catalog.status <> 'completed'",
        body,
    )
    connection.execute(
        "INSERT INTO backup.copies AS c (backup_id, target, status, hold_reason) VALUES (%s, %s, 'completed', %s)"
        " ON CONFLICT (backup_id, target) DO UPDATE SET seen_at = clock_timestamp(),"
        " hold_reason = excluded.hold_reason,"
        " status = CASE c.status WHEN 'corrupted' THEN 'corrupted' ELSE 'completed' END",
        [backup.id, target, hold],
    )


def mirror(connection: psycopg.Connection, target: str, place: str, found: Inventory, *, looked_at: datetime) -> None:
    """Bring the copies of one target in line with what was found there, and backups with all their copies.

    A copy that is no longer there is expired, unless it came after the target was looked at; one whose record cannot
    be read is corrupted. A backup without any copy is expired as well, one whose every copy is corrupted is corrupted.
    """
    for backup in found.backups.values():
        hold = found.holds.get(backup.id)
        enter(connection, backup, target=target, place=place, hold=hold.reason if hold else None)
    connection.execute(
        "UPDATE backup.copies SET status = 'expired', verified_at = NULL, proven_at = NULL"
        " WHERE target = %s AND NOT backup_id = ANY(%s) AND seen_at < %s",
        [target, [*found.backups, *found.unreadable], looked_at],
    )
    connection.execute(
        "UPDATE backup.copies SET status = 'corrupted', verified_at = NULL, proven_at = NULL"
        " WHERE target = %s AND backup_id = ANY(%s)",
        [target, list(found.unreadable)],
    )
    connection.execute(
        "UPDATE backup.catalog AS c SET status = s.status FROM (SELECT backup_id, CASE"
        " WHEN bool_or(status = 'completed') THEN 'completed' WHEN bool_or(status = 'corrupted') THEN 'corrupted'"
        " ELSE 'expired' END AS status FROM backup.copies GROUP BY backup_id) AS s"
        " WHERE c.backup_id = s.backup_id AND c.record IS NOT NULL AND c.status <> s.status"
    )


def demand_mounted(connection: psycopg.Connection, target: Target) -> None:
    """Refuse a target whose folder is gone although copies are known to lie there: its disk is not mounted.

    Raises:
        Unavailable: says so. Whoever has emptied a target on purpose makes its folder `backups` again.
    """
    if not target.is_absent(ROOT):
        return
    row = connection.execute(
        "SELECT count(*) FROM backup.copies WHERE target = %s AND status <> 'expired'", [target.name]
    ).fetchone()
    if row is not None and row[0]:
        raise Unavailable(
            f"target {target.name} has no folder `{ROOT}`, and {row[0]} copies should lie there: is its disk mounted?"
        )


def prove(connection: psycopg.Connection, proof: Proof) -> None:
    """Write evidence down and let the copy show it.

    Reading decides whether a copy is sound: a corrupted one that reads well again counts again. A restore that came
    back other than it was takes the proof of an earlier one back; one that never came about says nothing.
    """
    connection.execute(
        "INSERT INTO backup.proofs (backup_id, target, kind, is_passed, rto_s, rpo_s, details, proved_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp())",
        [
            proof.backup_id,
            proof.target,
            proof.kind,
            proof.is_passed,
            proof.rto_s,
            proof.rpo_s,
            Jsonb(dict(proof.details)),
        ],
    )
    copy = {"is_passed": proof.is_passed, "backup_id": proof.backup_id, "target": proof.target}
    if proof.kind == "verification":
        connection.execute(
            "UPDATE backup.copies SET status = CASE WHEN %(is_passed)s THEN 'completed' ELSE 'corrupted' END,"
            " verified_at = CASE WHEN %(is_passed)s THEN clock_timestamp() END,"
            " proven_at = CASE WHEN %(is_passed)s THEN proven_at END"
            " WHERE backup_id = %(backup_id)s AND target = %(target)s AND status <> 'expired'",
            copy,
        )
    elif proof.rto_s is not None:
        connection.execute(
            "UPDATE backup.copies SET proven_at = CASE WHEN %(is_passed)s THEN clock_timestamp() END"
            " WHERE backup_id = %(backup_id)s AND target = %(target)s AND status = 'completed'",
            copy,
        )


def standings(connection: psycopg.Connection, target: str, found: Inventory) -> list[Standing]:
    """Return what is known of every backup that was found on a target."""
    rows = connection.execute(
        "SELECT backup_id, verified_at IS NOT NULL, proven_at IS NOT NULL, status = 'corrupted' FROM backup.copies"
        " WHERE target = %s",
        [target],
    ).fetchall()
    known = {backup_id: flags for backup_id, *flags in rows}
    return [
        Standing(
            backup=backup,
            is_verified=bool(known.get(backup.id, (False,))[0]),
            is_proven=bool(known.get(backup.id, (False, False))[1]),
            is_corrupted=bool(known.get(backup.id, (False, False, False))[2]),
            is_held=backup.id in found.holds,
        )
        for backup in found.backups.values()
    ]


def corrupted(connection: psycopg.Connection, target: str) -> set[str]:
    """Return the backups whose copy on a target is known to be corrupted."""
    rows = connection.execute(
        "SELECT backup_id FROM backup.copies WHERE target = %s AND status = 'corrupted'", [target]
    ).fetchall()
    return {backup_id for (backup_id,) in rows}


def unverified_since(connection: psycopg.Connection, target: str) -> dict[str, datetime | None]:
    """Return when each copy on a target that is there was last read to its end."""
    rows = connection.execute(
        "SELECT backup_id, verified_at FROM backup.copies WHERE target = %s AND status <> 'expired'", [target]
    )
    return dict(rows.fetchall())


def dead(connection: psycopg.Connection, names: Sequence[str]) -> list[str]:
    """Return which of these folders without a record nobody needs: backups that failed, and those planned to expire.

    A folder that lost its record in another way stays for whoever looks into it.
    """
    rows = connection.execute(
        "SELECT backup_id FROM backup.catalog AS c WHERE backup_id = ANY(%s) AND (status = 'failed' OR EXISTS"
        " (SELECT FROM ops.deletion_ledger AS l WHERE l.subject = 'backup.catalog' AND l.kind = 'expiry'"
        " AND l.plan -> 'backups' @> jsonb_build_array(jsonb_build_object('id', c.backup_id))))",
        [list(names)],
    )
    return [name for (name,) in rows]


def _columns(backup: Backup) -> dict[str, Any]:
    return {
        "backup_id": backup.id,
        "sequence": backup.sequence,
        "method": backup.method.value,
        "extent": backup.extent.value,
        "backup_types": list(backup.types),
        "trigger": backup.trigger.value,
        "subject": backup.subject,
        "created_at": backup.created_at,
        "completed_at": backup.completed_at,
        "covers_until": backup.covers_until,
        "parent_id": backup.parent_id,
        "file_size": backup.file_size,
        "compressed_size": backup.compressed_size,
        "compression_ratio": backup.compression_ratio,
        "checksum": backup.digest,
        "checksum_md5": backup.md5,
        "key_id": backup.key_id,
        "data_types": list(backup.data_types),
        "source_paths": list(backup.source_paths),
        "description": backup.description,
        "tags": list(backup.tags),
        "version": records.FORMAT,
        "record": Jsonb(orjson.loads(records.written(backup))["record"]),
    }


def statuses(connection: psycopg.Connection) -> dict[Status, int]:
    """Return how many backups stand in each status."""
    rows = connection.execute("SELECT status, count(*) FROM backup.catalog GROUP BY status").fetchall()
    return {Status(status): count for status, count in rows}
