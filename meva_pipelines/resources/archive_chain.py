"""The hash chain of the operation logs, recomputed without the database's own code: whole, or where it breaks.

Each log carries SHA-256 over the hash of the place before and its own fields, so that no row can be changed, left out
or put in unseen, whether it is still hot or in a cold file. The last link stands in `mgg.operation_log_head`.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import Final

import psycopg
from psycopg.rows import class_row

from meva_pipelines.domain.failures import Refused, Unavailable


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain, from 1, and the 32 bytes of its hash."""

    position: int
    hash: bytes


GENESIS: Final = Link(0, bytes(32))
"""What the first log is chained to."""

_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Log:
    """A row of `mgg.operation_logs`, hot or cold; its fields are named and ordered as the columns are."""

    id: int
    user_id: int | None
    log_type: str
    action: str
    details: str | None
    ip_address: str | IPv4Address | IPv4Interface | IPv6Address | IPv6Interface | None
    user_agent: str | None
    origin: str | None
    created_at: datetime
    chain_position: int
    chain_hash: bytes


COLUMNS: Final = tuple(Log.__dataclass_fields__)
"""Columns that a log is made of."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What was found of a chain: logs read, where it first breaks, places that are missing, places that came twice."""

    logs: int
    first_break: int | None
    breaks: int
    missing: int
    doubles: int

    @property
    def is_whole(self) -> bool:
        """Whether every log is there, once and unchanged."""
        return not (self.breaks or self.missing or self.doubles)


def verify(logs: Iterable[Log], *, head: Link, after: Link = GENESIS) -> Chain:
    """Recompute a chain over logs in order of position, from behind `after` up to `head`.

    A log behind a gap cannot be checked against what is missing: the chain goes on from its own hash.

    Raises:
        Refused: the logs do not come in order.
    """
    walk = _Walk(after)
    for log in logs:
        walk.step(log)
    return walk.end(head)


def link(previous: bytes, log: Log) -> bytes:
    """Return the hash of a log behind the hash of the place before it.

    SHA-256 over `previous` and the fields, each with its length in four bytes (NULL: all ones) before its content:
    texts in UTF-8, numbers in digits, the moment in microseconds since 1970, an address as PostgreSQL sends it.
    """
    hashed = hashlib.sha256(previous)
    for field in (
        str(log.chain_position),
        str(log.id),
        None if log.user_id is None else str(log.user_id),
        log.log_type,
        log.action,
        log.details,
        None if log.ip_address is None else _address(log.ip_address),
        log.user_agent,
        log.origin,
        str((log.created_at - _EPOCH) // timedelta(microseconds=1)),
    ):
        content = field.encode() if isinstance(field, str) else field
        hashed.update(_NULL if content is None else struct.pack(">i", len(content)) + content)
    return hashed.digest()


def head(connection: psycopg.Connection) -> Link:
    """Return where the chain ends.

    Raises:
        Unavailable: the head is lost, which no role of the pipelines can do.
    """
    with connection.cursor(row_factory=class_row(Link)) as cursor:
        found = cursor.execute("SELECT position, hash FROM mgg.operation_log_head").fetchone()
    if found is None:
        raise Unavailable("the head of the chain of operation logs is lost: restore mgg.operation_log_head")
    return found


def _address(address: str | IPv4Address | IPv4Interface | IPv6Address | IPv6Interface) -> bytes:
    interface = ip_interface(address)
    family = 2 if interface.version == 4 else 3
    packed = interface.packed
    return bytes([family, interface.network.prefixlen, 0, len(packed)]) + packed


class _Walk:
    """A walk along the chain."""

    def __init__(self, after: Link) -> None:
        self._last = after
        self._logs = self._missing = self._doubles = 0
        self._broken: list[int] = []

    def step(self, log: Log) -> None:
        """Go on to the next log."""
        if log.chain_position < self._last.position:
            raise Refused(f"logs of the chain came out of order: {log.chain_position} behind {self._last.position}")
        self._logs += 1
        ahead = log.chain_position - self._last.position
        if ahead == 0:
            self._doubles += 1
            is_sound = log.chain_hash == self._last.hash
        elif ahead == 1:
            is_sound = log.chain_hash == link(self._last.hash, log)
        else:
            self._missing += ahead - 1
            is_sound = True
        if not is_sound:
            self._broken.append(log.chain_position)
        self._last = Link(log.chain_position, log.chain_hash)

    def end(self, head: Link) -> Chain:
        """Compare where the walk ended with where the chain does, and return what was found."""
        self._missing += max(head.position - self._last.position, 0)
        is_beyond = self._last.position > head.position
        if is_beyond or (self._last.position == head.position and self._last.hash != head.hash):
            self._broken.append(self._last.position)
        first = min(self._broken, default=None)
        return Chain(self._logs, first, len(self._broken), self._missing, self._doubles)
