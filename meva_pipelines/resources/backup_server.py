"""What a backup asks of the server it is taken from: facts, the replication slot, its log, the locks.

What needs a right to replicate speaks SQL as the user of the warehouse's address, because that is a right of users,
not of the roles that pieces of work take.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import psycopg
from psycopg.rows import class_row

from meva_pipelines.domain.backup import preflight
from meva_pipelines.domain.backup.preflight import ServerFacts
from meva_pipelines.domain.backup.vocabulary import Extent
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import backup_fingerprints

SLOT = "meva_backup"
_FUNCTIONS = ["pg_catalog.pg_create_restore_point(text)", "pg_catalog.pg_switch_wal()"]
"""What PostgreSQL lets only superusers call unless it is told otherwise."""

_CONNECT_TIMEOUT_S = 10
_POLL_S = 0.2
_FACTS = """
SELECT current_setting('server_version_num')::int AS version, %(tools)s::int AS tools,
  (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_replicate,
  (SELECT coalesce(array_agg(name), '{}') FROM unnest(%(functions)s::text[]) AS name
   WHERE NOT has_function_privilege(name, 'EXECUTE')) AS withheld_functions,
  %(unreadable)s::int AS unreadable_tables, %(tables)s::int AS tables,
  current_setting('max_locks_per_transaction')::int AS max_locks,
  current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int AS lockers,
  current_setting('wal_level') AS wal_level,
  coalesce(current_setting('summarize_wal', true), 'off') = 'on' AS summarizes_wal,
  current_setting('max_wal_senders')::int AS max_wal_senders,
  (SELECT current_setting('max_replication_slots')::int - count(*) FILTER (WHERE slot_name <> %(slot)s)
   FROM pg_replication_slots)::int AS free_slots,
  (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global'))::int AS tablespaces,
  (SELECT sum(pg_database_size(oid)) FROM pg_database
   WHERE has_database_privilege(oid, 'CONNECT'))::bigint AS data_bytes
"""


class Lock(StrEnum):
    """What one process does at a time: take or expire backups; and, apart from it, decide which of them may go."""

    BACKUPS = "meva.backup"
    EXPIRY = "meva.backup.expiry"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server this is, and how its log is cut."""

    system_id: str
    version: int
    segment_bytes: int
    timeline: int


@dataclass(frozen=True, slots=True)
class SwitchedLog:
    """A log that was switched: everything committed before `covers_until` lies in segments that are finished."""

    covers_until: datetime
    stop_at: str


@contextmanager
def session(dsn: str, *, work: str) -> Iterator[psycopg.Connection]:
    """Lend a connection of the address's own user, in autocommit.

    Raises:
        Unavailable: no server answers.
    """
    try:
        connection = psycopg.connect(
            dsn, connect_timeout=_CONNECT_TIMEOUT_S, application_name=f"meva {work}", autocommit=True
        )
    except psycopg.OperationalError as error:
        raise Unavailable(f"PostgreSQL does not answer for {work}: {type(error).__name__}") from None
    try:
        connection.execute("SET search_path = pg_catalog, pg_temp")
        yield connection
    finally:
        connection.close()


@contextmanager
def exclusively(connection: psycopg.Connection, lock: Lock = Lock.BACKUPS, *, patience_s: float) -> Iterator[None]:
    """Hold a lock for as long as the connection lives.

    Raises:
        Unavailable: another process has held it for `patience_s` seconds.
    """
    deadline = time.monotonic() + patience_s
    while not _is_locked(connection, lock):
        if time.monotonic() > deadline:
            raise Unavailable("another backup or expiry is under way on this server; it goes on, this one did nothing")
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [lock.value])


def _is_locked(connection: psycopg.Connection, lock: Lock) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [lock.value]).fetchone()
    return row is not None and bool(row[0])


def facts(connection: psycopg.Connection, *, tools: int) -> ServerFacts:
    """Return what decides which backups can be taken."""
    tables, unreadable = backup_fingerprints.counted(connection)
    given = {"tools": tools, "slot": SLOT, "functions": _FUNCTIONS, "tables": tables, "unreadable": unreadable}
    with connection.cursor(row_factory=class_row(ServerFacts)) as cursor:
        found = cursor.execute(_FACTS, given).fetchone()
    if found is None:
        raise Unavailable("PostgreSQL said nothing of itself")
    return found


def demand_physical(found: ServerFacts) -> None:
    """Refuse a server of which no physical backup can be taken.

    Raises:
        Refused: says what is missing, and the command that sets it.
    """
    if not preflight.can_be_physical(found):
        missing = [finding.said for finding in preflight.server(found) if finding.is_required and not finding.is_met]
        raise Refused(f"no physical backup can be taken: {'; '.join(missing)}")


def never(connection: psycopg.Connection, extent: Extent) -> str:
    """Return why this server is none that gives such a physical backup, or nothing where it should give one."""
    row = connection.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [SLOT]).fetchone()
    return preflight.never(facts(connection, tools=0), extent, had_slot=row is not None)


def identity(connection: psycopg.Connection) -> Identity:
    """Return which server this is."""
    with connection.cursor(row_factory=class_row(Identity)) as cursor:
        found = cursor.execute(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_id,"
            " current_setting('server_version_num')::int AS version,"
            " (SELECT bytes_per_wal_segment FROM pg_control_init()) AS segment_bytes,"
            " (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline"
        ).fetchone()
    if found is None:
        raise Unavailable("PostgreSQL did not say which server it is")
    return found


def superuser(connection: psycopg.Connection) -> str:
    """Return the name of the superuser with whom the server was made; none can be removed or lose its number."""
    row = connection.execute("SELECT rolname FROM pg_roles WHERE oid = 10").fetchone()
    if row is None:
        raise Unavailable("PostgreSQL did not say who its superuser is")
    return str(row[0])


def ensure_slot(connection: psycopg.Connection) -> bool:
    """Make the slot that keeps the log until it was fetched; whether it had to be made.

    A slot that has lost its log is made anew: the gap shows in the chain.
    """
    if kept_from(connection) is not None:
        return False
    drop_slot(connection)
    connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
    return True


def kept_from(connection: psycopg.Connection) -> str | None:
    """Return the position from which the slot keeps the log, or None where it does not, or has lost it."""
    row = connection.execute(
        "SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = %s AND wal_status <> 'lost'", [SLOT]
    ).fetchone()
    return None if row is None else row[0]


def drop_slot(connection: psycopg.Connection) -> None:
    """Let the server forget the slot, so that it keeps no log for backups any more."""
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
    )


def switch_log(connection: psycopg.Connection) -> SwitchedLog:
    """Finish the present segment and write one record behind it, at which a receiver can stop.

    A transaction commits first: its commit is a moment that a restore can recognise. Both commits wait until they are
    on disk, because the server sends nothing that is not.
    """
    now = clock(connection)
    connection.execute("SET synchronous_commit = local")
    _message(connection)
    connection.execute("SELECT pg_switch_wal()")
    return SwitchedLog(now, _message(connection))


def _message(connection: psycopg.Connection) -> str:
    row = connection.execute("SELECT pg_logical_emit_message(true, 'meva', 'backup')::text").fetchone()
    if row is None:
        raise Unavailable("PostgreSQL did not say how far its log reaches")
    return str(row[0])


def clock(connection: psycopg.Connection) -> datetime:
    """Return the database's clock."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    if row is None:
        raise Unavailable("PostgreSQL returned no time")
    return row[0]  # type: ignore[no-any-return]
