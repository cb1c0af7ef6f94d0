"""When people are told of a sync at once, and when it is over. Decisions over values, `now` included.

The rules are those of seed 001 §5.2 and §7.3. An incident is opened once, counted while it lasts and resolved by a
later success. What waits for the daily digest is in `digests`, how it is worded in `alert_messages`; nothing here
reads a ledger or sends anything.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import (
    Incomplete,
    QuotaExhausted,
    Refused,
    StoreUnavailable,
    Superseded,
    Unavailable,
)

DEADLINE = time(7)
"""The day before must be published by then, Korean time (seed 001 §6.1)."""

FAILURES_IN_A_ROW = 3
TOO_SLOW = timedelta(hours=1)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(minutes=30)
LONGEST_WAIT_ASKED = timedelta(hours=1)


class Kind(StrEnum):
    """What is told at once; each has a page in docs/runbook."""

    CORRUPTION_DETECTED = "corruption_detected"
    DEADLINE_MISSED = "deadline_missed"
    SOURCE_UNAVAILABLE = "source_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    SYNC_FAILED_REPEATEDLY = "sync_failed_repeatedly"
    SYNC_TOO_SLOW = "sync_too_slow"


class Outcome(StrEnum):
    """How an attempt stands."""

    OPEN = "open"
    PUBLISHED = "published"
    FAILED = "failed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """An attempt as far as alerts care.

    `is_fetched` tells whether the source had answered completely, `has_deadline` whether the source is one that has to
    be published every day. All launches of one `run_id` are one try. `unmet` are the warnings of the judge, and of the
    parts of a full sync some may be `withheld_parts` or `incomplete_parts`.
    """

    token: int
    subject: str
    source: str
    mode: str
    day: date
    outcome: Outcome
    error_type: str = ""
    is_fetched: bool = False
    started_at: datetime
    finished_at: datetime | None = None
    retries: int = 0
    quarantined_rows: int = 0
    run_id: str = ""
    has_deadline: bool = False
    refused_files: int = 0
    withheld_parts: int = 0
    incomplete_parts: int = 0
    unmet: Sequence[str] = ()

    def duration(self, *, now: datetime) -> timedelta:
        """Return how long the attempt took, or has taken until `now`."""
        return (self.finished_at or now) - self.started_at


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that is open; an empty `source` stands for whichever source."""

    id: int
    kind: Kind
    subject: str
    source: str
    day: date
    last_token: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a subject has come: its first attempt of all, and the newest day that is published."""

    subject: str
    first_started_at: datetime
    published_day: date | None


_FETCHING_MODES = frozenset({"full", "incremental"})
SYNC_MODES = _FETCHING_MODES | {"replay"}
"""Modes that bring rows from a source; other attempts (rollbacks, deletions) are a person's act and raise nothing."""
_NO_ANSWER = frozenset(error.__name__ for error in (Unavailable, QuotaExhausted, Incomplete, Refused))


def raised_by(ended: Sync, *, since_success: Sequence[Sync]) -> tuple[Kind, ...]:
    """Return the incidents that the end of an attempt opens or repeats.

    `since_success` holds the attempts for the same subject and source since the last published sync. That a newer
    attempt overtook this one is no failure. Failures that one open incident explains already are not told twice.
    """
    if ended.mode not in SYNC_MODES or ended.error_type == Superseded.__name__ or ended.outcome is Outcome.OPEN:
        return ()
    cause = cause_of(ended)
    is_repeated = (
        ended.outcome is not Outcome.PUBLISHED
        and failures_in_a_row(ended, since_success=since_success) >= FAILURES_IN_A_ROW
    )
    is_explained = cause is not None and {cause_of(sync) for sync in _failures_before(ended, since_success)} == {cause}
    found = {
        cause: True,
        Kind.SYNC_FAILED_REPEATEDLY: is_repeated and not is_explained,
        Kind.SYNC_TOO_SLOW: ended.finished_at is not None and ended.duration(now=ended.finished_at) > TOO_SLOW,
    }
    return tuple(kind for kind, is_true in found.items() if is_true and kind is not None)


def cause_of(ended: Sync) -> Kind | None:
    """Return the incident that explains by itself why an attempt failed, or None where nothing does."""
    if ended.outcome is Outcome.REJECTED:
        return Kind.CORRUPTION_DETECTED
    if ended.outcome is not Outcome.FAILED:
        return None
    if ended.error_type == StoreUnavailable.__name__:
        return Kind.STORE_UNAVAILABLE
    is_unanswered = not ended.is_fetched and ended.mode in _FETCHING_MODES and ended.error_type in _NO_ANSWER
    return Kind.SOURCE_UNAVAILABLE if is_unanswered else None


def failures_in_a_row(ended: Sync, *, since_success: Iterable[Sync]) -> int:
    """Count the tries that failed up to an attempt that failed, its own included; launches of one run are one try.

    An attempt that an ended one has overtaken while still open died without a word, and counts.
    """
    return len({_try(sync) for sync in (*_failures_before(ended, since_success), ended)})


def _failures_before(ended: Sync, since_success: Iterable[Sync]) -> list[Sync]:
    return [
        sync
        for sync in since_success
        if sync.token < ended.token
        and sync.mode in SYNC_MODES
        and sync.outcome is not Outcome.PUBLISHED
        and sync.error_type != Superseded.__name__
    ]


def _try(sync: Sync) -> str:
    return sync.run_id or str(sync.token)


def resolved_by(
    ended: Sync, incidents: Iterable[Incident], *, rivals: Collection[str] = frozenset()
) -> tuple[Incident, ...]:
    """Return the open incidents that the end of an attempt puts an end to.

    `rivals` are the sources of which only one is asked at a time: the first success of one retires the others.
    """
    if ended.outcome is not Outcome.PUBLISHED or ended.mode not in SYNC_MODES:
        return ()
    retired = rivals if ended.source in rivals and ended.mode in _FETCHING_MODES else ()
    spoken_for = {"", ended.source, *retired}
    return tuple(
        incident
        for incident in incidents
        if incident.subject == ended.subject and incident.source in spoken_for and _is_over(incident, ended)
    )


def _is_over(incident: Incident, success: Sync) -> bool:
    match incident.kind:
        case Kind.DEADLINE_MISSED:
            return success.has_deadline and success.day >= incident.day
        case Kind.SOURCE_UNAVAILABLE:
            return success.mode in _FETCHING_MODES
        case Kind.SYNC_TOO_SLOW:
            return success.finished_at is not None and success.duration(now=success.finished_at) <= TOO_SLOW
        case Kind.CORRUPTION_DETECTED | Kind.STORE_UNAVAILABLE | Kind.SYNC_FAILED_REPEATEDLY:
            return True


def overdue_day(standing: Standing, incidents: Iterable[Incident], *, now: datetime) -> date | None:
    """Return the day that should be published by now and is not, unless an open incident tells of it already.

    A deadline from before the first attempt of all was nobody's.
    """
    local = now.astimezone(SEOUL)
    newest = local.date() if local.time() >= DEADLINE else local.date() - timedelta(days=1)
    day = newest - timedelta(days=1)
    is_told = any(
        incident.kind is Kind.DEADLINE_MISSED and incident.subject == standing.subject and incident.day >= day
        for incident in incidents
    )
    is_published = standing.published_day is not None and standing.published_day >= day
    was_nobodys = standing.first_started_at >= datetime.combine(newest, DEADLINE, SEOUL)
    return None if is_told or is_published or was_nobodys else day


def is_overlong(newest: Sync, incidents: Iterable[Incident], *, now: datetime) -> bool:
    """Whether the newest attempt for a subject and source is open for too long, and nobody was told of it yet."""
    is_told = any(
        incident.kind is Kind.SYNC_TOO_SLOW
        and (incident.subject, incident.source) == (newest.subject, newest.source)
        and (incident.last_token or 0) >= newest.token
        for incident in incidents
    )
    is_late = newest.outcome is Outcome.OPEN and newest.duration(now=now) > TOO_SLOW
    return is_late and newest.mode in SYNC_MODES and not is_told


def retry_in(attempts: int, *, asked: timedelta | None) -> timedelta:
    """Return how long to wait after the n-th failed delivery: doubling, and never less than the receiver asked for."""
    wanted = min(FIRST_RETRY * (1 << min(attempts - 1, 10)), LONGEST_RETRY)
    return wanted if asked is None else max(wanted, min(asked, LONGEST_WAIT_ASKED))
