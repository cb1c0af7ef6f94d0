"""How a written Korean region name becomes a code valid on a day, and what a code is called on another day.

Names, dates and codes belong here. The facts themselves are rows given by the caller (the package's own are
`resources/reference/regions.csv`), their shape and rules are `region_periods`, free text is `addresses`.

A name is only ever compared as a whole: 전남 begins 전남광주통합특별시, and 광주시 is a city in 경기도.
"""

import functools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Self

from meva_pipelines.domain.region_periods import (
    Level,
    Region,
    check_relations,
    parse_region,
    periods_by_code,
)

_REMEMBERED = 32_768


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in decimal degrees (WGS 84), its edges included."""

    south: float
    north: float
    west: float
    east: float

    def contains(self, *, latitude: float | Decimal, longitude: float | Decimal) -> bool:
        """Whether the point lies inside or on the edge."""
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


KOREA_BOX = Box(south=33.0, north=38.7, west=124.5, east=132.0)
"""Holds every place in Korea: Marado in the south, Baengnyeong (124.61 E) and Dokdo (131.87 E) lie inside.

The northernmost genuine registry record seen was near 38.38 N. The box also covers sea, Tsushima
and a part of North Korea: being inside proves nothing; being outside means wrong or swapped axes or a ship.
"""


class NameStatus(StrEnum):
    """What a written pair of names turned out to be on the day asked for."""

    CURRENT = "current"
    """Both names are those of the day."""
    LEGACY = "legacy"
    """A name was no longer right on the day; the code is that of its one successor."""
    EARLY = "early"
    """A name was not yet right on the day; the code is that of its one predecessor."""
    AMBIGUOUS = "ambiguous"
    """The named region is several regions on the day; the code is that of the name as written."""
    UNKNOWN_SIDO = "unknown_sido"
    UNKNOWN_PAIR = "unknown_pair"
    """The sido is known and has no such gugun."""
    MISSING = "missing"
    """No sido is given, or none but a sido where a gugun is needed."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The code that a pair of names stands for; `code` is None when no gugun was found."""

    code: str | None
    sido_code: str | None
    status: NameStatus


@dataclass(frozen=True, slots=True)
class RegionChange:
    """One code that ended and the codes that follow it."""

    old: str
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegionEvent:
    """One reform: everything that ended on the same day for the same reason."""

    effective_on: date
    description: str
    changes: tuple[RegionChange, ...]

    @property
    def recodings(self) -> tuple[tuple[str, str], ...]:
        """The (old, new) pairs that are one-to-one: the same place under another code."""
        arrivals = [code for change in self.changes for code in change.new]
        return tuple(
            (change.old, change.new[0])
            for change in self.changes
            if len(change.new) == 1 and arrivals.count(change.new[0]) == 1
        )


def normal_name(text: str | None) -> str:
    """A name as it is compared: composed (NFC), without any white space; "" for None."""
    return "".join(unicodedata.normalize("NFC", text).split()) if text else ""


class RegionTable:
    """All regions with their periods. Immutable; answers to `resolve` are remembered.

    A city with general gu (수원시) is a region of its own with level CITY and its own code (41110): rows that
    only name the city resolve to it. It is never counted among the gugun of a sido.
    """

    __slots__ = ("_by_code", "_gugun_names", "_lineages", "_predecessors", "_remembered", "_sido_names")

    def __init__(self, regions: Iterable[Region], aliases: Mapping[str, str]) -> None:
        """Build the indexes; `aliases` maps further sido names to sido codes.

        Raises ValueError naming the entry when periods overlap, a successor or a parent is missing, or an
        alias leads nowhere.
        """
        self._by_code = periods_by_code(regions)
        check_relations(self._by_code)
        self._predecessors = _predecessors(self._by_code)
        self._lineages = {code: self._root(code) for code in self._by_code}
        self._sido_names = self._index_sido_names(aliases)
        self._gugun_names = self._index_gugun_names()
        self._remembered = functools.lru_cache(maxsize=_REMEMBERED)(self._resolve)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, str]], aliases: Iterable[Mapping[str, str]] = ()) -> Self:
        """Build from rows of text: columns of `regions.csv`, and `alias`, `code` of `sido_aliases.csv`.

        Raises ValueError naming the bad row.
        """
        return cls(map(parse_region, rows), {row["alias"]: row["code"] for row in aliases})

    def resolve(self, sido: str | None, gugun: str | None, on: date, *, grace_days: int | None = None) -> Resolution:
        """The code of the region that the two names mean on the day `on`.

        Only the first word of `sido` counts. A name that ended is accepted for `grace_days` days after its
        end (None: for ever, 0: never), a coming name always, because sources change on different dates;
        both are flagged. A sido with a single gugun (세종) needs no gugun.
        """
        return self._remembered(sido, gugun, on, grace_days)

    @property
    def periods(self) -> tuple[Region, ...]:
        """Every region in every period, by code and then by time."""
        return tuple(region for code in sorted(self._by_code) for region in self._by_code[code])

    def sido_groups(self, on: date) -> dict[str, str]:
        """Where each sido code, of whatever time, is counted on the day; see `statistic_group`."""
        return {code: self.statistic_group(code, on) for code in self._by_code if code == code[:2]}

    def region(self, code: str, on: date) -> Region | None:
        """The region with this code on the day, or None when the code was not valid then.

        Raises KeyError for a code that never existed.
        """
        return next((region for region in self._by_code[code] if region.is_valid_on(on)), None)

    def regions_on(self, on: date, level: Level = Level.GUGUN) -> tuple[Region, ...]:
        """All regions of one level on the day, by code."""
        return tuple(
            region
            for code in sorted(self._by_code)
            for region in self._by_code[code]
            if region.level is level and region.is_valid_on(on)
        )

    def codes_on(self, code: str, on: date) -> frozenset[str]:
        """The codes that hold the territory of `code` on the day: itself, its successors or predecessors.

        Empty when a region that began without a predecessor had not begun.
        Raises KeyError for an unknown code.
        """
        periods = self._by_code[code]
        if any(region.is_valid_on(on) for region in periods):
            return frozenset({code})
        ended = [region for region in periods if region.has_ended_by(on)]
        relatives = ended[-1].successors if ended else self._predecessors[code]
        return frozenset().union(*(self.codes_on(relative, on) for relative in relatives))

    def lineage(self, code: str) -> str:
        """The identity of a region across renames: the oldest code of its chain of one-to-one successions.

        Splits and merges begin new lineages. Raises KeyError for an unknown code.
        """
        return self._lineages[code]

    def statistic_group(self, code: str, on: date) -> str:
        """The sido code, valid on the day, under which `code` is counted; so counts are net of renames.

        A legacy code is counted where its territory lies on the day: 29170 under 12, 47720 under 27. The own
        sido code comes back when the day has no single answer. Raises KeyError for an unknown code.
        """
        for known in (code, code[:2]):
            sido_codes = {relative[:2] for relative in self.codes_on(known, on)}
            if len(sido_codes) == 1:
                return sido_codes.pop()
        return code[:2]

    def renames(self, since: date, until: date) -> tuple[RegionEvent, ...]:
        """The reforms that took effect after `since` and not after `until`, oldest first."""
        found: dict[tuple[date, str], list[RegionChange]] = {}
        for code in sorted(self._by_code):
            for region in self._by_code[code]:
                if region.valid_to is not None and since < region.valid_to <= until:
                    change = RegionChange(region.code, region.successors)
                    found.setdefault((region.valid_to, region.event), []).append(change)
        return tuple(RegionEvent(day, event, tuple(found[day, event])) for day, event in sorted(found))

    def _resolve(self, sido: str | None, gugun: str | None, on: date, grace_days: int | None) -> Resolution:
        words = sido.split(maxsplit=1) if sido else ()
        if not words:
            return Resolution(None, None, NameStatus.MISSING)
        holder = _nearest(self._sido_names.get(normal_name(words[0]), ()), on)
        if holder is None or _is_out_of_grace(holder, on, grace_days):
            return Resolution(None, None, NameStatus.UNKNOWN_SIDO)
        sido_code = self.statistic_group(holder.code, on)
        name = normal_name(gugun)
        place = _nearest(self._gugun_names.get((self._lineages[holder.code], name), ()), on)
        codes = self.codes_on(place.code, on) if place else frozenset()
        if place is None or not codes or _is_out_of_grace(place, on, grace_days):
            return Resolution(None, sido_code, NameStatus.UNKNOWN_PAIR if name else NameStatus.MISSING)
        if len(codes) > 1:
            return Resolution(place.code, self.statistic_group(place.code, on), NameStatus.AMBIGUOUS)
        (code,) = codes
        return Resolution(code, code[:2], _status((holder, place), on))

    def _root(self, code: str) -> str:
        predecessors = self._predecessors[code]
        if len(predecessors) == 1 and self._by_code[predecessors[0]][-1].successors == (code,):
            return self._root(predecessors[0])
        return code

    def _index_sido_names(self, aliases: Mapping[str, str]) -> dict[str, list[Region]]:
        index: dict[str, list[Region]] = {}
        for periods in self._by_code.values():
            for region in periods:
                if region.level is Level.SIDO:
                    for name in {normal_name(region.name), normal_name(region.short)} - {""}:
                        index.setdefault(name, []).append(region)
        for alias, code in aliases.items():
            if code not in self._by_code:
                raise ValueError(f"sido alias {alias}: there is no region {code}")
            index.setdefault(normal_name(alias), []).extend(self._by_code[code])
        return index

    def _index_gugun_names(self) -> dict[tuple[str, str], list[Region]]:
        index: dict[tuple[str, str], list[Region]] = {}
        members: dict[str, list[Region]] = {}
        for periods in self._by_code.values():
            for region in periods:
                if region.level is not Level.SIDO:
                    lineage = self._lineages[region.sido_code]
                    index.setdefault((lineage, normal_name(region.name)), []).append(region)
                    members.setdefault(lineage, []).append(region)
        for lineage, regions in members.items():
            if len({region.code for region in regions}) == 1:
                index[lineage, ""] = regions
        return index


def _predecessors(by_code: Mapping[str, Sequence[Region]]) -> dict[str, tuple[str, ...]]:
    """Which codes ended into each code on the very day that it first became valid."""
    found: dict[str, list[str]] = {code: [] for code in by_code}
    for code, periods in by_code.items():
        for region in periods:
            for successor in region.successors:
                if by_code[successor][0].valid_from == region.valid_to:
                    found[successor].append(code)
    return {code: tuple(sorted(codes)) for code, codes in found.items()}


def _nearest(periods: Sequence[Region], on: date) -> Region | None:
    """The period that is valid on the day, else the one that ended last, else the one that begins first."""
    for region in periods:
        if region.is_valid_on(on):
            return region
    ended = [region for region in periods if region.has_ended_by(on)]
    if ended:
        return max(ended, key=lambda region: region.valid_to or date.min)
    return min(periods, key=lambda region: region.valid_from, default=None)


def _is_out_of_grace(region: Region, on: date, grace_days: int | None) -> bool:
    if grace_days is None or region.valid_to is None or region.valid_to > on:
        return False
    return (on - region.valid_to).days >= grace_days


def _status(named: Iterable[Region], on: date) -> NameStatus:
    outdated = [region for region in named if not region.is_valid_on(on)]
    if not outdated:
        return NameStatus.CURRENT
    return NameStatus.LEGACY if any(region.has_ended_by(on) for region in outdated) else NameStatus.EARLY
