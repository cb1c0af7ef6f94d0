"""Periods of the archive: the months and quarters (UTC) that one cold file holds, their names and those of files."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

from meva_pipelines.domain.failures import Refused

FOLDER: Final = "parquet_archive"
"""Folder of the cold files in the object store (seed 004)."""

_NAME = re.compile(r"(?P<year>\d{4})-(?:Q(?P<quarter>[1-4])|(?P<month>0[1-9]|1[0-2]))")


class Span(StrEnum):
    """How much time one cold file holds, as `mgg.retention_policies.file_period` spells it."""

    MONTH = "month"
    QUARTER = "quarter"

    @property
    def months(self) -> int:
        """How many months it is long."""
        return 1 if self is Span.MONTH else 3


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A month or a quarter, half open: [start, end) in UTC."""

    start: datetime
    span: Span

    @classmethod
    def containing(cls, moment: datetime, span: Span) -> Self:
        """Return the period in which a moment with a time zone lies."""
        utc = moment.astimezone(UTC)
        month = utc.month - (utc.month - 1) % span.months
        return cls(datetime(utc.year, month, 1, tzinfo=UTC), span)

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the period of a name: `2024-Q1` or `2024-01`.

        Raises:
            Refused: it is no such name.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise Refused(f"{name!r} names no period: a quarter is written 2024-Q1, a month 2024-01")
        quarter = found["quarter"]
        month = 3 * int(quarter) - 2 if quarter else int(found["month"])
        return cls(datetime(int(found["year"]), month, 1, tzinfo=UTC), Span.QUARTER if quarter else Span.MONTH)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        months = self.start.month - 1 + self.span.months
        return self.start.replace(year=self.start.year + months // 12, month=months % 12 + 1)

    @property
    def name(self) -> str:
        """Its name: `2024-Q1` or `2024-01`."""
        if self.span is Span.MONTH:
            return f"{self.start:%Y-%m}"
        return f"{self.start:%Y}-Q{(self.start.month + 2) // 3}"

    def file_name(self, generation: int) -> str:
        """Return the name of a cold file: the seed's for the first generation, `2024-Q1.g2.parquet` for later ones."""
        return f"{self.name}.parquet" if generation == 1 else f"{self.name}.g{generation}.parquet"
