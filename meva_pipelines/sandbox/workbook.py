"""Workbooks as spreadsheet programs read them, with the fewest parts and without a clock: equal sheets, equal bytes.

Texts stand inline in their cells. Which sheets there are is for the makers of exports and machine files to say.
"""

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from xml.sax.saxutils import escape, quoteattr


@dataclass(frozen=True, slots=True)
class RichText:
    """A text of which every second part is set low: `RichText(("F", "max"))` is F with the index max."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula with the value that the program last computed."""

    text: str
    value: float


Cell: TypeAlias = str | float | RichText | Formula | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet and its rows from the top; an empty row is one without cells."""

    name: str
    rows: Iterable[Sequence[Cell]]


_DATE: Final = (1980, 1, 1, 0, 0, 0)
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006"
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_MEDIA: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def written(sheets: Sequence[Sheet]) -> bytes:
    """Return the workbook that holds the sheets."""
    numbered = list(enumerate(sheets, start=1))
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_MEDIA}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{_MEDIA}.worksheet+xml"/>'
            for number, _ in numbered
        )
        + "</Types>",
        "_rels/.rels": _relations([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}/relationships"><sheets>'
        + "".join(
            f'<sheet name={quoteattr(sheet.name)} sheetId="{number}" r:id="rId{number}"/>' for number, sheet in numbered
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relations(
            [("worksheet", f"worksheets/sheet{number}.xml") for number, _ in numbered]
        ),
        **{f"xl/worksheets/sheet{number}.xml": _sheet(sheet) for number, sheet in numbered},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            content = f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{text}'
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=4)
    return buffer.getvalue()


def _sheet(sheet: Sheet) -> str:
    lines = "".join(
        f'<row r="{number}">{"".join(map(_cell, row))}</row>' for number, row in enumerate(sheet.rows, start=1)
    )
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{lines}</sheetData></worksheet>'


def _cell(cell: Cell) -> str:
    if isinstance(cell, (float, int)):
        return f"<c><v>{cell!r}</v></c>"
    if not cell:
        return "<c/>"
    if isinstance(cell, Formula):
        return f"<c><f>{escape(cell.text)}</f><v>{cell.value!r}</v></c>"
    if isinstance(cell, RichText):
        return f'<c t="inlineStr"><is>{"".join(map(_run, enumerate(cell.parts)))}</is></c>'
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'


def _run(part: tuple[int, str]) -> str:
    number, text = part
    low = '<rPr><vertAlign val="subscript"/></rPr>' if number % 2 else ""
    return f"<r>{low}<t>{escape(text)}</t></r>"


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    lines = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/relationships/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{lines}</Relationships>'
