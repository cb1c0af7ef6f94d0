"""What is due: closed periods that a policy names, wholly older than it says, and under no hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.archive import ageing
from meva_pipelines.domain.archive.ageing import Retention
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.periods import Period

TABLE = TABLES["simulation_time_series"]
QUARTER = Period.named("2024-Q1")
POLICY = Retention(180, is_archived=True, is_deleted_afterwards=True, file_period="quarter", age_column="created_at")
DUE = datetime(2024, 9, 29, tzinfo=UTC)
"""1 April, 180 days and the day of grace."""


def test_a_period_is_due_from_the_moment_on_that_its_last_row_is_old_enough() -> None:
    why = [
        ageing.why_not_archived(TABLE, QUARTER, POLICY, now=now, held_until=None)
        for now in (DUE - timedelta(microseconds=1), DUE)
    ]
    assert why == ["hot until 2024-09-29 00:00 UTC", None]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"is_archived": False}, "archives nothing"),
        ({"file_period": "month"}, "declared with files of a quarter"),
        ({"age_column": "id"}, "by created_at"),
    ],
)
def test_a_policy_that_does_not_fit_archives_nothing(changed: dict[str, Any], said: str) -> None:
    policy = replace(POLICY, **changed)
    assert said in str(ageing.why_not_archived(TABLE, QUARTER, policy, now=DUE, held_until=None))


def test_without_a_policy_nothing_is_due() -> None:
    assert ageing.why_not_archived(TABLE, QUARTER, None, now=DUE, held_until=None)
    assert ageing.why_not_released(TABLE, QUARTER, None, now=DUE, held_until=None)


def test_a_policy_may_archive_and_keep() -> None:
    keeping = replace(POLICY, is_deleted_afterwards=False)
    assert ageing.why_not_archived(TABLE, QUARTER, keeping, now=DUE, held_until=None) is None
    assert "keeps" in str(ageing.why_not_released(TABLE, QUARTER, keeping, now=DUE, held_until=None))
    assert ageing.why_not_released(TABLE, QUARTER, POLICY, now=DUE, held_until=None) is None


def test_a_hold_is_told_with_its_end() -> None:
    held = ageing.why_not_archived(TABLE, QUARTER, POLICY, now=DUE, held_until=datetime(2025, 1, 2, 3, tzinfo=UTC))
    assert held == "held until 2025-01-02 03:00 UTC"


@given(
    now=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - given a zone
    start=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - likewise
    days=st.integers(1, 4_000),
)
def test_nothing_younger_than_its_policy_is_ever_due(now: datetime, start: datetime, days: int) -> None:
    period = Period.containing(start, TABLE.span)
    why = ageing.why_not_archived(TABLE, period, replace(POLICY, hot_days=days), now=now, held_until=None)
    newest = period.end - timedelta(microseconds=1)
    assert (why is None) == (now - newest > timedelta(days=days + 1))
