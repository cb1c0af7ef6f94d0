"""What regions there were, from when until when, and what became of them: facts, parsed and checked.

Here belong the shape of one row of the region table and the rules that make such a table believable.
How a written name finds its code is `regions`; nothing here reads a file or asks for today's date.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

_CODE = re.compile(r"\d{2}(\d{3})?", re.ASCII)


class Level(StrEnum):
    """How large a region is. A CITY is one with general gu: it has a code, but its gu are the GUGUN."""

    SIDO = "sido"
    CITY = "city"
    GUGUN = "gugun"


_PARENTS = {
    Level.SIDO: frozenset[Level](),
    Level.CITY: frozenset({Level.SIDO}),
    Level.GUGUN: frozenset({Level.SIDO, Level.CITY}),
}


@dataclass(frozen=True, slots=True)
class Region:
    """One region during one period, in which its name and its parent did not change.

    `code` is the administrative code (2 digits for a sido, else 5, the first two being the sido's).
    The period is `valid_from <= day < valid_to`; `date.min` says "older than the table tells", None "still
    valid". `successors` are the codes that hold its territory from `valid_to` on, `event` says why.
    """

    code: str
    level: Level
    name: str
    short: str | None
    parent: str | None
    valid_from: date
    valid_to: date | None
    successors: tuple[str, ...]
    event: str

    @property
    def sido_code(self) -> str:
        """The two-digit code of the sido."""
        return self.code[:2]

    def is_valid_on(self, day: date) -> bool:
        """Whether the region stood in law on that day."""
        return self.valid_from <= day and not self.has_ended_by(day)

    def has_ended_by(self, day: date) -> bool:
        """Whether the period was over on that day."""
        return self.valid_to is not None and self.valid_to <= day


def parse_region(row: Mapping[str, str]) -> Region:
    """One row of text (columns as in `regions.csv`) as a `Region`.

    Raises ValueError naming the row when a code, level, date or the order of the dates is wrong.
    """
    try:
        region = Region(
            code=row["code"],
            level=Level(row["level"]),
            name=row["name"],
            short=row["short"] or None,
            parent=row["parent"] or None,
            valid_from=date.fromisoformat(row["valid_from"]) if row["valid_from"] else date.min,
            valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            successors=tuple(filter(None, row["successors"].split(";"))),
            event=row["event"],
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"region row {dict(row)} cannot be read: {error}") from error
    if not region.name or not all(map(_CODE.fullmatch, (region.code, *region.successors))):
        raise ValueError(f"region row {dict(row)}: a name and codes of 2 or 5 digits are needed")
    if (region.level is Level.SIDO) != (len(region.code) == len("11")):
        raise ValueError(f"region row {dict(row)}: 2 digits mean a sido, 5 digits anything below it")
    if region.has_ended_by(region.valid_from):
        raise ValueError(f"region row {dict(row)}: valid_to must lie after valid_from")
    return region


def periods_by_code(regions: Iterable[Region]) -> dict[str, tuple[Region, ...]]:
    """The periods of each code, oldest first.

    Raises ValueError naming the code when two of its periods overlap.
    """
    grouped: dict[str, list[Region]] = {}
    for region in regions:
        grouped.setdefault(region.code, []).append(region)
    for code, periods in grouped.items():
        periods.sort(key=lambda region: region.valid_from)
        for earlier, later in itertools.pairwise(periods):
            if not earlier.has_ended_by(later.valid_from):
                raise ValueError(f"region {code}: two periods overlap on {later.valid_from}")
    return {code: tuple(periods) for code, periods in grouped.items()}


def check_relations(by_code: Mapping[str, Sequence[Region]]) -> None:
    """Require that territory is never lost and that everything stands within something.

    A period that ends names successors that are valid on the day it ends (hence exist); every period below
    a sido has a parent of the same sido, on a higher level, valid throughout.
    Raises ValueError naming the code.
    """
    for periods in by_code.values():
        for region in periods:
            _check_successors(region, by_code)
            _check_parent(region, by_code)


def _check_successors(region: Region, by_code: Mapping[str, Sequence[Region]]) -> None:
    if (region.valid_to is None) != (not region.successors):
        raise ValueError(f"region {region.code}: an end and successors come together or not at all")
    for code in region.successors:
        periods = by_code.get(code, ())
        if region.valid_to is None or not any(period.is_valid_on(region.valid_to) for period in periods):
            raise ValueError(f"region {region.code}: successor {code} is not valid on {region.valid_to}")


def _check_parent(region: Region, by_code: Mapping[str, Sequence[Region]]) -> None:
    if region.level is Level.SIDO and region.parent is None:
        return
    allowed = _PARENTS[region.level]
    holders = [holder for holder in by_code.get(region.parent or "", ()) if holder.level in allowed]
    uncovered: date | None = region.valid_from
    for holder in holders:
        if uncovered is not None and holder.is_valid_on(uncovered):
            uncovered = holder.valid_to
    if uncovered is not None and not region.has_ended_by(uncovered):
        raise ValueError(f"region {region.code}: no parent {region.parent} of a higher level on {uncovered}")
    if holders[0].sido_code != region.sido_code:
        raise ValueError(f"region {region.code}: its parent {region.parent} stands in another sido")
