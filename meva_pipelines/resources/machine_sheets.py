"""Workbooks of testing machines as tables: every sheet, values only, proved harmless before it is opened.

A workbook that could show other numbers than it stores is refused: macros, links to other files, formulas without
stored values. What sheets and columns mean is decided elsewhere.
"""

import io
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from itertools import chain, islice

import numpy as np
from python_calamine import CalamineError, CalamineWorkbook

from meva_pipelines.domain.failures import Rejected, Unusable
from meva_pipelines.domain.tensile import numerals, tables
from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.domain.tensile.tables import Block
from meva_pipelines.resources import spreadsheets
from meva_pipelines.resources.spreadsheets import Limits

Row = Sequence[object]

_HEAD_ROWS = 100
_EXACT_FLOAT = 1e15


class SheetTable:
    """A table in a sheet, not yet read beyond its first rows. `titles` are those of the sheet."""

    separator: str = "sheet"
    titles: tuple[str, ...]

    def __init__(self, title: str, block: Block, rows: Iterable[Row], first_cells: tuple[str, ...]) -> None:
        """Take the table whose numbers are `rows`."""
        self.titles, self.block, self.first_row, self.first_cells = (title,), block, block.first + 1, first_cells
        self.decimal = "."
        self._rows = rows

    def read(self, positions: Sequence[int], limits: Limits) -> Mapping[int, Series]:
        """Read columns, NaN for blanks and errors; texts that hold numbers count as such.

        Raises:
            Unusable: `values_are_numbers` or `file_is_within_limits`, with the row.
        """
        columns = {position: array("d") for position in positions}
        texts: dict[tuple[int, int], str] = {}
        for number, row in enumerate(self._rows):
            if number >= limits.rows:
                raise Unusable(f"the sheet has more than {limits.rows:,} rows", rule="file_is_within_limits")
            for position, column in columns.items():
                value = row[position] if position < len(row) else None
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    column.append(value)
                else:
                    column.append(np.nan)
                    if value is not None and not numerals.is_blank(text := _text(value, limits)):
                        texts[position, number] = text
        values = {position: np.frombuffer(column) if column else np.empty(0) for position, column in columns.items()}
        self._put(values, texts)
        return values

    def _put(self, values: Mapping[int, Series], texts: Mapping[tuple[int, int], str]) -> None:
        """Put the numbers that a sheet holds as texts into their places."""
        numbers = {place: text for place, text in texts.items() if not numerals.is_no_number(text)}
        if not numbers:
            return
        decimal = numerals.decimal_mark("\n".join(numbers.values()).encode())
        if decimal is None:
            raise numerals.undecided()
        self.decimal = decimal
        for (position, number), text in numbers.items():
            value = numerals.number(text, self.decimal)
            if value is None:
                name = self.block.names[position] if position < len(self.block.names) else f"column {position + 1}"
                row = self.first_row + number
                raise Unusable(
                    f"row {row:,} of the column {name!r} is no number", rule="values_are_numbers", field=name, row=row
                )
            values[position][number] = value


def _text(value: object, limits: Limits) -> str:
    """Return the value of a cell as a text; whole numbers without a point, moments as ISO."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return str(int(value))
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    text = str(value)
    if len(text) > limits.characters:
        raise Unusable(f"a cell has more than {limits.characters:,} characters", rule="file_is_within_limits")
    return text


class Sheet:
    """One sheet: its title, its first rows as texts, and all of its rows once."""

    def __init__(self, title: str, rows: Iterator[Row], limits: Limits) -> None:
        """Read the first rows."""
        self.title = title
        self._first = list(islice(rows, _HEAD_ROWS))
        self._others = rows
        self.head = [[_text(cell, limits) for cell in row] for row in self._first]
        if any(len(row) > limits.columns and any(row[limits.columns :]) for row in self.head):
            raise Unusable(f"a sheet has more than {limits.columns} columns", rule="file_is_within_limits")

    def tables(self) -> Iterator[SheetTable]:
        """Yield the tables of the sheet that begin in its first rows; the last goes on to the end."""
        for block in tables.blocks(self.head):
            rows: Iterable[Row] = self._first[block.first : block.end]
            if block.end == len(self.head):
                rows = chain(rows, self._others)
            yield SheetTable(self.title, block, rows, tuple(self.head[block.first]))


def opened(content: bytes, limits: Limits) -> Iterator[Sheet]:
    """Yield the sheets of a workbook, new (OOXML) or old (BIFF).

    Raises:
        Unusable: `workbook_is_harmless`; it carries macros, links to other files or formulas without stored values.
        Rejected: it is damaged, encrypted, or grows beyond its bounds.
    """
    if content.startswith(spreadsheets.OLE):
        yield from _old(content, limits)
        return
    carried = spreadsheets.prove_harmless(content, limits)
    spreadsheets.demand_dense(content, limits)
    for is_carried, what in (
        (carried.has_macros, "macros"),
        (carried.has_external_links, "links to other files"),
        (carried.has_formulas_without_values, "formulas without stored values: open and save it in its program"),
    ):
        if is_carried:
            raise Unusable(f"the workbook has {what}", rule="workbook_is_harmless")
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
            for title in book.sheet_names:
                yield Sheet(title, book.get_sheet_by_name(title).iter_rows(), limits)
    except CalamineError:
        raise Rejected("the workbook is damaged, encrypted, or no spreadsheet at all") from None


def _old(content: bytes, limits: Limits) -> Iterator[Sheet]:
    with spreadsheets.old_workbook(content) as book:
        for title in book.sheet_names():
            sheet = book.sheet_by_name(title)
            yield Sheet(title, (sheet.row_values(number) for number in range(sheet.nrows)), limits)
