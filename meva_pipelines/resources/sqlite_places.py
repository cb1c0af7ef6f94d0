"""Where the rows of an old database lie here: their numbers, by the names under which they were taken over."""

from typing import Any, Final

import psycopg
from psycopg import sql

from meva_pipelines.domain.simulation import takeover
from meva_pipelines.resources.sqlite_source import Source

PARENT: Final = {"simulation_time_series": "forward_simulations", "test_time_series": "test_results"}
"""The table of the results that the rows of a series belong to."""


def prefix(source: Source) -> str:
    """Return a pattern for LIKE of the names that rows of a database got which had none of their own."""
    return f"{takeover.named(source.sha256, 0).rpartition('/')[0]}/%"


def ids(connection: psycopg.Connection, table: str, source: Source) -> dict[str, int]:
    """Return the numbers of the rows that were taken, by their names."""
    old = next(old for old in takeover.TABLES if old.name == table)
    rows = connection.execute(
        sql.SQL("SELECT {key}, id FROM mgg.{table} WHERE %s OR {key} LIKE %s").format(
            key=sql.Identifier(old.key or "name"), table=sql.Identifier(table)
        ),
        [old.key is not None, prefix(source)],
    ).fetchall()
    return dict(rows)


def parents(connection: psycopg.Connection, table: str, source: Source) -> dict[str, tuple[int, Any]]:
    """Return number and age of the results whose series are taken, by name."""
    age = "created_at" if table == "forward_simulations" else "test_date"
    rows = connection.execute(
        sql.SQL("SELECT name, id, {} FROM mgg.{} WHERE name LIKE %s").format(
            sql.Identifier(age), sql.Identifier(table)
        ),
        [prefix(source)],
    ).fetchall()
    return {name: (number, moment) for name, number, moment in rows}


def file_ids(connection: psycopg.Connection, source: Source) -> dict[int, int]:
    """Return the numbers of the files that were taken, by their old ones."""
    rows = connection.execute(
        "SELECT t.name, f.position, f.id FROM mgg.test_result_files AS f JOIN mgg.test_results AS t"
        " ON t.id = f.test_result_id WHERE t.name LIKE %s",
        [prefix(source)],
    ).fetchall()
    found = {(name, position): number for name, position, number in rows}
    return {old: found[place] for old, place in source.places().items() if place in found}
