"""The grammar of filters once more, row by row in plain Python: what the real answers are compared with."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meva_pipelines.domain.archive.filters import Both, Condition, Either, Filter, Not, Operator
from meva_pipelines.domain.archive.queries import Query

Row = Mapping[str, Any]


def holds(asked: Filter, row: Row) -> bool | None:
    """True, false, or None for what SQL calls unknown."""
    if isinstance(asked, Not):
        below = holds(asked.part, row)
        return None if below is None else not below
    if isinstance(asked, Both | Either):
        found = [holds(part, row) for part in asked.parts]
        decisive = isinstance(asked, Either)
        if decisive in found:
            return decisive
        return None if None in found else not decisive
    return compare(asked, row[asked.field])


def compare(asked: Condition, value: Any) -> bool | None:
    wanted: Any = asked.value
    if wanted is None:
        return (value is None) is (asked.operator is Operator.EQ)
    if wanted == ():
        return asked.operator is Operator.NOT_IN
    return None if value is None else _COMPARISONS[asked.operator](value, wanted)


def is_like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    if first == "%":
        return any(is_like(text[start:], rest) for start in range(len(text) + 1))
    if not text:
        return False
    if first == "\\":
        return text[0] == rest[0] and is_like(text[1:], rest[1:])
    return first in {"_", text[0]} and is_like(text[1:], rest)


_COMPARISONS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
    Operator.IN: lambda value, wanted: value in wanted,
    Operator.NOT_IN: lambda value, wanted: value not in wanted,
    Operator.LIKE: is_like,
}


def answer(query: Query, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows that a query is answered with; unsorted ones in the order in which they are given."""
    found = [row for row in rows if holds(query.filter, row)]
    if query.sort:
        found.sort(key=lambda row: tuple(row[name] for name in query.table.key))
        for sort in reversed(query.sort):
            there = [row for row in found if row[sort.field] is not None]
            there.sort(key=lambda row: row[sort.field], reverse=sort.is_descending)
            found = there + [row for row in found if row[sort.field] is None]
    end = None if query.limit is None else query.offset + query.limit
    return [{name: row[name] for name in query.columns} for row in found[query.offset : end]]
