"""Fields of a document that people or programs wrote, read one by one: typed, bounded, and named when they are wrong.

What the fields mean is said in `documents`. Messages never quote a value: a document may name people.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeAlias, TypeVar

from meva_pipelines.domain.failures import Unusable

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
"""What a JSON text holds."""

LONGEST_TEXT = 2_000
FIRST_YEAR, LAST_YEAR = 1990, 2100
"""No time of the simulation system lies outside: a quarter would be made for it."""

DECIMAL_10_4 = 999_999.9999
"""Greatest number that decimal(10,4) holds."""

_LONGEST_NAME, _NAMES_SHOWN = 40, 5
_Day = TypeVar("_Day", date, datetime)


@dataclass(frozen=True)
class Fields:
    """The fields of one object of a document; `path` names the object in messages.

    Every method raises Unusable: `field_is_given` where a required field is absent, `field_is_valid` where its type,
    length or bounds are wrong, `field_is_known` for fields that nobody asked for.
    """

    values: Mapping[str, Plain]
    path: str = ""
    asked: set[str] = field(default_factory=set)

    def text(self, name: str, *, at_most: int = LONGEST_TEXT) -> str:
        """Return a text that must be given."""
        found = self.maybe_text(name, at_most=at_most)
        if found is None:
            raise self._absent(name)
        return found

    def maybe_text(self, name: str, *, at_most: int = LONGEST_TEXT) -> str | None:
        """Return a text, stripped; None where it is absent or blank."""
        found = self._value(name)
        if found is None:
            return None
        if not isinstance(found, str) or "\0" in found or len(found.strip()) > at_most:
            raise self._wrong(name, f"must be a text of at most {at_most} characters")
        return found.strip() or None

    def one_of(self, name: str, choices: Collection[str], *, default: str | None = None) -> str:
        """Return a text of a vocabulary."""
        found = self.maybe_text(name) or default
        if found is None:
            raise self._absent(name)
        if found not in choices:
            raise self._wrong(name, f"must be one of {', '.join(sorted(choices))}")
        return found

    def number(self, name: str, *, least: float | None = None, most: float | None = None) -> float | None:
        """Return a finite number within bounds, both included; None where it is absent."""
        found = self._value(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise self._wrong(name, "must be a number")
        if (least is not None and found < least) or (most is not None and found > most):
            raise self._wrong(name, f"must be between {least} and {most}")
        return float(found)

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number within bounds, both included; None where it is absent."""
        found = self.number(name, least=least, most=most)
        if found is None:
            return None
        if not found.is_integer():
            raise self._wrong(name, "must be a whole number")
        return int(found)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return yes or no."""
        found = self._value(name)
        if found is None:
            return default
        if not isinstance(found, bool):
            raise self._wrong(name, "must be true or false")
        return found

    def moment(self, name: str) -> datetime:
        """Return a time with its offset that must be given."""
        found = self.maybe_moment(name)
        if found is None:
            raise self._absent(name)
        return found

    def maybe_moment(self, name: str) -> datetime | None:
        """Return a time with its offset; None where it is absent."""
        if (text := self.maybe_text(name)) is None:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise self._wrong(name, "must be a time in ISO 8601") from None
        if found.tzinfo is None:
            raise self._wrong(name, "must tell its offset, like +09:00")
        return self._possible(name, found)

    def day(self, name: str) -> date:
        """Return a day that must be given."""
        found = self.maybe_day(name)
        if found is None:
            raise self._absent(name)
        return found

    def maybe_day(self, name: str) -> date | None:
        """Return a day; None where it is absent."""
        if (text := self.maybe_text(name)) is None:
            return None
        try:
            found = date.fromisoformat(text)
        except ValueError:
            raise self._wrong(name, "must be a day in ISO 8601") from None
        return self._possible(name, found)

    def object(self, name: str) -> "Fields":
        """Return the fields of an object; without fields where it is absent."""
        found = self._value(name)
        if found is None:
            return Fields({}, self._named(name))
        if not isinstance(found, dict):
            raise self._wrong(name, "must be an object")
        return Fields(found, self._named(name))

    def objects(self, name: str, *, at_most: int) -> list["Fields"]:
        """Return the objects of a list; none where it is absent."""
        found = self._items(name, at_most)
        if not all(isinstance(item, dict) for item in found):
            raise self._wrong(name, "must be a list of objects")
        return [Fields(item, f"{self._named(name)}[{n}]") for n, item in enumerate(found) if isinstance(item, dict)]

    def numbers(self, name: str, *, at_most: int) -> list[float]:
        """Return a list of numbers; none where it is absent."""
        found = self._items(name, at_most)
        numbers = [float(item) for item in found if isinstance(item, int | float) and not isinstance(item, bool)]
        if len(numbers) < len(found):
            raise self._wrong(name, "must be a list of numbers")
        return numbers

    def demand_no_others(self) -> None:
        """Refuse fields that nobody asked for: what is misspelled must not be ignored."""
        if unknown := sorted(set(self.values) - self.asked):
            shown = [self._named(_printable(name[:_LONGEST_NAME])) for name in unknown[:_NAMES_SHOWN]]
            raise Unusable(f"unknown fields: {', '.join(shown)}", rule="field_is_known", field=shown[0])

    def _items(self, name: str, at_most: int) -> list[Plain]:
        found = self._value(name)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > at_most:
            raise self._wrong(name, f"must be a list of at most {at_most:,} items")
        return found

    def _possible(self, name: str, found: _Day) -> _Day:
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            raise self._wrong(name, f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
        return found

    def _value(self, name: str) -> Plain:
        self.asked.add(name)
        return self.values.get(name)

    def _named(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _absent(self, name: str) -> Unusable:
        return Unusable(f"{self._named(name)} is not given", rule="field_is_given", field=self._named(name))

    def _wrong(self, name: str, expected: str) -> Unusable:
        return Unusable(f"{self._named(name)} {expected}", rule="field_is_valid", field=self._named(name))


def _printable(name: str) -> str:
    """Return a name as it can be stored and shown: PostgreSQL takes no NUL."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
