"""The dialects that are known: how each is recognised, and where it departs from a plain table. One declaration each.

A dialect is recognised by what stands in the beginning of a file, never by its name. Adding one is adding a
`Dialect` here; the tests' `dialect_case` reads an example of it. Names and units are the same for all dialects
(`quantities`, `units`): a new word goes there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from meva_pipelines.domain.tensile.headings import Schema
from meva_pipelines.domain.tensile.quantities import Kind
from meva_pipelines.domain.tensile.tables import Cells


class Form(StrEnum):
    """What a file is."""

    TEXT = "text"
    XLSX = "xlsx"
    XLS = "xls"
    JSON = "JSON"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of writing tests down.

    Attributes:
        name: shown to people.
        forms: what files of it are.
        marks: patterns that must all occur in the first lines (or in the names of the sheets), as joined by TAB.
        decimal_in_first_line: pattern whose first group is the decimal mark that the file declares.
        is_one_test: several tables of a file belong to one test; the longest is taken.
        is_upload: of our own schema; its key `test` names the test.
        schema: meanings and units of its headings beyond the dictionaries.
    """

    name: str
    forms: frozenset[Form]
    marks: tuple[re.Pattern[str], ...] = ()
    decimal_in_first_line: re.Pattern[str] | None = None
    is_one_test: bool = False
    is_upload: bool = False
    schema: Schema = field(default_factory=Schema)


def _marks(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns)


_TEXT = frozenset({Form.TEXT})
_WORKBOOK = frozenset({Form.XLSX, Form.XLS})

UPLOADED = Schema(
    names={"extension": Kind.GAUGE, "crosshead": Kind.CROSSHEAD},
    units={
        Kind.FORCE: "N",
        Kind.DISPLACEMENT: "mm",
        Kind.GAUGE: "mm",
        Kind.CROSSHEAD: "mm",
        Kind.TIME: "s",
        Kind.STRAIN: "mm/mm",
        Kind.STRESS: "MPa",
    },
)
"""Names and units of the documented upload."""

UPLOAD = Dialect("upload", frozenset({Form.JSON}), is_upload=True, schema=UPLOADED)
"""Our own documented JSON."""

_UPLOAD_NAMES = r"(?:load|force|displacement|extension|crosshead|time|elapsed|strain|stress|temperature)"

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        "MTS 793",
        _TEXT,
        _marks(r"\AMTS793\|"),
        decimal_in_first_line=re.compile(r"\AMTS793(?:\|[^|]*){4}\|([.,])\|"),
        is_one_test=True,
    ),
    Dialect("MTS TestSuite", _TEXT, _marks(r"(?:^|\t)\W*_(?:Load|Extension|Time|Strain)\d*\b")),
    Dialect("PMD key-value table", _TEXT, _marks(r"^Specimen name:\t", r"^Specimen ID:\t")),
    Dialect("Instron/HBM logger", _TEXT, _marks(r"\A(?:Probe|Specimen|Sample);", r"\[kN\]|\[N\]")),
    Dialect("Walter+Bai", _TEXT, _marks(r"\bC_\d+_\w*Force\s*\[")),
    Dialect("catman ASC", _TEXT, _marks(r"\A.*(?:HBM|catman|\bKanalname\b|Messrate|Sample rate)")),
    Dialect(
        "testXpert text, German",
        _TEXT,
        _marks(r"(?:Prüf|Pr.{1,2}f|Versuchs)zeit\b|\bZeit\b", r"Standardkraft|Standardweg"),
    ),
    Dialect(
        "testXpert .TRA",
        _TEXT,
        _marks(r"Standard force|Force standard|Standardkraft|Standard travel|Course standard"),
    ),
    Dialect(
        "testXpert workbook",
        _WORKBOOK,
        _marks(r"(?:Values|Valeurs|Werte)\b|Standard force|Force standard|Standardkraft"),
    ),
    Dialect(
        "Shimadzu Trapezium",
        _TEXT,
        _marks(r"(?:Temps|Time|시간|Zeit)\W+(?:Force|Load|Stroke)\W+(?:Stroke|Force|Load|Disp\w*)", r"\bsec\b"),
    ),
    Dialect(
        "Instron Bluehill",
        _TEXT,
        _marks(
            r"Tensile (?:strain|stress|extension)|Bluehill|Results Table|"
            r"^\W*(?:Specimen|Sample|Test|Operator|Rate|Geometry|Width|Thickness|Length|Diameter)\b[^\n]*\t[^\n]*$",
            r"\((?:N|kN|lbf|kgf|mm|in|s|sec)\)",
            r"\b(?:Extension|Load)\b",
        ),
    ),
    Dialect(
        "upload CSV",
        _TEXT,
        _marks(rf"^(?:#[^\n]*\n)*\W*{_UPLOAD_NAMES}(?:_\w+)?(?:\t{_UPLOAD_NAMES}(?:_\w+)?)+\n[-+.\d]"),
        is_upload=True,
        schema=UPLOADED,
    ),
    Dialect("delimited text", _TEXT),
    Dialect("workbook", _WORKBOOK),
)
"""All dialects; the first whose marks are found is taken, the last of each form has none."""


def recognise(form: Form, rows: Sequence[Cells], titles: Sequence[str] = ()) -> Dialect:
    """Return the dialect of a file from its first rows (and the titles of its sheets)."""
    if form is Form.JSON:
        return UPLOAD
    beginning = "\n".join(["\t".join(row) for row in rows] + list(titles))
    return next(
        dialect
        for dialect in DIALECTS
        if form in dialect.forms and all(mark.search(beginning) for mark in dialect.marks)
    )
