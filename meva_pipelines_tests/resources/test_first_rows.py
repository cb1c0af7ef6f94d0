"""What the first rows of an answer say of the others: whoever belongs among them passes, enough others do not."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Operator
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.resources.first_rows import FirstRows
from meva_pipelines_tests.domain.archive.naive import answer, holds
from meva_pipelines_tests.resources.cold_worlds import HISTORY

FIELD = "consecutive_missing_days"
BATCHES = st.lists(st.lists(st.none() | st.integers(-4, 4), max_size=5), max_size=5)


def watched(first: FirstRows, values: list[int | None]) -> None:
    (left,) = first.watched([pa.record_batch({FIELD: pa.array(values, pa.int32())})])
    assert left.to_pylist() == [row for row in ({FIELD: value} for value in values) if holds(first.bound(), row)]


def asked(limit: int | None, *, is_descending: bool = False) -> Query:
    return Query(HISTORY, columns=("history_id",), sort=(Sort(FIELD, is_descending),), limit=limit)


@given(batches=BATCHES, limit=st.integers(1, 8), is_descending=st.booleans())
def test_every_row_of_the_answer_passes_whatever_came_before(
    *, batches: list[list[int | None]], limit: int, is_descending: bool
) -> None:
    query = asked(limit, is_descending=is_descending)
    rows: list[dict[str, Any]] = [
        {"history_id": number, FIELD: value}
        for number, value in enumerate(value for batch in batches for value in batch)
    ]
    chosen = [rows[row["history_id"]] for row in answer(query, rows)]
    first = FirstRows.of(query)
    for values in batches:
        watched(first, values)
        assert all(holds(first.bound(), row) for row in chosen)


@pytest.mark.parametrize(
    ("is_descending", "bound"),
    [(False, Condition(FIELD, Operator.LTE, 2)), (True, Condition(FIELD, Operator.GTE, 2))],
)
def test_the_last_of_enough_values_bounds(is_descending: bool, bound: Condition) -> None:  # noqa: FBT001 - a case
    first = FirstRows.of(asked(3, is_descending=is_descending))
    watched(first, [5, None, 2])
    assert first.bound() == EVERYTHING
    watched(first, [3, 1, None, 1])
    assert first.bound() == bound


@pytest.mark.parametrize("query", [asked(None), asked(0), asked(1 << 40), Query(HISTORY, limit=1)])
def test_without_an_order_and_a_moderate_limit_nothing_is_kept(query: Query) -> None:
    first = FirstRows.of(query)
    watched(first, [1, 2, 3])
    assert (first.bound(), first.values) == (EVERYTHING, None)
