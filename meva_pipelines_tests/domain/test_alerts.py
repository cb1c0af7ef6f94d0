"""When people are told, and in which words: every rule at its border, and what a message may never hold."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain import alert_messages, alerts, digests
from meva_pipelines.domain.alert_messages import Message, Severity
from meva_pipelines.domain.alerts import Incident, Kind, Outcome, Standing, Sync
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.digests import LABORATORY, Backlog, Concern

DAY = date(2026, 11, 18)
STARTED = datetime(2026, 11, 19, 4, 0, tzinfo=SEOUL)


def a_sync(token: int = 9, *, minutes: float = 5, **changes: Any) -> Sync:
    outcome = changes.get("outcome", Outcome.PUBLISHED)
    facts: dict[str, Any] = {
        "subject": "aed.aed_data",
        "source": "data_go_kr",
        "mode": "incremental",
        "day": DAY,
        "outcome": outcome,
        "has_deadline": True,
        "is_fetched": outcome is not Outcome.FAILED,
        "error_type": "" if outcome in {Outcome.PUBLISHED, Outcome.OPEN} else "Unavailable",
        "started_at": STARTED,
        "finished_at": None if outcome is Outcome.OPEN else STARTED + timedelta(minutes=minutes),
    }
    return Sync(token=token, **(facts | changes))


def an_incident(kind: Kind, **changes: Any) -> Incident:
    facts: dict[str, Any] = {"id": 1, "subject": "aed.aed_data", "source": "data_go_kr", "day": DAY, "last_token": 8}
    return Incident(kind=kind, **(facts | changes))


def kst(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of November 2026 in Korea, as a database gives it."""
    return datetime(2026, 11, day, hour, minute, tzinfo=SEOUL).astimezone(UTC)


def raised(ended: Sync, *before: Sync) -> set[Kind]:
    return set(alerts.raised_by(ended, since_success=[*before, ended]))


def test_a_good_sync_raises_nothing() -> None:
    assert raised(a_sync()) == set()


def test_a_rejected_batch_is_corruption() -> None:
    assert raised(a_sync(outcome=Outcome.REJECTED, error_type="Rejected")) == {Kind.CORRUPTION_DETECTED}


@pytest.mark.parametrize("error", ["Unavailable", "QuotaExhausted", "Incomplete", "Refused"])
def test_a_source_that_does_not_answer_is_told_at_once(error: str) -> None:
    assert raised(a_sync(outcome=Outcome.FAILED, error_type=error)) == {Kind.SOURCE_UNAVAILABLE}


@pytest.mark.parametrize(
    "other",
    [{"error_type": "LockNotAvailable"}, {"is_fetched": True}, {"mode": "replay"}],
    ids=["our own error", "after the fetch", "replay"],
)
def test_a_failure_that_is_not_the_sources_does_not_blame_it(other: Mapping[str, Any]) -> None:
    assert raised(a_sync(outcome=Outcome.FAILED, **other)) == set()


def test_the_third_failure_in_a_row_is_told() -> None:
    failures = [a_sync(token, outcome=Outcome.FAILED, error_type="KeyError") for token in (1, 2, 3, 4)]
    assert [raised(failures[count], *failures[:count]) for count in range(4)] == [
        set(),
        set(),
        {Kind.SYNC_FAILED_REPEATEDLY},
        {Kind.SYNC_FAILED_REPEATEDLY},
    ]


def test_failures_count_whatever_their_kind_and_a_silent_death_counts_too() -> None:
    before = [a_sync(1, outcome=Outcome.REJECTED), a_sync(2, outcome=Outcome.OPEN)]
    assert Kind.SYNC_FAILED_REPEATEDLY in raised(a_sync(3, outcome=Outcome.FAILED), *before)


@pytest.mark.parametrize(
    "failure",
    [
        {"error_type": "Unavailable"},
        {"error_type": "StoreUnavailable"},
        {"outcome": Outcome.REJECTED, "error_type": "Rejected"},
    ],
    ids=["source", "store", "corruption"],
)
def test_failures_of_one_cause_are_one_incident(failure: Mapping[str, Any]) -> None:
    """It was told at the first of them and counts the others; a second incident would say the same again."""
    before = [a_sync(token, **{"outcome": Outcome.FAILED, **failure}) for token in (1, 2, 3)]
    (kind,) = raised(a_sync(4, **{"outcome": Outcome.FAILED, **failure}), *before)
    assert kind is alerts.cause_of(before[0])


def test_failures_of_several_causes_are_told_as_such_besides() -> None:
    before = [a_sync(1, outcome=Outcome.REJECTED), a_sync(2, outcome=Outcome.FAILED)]
    assert raised(a_sync(3, outcome=Outcome.FAILED), *before) == {
        Kind.SOURCE_UNAVAILABLE,
        Kind.SYNC_FAILED_REPEATEDLY,
    }


def test_the_launches_of_one_run_are_one_try() -> None:
    launches = [a_sync(n, outcome=Outcome.FAILED, error_type="KeyError", run_id="a") for n in (1, 2, 3, 4)]
    assert raised(launches[-1], *launches[:-1]) == set()
    others = [a_sync(n, outcome=Outcome.FAILED, error_type="KeyError", run_id=f"run {n}") for n in (5, 6)]
    assert raised(others[-1], *launches, others[0]) == {Kind.SYNC_FAILED_REPEATEDLY}


def test_a_store_of_our_own_that_fails_is_not_the_sources_fault() -> None:
    assert raised(a_sync(outcome=Outcome.FAILED, error_type="StoreUnavailable")) == {Kind.STORE_UNAVAILABLE}


def test_being_overtaken_is_no_failure() -> None:
    overtaken = [a_sync(token, outcome=Outcome.FAILED, error_type="Superseded") for token in (1, 2)]
    assert raised(overtaken[1], overtaken[0]) == set()
    assert Kind.SYNC_FAILED_REPEATEDLY not in raised(a_sync(3, outcome=Outcome.FAILED), *overtaken)


def test_a_newer_open_attempt_is_no_failure_of_an_older_one() -> None:
    newer = [a_sync(token, outcome=Outcome.OPEN) for token in (10, 11)]
    assert Kind.SYNC_FAILED_REPEATEDLY not in raised(a_sync(9, outcome=Outcome.FAILED), *newer)


@pytest.mark.parametrize("mode", ["rollback", "deletion"])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_a_person_does_by_hand_raises_and_resolves_nothing(mode: str, outcome: Outcome) -> None:
    act = a_sync(mode=mode, outcome=outcome, minutes=90)
    assert raised(act) == set()
    assert alerts.resolved_by(act, [an_incident(kind) for kind in Kind]) == ()


@pytest.mark.parametrize(("minutes", "is_told"), [(60, False), (60.1, True)])
@pytest.mark.parametrize("outcome", [Outcome.PUBLISHED, Outcome.FAILED, Outcome.REJECTED])
def test_more_than_an_hour_is_told(minutes: float, outcome: Outcome, *, is_told: bool) -> None:
    assert (Kind.SYNC_TOO_SLOW in raised(a_sync(minutes=minutes, outcome=outcome))) is is_told


def resolved(success: Sync, **changes: Any) -> set[Kind]:
    incidents = [an_incident(kind, **changes) for kind in Kind]
    return {incident.kind for incident in alerts.resolved_by(success, incidents)}


def test_a_quick_success_of_that_day_resolves_everything() -> None:
    assert resolved(a_sync()) == set(Kind)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REJECTED, Outcome.OPEN])
def test_only_a_success_resolves(outcome: Outcome) -> None:
    assert resolved(a_sync(outcome=outcome)) == set()


def test_a_slow_success_does_not_resolve_slowness() -> None:
    assert resolved(a_sync(minutes=61)) == set(Kind) - {Kind.SYNC_TOO_SLOW}


def test_a_replay_says_nothing_about_the_source() -> None:
    assert resolved(a_sync(mode="replay")) == set(Kind) - {Kind.SOURCE_UNAVAILABLE}


def test_a_backfill_of_an_older_day_does_not_meet_the_deadline() -> None:
    assert resolved(a_sync(day=DAY - timedelta(days=1))) == set(Kind) - {Kind.DEADLINE_MISSED}


def test_a_success_speaks_for_its_own_source_and_for_incidents_of_whichever_source() -> None:
    assert resolved(a_sync(source="egen")) == set()
    assert resolved(a_sync(source="egen"), source="") == set(Kind)
    assert resolved(a_sync(subject="aed.other"), source="") == set()


RIVALS = frozenset({"data_go_kr", "egen"})


def test_the_first_success_of_another_dialect_retires_the_one_before() -> None:
    incidents = [an_incident(kind) for kind in Kind]
    retired = alerts.resolved_by(a_sync(source="egen"), incidents, rivals=RIVALS)
    assert {incident.kind for incident in retired} == set(Kind)


@pytest.mark.parametrize("success", [{"source": "egen", "mode": "replay"}, {"source": "nemc_export"}])
def test_files_and_replays_retire_no_source(success: Mapping[str, Any]) -> None:
    incidents = [an_incident(kind) for kind in Kind]
    assert alerts.resolved_by(a_sync(**success), incidents, rivals=RIVALS) == ()


def test_a_source_without_a_deadline_meets_none() -> None:
    told = [an_incident(Kind.DEADLINE_MISSED, source="")]
    assert alerts.resolved_by(a_sync(source="nemc_export", has_deadline=False), told) == ()
    assert alerts.resolved_by(a_sync(), told) == tuple(told)


STANDING = Standing("aed.aed_data", first_started_at=kst(1, 4), published_day=date(2026, 11, 17))


@pytest.mark.parametrize(
    ("now", "overdue"),
    [(kst(19, 6, 59), None), (kst(19, 7), date(2026, 11, 18)), (kst(20, 6, 59), date(2026, 11, 18))],
    ids=["a minute before seven", "at seven", "until the next deadline"],
)
def test_yesterday_is_due_at_seven_in_korea(now: datetime, overdue: date | None) -> None:
    assert alerts.overdue_day(STANDING, [], now=now) == overdue


def test_a_published_day_is_not_overdue() -> None:
    done = Standing("aed.aed_data", STANDING.first_started_at, DAY)
    assert alerts.overdue_day(done, [], now=kst(19, 7)) is None


def test_a_missed_deadline_is_told_once_and_again_when_the_next_one_is_missed() -> None:
    told = [an_incident(Kind.DEADLINE_MISSED, source="")]
    assert alerts.overdue_day(STANDING, told, now=kst(19, 23)) is None
    assert alerts.overdue_day(STANDING, told, now=kst(20, 7)) == date(2026, 11, 19)


def test_deadlines_from_before_the_first_attempt_are_nobodys() -> None:
    fresh = Standing("aed.aed_data", first_started_at=kst(19, 10), published_day=None)
    assert alerts.overdue_day(fresh, [], now=kst(19, 12)) is None
    assert alerts.overdue_day(fresh, [], now=kst(20, 7)) == date(2026, 11, 19)


def test_an_open_attempt_is_overlong_after_an_hour_and_told_once() -> None:
    attempt = a_sync(outcome=Outcome.OPEN)
    assert not alerts.is_overlong(attempt, [], now=STARTED + timedelta(hours=1))
    late = STARTED + timedelta(minutes=61)
    assert alerts.is_overlong(attempt, [], now=late)
    assert alerts.is_overlong(attempt, [an_incident(Kind.SYNC_TOO_SLOW, last_token=8)], now=late)
    assert not alerts.is_overlong(attempt, [an_incident(Kind.SYNC_TOO_SLOW, last_token=9)], now=late)
    assert not alerts.is_overlong(a_sync(), [], now=late)


def test_the_digest_of_a_day_is_due_once_after_nine() -> None:
    last = date(2026, 11, 18)
    assert digests.digest_window(now=kst(19, 9, 4), last_day=last) is None
    window = digests.digest_window(now=kst(19, 9, 5), last_day=last)
    assert window == digests.Window(date(2026, 11, 19), kst(18, 9), kst(19, 9))
    assert digests.digest_window(now=kst(20, 9, 4), last_day=date(2026, 11, 19)) is None


@given(
    last=st.none() | st.dates(date(2026, 10, 1), date(2026, 11, 30)),
    hours=st.integers(0, 24 * 60),
    minutes=st.integers(0, 59),
)
def test_windows_follow_each_other_without_gap_or_overlap(last: date | None, hours: int, minutes: int) -> None:
    now = kst(1, 0) + timedelta(hours=hours, minutes=minutes)
    window = digests.digest_window(now=now, last_day=last)
    if window is None:
        return
    following = digests.digest_window(now=window.until + timedelta(days=1, minutes=5), last_day=window.day)
    assert following is not None
    assert following.since == window.until
    assert window.since < window.until <= now
    assert digests.digest_window(now=now, last_day=window.day) is None


def concerns(*syncs: Sync, last_success: int = 100) -> set[Concern]:
    tallies = digests.tally(syncs, last_success={("aed.aed_data", "data_go_kr"): last_success})
    return {concern for tally in tallies for concern in tally.concerns}


def test_a_quiet_day_has_nothing_for_the_digest() -> None:
    assert concerns(a_sync(), a_sync(outcome=Outcome.REJECTED)) == set()
    assert alert_messages.digest(DAY, ()) is None


@pytest.mark.parametrize(("minutes", "is_told"), [(45, False), (45.1, True), (60, True), (60.1, False)])
def test_between_45_and_60_minutes_is_a_warning(minutes: float, *, is_told: bool) -> None:
    assert concerns(a_sync(minutes=minutes)) == ({Concern.SYNC_SLOW} if is_told else set())


def test_repeated_requests_and_failures_that_were_made_good_are_recovered_errors() -> None:
    assert concerns(a_sync(retries=1)) == {Concern.ERRORS_RECOVERED}
    assert concerns(a_sync(9, outcome=Outcome.FAILED), last_success=10) == {Concern.ERRORS_RECOVERED}
    assert concerns(a_sync(9, outcome=Outcome.FAILED), last_success=8) == {Concern.ATTEMPT_FAILED}
    assert concerns(a_sync(9, outcome=Outcome.FAILED, error_type="Superseded"), last_success=8) == set()


def test_quarantined_rows_are_added_up_in_one_digest() -> None:
    tallies = digests.tally([a_sync(1, quarantined_rows=7), a_sync(2, quarantined_rows=5)], last_success={})
    message = alert_messages.digest(DAY, tallies)
    assert message is not None
    assert "12 rows" in message.body
    assert message.severity is Severity.WARNING
    assert alert_messages.page(Concern.ROWS_QUARANTINED) in message.body


@pytest.mark.parametrize(
    ("figures", "concern", "said"),
    [
        ({"refused_files": 2}, Concern.FILES_REFUSED, "2 files were refused"),
        ({"withheld_parts": 1, "incomplete_parts": 3}, Concern.ABSENCES_WITHHELD, "1 regions lost too many devices, 3"),
        ({"unmet": ("suite.centers_are_known",)}, Concern.EXPECTATIONS_UNMET, "suite.centers_are_known; published"),
    ],
)
def test_what_was_published_all_the_same_is_warned_of_once_a_day(
    figures: Mapping[str, Any], concern: Concern, said: str
) -> None:
    assert concerns(a_sync(**figures)) == {concern}
    message = alert_messages.digest(DAY, digests.tally([a_sync(**figures)], last_success={}))
    assert message is not None
    assert said in message.body
    assert message.severity is Severity.WARNING
    assert concerns(a_sync(outcome=Outcome.REJECTED, **figures)) == set()


@pytest.mark.parametrize(
    ("backlog", "concern", "said"),
    [
        (Backlog(1, 0, 4), Concern.CONFLICTS_OPEN, "1 conflicts wait for a decision"),
        (Backlog(0, 2, 5), Concern.TESTS_QUARANTINED, "2 tests or files were put into quarantine, 5 wait there"),
    ],
)
def test_what_waits_at_the_laboratory_is_told_though_nothing_ran(backlog: Backlog, concern: Concern, said: str) -> None:
    message = alert_messages.digest(DAY, (), backlog)
    assert message is not None
    assert message.title.endswith(": 1 warning")
    assert said in message.body
    assert alert_messages.page(concern) in message.body


def test_old_quarantined_tests_alone_are_no_news() -> None:
    assert alert_messages.digest(DAY, (), Backlog(0, 0, 7)) is None


def test_quarantined_tests_are_not_told_once_more_as_rows() -> None:
    assert concerns(a_sync(subject=LABORATORY, quarantined_rows=3)) == set()


def test_deliveries_are_retried_ever_later_but_never_sooner_than_asked() -> None:
    waits = [alerts.retry_in(attempts, asked=None) for attempts in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=1)
    assert waits[-1] == timedelta(minutes=30)
    assert alerts.retry_in(1, asked=timedelta(minutes=7)) == timedelta(minutes=7)
    assert alerts.retry_in(1, asked=timedelta(days=300)) == timedelta(hours=1)


def messages() -> list[tuple[Kind | Concern | None, Message]]:
    every = a_sync(outcome=Outcome.FAILED, minutes=70, error_type="Unavailable")
    tallies = digests.tally(
        [a_sync(retries=3, quarantined_rows=2, minutes=50), a_sync(1, outcome=Outcome.FAILED)],
        last_success={("aed.aed_data", "data_go_kr"): 9},
    )
    digest = alert_messages.digest(DAY, tallies)
    assert digest is not None
    return [
        *((kind, alert_messages.opened(kind, every, failures=3, rules=("aed_rows.serial_is_set",))) for kind in Kind),
        *((kind, alert_messages.resolved(kind, every, opened_at=STARTED, occurrences=2)) for kind in Kind),
        (Kind.DEADLINE_MISSED, alert_messages.deadline_missed("aed.aed_data", DAY, published_day=None)),
        (None, digest),
    ]


@pytest.mark.parametrize(("kind", "message"), messages())
def test_a_message_is_short_and_names_its_page(kind: Kind | Concern | None, message: Message) -> None:
    assert "\n" not in message.title
    assert len(message.title) <= 150
    assert len(message.body) <= 2_900
    assert "docs/runbook/" in message.body
    if kind is not None:
        assert message.body.endswith(alert_messages.page(kind))


def test_corruption_names_the_rules_and_not_too_many_of_them() -> None:
    rules = [f"aed_rows.rule_{number}" for number in range(14)]
    message = alert_messages.opened(Kind.CORRUPTION_DETECTED, a_sync(), failures=1, rules=rules)
    assert "aed_rows.rule_9 and 4 more" in message.body


@given(st.text(max_size=60))
def test_no_text_becomes_a_link_or_a_mention_at_the_receiver(text: str) -> None:
    payload = alert_messages.payload(1, Message(Severity.INFO, "t", text))
    shown = str(payload["text"])
    assert "<" not in shown
    assert ">" not in shown


def test_a_payload_has_what_slack_asks_for() -> None:
    payload = alert_messages.payload(12, Message(Severity.CRITICAL, "title", "a & b"))
    assert payload["text"] == ":red_circle: title\na &amp; b"
    assert payload["blocks"] == [
        {"type": "header", "text": {"type": "plain_text", "text": "title"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "a &amp; b"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "critical · message 12"}]},
    ]
