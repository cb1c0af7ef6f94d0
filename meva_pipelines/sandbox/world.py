"""The mutable state of the sandbox server: the day, the reform, bad days, limits and what was asked.

Values are snapshots under one lock; nothing here renders or answers.
"""

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from threading import Lock
from types import MappingProxyType
from typing import TypedDict, Unpack, cast

from meva_pipelines.sandbox.device import KST
from meva_pipelines.sandbox.districts import REFORM_DAY
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.wire_data_go_kr import Prefix


class Reform(StrEnum):
    """Whether names are those after the reform of 2026-07-01."""

    BY_DATE = "by_date"
    ON = "on"
    OFF = "off"
    MIXED = "mixed"  # odd device numbers are renamed, even ones are not yet


class GatewayStyle(StrEnum):
    """How the gateway words its own refusals (key, quota, rate)."""

    XML_200 = "xml_200"
    XML_4XX = "xml_4xx"
    TEXT = "text"


class Settings(TypedDict, total=False):
    """What can be set about the world; see `State`."""

    day: date
    reform: Reform
    prefix: Prefix
    gateway: GatewayStyle
    key_expired: bool
    quota: int | None
    rate_per_s: int | None
    max_rows: int | None
    supports_incremental: bool
    token_lifetime_s: float
    latency_s: float
    as_of: datetime | None


class Changes(Settings, total=False):
    """What can be changed about the world: its settings, and what is wrong with the data of its day."""

    mutation: Mutation


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot of the world.

    `quota` is calls per operation and day of the world, `rate_per_s` calls in any second, both for the open
    API and None for no limit. `max_rows` caps a page. `as_of` None means the last second of `day`.
    """

    day: date
    mutations: Mapping[date, Mutation] = field(default_factory=lambda: MappingProxyType({}))
    reform: Reform = Reform.BY_DATE
    prefix: Prefix = Prefix.NONE
    gateway: GatewayStyle = GatewayStyle.XML_200
    key_expired: bool = False
    quota: int | None = 1_000
    rate_per_s: int | None = 30
    max_rows: int | None = None
    supports_incremental: bool = True
    token_lifetime_s: float = 3_600.0
    latency_s: float = 0.0
    as_of: datetime | None = None

    @property
    def mutation(self) -> Mutation:
        """What is wrong with the data of this day."""
        return self.mutations.get(self.day, Mutation.NONE)

    @property
    def moment(self) -> datetime:
        """The moment that the egen feed gives as `as_of`."""
        if self.as_of is not None:
            return self.as_of
        return datetime.combine(self.day, datetime.min.time(), KST) + timedelta(days=1, seconds=-1)

    def is_reformed(self, number: int) -> bool:
        """Tell whether the device with this number shows its names after the reform."""
        match self.reform:
            case Reform.ON:
                return True
            case Reform.OFF:
                return False
            case Reform.MIXED:
                return number % 2 == 1
            case Reform.BY_DATE:
                return self.day >= REFORM_DAY


class World:
    """The state that tests and the control interface change while the server runs. Safe between threads."""

    def __init__(self, day: date, /, **changes: Unpack[Changes]) -> None:
        self._lock = Lock()
        self._state = State(day)
        self.set(**changes)

    @property
    def state(self) -> State:
        """The present snapshot."""
        with self._lock:
            return self._state

    def set(self, **changes: Unpack[Changes]) -> State:
        """Change the world and return the new snapshot; a mutation belongs to the day then current."""
        mutation = changes.get("mutation")
        settings = cast("Settings", {k: v for k, v in changes.items() if k != "mutation"})
        with self._lock:
            state = replace(self._state, **settings)
            if mutation is not None:
                state = replace(state, mutations=MappingProxyType({**state.mutations, state.day: mutation}))
            self._state = state
            return state

    def restore(self, state: State) -> None:
        """Put an earlier snapshot back."""
        with self._lock:
            self._state = state


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered; never a key, a token or a URL."""

    operation: str
    page: int | None
    rows: int | None
    status: int
    fault: str | None
    sent_bytes: int


class Ledger:
    """Counts what was asked and enforces quota and rate. Safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: Counter[tuple[str, date]] = Counter()
        self._ticks: deque[float] = deque()
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._recent: deque[Asked] = deque(maxlen=5_000)

    def refusal(self, operation: str, state: State) -> str | None:
        """Count one call and return the code of the limit it exceeds (22 or 23), or None."""
        now = time.monotonic()
        with self._lock:
            while self._ticks and now - self._ticks[0] >= 1.0:
                self._ticks.popleft()
            if state.rate_per_s is not None and len(self._ticks) >= state.rate_per_s:
                return "23"
            self._ticks.append(now)
            self._calls[operation, state.day] += 1
            if state.quota is not None and self._calls[operation, state.day] > state.quota:
                return "22"
        return None

    def record(self, asked: Asked) -> None:
        """Note an answered request."""
        with self._lock:
            self._counts[asked.operation] += 1
            self._bytes[asked.operation] += asked.sent_bytes
            self._recent.append(asked)

    def recent(self) -> tuple[Asked, ...]:
        """Return the last requests, oldest first, at most 5,000."""
        with self._lock:
            return tuple(self._recent)

    def totals(self) -> dict[str, dict[str, int]]:
        """Return requests and bytes sent for each operation."""
        with self._lock:
            return {name: {"requests": self._counts[name], "bytes": self._bytes[name]} for name in sorted(self._counts)}

    def clear(self) -> None:
        """Forget all requests, and with them the used quota."""
        with self._lock:
            self._calls.clear()
            self._ticks.clear()
            self._counts.clear()
            self._bytes.clear()
            self._recent.clear()
