"""What the rows of a measured curve's sheet mean: header rows, units, the note that names the firing, and numbers.

A sheet has two columns. Three or four rows of header come first: names (时间/Time, 压力/Pressure), units ([ms], MPa)
and a note (注释, name). Rows whose two cells are numbers are the curve, which is how the original system reads them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines.domain.simulation import curves, units
from meva_pipelines.domain.simulation.units import Unit

Cell = str | float | None
Cells = Sequence[Cell]

HEADER_ROWS: Final = 20
"""Rows at the top among which the header is looked for."""

LONGEST_NOTE: Final = 100
"""Characters of the note that are read."""

_NOTES: Final = frozenset({"注释", "备注", "note", "comment", "id"})
_MOST_SKIPPED: Final = 0.01


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above the numbers: units of both columns, which of them is the time, the note, and all texts."""

    time: Unit
    pressure: Unit
    time_column: int
    note: str | None
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A sheet read to its end; `skipped_rows` below the header were blank or held no two numbers."""

    header: Header
    time_ms: Series
    pressure_mpa: Series
    skipped_rows: int


def read(rows: Iterable[Cells]) -> Sheet:
    """Read the rows of a sheet, which may be a stream.

    Raises:
        Unusable: `sheet_has_two_columns`, `units_are_written`, `sheet_has_numbers`, `rows_are_numbers` or
            `curve_length`, with the row of the sheet from 1.
    """
    waiting = iter(rows)
    above: list[Cells] = []
    first: Cells | None = None
    for cells in waiting:
        _demand_width(cells, len(above) + 1)
        if numbers(cells) is not None:
            first = cells
            break
        above.append(cells)
        if len(above) > HEADER_ROWS:
            break
    if first is None:
        raise Unusable(f"no row among the first {HEADER_ROWS} holds two numbers", rule="sheet_has_numbers")
    header = _header(above)
    return _numbers(chain([first], waiting), header)


def numbers(cells: Cells) -> tuple[float, float] | None:
    """Return the first two cells of a row if both are numbers."""
    match cells:
        case [float(first), float(second), *_]:
            return first, second
        case _:
            return None


def _demand_width(cells: Cells, row: int) -> None:
    if any(cell is not None for cell in cells[2:]):
        raise Unusable(f"row {row} has more than two columns", rule="sheet_has_two_columns", row=row)


def _header(above: Sequence[Cells]) -> Header:
    note: str | None = None
    written: dict[int, Unit] = {}
    for cells in above:
        texts = [cell.strip() if isinstance(cell, str) else "" for cell in (*cells, None, None)[:2]]
        if texts[0].casefold() in _NOTES:
            note = texts[1][:LONGEST_NOTE] or (
                f"{cells[1]:g}" if len(cells) > 1 and isinstance(cells[1], float) else None
            )
            continue
        for column, text in enumerate(texts):
            found = units.unit(text) or units.unit(text.rpartition("[")[2]) if text else None
            if found is not None:
                written[column] = found
    time_column = next((column for column, found in written.items() if found.is_time), None)
    pressure_column = next((column for column, found in written.items() if not found.is_time), None)
    if time_column is None or pressure_column is None:
        raise Unusable(
            "the header does not name a unit of time and one of pressure, like [ms] and MPa", rule="units_are_written"
        )
    return Header(written[time_column], written[pressure_column], time_column, note, len(above))


def _numbers(rows: Iterable[Cells], header: Header) -> Sheet:
    values: list[tuple[float, float]] = []
    skipped: list[int] = []
    for number, cells in enumerate(rows, start=header.rows + 1):
        _demand_width(cells, number)
        if (pair := numbers(cells)) is not None:
            values.append(pair)
        elif any(cell is not None for cell in cells):
            skipped.append(number)
        if len(values) > curves.MOST_POINTS:
            raise Unusable(f"the sheet has more than {curves.MOST_POINTS:,} rows of numbers", rule="curve_length")
    if len(skipped) > _MOST_SKIPPED * len(values):
        raise Unusable(
            f"{len(skipped)} rows below the header are no two numbers, the first is row {skipped[0]}",
            rule="rows_are_numbers",
            row=skipped[0],
        )
    columns = np.array(values, dtype=np.float64).reshape(-1, 2)
    time, pressure = columns[:, header.time_column], columns[:, 1 - header.time_column]
    return Sheet(header, time * header.time.factor, pressure * header.pressure.factor, len(skipped))
