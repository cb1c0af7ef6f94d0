"""Which backups may go: a decision, never a deletion. Nothing here opens a file or asks the time.

A chain stays when the recovery window needs it, when it is one of the newest verified ones, when it is the last one
that a restore has proven, when it is the son, father or grandfather of its day, week or month, or when a person holds
it. Failed, corrupted and unverified backups never count, and nothing goes because of them. Where anything about a
family is strange (a moment in the future, clocks that ran backwards, two backups of one sequence, records that
cannot be read), nothing of it goes at all, and the verdict says why.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import attrgetter

from meva_pipelines.domain.backup import wal
from meva_pipelines.domain.backup.chains import Chain, Standing, chains
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.domain.days import korean_day
from meva_pipelines.domain.failures import Refused

CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long backups are kept. The defaults are the seven days of seed 000, with a floor of two verified chains.

    `daily`, `weekly` and `monthly` are the numbers of sons, fathers and grandfathers (Korean days, ISO weeks,
    calendar months); `grace` is how long a chain that can never be used stays for whoever looks into it.
    """

    window: timedelta = timedelta(days=7)
    minimum_redundancy: int = 2
    daily: int = 7
    weekly: int = 4
    monthly: int = 3
    grace: timedelta = timedelta(days=2)

    def __post_init__(self) -> None:
        """Refuse a policy that could empty a target.

        Raises:
            Refused: a window or a floor of nothing, or a negative number.
        """
        if self.window <= timedelta(0) or self.minimum_redundancy < 1:
            raise Refused("a retention policy keeps at least one chain and a window longer than nothing")
        if min(self.daily, self.weekly, self.monthly) < 0 or self.grace < timedelta(0):
            raise Refused("the numbers of a retention policy are not negative")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a backup, and why: every reason to keep it, or the one for which it may go."""

    backup: Backup
    is_kept: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decisions on one family, oldest backup first; `blocked` says why nothing may go at all."""

    decisions: tuple[Decision, ...]
    blocked: tuple[str, ...] = ()

    @property
    def expired(self) -> tuple[Backup, ...]:
        """What may go."""
        return tuple(decision.backup for decision in self.decisions if not decision.is_kept)


def judge(standings: Collection[Standing], *, now: datetime, policy: Policy, unreadable: int = 0) -> Verdict:
    """Decide on one family of backups: those of one method and subject on one target.

    `unreadable` is the number of records on the target that could not be read: any of them might be the one that
    the others need.
    """
    found = chains(standings)
    backups = [standing.backup for standing in standings]
    blocked = tuple(_oddities(backups, now=now, since=now - policy.window, unreadable=unreadable))
    if blocked:
        kept = [Decision(member.backup, is_kept=True, reasons=blocked) for chain in found for member in chain.members]
        return Verdict(_ordered(kept), blocked)
    reasons: dict[str, list[str]] = {chain.full.id: [] for chain in found}
    for chain, reason in _wanted(found, now=now, policy=policy):
        reasons[chain.full.id].append(reason)
    usable = [chain for chain in found if chain.is_usable]
    decided = (_decided(chain, reasons[chain.full.id], usable, now, policy) for chain in found)
    return Verdict(_ordered(decision for decisions in decided for decision in decisions))


def judge_log(log: Collection[Standing], bases: Verdict) -> Verdict:
    """Decide on the log: it stays as far back as the oldest base that is kept for more than its own moment.

    `bases` is the verdict on the physical backups of the same server. Without a base that stays nothing of the log
    goes: what it would carry on from may be on its way.
    """
    anchors = [decision.backup for decision in bases.decisions if decision.is_kept and not _only_own_moment(decision)]
    if bases.blocked or not anchors:
        reasons = bases.blocked or ("no base stays that says what can go",)
        kept = (Decision(standing.backup, is_kept=True, reasons=reasons) for standing in log)
        return Verdict(_ordered(kept), bases.blocked)
    oldest = min(anchors, key=lambda backup: backup.sequence)
    return Verdict(_ordered(_decided_log(standing, oldest) for standing in log))


def families(standings: Iterable[Standing]) -> dict[tuple[Method, str], list[Standing]]:
    """Return the backups by method and subject."""
    found: dict[tuple[Method, str], list[Standing]] = {}
    for standing in standings:
        found.setdefault((standing.backup.method, standing.backup.subject), []).append(standing)
    return found


def first_of_window(bases: Collection[Backup], *, now: datetime, window: timedelta) -> Backup | None:
    """Return the base that the recovery window begins with: the newest full one from before it, else the oldest.

    What is older is kept for its own moment only, and its log is gone.
    """
    full = [backup for backup in bases if backup.extent is Extent.FULL]
    before = [backup for backup in full if backup.covers_until <= now - window]
    by_sequence = attrgetter("sequence")
    return max(before, key=by_sequence) if before else min(full, key=by_sequence, default=None)


_SON, _FATHER, _GRANDFATHER = "newest of its day", "newest of its week", "newest of its month"


def _wanted(found: Sequence[Chain], *, now: datetime, policy: Policy) -> Iterator[tuple[Chain, str]]:
    """Yield each chain with each reason for which it has to stay."""
    usable = [chain for chain in found if chain.is_usable]
    for chain in usable[-policy.minimum_redundancy :]:
        yield chain, "one of the newest verified chains"
    if proven := [chain for chain in usable if chain.is_proven]:
        yield proven[-1], "the last chain that a restore has proven"
    yield from ((chain, "held") for chain in found if chain.is_held)
    yield from _window(found, usable, since=now - policy.window)
    yield from ((chain, "not verified yet") for chain in _unjudged(found, usable))
    for reason, number, period in (
        (_SON, policy.daily, korean_day),
        (_FATHER, policy.weekly, _week),
        (_GRANDFATHER, policy.monthly, _month),
    ):
        newest = {period(chain.full.covers_until): chain for chain in usable}
        yield from ((chain, reason) for chain in list(newest.values())[-number:] if number)


def _window(found: Sequence[Chain], usable: Sequence[Chain], *, since: datetime) -> Iterator[tuple[Chain, str]]:
    """Yield what the recovery window needs: everything in it, and the newest usable chain from before it."""
    before = [chain for chain in usable if chain.full.covers_until <= since]
    first = before[-1].full.sequence if before else None
    for chain in found:
        is_in_window = first is None or chain.full.sequence >= first or chain.newest.covers_until > since
        if is_in_window and not _is_lost(chain):
            yield chain, "needed for the recovery window"


def _unjudged(found: Sequence[Chain], usable: Sequence[Chain]) -> Iterator[Chain]:
    """Yield chains that nobody has verified or found corrupt, unless a later one is usable."""
    newest = usable[-1].full.sequence if usable else -1
    for chain in found:
        if not chain.is_usable and not _is_lost(chain) and chain.full.sequence > newest:
            yield chain


def _is_lost(chain: Chain) -> bool:
    """Whether a chain can never be used: its full backup is gone or corrupted."""
    return not chain.is_whole or chain.members[0].is_corrupted


def _decided(
    chain: Chain, reasons: Sequence[str], usable: Sequence[Chain], now: datetime, policy: Policy
) -> Iterator[Decision]:
    is_young = now - chain.newest.completed_at < policy.grace
    has_successor = any(other.full.sequence > chain.full.sequence for other in usable)
    kept = list(reasons)
    if _is_lost(chain) and is_young:
        kept.append("unusable, kept for inspection")
    if not has_successor and not kept:
        kept.append("no later verified chain")
    why = "unusable and a later chain is verified" if _is_lost(chain) else "outside the recovery window"
    for member in chain.members:
        yield Decision(member.backup, bool(kept), tuple(kept) or (why,))


def _decided_log(standing: Standing, oldest: Backup) -> Decision:
    backup = standing.backup
    if standing.is_held:
        return Decision(backup, is_kept=True, reasons=("held",))
    is_before = backup.sequence < oldest.sequence and _ends_before(backup, oldest)
    if is_before:
        return Decision(backup, is_kept=False, reasons=(f"ends before the oldest base that needs it, {oldest.id}",))
    return Decision(backup, is_kept=True, reasons=(f"carries on from {oldest.id} or a later base",))


def _ends_before(log: Backup, base: Backup) -> bool:
    if log.server is None or base.server is None or log.server.system_id != base.server.system_id:
        return False
    return wal.position(log.server.end_lsn) <= wal.position(base.server.start_lsn)


def _only_own_moment(decision: Decision) -> bool:
    """Whether a base is kept as father or grandfather only: it is restored to its own end, which needs no log."""
    return set(decision.reasons) <= {_FATHER, _GRANDFATHER}


def _oddities(backups: Sequence[Backup], *, now: datetime, since: datetime, unreadable: int) -> Iterator[str]:
    """Yield what makes the records of a family untrustworthy.

    Clocks that ran backwards matter as long as one of the two moments lies in the window; afterwards both are past
    it, whichever was right.
    """
    if unreadable:
        yield f"{unreadable} records cannot be read"
    ordered = sorted(backups, key=lambda backup: backup.sequence)
    if any(max(b.created_at, b.completed_at, b.covers_until) > now + CLOCK_TOLERANCE for b in ordered):
        yield "a backup is dated in the future"
    pairs = [(former, later) for former, later in pairwise(ordered) if former.created_at > since]
    if any(later.created_at + CLOCK_TOLERANCE < former.created_at for former, later in pairs):
        yield "the clock ran backwards between two backups"
    recent = [backup for backup in ordered if max(backup.created_at, backup.covers_until) > since]
    if any(max(b.created_at, b.covers_until) > b.completed_at + CLOCK_TOLERANCE for b in recent):
        yield "a backup ended before it began"
    if len({backup.sequence for backup in ordered}) < len(ordered):
        yield "two backups have the same sequence"


def _ordered(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    return tuple(sorted(decisions, key=lambda decision: decision.backup.sequence))


def _week(moment: datetime) -> tuple[int, int]:
    year, week, _ = korean_day(moment).isocalendar()
    return year, week


def _month(moment: datetime) -> tuple[int, int]:
    day = korean_day(moment)
    return day.year, day.month
