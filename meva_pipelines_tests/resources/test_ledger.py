"""The ledgers on a real server: attempts fence, verdicts bind, nothing personal is written down, replays are no-ops."""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain import absences
from meva_pipelines.domain.absences import Tally
from meva_pipelines.domain.failures import Incomplete, MevaError, Refused, Rejected, Superseded, Unavailable
from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources import fetches, ledger, published_runs, registry_absences
from meva_pipelines.resources.fetches import Fetch
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_absences import Survey
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.test_postgres import told

SUBJECT, SOURCE, DAY = "aed.aed_data", "egen", date(2026, 11, 19)
NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)
TELEPHONE = "010-1234-5678"
ENDED = {Status.FAILED, Status.REJECTED}
_NUMBERS = itertools.count(1)
_HISTORIES = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each history has a subject of its own
)


@pytest.fixture
def writer(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A connection in the writer's role that keeps each statement."""
    with postgres.connect(Role.WRITER, work="test", autocommit=True) as connection:
        yield connection


def opened(
    connection: psycopg.Connection,
    *,
    subject: str = SUBJECT,
    source: str = SOURCE,
    mode: Mode = Mode.FULL,
    day: date = DAY,
    fetch_id: str | None = None,
    target: int | None = None,
) -> Attempt:
    return ledger.open_attempt(
        connection,
        subject=subject,
        source=source,
        mode=mode,
        day=day,
        dagster_run_id="run",
        fetch_id=fetch_id,
        target_token=target,
    )


def taken(connection: psycopg.Connection, attempt: Attempt, *, is_complete: bool = True, pages: str = "p") -> Fetch:
    fetch_id = f"{attempt.source}/{attempt.day}/{attempt.token}"
    fetches.take(
        connection,
        attempt,
        fetch_id=fetch_id,
        page_hashes=list(pages),
        is_complete_snapshot=is_complete,
        rows=3,
        size=100,
        as_of=NOON,
    )
    return fetches.named(connection, subject=attempt.subject, fetch_id=fetch_id)


def published(
    connection: psycopg.Connection,
    *,
    subject: str = SUBJECT,
    mode: Mode = Mode.FULL,
    day: date = DAY,
    watermark: datetime | None = None,
    is_complete: bool = True,
) -> tuple[Attempt, Fetch]:
    """Enter a published sync and its fetch."""
    attempt = opened(connection, subject=subject, mode=mode, day=day)
    fetch = taken(connection, attempt, is_complete=is_complete)
    ledger.record(connection, attempt.token, status=Status.PUBLISHED, fetch_id=fetch.fetch_id, watermark=watermark)
    if mode is Mode.FULL:
        tally = Tally(10, 1, is_complete)
        registry_absences.record(
            connection, attempt.token, Survey({"11": tally}, absences.judge({"11": tally}, Limit()))
        )
    return attempt, fetch


def proved(connection: psycopg.Connection, subject: str) -> date | None:
    """The newest day on which a sido was proved to be there."""
    found = registry_absences.proofs(connection, subject=subject, source=SOURCE, sido_groups={"11": "11"})
    return found["11"].day if found else None


def rolled_back(connection: psycopg.Connection, target: Attempt) -> Attempt:
    """Enter a published rollback."""
    undo = opened(connection, subject=target.subject, mode=Mode.ROLLBACK, target=target.token)
    ledger.record(connection, undo.token, status=Status.PUBLISHED)
    return undo


def row_of(connection: psycopg.Connection, attempt: Attempt) -> tuple[str, str | None, str | None]:
    found = connection.execute(
        "SELECT status, error_type, error FROM ops.sync_runs WHERE token = %s", [attempt.token]
    ).fetchone()
    assert found is not None
    return found[0], found[1], found[2]


def test_an_attempt_is_found_again_as_it_was_opened(writer: psycopg.Connection) -> None:
    first, second = opened(writer), opened(writer)
    assert second.token > first.token
    assert ledger.attempt(writer, first.token) == first
    assert ledger.attempt_of_run(writer, subject=SUBJECT, dagster_run_id="run") == second
    assert ledger.attempt(writer, second.token + 1) is None


def test_the_newest_attempt_of_a_day_is_found_by_its_status(writer: psycopg.Connection) -> None:
    staged, failed = opened(writer), opened(writer)
    ledger.record(writer, staged.token, status=Status.STAGED)
    ledger.record(writer, failed.token, status=Status.FAILED)
    rolled_back(writer, staged)
    wanted = (Status.STAGED, Status.PUBLISHED)
    found = ledger.latest_attempt(writer, subject=SUBJECT, day=DAY, statuses=wanted)
    assert found is not None
    assert found.token == staged.token
    assert ledger.latest_attempt(writer, subject=SUBJECT, day=DAY + timedelta(1), statuses=wanted) is None


@given(later=st.lists(st.sampled_from(Status), max_size=4))
@_HISTORIES
def test_an_attempt_is_fenced_out_by_any_newer_one_that_did_not_fail(
    writer: psycopg.Connection, later: list[Status]
) -> None:
    subject = f"test.fence_{next(_NUMBERS)}"
    mine = opened(writer, subject=subject)
    for status in later:
        ledger.record(writer, opened(writer, subject=subject).token, status=status)
    if set(later) <= ENDED:
        ledger.demand_current(writer, mine)
    else:
        with pytest.raises(Superseded):
            ledger.demand_current(writer, mine)


def test_attempts_of_other_subjects_and_sources_fence_nobody(writer: psycopg.Connection) -> None:
    mine = opened(writer)
    opened(writer, subject="aed.other")
    opened(writer, source="data_go_kr")
    ledger.demand_current(writer, mine)


def test_the_newest_attempt_is_not_fenced_by_older_ones(writer: psycopg.Connection) -> None:
    opened(writer)
    ledger.demand_current(writer, opened(writer))


@pytest.mark.parametrize("status", [Status.PUBLISHED, Status.FAILED, Status.REJECTED])
def test_an_attempt_that_has_ended_may_not_write_again(writer: psycopg.Connection, status: Status) -> None:
    """Two runs that found the same staged batch once both published it, the second overwriting its figures with 0."""
    mine = opened(writer)
    ledger.record(writer, mine.token, status=status)
    with pytest.raises(Superseded, match="ended already"):
        ledger.demand_current(writer, mine)


def judged(
    connection: psycopg.Connection, attempt: Attempt, *, suite: str = "a", digest: str = "d", is_passed: bool = True
) -> None:
    ledger.store_verdict(
        connection, attempt.token, suite=suite, digest=digest, is_passed=is_passed, results=[], duration_s=0.1
    )


def test_verdicts_of_all_suites_on_these_rows_let_a_batch_through(writer: psycopg.Connection) -> None:
    mine = opened(writer)
    judged(writer, mine, suite="a")
    judged(writer, mine, suite="b")
    ledger.demand_verdicts(writer, mine, digest="d", suites=("a", "b"))


@pytest.mark.parametrize(
    ("is_judged", "is_passed", "digest", "said"),
    [
        (False, True, "d", "was not judged by: b"),
        (True, False, "d", "failed: b"),
        (True, True, "other", "changed since it was judged by: b"),
    ],
)
def test_a_missing_failed_or_stale_verdict_stops_a_batch(
    writer: psycopg.Connection, *, is_judged: bool, is_passed: bool, digest: str, said: str
) -> None:
    mine = opened(writer)
    judged(writer, mine, suite="a")
    if is_judged:
        judged(writer, mine, suite="b", is_passed=is_passed, digest=digest)
    with pytest.raises(Rejected, match=said):
        ledger.demand_verdicts(writer, mine, digest="d", suites=("a", "b"))


def test_a_verdict_speaks_for_its_own_attempt_only(writer: psycopg.Connection) -> None:
    judged(writer, opened(writer))
    with pytest.raises(Rejected, match="not judged"):
        ledger.demand_verdicts(writer, opened(writer), digest="d", suites=("a",))


def test_a_verdict_is_never_changed_afterwards(writer: psycopg.Connection) -> None:
    mine = opened(writer)
    judged(writer, mine, is_passed=False)
    judged(writer, mine, is_passed=True)
    with pytest.raises(Rejected, match="failed"):
        ledger.demand_verdicts(writer, mine, digest="d", suites=("a",))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable("asleep"), Status.FAILED),
        (Incomplete("page 3 is missing"), Status.FAILED),
        (Refused("wrong key"), Status.FAILED),
        (Rejected("too many rows"), Status.REJECTED),
        (Superseded("overtaken"), Status.FAILED),
    ],
)
def test_a_watched_attempt_ends_with_the_error_that_ended_it(
    postgres: Postgres, writer: psycopg.Connection, error: MevaError, status: Status
) -> None:
    mine = opened(writer)
    with pytest.raises(type(error)) as raised, ledger.watch(postgres, mine):
        raise error
    assert raised.value is error
    assert row_of(writer, mine) == (status, type(error).__name__, str(error))


def test_a_watched_attempt_that_succeeds_is_left_alone(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)
    with ledger.watch(postgres, mine):
        pass
    assert row_of(writer, mine) == (Status.STARTED, None, None)


def test_an_unexpected_error_leaves_its_class_and_not_its_words(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)
    with pytest.raises(KeyError), ledger.watch(postgres, mine):
        raise KeyError(TELEPHONE)
    assert row_of(writer, mine) == (Status.FAILED, "KeyError", "KeyError")


def test_an_error_after_publication_does_not_unpublish(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)
    ledger.record(writer, mine.token, status=Status.PUBLISHED)
    with pytest.raises(Unavailable), ledger.watch(postgres, mine):
        raise Unavailable("cleaning failed")
    assert row_of(writer, mine) == (Status.PUBLISHED, None, None)


def test_the_error_goes_on_when_the_ledger_cannot_be_reached(writer: psycopg.Connection, tmp_path: str) -> None:
    mine = opened(writer)
    dead = Postgres(url="postgresql://meva@127.0.0.1:1/meva", home=str(tmp_path))
    with pytest.raises(Rejected, match="the real reason"), ledger.watch(dead, mine):
        raise Rejected("the real reason")
    assert row_of(writer, mine) == (Status.STARTED, None, None)


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        (
            "INSERT INTO aed.health_centers (key, name, spellings, devices) VALUES (%s, '', 1, 1), (%s, '', 1, 1)",
            "23505",
        ),
        ("INSERT INTO aed.health_centers (key, name, spellings) VALUES (%s, 'n', 1)", "23502"),
        ("INSERT INTO aed.aed_data (manager, source, source_id) VALUES (%s, 'egen', '1')", "23502"),
        (
            "INSERT INTO ops.ingest_ledger VALUES (DEFAULT, %s, '', now(), '', '', '', true, 1, 1, now(), NULL, '')",
            "23514",
        ),
        ("SELECT %s::text::date", "22008"),
        ("SELECT %s::text::integer", "22P02"),
    ],
)
def test_row_contents_in_database_errors_are_told_to_nobody(
    postgres: Postgres, writer: psycopg.Connection, statement: str, sqlstate: str
) -> None:
    """PostgreSQL quotes the failing row in DETAIL, and for class 22 the value in the message itself."""
    mine = opened(writer)
    with pytest.raises(psycopg.Error, match=TELEPHONE):
        writer.execute(statement.encode(), [TELEPHONE] * statement.count("%s"))
    with pytest.raises(Unavailable) as raised, ledger.watch(postgres, mine):
        writer.execute(statement.encode(), [TELEPHONE] * statement.count("%s"))
    assert sqlstate in str(raised.value)
    assert TELEPHONE not in told(raised.value)
    status, error_type, message = row_of(writer, mine)
    assert status == Status.FAILED
    assert sqlstate in (message or "")
    assert TELEPHONE not in f"{error_type} {message}"
    assert TELEPHONE not in str(writer.execute("SELECT * FROM ops.outbox").fetchall())


def test_taking_a_page_set_again_is_a_no_op(writer: psycopg.Connection) -> None:
    mine = opened(writer)
    first = taken(writer, mine, pages="abc")
    again = taken(writer, mine, pages="xyz", is_complete=False)
    assert again == first
    assert writer.execute("SELECT count(*) FROM ops.ingest_ledger").fetchone() == (1,)


def test_the_content_hash_tells_page_sets_apart(writer: psycopg.Connection) -> None:
    hashes = [taken(writer, opened(writer), pages=pages).content_hash for pages in ("ab", "ba", "abc", "ab", "")]
    assert hashes[0] == hashes[3]
    assert len(set(hashes)) == 4


def test_the_newest_fetch_is_found_by_arrival(writer: psycopg.Connection) -> None:
    late_day = taken(writer, opened(writer, day=DAY + timedelta(1)))
    first, second = taken(writer, opened(writer)), taken(writer, opened(writer))
    assert first.id < second.id
    assert fetches.latest(writer, subject=SUBJECT, source=SOURCE, day=DAY) == second
    assert fetches.latest(writer, subject=SUBJECT, source=SOURCE, day=DAY + timedelta(1)) == late_day
    assert fetches.latest(writer, subject=SUBJECT, source=SOURCE, day=None) == second
    assert fetches.latest(writer, subject=SUBJECT, source="other", day=None) is None


def test_an_unknown_fetch_is_unavailable(writer: psycopg.Connection) -> None:
    with pytest.raises(Unavailable, match="no such set"):
        fetches.named(writer, subject=SUBJECT, fetch_id="no such set")


@given(steps=st.lists(st.tuples(st.sampled_from("FIDBU"), st.integers(0, 9)), max_size=9))
@example(steps=[("F", 1), ("B", 0)])
@example(steps=[("F", 1), ("B", 0), ("U", 0)])
@example(steps=[("F", 1), ("B", 0), ("U", 0), ("U", 0)])
@example(steps=[("F", 1), ("I", 2), ("B", 0), ("U", 0), ("B", 0), ("B", 0)])
@_HISTORIES
def test_what_was_rolled_back_counts_no_more_and_what_was_brought_back_counts_again(
    writer: psycopg.Connection, steps: list[tuple[str, int]]
) -> None:
    """Any history of full, incremental and district syncs and of rollbacks, also of rollbacks, against a model."""
    subject = f"test.history_{next(_NUMBERS)}"
    effective: list[tuple[Attempt, str, int]] = []
    undo: tuple[Attempt, list[tuple[Attempt, str, int]]] | None = None
    for step, number in steps:
        if step == "B" and effective:
            before = list(effective)
            undo = rolled_back(writer, effective.pop()[0]), before
        elif step == "U" and undo:
            before = list(effective)
            effective, undo = undo[1], (rolled_back(writer, undo[0]), before)
        elif step in "FID":
            attempt, _ = published(
                writer,
                subject=subject,
                mode=Mode.INCREMENTAL if step == "I" else Mode.FULL,
                day=DAY + timedelta(number),
                watermark=NOON + timedelta(hours=number),
                is_complete=step == "F",
            )
            effective, undo = [*effective, (attempt, step, number)], None
    seen = [number for _, _, number in effective]
    full = [number for _, step, number in effective if step == "F"]
    watermark = published_runs.watermark(writer, subject=subject, source=SOURCE)
    assert watermark == (NOON + timedelta(hours=max(seen)) if seen else None)
    assert proved(writer, subject) == (DAY + timedelta(max(full)) if full else None)


def test_runs_that_were_not_published_move_no_watermark_and_no_full_day(writer: psycopg.Connection) -> None:
    for status in set(Status) - {Status.PUBLISHED}:
        attempt, _ = published(writer, watermark=NOON)
        ledger.record(writer, attempt.token, status=status)
    assert published_runs.watermark(writer, subject=SUBJECT, source=SOURCE) is None
    assert proved(writer, SUBJECT) is None


def test_a_failed_rollback_takes_nothing_back(writer: psycopg.Connection) -> None:
    attempt, _ = published(writer, watermark=NOON)
    undo = rolled_back(writer, attempt)
    ledger.record(writer, undo.token, status=Status.FAILED)
    assert published_runs.watermark(writer, subject=SUBJECT, source=SOURCE) == NOON


def test_pages_older_than_what_is_published_are_rejected_until_that_is_rolled_back(writer: psycopg.Connection) -> None:
    old = taken(writer, opened(writer))
    fetches.demand_newest(writer, old)
    newer, fetch = published(writer)
    fetches.demand_newest(writer, fetch)
    with pytest.raises(Rejected, match="older than what is published"):
        fetches.demand_newest(writer, old)
    undo = rolled_back(writer, newer)
    fetches.demand_newest(writer, old)
    rolled_back(writer, undo)
    with pytest.raises(Rejected):
        fetches.demand_newest(writer, old)


def test_pages_that_were_fetched_later_but_never_published_stand_in_nobodys_way(writer: psycopg.Connection) -> None:
    old = taken(writer, opened(writer))
    taken(writer, opened(writer))
    fetches.demand_newest(writer, old)
