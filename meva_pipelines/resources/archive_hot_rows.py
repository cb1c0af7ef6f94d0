"""Hot rows of archived tables: which periods hold some, how many, how old, how large. Nothing here changes one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import psycopg
from psycopg import sql

from meva_pipelines.domain.archive.declared import TABLES, Archived, Release
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.resources.archive_digests import bounds, within

_PARTITION: Final = re.compile(r"_(?P<year>\d{4})_(?P<part>q[1-4]|\d{2})$")


@dataclass(frozen=True, slots=True)
class Measure:
    """Hot rows of a period. `size` is in bytes with indexes, of a table without partitions its share by rows.

    `oldest` and `newest` are None where rows were estimated and not counted.
    """

    rows: int
    size: int
    oldest: date | datetime | None = None
    newest: date | datetime | None = None


def named(table: Archived) -> sql.Identifier:
    """Return the name of a table for a statement."""
    return sql.Identifier(table.schema, table.name)


def periods(connection: psycopg.Connection) -> tuple[tuple[Archived, Period], ...]:
    """Return the periods that hold at least one hot row, table by table, the oldest first: a cheap look."""
    return tuple((table, period) for table in TABLES.values() for period in of_table(connection, table))


def of_table(connection: psycopg.Connection, table: Archived) -> tuple[Period, ...]:
    """Return the periods of a table that hold at least one hot row, the oldest first."""
    match table.release:
        case Release.PARTITION:
            return tuple(period for period in _partitions(connection, table) if _any(connection, table, period))
        case Release.KEY:
            return tuple(_occupied(connection, table))


def count(connection: psycopg.Connection, table: Archived, period: Period) -> Measure:
    """Count the hot rows of a period."""
    row = connection.execute(
        sql.SQL("SELECT count(*), min({age}), max({age}) FROM {table} WHERE {within}").format(
            age=sql.Identifier(table.age_column), table=named(table), within=within(table)
        ),
        bounds(table, period),
    ).fetchone()
    rows, oldest, newest = row or (0, None, None)
    return Measure(rows, size(connection, table, period, rows=rows), oldest, newest)


def estimate(connection: psycopg.Connection, table: Archived, period: Period) -> Measure:
    """Estimate the hot rows of a period by what the server knows; counted where it knows nothing yet."""
    if table.release is Release.PARTITION:
        row = connection.execute(
            "SELECT c.reltuples::bigint FROM mgg.part_of(%s, %s) AS its JOIN pg_class AS c"
            " ON c.oid = to_regclass(format('mgg.%%I', its.part)) WHERE c.reltuples >= 0",
            [table.name, period.start],
        ).fetchone()
        if row is not None:
            return Measure(row[0], size(connection, table, period, rows=row[0]))
    return count(connection, table, period)


def users(connection: psycopg.Connection, table: Archived) -> dict[int, str]:
    """Return the sessions that use a table until their transactions end: applications by their process."""
    return dict(
        connection.execute(
            "SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database() AND pid IN"
            " (SELECT pid FROM pg_locks WHERE granted AND relation = to_regclass(%s)) ORDER BY pid",
            [f"{table.schema}.{table.name}"],
        ).fetchall()
    )


def size(connection: psycopg.Connection, table: Archived, period: Period, *, rows: int) -> int:
    """Return the bytes of `rows` hot rows of a period with indexes: its partition, or its share of the whole table."""
    if table.release is Release.PARTITION:
        row = connection.execute(
            "SELECT pg_total_relation_size(to_regclass(format('mgg.%%I', its.part))) FROM mgg.part_of(%s, %s) AS its",
            [table.name, period.start],
        ).fetchone()
        return 0 if row is None else int(row[0] or 0)
    row = connection.execute(
        "SELECT pg_total_relation_size(oid), reltuples FROM pg_class WHERE oid = to_regclass(%s)",
        [f"{table.schema}.{table.name}"],
    ).fetchone()
    whole, known = row or (0, 0)
    return int(whole * rows / max(known, rows, 1))


def _partitions(connection: psycopg.Connection, table: Archived) -> Iterator[Period]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = to_regclass(%s) ORDER BY c.relname",
        [f"{table.schema}.{table.name}"],
    ).fetchall()
    for (name,) in rows:
        if found := _PARTITION.search(name):
            yield Period.named(f"{found['year']}-{found['part'].upper()}")


def _any(connection: psycopg.Connection, table: Archived, period: Period) -> bool:
    row = connection.execute(
        sql.SQL("SELECT EXISTS (SELECT FROM {table} WHERE {within})").format(table=named(table), within=within(table)),
        bounds(table, period),
    ).fetchone()
    return row is not None and bool(row[0])


def _occupied(connection: psycopg.Connection, table: Archived) -> Iterator[Period]:
    """Step from period to period by the index over the age."""
    age = sql.Identifier(table.age_column)
    query = sql.SQL("SELECT min({age}) FROM {table} WHERE {age} >= %s").format(age=age, table=named(table))
    moment: datetime | str = "-infinity"
    while (row := connection.execute(query, [moment]).fetchone()) is not None and row[0] is not None:
        period = Period.containing(row[0], table.span)
        yield period
        moment = period.end
