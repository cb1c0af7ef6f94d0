"""Which values a field can have in the rows that a filter chooses: what need not be read. Sound, never exact.

A row that is chosen has a value inside the ranges, or the ranges are unbounded and say nothing, not even that it is
not NULL. A value inside the ranges need not be chosen.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from meva_pipelines.domain.archive.column_types import Value
from meva_pipelines.domain.archive.filters import (
    EVERYTHING,
    Both,
    Condition,
    Either,
    Filter,
    Not,
    Operator,
    affirmative,
)

End: TypeAlias = tuple[Any, ...]
"""An end of a range, to be compared with others: one of the two below, or (0, value, side), where the side is 0 for the
value itself, 1 for right behind it and -1 for right before it."""

FIRST: Final[End] = (-1,)
"""Before every value."""

LAST: Final[End] = (1,)
"""Behind every value."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of one field from end to end, in order and apart from each other; none: no row is chosen."""

    parts: tuple[tuple[End, End], ...]

    @property
    def is_unbounded(self) -> bool:
        """Whether they say nothing."""
        return self.parts == ((FIRST, LAST),)

    def touch(self, low: Value, high: Value) -> bool:
        """Return whether a value from `low` to `high`, both inside, can be in a chosen row."""
        place = bisect_left(self.parts, (0, low, 0), key=lambda part: part[1])
        return place < len(self.parts) and self.parts[place][0] <= (0, high, 0)


UNBOUNDED: Final = Ranges(((FIRST, LAST),))


def may_lie_between(keys: Sequence[Ranges], low: Sequence[Value], high: Sequence[Value]) -> bool:
    """Return whether a chosen row can have a key from `low` to `high`, both inside, compared value by value.

    A further value counts only where both keys agree so far: before that, it may be anything in between.
    """
    for allowed, first, last in zip(keys, low, high, strict=True):
        if not allowed.touch(first, last):
            return False
        if first != last:
            return True
    return True


def relaxed(asked: Filter, fields: Iterable[str]) -> Filter:
    """Return a filter on some fields alone that holds wherever the given one does: what their ranges say."""
    return Both(tuple(_inside(field, ranges(asked, field)) for field in fields))


def _inside(field: str, allowed: Ranges) -> Filter:
    if allowed.is_unbounded:
        return EVERYTHING
    return Either(tuple(Both(_between(field, low, high)) for low, high in allowed.parts))


def _between(field: str, low: End, high: End) -> tuple[Filter, ...]:
    if low == high:
        return (Condition(field, Operator.EQ, low[1]),)
    above = () if low == FIRST else (Condition(field, Operator.GT if low[2] else Operator.GTE, low[1]),)
    below = () if high == LAST else (Condition(field, Operator.LT if high[2] else Operator.LTE, high[1]),)
    return above + below


def ranges(asked: Filter, field: str) -> Ranges:
    """Return the ranges of a field that a filter implies."""
    return _of(affirmative(asked), field)


def _of(asked: Filter, field: str) -> Ranges:
    match asked:
        case Both(parts):
            found = UNBOUNDED
            for part in parts:
                found = _common(found, _of(part, field))
            return found
        case Either(parts):
            return _union(one for part in parts for one in _of(part, field).parts)
        case Condition() if asked.field == field:
            return _of_condition(asked)
        case Condition() | Not():
            return UNBOUNDED


def _of_condition(asked: Condition) -> Ranges:
    ends: list[End] = [(0, value, _SIDES.get(asked.operator, 0)) for value in asked.listed]
    match asked.operator:
        case Operator.EQ | Operator.IN if asked.value is not None:
            return _union((end, end) for end in ends)
        case Operator.GT | Operator.GTE:
            return Ranges(((ends[0], LAST),))
        case Operator.LT | Operator.LTE:
            return Ranges(((FIRST, ends[0]),))
        case _:
            return UNBOUNDED


_SIDES = {Operator.GT: 1, Operator.LT: -1}


def _union(parts: Iterable[tuple[End, End]]) -> Ranges:
    joined: list[tuple[End, End]] = []
    for low, high in sorted(parts):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return Ranges(tuple(joined))


def _common(one: Ranges, other: Ranges) -> Ranges:
    """Walk both sides in order; the range that ends first can meet nothing further."""
    found: list[tuple[End, End]] = []
    left, right = 0, 0
    while left < len(one.parts) and right < len(other.parts):
        (low, high), (other_low, other_high) = one.parts[left], other.parts[right]
        if max(low, other_low) <= min(high, other_high):
            found.append((max(low, other_low), min(high, other_high)))
        if high < other_high:
            left += 1
        else:
            right += 1
    return Ranges(tuple(found))
