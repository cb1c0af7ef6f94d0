"""What the books of the simulation system say: figures of an attempt, sizes of tables, retention policies."""

import psycopg
from psycopg import sql
from sqlalchemy import Table

from meva_pipelines.domain.simulation.retention import POLICIES
from meva_pipelines.resources import ledger
from meva_pipelines.resources.simulation_publishing import Published
from meva_pipelines.resources.staged_rows import StagedRows

_FIGURES = ("received_rows", "inserted_rows", "unchanged_rows", "quarantined_rows")


def record(connection: psycopg.Connection, rows: StagedRows, published: Published) -> None:
    """Write the figures of a publication to its attempt, and an operation log, in the same transaction.

    A register or a model counts as one result; what is staged and was there already is unchanged.
    """
    staged = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(rows.table)).fetchone()
    written = published.results + published.references
    ledger.record(
        connection,
        rows.attempt.token,
        inserted_rows=written,
        unchanged_rows=(staged[0] if staged else 0) - written,
        details=published.figures(),
    )
    log(
        connection,
        log_type="upload",
        action="results published",
        details=f"attempt {rows.attempt.token}: {published.results} results, {published.points} points",
    )


def log(
    connection: psycopg.Connection, *, log_type: str, action: str, details: str, user_id: int | None = None
) -> None:
    """Append to the operation log; `details` without personal data."""
    connection.execute("SELECT mgg.ensure_partition('operation_logs', now())")
    connection.execute(
        "INSERT INTO mgg.operation_logs (user_id, log_type, action, details) VALUES (%s, %s, %s, %s)",
        [user_id, log_type, action, details],
    )


def of_attempt(connection: psycopg.Connection, token: int) -> dict[str, int]:
    """Return the row counts of an attempt, and what it published by kind."""
    row = connection.execute(
        sql.SQL("SELECT details, {} FROM ops.sync_runs WHERE token = %s").format(
            sql.SQL(", ").join(map(sql.Identifier, _FIGURES))
        ),
        [token],
    ).fetchone()
    details, *counts = row or ({}, *(0 for _ in _FIGURES))
    return {
        **{name: int(count or 0) for name, count in zip(_FIGURES, counts, strict=True)},
        **{name: count for name, count in details.items() if isinstance(count, int)},
    }


def of_table(connection: psycopg.Connection, table: Table) -> int:
    """Return how many rows a table has; partitioned ones are estimated once they were analysed."""
    name = f"{table.schema}.{table.name}"
    estimate = connection.execute(
        "SELECT sum(c.reltuples)::bigint, bool_and(c.reltuples >= 0) FROM pg_partition_tree(%s) AS p"
        " JOIN pg_class AS c ON c.oid = p.relid WHERE p.isleaf AND p.level > 0",
        [name],
    ).fetchone()
    if estimate is not None and estimate[0] and estimate[1]:
        return int(estimate[0])
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(str(table.schema), table.name))
    ).fetchone()
    return 0 if row is None else int(row[0])


def enter_policies(connection: psycopg.Connection) -> int:
    """Enter the retention policies that are missing and return how many; what a person changed stays."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO mgg.retention_policies (table_name, retention_days, archive_enabled, delete_after_archive,"
            " file_period, age_column) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (table_name) DO NOTHING",
            [(p.table, p.hot_days, p.is_archived, p.is_archived, p.file_period, p.age_column) for p in POLICIES],
        )
        return max(cursor.rowcount, 0)


def policies(connection: psycopg.Connection) -> list[dict[str, object]]:
    """Return the retention policies for people, the shortest first."""
    rows = connection.execute(
        "SELECT table_name, retention_days, archive_enabled, delete_after_archive, file_period, age_column"
        " FROM mgg.retention_policies ORDER BY retention_days, table_name"
    ).fetchall()
    names = ("table", "hot days", "archived", "deleted after", "file", "age")
    return [dict(zip(names, row, strict=True)) for row in rows]
