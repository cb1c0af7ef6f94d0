"""Whether a backup can be taken here: judgements over facts that somebody else has gathered.

Each finding says what was found and what to do, with the exact command where there is one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meva_pipelines.domain.backup.vocabulary import Extent

OLDEST_WITH_INCREMENTAL = 17
"""`pg_basebackup --incremental` came with PostgreSQL 17."""

SPACE_FACTOR = 2.0
"""Free space wanted on a target, as a multiple of the data (seed 002 asks for two to three times)."""

LOCKS_FACTOR = 2
"""Room for locks that is asked for where there is too little, as a multiple of the tables: others lock as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server says of itself. `tools` is the major version of the programs at hand.

    `lockers` is how many transactions, open and prepared, share the room for locks, each with `max_locks`.
    """

    version: int
    tools: int
    may_replicate: bool
    withheld_functions: Sequence[str]
    unreadable_tables: int
    tables: int
    max_locks: int
    lockers: int
    wal_level: str
    summarizes_wal: bool
    max_wal_senders: int
    free_slots: int
    tablespaces: int
    data_bytes: int

    @property
    def major(self) -> int:
        """Major version of the server."""
        return self.version // 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `is_required` for any physical backup, otherwise for increments only."""

    name: str
    is_met: bool
    said: str
    is_required: bool = True


def server(facts: ServerFacts) -> tuple[Finding, ...]:
    """Return what the server needs for full backups and the log, and what for increments."""
    return tuple(_required(facts)) + tuple(_for_increments(facts))


def can_be_physical(facts: ServerFacts) -> bool:
    """Whether physical backups and the log can be taken."""
    return all(finding.is_met for finding in _required(facts))


def can_be_incremental(facts: ServerFacts) -> bool:
    """Whether increments can be taken on top of a full backup."""
    return can_be_physical(facts) and all(finding.is_met for finding in _for_increments(facts))


def never(facts: ServerFacts, extent: Extent, *, had_slot: bool) -> str:
    """Return why a server is none that gives such a physical backup, or nothing where it should give one.

    A server that kept its log for backups once (`had_slot`) and gives none any more has a fault: that is no nature.
    """
    if not facts.may_replicate and not had_slot:
        return "the user may not replicate: this server gives dumps only, which cannot be restored to any moment"
    if extent is Extent.INCREMENTAL and facts.major < OLDEST_WITH_INCREMENTAL:
        return f"version {facts.major}: increments need {OLDEST_WITH_INCREMENTAL}; the log alone carries on"
    return ""


def space(*, data_bytes: int, free_bytes: int | None, factor: float = SPACE_FACTOR) -> Finding:
    """Return whether a target has room; a store that tells no number (None) is taken to have it."""
    if free_bytes is None:
        return Finding("free_space", is_met=True, said="the target does not say how much room it has")
    wanted = factor * data_bytes
    said = f"{_spelled(free_bytes)} free, {_spelled(wanted)} wanted ({factor:g} × {_spelled(data_bytes)} of data)"
    return Finding("free_space", free_bytes >= wanted, said)


def _required(facts: ServerFacts) -> Iterator[Finding]:
    yield from _rights(facts)
    yield from _settings(facts)


def _rights(facts: ServerFacts) -> Iterator[Finding]:
    yield Finding(
        "replication_right",
        facts.may_replicate,
        "the user may replicate"
        if facts.may_replicate
        else "the user may not replicate: only logical dumps are possible, which cannot be restored to any moment. "
        "As an administrator: ALTER ROLE <user> REPLICATION; and allow `replication` for it in pg_hba.conf",
    )
    functions = ", ".join(facts.withheld_functions)
    yield Finding(
        "functions",
        not functions,
        f"the user may not call {functions}. As an administrator: GRANT EXECUTE ON FUNCTION {functions} TO <user>"
        if functions
        else "the user may mark a restore point and switch the log",
    )
    yield Finding(
        "reading_right",
        facts.unreadable_tables == 0,
        f"{facts.unreadable_tables} tables that the user may not read; GRANT pg_read_all_data TO <user>",
    )


def _settings(facts: ServerFacts) -> Iterator[Finding]:
    yield Finding(
        "programs",
        facts.tools >= facts.major,
        f"programs of PostgreSQL {facts.tools} for a server of version {facts.major}",
    )
    yield Finding(
        "wal_level",
        facts.wal_level in {"replica", "logical"},
        f"wal_level is {facts.wal_level}; it is set with: ALTER SYSTEM SET wal_level = 'replica'; and a restart",
    )
    yield Finding(
        "wal_senders",
        facts.max_wal_senders >= 2,
        f"max_wal_senders is {facts.max_wal_senders}; it is set with: ALTER SYSTEM SET max_wal_senders = 10; "
        "and a restart",
    )
    yield Finding(
        "replication_slots",
        facts.free_slots >= 1,
        f"{facts.free_slots} replication slots are free; more with: ALTER SYSTEM SET max_replication_slots = 10; "
        "and a restart",
    )
    room = facts.max_locks * facts.lockers
    enough = max(facts.max_locks, math.ceil(LOCKS_FACTOR * facts.tables / facts.lockers))
    yield Finding(
        "locks",
        facts.tables <= room,
        f"a backup locks {facts.tables:,} tables at once; max_locks_per_transaction is {facts.max_locks}, room for "
        f"{room:,}; it is set with: ALTER SYSTEM SET max_locks_per_transaction = {enough}; and a restart",
    )
    yield Finding(
        "tablespaces",
        facts.tablespaces == 0,
        f"{facts.tablespaces} tablespaces besides the server's own; a stream holds one only",
    )


def _for_increments(facts: ServerFacts) -> Iterator[Finding]:
    is_recent = facts.major >= OLDEST_WITH_INCREMENTAL
    yield Finding(
        "incremental_version",
        is_recent,
        f"version {facts.major}; increments need {OLDEST_WITH_INCREMENTAL}, before that the log alone carries on",
        is_required=False,
    )
    if is_recent:
        yield Finding(
            "summarize_wal",
            facts.summarizes_wal,
            "the log is summarized"
            if facts.summarizes_wal
            else "increments need: ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf();",
            is_required=False,
        )


def _spelled(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
