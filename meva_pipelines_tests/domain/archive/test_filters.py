"""The grammar of filters: what is read, what is refused and in which words, and what `not` turns into."""

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.archive.column_types import (
    Columns,
    DateType,
    DecimalType,
    IntegerType,
    MomentType,
    OpaqueType,
    TextType,
    Value,
)
from meva_pipelines.domain.archive.filters import (
    MAX_DEPTH,
    MAX_VALUES,
    Both,
    Condition,
    Either,
    Filter,
    Not,
    Operator,
    affirmative,
    fields,
    like_expression,
    of_json,
    of_words,
)
from meva_pipelines.domain.failures import Refused
from meva_pipelines_tests.domain.archive.filter_strategies import PATTERNS, TEXTS, trees, values
from meva_pipelines_tests.domain.archive.naive import holds, is_like

COLUMNS: Columns = {
    "id": IntegerType(64),
    "place": IntegerType(32),
    "pressure": DecimalType(10, 6),
    "notes": TextType(),
    "test_date": DateType(),
    "created_at": MomentType(),
    "hash": OpaqueType(),
}
COMPARED = {name: kind for name, kind in COLUMNS.items() if not isinstance(kind, OpaqueType)}


def written(asked: Filter) -> Any:
    """A filter as its JSON document."""
    match asked:
        case Condition(field, operator, value):
            shown = [told(one) for one in value] if isinstance(value, tuple) else told(value)
            return {"field": field, "operator": operator, "value": shown}
        case Both(parts):
            return {"and": [written(part) for part in parts]}
        case Either(parts):
            return {"or": [written(part) for part in parts]}
        case Not(part):
            return {"not": written(part)}


def told(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal | date) else value


@given(trees(COMPARED))
def test_a_filter_reads_back_from_its_json(asked: Filter) -> None:
    assert of_json(json.dumps(written(asked)), COLUMNS) == asked


@given(trees(COMPARED), st.fixed_dictionaries({name: st.none() | values(kind) for name, kind in COMPARED.items()}))
def test_without_not_a_filter_says_the_same(asked: Filter, row: dict[str, Any]) -> None:
    turned = affirmative(asked)
    assert holds(turned, row) == holds(asked, row)
    assert all(isinstance(part, Condition) and part.operator is Operator.LIKE for part in negated(turned))


def negated(asked: Filter) -> list[Filter]:
    match asked:
        case Condition():
            return []
        case Not(part):
            return [part]
        case Both(parts) | Either(parts):
            return [found for part in parts for found in negated(part)]


@given(TEXTS, PATTERNS)
def test_a_pattern_becomes_an_expression_that_matches_the_same(text: str, pattern: str) -> None:
    expression = like_expression(pattern).replace(r"\z", r"\Z")
    assert bool(re.match(expression, text)) == is_like(text, pattern)


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ("id", 9_223_372_036_854_775_807, 9_223_372_036_854_775_807),
        ("id", "-5", -5),
        ("pressure", "1.5", Decimal("1.500000")),
        ("pressure", "-9999.999999", Decimal("-9999.999999")),
        ("pressure", "0.1000000000", Decimal("0.100000")),
        ("pressure", "-0", Decimal("0.000000")),
        ("pressure", 40, Decimal("40.000000")),
        ("notes", "", ""),
        ("notes", "심장 % 충격기", "심장 % 충격기"),
        ("test_date", "2024-02-29", date(2024, 2, 29)),
        ("created_at", "2024-01-01T09:00:00+09:00", datetime(2024, 1, 1, tzinfo=UTC)),
        ("created_at", "2024-01-01 00:00:00.000001Z", datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("created_at", "2024-01-01T00:00Z", datetime(2024, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_value_gets_the_type_of_its_column(field: str, raw: object, value: Value) -> None:
    found = of_json(json.dumps({"field": field, "operator": "eq", "value": raw}), COLUMNS)
    assert found == Condition(field, Operator.EQ, value)
    assert type(found.value) is type(value)


def test_a_number_of_json_is_read_exactly() -> None:
    """As a binary fraction, 0.1 would be another number and 16777217.1 would lose digits."""
    found = of_json('{"field": "pressure", "operator": "lt", "value": 1234.567891}', COLUMNS)
    assert found == Condition("pressure", Operator.LT, Decimal("1234.567891"))


@pytest.mark.parametrize(
    ("field", "operator", "raw", "rule"),
    [
        ("pid", "eq", 1, "there is no such field; there are id, place, pressure"),
        ('id" = 1 OR 1=1 --', "eq", 1, "there is no such field"),
        ("id", "=", 1, "there is no such operator; there are eq, ne, gt, gte, lt, lte, in, not_in, like"),
        ("id", "eq", 1.5, "whole numbers"),
        ("id", "eq", True, "whole numbers"),
        ("id", "eq", "1; DROP TABLE mgg.users", "whole numbers"),
        ("id", "eq", "٣", "whole numbers"),
        ("id", "eq", 1 << 63, "numbers of 64 bits"),
        ("place", "gt", -(1 << 31) - 1, "numbers of 32 bits"),
        ("pressure", "eq", "1.1234567", "4 digits before the point and 6 behind it"),
        ("pressure", "lt", "10000", "4 digits before the point"),
        ("pressure", "lt", "1e3", "decimal numbers"),
        ("pressure", "lt", "NaN", "decimal numbers"),
        ("pressure", "lt", False, "decimal numbers"),
        ("notes", "eq", 5, "between quotation marks"),
        ("notes", "eq", "a\0b", "NUL"),
        ("notes", "eq", "\ud800", "surrogate"),
        ("notes", "like", "100%\\", "single backslash"),
        ("notes", "like", "\\\\\\", "single backslash"),
        ("id", "like", "1%", "like is for text"),
        ("test_date", "eq", "2023-02-29", "no such day"),
        ("test_date", "eq", "2023-W01-1", "written 2024-01-31"),
        ("created_at", "eq", "2024-01-01", "with their time zone"),
        ("created_at", "eq", "2024-01-01T00:00:00", "with their time zone"),
        ("created_at", "eq", "2024-01-01T00:00:00.0000001Z", "with their time zone"),
        ("created_at", "eq", "0001-01-01T00:00:00+09:00", "no such moment"),
        ("created_at", "eq", "2024-13-01T00:00:00Z", "no such moment"),
        ("hash", "eq", "00", "only whether it is null"),
        ("hash", "in", ["00"], "only whether it is null"),
        ("id", "in", 1, "a list of values"),
        ("id", "not_in", [1, None], "no null"),
        ("id", "in", [1, "x"], "whole numbers"),
        ("id", "gt", None, "only with eq and ne"),
        ("notes", "like", None, "only with eq and ne"),
        ("notes", "eq", ["a"], "between quotation marks"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_refused_with_its_rule(
    field: str, operator: str, raw: object, rule: str
) -> None:
    with pytest.raises(Refused) as refused:
        of_json(json.dumps({"field": field, "operator": operator, "value": raw}), COLUMNS)
    message = str(refused.value)
    assert message.startswith(f"filter {field!r} {operator!r} ")
    assert rule in message


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "5",
        "{}",
        "{",
        '{"field": "id", "operator": "eq"}',
        '{"field": "id", "operator": "eq", "value": 1, "and": []}',
        '{"field": "id", "field": "place", "operator": "eq", "value": 1}',
        '{"field": 5, "operator": "eq", "value": 1}',
        '{"field": "id", "operator": ["eq"], "value": 1}',
        '{"field": "pressure", "operator": "eq", "value": NaN}',
        '{"field": "pressure", "operator": "eq", "value": Infinity}',
        '{"and": []}',
        '{"or": {}}',
        '{"not": []}',
        '{"and": [{"field": "id", "operator": "eq", "value": 1}], "or": []}',
        '{"not": ' * 100_000,
        '{"not": ' * MAX_DEPTH + '{"field": "id", "operator": "eq", "value": 1}' + "}" * MAX_DEPTH,
        json.dumps({"field": "id", "operator": "in", "value": list(range(MAX_VALUES))}),
    ],
)
def test_what_is_no_tree_is_refused(document: str) -> None:
    with pytest.raises(Refused, match="filter"):
        of_json(document, COLUMNS)


def test_words_are_conditions_that_all_must_hold() -> None:
    words = [("id", "gte", "7"), ("notes", "eq", "null"), ("place", "in", "1,2,3"), ("notes", "in", '["a,b", "c"]')]
    assert of_words(words, COLUMNS) == Both(
        (
            Condition("id", Operator.GTE, 7),
            Condition("notes", Operator.EQ, None),
            Condition("place", Operator.IN, (1, 2, 3)),
            Condition("notes", Operator.IN, ("a,b", "c")),
        )
    )


def test_a_list_of_words_that_is_no_json_is_refused() -> None:
    with pytest.raises(Refused, match="no JSON"):
        of_words([("id", "in", "[1, 2")], COLUMNS)


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(Refused) as refused:
        of_words([("id", "eq", "x" * 10_000)], COLUMNS)
    assert len(str(refused.value)) < 200


def test_the_fields_of_a_tree_are_those_of_all_its_conditions() -> None:
    asked = Not(Either((Condition("id", Operator.EQ, 1), Both((Condition("notes", Operator.NE, None),)))))
    assert fields(asked) == {"id", "notes"}
