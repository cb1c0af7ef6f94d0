"""The four forms of a table in a file, each as a stream of rows of texts, within limits that hold while reading.

Which form a file has and what its columns mean is not decided here. Values only: formulas, macros and links to
other files are never followed. Broken files raise what their library raises; `export_files` explains it.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Literal

from lxml import etree

from meva_pipelines.domain.failures import Rejected

Row = list[str | None]

_CHUNK = 1 << 18
_TAIL = 16
_SMALL = 1_000_000
_UTF8_BOM = b"\xef\xbb\xbf"
_XML_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([^\"']+)[\"']")
_ROW_TAG = re.compile(r"<tr[\s/>]", re.IGNORECASE)
_TABLE_END = re.compile(r"</table", re.IGNORECASE)
_EXACT_FLOAT = 1e15


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may hold. The widest cell of a workbook has 32,767 characters, its longest sheet 1,048,576 rows.

    `rows` counts rows with a value, `lines` all of them. `expanded_bytes` and `ratio` bound what a compressed file
    grows to, `part_bytes` each of its parts that is no table.
    """

    rows: int = 500_000
    lines: int = 1_048_576
    columns: int = 200
    characters: int = 32_767
    expanded_bytes: int = 1_000_000_000
    ratio: int = 200
    parts: int = 1_000
    part_bytes: int = 20_000_000


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
    import xlrd  # noqa: PLC0415 - needed for one form of files only
    from xlrd.biffh import XLRDError  # noqa: PLC0415
    from xlrd.compdoc import CompDocError  # noqa: PLC0415

    try:
        with xlrd.open_workbook(
            file_contents=content, logfile=io.StringIO(), on_demand=True, ragged_rows=True, use_mmap=False
        ) as book:
            _note_sheets(book.sheet_names(), notes)
            sheet = book.sheet_by_index(0)
            for number in range(sheet.nrows):
                yield _trimmed([_old_text(cell.ctype, cell.value, book.datemode) for cell in sheet.row(number)])
    except (XLRDError, CompDocError):
        raise Rejected("the workbook is damaged, encrypted, or no spreadsheet at all") from None


def _old_text(kind: int, value: Any, datemode: Literal[0, 1]) -> str | None:
    import xlrd  # noqa: PLC0415 - as above

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

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _prove_harmless(archive, len(content), limits, notes)
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


def _prove_harmless(archive: zipfile.ZipFile, size: int, limits: Limits, notes: list[str]) -> None:
    """Decompress every part once, counting: what a header says of its size is not believed."""
    parts = archive.infolist()
    names = [part.filename for part in parts]
    if len(parts) > limits.parts:
        raise Rejected(f"the workbook has {len(parts):,} parts, at most {limits.parts:,} are read")
    if len(set(names)) < len(names):
        raise Rejected("the workbook holds two parts of one name")
    if any(part.flag_bits & 0x1 for part in parts):
        raise Rejected("the workbook is encrypted; save it without a password")
    expanded, has_formulas = 0, False
    for part in parts:
        is_table = "/worksheets/" in part.filename or part.filename.endswith("sharedStrings.xml")
        own, tail = 0, b""
        with archive.open(part) as stream:
            while chunk := stream.read(_CHUNK):
                if own == 0 and part.filename.endswith((".xml", ".rels")):
                    _demand_utf8(chunk)
                own += len(chunk)
                seam = tail + chunk
                if b"<!DOCTYPE" in seam or b"<!ENTITY" in seam:
                    raise Rejected("the workbook declares entities, which no spreadsheet program does")
                has_formulas = has_formulas or (is_table and (b"<f>" in seam or b"<f " in seam))
                tail = seam[-_TAIL:]
                _demand_bounds(expanded + own, size, limits)
                if not is_table and own > limits.part_bytes:
                    raise Rejected(f"a part of the workbook that is no table has more than {limits.part_bytes:,} bytes")
        expanded += own
    _note_contents(names, has_formulas=has_formulas, notes=notes)


def _demand_bounds(expanded: int, size: int, limits: Limits) -> None:
    if expanded > limits.expanded_bytes:
        raise Rejected(f"the workbook expands to more than {limits.expanded_bytes:,} bytes")
    if expanded > _SMALL and expanded > limits.ratio * size:
        raise Rejected(f"the workbook expands more than {limits.ratio} times: this is no honest table")


def _demand_utf8(beginning: bytes) -> None:
    """Refuse XML in which the words searched for could hide behind another encoding."""
    start = beginning.removeprefix(_UTF8_BOM).lstrip()
    declared = _XML_ENCODING.match(start)
    if start[:1] != b"<" or start[1:2] == b"\0" or (declared and declared[1].lower() not in {b"utf-8", b"us-ascii"}):
        raise Rejected("a part of the workbook is not in UTF-8")


def _note_contents(names: Sequence[str], *, has_formulas: bool, notes: list[str]) -> None:
    if has_formulas:
        notes.append("cells with formulas: their stored values were read, nothing was calculated")
    if any("vbaProject" in name for name in names):
        notes.append("macros were ignored")
    if any("externalLinks/" in name for name in names):
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
