"""Rows that were computed from published ones, staged for the judge: one UNLOGGED table for each attempt.

For tables whose every row is worked out by one run: results, comparisons, scores. What arrives from outside has a
staging of its own, because it is triaged. Nothing is published here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB

from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.schema.base import sql_type
from meva_pipelines.schema.roles import STAGING_SCHEMA


@dataclass(frozen=True, slots=True)
class StagedRows:
    """The staging table of an attempt; its columns have names and types of `columns`, and no constraints.

    `word` is the first of its name, in small letters: what was staged and abandoned is told from the token behind it.
    """

    attempt: Attempt
    word: str
    columns: Sequence[Column[Any]]

    @property
    def name(self) -> str:
        """Return the unqualified name of the table, for the judge."""
        return f"{self.word}_{self.attempt.token}_rows"

    @property
    def table(self) -> sql.Identifier:
        """Return the table as it stands in a statement."""
        return sql.Identifier(STAGING_SCHEMA, self.name)

    def stage(self, connection: psycopg.Connection, rows: Iterable[Sequence[object]]) -> int:
        """Copy rows, values in the order of the columns, one after the other; returns how many. Commits.

        What an interrupted try of the same attempt left behind goes first.
        """
        typed = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(sql_type(column))) for column in self.columns
        )
        self.drop(connection)
        connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(self.table, typed))
        is_json = [isinstance(column.type, JSONB) for column in self.columns]
        staged = 0
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(self.table)) as copy:
            for row in rows:
                copy.write_row([Jsonb(v) if is_j else v for v, is_j in zip(row, is_json, strict=True)])
                staged += 1
        connection.commit()
        return staged

    def digest(self, connection: psycopg.Connection) -> str:
        """Return an order-independent digest of the rows: what a verdict speaks of."""
        found = connection.execute(
            sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(s::text, 0)::numeric), 0) FROM {} AS s").format(
                self.table
            )
        ).fetchone()
        count, total = found or (0, 0)
        return f"{count}:{total}"

    def drop(self, connection: psycopg.Connection) -> None:
        """Drop the table. Idempotent. Commits."""
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.table))
        connection.commit()
