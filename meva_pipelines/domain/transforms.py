"""Columns derived from several wire fields: small pure functions that a contract names.

A function is given the fields that the contract lists under `from`, in that order; it goes by position, so
the names stay the contract's business. Transforms of a single field belong to the row rules.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

SUMMARY_LENGTH = 50
"""Longest summary of opening hours in characters: access_control VARCHAR(50), seed 001 §3.1."""

_DAYS = ("월", "화", "수", "목", "금", "토", "일", "공휴일")
_SUNDAY = _DAYS.index("일")
_WEEKDAYS = len(_DAYS) - 1
_HHMM = re.compile(r"[0-9]{4}")
_ALWAYS = ("0000", "2400")


def joined(values: Mapping[str, str | None]) -> str | None:
    """All parts, one after the other without a separator; None when a part is missing or blank."""
    parts = [(value or "").strip() for value in values.values()]
    return "".join(parts) if parts and all(parts) else None


def opening_hours(values: Mapping[str, str | None]) -> str | None:
    """Opening hours in at most 50 characters of Korean, or None when no day has readable hours.

    Expects start and end (HHMM, up to beyond 24:00) of Monday to Sunday and of holidays, then five Y/N flags
    for the first to fifth Sunday of a month. A day without both times is closed or unknown and is left out.
    Days with the same hours share an entry (`월-금 09:00-18:00, 토·공휴일 10:00-17:00`); hours too varied for
    the column become their earliest start and latest end.
    """
    cells = [(value or "").strip() for value in values.values()]
    hours = {
        day: (start, end)
        for day, (start, end) in enumerate(
            zip(cells[0 : 2 * len(_DAYS) : 2], cells[1 : 2 * len(_DAYS) : 2], strict=True)
        )
        if _HHMM.fullmatch(start) and _HHMM.fullmatch(end)
    }
    if not hours:
        return None
    sundays = _sundays(cells[2 * len(_DAYS) :])
    if len(hours) == len(_DAYS) and set(hours.values()) == {_ALWAYS} and not sundays:
        return "24시간 연중무휴"
    groups: dict[tuple[str, str], list[int]] = {}
    for day, period in hours.items():
        groups.setdefault(period, []).append(day)
    summary = ", ".join(f"{_label(days, sundays)} {_period(*period)}" for period, days in groups.items())
    if len(summary) <= SUMMARY_LENGTH:
        return summary
    earliest, latest = min(start for start, _ in hours.values()), max(end for _, end in hours.values())
    return f"요일별 상이 {_period(earliest, latest)}"


def _sundays(flags: list[str]) -> str:
    """Which Sundays are open, `(1·3주)`; blank when all are or when the flags say nothing."""
    open_weeks = [str(week) for week, flag in enumerate(flags, start=1) if flag == "Y"]
    return f"({'·'.join(open_weeks)}주)" if open_weeks and len(open_weeks) < len(flags) else ""


def _label(days: list[int], sundays: str) -> str:
    runs: list[list[int]] = [[days[0]]]
    for before, day in pairwise(days):
        if day == before + 1 and day < _WEEKDAYS and not (sundays and day == _SUNDAY):
            runs[-1].append(day)
        else:
            runs.append([day])
    names = []
    for run in runs:
        name = _DAYS[run[0]] if len(run) == 1 else f"{_DAYS[run[0]]}-{_DAYS[run[-1]]}"
        names.append(name + (sundays if run == [_SUNDAY] else ""))
    return "·".join(names)


def _period(start: str, end: str) -> str:
    return "24시간" if (start, end) == _ALWAYS else f"{start[:2]}:{start[2:]}-{end[:2]}:{end[2:]}"


TRANSFORMS: Mapping[str, Callable[[Mapping[str, str | None]], str | None]] = {
    "joined": joined,
    "opening_hours": opening_hours,
}
"""Derivations by the name that contracts use."""
