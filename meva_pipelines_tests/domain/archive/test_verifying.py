"""Every part is read within a month, and each night takes its share."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.archive import verifying

START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(1, 200), st.randoms(use_true_random=False))
def test_every_part_is_read_within_a_month_of_nights(parts: int, random: object) -> None:
    shuffle = random.shuffle  # type: ignore[attr-defined]
    numbers = list(range(parts))
    shuffle(numbers)
    read_at: dict[int, datetime | None] = {
        number: START - timedelta(minutes=place) for place, number in enumerate(numbers)
    }
    most = 0
    for night in range(1, 62):
        now = START + timedelta(days=night)
        assert all(moment is not None and now - moment <= timedelta(days=31) for moment in read_at.values())
        wanted = verifying.due(read_at, now=now)
        most = max(most, len(wanted))
        read_at |= dict.fromkeys(wanted, now)
    assert most <= -(-parts // 30) * 2


def test_a_part_that_was_not_read_for_a_month_or_was_damaged_is_read_tonight() -> None:
    now = START + timedelta(days=30)
    read_at = {1: START, 2: now - timedelta(days=1), 3: now - timedelta(days=2), 4: None}
    assert verifying.due(read_at, now=now) == {1, 3, 4}


def test_without_parts_nothing_is_read() -> None:
    assert verifying.due({}, now=START) == frozenset()
