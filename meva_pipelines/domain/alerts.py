"""When people are told of a sync: at once, in the daily digest, or not at all. Decisions over values, `now` included.

The rules are those of seed 001 §5.2 and §7.3. An incident is opened once, counted while it lasts and resolved by a
later success. How it is worded is in `alert_messages`; nothing here reads a ledger or sends anything.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from meva_pipelines.domain.failures import Incomplete, QuotaExhausted, Refused, Superseded, Unavailable

SEOUL = ZoneInfo("Asia/Seoul")
DEADLINE = time(7)
"""The day before must be published by then, Korean time (seed 001 §6.1)."""

DIGEST_AT = time(9)
SETTLING = timedelta(minutes=5)
"""A digest waits this long, so that an attempt that ended just before its hour is committed."""

DIGEST_REACHES_BACK = timedelta(days=7)
FAILURES_IN_A_ROW = 3
SLOW = timedelta(minutes=45)
TOO_SLOW = timedelta(hours=1)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(minutes=30)
LONGEST_WAIT_ASKED = timedelta(hours=1)


class Kind(StrEnum):
    """What is told at once; each has a page in docs/runbook."""

    CORRUPTION_DETECTED = "corruption_detected"
    DEADLINE_MISSED = "deadline_missed"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SYNC_FAILED_REPEATEDLY = "sync_failed_repeatedly"
    SYNC_TOO_SLOW = "sync_too_slow"


class Concern(StrEnum):
    """What the daily digest tells; each has a page in docs/runbook."""

    ATTEMPT_FAILED = "attempt_failed"
    ERRORS_RECOVERED = "errors_recovered"
    ROWS_QUARANTINED = "rows_quarantined"
    SYNC_SLOW = "sync_slow"


class Outcome(StrEnum):
    """How an attempt stands."""

    OPEN = "open"
    PUBLISHED = "published"
    FAILED = "failed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """An attempt as far as alerts care; `is_fetched` tells whether the source had answered completely."""

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


@dataclass(frozen=True, slots=True)
class Window:
    """What a digest covers: attempts that ended in [since, until); `day` is the Korean day it is sent on."""

    day: date
    since: datetime
    until: datetime


_FETCHING_MODES = frozenset({"full", "incremental"})
SYNC_MODES = _FETCHING_MODES | {"replay"}
"""Modes that bring rows from a source; other attempts (rollbacks, deletions) are a person's act and raise nothing."""
_NO_ANSWER = frozenset(error.__name__ for error in (Unavailable, QuotaExhausted, Incomplete, Refused))


def raised_by(ended: Sync, *, since_success: Sequence[Sync]) -> tuple[Kind, ...]:
    """Return the incidents that the end of an attempt opens or repeats.

    `since_success` holds the attempts for the same subject and source since the last published sync. That a newer
    attempt overtook this one is no failure.
    """
    if ended.mode not in SYNC_MODES or ended.error_type == Superseded.__name__ or ended.outcome is Outcome.OPEN:
        return ()
    has_failed = ended.outcome is Outcome.FAILED
    is_unanswered = has_failed and not ended.is_fetched and ended.mode in _FETCHING_MODES
    found = {
        Kind.CORRUPTION_DETECTED: ended.outcome is Outcome.REJECTED,
        Kind.SOURCE_UNAVAILABLE: is_unanswered and ended.error_type in _NO_ANSWER,
        Kind.SYNC_FAILED_REPEATEDLY: ended.outcome is not Outcome.PUBLISHED
        and failures_in_a_row(ended, since_success=since_success) >= FAILURES_IN_A_ROW,
        Kind.SYNC_TOO_SLOW: ended.finished_at is not None and ended.duration(now=ended.finished_at) > TOO_SLOW,
    }
    return tuple(kind for kind, is_true in found.items() if is_true)


def failures_in_a_row(ended: Sync, *, since_success: Iterable[Sync]) -> int:
    """Count the failures up to an attempt that failed, itself included.

    An attempt that an ended one has overtaken while still open died without a word, and counts.
    """
    before = [
        sync
        for sync in since_success
        if sync.token < ended.token
        and sync.mode in SYNC_MODES
        and sync.outcome is not Outcome.PUBLISHED
        and sync.error_type != Superseded.__name__
    ]
    return 1 + len(before)


def resolved_by(ended: Sync, incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    """Return the open incidents that the end of an attempt puts an end to."""
    if ended.outcome is not Outcome.PUBLISHED or ended.mode not in SYNC_MODES:
        return ()
    return tuple(incident for incident in incidents if _is_over(incident, ended))


def _is_over(incident: Incident, success: Sync) -> bool:
    if incident.subject != success.subject or incident.source not in {"", success.source}:
        return False
    match incident.kind:
        case Kind.DEADLINE_MISSED:
            return success.day >= incident.day
        case Kind.SOURCE_UNAVAILABLE:
            return success.mode in _FETCHING_MODES
        case Kind.SYNC_TOO_SLOW:
            return success.finished_at is not None and success.duration(now=success.finished_at) <= TOO_SLOW
        case Kind.CORRUPTION_DETECTED | Kind.SYNC_FAILED_REPEATEDLY:
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


def digest_window(*, now: datetime, last_day: date | None) -> Window | None:
    """Return what today's digest covers, or None where it is not due or `last_day`, the last digest's, is today.

    It begins where the last digest ended, so that nothing is lost when digests were held up.
    """
    local = (now - SETTLING).astimezone(SEOUL)
    day = local.date() if local.time() >= DIGEST_AT else local.date() - timedelta(days=1)
    if last_day is not None and last_day >= day:
        return None
    until = datetime.combine(day, DIGEST_AT, SEOUL)
    earliest = until - DIGEST_REACHES_BACK
    since = earliest if last_day is None else max(earliest, datetime.combine(last_day, DIGEST_AT, SEOUL))
    return Window(day, since, until)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a digest has to tell of one subject and source: a figure for each concern that has one."""

    subject: str
    source: str
    repeated_requests: int
    recovered: Mapping[str, int]
    unrecovered: Mapping[str, int]
    slow: Sequence[timedelta]
    quarantined_rows: int

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """Return the concerns that have something to tell."""
        found = {
            Concern.ATTEMPT_FAILED: bool(self.unrecovered),
            Concern.ERRORS_RECOVERED: self.repeated_requests > 0 or bool(self.recovered),
            Concern.ROWS_QUARANTINED: self.quarantined_rows > 0,
            Concern.SYNC_SLOW: bool(self.slow),
        }
        return tuple(concern for concern, is_there in found.items() if is_there)


def tally(syncs: Collection[Sync], *, last_success: Mapping[tuple[str, str], int]) -> tuple[Tally, ...]:
    """Return what a digest tells of the attempts that ended in its window; nothing where all went well.

    `last_success` is the token of the newest published attempt by subject and source. Rejected batches are no
    matter for a digest: they were told at once.
    """
    groups = sorted({(sync.subject, sync.source) for sync in syncs})
    tallies = (
        _tally(
            group,
            [sync for sync in syncs if (sync.subject, sync.source) == group and sync.mode in SYNC_MODES],
            last_success.get(group, 0),
        )
        for group in groups
    )
    return tuple(found for found in tallies if found.concerns)


def _tally(group: tuple[str, str], syncs: Collection[Sync], last_success: int) -> Tally:
    published = [sync for sync in syncs if sync.outcome is Outcome.PUBLISHED]
    failed = [sync for sync in syncs if sync.outcome is Outcome.FAILED and sync.error_type != Superseded.__name__]
    durations = [sync.duration(now=sync.finished_at) for sync in published if sync.finished_at is not None]
    return Tally(
        *group,
        repeated_requests=sum(sync.retries for sync in published),
        recovered=Counter(sync.error_type for sync in failed if sync.token < last_success),
        unrecovered=Counter(sync.error_type for sync in failed if sync.token > last_success),
        slow=[duration for duration in durations if SLOW < duration <= TOO_SLOW],
        quarantined_rows=sum(sync.quarantined_rows for sync in published),
    )


def retry_in(attempts: int, *, asked: timedelta | None) -> timedelta:
    """Return how long to wait after the n-th failed delivery: doubling, and never less than the receiver asked for."""
    wanted = min(FIRST_RETRY * (1 << min(attempts - 1, 10)), LONGEST_RETRY)
    return wanted if asked is None else max(wanted, min(asked, LONGEST_WAIT_ASKED))
