"""Which rows a request means, and their rendered pages, kept in a small cache so that a warm page is cheap.

Pages that a fault changes are never cached. Here is no HTTP and no key.
"""

import gzip
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from threading import RLock

import numpy as np

from meva_pipelines.sandbox import effects, mutations, wire_data_go_kr, wire_egen
from meva_pipelines.sandbox.device import Device
from meva_pipelines.sandbox.effects import Sheet
from meva_pipelines.sandbox.faults import Rule
from meva_pipelines.sandbox.registry import Numbers, Registry
from meva_pipelines.sandbox.world import State

GZIP_LEVEL = 4
CACHE_BYTES = 96 * 1024 * 1024
_EARTH_RADIUS_KM = 6_371.0


class Operation(StrEnum):
    """The readings that the two dialects offer."""

    FULL_DOWN = "getAedFullDown"
    MANAGE_INFO = "getEgytAedManageInfoInqire"
    LOCATION = "getAedLcinfoInqire"
    AEDS = "aeds"


class Format(StrEnum):
    """How a page is written."""

    XML = "xml"
    JSON = "json"
    EGEN = "egen"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: all, of a sido and gugun, near (lat, lon) in degrees, modified since a second of UTC."""

    sido: str | None = None
    gugun: str | None = None
    near: tuple[float, float] | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One page asked for."""

    operation: Operation
    format: Format
    page: int
    size: int
    selection: Selection = Selection()


class Library:
    """Renders pages of a registry as the world wants them; one rendering at a time. Safe between threads."""

    def __init__(self, registry: Registry, cache_bytes: int = CACHE_BYTES) -> None:
        self.registry = registry
        self._lock = RLock()
        self._pages = _Pages(cache_bytes)
        self._rows: OrderedDict[Hashable, Numbers] = OrderedDict()
        self._places: tuple[Hashable, dict[tuple[str, str], Numbers]] | None = None
        self._coordinates: tuple[Hashable, Numbers, effects.Coordinates] | None = None

    def total(self, state: State, selection: Selection) -> int:
        """Return how many rows a selection has."""
        return len(self.rows(state, selection))

    def body(self, state: State, ask: Ask, rule: Rule | None) -> bytes:
        """Return the page as bytes, changed by the fault where the fault concerns content."""
        if rule is not None and rule.fault in effects.CONTENT:
            with self._lock:
                return self._render(state, ask, rule)
        return self._cached(state, ask, "identity", lambda: self._render(state, ask, None))

    def packed(self, state: State, ask: Ask) -> bytes:
        """Return the page as a gzip member."""
        return self._cached(state, ask, "gzip", lambda: pack(self._render(state, ask, None)))

    def warm(self, state: State, form: Format, size: int) -> int:
        """Render every gzip page of the whole registry into the cache; return how many pages there are."""
        operation = Operation.AEDS if form is Format.EGEN else Operation.FULL_DOWN
        pages = -(-self.total(state, Selection()) // size)
        for page in range(1, pages + 1):
            self.packed(state, Ask(operation, form, page, size))
        return pages

    def rows(self, state: State, selection: Selection) -> Numbers:
        """Return the device numbers of a selection in the order of the service."""
        key = (state.day, state.mutation, state.reform, selection)
        with self._lock:
            if key not in self._rows:
                self._rows[key] = self._select(state, selection)
                if len(self._rows) > 8:
                    self._rows.popitem(last=False)
            return self._rows[key]

    def _cached(self, state: State, ask: Ask, encoding: str, render: Callable[[], bytes]) -> bytes:
        moment = state.moment if ask.format is Format.EGEN else None
        key = (state.day, state.mutation, state.reform, state.prefix, moment, ask, encoding)
        with self._lock:
            page = self._pages.get(key)
            if page is None:
                page = render()
                self._pages.put(key, page)
            return page

    # ---- rows

    def _select(self, state: State, selection: Selection) -> Numbers:
        numbers = mutations.kept(self.registry.numbers(state.day), state.mutation)
        if selection.since is not None:
            return numbers[self.registry.modified_seconds(numbers, state.day) >= selection.since]
        if selection.sido is not None:
            numbers = self._in_place(state, numbers, selection.sido, selection.gugun)
        if selection.near is not None:
            return self._by_distance(state, numbers, selection.near)
        return numbers

    def _in_place(self, state: State, numbers: Numbers, sido: str, gugun: str | None) -> Numbers:
        key = (state.day, state.mutation, state.reform)
        if self._places is None or self._places[0] != key:
            self._places = (key, self._place_index(state, numbers))
        found = [
            members
            for (name, district), members in self._places[1].items()
            if name == sido and (gugun is None or district == gugun)
        ]
        return np.sort(np.concatenate(found)) if found else numbers[:0]

    def _place_index(self, state: State, numbers: Numbers) -> dict[tuple[str, str], Numbers]:
        members: dict[tuple[str, str], list[int]] = {}
        for number, district in zip(numbers.tolist(), self.registry.districts(numbers), strict=True):
            is_reformed = state.is_reformed(number)
            names = (district.sido_name(is_reformed=is_reformed), district.gugun(is_reformed=is_reformed))
            members.setdefault(names, []).append(number)
        return {names: np.array(found, dtype=np.int64) for names, found in members.items()}

    def _by_distance(self, state: State, numbers: Numbers, near: tuple[float, float]) -> Numbers:
        key = (state.day, state.mutation)
        if self._coordinates is None or self._coordinates[0] != key:
            everyone = mutations.kept(self.registry.numbers(state.day), state.mutation)
            points = [_point(device) for device in self._devices(state, everyone)]
            self._coordinates = (key, everyone, np.array(points, dtype=np.float64))
        _, everyone, coordinates = self._coordinates
        latitude, longitude = coordinates[np.searchsorted(everyone, numbers)].T
        flat = math.cos(math.radians(near[0]))
        squares = (latitude - near[0]) ** 2 + ((longitude - near[1]) * flat) ** 2
        is_known = ~np.isnan(squares)
        order = np.argsort(squares[is_known], kind="stable")
        nearest: Numbers = numbers[is_known][order]
        return nearest

    def _devices(self, state: State, numbers: Numbers) -> list[Device]:
        chosen = self.registry.chosen(numbers, state.day)
        return list(mutations.mutate(chosen, state.mutation, self.registry))

    # ---- pages

    def _render(self, state: State, ask: Ask, rule: Rule | None) -> bytes:
        everyone = self.rows(state, ask.selection)
        numbers = effects.page_rows(everyone, ask.page, ask.size, rule)
        devices = self._devices(state, numbers)
        items = [self._item(state, ask, device, len(everyone)) for device in devices]
        if ask.format is not Format.EGEN:
            first = (ask.page - 1) * ask.size + 1
            for position, item in enumerate(items, start=first):
                item["rnum"] = str(position)
        sheet = Sheet(items=items, page=ask.page, size=ask.size, total=len(everyone), as_of=state.moment)
        return _write(effects.change_sheet(sheet, rule), ask.format)

    def _item(self, state: State, ask: Ask, device: Device, total: int) -> dict[str, object]:
        is_reformed = state.is_reformed(device.number)
        match ask.operation:
            case Operation.AEDS:
                return wire_egen.item(device, is_reformed=is_reformed)
            case Operation.FULL_DOWN:
                return wire_data_go_kr.full_down_item(device, is_reformed=is_reformed, prefix=state.prefix)
            case Operation.MANAGE_INFO:
                return wire_data_go_kr.manage_info_item(device, is_reformed=is_reformed, prefix=state.prefix)
            case Operation.LOCATION:
                return wire_data_go_kr.location_item(
                    device,
                    is_reformed=is_reformed,
                    prefix=state.prefix,
                    count=total,
                    distance_km=_distance_km(_point(device), ask.selection.near),
                )


def pack(body: bytes) -> bytes:
    """Return a body as one gzip member, the same bytes each time."""
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _write(sheet: Sheet, form: Format) -> bytes:
    if form is Format.EGEN:
        return wire_egen.page(sheet.items, number=sheet.page, size=sheet.size, total=sheet.total, as_of=sheet.as_of)
    write = wire_data_go_kr.xml if form is Format.XML else wire_data_go_kr.json
    return write(sheet.items, page=sheet.page, rows=sheet.size, total=sheet.total)


def _point(device: Device) -> tuple[float, float]:
    if device.site.latitude is None or device.site.longitude is None:
        return math.nan, math.nan
    return float(device.site.latitude), float(device.site.longitude)


def _distance_km(point: tuple[float, float], near: tuple[float, float] | None) -> float | None:
    """Return the great-circle distance in km (haversine), or None where either point is unknown."""
    if near is None or math.isnan(point[0]):
        return None
    (lat_a, lon_a), (lat_b, lon_b) = (tuple(map(math.radians, p)) for p in (point, near))
    chord = math.sin((lat_b - lat_a) / 2) ** 2
    chord += math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))


class _Pages:
    """Rendered pages, the least recently used dropped first, bounded by their bytes."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._held = 0
        self._pages: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable) -> bytes | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: Hashable, page: bytes) -> None:
        if len(page) > self._bound // 2:
            return
        self._pages[key] = page
        self._held += len(page)
        while self._held > self._bound:
            self._held -= len(self._pages.popitem(last=False)[1])
