"""Rows and digest of every table: what a restored copy is compared with.

The digest does not depend on the order of rows: PostgreSQL hashes every row, the hashes are added up.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Unavailable, Unusable

_TRIES = 5
_PATIENCE_MS = 500
"""Less than the server's `deadlock_timeout` (1 s unless set): a deadlock with a writer never ends the writer."""

_BUSY = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InsufficientPrivilege,
)
_PERMANENT = sql.SQL(
    "pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence = 'p'"
    " AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
)
_TABLES = sql.SQL("SELECT n.nspname, c.relname FROM {} ORDER BY 1, 2").format(_PERMANENT)
_COUNTED = sql.SQL("SELECT count(*), count(*) FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT')) FROM {}").format(
    _PERMANENT
)


@dataclass(frozen=True, slots=True)
class Print:
    """Rows of a table and the sum of their hashes."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Prints:
    """Every permanent table of a database in one snapshot. `is_exact`: it is the restore point's."""

    database: str
    tables: Mapping[str, Print]
    is_exact: bool
    seconds: float = 0.0


def at_restore_point(connection: psycopg.Connection, *, name: str) -> Prints:
    """Mark a restore point and take prints of exactly that state.

    Writers wait while the point is written and the snapshot taken, a matter of milliseconds: the lock ends with its
    savepoint, the snapshot stays. Somebody who writes for longer than a few tries is not waited for, and the prints
    are kept as not exact.
    """
    started = perf_counter()
    tables = _tables(connection)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        is_held = any(_is_marked(connection, tables, name) for _ in range(_TRIES))
        if not is_held:
            _mark(connection, name)
        is_exact = is_held and _tables(connection) == tables
        return _taken(connection, is_exact=is_exact, started=started)


def in_transaction(connection: psycopg.Connection) -> Prints:
    """Take prints in the snapshot of the transaction under way."""
    return _taken(connection, is_exact=True, started=perf_counter())


def taken(connection: psycopg.Connection) -> Prints:
    """Take prints of the present state."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return in_transaction(connection)


def counted(connection: psycopg.Connection) -> tuple[int, int]:
    """Return of how many tables prints are taken, and of how many they cannot be: the user may not read those."""
    row = connection.execute(_COUNTED).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def differences(expected: Prints, found: Prints) -> list[str]:
    """Return one sentence for each table that is not as expected."""
    said = []
    for name in sorted({*expected.tables, *found.tables}):
        before, after = expected.tables.get(name), found.tables.get(name)
        if before is None or after is None:
            said.append(f"{name} is {'missing' if after is None else 'there and should not be'}")
        elif before != after:
            what = f"{after.rows:,} rows instead of {before.rows:,}" if before.rows != after.rows else "other content"
            said.append(f"{name} has {what}")
    return said


def written(prints: Prints) -> bytes:
    """Return prints as JSON."""
    tables = {name: [print_.rows, print_.digest] for name, print_ in prints.tables.items()}
    return json.dumps({"database": prints.database, "is_exact": prints.is_exact, "tables": tables}).encode()


def read(content: bytes) -> Prints:
    """Return prints from JSON.

    Raises:
        Unusable: it is not what `written` writes.
    """
    try:
        body = json.loads(content)
        tables = {str(name): Print(int(rows), str(digest)) for name, (rows, digest) in body["tables"].items()}
        return Prints(str(body["database"]), tables, bool(body["is_exact"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable("the fingerprints of a backup cannot be read", rule="backup_fingerprints") from error


def _is_marked(connection: psycopg.Connection, tables: Sequence[tuple[str, str]], name: str) -> bool:
    """Mark a restore point while nobody writes, unless the tables cannot be had for a moment."""
    names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(_PATIENCE_MS)))
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(names))
            _mark(connection, name)
    except _BUSY:
        return False
    return True


def _mark(connection: psycopg.Connection, name: str) -> None:
    """Write the restore point; once for a name, because recovery stops at the first."""
    connection.execute("SELECT pg_create_restore_point(%s)", [name])


def _tables(connection: psycopg.Connection) -> list[tuple[str, str]]:
    return connection.execute(_TABLES).fetchall()


def _taken(connection: psycopg.Connection, *, is_exact: bool, started: float) -> Prints:
    connection.execute("SET LOCAL extra_float_digits = 1")
    tables = {f"{schema}.{table}": _print(connection, schema, table) for schema, table in _tables(connection)}
    return Prints(connection.info.dbname, tables, is_exact, perf_counter() - started)


def _print(connection: psycopg.Connection, schema: str, table: str) -> Print:
    """Take the print of one table; its lock ends with the savepoint, so that no more than one is held at a time."""
    name = sql.Identifier(schema, table)
    by_value = sql.SQL("SELECT count(*), coalesce(sum(hash_record_extended(t.*, 0)), 0)::text FROM ONLY {} AS t")
    by_text = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text FROM ONLY {} AS t")
    try:
        with connection.transaction(force_rollback=True):
            row = connection.execute(by_value.format(name)).fetchone()
    except psycopg.errors.UndefinedFunction:  # a column of a type without a hash, such as json
        with connection.transaction(force_rollback=True):
            row = connection.execute(by_text.format(name)).fetchone()
    if row is None:
        raise Unavailable(f"PostgreSQL returned nothing for {schema}.{table}")
    return Print(row[0], row[1])
