"""Types of the columns of archived tables, and how a value that somebody typed becomes one of a column.

A value that its column could not hold is refused, not rounded and not clipped. What is asked of the values is in
`filters`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = int | Decimal | str | date | datetime
"""A value of a column; NULL is None."""

_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class IntegerType:
    """Whole numbers of so many bits, with a sign."""

    bits: int

    def read(self, raw: object) -> int:
        """Return the value of a number or of its text.

        Raises:
            ValueError: it is none, or none that the column could hold; the message is the rule.
        """
        is_number = isinstance(raw, int) and not isinstance(raw, bool)
        if not is_number and not (isinstance(raw, str) and _WHOLE.fullmatch(raw)):
            raise ValueError("the column holds whole numbers, such as 42")
        value = int(str(raw))
        if not -(1 << (self.bits - 1)) <= value < 1 << (self.bits - 1):
            raise ValueError(f"the column holds numbers of {self.bits} bits")
        return value


@dataclass(frozen=True, slots=True)
class DecimalType:
    """Exact decimal numbers: `precision` digits, `scale` of them behind the point."""

    precision: int
    scale: int

    def read(self, raw: object) -> Decimal:
        """Return the value of a number or of its text, with the scale of the column.

        Raises:
            ValueError: it is none, has more digits than the column, or is a binary fraction; the message is the rule.
        """
        is_number = isinstance(raw, int | Decimal) and not isinstance(raw, bool)
        text = f"{raw:f}" if isinstance(raw, Decimal) else str(raw)
        if not (is_number or isinstance(raw, str)) or not _DECIMAL.fullmatch(text):
            raise ValueError("the column holds decimal numbers, such as -0.125")
        value = Decimal(text)
        _, digits, exponent = value.normalize().as_tuple() if value else (0, (0,), 0)
        behind = max(-int(exponent), 0)
        before = len(digits) + int(exponent)
        if behind > self.scale or before > self.precision - self.scale:
            raise ValueError(
                f"the column holds {self.precision - self.scale} digits before the point and {self.scale} behind it"
            )
        return Decimal(f"{value:.{self.scale}f}")


@dataclass(frozen=True, slots=True)
class TextType:
    """Text, compared by code point."""

    def read(self, raw: object) -> str:
        """Return the text.

        Raises:
            ValueError: it is no text, or none that a database can hold; the message is the rule.
        """
        if not isinstance(raw, str):
            raise ValueError('the column holds text: write it between quotation marks, "like this"')  # noqa: TRY004 - as every other type
        if "\0" in raw or any("\ud800" <= character <= "\udfff" for character in raw):
            raise ValueError("text holds neither a NUL nor half a surrogate pair")
        return raw


@dataclass(frozen=True, slots=True)
class DateType:
    """Days."""

    def read(self, raw: object) -> date:
        """Return the day of its text.

        Raises:
            ValueError: it names no day; the message is the rule.
        """
        if isinstance(raw, str) and _DATE.fullmatch(raw):
            try:
                return date.fromisoformat(raw)
            except ValueError as error:
                raise ValueError(f"there is no such day: {error}") from None
        raise ValueError("the column holds days, written 2024-01-31")


@dataclass(frozen=True, slots=True)
class MomentType:
    """Moments, to the microsecond."""

    def read(self, raw: object) -> datetime:
        """Return the moment of its text, in UTC.

        Raises:
            ValueError: it names no moment, has no time zone, or more than six decimals; the message is the rule.
        """
        if isinstance(raw, str) and _MOMENT.fullmatch(raw):
            try:
                return datetime.fromisoformat(raw).astimezone(UTC)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"there is no such moment: {error}") from None
        raise ValueError("the column holds moments, written with their time zone: 2024-01-31T09:00:00Z or ...+09:00")


@dataclass(frozen=True, slots=True)
class OpaqueType:
    """What has no value to compare with, such as bytes: it can be asked for NULL alone."""

    def read(self, raw: object) -> Value:
        """Return nothing.

        Raises:
            ValueError: always; the message is the rule.
        """
        del raw
        raise ValueError("the column can be asked only whether it is null")


ColumnType: TypeAlias = IntegerType | DecimalType | TextType | DateType | MomentType | OpaqueType
Columns: TypeAlias = Mapping[str, ColumnType]
"""The columns that may be named, in the order of the table."""
