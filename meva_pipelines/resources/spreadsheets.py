"""Spreadsheets opened without trusting them: proved harmless, bounded while unpacking, values only.

What their rows mean is not decided here. Formulas, macros and links to other files are never followed; whether they
are tolerated is for the reader of the rows to say. Broken files raise what their library raises (`BROKEN`).
"""

import csv
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from meva_pipelines.domain.failures import Rejected, Unusable

if TYPE_CHECKING:
    from xlrd.book import Book

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""First bytes of a workbook of the years before 2007 (BIFF in a compound document)."""

ZIP = b"PK\x03\x04"
"""First bytes of a workbook of today (OOXML)."""

BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    csv.Error,
    etree.LxmlError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers raise on hostile input: xlrd and openpyxl trust their files and fail in every possible way."""

MOST_CELLS = 20_000_000
"""Most cells of the rectangle of a sheet that is kept in memory."""

_PLACE = re.compile(rb"""\sr\s*=\s*["']([^"']*)["']""")
_CELL = re.compile(rb"([A-Z]{0,3})([0-9]{1,7})")
_CELL_TAG = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ROW_END = re.compile(rb"</(?:\w+:)?row>|<(?:\w+:)?row[^<>]*/>")
_CHUNK = 1 << 18
_TAIL = 64
_SMALL = 1_000_000
_UTF8_BOM = b"\xef\xbb\xbf"
_XML_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([^\"']+)[\"']")
_FORMULA = re.compile(rb"<f[ >/]")
_FORMULA_WITHOUT_VALUE = re.compile(rb"(?:</f>|<f(?: [^<>]*)?/>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")


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


@dataclass(frozen=True, slots=True)
class Contents:
    """What a workbook (OOXML) carries besides values."""

    has_formulas: bool
    has_formulas_without_values: bool
    has_macros: bool
    has_external_links: bool


@contextmanager
def old_workbook(content: bytes) -> "Iterator[Book]":
    """Lend a workbook of the years before 2007 (BIFF).

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
            yield book
    except (XLRDError, CompDocError):
        raise Rejected("the workbook is damaged, encrypted, or no spreadsheet at all") from None


def prove_harmless(content: bytes, limits: Limits) -> Contents:
    """Decompress every part of a workbook (OOXML) once, counting: what a header says of its size is not believed.

    Raises:
        Rejected: a part grows beyond its bounds, declares entities, is encrypted or occurs twice.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _proved(archive, len(content), limits)


def demand_dense(content: bytes, limits: Limits) -> None:
    """Refuse a workbook (OOXML), proved harmless before, whose cells lie far apart.

    A reader that keeps the whole rectangle of a sheet would ask for half a terabyte for two cells in opposite corners.

    Raises:
        Unusable: `file_is_within_limits`; a cell lies beyond them, or the rectangle has more than `MOST_CELLS` cells.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for part in archive.infolist():
            if part.filename.endswith(".xml"):
                rows, columns = _extent(archive.read(part), is_sheet="/worksheets/" in part.filename)
                if rows > limits.lines or columns > limits.columns or rows * columns > MOST_CELLS:
                    raise Unusable("the cells of a sheet lie too far apart", rule="file_is_within_limits")


def _extent(xml: bytes, *, is_sheet: bool) -> tuple[int, int]:
    """Return how many rows and columns the cells of a sheet can span, named or counted."""
    found = [_CELL.fullmatch(place) for place in set(_PLACE.findall(xml))]
    if is_sheet and not all(found):
        raise Unusable("the cells of a sheet are named as no program names them", rule="file_is_within_limits")
    named_rows = max((int(cell[2]) for cell in found if cell), default=0)
    named_columns = max((_column(cell[1]) for cell in found if cell), default=0)
    lines = _ROW_END.split(xml)
    return max(named_rows, len(lines)), max(named_columns, *(len(_CELL_TAG.findall(line)) for line in lines))


def _column(letters: bytes) -> int:
    """Return the number of a column from its letters, A = 1; 0 for the number of a row."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - ord("A") + 1
    return number


def _proved(archive: zipfile.ZipFile, size: int, limits: Limits) -> Contents:
    parts = archive.infolist()
    names = [part.filename for part in parts]
    _demand_parts(parts, names, limits)
    expanded, has_formulas, lacks_values = 0, False, False
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
                if is_table and b"<f" in seam:
                    has_formulas = has_formulas or _FORMULA.search(seam) is not None
                    lacks_values = lacks_values or _FORMULA_WITHOUT_VALUE.search(seam) is not None
                tail = seam[-_TAIL:]
                _demand_bounds(expanded + own, size, limits)
                if not is_table and own > limits.part_bytes:
                    raise Rejected(f"a part of the workbook that is no table has more than {limits.part_bytes:,} bytes")
        expanded += own
    return Contents(
        has_formulas=has_formulas,
        has_formulas_without_values=lacks_values,
        has_macros=any("vbaProject" in name for name in names),
        has_external_links=any("externalLinks/" in name for name in names),
    )


def _demand_parts(parts: Sequence[zipfile.ZipInfo], names: Sequence[str], limits: Limits) -> None:
    if len(parts) > limits.parts:
        raise Rejected(f"the workbook has {len(parts):,} parts, at most {limits.parts:,} are read")
    if len(set(names)) < len(names):
        raise Rejected("the workbook holds two parts of one name")
    if any(part.flag_bits & 0x1 for part in parts):
        raise Rejected("the workbook is encrypted; save it without a password")


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
