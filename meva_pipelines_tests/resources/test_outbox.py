"""The life of incidents in the ledger: told in the transaction that made them true, once, and once when over."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.digests import DIGEST_AT
from meva_pipelines.domain.failures import Rejected, StoreUnavailable, Superseded, Unavailable
from meva_pipelines.resources import ledger, outbox, publishing
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.outbox import Due
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.attempts import DAY, SUBJECT, Attempts

HOURS = timedelta(hours=1)
SECRET = "serviceKey=c2VjcmV0 of 홍길동 010-1234-5678"


def note_due(postgres: Postgres) -> Due:
    with postgres.connect(Role.WRITER, work="test") as connection:
        return outbox.note_due(connection)


def test_a_failed_source_opens_one_incident_and_a_success_resolves_it(attempts: Attempts) -> None:
    first = attempts.fail()
    attempts.fail()
    success = attempts.publish()
    (incident,) = attempts.incidents()
    assert (incident["kind"], incident["source"], incident["occurrences"]) == ("source_unavailable", "data_go_kr", 2)
    assert (incident["first_token"], incident["resolved_token"]) == (first.token, success.token)
    assert attempts.told() == [("opened", "source_unavailable"), ("resolved", "source_unavailable")]


def test_a_rejected_batch_names_its_rule(attempts: Attempts) -> None:
    attempts.reject(rule="coordinates_are_there")
    (message,) = attempts.messages()
    assert (message["kind"], message["about"], message["severity"]) == ("opened", "corruption_detected", "critical")
    assert "aed_rows.coordinates_are_there" in message["body"]


def test_a_guard_of_the_publication_is_corruption_too(attempts: Attempts) -> None:
    attempts.refuse()
    assert attempts.told() == [("opened", "corruption_detected")]


def test_three_failures_in_a_row_are_told_and_counted_on(attempts: Attempts) -> None:
    for _ in range(4):
        attempts.fail(RuntimeError())
    assert attempts.told() == [("opened", "sync_failed_repeatedly")]
    assert attempts.incidents()[0]["occurrences"] == 2
    assert "3 tries failed in a row, the last with RuntimeError" in attempts.messages()[0]["body"]


def test_a_success_in_between_starts_the_count_anew(attempts: Attempts) -> None:
    for end in (attempts.fail, attempts.fail, attempts.publish, attempts.fail, attempts.fail):
        end(mode=Mode.REPLAY)
    assert attempts.told() == []


def test_attempts_that_died_without_a_word_count_as_failures(attempts: Attempts) -> None:
    attempts.open()
    attempts.open()
    attempts.fail(RuntimeError())
    assert attempts.told() == [("opened", "sync_failed_repeatedly")]


def test_another_source_keeps_its_own_incidents(attempts: Attempts, postgres: Postgres) -> None:
    attempts.fail()
    Attempts(postgres, source="nemc_export").publish()
    assert attempts.told() == [("opened", "source_unavailable")]


def test_the_first_sync_of_another_dialect_retires_the_one_before(attempts: Attempts, postgres: Postgres) -> None:
    attempts.fail()
    success = Attempts(postgres, source="egen").publish()
    assert attempts.told() == [("opened", "source_unavailable"), ("resolved", "source_unavailable")]
    assert [incident["resolved_token"] for incident in attempts.incidents()] == [success.token]


def test_relaunches_that_are_used_up_are_one_incident(attempts: Attempts, postgres: Postgres) -> None:
    """Three launches of one run, of which only the last is told."""
    for is_told in (lambda _: False, lambda _: False, lambda _: True):
        attempt = attempts.open()
        attempts.execute("UPDATE ops.sync_runs SET dagster_run_id = 'one run' WHERE token = %s", attempt.token)
        with suppress(Unavailable), ledger.watch(postgres, attempt, is_last=is_told):
            raise Unavailable("the source did not answer")
    assert attempts.told() == [("opened", "source_unavailable")]


def test_an_object_store_that_is_full_is_not_the_sources_fault(attempts: Attempts) -> None:
    attempts.fail(StoreUnavailable("cannot write object raw/page: No space left on device"))
    assert attempts.told() == [("opened", "store_unavailable")]
    attempts.publish()
    assert attempts.told()[1:] == [("resolved", "store_unavailable")]


def test_files_that_people_drop_do_not_meet_the_deadline_of_the_night(attempts: Attempts, postgres: Postgres) -> None:
    """An export of yesterday is published, and the sync of the night never came."""
    before = attempts.publish(day=DAY - timedelta(days=30))
    attempts.end_at(before, datetime.now(SEOUL) - timedelta(days=30))
    yesterday = datetime.now(SEOUL).date() - timedelta(days=1)
    Attempts(postgres, source="nemc_export").publish(day=yesterday)
    note_due(postgres)
    assert ("opened", "deadline_missed") in attempts.told()
    Attempts(postgres, source="nemc_export").publish(day=yesterday)
    assert ("resolved", "deadline_missed") not in attempts.told()
    attempts.publish(day=yesterday)
    assert ("resolved", "deadline_missed") in attempts.told()


def test_a_slow_sync_is_told_although_it_published_and_resolved_by_a_quick_one(attempts: Attempts) -> None:
    attempts.publish(taking=2 * HOURS)
    attempts.publish(taking=2 * HOURS)
    assert attempts.incidents()[0]["occurrences"] == 2
    attempts.publish()
    assert attempts.told() == [("opened", "sync_too_slow"), ("resolved", "sync_too_slow")]


def test_an_attempt_that_was_told_while_it_ran_is_not_counted_again_when_it_ends(
    attempts: Attempts, postgres: Postgres
) -> None:
    attempt = attempts.open(taking=2 * HOURS)
    assert [sync.token for sync in note_due(postgres).overlong] == [attempt.token]
    assert not note_due(postgres).overlong
    with publishing.locked(postgres, attempt):
        pass
    (incident,) = [incident for incident in attempts.incidents() if incident["kind"] == "sync_too_slow"]
    assert (incident["occurrences"], incident["resolved_at"]) == (1, None)


def test_a_rollback_raises_and_resolves_nothing(attempts: Attempts) -> None:
    target = attempts.publish()
    attempts.fail()
    attempts.execute(
        "INSERT INTO ops.sync_runs (subject, source, mode, day, dagster_run_id, status, target_token)"
        " VALUES (%s, 'data_go_kr', 'rollback', %s, 'r', 'failed', %s)",
        SUBJECT,
        DAY,
        target.token,
    )
    (row,) = attempts.rows("SELECT max(token) AS token FROM ops.sync_runs")
    with psycopg.connect(attempts.postgres.dsn()) as connection:
        outbox.tell_end(connection, row["token"])
    assert attempts.told() == [("opened", "source_unavailable")]


COMMIT_FAILS = """
CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON ops.outbox DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.fail()
"""


def test_a_message_is_committed_with_its_fact_or_not_at_all(attempts: Attempts) -> None:
    attempts.fail()
    attempts.execute(COMMIT_FAILS)
    with pytest.raises(psycopg.errors.RaiseException):
        attempts.publish()
    assert attempts.told() == [("opened", "source_unavailable")]
    assert not attempts.rows("SELECT FROM ops.sync_runs WHERE status = 'published'")
    attempts.execute("DROP TRIGGER fail ON ops.outbox")
    attempts.publish()
    assert attempts.told() == [("opened", "source_unavailable"), ("resolved", "source_unavailable")]


def test_being_overtaken_is_told_to_nobody(attempts: Attempts) -> None:
    for _ in range(3):
        attempts.fail(Superseded("a newer attempt owns the subject"))
    assert attempts.told() == []


def test_the_text_of_an_error_never_reaches_a_message(attempts: Attempts, postgres: Postgres) -> None:
    for error in (Rejected(SECRET), RuntimeError(SECRET), RuntimeError(SECRET)):
        attempts.fail(error, taking=2 * HOURS)
    attempts.end_at(attempts.fail(RuntimeError(SECRET)), a_digest_ago())
    note_due(postgres)
    attempts.publish()
    told = [f"{message['title']} {message['body']}" for message in attempts.messages()]
    assert len(told) > 4
    assert not [text for text in told if "010-" in text or "홍길동" in text or "serviceKey" in text]


def test_a_missed_deadline_is_told_once_and_resolved_by_that_day_of_any_source(
    attempts: Attempts, postgres: Postgres
) -> None:
    old = attempts.publish(day=date(2026, 1, 1))
    attempts.execute("UPDATE ops.sync_runs SET started_at = '2026-01-02 04:00+09' WHERE token = %s", old.token)
    (standing, missed) = note_due(postgres).overdue[0]
    assert standing.published_day == date(2026, 1, 1)
    assert not note_due(postgres)
    attempts.publish(day=missed - timedelta(days=1))
    assert attempts.told() == [("opened", "deadline_missed")]
    Attempts(postgres, source="egen").publish(day=missed)
    assert attempts.told() == [("opened", "deadline_missed"), ("resolved", "deadline_missed")]
    assert not note_due(postgres)


def a_digest_ago() -> datetime:
    """An hour before the end of the newest digest's window."""
    local = (datetime.now(SEOUL) - timedelta(minutes=5)).replace(tzinfo=SEOUL)
    day = local.date() if local.time() >= DIGEST_AT else local.date() - timedelta(days=1)
    return datetime.combine(day, DIGEST_AT, SEOUL) - HOURS


def test_warnings_are_told_in_one_digest_a_day(attempts: Attempts, postgres: Postgres) -> None:
    attempts.end_at(attempts.publish({"retries": 4, "quarantined_rows": 12}), a_digest_ago())
    assert note_due(postgres).digest is not None
    attempts.end_at(attempts.publish({"quarantined_rows": 5}), a_digest_ago())
    assert note_due(postgres).digest is None
    digests = [message for message in attempts.messages() if message["kind"] == "digest"]
    assert [(message["severity"], message["incident_id"]) for message in digests] == [("warning", None)]
    assert "4 requests repeated" in digests[0]["body"]
    assert "12 rows" in digests[0]["body"]


def test_the_digest_reads_warnings_refused_files_and_withheld_regions_from_the_ledgers(
    attempts: Attempts, postgres: Postgres
) -> None:
    published = attempts.publish()
    attempts.end_at(published, a_digest_ago())
    rejected = attempts.reject()
    attempts.execute(
        "INSERT INTO ops.audit_verdicts (token, suite, digest, is_passed, results, duration_s)"
        " VALUES (%s, 'drift', 'd', true, %s, 0)",
        published.token,
        Jsonb(
            [
                {"expectation": "centers_are_known", "severity": "warning", "is_met": False, "observed": ""},
                {"expectation": "makers_are_known", "severity": "warning", "is_met": True, "observed": ""},
            ]
        ),
    )
    attempts.execute(
        "INSERT INTO ops.sync_parts (token, part, verdict) VALUES (%s, '11', 'withheld'), (%s, '26', 'incomplete'),"
        " (%s, '27', 'counted')",
        *[published.token] * 3,
    )
    for number, outcome in enumerate(("rejected", "taken")):
        attempts.execute(
            "INSERT INTO ops.ingest_ledger (subject, source, day, fetch_id, content_hash, mode, is_complete_snapshot,"
            " rows, bytes, outcome, token) VALUES ('f', 's', %s, %s, '', 'full', false, 0, 0, %s, %s)",
            *(DAY, str(number), outcome, published.token),
        )
    assert rejected.token > published.token
    note_due(postgres)
    (body,) = [message["body"] for message in attempts.messages() if message["kind"] == "digest"]
    assert "drift.centers_are_known; published" in body
    assert "makers_are_known" not in body
    assert "1 regions lost too many devices, 1 did not come whole" in body
    assert "1 files were refused" in body


CONFLICT = """
INSERT INTO meva.data_conflict_log (test_id, name, standing_sha256, standing_revised_at, standing_file, waiting_sha256,
    waiting_revised_at, waiting_file, waiting_original, differences, status, resolution, opened_at, opened_token)
VALUES (1, %s, 'a', now(), 'a.csv', 'b', now(), 'b.csv', '', '{}', %s, %s, now(), 1)
"""
QUARANTINED = """
INSERT INTO meva.quarantine (content_id, file_name, specimen, rule, reason, original, first_token, last_token,
    released_at) VALUES ('c', 'c.csv', %s, %s, '', '', %s, %s, %s)
"""


def test_the_digest_tells_what_waits_at_the_laboratory(attempts: Attempts, postgres: Postgres) -> None:
    """One conflict is open and one decided; A-1 breaks two rules, A-2 was published after all, A-3 came before."""
    attempts.execute(CONFLICT, "A-1", "open", None)
    attempts.execute(CONFLICT, "A-2", "resolved", "keep")
    new, old = attempts.publish(), attempts.publish()
    attempts.end_at(new, a_digest_ago())
    attempts.end_at(old, a_digest_ago() - timedelta(days=30))
    for specimen, rule, attempt, released_at in (
        ("A-1", "unit_is_known", new, None),
        ("A-1", "area_is_given", new, None),
        ("A-2", "unit_is_known", new, a_digest_ago()),
        ("A-3", "unit_is_known", old, None),
    ):
        attempts.execute(QUARANTINED, specimen, rule, attempt.token, attempt.token, released_at)
    note_due(postgres)
    (body,) = [message["body"] for message in attempts.messages() if message["kind"] == "digest"]
    assert "1 conflicts wait for a decision" in body
    assert "1 tests or files were put into quarantine, 2 wait there in all" in body


def test_a_quiet_day_gets_no_digest(attempts: Attempts, postgres: Postgres) -> None:
    attempts.end_at(attempts.publish(), a_digest_ago())
    assert note_due(postgres).digest is None


EVENTS: dict[str, Callable[[Attempts], object]] = {
    "source fails": lambda attempts: attempts.fail(),
    "we fail": lambda attempts: attempts.fail(RuntimeError()),
    "we fail slowly": lambda attempts: attempts.fail(RuntimeError(), taking=2 * HOURS),
    "rejected": lambda attempts: attempts.reject(),
    "overtaken": lambda attempts: attempts.fail(Superseded("by another")),
    "published": lambda attempts: attempts.publish(),
    "published slowly": lambda attempts: attempts.publish(taking=2 * HOURS),
    "replayed": lambda attempts: attempts.publish(mode=Mode.REPLAY),
}
FAILURES = {"source fails", "we fail", "we fail slowly", "rejected"}
OPENED_BY = {
    "source_unavailable": {"source fails"},
    "corruption_detected": {"rejected"},
    "sync_too_slow": {"we fail slowly", "published slowly"},
}
CLOSED_BY = {
    "source_unavailable": {"published", "published slowly"},
    "corruption_detected": {"published", "published slowly", "replayed"},
    "sync_failed_repeatedly": {"published", "published slowly", "replayed"},
    "sync_too_slow": {"published", "replayed"},
}


def speaks_for_itself(row: list[str]) -> bool:
    """Failures of one cause that is an incident already are not told once more."""
    return len(set(row)) == 1 and row[0] in {"source fails", "rejected"}


def expected_messages(events: list[str]) -> list[tuple[str, str]]:
    """What people should hear, told in the plainest way: a set of open troubles and a count."""
    open_now: set[str] = set()
    heard: list[tuple[str, str]] = []
    row: list[str] = []
    for event in events:
        row = [*row, event] if event in FAILURES else row if event == "overtaken" else []
        troubles = {kind for kind, openers in OPENED_BY.items() if event in openers}
        troubles |= (
            {"sync_failed_repeatedly"} if event in FAILURES and len(row) >= 3 and not speaks_for_itself(row) else set()
        )
        heard += [("opened", kind) for kind in sorted(troubles - open_now)]
        over = {kind for kind in open_now if event in CLOSED_BY[kind]}
        heard += [("resolved", kind) for kind in sorted(over)]
        open_now = (open_now | troubles) - over
    return heard


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=9))
def test_in_any_order_of_events_an_incident_is_told_once_and_resolved_once(
    attempts: Attempts, events: list[str]
) -> None:
    attempts.execute("TRUNCATE ops.outbox, ops.incidents, ops.sync_runs CASCADE")
    for event in events:
        EVENTS[event](attempts)
    told = attempts.told()
    assert sorted(map(str, told)) == sorted(map(str, expected_messages(events)))
    for kind in CLOSED_BY:
        life = [what for what, about in told if about == kind]
        assert not [pair for pair in pairwise(life) if pair[0] == pair[1]]
        assert life[:1] in ([], ["opened"])
    still_open = [incident for incident in attempts.incidents() if incident["resolved_at"] is None]
    opened, resolved = (sum(what == kind for what, _ in told) for kind in ("opened", "resolved"))
    assert len(still_open) == opened - resolved


def test_reading_what_is_due_writes_nothing(attempts: Attempts, postgres: Postgres) -> None:
    attempts.open(taking=2 * HOURS)
    with postgres.connect(Role.READER, work="test") as connection:
        connection.execute("SET default_transaction_read_only = on")
        assert outbox.due(connection).overlong
    assert attempts.told() == []
