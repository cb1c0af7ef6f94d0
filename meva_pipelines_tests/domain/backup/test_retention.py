"""Retention: whatever happens, the minimum of proven ways back stays; what is strange lets nothing go.

The machine at the end plays seeded histories of backups, failures, corruption, garbage and clocks that jump, expires
at random moments, and looks at what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.backup import retention
from meva_pipelines.domain.backup.chains import Chain, Standing, chains
from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Refused
from meva_pipelines_tests.domain.backup.shelf_of_records import START, SYSTEM, made

LEAN = Policy(daily=0, weekly=0, monthly=0)
LEANEST = replace(LEAN, window=timedelta(microseconds=1), minimum_redundancy=1)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)
NUMBERS = st.integers(0, 5)


def sound(sequence: int, **changes: object) -> Standing:
    return replace(Standing(backup=made(sequence), is_verified=True), **changes)  # type: ignore[arg-type]


def expired(standings: list[Standing], *, now: datetime, policy: Policy = LEAN) -> list[int]:
    return [backup.sequence for backup in retention.judge(standings, now=now, policy=policy).expired]


def after(days: float) -> datetime:
    return START + timedelta(days=days)


def test_the_window_and_the_chain_before_it_stay() -> None:
    """Eleven daily fulls, seven days: the one from before the window carries the log into it."""
    assert expired([sound(day) for day in range(1, 12)], now=after(11.5)) == [1, 2, 3]


def test_a_chain_of_exactly_the_beginning_of_the_window_is_from_before_it() -> None:
    child = Standing(backup=made(2, at=after(2), parent=made(1)), is_verified=True)
    standings = [sound(1), child, Standing(backup=made(3, at=after(2)), is_verified=True), sound(4), sound(5)]
    assert expired(standings, now=after(9) - INSTANT) == []
    assert expired(standings, now=after(9)) == [1, 2]


def test_an_older_chain_stays_that_goes_on_within_the_window() -> None:
    child = Standing(backup=made(3, parent=made(1)), is_verified=True)
    assert expired([sound(1), sound(2), child, sound(4), sound(5)], now=after(9.5)) == []


def test_without_a_verified_chain_from_before_the_window_any_older_one_may_be_needed() -> None:
    unread = sound(1, is_verified=False)
    assert expired([unread, sound(9), sound(10)], now=after(10.5)) == []
    assert expired([unread, sound(2), sound(9), sound(10)], now=after(10.5)) == [1]
    assert expired([sound(1), replace(unread, backup=made(2)), sound(9), sound(10)], now=after(10.5)) == []


def test_a_young_chain_goes_where_the_policy_says_so() -> None:
    assert expired([sound(1), sound(2)], now=after(2) + HOUR, policy=LEANEST) == [1]


def test_a_chain_that_can_never_be_used_stays_for_as_long_as_somebody_may_look_into_it() -> None:
    full = made(2)
    orphan = sound(3, backup=made(3, at=after(2.4), parent=made(99)))
    hanging = sound(4, backup=made(4, at=after(2.5), parent=orphan.backup))
    child = sound(5, backup=made(5, at=after(2.5), parent=full))
    later = sound(6, backup=made(6, at=after(3)))
    standings = [sound(1), Standing(backup=full, is_corrupted=True), orphan, hanging, child, later]
    last_look = after(2.5) + LEAN.grace
    assert expired(standings, now=last_look - INSTANT) == []
    assert expired(standings, now=last_look) == [2, 3, 4, 5]


def test_what_stays_because_nothing_better_is_there_says_so() -> None:
    standings = [sound(1), sound(2, is_verified=False), sound(3, is_corrupted=True)]
    decisions = retention.judge(standings, now=after(400), policy=LEAN).decisions
    assert [decision.reasons[-1] for decision in decisions[1:]] == ["not verified yet", "no later verified chain"]


def test_the_minimum_stays_however_old_it_is() -> None:
    assert expired([sound(day) for day in range(1, 6)], now=after(400)) == [1, 2, 3]
    assert expired([sound(1)], now=after(400)) == []


def test_failed_and_corrupted_ones_never_count() -> None:
    standings = [sound(1), sound(2), sound(3, is_verified=False), sound(4, is_corrupted=True)]
    assert expired(standings, now=after(400)) == []
    assert expired([*standings, sound(5)], now=after(400)) == [1, 3, 4]


def test_the_last_proven_chain_stays() -> None:
    standings = [sound(1, is_proven=True), *(sound(day) for day in range(2, 8))]
    assert expired(standings, now=after(400)) == [2, 3, 4, 5]
    standings[1] = sound(2, is_proven=True)
    assert expired(standings, now=after(400)) == [1, 3, 4, 5]


def test_a_hold_keeps_the_whole_chain() -> None:
    full = made(1)
    child = Standing(backup=made(2, parent=full), is_verified=True, is_held=True)
    standings = [Standing(backup=full, is_verified=True), child, *(sound(day) for day in range(3, 8))]
    assert expired(standings, now=after(400)) == [3, 4, 5]


def test_sons_fathers_and_grandfathers_stay() -> None:
    """Day 90 is Monday 1 February 2027 in Korea: Sundays are days 89, 82 and 75, ends of months days 89 and 58."""
    standings = [sound(day) for day in range(1, 91)]
    decisions = retention.judge(standings, now=after(90.5), policy=Policy()).decisions
    kept = [decision.backup.sequence for decision in decisions if decision.is_kept]
    assert kept == [58, 75, 82, *range(83, 91)]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 24 * 800), unique=True, min_size=1, max_size=30),
    st.builds(partial(replace, LEANEST), daily=NUMBERS, weekly=NUMBERS, monthly=NUMBERS),
)
@example([0, 22], replace(LEANEST, daily=2)).via("Korean midnight")
@example([58 * 24, 60 * 24], replace(LEANEST, weekly=2)).via("Thursday and Saturday of a week of two years")
def test_the_newest_of_each_korean_day_iso_week_and_month_stays(hours: list[int], policy: Policy) -> None:
    moments = dict(enumerate((START + hour * HOUR for hour in sorted(hours)), start=1))
    wanted = {len(moments)}
    for number, spelling in ((policy.daily, "%Y-%m-%d"), (policy.weekly, "%G-W%V"), (policy.monthly, "%Y-%m")):
        newest = {at.astimezone(SEOUL).strftime(spelling): sequence for sequence, at in moments.items()}
        wanted |= {newest[period] for period in sorted(newest, reverse=True)[:number]}
    standings = [Standing(backup=made(number, at=at), is_verified=True) for number, at in moments.items()]
    gone = expired(standings, now=moments[len(moments)] + HOUR, policy=policy)
    assert set(moments) - set(gone) == wanted


def test_the_newest_of_a_day_is_one_that_was_verified() -> None:
    standings = [sound(1), sound(2, backup=made(2, at=after(1.1)), is_verified=False), sound(5)]
    assert expired(standings, now=after(9), policy=replace(LEANEST, daily=2)) == [2]


def test_a_chain_is_of_the_day_of_its_full_backup() -> None:
    standings = [sound(1), Standing(backup=made(2, at=after(2.1), parent=made(1)), is_verified=True)]
    standings += [sound(3, backup=made(3, at=after(2.2)))]
    assert expired(standings, now=after(9), policy=replace(LEANEST, daily=2)) == []


def test_a_chain_goes_whole_and_a_child_never_stays_alone() -> None:
    full = made(1)
    child = made(2, parent=full)
    standings = [Standing(backup=backup, is_verified=True) for backup in (full, child)]
    standings += [sound(day) for day in range(30, 33)]
    assert expired(standings, now=after(40)) == [1, 2, 30]


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        (replace(made(9), completed_at=after(500)), "in the future"),
        (replace(made(9), covers_until=after(500)), "in the future"),
        (replace(made(9), created_at=after(395), completed_at=after(394)), "before it began"),
    ],
)
def test_strange_moments_let_nothing_go(strange: object, said: str) -> None:
    standings = [*(sound(day) for day in range(1, 6)), Standing(backup=strange)]  # type: ignore[arg-type]
    verdict = retention.judge(standings, now=after(400), policy=LEAN)
    assert verdict.expired == ()
    assert said in " ".join(verdict.blocked)


@pytest.mark.parametrize("over", [timedelta(0), INSTANT])
def test_five_minutes_of_a_wrong_clock_are_forgiven_and_no_more(over: timedelta) -> None:
    late, now = timedelta(minutes=5) + over, after(400)
    usual = made(9, at=now - HOUR)
    for said, backups in (
        ("a backup is dated in the future", [made(9, at=now + late)]),
        ("a backup is dated in the future", [replace(made(9, at=now), created_at=now + late)]),
        ("the clock ran backwards between two backups", [usual, made(10, at=now - HOUR - late)]),
        ("a backup ended before it began", [replace(usual, created_at=usual.completed_at + late)]),
        ("a backup ended before it began", [replace(usual, covers_until=usual.completed_at + late)]),
    ):
        verdict = retention.judge([Standing(backup=one) for one in backups], now=now, policy=LEAN)
        assert (said in verdict.blocked) == bool(over), said


def test_moments_that_cannot_be_count_until_all_of_them_are_past() -> None:
    """Taken on day 1, finished on day 2, and yet it claims to hold day 3."""
    odd = Standing(backup=replace(made(1), completed_at=after(2), covers_until=after(3)), is_verified=True)
    for now, is_blocked in ((after(10) - INSTANT, True), (after(10), False)):
        assert bool(retention.judge([odd], now=now, policy=LEAN).blocked) == is_blocked


def test_two_backups_of_one_sequence_let_nothing_go() -> None:
    standings = [*(sound(day) for day in range(1, 6)), sound(5, backup=made(5, at=after(5.1)))]
    assert retention.judge(standings, now=after(400), policy=LEAN).blocked == ("two backups have the same sequence",)


def test_a_clock_that_ran_backwards_lets_nothing_go_until_it_is_past() -> None:
    standings = [sound(1), sound(2), Standing(backup=made(3, at=after(10)), is_verified=True), sound(4), sound(5)]
    assert retention.judge(standings, now=after(12), policy=LEAN).blocked == (
        "the clock ran backwards between two backups",
    )
    assert expired(standings, now=after(30)) == [1, 2, 3]


def test_an_unreadable_record_lets_nothing_go() -> None:
    verdict = retention.judge([sound(day) for day in range(1, 9)], now=after(400), policy=LEAN, unreadable=1)
    assert verdict.expired == ()
    assert verdict.blocked


def test_a_family_is_of_one_method_and_one_subject() -> None:
    other, log = replace(made(2), subject="another"), made(3, method=Method.WAL)
    found = retention.families([sound(1), sound(2, backup=other), sound(3, backup=log), sound(4)])
    assert {key: [one.backup.sequence for one in family] for key, family in found.items()} == {
        (Method.PHYSICAL, SYSTEM): [1, 4],
        (Method.PHYSICAL, "another"): [2],
        (Method.WAL, SYSTEM): [3],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"window": timedelta(0)},
        {"minimum_redundancy": 0},
        {"daily": -1},
        {"weekly": -1},
        {"monthly": -1},
        {"grace": -INSTANT},
    ],
)
def test_a_policy_that_could_empty_a_target_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Refused):
        Policy(**changes)  # type: ignore[arg-type]


def test_the_log_stays_as_far_back_as_a_base_needs_it() -> None:
    bases = retention.judge([sound(day) for day in range(1, 12)], now=after(11.5), policy=LEAN)
    log = [Standing(backup=made(day, method=Method.WAL, segment=day - 1)) for day in range(1, 12)]
    assert [backup.sequence for backup in retention.judge_log(log, bases).expired] == [1, 2, 3]


@pytest.mark.parametrize(
    ("log", "goes"),
    [
        (sound(9, backup=made(9, method=Method.WAL, segment=9)), True),
        (sound(9, backup=made(9, method=Method.WAL, segment=10)), False),
        (sound(11, backup=made(11, method=Method.WAL, segment=9)), False),
        (sound(9, backup=made(9, method=Method.WAL, segment=9), is_held=True), False),
        (sound(9, backup=replace(made(9, method=Method.WAL, segment=9), server=None)), False),
    ],
    ids=["ends where the base begins", "reaches into the base", "came after the base", "held", "of no server"],
)
def test_the_log_goes_that_ends_where_the_oldest_base_begins(log: Standing, *, goes: bool) -> None:
    bases = retention.judge([sound(10), sound(11)], now=after(12), policy=LEAN)
    assert bool(retention.judge_log([log], bases).expired) == goes


def test_the_log_of_another_server_stays() -> None:
    server = made(9).server
    assert server is not None
    stranger = replace(made(9, method=Method.WAL, segment=9), server=replace(server, system_id="7"))
    bases = retention.judge([sound(10), sound(11)], now=after(12), policy=LEAN)
    assert retention.judge_log([Standing(backup=stranger)], bases).expired == ()


@pytest.mark.parametrize(
    ("policy", "first"),
    [(LEAN, 53), (replace(LEAN, weekly=4), 53), (replace(LEAN, monthly=3), 53), (replace(LEAN, daily=10), 51)],
)
def test_fathers_and_grandfathers_keep_no_log(policy: Policy, first: int) -> None:
    """They are for their own moment; day 27 is the last of November in Korea, day 47 a Sunday."""
    bases = retention.judge([sound(day) for day in range(1, 61)], now=after(60.5), policy=policy)
    log = [Standing(backup=made(day, method=Method.WAL, segment=day - 1)) for day in range(1, 61)]
    assert [backup.sequence for backup in retention.judge_log(log, bases).expired] == list(range(1, first))


def test_strange_bases_let_nothing_of_the_log_go() -> None:
    bases = retention.judge([sound(10), sound(11)], now=after(12), policy=LEAN, unreadable=1)
    verdict = retention.judge_log([Standing(backup=made(1, method=Method.WAL))], bases)
    assert (verdict.expired, verdict.blocked) == ((), bases.blocked)


def test_the_window_begins_with_the_newest_full_from_before_it() -> None:
    bases = [made(day) for day in range(1, 12)]
    child = made(12, at=after(3.9), parent=bases[2])
    for now, first in ((11.5, 4), (11.0, 4), (5.0, 1), (400.0, 11)):
        found = retention.first_of_window([*bases, child], now=after(now), window=LEAN.window)
        assert found is not None
        assert found.sequence == first
    assert retention.first_of_window([], now=START, window=LEAN.window) is None


def test_the_log_stays_where_no_base_says_otherwise() -> None:
    log = [Standing(backup=made(day, method=Method.WAL)) for day in range(1, 5)]
    assert retention.judge_log(log, retention.Verdict(())).expired == ()


@dataclass
class History:
    """A target on which things happen."""

    now: datetime = START
    clock_error: timedelta = timedelta(0)
    standings: list[Standing] = field(default_factory=list)
    unreadable: int = 0
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]

    def take(self, *, is_incremental: bool) -> None:
        parents = [one.backup for one in self.standings]
        parent = parents[-1] if is_incremental and parents else None
        moment = self.now + self.clock_error
        self.standings.append(Standing(backup=made(next(self.numbers), at=moment, parent=parent)))

    def change(self, what: str, position: int) -> None:
        if self.standings:
            index = position % len(self.standings)
            self.standings[index] = CHANGES[what](self.standings[index])

    def lose(self, position: int) -> None:
        if self.standings:
            self.standings.pop(position % len(self.standings))

    def night(self, what: str) -> None:
        self.now += timedelta(days=1)
        self.take(is_incremental=False)
        if what:
            self.change(what, -1)

    def expire(self, policy: Policy) -> None:
        before = chains(self.standings)
        verdict = retention.judge(
            self.standings, now=self.now + self.clock_error, policy=policy, unreadable=self.unreadable
        )
        gone = {backup.id for backup in verdict.expired}
        self.standings = [one for one in self.standings if one.backup.id not in gone]
        self.demand(before, policy, gone)

    def demand(self, found: tuple[Chain, ...], policy: Policy, gone: set[str]) -> None:
        usable = [chain for chain in found if is_way_back(chain)]
        left = [chain.full.id for chain in chains(self.standings) if is_way_back(chain)]
        newest = [chain.full.id for chain in usable[-policy.minimum_redundancy :]]
        assert left[-policy.minimum_redundancy :] == newest, "B1: the minimum of verified chains, the newest ones"
        there = {one.backup.id for one in self.standings}
        since = self.now + self.clock_error - policy.window
        wanted = [chain for chain in usable if chain.full.covers_until <= since][-1:]
        wanted += [chain for chain in usable if chain.newest.covers_until > since]
        wanted += [chain for chain in usable if chain.is_proven][-1:]
        wanted += [chain for chain in found if chain.is_held]
        last = usable[-1].full.sequence if usable else -1
        wanted += [
            chain
            for chain in found
            if chain.full.sequence > last and chain.is_whole and not chain.members[0].is_corrupted
        ]
        assert {chain.full.id for chain in wanted} <= there, "window, proof, holds, and what nobody has judged"
        for one in self.standings:
            parent = one.backup.parent_id
            assert one.backup.extent is Extent.FULL or parent in there or parent not in gone, "B3: no orphan is made"
        is_early = any(one.backup.completed_at > self.now + self.clock_error + HOUR for one in self.standings)
        assert not gone or not (self.unreadable or is_early), "B6: garbage and the future let nothing go"


def is_way_back(chain: Chain) -> bool:
    """Spelled out again, so that the judgement is not its own witness."""
    first = chain.members[0]
    return first.backup.extent is Extent.FULL and first.is_verified and not first.is_corrupted


CHANGES: dict[str, Callable[[Standing], Standing]] = {
    "verify": lambda one: replace(one, is_verified=True),
    "prove": lambda one: replace(one, is_verified=True, is_proven=True),
    "corrupt": lambda one: replace(one, is_verified=False, is_corrupted=True),
    "hold": lambda one: replace(one, is_held=True),
    "lift": lambda one: replace(one, is_held=False),
}
NIGHT = st.tuples(st.just("night"), st.sampled_from(["verify", "verify", "prove", "corrupt", "hold", ""]))
EVENTS = st.one_of(
    NIGHT,
    NIGHT,
    NIGHT,
    st.tuples(st.just("full")),
    st.tuples(st.just("incremental")),
    st.tuples(st.sampled_from([*CHANGES, "lose"]), st.integers(0, 50)),
    st.tuples(st.just("wait"), st.floats(0, 5)),
    st.tuples(st.just("clock"), st.floats(-3, 3)),
    st.tuples(st.just("garbage"), st.integers(0, 1)),
    st.tuples(st.just("expire")),
)
POLICIES = st.builds(
    Policy,
    window=st.integers(1, 10).map(lambda days: timedelta(days=days)),
    minimum_redundancy=st.integers(1, 4),
    daily=st.integers(0, 3),
    weekly=st.integers(0, 2),
    monthly=st.integers(0, 2),
)


def play(history: History, event: tuple[object, ...], policy: Policy) -> None:
    match event:
        case ("full" | "incremental" as kind,):
            history.take(is_incremental=kind == "incremental")
        case ("night", str(what)):
            history.night(what)
        case ("lose", int(position)):
            history.lose(position)
        case (str(what), int(position)) if what in CHANGES:
            history.change(what, position)
        case ("wait", float(days)):
            history.now += timedelta(days=days)
        case ("clock", float(days)):
            history.clock_error = timedelta(days=days)
        case ("garbage", int(number)):
            history.unreadable = number
        case _:
            history.expire(policy)


@settings(max_examples=300)
@given(st.lists(EVENTS, min_size=25, max_size=60), POLICIES)
def test_no_history_leaves_fewer_than_the_minimum(events: list[tuple[object, ...]], policy: Policy) -> None:
    history = History()
    for event in events:
        play(history, event, policy)
    history.expire(policy)


@settings(max_examples=100)
@given(st.lists(st.booleans(), min_size=20, max_size=40), st.integers(1, 10))
def test_every_moment_of_the_window_can_still_be_reached(fulls: list[bool], days: int) -> None:
    """Half-daily backups, some of them fulls: the base for each moment of the window is there after every expiry."""
    policy = replace(LEAN, window=timedelta(days=days))
    history = History()
    for is_full in fulls:
        history.now += timedelta(hours=12)
        history.take(is_incremental=not is_full)
        history.standings = [replace(one, is_verified=True) for one in history.standings]
        before = sorted(one.backup.covers_until for one in history.standings)
        history.expire(policy)
        left = {one.backup.covers_until for one in history.standings}
        since = history.now - policy.window
        wanted = [moment for moment in before if moment > since] + [m for m in before if m <= since][-1:]
        assert set(wanted) <= left
