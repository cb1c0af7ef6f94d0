"""Numbers as texts: which mark is the decimal one, and what a cell of a header says.

A mark is decided by whole columns, never by one cell: `1,234` alone can be either. Tables of numbers are parsed by
`resources.machine_text`.
"""

import re

from meva_pipelines.domain.failures import Unusable

_BLANK = frozenset(
    {"", "-", "--", "---", "n/a", "na", "nan", "null", "none", "unknown", "nicht bekannt", "inconnu", "non connu"}
    | {"unbekannt", "n.b.", "nd", "n.d.", "?", "not known", "not available", "알 수 없음", "미상"}
)
_NUMBER = re.compile(r"[+-]?(?:\d[\d.,' \u00a0\u202f]*|[.,]\d+)(?:[eE][+-]?\d+)?")
_NOT_A_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity|1\.#(?:inf|ind|qnan)\d*|#[A-Z/0!?]+|-+|n/?a)", re.IGNORECASE)

_COMMA_IS_DECIMAL = re.compile(
    rb"(?<![\d.,])(?:[+-]?(?:0|\d{4,})?,\d|[+-]?\d{1,3},(?:\d{1,2}|\d{4,})(?![\d.,])|[+-]?\d{1,3}(?:\.\d{3})+,\d|"
    rb"[+-]?\d+,\d+[eE])"
)
_COMMA_IS_THOUSANDS = re.compile(
    rb"(?<![\d.,])[+-]?[1-9]\d{0,2}(?:,\d{3})+\.\d|(?<![\d.,])[+-]?[1-9]\d{0,2}(?:,\d{3}){2,}"
)
_POINT_IS_THOUSANDS = re.compile(rb"(?<![\d.,])[+-]?[1-9]\d{0,2}(?:\.\d{3}){2,}(?![\d.])")
_PLAIN_POINT = re.compile(rb"(?<![\d.,])[+-]?(?:\d*\.(?:\d{1,2}|\d{4,})(?![\d,])|0\.\d|\d+\.\d+[eE])")


def is_number(cell: str) -> bool:
    """Tell whether a cell holds a number in any spelling."""
    return _NUMBER.fullmatch(cell.strip()) is not None


def is_blank(cell: str) -> bool:
    """Tell whether a cell says that there is no value: empty, `nicht bekannt`, `n/a`, `-`."""
    return cell.strip().casefold() in _BLANK


def is_no_number(cell: str) -> bool:
    """Tell whether a cell holds what machines write where a number is missing: `nan`, `#N/A`, `1.#QNAN`."""
    return _NOT_A_NUMBER.fullmatch(cell.strip()) is not None


def decimal_mark(numbers: bytes) -> str | None:
    """Return the decimal mark of a table whose commas are not its separators; None where they can be either.

    Args:
        numbers: the table as text, or its quoted cells; every cell is evidence, and nothing else may stand in it.
    """
    if b"," not in numbers or _COMMA_IS_THOUSANDS.search(numbers):
        return "."
    if _COMMA_IS_DECIMAL.search(numbers) or _POINT_IS_THOUSANDS.search(numbers):
        return ","
    return "." if _PLAIN_POINT.search(numbers) else None


def undecided() -> Unusable:
    """Return the error for a table in which every comma can be read in two ways."""
    return Unusable(
        "every number with a comma can be read in two ways, as in 1,234: state `decimal` in the sidecar",
        rule="decimal_mark_is_known",
    )


def number(cell: str, decimal: str) -> float | None:
    """Return the number of a cell, thousands marks dropped; None when it holds none."""
    text = cell.strip()
    if is_blank(text) or not is_number(text):
        return None
    text = re.sub(r"[' \u00a0\u202f]", "", text)
    text = text.replace(".", "").replace(",", ".") if decimal == "," else text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        return None


def header_number(cell: str, decimal: str) -> float | None:
    """Return the number of a header entry, where a single mark with other than three digits behind is decimal."""
    text = cell.strip()
    if text.count(",") + text.count(".") == 1:
        mark = "," if "," in text else "."
        behind = re.split(r"[eE]", text.split(mark)[1])[0]
        if len(behind) != len("000") or text.lstrip("+-").startswith("0") or mark == decimal:
            return number(text, mark)
    return number(text, decimal)
