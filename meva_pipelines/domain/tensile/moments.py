"""When a test was made, as files write it: ISO, day first, with a comma, or days since 1899-12-30.

Machines write the time of their wall clock without a zone; it is taken as Korean time, the laboratory's.
"""

import re
from datetime import datetime, timedelta

from meva_pipelines.domain.days import SEOUL

LABORATORY_ZONE = SEOUL

_EXCEL_EPOCH = datetime(1899, 12, 30, tzinfo=LABORATORY_ZONE)
_FIRST_SERIAL, _LAST_SERIAL = 20_000, 80_000  # years 1954 to 2119
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")
_TIME = (
    r"(?:[,T\s]+(?P<early>오전|오후)?\s*(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})"
    r"(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,6})\d*)?)?)?"
)
_HALF = r"\s*(?P<half>[AaPp][Mm])?\s*"
_WORDS = (
    re.compile(
        rf"(?P<year>\d{{4}})[-/.年년]\s*(?P<month>\d{{1,2}})[-/.月월]\s*(?P<day>\d{{1,2}})[.日일]?{_TIME}{_HALF}"
    ),
    re.compile(rf"(?P<day>\d{{1,2}})\.\s*(?P<month>\d{{1,2}})\.\s*(?P<year>\d{{4}}){_TIME}{_HALF}"),
    re.compile(rf"(?P<first>\d{{1,2}})[/-](?P<other>\d{{1,2}})[/-](?P<year>\d{{4}}){_TIME}{_HALF}"),
)
_MONTHS = 12
_LONGEST = 60


def moment(text: str) -> datetime | None:
    """Return the moment that a text names, None when it names none or two (`03/04/2021` is March or April)."""
    text = text.strip().strip('"')[:_LONGEST]
    if _SERIAL.fullmatch(text):
        days = float(text.replace(",", "."))
        return _EXCEL_EPOCH + timedelta(days=days) if _FIRST_SERIAL <= days <= _LAST_SERIAL else None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _written(text)
    return found if found.tzinfo else found.replace(tzinfo=LABORATORY_ZONE)


def _written(text: str) -> datetime | None:
    for pattern in _WORDS:
        if found := pattern.fullmatch(text):
            parts = found.groupdict()
            day, month = parts.get("day"), parts.get("month")
            if "first" in parts:
                day, month = _day_and_month(int(parts["first"]), int(parts["other"]))
            return _moment(int(parts["year"]), month, day, parts) if day and month else None
    return None


def _day_and_month(first: int, other: int) -> tuple[str | None, str | None]:
    if first == other or first > _MONTHS:
        return str(first), str(other)
    return (str(other), str(first)) if other > _MONTHS else (None, None)


def _moment(year: int, month: str, day: str, parts: dict[str, str | None]) -> datetime | None:
    hour = int(parts["hour"] or 0)
    half = (parts["half"] or parts["early"] or "").casefold()
    if half in {"pm", "오후"}:
        hour = hour % 12 + 12
    elif half:
        hour %= 12
    second, part = int(parts["second"] or 0), int((parts["part"] or "0").ljust(6, "0"))
    try:
        return datetime(year, int(month), int(day), hour, int(parts["minute"] or 0), second, part, LABORATORY_ZONE)
    except ValueError:
        return None
