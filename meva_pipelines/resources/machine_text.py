"""Text files of testing machines as tables: separator and decimal mark told from the bytes.

Tables of numbers are parsed by Arrow, not cell by cell; what the columns mean is `columns`' business. Of files of
several tables one is held at a time.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import numerals, tables
from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.tables import Block, Cells
from meva_pipelines.resources.machine_encodings import Text
from meva_pipelines.resources.spreadsheets import Limits

_HEAD_BYTES = 1 << 17
_HEAD_LINES = 400
_CERTAIN_LINES = 30
_SEPARATORS = "\t;|, "
_NAMES = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "space"}
_BLANKS = [
    "",
    "-",
    "--",
    "---",
    "nan",
    "NaN",
    "NAN",
    "n/a",
    "N/A",
    "#N/A",
    "null",
    "NULL",
    "1.#QNAN",
    "-1.#IND",
    "1.#INF",
]
_NUMBER = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
_DATA = re.compile(r"[\s\d+\-.,;|\"eE]+")
_QUOTED_COMMA = re.compile(rb'(?:^|,)[ ]*"([^"\n]*,[^"\n]*)"', re.MULTILINE)
_NEXT_TEXT = re.compile(rb"\n[ \t;,\"]*(?!nan|inf|n/a)[A-Za-z\x80-\xff#%\[(*=_]", re.IGNORECASE)


class TextTable:
    """A table in a text, not yet parsed beyond its first rows."""

    def __init__(self, text: Text, block: Block, rows: Sequence[Cells], place: "_Place", marks: "_Marks") -> None:
        """Take the table that begins at `place`."""
        self.block, self.first_row, self.separator = block, place.line + 1, _NAMES[marks.separator]
        self.titles: tuple[str, ...] = ()
        self.first_cells = tuple(rows[block.first])
        self.end = place.end
        self._text, self._start, self._marks = text, place.start, marks
        self._decimal, self._was_refused = marks.decimal, False

    @property
    def decimal(self) -> str:
        """The decimal mark: declared, or decided by the whole table."""
        if self._decimal is None:
            self._decimal = self._decided(self._bytes()[:_HEAD_BYTES]) or self._decided(self._bytes())
        if self._decimal is None:
            raise numerals.undecided()
        return self._decimal

    def _bytes(self) -> memoryview:
        return memoryview(self._text.body)[self._start : self.end]

    def _decided(self, part: memoryview) -> str | None:
        """Decide by a part of the table; without any comma in it only the whole table decides."""
        is_whole = len(part) == len(self._bytes())
        if self._marks.separator == ",":
            has_quotes = self._text.body.find(b'"', self._start, self._start + len(part)) >= 0
            numbers = b"\n".join(_QUOTED_COMMA.findall(part)) if has_quotes else b""
            return numerals.decimal_mark(numbers) if numbers or is_whole or not self._was_refused else None
        if not is_whole and b"," not in bytes(part):
            end = len(self._text.body) if self.end is None else self.end
            return "." if self._text.body.find(b",", self._start, end) < 0 else None
        return numerals.decimal_mark(bytes(part))

    def read(self, positions: Sequence[int], limits: Limits) -> Mapping[int, Series]:
        """Parse columns, NaN for blanks; the table ends where text begins.

        Raises:
            Unusable: `rows_are_whole`, `values_are_numbers` or `file_is_within_limits`, with the row.
        """
        names = [str(position) for position in positions]
        if self.end is None:
            try:
                values = self._floats(names, limits)
            except pa.ArrowInvalid:
                self.end = self._next_text()
            else:
                self.end = len(self._text.body)
                return values
        self._decimal, self._was_refused = self._marks.decimal, True
        try:
            return self._floats(names, limits)
        except pa.ArrowInvalid:
            return self._cleaned(names, limits)

    def find_end(self) -> int:
        """Return where the table ends without parsing it."""
        if self.end is None:
            self.end = self._next_text()
        return self.end

    def _next_text(self) -> int:
        found = _NEXT_TEXT.search(self._text.body, self._start)
        return len(self._text.body) if found is None else found.start() + 1

    def _floats(self, names: Sequence[str], limits: Limits) -> Mapping[int, Series]:
        options = arrow_csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.float64()),
            null_values=_BLANKS,
            decimal_point=self.decimal,
        )
        parsed = self._parsed(self._buffer(), options, limits).columns
        parsed.reverse()
        return {int(name): _series(parsed.pop()) for name in names}  # one column at a time is held twice

    def _buffer(self) -> Any:
        end = len(self._text.body) if self.end is None else self.end
        return pa.BufferReader(pa.py_buffer(self._text.body).slice(self._start, end - self._start))

    def _parsed(self, source: Any, options: Any, limits: Limits) -> Any:
        table = arrow_csv.read_csv(
            source,
            read_options=arrow_csv.ReadOptions(column_names=[str(position) for position in range(self.block.width)]),
            parse_options=arrow_csv.ParseOptions(delimiter=self._marks.delimiter),
            convert_options=options,
            memory_pool=pa.system_memory_pool(),  # gives back what it has freed; Arrow's own pool keeps it
        )
        if table.num_rows > limits.rows:
            raise Unusable(f"the table has more than {limits.rows:,} rows", rule="file_is_within_limits")
        return table

    def _cleaned(self, names: Sequence[str], limits: Limits) -> Mapping[int, Series]:
        """Parse what Arrow alone refuses: rows of different width, marks of thousands, signs before numbers."""
        options = arrow_csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            null_values=_BLANKS,
            strings_can_be_null=True,
        )
        try:
            table = self._parsed(self._buffer(), options, limits)
        except pa.ArrowInvalid:
            table = self._parsed(io.BytesIO(self._squared()), options, limits)
        return {int(name): self._numbers(table.column(name).combine_chunks(), int(name)) for name in names}

    def _squared(self) -> bytes:
        """Return the table with rows of one width: blank cells added to short rows, taken from long ones.

        Raises:
            Unusable: `rows_are_whole`; a row has more cells than the table has columns.
        """
        lines = io.StringIO(bytes(self._bytes()).decode(self._text.codec, "replace"), newline="")
        written = io.StringIO(newline="")
        writer = csv.writer(written, delimiter=self._marks.delimiter)
        width = self.block.width
        for number, row in enumerate(csv.reader(lines, delimiter=self._marks.delimiter)):
            if any(cell.strip() for cell in row[width:]):
                raise Unusable(
                    f"row {self.first_row + number:,} has {len(row)} cells and the table {width} columns",
                    rule="rows_are_whole",
                    row=self.first_row + number,
                )
            writer.writerow([*row[:width], *[""] * (width - len(row))])
        return written.getvalue().encode()

    def _numbers(self, cells: Any, position: int) -> Series:
        texts = pc.utf8_trim_whitespace(cells)
        thousands = "." if self.decimal == "," else ","
        for mark in (thousands, "'", "\u00a0", "\u202f", " "):
            texts = pc.replace_substring(texts, mark, "")
        texts = pc.replace_substring(texts, self.decimal, ".")
        is_number = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), fill_value=False)
        is_odd = pc.and_(pc.invert(is_number), pc.fill_null(pc.greater(pc.utf8_length(texts), 0), fill_value=False))
        odd = np.flatnonzero(is_odd.to_numpy(zero_copy_only=False))
        wrong = [row for row in odd if not numerals.is_no_number(texts[int(row)].as_py())]
        if wrong:
            name = self.block.names[position] if position < len(self.block.names) else f"column {position + 1}"
            row = self.first_row + int(wrong[0])
            raise Unusable(
                f"row {row:,} of the column {name!r} is no number", rule="values_are_numbers", field=name, row=row
            )
        return _series(pc.cast(pc.if_else(is_number, pc.utf8_ltrim(texts, "+"), None), pa.float64()))


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class _Marks:
    separator: str
    decimal: str | None

    @property
    def delimiter(self) -> str:
        """What Arrow and csv split at; runs of spaces have been made one tab each."""
        return "\t" if self.separator == " " else self.separator


def _series(column: Any) -> Series:
    values: Series = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return values if values.flags.writeable else values.copy()


def beginning(text: Text, sidecar: Sidecar) -> tuple[list[list[str]], str]:
    """Return the first rows of a text and its separator, told by the longest table in any separator."""
    lines, _ = _head(text, 0)
    allowed = sidecar.separator or _SEPARATORS
    split = {mark: _rows(lines, mark) for mark in allowed}
    lengths = {
        mark: max((block.end - block.first for block in tables.blocks(rows)), default=0) for mark, rows in split.items()
    }
    longest = max(lengths.values())
    if not longest:
        raise Unusable("no table of numbers was found in the text", rule="table_is_found")
    mark = next(mark for mark in allowed if 2 * lengths[mark] > longest)
    return split[mark], mark


def _head(text: Text, start: int) -> tuple[list[str], list[int]]:
    """Return some lines from a byte on, and where each begins (one place more than lines).

    They go as far as a table has certainly begun.
    """
    lines: list[str] = []
    places = [start]
    certain = 0
    at, limit = start, min(len(text.body), start + _HEAD_BYTES)
    while len(lines) < _HEAD_LINES and at < limit and certain < _CERTAIN_LINES:
        end = text.body.find(b"\n", at)
        end = len(text.body) if end < 0 else end + 1
        lines.append(text.body[at:end].decode(text.codec, "replace").rstrip("\r\n"))
        certain = certain + 1 if _DATA.fullmatch(lines[-1]) else 0
        at = end
        places.append(at)
    return lines, places


def _rows(lines: Sequence[str], mark: str) -> list[list[str]]:
    if mark == " ":
        return [line.split() for line in lines]
    return [next(csv.reader([line], delimiter=mark), []) for line in lines]


def found(text: Text, mark: str, *, decimal: str | None, limits: Limits) -> Iterator[TextTable]:
    """Yield the tables of a text in turn; each has to be read, or left, before the next is asked for.

    Raises:
        Unusable: `file_is_within_limits`; a line, a row or the text is longer than allowed.
    """
    if text.body.count(b"\n") > limits.lines:
        raise Unusable(f"the text has more than {limits.lines:,} lines", rule="file_is_within_limits")
    if mark == " ":
        text = Text(re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", text.body), text.codec, text.encoding, text.warnings)
        text = Text(re.sub(rb"[ \t]+", b"\t", text.body), text.codec, text.encoding, text.warnings)
    marks = _Marks(mark, decimal)
    start, line = 0, 0
    while start < len(text.body):
        lines, places = _head(text, start)
        rows = _rows(lines, marks.delimiter)
        _demand_bounds(rows, line, limits)
        block = next(tables.blocks(rows), None)
        if block is None:
            start, line = places[-1], line + len(lines)
            continue
        is_open = block.end == len(rows)
        place = _Place(line + block.first, places[block.first], None if is_open else places[block.end])
        table = TextTable(text, block, rows, place, marks)
        yield table
        start = table.find_end()
        if start < len(text.body):
            line += block.first + text.body.count(b"\n", places[block.first], start)


def _demand_bounds(rows: Sequence[Cells], line: int, limits: Limits) -> None:
    for number, row in enumerate(rows, start=line + 1):
        if len(row) > limits.columns:
            raise Unusable(
                f"row {number:,} has more than {limits.columns} columns", rule="file_is_within_limits", row=number
            )
        if row and max(map(len, row)) > limits.characters:
            raise Unusable(
                f"a cell of row {number:,} has more than {limits.characters:,} characters",
                rule="file_is_within_limits",
                row=number,
            )
