"""What a filter implies for one field: never too little, and enough to leave files unread."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.archive.column_types import Columns, IntegerType, MomentType, TextType
from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Filter, Operator, fields, of_json
from meva_pipelines.domain.archive.ranges import FIRST, LAST, UNBOUNDED, Ranges, may_lie_between, ranges, relaxed
from meva_pipelines_tests.domain.archive.filter_strategies import trees, values
from meva_pipelines_tests.domain.archive.naive import holds

COLUMNS: Columns = {"id": IntegerType(64), "notes": TextType(), "created_at": MomentType()}
ROWS = st.fixed_dictionaries({name: st.none() | values(kind) for name, kind in COLUMNS.items()})


@given(trees(COLUMNS), ROWS)
def test_a_row_that_is_chosen_lies_in_the_ranges_of_every_field(asked: Filter, row: dict[str, Any]) -> None:
    for name, value in row.items():
        found = ranges(asked, name)
        if holds(asked, row):
            assert found.is_unbounded if value is None else found.touch(value, value)


@given(trees(COLUMNS), st.integers(-6, 6), st.integers(0, 3))
def test_ranges_touch_a_span_whenever_they_hold_one_of_its_values(asked: Filter, low: int, width: int) -> None:
    found = ranges(asked, "id")
    inside = [value for value in range(low, low + width + 1) if found.touch(value, value)]
    assert found.touch(low, low + width) or not inside


@given(trees(COLUMNS))
def test_ranges_are_in_order_and_apart(asked: Filter) -> None:
    parts = ranges(asked, "id").parts
    assert all(low <= high for low, high in parts)
    assert all(before[1] < after[0] for before, after in pairwise(parts))


def of(document: str) -> Ranges:
    return ranges(of_json(document, COLUMNS), "id")


def test_each_value_of_a_list_is_a_range_of_its_own() -> None:
    found = of('{"field": "id", "operator": "in", "value": [900, 5, 5]}')
    assert found.parts == (((0, 5, 0), (0, 5, 0)), ((0, 900, 0), (0, 900, 0)))
    assert not found.touch(6, 899)


def test_conditions_narrow_each_other() -> None:
    found = of(
        '{"and": [{"field": "id", "operator": "gte", "value": 3},'
        ' {"not": {"field": "id", "operator": "gt", "value": 8}}]}'
    )
    assert found.parts == (((0, 3, 0), (0, 8, 0)),)


def test_a_contradiction_leaves_nothing_to_read() -> None:
    found = of(
        '{"and": [{"field": "id", "operator": "lt", "value": 3}, {"field": "id", "operator": "eq", "value": 8}]}'
    )
    assert not found.touch(-(1 << 63), (1 << 63) - 1)


def test_one_open_alternative_opens_everything() -> None:
    found = of(
        '{"or": [{"field": "id", "operator": "eq", "value": 3}, {"field": "notes", "operator": "eq", "value": "a"}]}'
    )
    assert found == UNBOUNDED


def test_what_is_not_asked_is_unbounded() -> None:
    assert ranges(EVERYTHING, "created_at") == UNBOUNDED
    assert ranges(Condition("id", Operator.NE, 3), "id") == UNBOUNDED
    assert ranges(Condition("id", Operator.EQ, None), "id") == UNBOUNDED


def test_moments_bound_the_age() -> None:
    new_year = datetime(2024, 1, 1, tzinfo=UTC)
    found = ranges(Condition("created_at", Operator.GT, new_year), "created_at")
    assert found.parts == (((0, new_year, 1), LAST),)
    assert ranges(Condition("created_at", Operator.LT, new_year), "created_at").parts == ((FIRST, (0, new_year, -1)),)


@given(trees(COLUMNS), ROWS, st.sets(st.sampled_from(sorted(COLUMNS))))
def test_a_relaxed_filter_holds_wherever_the_filter_does(asked: Filter, row: dict[str, Any], names: set[str]) -> None:
    wider = relaxed(asked, sorted(names))
    assert fields(wider) <= names
    assert holds(wider, row) or not holds(asked, row)


@given(
    trees({"one": IntegerType(32), "two": IntegerType(32)}),
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=3).map(sorted),
)
def test_no_key_of_a_chosen_row_is_left_out(asked: Filter, keys: list[tuple[int, int]]) -> None:
    low, between, high = keys
    allowed = [ranges(asked, name) for name in ("one", "two")]
    if holds(asked, dict(zip(("one", "two"), between, strict=True))):
        assert may_lie_between(allowed, low, high)


def test_a_second_value_of_the_key_counts_when_the_first_is_the_same() -> None:
    allowed = [UNBOUNDED, ranges(Condition("two", Operator.EQ, 5), "two")]
    assert not may_lie_between(allowed, (1, 6), (1, 9))
    assert may_lie_between(allowed, (1, 6), (2, 9))
