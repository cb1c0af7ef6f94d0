"""What every form of machine file can do, and the one that most of them are: a text with a table in it.

The declarations of the dialects are in `laboratory_dialects` and `laboratory_zwick`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from meva_pipelines.domain.tensile.recording import Specimen
from meva_pipelines.sandbox import laboratory_tables as tables
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import Column, Heading, Style

_EXCEL_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets count days of the wall clock, without a zone


class Form(Protocol):
    """A dialect as a writer. Variants differ in the order and number of their columns; any number is a variant."""

    @property
    def suffix(self) -> str:
        """Extension of the file names, with its dot."""

    def states(self, variant: int) -> frozenset[str]:
        """Return the fields of `Specimen` that a file of this form states itself; all others need a sidecar."""

    def headings(self, variant: int) -> tuple[Heading, ...]:
        """Return the columns of a variant."""

    def render(self, trials: Sequence[Trial], variant: int) -> Iterator[bytes]:
        """Yield the parts of a file that holds the trials."""


@dataclass(frozen=True, slots=True)
class TextForm:
    """A text: `head` writes everything above the rows, names and units included; `foot` what is below.

    `adorn` changes the columns when all values are known. It holds one trial.
    """

    suffix: str
    encoding: str
    style: Style
    variants: tuple[tuple[Heading, ...], ...]
    head: Callable[[Trial, Sequence[Heading]], str]
    stated: frozenset[str] = frozenset()
    foot: str = ""
    adorn: Callable[[list[Column], Trial], list[Column]] = lambda columns, _trial: columns

    def headings(self, variant: int) -> tuple[Heading, ...]:
        """Return the columns of a variant."""
        return self.variants[variant % len(self.variants)]

    def states(self, _variant: int) -> frozenset[str]:
        """Return the fields of `Specimen` that a file states."""
        return self.stated

    def render(self, trials: Sequence[Trial], variant: int) -> Iterator[bytes]:
        """Yield the parts of a file that holds the one trial."""
        (trial,) = trials
        headings = self.headings(variant)
        columns = self.adorn(tables.columns(headings, trial), trial)
        yield self._encoded(self.head(trial, headings), is_first=True)
        for text in tables.rows(columns, self.style):
            yield self._encoded(text)
        if self.foot:
            yield self._encoded(self.foot)

    def _encoded(self, text: str, *, is_first: bool = False) -> bytes:
        mark = "\ufeff" if is_first and self.encoding == "utf-16-le" else ""
        encoding = "utf-8" if self.encoding == "utf-8-sig" and not is_first else self.encoding
        return (mark + text).encode(encoding)


def joined(headings: Sequence[Heading], spelling: str, separator: str) -> str:
    """Return a row of headings, each spelt with its `{name}` and `{unit}`; one without a unit is its name alone."""
    return separator.join(
        spelling.format(name=heading.name, unit=heading.unit) if heading.unit else heading.name for heading in headings
    )


def dimensions(specimen: Specimen) -> tuple[tuple[str, float], ...]:
    """Return the measured dimensions in mm by their symbols: d0, or a0 and b0."""
    found = {"d0": specimen.diameter_mm, "a0": specimen.thickness_mm, "b0": specimen.width_mm}
    return tuple((symbol, value) for symbol, value in found.items() if value is not None)


def started(specimen: Specimen) -> datetime:
    """Return the wall clock at the beginning of a test.

    Raises:
        ValueError: the specimen has no moment of its test.
    """
    if specimen.started_at is None:
        raise ValueError(f"{specimen.name} has no moment at which its test began")
    return specimen.started_at.replace(tzinfo=None)


def excel_serial(moment: datetime) -> float:
    """Return the days since 1899-12-30 of a wall clock."""
    return (moment - _EXCEL_EPOCH) / timedelta(days=1)
