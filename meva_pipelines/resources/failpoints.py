"""Named points at the boundaries of every protocol, where a test can make the process die, fail or wait.

In production a point costs one look at an unset environment variable. `MEVA_FAILPOINTS` holds
`name:action[@n]` items separated by commas; the action happens at the n-th visit since then (default the first):

    kill      SIGKILL to the own process, as a power cut would     exit      leave at once, without clean-up
    raise     raise `Injected`                                     sleep     wait two seconds

`MEVA_FAILPOINTS_TRACE` names a file to which every visited point is appended, so that a suite can prove that
it reached them all.
"""

import os
import signal
import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Final


class Point(StrEnum):
    """Every failpoint of the project."""

    FETCH_STARTED = "aed.fetch.started"
    FETCH_PAGE_STORED = "aed.fetch.page_stored"
    FETCH_BEFORE_MANIFEST = "aed.fetch.before_manifest"
    FETCH_AFTER_MANIFEST = "aed.fetch.after_manifest"
    FETCH_ENTERED = "aed.fetch.entered"
    EXPORT_CLEARED = "aed.export.cleared"
    OBJECT_BEFORE_RENAME = "store.object.before_rename"
    OBJECT_BEFORE_LINK = "store.object.before_link"
    STAGE_CREATED = "aed.stage.created"
    STAGE_PAGE_COPIED = "aed.stage.page_copied"
    STAGE_BEFORE_TRIAGE = "aed.stage.before_triage"
    STAGE_BEFORE_QUARANTINE_COMMIT = "aed.stage.before_quarantine_commit"
    STAGE_AFTER_TRIAGE = "aed.stage.after_triage"
    AUDIT_BEFORE_VERDICT = "aed.audit.before_verdict"
    AUDIT_AFTER_VERDICT = "aed.audit.after_verdict"
    PUBLISH_LOCKED = "publish.locked"
    PUBLISH_AFTER_HISTORY = "aed.publish.after_history"
    PUBLISH_AFTER_UPSERT = "aed.publish.after_upsert"
    PUBLISH_BEFORE_COMMIT = "publish.before_commit"
    PUBLISH_AFTER_COMMIT = "publish.after_commit"
    CLEAN_BEFORE_DROP = "aed.clean.before_drop"
    ROLLBACK_AFTER_RESTORE = "aed.rollback.after_restore"
    DELETION_AFTER_TOMBSTONE = "aed.deletion.after_tombstone"
    TENSILE_STORED = "tensile.intake.stored"
    TENSILE_ENTERED = "tensile.intake.entered"
    TENSILE_CLEARED = "tensile.intake.cleared"
    TENSILE_OBJECT_WRITTEN = "tensile.stage.object_written"
    TENSILE_PROFILE_COPIED = "tensile.stage.profile_copied"
    TENSILE_QUARANTINED = "tensile.stage.quarantined"
    TENSILE_AFTER_HISTORY = "tensile.publish.after_history"
    TENSILE_AFTER_COPY = "tensile.publish.after_copy"
    TENSILE_AFTER_RESOLVE = "tensile.resolve.after_ruling"
    TENSILE_AFTER_WITHDRAW = "tensile.rollback.after_withdraw"
    TENSILE_REGISTERS_WRITTEN = "tensile.registers.written"
    RESULTS_WRITTEN = "tensile.results.written"
    COMPARISONS_WRITTEN = "tensile.comparisons.written"
    ALERTS_BEFORE_SEND = "alerts.before_send"
    ALERTS_AFTER_SEND = "alerts.after_send"
    SIMULATION_FILE_STORED = "mgg.intake.file_stored"
    SIMULATION_SEALED = "mgg.intake.sealed"
    SIMULATION_ENTERED = "mgg.intake.entered"
    SIMULATION_CLEARED = "mgg.intake.cleared"
    SIMULATION_CURVE_STAGED = "mgg.stage.curve_staged"
    SIMULATION_STAGED = "mgg.stage.rows_staged"
    SIMULATION_BEFORE_VERDICT = "mgg.audit.before_verdict"
    SIMULATION_AFTER_VERDICT = "mgg.audit.after_verdict"
    SIMULATION_RESULTS_WRITTEN = "mgg.publish.results_written"
    SIMULATION_SERIES_COPIED = "mgg.publish.series_copied"
    SIMULATION_COMPARED = "mgg.compare.staged"
    SIMULATION_SCORED = "mgg.scorecard.written"
    TAKEOVER_ROWS_WRITTEN = "mgg.takeover.rows_written"
    TAKEOVER_CHUNK_COMMITTED = "mgg.takeover.chunk_committed"
    TAKEOVER_BEFORE_PROOF = "mgg.takeover.before_proof"
    ARCHIVE_PARTIAL_WRITTEN = "archive.partial_written"
    ARCHIVE_OBJECT_WRITTEN = "archive.object_written"
    ARCHIVE_MANIFEST_WRITTEN = "archive.manifest_written"
    ARCHIVE_REREAD = "archive.reread"
    BACKUP_PART_STORED = "backup.part_stored"
    BACKUP_BEFORE_RECORD = "backup.before_record"
    BACKUP_AFTER_RECORD = "backup.after_record"
    BACKUP_WAL_RECEIVED = "backup.wal_received"
    BACKUP_COPYING = "backup.copying"
    BACKUP_VERIFYING = "backup.verifying"
    BACKUP_REMOVING = "backup.removing"
    BACKUP_EXPIRY_PLANNED = "backup.expiry_planned"
    BACKUP_RESTORE_EXTRACTED = "backup.restore_extracted"
    BACKUP_RESTORE_BEFORE_SWAP = "backup.restore_before_swap"
    ARCHIVE_PLANNED = "archive.planned"
    ARCHIVE_RELEASE_LOCKED = "archive.release_locked"
    ARCHIVE_ROWS_GONE = "archive.rows_gone"
    ARCHIVE_COLLECTION_PLANNED = "archive.collection_planned"
    ARCHIVE_ROWS_RETURNED = "archive.rows_returned"
    ARCHIVE_RETURN_HELD = "archive.return_held"
    BACKUP_RESTORE_SWAPPED = "backup.restore_swapped"


class Injected(RuntimeError):
    """Raised at a failpoint on request of a test."""


_SLEEP_S: Final = 2.0
_visits: Counter[tuple[str, Point]] = Counter()
"""How often a point was reached under a request."""


def reach(point: Point) -> None:
    """Pass a failpoint: nothing happens unless the environment asks for it."""
    if trace := os.environ.get("MEVA_FAILPOINTS_TRACE"):
        with Path(trace).open("a", encoding="utf-8") as file:
            file.write(f"{point.value}\n")
    if requested := os.environ.get("MEVA_FAILPOINTS"):
        _act(point, requested)


def _act(point: Point, requested: str) -> None:
    _visits[requested, point] += 1
    visit = _visits[requested, point]
    for item in requested.split(","):
        name, _, rest = item.partition(":")
        action, _, nth = rest.partition("@")
        if name == point.value and visit == int(nth or 1):
            _perform(action, point)


def _perform(action: str, point: Point) -> None:
    match action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(70)
        case "sleep":
            time.sleep(_SLEEP_S)
        case "raise":
            raise Injected(f"injected at {point.value}")
        case _:
            raise ValueError(f"MEVA_FAILPOINTS: unknown action {action!r} at {point.value}")
