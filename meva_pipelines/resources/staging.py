"""What every staging shares: row rules, and the removal of what attempts that died left behind.

What is staged, and where, is each subject's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.schema.roles import STAGING_SCHEMA


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition in SQL over a staged row `s` that rejects it, as data."""

    name: str
    field: str | None
    broken_when: str
    reason: str


def first_broken(rules: Sequence[RowRule]) -> sql.Composed:
    """Return the SQL for the number, from 1, of the first rule that a staged row `s` breaks; NULL where none is."""
    if not rules:
        return sql.Composed([sql.SQL("NULL::int")])
    cases = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(sql.SQL(rule.broken_when), sql.Literal(number))
        for number, rule in enumerate(rules, start=1)
    )
    return sql.SQL("(CASE {} END)").format(cases)


def told(rules: Sequence[RowRule]) -> list[list[str | None]]:
    """Return names, fields and reasons of rules, to be picked by the number of `first_broken`."""
    return [[rule.name for rule in rules], [rule.field for rule in rules], [rule.reason for rule in rules]]


def drop_abandoned(connection: psycopg.Connection) -> int:
    """Drop staging tables whose attempt can publish no more, or is older than a day. Returns how many tables went.

    An attempt can publish no more when it was published or failed, or when a newer one of its source is published.
    A table that a zombie still reads is left for the next time.
    """
    names = [
        row[0]
        for row in connection.execute(
            "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " LEFT JOIN ops.sync_runs AS r ON r.token = substring(c.relname FROM '^[a-z]+_([0-9]+)_')::bigint"
            " WHERE n.nspname = %s AND c.relkind = 'r' AND (r.token IS NULL OR r.status IN ('published', 'failed')"
            " OR r.started_at < now() - interval '1 day' OR EXISTS (SELECT FROM ops.sync_runs AS newer"
            " WHERE (newer.subject, newer.source, newer.status) = (r.subject, r.source, 'published')"
            " AND newer.token > r.token))",
            [STAGING_SCHEMA],
        )
    ]
    connection.execute("SET LOCAL lock_timeout = '1s'")
    dropped = sum(_drop_unused(connection, name) for name in names)
    connection.commit()
    return dropped


def _drop_unused(connection: psycopg.Connection, name: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(STAGING_SCHEMA, name)))
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def discard_abandoned(
    connection: psycopg.Connection, store: ObjectStore, *, subject: str, folder: Callable[[int], str]
) -> None:
    """Drop abandoned staging tables, and the objects staged in `folder(token)` by attempts that ended lately."""
    drop_abandoned(connection)
    ended = connection.execute(
        "SELECT token FROM ops.sync_runs WHERE subject = %s AND status IN ('published', 'failed', 'rejected')"
        " AND finished_at > now() - interval '7 days'",
        [subject],
    ).fetchall()
    for (token,) in ended:
        store.discard(folder(token))
