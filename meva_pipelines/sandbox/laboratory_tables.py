"""Columns of machine files and how a table of them is written as text, block by block.

Spelling of numbers only: which columns a dialect has, and what stands above them, is in the dialects. The factors of
the units stand here a second time on purpose: generated files are evidence that is independent of the readers.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.sandbox.laboratory_measuring import Measured, Trial

_ROWS_AT_ONCE: Final = 20_000
_EXPONENT = re.compile(r"e([+-])(\d\d)(?!\d)")

UNITS: Final[Mapping[str, float]] = {
    "s": 1.0,
    "sec": 1.0,
    "N": 1.0,
    "kN": 1e3,
    "lbf": 4.4482216152605,
    "mm": 1.0,
    "µm": 1e-3,
    "in": 25.4,
    "%": 1e-2,
    "mm/mm": 1.0,
    "-": 1.0,
    "": 1.0,
    "MPa": 1.0,
    "kpsi": 6.894757293168361,
}
"""Factor of each unit to N, mm, s, ratio or MPa. ksi from the exact pound (0.45359237 kg) and inch (25.4 mm)."""


class Channel(StrEnum):
    """What a column shows of a trial."""

    TIME = "time"
    FORCE = "force"
    EXTENSION = "extension"
    CROSSHEAD = "crosshead"
    ABSOLUTE = "absolute position of the crosshead"
    STRAIN = "strain"
    STRESS = "stress"
    TRUE_STRAIN = "true strain"
    TRUE_STRESS = "true stress"
    NOTHING = "nothing"


POSITION_MM: Final = 785.175
"""Where the crosshead stands at the beginning of a test, for the columns that count from the frame."""

EXTENSIONS: Final = frozenset({Channel.EXTENSION, Channel.STRAIN})
"""Channels that only an extensometer gives."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A column before it has values: its name, its unit as a key of `UNITS`, and what it shows.

    `digits` are significant ones, in scientific notation where `is_scientific`; 17 stand for the shortest text that
    reads back exactly. Times always have as many decimals as their step needs.
    """

    name: str
    unit: str
    channel: Channel
    digits: int = 6
    is_scientific: bool = False


@dataclass(frozen=True, slots=True)
class Style:
    """How the rows of a table are spelt. `exponent_digits` 3 writes 5e-005, as old Windows programs do."""

    separator: str
    decimal: str = "."
    newline: str = "\n"
    trailing: str = ""
    exponent_digits: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column with its values, and the text of one cell as a `%` format."""

    heading: Heading
    values: Series | Sequence[str]
    spelling: str


def column(heading: Heading, trial: Trial) -> Column:
    """Return a column of a trial in the unit of its heading."""
    values = values_of(heading.channel, trial) / UNITS[heading.unit]
    if heading.channel is Channel.TIME:
        step = float(trial.measured.time_s[-1] - trial.measured.time_s[-2])
        return Column(heading, values, f"%.{max(2, 2 - math.floor(math.log10(step)))}f")
    if heading.digits >= 17:
        return Column(heading, values, "%r")
    if heading.is_scientific:
        return Column(heading, values, f"%.{heading.digits - 1}E")
    return Column(heading, values, f"%.{heading.digits}g")


def columns(headings: Sequence[Heading], trial: Trial) -> list[Column]:
    """Return the columns of a trial."""
    return [column(heading, trial) for heading in headings]


def values_of(channel: Channel, trial: Trial) -> Series:
    """Return a channel of a trial in N, mm, s, ratios or MPa; true values are NaN from the maximum on."""
    measured, specimen = trial.measured, trial.specimen
    if channel in _AS_MEASURED:
        return _AS_MEASURED[channel](measured)
    strain = measured.extension_mm / (specimen.gauge_length_mm or math.nan)
    if channel is Channel.STRAIN:
        return strain
    stress = measured.force_n / (specimen.area_mm2 or math.nan)
    if channel is Channel.STRESS:
        return stress
    uniform = np.where(np.arange(len(stress)) < np.argmax(stress), 1.0, np.nan)
    return uniform * (np.log1p(strain) if channel is Channel.TRUE_STRAIN else stress * (1.0 + strain))


_AS_MEASURED: Final[Mapping[Channel, Callable[[Measured], Series]]] = {
    Channel.TIME: lambda measured: measured.time_s,
    Channel.FORCE: lambda measured: measured.force_n,
    Channel.EXTENSION: lambda measured: measured.extension_mm,
    Channel.CROSSHEAD: lambda measured: measured.crosshead_mm,
    Channel.ABSOLUTE: lambda measured: measured.crosshead_mm + POSITION_MM,
    Channel.NOTHING: lambda measured: np.zeros_like(measured.force_n),
}


def rows(table: Sequence[Column], style: Style) -> Iterator[str]:
    """Yield the rows of a table as texts of many lines each."""
    line = style.separator.join(each.spelling for each in table) + style.trailing + style.newline
    length = len(table[0].values)
    for start in range(0, length, _ROWS_AT_ONCE):
        part = [_cells(each, start) for each in table]
        text = (line * len(part[0])) % tuple(chain.from_iterable(zip(*part, strict=True)))
        if style.exponent_digits == 3:
            text = _EXPONENT.sub(r"e\g<1>0\g<2>", text)
        yield text if style.decimal == "." else text.replace(".", style.decimal)


def _cells(each: Column, start: int) -> Sequence[float | str]:
    part = each.values[start : start + _ROWS_AT_ONCE]
    if isinstance(part, np.ndarray):
        cells: list[float | str] = part.tolist()
        return cells
    return list(part)
