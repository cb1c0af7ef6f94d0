"""The ±10 % rule over counts, and which published runs may be taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain import guards
from meva_pipelines.domain.guards import Excess, Limit

LIMIT = Limit(pct=10.0, rows=10)


@pytest.mark.parametrize(
    ("before", "after", "is_excess"),
    [
        (1000, 900, False),
        (1000, 899, True),
        (1000, 1100, False),
        (1000, 1101, True),
        (7, 0, False),
        (10, 0, False),
        (11, 0, True),
        (100, 89, True),
        (20, 10, False),
        (0, 5000, False),
    ],
)
def test_a_change_is_too_large_when_it_exceeds_both_limits(before: int, after: int, is_excess: bool) -> None:  # noqa: FBT001 - a table of cases
    assert bool(guards.excesses({"11": before}, {"11": after}, LIMIT)) is is_excess


def test_a_scope_that_vanished_lost_everything() -> None:
    (excess,) = guards.excesses({"11": 50}, {}, LIMIT)
    assert (excess.after, excess.change_pct) == (0, -100.0)
    assert str(excess) == "11: 50 → 0 (-100.0 %)"


def test_the_worst_comes_first() -> None:
    found = guards.excesses({"a": 100, "b": 100, "c": 100}, {"a": 80, "b": 180, "c": 100}, LIMIT)
    assert [excess.scope for excess in found] == ["b", "a"]


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0.1, 100), st.integers(0, 1000))
def test_an_excess_is_exactly_a_change_beyond_both_limits(before: int, after: int, pct: float, rows: int) -> None:
    found = guards.excesses({"x": before}, {"x": after}, Limit(pct, rows))
    beyond = abs(after - before) > rows and abs(after - before) * 100 > pct * before
    assert found == ([Excess("x", before, after)] if beyond else [])


@pytest.mark.parametrize(
    ("runs", "allowed"),
    [
        ({}, set()),
        ({1: None}, {1}),
        ({1: None, 2: None}, {2}),
        ({1: None, 2: None, 3: 2}, {1, 3}),
        ({1: None, 2: None, 3: 2, 4: 1}, {4}),
        ({1: None, 2: None, 3: 2, 4: 3}, {2, 4}),
        ({1: None, 2: 1, 3: None}, {3}),
        ({1: None, 2: 1, 3: 2, 4: 3}, {4}),
    ],
)
def test_only_the_newest_effective_run_or_the_last_rollback_can_be_taken_back(
    runs: dict[int, int | None], allowed: set[int]
) -> None:
    assert guards.undoable(runs) == allowed
