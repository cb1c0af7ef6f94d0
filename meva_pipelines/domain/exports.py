"""Which column of an export file feeds which field of its contract, and rows as pages of our own.

Tables are rows of texts here. Formats, encodings and bytes of files belong to `resources/export_files`, what a
value means to `domain/aed.py`. Messages quote headers only: the cells of a file may name people.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

import orjson

from meva_pipelines.domain.contract import TableContract
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Rejected, Unavailable

Cells = Sequence[str | None]

HEADER_ROWS = 20
"""Rows at the top of a table among which the header is looked for: exports begin with titles and blank rows."""

_DATE_IN_NAME = re.compile(r"(?<!\d)(20\d\d)[-._]?(\d\d)[-._]?(\d\d)(?!\d)", re.ASCII)
_SHOWN = 40
_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Fed:
    """One column of a file that feeds a field: position from 0, header as written, field, published column."""

    position: int
    written: str
    field: str
    column: str


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file against its contract.

    `unknown` are headers that no field claims, as written; `missing` are fields that no column feeds.
    """

    width: int
    fed: tuple[Fed, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that the file feeds, in the order of its columns."""
        return tuple(fed.field for fed in self.fed)

    def values(self, cells: Cells) -> list[str | None]:
        """Return the cells of a row that feed a field, in the order of `fields`; a short row ends in None."""
        return [cells[fed.position] if fed.position < len(cells) else None for fed in self.fed]


def exported_at(name: str, modified_at: datetime, *, now: datetime) -> datetime:
    """Return when an export was made, in Korean time: the date that its name tells, else when it was last written.

    Rows of an export carry no time of change. A date in the future is nobody's; so is one of two different ones.
    """
    dates = {found for found in map(_date, _DATE_IN_NAME.findall(name)) if found is not None}
    latest = now.astimezone(SEOUL)
    if len(dates) == 1 and (day := dates.pop()) <= latest.date():
        return datetime.combine(day, time(), SEOUL)
    return min(modified_at.astimezone(SEOUL), latest)


def _date(parts: tuple[str, str, str]) -> date | None:
    try:
        return date(*map(int, parts))
    except ValueError:
        return None


def header_key(text: str) -> str:
    """Return the form of a header in which spellings agree: composed, lower case, letters and digits only.

    The portal writes 배터리_유효기간, people 배터리 유효기간 and 패치 유/무; macOS decomposes Hangul.
    """
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())


def vocabulary(contract: TableContract) -> dict[str, str]:
    """Return the field of a contract for each key of a header; ignored headers stand for themselves.

    Raises:
        ValueError: one spelling stands for two fields.
    """
    known: dict[str, str] = {}
    for field in contract.fields:
        for spelling in (field.source, *field.alternates):
            if known.setdefault(header_key(spelling), field.source) != field.source:
                raise ValueError(f"contract {contract.name}: the header {spelling!r} stands for two fields")
    for name in contract.ignored:
        if known.setdefault(header_key(name), name) != name:
            raise ValueError(f"contract {contract.name}: the header {name!r} is used and ignored")
    return known


def find_header(rows: Sequence[Cells], contract: TableContract) -> tuple[int, Header]:
    """Return the position of the header among the first rows of a table, and what it says.

    Raises:
        Rejected: no row has the key column, a required column is missing, or two columns claim one field.
    """
    known = vocabulary(contract)
    named = [[known.get(header_key(cell)) if cell else None for cell in row] for row in rows[:HEADER_ROWS]]
    position = next((index for index, fields in enumerate(named) if contract.key in fields), None)
    if position is None:
        raise Rejected(_no_key(rows[:HEADER_ROWS], named, contract))
    return position, _header(rows[position], named[position], contract)


def _header(cells: Cells, named: Sequence[str | None], contract: TableContract) -> Header:
    columns = {field.source: field.column for field in contract.fields}
    claims: dict[str, list[str]] = {}
    fed = []
    for position, (cell, field) in enumerate(zip(cells, named, strict=True)):
        if field in columns and cell is not None:
            claims.setdefault(field, []).append(_shown(cell))
            fed.append(Fed(position, _shown(cell), field, columns[field]))
    if twice := {field: found for field, found in claims.items() if len(found) > 1}:
        told = "; ".join(f"{field}: {', '.join(found)}" for field, found in twice.items())
        raise Rejected(f"the header is ambiguous, several columns claim one field ({told}); keep one of each")
    required = [field.source for field in contract.fields if field.required]
    if absent := [name for name in required if name not in claims]:
        unclaimed = [_shown(cell) for cell, field in zip(cells, named, strict=True) if cell and field is None]
        told = "; ".join(f"{name}{_candidates(name, unclaimed, contract)}" for name in absent)
        raise Rejected(f"required columns are missing: {told}")
    return Header(
        width=len(cells),
        fed=tuple(fed),
        unknown=tuple(
            _shown(cell) for cell, field in zip(cells, named, strict=True) if cell and cell.strip() and field is None
        ),
        missing=tuple(name for name in columns if name not in claims),
    )


def _no_key(rows: Sequence[Cells], named: Sequence[Sequence[str | None]], contract: TableContract) -> str:
    best = max(range(len(rows)), key=lambda index: sum(map(bool, named[index])), default=None)
    if best is None:
        return "the table is empty: it has no header"
    unclaimed = [_shown(cell) for cell, field in zip(rows[best], named[best], strict=True) if cell and field is None]
    return (
        f"no column among the first {len(rows)} rows is headed {contract.key}"
        f"{_candidates(contract.key, unclaimed, contract)}; the likeliest header is row {best + 1} with "
        f"{sum(map(bool, named[best]))} of {len(contract.fields)} known columns"
    )


def _candidates(name: str, unclaimed: Sequence[str], contract: TableContract) -> str:
    """Say under which spellings a field is accepted, and which headers of the file resemble one."""
    alternates = next((field.alternates for field in contract.fields if field.source == name), ())
    keys = [header_key(spelling) for spelling in (name, *alternates)]
    alike = [cell for cell in unclaimed if difflib.get_close_matches(header_key(cell), keys, cutoff=_ALIKE)]
    accepted = f"also accepted: {', '.join(alternates)}" if alternates else ""
    resembling = f"candidates in the file: {', '.join(alike)}" if alike else ""
    told = "; ".join(filter(None, (accepted, resembling)))
    return f" ({told})" if told else ""


def _shown(cell: str) -> str:
    return " ".join(cell.split())[:_SHOWN]


def encode_page(header: Header, rows: Sequence[Sequence[str | None]]) -> bytes:
    """Return rows of `Header.values` as one page: JSON, the same bytes for the same rows.

    Raises:
        Rejected: a cell holds what is no Unicode text.
    """
    try:
        return orjson.dumps({"fields": header.fields, "rows": rows})
    except TypeError:
        raise Rejected("a cell holds half a character (a lone surrogate): save the file again") from None


def decode_page(body: bytes) -> list[Mapping[str, object]]:
    """Return the records of a page, under the names of their fields.

    Raises:
        Unavailable: the body is no page of ours.
    """
    try:
        page = orjson.loads(body)
        fields = page["fields"]
        return [dict(zip(fields, row, strict=True)) for row in page["rows"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise Unavailable("a page of export rows is not the one that was written; take the files in again") from None
