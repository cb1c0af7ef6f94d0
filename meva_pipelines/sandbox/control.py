"""The control interface of the sandbox, `/_sandbox/…`: world, faults, what was asked, a webhook receiver.

It parses JSON at the border and speaks of no key. What the state means is in `world` and `faults`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from threading import Lock
from typing import cast

import orjson

from meva_pipelines.sandbox.faults import FaultList, Rule, parse
from meva_pipelines.sandbox.library import Format
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.wire_data_go_kr import Prefix
from meva_pipelines.sandbox.world import Changes, GatewayStyle, Ledger, Reform, State, World

MESSAGES = 1_000


class Webhook:
    """A Slack-compatible receiver that keeps the last thousand messages. Safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._messages: deque[object] = deque(maxlen=MESSAGES)

    def receive(self, body: bytes) -> None:
        """Store one message; raises ValueError unless it is JSON."""
        message = orjson.loads(body)
        with self._lock:
            self._messages.append(message)

    def messages(self) -> list[object]:
        """Return the messages, oldest first."""
        with self._lock:
            return list(self._messages)

    def clear(self) -> None:
        """Forget all messages."""
        with self._lock:
            self._messages.clear()


def change_world(world: World, registry: Registry, body: bytes) -> State:
    """Apply a JSON object of changes; raises ValueError naming the entry that is wrong."""
    entries = orjson.loads(body)
    if not isinstance(entries, Mapping):
        raise ValueError("the world is changed by a JSON object")  # noqa: TRY004 - one error for bad bodies
    changes: dict[str, object] = {}
    for name, value in entries.items():
        if name not in _READERS:
            raise ValueError(f"the world has no {name!r}; it has {', '.join(_READERS)}")
        try:
            changes[name] = _READERS[name](value)
        except (TypeError, ValueError) as refused:
            raise ValueError(f"{name} cannot be {value!r}: {refused}") from refused
    day = changes.get("day")
    if isinstance(day, date):
        registry.count(day)
    return world.set(**cast("Changes", changes))


def show_world(state: State) -> dict[str, object]:
    """Return the state as a JSON object, in the form that `change_world` reads."""
    return {
        "day": state.day,
        "mutation": state.mutation,
        "reform": state.reform,
        "prefix": state.prefix,
        "gateway": state.gateway,
        "key_expired": state.key_expired,
        "quota": state.quota,
        "rate_per_s": state.rate_per_s,
        "max_rows": state.max_rows,
        "supports_incremental": state.supports_incremental,
        "token_lifetime_s": state.token_lifetime_s,
        "latency_s": state.latency_s,
        "as_of": state.as_of,
    }


def read_warming(body: bytes) -> tuple[Format, int]:
    """Return format and page size of a JSON object {format, size}; raises ValueError naming what is wrong."""
    entries = orjson.loads(body)
    if not isinstance(entries, Mapping) or set(entries) != {"format", "size"}:
        raise ValueError("pages are warmed by a JSON object of format and size")
    size = _limit(entries["size"])
    if size is None:
        raise ValueError("a page size is a whole number from 1")
    return Format(str(entries["format"])), size


def replace_faults(faults: FaultList, body: bytes) -> None:
    """Put a JSON array of rules in force; raises ValueError naming what is wrong, then nothing changes."""
    entries = orjson.loads(body)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError("faults are a JSON array of rules")
    faults.replace([parse(entry) for entry in entries])


def show_rule(rule: Rule) -> dict[str, object]:
    """Return a rule as a JSON object, in the form that `replace_faults` reads."""
    return {
        "fault": rule.fault,
        "operation": rule.operation,
        "page": rule.page,
        "times": rule.times,
        "parameters": dict(rule.parameters),
    }


def show_requests(ledger: Ledger) -> dict[str, object]:
    """Return what was asked: totals for each operation and the last requests, without keys and URLs."""
    return {"operations": ledger.totals(), "recent": [asdict(asked) for asked in ledger.recent()]}


def _limit(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a limit is a whole number from 1, or null")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is expected")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("seconds are a number from 0")
    return float(value)


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError("a moment needs its offset from UTC")
    return moment


_READERS: dict[str, Callable[[object], object]] = {
    "day": lambda value: date.fromisoformat(str(value)),
    "mutation": lambda value: Mutation(str(value)),
    "reform": lambda value: Reform(str(value)),
    "prefix": lambda value: Prefix(str(value)),
    "gateway": lambda value: GatewayStyle(str(value)),
    "key_expired": _flag,
    "quota": _limit,
    "rate_per_s": _limit,
    "max_rows": _limit,
    "supports_incremental": _flag,
    "token_lifetime_s": _seconds,
    "latency_s": _seconds,
    "as_of": _moment,
}
