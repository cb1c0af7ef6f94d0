"""When people are told of backups and of the archive, and in which words. Sending is `resources/alerts`.

An alarm opens an incident once, and its end says that it is over. Messages carry ids, names of targets, counts and
days: never an address, a path of a person's file or the text of an error.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from meva_pipelines.domain.alert_messages import Message, Severity

PROOF_LASTS = timedelta(hours=36)
"""A restore that was proven longer ago proves nothing of last night's backup."""


class Alarm(StrEnum):
    """What is told; each has a page in docs/runbook."""

    BACKUP_FAILED = "backup_failed"
    BACKUP_CORRUPTED = "backup_corrupted"
    BACKUP_TARGET_SILENT = "backup_target_silent"
    BACKUP_UNPROVEN = "backup_unproven"
    BACKUP_EXPIRY_BLOCKED = "backup_expiry_blocked"
    ARCHIVE_CORRUPTED = "archive_corrupted"
    ARCHIVE_OVERDUE = "archive_overdue"


_SENTENCES: Mapping[Alarm, str] = {
    Alarm.BACKUP_FAILED: "no backup was taken",
    Alarm.BACKUP_CORRUPTED: "a backup cannot be read any more",
    Alarm.BACKUP_TARGET_SILENT: "a backup target does not answer",
    Alarm.BACKUP_UNPROVEN: "a restore was not proven",
    Alarm.BACKUP_EXPIRY_BLOCKED: "no backup may expire",
    Alarm.ARCHIVE_CORRUPTED: "a cold file cannot be read any more",
    Alarm.ARCHIVE_OVERDUE: "rows that should be cold are still hot",
}


def opened(alarm: Alarm, subject: str, said: str) -> Message:
    """Return the message that opens an incident; `said` is one sentence of ids, names and counts."""
    return Message(Severity.CRITICAL, f"{subject}: {_SENTENCES[alarm]}", f"{said}\nWhat to do: {page(alarm)}")


def resolved(alarm: Alarm, subject: str) -> Message:
    """Return the message that ends an incident."""
    return Message(Severity.INFO, f"{subject}: {_SENTENCES[alarm]} – resolved", f"Over.\nPage: {page(alarm)}")


def page(alarm: Alarm) -> str:
    """Return the path of the page that says what to do."""
    return f"docs/runbook/{alarm}.md"


def is_stale(proven_at: datetime | None, *, now: datetime) -> bool:
    """Whether the last successful restore is too long ago, or there never was one."""
    return proven_at is None or now - proven_at > PROOF_LASTS
