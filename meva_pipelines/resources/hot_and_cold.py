"""Hot and cold rows as one table: a question is answered from PostgreSQL and from committed cold parts.

Of a key that lies in several places, one row counts: the hot one, otherwise that of the highest generation. A reader
shares a lock that a release takes for itself, and begins its snapshot under it: a row that leaves meanwhile is seen
exactly once.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

import psycopg
import pyarrow as pa
from psycopg import sql

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.filters import Filter
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.domain.archive.ranges import relaxed
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import (
    archive_batches,
    archive_predicates,
    cold_rows,
    copied_batches,
    large_streams,
)
from meva_pipelines.resources.archive_batches import Batch
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.cold_rows import Effort, PartEffort, Wanted
from meva_pipelines.resources.first_rows import FirstRows
from meva_pipelines.resources.hot_keys import HotKeys
from meva_pipelines.resources.large_streams import Stream
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

_LOCK_TIMEOUT = "60s"
"""How long an answer waits for a release that is under way: dropping a partition takes fractions of a second."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as they come, to be taken once, and what is read for them meanwhile."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    effort: Effort


Rows: TypeAlias = Generator[pa.RecordBatch]
Layers: TypeAlias = dict[Period, list[Batch]]


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where the rows of one question come from."""

    connection: psycopg.Connection
    files: ColdFiles
    effort: Effort


@contextmanager
def answer(postgres: Postgres, files: ColdFiles, query: Query, *, role: Role = Role.READER) -> Iterator[Answer]:
    """Lend the answer to a question. The reader sees no column that may tell of a person; the archiver sees all.

    Memory stays flat: unsorted rows stream through, sorted ones lie on disk beyond a limit.

    Raises:
        Refused: the question names what there is not, or what the role may not see.
        Rejected: a cold file is damaged or another one than it should be.
        Unavailable: the lock was not to be had in time, or a store does not answer.
    """
    asked = query.settled(archive_predicates.nameable(query.table, role))
    with _snapshot(postgres, asked.table, role) as connection:
        effort = Effort(parts=[PartEffort(batch) for batch in archive_batches.parts(connection, asked.table)])
        sources = _Sources(connection, files, effort)
        with closing(_answered(sources, asked)) as rows:
            yield Answer(cold_rows.chosen(asked.table, asked.columns), rows, effort)


def count(postgres: Postgres, files: ColdFiles, query: Query, *, role: Role = Role.READER) -> tuple[int, Effort]:
    """Return how many rows a filter chooses, whatever columns, order and limit are asked for."""
    counted = Query(query.table, query.filter, columns=query.table.key[:1])
    with answer(postgres, files, counted, role=role) as found:
        return sum(batch.num_rows for batch in found.batches), found.effort


@contextmanager
def cold_only(postgres: Postgres, files: ColdFiles, query: Query) -> Iterator[Iterator[tuple[Period, pa.RecordBatch]]]:
    """Lend the rows of a filter that are cold and not hot, period after period, as the archiver sees them.

    Raises:
        Refused, Rejected, Unavailable: as `answer`.
    """
    asked = query.settled(archive_predicates.nameable(query.table, Role.ARCHIVER))
    with _snapshot(postgres, asked.table, Role.ARCHIVER) as connection:
        effort = Effort(parts=[PartEffort(batch) for batch in archive_batches.parts(connection, asked.table)])
        sources = _Sources(connection, files, effort)
        with closing(_cold(sources, asked, _layers(sources, asked), asked.columns, FirstRows())) as rows:
            yield rows


@contextmanager
def _snapshot(postgres: Postgres, table: Archived, role: Role) -> Iterator[psycopg.Connection]:
    """Lend a transaction whose snapshot began under the lock that readers share; the session's end gives it back."""
    with postgres.connect(role, work=f"query {table.name}", autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
            connection.execute(
                "SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))", [f"archive.{table.name}.readers"]
            )
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                connection.execute("SET LOCAL datestyle = 'ISO'")
                yield connection
        except psycopg.errors.LockNotAvailable:
            raise Unavailable(
                f"{table.name} is being released for longer than {_LOCK_TIMEOUT}: ask again when that run has ended"
            ) from None
        except psycopg.errors.SyntaxErrorOrAccessRuleViolation as error:
            raise Refused(
                f"PostgreSQL refuses the question: {error.diag.message_primary}. Bring the schema up to date with: "
                "make migrate"
            ) from None
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"the answer broke off: {error.diag.message_primary or 'the connection was lost'}. Ask again."
            ) from None


def _answered(sources: _Sources, asked: Query) -> Rows:
    layers = _layers(sources, asked)
    if not layers:
        return _hot(sources, asked, asked.columns)
    if not asked.sort:
        return _limited(_both(sources, asked, layers, asked.columns), asked.limit)
    return _ordered(sources, asked, layers)


def _ordered(sources: _Sources, asked: Query, layers: Layers) -> Rows:
    """Yield sorted rows. Hot or cold, no more are asked for than may be among them."""
    total = (*asked.sort, *_by_key(asked))
    columns = tuple(dict.fromkeys([*asked.columns, *(one.field for one in total)]))
    few = replace(asked, limit=None if asked.limit is None else asked.limit + asked.offset, offset=0)
    stream = Stream(cold_rows.chosen(asked.table, columns), _both(sources, few, layers, columns))
    for batch in large_streams.ordered(stream, total, limit=asked.limit, offset=asked.offset):
        yield batch.select(asked.columns)


def _both(sources: _Sources, asked: Query, layers: Layers, columns: Sequence[str]) -> Rows:
    first = FirstRows.of(asked)
    yield from first.watched(_hot(sources, asked, columns))
    yield from first.watched(batch for _, batch in _cold(sources, asked, layers, columns, first))


def _by_key(asked: Query) -> Iterator[Sort]:
    named = {one.field for one in asked.sort}
    return (Sort(name) for name in asked.table.key if name not in named)


def _layers(sources: _Sources, asked: Query) -> Layers:
    """Return the parts that may hold chosen rows by period, the newest period and the highest generation first.

    A part that is left out can hide no row either: what leaves it out are times and keys alone.
    """
    found: Layers = {}
    for part in reversed(sources.effort.parts):
        part.left_out = cold_rows.why_left_out(part.batch, asked.filter)
        if not part.left_out:
            found.setdefault(part.batch.period, []).append(part.batch)
    return found


def _hot(sources: _Sources, asked: Query, columns: Sequence[str]) -> Rows:
    """Yield the hot rows of a filter, sorted and limited by the server."""
    table = asked.table
    statement = sql.SQL("{}{} LIMIT {} OFFSET {}").format(
        _selected(table, columns, archive_predicates.condition(asked.filter, table)),
        sql.SQL(" ORDER BY {}").format(archive_predicates.ordering(asked.sort, table)) if asked.sort else sql.SQL(""),
        sql.Literal(asked.limit),
        sql.Literal(asked.offset),
    )
    for batch in copied_batches.fetched(sources.connection, statement, cold_rows.chosen(table, columns)):
        sources.effort.hot_rows += batch.num_rows
        yield batch


def _cold(
    sources: _Sources, asked: Query, layers: Layers, columns: Sequence[str], first: FirstRows
) -> Generator[tuple[Period, pa.RecordBatch]]:
    """Yield the cold rows of a filter that may be among the first, beginning with the period where those are likely."""
    wanted = Wanted(asked.table, tuple(columns), asked.filter, first)
    for period in layers if first.is_descending else reversed(layers):
        parts = [batch for batch in layers[period] if not _is_behind(sources.effort.of(batch), first)]
        if not parts:
            continue
        keys = HotKeys(sources.connection, asked.table, period)
        hot = keys if keys.are_there(_on_keys(wanted)) else None
        for place, batch in enumerate(parts):
            for rows in _part(sources, batch, wanted, hot=hot, above=parts[:place]):
                yield period, rows


def _is_behind(part: PartEffort, first: FirstRows) -> bool:
    """Return whether no row of a part can be among the first. Times and keys alone tell, as they do in `_layers`."""
    if cold_rows.why_left_out(part.batch, first.bound()):
        part.left_out = "behind the rows that are asked for"
    return bool(part.left_out)


def _part(sources: _Sources, batch: Batch, wanted: Wanted, *, hot: HotKeys | None, above: Sequence[Batch]) -> Rows:
    """Yield the rows of a part whose keys lie neither hot nor in a part above it."""
    key, effort = wanted.table.key, sources.effort.of(batch)
    names = dict.fromkeys([*wanted.columns, *key]) if hot or above else wanted.columns
    keyed = replace(wanted, columns=tuple(names))
    rows: Iterable[pa.RecordBatch] = cold_rows.read(sources.files, batch, keyed, effort)
    if hot:
        rows = hot.hide(rows)
    if above:
        hidden = chain.from_iterable(_cold_keys(sources, wanted, one) for one in above)
        keys = Stream(cold_rows.chosen(wanted.table, key), hidden)
        rows = large_streams.without(Stream(keyed.schema, rows), keys, key)
    for found in rows:
        yield found.select(wanted.columns)


def _cold_keys(sources: _Sources, wanted: Wanted, batch: Batch) -> Rows:
    keys = Wanted(wanted.table, wanted.table.key, _on_keys(wanted))
    return cold_rows.read(sources.files, batch, keys, sources.effort.of(batch))


def _on_keys(wanted: Wanted) -> Filter:
    """Return what the filter says of keys alone: whatever it says of other columns, a row above may differ there."""
    return relaxed(wanted.filter, wanted.table.key)


def _selected(table: Archived, columns: Sequence[str], condition: sql.Composable) -> sql.Composed:
    registered = archive_predicates.registered(table)
    return sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join(copied_batches.selected(registered[name]) for name in columns),
        sql.Identifier(table.schema, table.name),
        condition,
    )


def _limited(batches: Rows, limit: int | None) -> Rows:
    left = limit
    with closing(batches):
        for batch in batches:
            yield batch.slice(0, left)
            if left is not None and (left := left - batch.num_rows) <= 0:
                return
