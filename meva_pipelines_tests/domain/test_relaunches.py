"""Slow relaunches: only where trying again helps, and all of them within the hour."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain import relaunches
from meva_pipelines.domain.failures import Incomplete, MevaError, QuotaExhausted, Refused, Rejected, Unavailable

FIRST = timedelta(minutes=5)
NOW = timedelta()


def wait(error: MevaError, *, done: int = 0, elapsed: timedelta = NOW, first: timedelta = FIRST) -> timedelta | None:
    return relaunches.wait(error, done=done, at_most=3, elapsed=elapsed, first=first)


def test_the_pauses_double() -> None:
    waits = [wait(Unavailable("503"), done=done) for done in range(4)]
    assert waits == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20), None]


@pytest.mark.parametrize(
    "error", [Refused("key"), Rejected("audit"), QuotaExhausted("quota", resets_at=datetime(2026, 11, 21, tzinfo=UTC))]
)
def test_what_trying_again_cannot_mend_is_not_launched_again(error: MevaError) -> None:
    assert wait(error) is None


def test_a_source_that_asks_for_patience_gets_it() -> None:
    assert wait(Unavailable("429", retry_after_s=900.0)) == timedelta(minutes=15)
    assert wait(Unavailable("429", retry_after_s=7_200.0)) is None


@given(
    first=st.timedeltas(NOW, timedelta(hours=2)),
    fetches=st.lists(st.timedeltas(NOW, timedelta(minutes=30)), min_size=4, max_size=4),
    asked=st.none() | st.floats(0, 10_000),
)
def test_whatever_happens_every_launch_begins_and_ends_within_the_hour(
    first: timedelta, fetches: list[timedelta], asked: float | None
) -> None:
    elapsed = NOW
    for done, fetch in enumerate(fetches):
        left = relaunches.left(elapsed)
        assert elapsed + left <= relaunches.WINDOW
        elapsed += min(fetch, left)
        pause = wait(Unavailable("503", retry_after_s=asked), done=done, elapsed=elapsed, first=first)
        if pause is None:
            return
        elapsed += pause
    pytest.fail("a fourth relaunch")


def test_the_last_error_says_that_yesterday_stays_and_what_to_do() -> None:
    error = relaunches.final(Incomplete("page 3 has 99 rows", retry_after_s=2.0), done=3)
    assert isinstance(error, Incomplete)
    assert error.retry_after_s == 2.0
    assert str(error) == (
        "page 3 has 99 rows. It was fetched 4 times within the hour. What was published before stays; "
        "run the sync of this day again when the source answers."
    )
    refused = relaunches.final(Refused("the key ran out: renew it"), done=0)
    assert isinstance(refused, Refused)
    assert "What was published before stays" in str(refused)
