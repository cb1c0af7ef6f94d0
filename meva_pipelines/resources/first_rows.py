"""What a row must have to be among the first of an answer, as far as its rows have come: others need not be read.

It is a matter of the first field of the order alone, and sound: rows that are equal there may still be needed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Filter, Operator
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.resources import archive_predicates

_MOST_ROWS: Final = 65_536
"""Of an answer that may be longer, nothing is kept."""


@dataclass(slots=True)
class FirstRows:
    """The best values so far of the field by which an answer is sorted first; of none, nothing is kept."""

    sort: Sort | None = None
    rows: int = 0
    values: pa.Array | None = None

    @classmethod
    def of(cls, asked: Query) -> Self:
        """Return those of a question, whose limit counts the rows that its offset leaves out as well."""
        if asked.sort and asked.limit and asked.limit <= _MOST_ROWS:
            return cls(asked.sort[0], asked.limit)
        return cls()

    @property
    def is_descending(self) -> bool:
        """Whether the greatest values come first."""
        return self.sort is not None and self.sort.is_descending

    def watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield those rows of the answer, each of a key of its own, that no others have left behind by now."""
        for batch in batches:
            if self.sort:
                self._add(self.sort, batch.column(self.sort.field).drop_null())
            bound = self.bound()
            yield batch if bound == EVERYTHING else batch.filter(archive_predicates.expression(bound, batch.schema))

    def bound(self) -> Filter:
        """Return a filter that every further row of the answer passes. NULLs stand last: behind enough values, none."""
        if self.sort is None or self.values is None or len(self.values) < self.rows:
            return EVERYTHING
        operator = Operator.GTE if self.is_descending else Operator.LTE
        return Condition(self.sort.field, operator, self.values[-1].as_py())

    def _add(self, sort: Sort, found: pa.Array) -> None:
        every = found if self.values is None else pa.concat_arrays([self.values, found])
        order = [(sort.field, "descending" if self.is_descending else "ascending")]
        self.values = every.take(pc.select_k_unstable(every, self.rows, order))
