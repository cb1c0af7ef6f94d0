"""What people are told once a day: which attempts a digest covers and what is worth a line (seed 001 §7.3).

What is told at once is in `alerts`, the words are in `alert_messages`; nothing here reads a ledger or sends anything.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from meva_pipelines.domain.alerts import SYNC_MODES, TOO_SLOW, Outcome, Sync
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Superseded

DIGEST_AT = time(9)
SETTLING = timedelta(minutes=5)
"""A digest waits this long, so that an attempt that ended just before its hour is committed."""

DIGEST_REACHES_BACK = timedelta(days=7)
SLOW = timedelta(minutes=45)


class Concern(StrEnum):
    """What the daily digest tells; each has a page in docs/runbook."""

    ABSENCES_WITHHELD = "absences_withheld"
    ATTEMPT_FAILED = "attempt_failed"
    CONFLICTS_OPEN = "conflicts_open"
    ERRORS_RECOVERED = "errors_recovered"
    EXPECTATIONS_UNMET = "expectations_unmet"
    FILES_REFUSED = "files_refused"
    ROWS_QUARANTINED = "rows_quarantined"
    SYNC_SLOW = "sync_slow"
    TESTS_QUARANTINED = "tests_quarantined"


@dataclass(frozen=True, slots=True)
class Window:
    """What a digest covers: attempts that ended in [since, until); `day` is the Korean day it is sent on."""

    day: date
    since: datetime
    until: datetime


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
    refused_files: int
    withheld_parts: int
    incomplete_parts: int
    unmet: Mapping[str, int]

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """Return the concerns that have something to tell."""
        found = {
            Concern.ATTEMPT_FAILED: bool(self.unrecovered),
            Concern.ERRORS_RECOVERED: self.repeated_requests > 0 or bool(self.recovered),
            Concern.EXPECTATIONS_UNMET: bool(self.unmet),
            Concern.ABSENCES_WITHHELD: self.withheld_parts + self.incomplete_parts > 0,
            Concern.FILES_REFUSED: self.refused_files > 0,
            Concern.ROWS_QUARANTINED: self.quarantined_rows > 0,
            Concern.SYNC_SLOW: bool(self.slow),
        }
        return tuple(concern for concern, is_there in found.items() if is_there)


LABORATORY = "meva.tensile_test"
"""What waits there is told by `Backlog`: its quarantine holds tests and files, not rows."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for people at the laboratory: told while it waits, whether anything ran or not.

    `quarantined_tests` (and whole files) came, or were tried again in vain, within the digest's window; `waiting_tests`
    are all that wait. Old ones alone are no news: a file that nobody can mend would be told for ever.
    """

    open_conflicts: int
    quarantined_tests: int
    waiting_tests: int

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """Return the concerns that have something to tell."""
        found = {
            Concern.CONFLICTS_OPEN: self.open_conflicts > 0,
            Concern.TESTS_QUARANTINED: self.quarantined_tests > 0,
        }
        return tuple(concern for concern, is_there in found.items() if is_there)


NOTHING_WAITS = Backlog(0, 0, 0)


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
        quarantined_rows=sum(sync.quarantined_rows for sync in published if sync.subject != LABORATORY),
        refused_files=sum(sync.refused_files for sync in published),
        withheld_parts=sum(sync.withheld_parts for sync in published),
        incomplete_parts=sum(sync.incomplete_parts for sync in published),
        unmet=Counter(name for sync in published for name in sync.unmet),
    )
