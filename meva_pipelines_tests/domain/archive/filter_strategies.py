"""Hypothesis makes columns' values, filters over them and queries, with every trap that the grammar has."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from meva_pipelines.domain.archive.column_types import (
    Columns,
    ColumnType,
    DateType,
    DecimalType,
    IntegerType,
    MomentType,
    OpaqueType,
    TextType,
)
from meva_pipelines.domain.archive.filters import ORDERING, Both, Condition, Either, Filter, Not, Operator

TEXTS = st.text(st.sampled_from("aB_%\\ é가하\U0001f9ea\n\"',1"), max_size=4)
PATTERNS = st.lists(st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "a", "B", "가", "\n", "é"]), max_size=4).map(
    "".join
)


def values(kind: ColumnType) -> st.SearchStrategy[Any]:
    """Values of a type from a small world, so that equal ones meet."""
    match kind:
        case IntegerType():
            return st.integers(-4, 4) | st.sampled_from([-(1 << 31), (1 << 31) - 1])
        case DecimalType(_, scale):
            return st.integers(-30, 30).map(lambda number: Decimal(number).scaleb(-scale))
        case TextType():
            return TEXTS
        case DateType():
            return st.dates(date(2023, 12, 29), date(2024, 1, 3))
        case MomentType():
            moments = st.datetimes(datetime(2023, 12, 31, 23, 59, 59), datetime(2024, 1, 1, 0, 0, 1))  # noqa: DTZ001 - Hypothesis takes naive ends
            return moments.map(lambda moment: moment.replace(tzinfo=UTC))
        case OpaqueType():
            raise ValueError(f"nothing compares with {kind}")


@st.composite
def conditions(draw: st.DrawFn, columns: Columns) -> Condition:
    field = draw(st.sampled_from(sorted(columns)))
    kind = columns[field]
    operators = set(Operator) if isinstance(kind, TextType) else set(Operator) - {Operator.LIKE}
    operator = draw(st.sampled_from(sorted(operators)))
    if operator is Operator.LIKE:
        return Condition(field, operator, draw(PATTERNS))
    if operator in {Operator.IN, Operator.NOT_IN}:
        return Condition(field, operator, tuple(draw(st.lists(values(kind), max_size=3))))
    nothing = st.nothing() if operator in ORDERING else st.none()
    return Condition(field, operator, draw(values(kind) | nothing))


def trees(columns: Columns) -> st.SearchStrategy[Filter]:
    """Filters over columns."""
    return st.recursive(
        conditions(columns),
        lambda below: st.one_of(
            below.map(Not),
            st.lists(below, min_size=1, max_size=3).map(lambda parts: Both(tuple(parts))),
            st.lists(below, min_size=1, max_size=3).map(lambda parts: Either(tuple(parts))),
        ),
        max_leaves=5,
    )
