"""Export files of the registry: what a file really is, told from its content, and its rows as pages.

A name proves nothing: the portal calls HTML pages .xls. A file is taken whole or not at all; one that is broken,
too large or has no usable header is Rejected with a reason that quotes no cell. Fetching files is `landing`.
"""

import csv
import gzip
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice

from meva_pipelines.domain import exports
from meva_pipelines.domain.contract import TableContract
from meva_pipelines.domain.exports import Header
from meva_pipelines.domain.failures import MevaError, Rejected
from meva_pipelines.resources import export_tables
from meva_pipelines.resources.export_tables import Row
from meva_pipelines.resources.spreadsheets import BROKEN, OLE, ZIP, Limits

PAGE_ROWS = 1_000

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_HANGUL_RUN = re.compile(rb"(?:[\xea-\xed][\x80-\xbf]{2}){3}")
_TABLE = re.compile("<table", re.IGNORECASE)
_DELIMITERS = ",\t;|"
_GZIP_LEVEL, _GZIP_RATIO = 1, 100


class Form(StrEnum):
    """What a file is."""

    HTML = "HTML table"
    CSV = "CSV"
    XLSX = "xlsx"
    XLS = "xls"


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Some rows of a file as they are stored: JSON, compressed unless it shrinks suspiciously well."""

    rows: int
    encoding: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file read to its end. `encoding` is None where the form has its own."""

    form: Form
    encoding: str | None
    header: Header
    rows: int
    pages: tuple[ExportPage, ...]
    notes: tuple[str, ...]


def read(content: bytes, contract: TableContract, limits: Limits | None = None) -> ExportFile:
    """Read a whole file.

    Raises:
        Rejected: it is no table that can be read, breaks a limit, or has no usable header.
    """
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of styles and extensions that values do not need
        try:
            return _read(content, contract, limits or Limits(), notes)
        except MevaError:
            raise
        except BROKEN as error:
            raise Rejected(f"the file is damaged or not what it looks like ({type(error).__name__})") from None


def _read(content: bytes, contract: TableContract, limits: Limits, notes: list[str]) -> ExportFile:
    form, encoding, rows = _opened(content, contract, limits, notes)
    numbered = _bounded(rows, limits)
    first = list(islice(numbered, exports.HEADER_ROWS))
    position, header = exports.find_header([row for _, row in first], contract)
    records = _records(chain(first[position + 1 :], numbered), header, is_exact=form in {Form.HTML, Form.CSV})
    pages, count = [], 0
    while page := list(islice(records, PAGE_ROWS)):
        count += len(page)
        pages.append(_page(header, page))
    if not count:
        raise Rejected("the table has a header and no rows")
    return ExportFile(form, encoding, header, count, tuple(pages), tuple(notes))


def _opened(
    content: bytes, contract: TableContract, limits: Limits, notes: list[str]
) -> tuple[Form, str | None, Iterator[Row]]:
    if content.startswith(OLE):
        return Form.XLS, None, export_tables.xls_rows(content, notes)
    if content.startswith(ZIP):
        return Form.XLSX, None, export_tables.xlsx_rows(content, limits, notes)
    text, encoding = _decoded(content)
    beginning = text[:65_536].lstrip().lower()
    if beginning.startswith("<"):
        if not _TABLE.search(text):
            raise Rejected("markup without a table: no export; old XML spreadsheets have to be saved as xlsx")
        return Form.HTML, encoding, export_tables.html_rows(text, limits)
    if not text.endswith(("\n", "\r")):
        notes.append("the last line has no line break: whether the file was cut off there cannot be told")
    delimiter = max(_DELIMITERS, key=lambda mark: _known_columns(text, mark, contract))
    return Form.CSV, encoding, export_tables.csv_rows(text, delimiter)


def _known_columns(text: str, delimiter: str, contract: TableContract) -> int:
    """Count the columns that would be known if that were the delimiter."""
    known = exports.vocabulary(contract)
    try:
        first = list(islice(export_tables.csv_rows(text, delimiter), exports.HEADER_ROWS))
    except csv.Error:
        return 0
    return max((sum(exports.header_key(cell or "") in known for cell in row) for row in first), default=0)


def _decoded(content: bytes) -> tuple[str, str]:
    """Return the text of a file and its encoding, which is proved and never guessed at."""
    if not content.strip():
        raise Rejected("the file is empty")
    if content.startswith(_UTF16_BOMS) or b"\0" in content:
        raise Rejected("the file is neither a workbook nor text in UTF-8 or CP949")
    try:
        if content.startswith(_UTF8_BOM):
            return content.decode("utf-8-sig"), "UTF-8 with byte order mark"
        return content.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as error:
        broken_at = error.start
    try:
        text = content.decode("cp949")
    except UnicodeDecodeError as error:
        raise Rejected(
            f"the file is neither UTF-8 (byte {broken_at:,} is not) nor CP949 (byte {error.start:,} is not): "
            "encodings are mixed, or it is no text"
        ) from None
    if mixed := _UTF8_HANGUL_RUN.search(content):
        raise Rejected(f"encodings are mixed: CP949, and UTF-8 at byte {mixed.start():,}; save the file in one")
    return text, "CP949"


def _bounded(rows: Iterable[Row], limits: Limits) -> Iterator[tuple[int, Row]]:
    """Yield the rows that hold a value with their numbers from 1, as long as the limits are kept."""
    filled = 0
    for number, row in enumerate(rows, start=1):
        if number > limits.lines:
            raise Rejected(f"the table has more than {limits.lines:,} lines")
        if not any(row):
            continue
        filled += 1
        if filled > limits.rows + exports.HEADER_ROWS:
            raise Rejected(f"the table has more than {limits.rows:,} rows")
        if len(row) > limits.columns:
            raise Rejected(f"row {number:,} has more than {limits.columns} columns")
        if max(map(len, filter(None, row))) > limits.characters:
            raise Rejected(f"a cell of row {number:,} has more than {limits.characters:,} characters")
        yield number, row


def _records(rows: Iterable[tuple[int, Row]], header: Header, *, is_exact: bool) -> Iterator[list[str | None]]:
    """Yield the fed cells of each row; a row that does not fit the header means that columns have moved."""
    for number, row in rows:
        if any(row[header.width :]):
            raise Rejected(f"row {number:,} has more cells than the header ({len(row)} to {header.width})")
        if is_exact and len(row) < header.width:
            raise Rejected(
                f"row {number:,} has {len(row)} cells and the header {header.width}: cut off, or quoted wrongly"
            )
        yield header.values(row)


def _page(header: Header, rows: list[list[str | None]]) -> ExportPage:
    body = exports.encode_page(header, rows)
    packed = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    is_honest = len(body) < _GZIP_RATIO * len(packed)
    return ExportPage(len(rows), "gzip", packed) if is_honest else ExportPage(len(rows), "identity", body)
