"""A question to an archived table: which rows, which columns, in which order, how many. Answered elsewhere.

Sorted rows come in one total order: NULLs last whichever way a field is sorted, text by code point, and rows that are
equal in every sorted field by the key of the table. Rows that nobody sorted come in no order that is promised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from meva_pipelines.domain.archive.column_types import Columns, OpaqueType
from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.filters import EVERYTHING, Filter, fields
from meva_pipelines.domain.failures import Refused

MAX_ROWS = 1 << 62
"""Greatest limit and offset."""


@dataclass(frozen=True, slots=True)
class Sort:
    """A field to sort by."""

    field: str
    is_descending: bool = False

    @classmethod
    def of_word(cls, word: str) -> Self:
        """Read `field`, or `-field` for the descending order."""
        return cls(word.removeprefix("-"), word.startswith("-"))


@dataclass(frozen=True, slots=True)
class Query:
    """A question. No columns: all that may be named. No limit: all rows."""

    table: Archived
    filter: Filter = EVERYTHING
    columns: tuple[str, ...] = ()
    sort: tuple[Sort, ...] = ()
    limit: int | None = None
    offset: int = 0

    def settled(self, columns: Columns) -> Self:
        """Return the question with its columns named, when everything that it asks for is among `columns`.

        Raises:
            Refused: says which part of the question cannot be answered, and why.
        """
        _demand_known("filter", sorted(fields(self.filter)), columns)
        _demand_known("columns", self.columns, columns)
        _demand_known("sort", [one.field for one in self.sort], columns)
        if unordered := [one.field for one in self.sort if isinstance(columns[one.field], OpaqueType)]:
            raise Refused(f"sort {unordered[0]!r}: the field has no order")
        for name, number in (("limit", self.limit), ("offset", self.offset)):
            if number is not None and not 0 <= number <= MAX_ROWS:
                raise Refused(f"{name} {number}: it is a number of rows, from 0")
        if self.offset and not self.sort:
            raise Refused(f"offset {self.offset}: rows are left out in a sorted order only; say what to sort by")
        return replace(self, columns=self.columns or tuple(columns))


def _demand_known(part: str, names: Sequence[str], columns: Columns) -> None:
    for position, name in enumerate(names):
        if name not in columns:
            raise Refused(f"{part} {name!r}: there is no such field; there are {', '.join(columns)}")
        if name in names[:position]:
            raise Refused(f"{part} {name!r}: it is named twice")
