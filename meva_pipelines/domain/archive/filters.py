"""The grammar of filters: conditions of a field, an operator and a value in trees of and, or and not.

As JSON, a tree is `{"field": "pressure", "operator": "gte", "value": 1.5}`, `{"and": [...]}`, `{"or": [...]}` or
`{"not": {...}}`; on a command line, a condition is three words and all conditions must hold. What a NULL does is what
SQL says: a comparison with it is neither true nor false, a row is chosen only by what is true, and `eq null` and
`ne null` ask whether a value is absent or there. Text is compared by code point. In `like`, `%` stands for any text,
`_` for one character, and a backslash takes the meaning from the character behind it.

Fields and their types come from a list of what may be named; how a filter is carried out is elsewhere.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

from meva_pipelines.domain.archive.column_types import Columns, ColumnType, TextType, Value
from meva_pipelines.domain.failures import Refused

MAX_DEPTH: Final = 32
"""How deep a tree may be."""

MAX_VALUES: Final = 10_000
"""How many conditions, and values of their lists, a filter may have."""

_SHOWN_CHARACTERS = 60
_EXAMPLE = '{"field": "simulation_id", "operator": "eq", "value": 42}'


class Operator(StrEnum):
    """What a condition asks (the vocabulary of seed 002)."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "not_in"
    LIKE = "like"


ORDERING: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})
MEMBERSHIP: Final = frozenset({Operator.IN, Operator.NOT_IN})
_NULLABLE = frozenset({Operator.EQ, Operator.NE})


@dataclass(frozen=True, slots=True)
class Condition:
    """A field beside a value: None asks for NULL; the operators `in` and `not_in` have a tuple, which holds no NULL."""

    field: str
    operator: Operator
    value: Value | tuple[Value, ...] | None

    @property
    def listed(self) -> tuple[Value, ...]:
        """The values as a tuple: those of the list, or the only one; empty for NULL."""
        if isinstance(self.value, tuple):
            return self.value
        return () if self.value is None else (self.value,)


@dataclass(frozen=True, slots=True)
class Both:
    """All parts hold; without parts, every row is chosen."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds; without parts, no row is chosen."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false; not chosen are rows for which it is neither true nor false."""

    part: "Filter"


Filter: TypeAlias = Condition | Both | Either | Not
EVERYTHING: Final = Both(())
"""The filter that chooses every row."""


def of_json(text: str, columns: Columns) -> Filter:
    """Read a tree in its JSON form. Numbers are read exactly; decimals, days and moments may be given as text.

    Raises:
        Refused: it is no JSON, no tree, or asks what its field cannot be asked.
    """
    try:
        document = json.loads(
            text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_without_doubles
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"the filter is no JSON: {error}") from None
    found = _tree(document, columns, MAX_DEPTH)
    if _weight(found) > MAX_VALUES:
        raise Refused(f"the filter has more than {MAX_VALUES:,} conditions and values")
    return found


def of_words(conditions: Sequence[tuple[str, str, str]], columns: Columns) -> Filter:
    """Read conditions of three words each, field, operator and value; all of them must hold.

    The word `null` is NULL; `in` and `not_in` take values between commas, or a JSON list.

    Raises:
        Refused: a condition asks what its field cannot be asked.
    """
    return Both(
        tuple(condition(field, operator, _value(operator, word), columns) for field, operator, word in conditions)
    )


def condition(field: str, operator: str, raw: object, columns: Columns) -> Condition:
    """Check a condition against the fields and their types.

    Raises:
        Refused: names the field, the operator, the value and the rule that it breaks.
    """
    try:
        return _condition(field, operator, raw, columns)
    except ValueError as error:
        shown = repr(raw) if len(repr(raw)) <= _SHOWN_CHARACTERS else repr(raw)[:_SHOWN_CHARACTERS] + "…"
        raise Refused(f"filter {field!r} {operator!r} {shown}: {error}") from None


def fields(asked: Filter) -> frozenset[str]:
    """Return the fields that a filter looks at."""
    match asked:
        case Condition(field):
            return frozenset({field})
        case Not(part):
            return fields(part)
        case Both(parts) | Either(parts):
            return frozenset().union(*map(fields, parts))


def affirmative(asked: Filter, *, negated: bool = False) -> Filter:
    """Return an equal filter in which `not` stands only before `like`: true, false and unknown for the same rows."""
    match asked:
        case Not(part):
            return affirmative(part, negated=not negated)
        case Both(parts) | Either(parts):
            turned = tuple(affirmative(part, negated=negated) for part in parts)
            return Both(turned) if isinstance(asked, Both) is not negated else Either(turned)
        case Condition(field, operator, value):
            if not negated:
                return asked
            opposite = _OPPOSITES.get(operator)
            return Not(asked) if opposite is None else Condition(field, opposite, value)


_OPPOSITES = {
    Operator.EQ: Operator.NE,
    Operator.NE: Operator.EQ,
    Operator.GT: Operator.LTE,
    Operator.GTE: Operator.LT,
    Operator.LT: Operator.GTE,
    Operator.LTE: Operator.GT,
    Operator.IN: Operator.NOT_IN,
    Operator.NOT_IN: Operator.IN,
}


def like_expression(pattern: str) -> str:
    """Return the regular expression (RE2) that matches from beginning to end what a pattern of `like` does."""
    pieces = [r"(?s)\A"]
    characters = iter(pattern)
    for character in characters:
        if character in _WILD:
            pieces.append(_WILD[character])
        else:
            pieces.append(re.escape(next(characters) if character == "\\" else character))
    return "".join([*pieces, r"\z"])


_WILD = {"%": ".*", "_": "."}


def _condition(field: str, operator: str, raw: object, columns: Columns) -> Condition:
    if field not in columns:
        raise ValueError(f"there is no such field; there are {', '.join(columns)}")
    if operator not in set(Operator):
        raise ValueError(f"there is no such operator; there are {', '.join(Operator)}")
    return Condition(field, Operator(operator), _typed(Operator(operator), raw, columns[field]))


def _typed(operator: Operator, raw: object, kind: ColumnType) -> Value | tuple[Value, ...] | None:
    if raw is None:
        if operator not in _NULLABLE:
            raise ValueError("null can be asked for only with eq and ne")
        return None
    if operator is Operator.LIKE:
        return _pattern(raw, kind)
    if operator not in MEMBERSHIP:
        return kind.read(raw)
    if not isinstance(raw, list):
        raise ValueError("the operator takes a list of values")  # noqa: TRY004 - the rule of a filter, as the others
    if None in raw:
        raise ValueError("a list holds no null: ask for it with eq null beside the list")
    return tuple(kind.read(one) for one in raw)


def _pattern(raw: object, kind: ColumnType) -> str:
    if not isinstance(kind, TextType):
        raise ValueError("like is for text; the field holds none")  # noqa: TRY004 - the rule of a filter, as the others
    pattern = kind.read(raw)
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise ValueError("a pattern does not end in a single backslash; write two for the character itself")
    return pattern


def _tree(document: object, columns: Columns, depth: int) -> Filter:
    if depth == 0:
        raise Refused(f"the filter is deeper than {MAX_DEPTH} levels")
    if not isinstance(document, dict):
        raise Refused(f"a filter is an object, such as {_EXAMPLE}")
    match document:
        case {"field": str(field), "operator": str(operator), "value": value} if len(document) == 3:
            return condition(field, operator, value, columns)
        case {"and": [_, *_] as parts} if len(document) == 1:
            return Both(tuple(_tree(part, columns, depth - 1) for part in parts))
        case {"or": [_, *_] as parts} if len(document) == 1:
            return Either(tuple(_tree(part, columns, depth - 1) for part in parts))
        case {"not": part} if len(document) == 1:
            return Not(_tree(part, columns, depth - 1))
    raise Refused(
        f"a filter has field, operator and value, such as {_EXAMPLE}, or one of and and or with a list of filters, or "
        f"not with a filter; this one has {', '.join(sorted(map(repr, document)))}"
    )


def _value(operator: str, word: str) -> object:
    if operator not in MEMBERSHIP:
        return None if word == "null" else word
    if not word.startswith("["):
        return word.split(",")
    try:
        return json.loads(word, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"filter {operator!r} {word!r}: the list is no JSON: {error}") from None


def _weight(asked: Filter) -> int:
    match asked:
        case Condition():
            return 1 + len(asked.listed)
        case Not(part):
            return _weight(part)
        case Both(parts) | Either(parts):
            return sum(map(_weight, parts))


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no number of JSON")


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("an object names something twice")
    return document
