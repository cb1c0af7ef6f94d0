"""Workbooks of measured pressure curves: proved harmless and dense before they are opened.

What the rows mean is decided in `domain/simulation/sheets`. A workbook that could show other numbers than it stores
is refused: macros, links to other files, formulas without stored values, a second sheet with values.
"""

import io
from collections.abc import Iterator
from typing import Final

from python_calamine import CalamineError, CalamineWorkbook

from meva_pipelines.domain.failures import MevaError, Unusable
from meva_pipelines.domain.simulation import curves, sheets
from meva_pipelines.domain.simulation.sheets import Cell, Sheet
from meva_pipelines.resources import spreadsheets
from meva_pipelines.resources.spreadsheets import Limits

LIMITS: Final = Limits(
    rows=curves.MOST_POINTS,
    lines=curves.MOST_POINTS + 1_000,
    columns=16,
    characters=2_000,
    expanded_bytes=100_000_000,
    parts=200,
    part_bytes=5_000_000,
)
"""A curve of 4,000 rows takes 0.4 MB unpacked."""


def read(content: bytes, limits: Limits = LIMITS) -> Sheet:
    """Read the curve of a workbook (OOXML).

    Raises:
        Unusable: a rule of `sheets.read` with its row, or `workbook_is_readable`, `workbook_is_harmless`,
            `file_is_within_limits`.
    """
    if not content.startswith(spreadsheets.ZIP):
        raise Unusable("the file is no workbook of the form .xlsx", rule="workbook_is_readable")
    try:
        _demand_harmless(content, limits)
        return sheets.read(_rows(content, limits))
    except Unusable:
        raise
    except MevaError as error:
        raise Unusable(str(error), rule="file_is_within_limits") from None
    except (CalamineError, *spreadsheets.BROKEN) as error:
        raise Unusable(f"the workbook is damaged ({type(error).__name__})", rule="workbook_is_readable") from None


def _demand_harmless(content: bytes, limits: Limits) -> None:
    carried = spreadsheets.prove_harmless(content, limits)
    spreadsheets.demand_dense(content, limits)
    for is_carried, what in (
        (carried.has_macros, "macros"),
        (carried.has_external_links, "links to other files"),
        (carried.has_formulas_without_values, "formulas without stored values: open and save it in its program"),
    ):
        if is_carried:
            raise Unusable(f"the workbook has {what}", rule="workbook_is_harmless")


def _rows(content: bytes, limits: Limits) -> Iterator[list[Cell]]:
    with CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
        first, *others = [book.get_sheet_by_name(name) for name in book.sheet_names]
        if any(any(cell not in {None, ""} for cell in row) for sheet in others for row in sheet.iter_rows()):
            raise Unusable("the workbook has a second sheet with values", rule="sheet_is_alone")
        for number, cells in enumerate(first.iter_rows(), start=1):
            yield [_cell(value, number, limits) for value in cells]


def _cell(value: object, row: int, limits: Limits) -> Cell:
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value)
    if len(text) > limits.characters:
        raise Unusable(f"a cell has more than {limits.characters:,} characters", rule="file_is_within_limits", row=row)
    return text
