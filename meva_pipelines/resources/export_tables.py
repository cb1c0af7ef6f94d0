"""The four forms of a table in a file, each as a stream of rows of texts, within limits that hold while reading.

Which form a file has and what its columns mean is not decided here. Values only: formulas, macros and links to
other files are never followed. Broken files raise what their library raises; `export_files` explains it.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from typing import Any, Literal

from lxml import etree

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import spreadsheets
from meva_pipelines.resources.spreadsheets import Contents, Limits

Row = list[str | None]

_ROW_TAG = re.compile(r"<tr[\s/>]", re.IGNORECASE)
_TABLE_END = re.compile(r"</table", re.IGNORECASE)
_EXACT_FLOAT = 1e15


def csv_rows(text: str, delimiter: str) -> Iterator[Row]:
    """Yield the rows of separated values; quotes are demanded to match."""
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
        yield [cell or None for cell in row]


def html_rows(text: str, limits: Limits) -> Iterator[Row]:
    """Yield the rows of all tables of a page.

    Raises:
        Rejected: the page is cut off, a table lies in another, or a cell reaches over several rows.
    """
    visible = _without_comments(text)
    last_end = max((found.start() for found in _TABLE_END.finditer(visible)), default=-1)
    marked, last_row = 0, -1
    for found in _ROW_TAG.finditer(visible):
        marked, last_row = marked + 1, found.start()
    if last_end < last_row:
        raise Rejected("the HTML ends inside its table: it was cut off; download it again")
    seen, depth = 0, 0
    stream = io.BytesIO(text.encode())
    for event, element in etree.iterparse(
        stream, events=("start", "end"), tag=("table", "tr"), html=True, encoding="utf-8", remove_comments=True
    ):
        if element.tag == "table":
            depth += 1 if event == "start" else -1
            if depth > 1:
                raise Rejected("a table lies inside a table: its columns cannot be told apart")
        elif event == "end":
            seen += 1
            yield _html_row(element, limits)
            element.clear()
            parent = element.getparent()
            while parent is not None and parent[0] is not element:
                del parent[0]
    if seen != marked:
        raise Rejected(f"{marked} rows begin in the HTML, {seen} could be read: damaged; download it again")


def _without_comments(text: str) -> str:
    """Drop the comments in one pass; a comment without an end stays, and with it whatever lies in it."""
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        parts.append(text[at:start])
        at = end + len("-->")
    return "".join([*parts, text[at:]])


def _html_row(element: "etree._Element", limits: Limits) -> Row:
    row: Row = []
    for cell in element.iterchildren("td", "th"):
        if cell.get("rowspan", "1").strip() not in {"1", ""}:
            raise Rejected("a cell reaches over several rows: which device it belongs to cannot be told")
        span = cell.get("colspan", "1").strip()
        text = cell.text if len(cell) == 0 else " ".join(map(str, cell.itertext()))
        row.append(text or None)
        if span not in {"1", ""}:
            width = int(span) if span.isdecimal() and len(span) < len("1000") else limits.columns
            row += [None] * min(width - 1, limits.columns)
    return row


def xls_rows(content: bytes, notes: list[str]) -> Iterator[Row]:
    """Yield the rows of the first sheet of a workbook of the years before 2007 (BIFF).

    Raises:
        Rejected: it is no such workbook, is encrypted or damaged.
    """
    with spreadsheets.old_workbook(content) as book:
        _note_sheets(book.sheet_names(), notes)
        sheet = book.sheet_by_index(0)
        for number in range(sheet.nrows):
            yield _trimmed([_old_text(cell.ctype, cell.value, book.datemode) for cell in sheet.row(number)])


def _old_text(kind: int, value: Any, datemode: Literal[0, 1]) -> str | None:
    import xlrd  # noqa: PLC0415 - needed for one form of files only

    if kind == xlrd.XL_CELL_DATE:
        return _text(xlrd.xldate.xldate_as_datetime(value, datemode))
    if kind == xlrd.XL_CELL_ERROR:
        return xlrd.error_text_from_code.get(value, "#ERROR")
    return _text(bool(value) if kind == xlrd.XL_CELL_BOOLEAN else value)


def xlsx_rows(content: bytes, limits: Limits, notes: list[str]) -> Iterator[Row]:
    """Yield the rows of the first sheet of a workbook (OOXML) after proving that it is harmless to open.

    Raises:
        Rejected: a part grows beyond its bounds, declares entities, is encrypted or occurs twice.
    """
    import openpyxl  # noqa: PLC0415 - needed for one form of files only

    _note_contents(spreadsheets.prove_harmless(content, limits), notes)
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    try:
        _note_sheets([sheet.title for sheet in book.worksheets], notes)
        if not book.worksheets:
            raise Rejected("the workbook has no sheet")
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        for cells in sheet.iter_rows(values_only=True, max_col=limits.columns + 1):
            yield _trimmed([_text(value) for value in cells])
    finally:
        book.close()


def _note_contents(contents: Contents, notes: list[str]) -> None:
    if contents.has_formulas:
        notes.append("cells with formulas: their stored values were read, nothing was calculated")
    if contents.has_macros:
        notes.append("macros were ignored")
    if contents.has_external_links:
        notes.append("links to other files were ignored")


def _note_sheets(names: Sequence[str], notes: list[str]) -> None:
    if len(names) > 1:
        notes.append(f"{len(names)} sheets: only the first was read")


def _text(value: object) -> str | None:
    """Return the value of a cell as the text that the contract's types understand."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ", timespec="seconds")
    return str(value)


def _trimmed(row: Row) -> Row:
    """Drop the blank cells at the end: a sheet has as many columns as it likes."""
    while row and row[-1] is None:
        row.pop()
    return row
