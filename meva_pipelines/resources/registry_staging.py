"""Staging of registry records: what arrived, what differs from the published rows, what is rejected, and its profile.

Everything of one batch lies in UNLOGGED tables of the schema `staging` named after the attempt's token. Readers
never see them. Publishing is next door, in `registry_publishing`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from meva_pipelines.domain import aed as records
from meva_pipelines.domain.aed import Mapped, Page, Rejection
from meva_pipelines.resources import failpoints, journal, staging
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.staging import RowRule
from meva_pipelines.schema.aed import AED_DATA, SOURCED_COLUMNS
from meva_pipelines.schema.base import sql_type
from meva_pipelines.schema.roles import STAGING_SCHEMA

REGION_COLUMNS = ("region_code", "sido_code", "region_status", "health_center_key")
STAGED_COLUMNS = ("page", "line", "source_id", *SOURCED_COLUMNS, *REGION_COLUMNS, "row_hash")
_DIGEST = np.dtype([("high", "<u8"), ("low", "<u8")])
_SEEN_BYTES_AT_ONCE = 1_000_000
_NULL, _ESCAPED = "\\N", str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True)
class Batch:
    """The staging tables of one attempt."""

    attempt: Attempt

    @cached_property
    def records(self) -> sql.Identifier:
        """Typed rows that are new or differ from what is published."""
        return self._table("records")

    @cached_property
    def seen(self) -> sql.Identifier:
        """Key and digest of every record received."""
        return self._table("seen")

    @cached_property
    def rejected(self) -> sql.Identifier:
        """Position, rule and reason of every record rejected."""
        return self._table("rejected")

    @cached_property
    def absent(self) -> sql.Identifier:
        """Published devices that a complete delivery does not hold, and whether that counts."""
        return self._table("absent")

    @cached_property
    def profile(self) -> sql.Identifier:
        """What readers would see after publication beside what they see now, per sido and in all."""
        return self._table("profile")

    def name(self, part: str) -> str:
        """Return the unqualified name of a staging table."""
        return f"aed_{self.attempt.token}_{part}"

    def _table(self, part: str) -> sql.Identifier:
        return sql.Identifier(STAGING_SCHEMA, self.name(part))


@dataclass(slots=True)
class Received:
    """Running counts of a batch while it is staged."""

    rows: int = 0
    changed: int = 0
    pages: int = 0


def create(connection: psycopg.Connection, batch: Batch) -> None:
    """Create the empty staging tables of a batch, dropping what an interrupted try left behind."""
    drop(connection, batch)
    typed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_staging_type(name))) for name in STAGED_COLUMNS[3:]
    )
    for statement in (
        sql.SQL("CREATE UNLOGGED TABLE {} (page int, line int, source_id text, {})").format(batch.records, typed),
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (page int, line int, source_id text, row_hash bytea, is_changed bool)"
        ).format(batch.seen),
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (page int, line int, source_id text, rule text, field text, reason text)"
        ).format(batch.rejected),
    ):
        connection.execute(statement)
    connection.commit()
    failpoints.reach(Point.STAGE_CREATED)


def drop(connection: psycopg.Connection, batch: Batch) -> None:
    """Drop the staging tables of a batch. Idempotent."""
    failpoints.reach(Point.CLEAN_BEFORE_DROP)
    for table in (batch.records, batch.seen, batch.rejected, batch.absent, batch.profile):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.commit()


def stage(
    connection: psycopg.Connection,
    batch: Batch,
    pages: Iterable[Page],
    *,
    mapped: Callable[[Page, Sequence[int]], Mapped],
) -> Received:
    """Copy the records that differ from the published rows, and the key and digest of all of them.

    `mapped` types the records at the given positions of a page. Memory is that of one page and 1 MB.
    """
    received = Received()
    published = _published_digests(connection, batch.attempt.source)
    waiting = iter(pages)
    while _stage_some(connection, batch, received, _Work(waiting, published, mapped)):
        connection.commit()
    connection.commit()
    return received


@dataclass(frozen=True, slots=True)
class _Digests:
    """The digests of all published rows of a source, sorted: 16 bytes a row, so 13 MB for 814,640 rows.

    A digest covers the key of its record, so being in the set means: this very record is published.
    """

    high: npt.NDArray[np.uint64]
    low: npt.NDArray[np.uint64]

    def absent(self, digests: Sequence[bytes]) -> list[int]:
        """Return the positions of the digests that are not published. A tie in the high half counts as absent."""
        if not len(self.high):
            return list(range(len(digests)))
        asked = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
        nearest = np.searchsorted(self.high, asked[:, 0]).clip(max=len(self.high) - 1)
        is_known = (self.high[nearest] == asked[:, 0]) & (self.low[nearest] == asked[:, 1])
        positions: list[int] = np.flatnonzero(~is_known).tolist()
        return positions


def _published_digests(connection: psycopg.Connection, source: str) -> _Digests:
    """Read all digests as one value: a message for each row would cost more than the rows themselves."""
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(
            "SELECT string_agg(row_hash, '') FROM aed.aed_data WHERE source = %s AND octet_length(row_hash) = %s",
            [source, _DIGEST.itemsize],
        ).fetchone()
    pairs = np.frombuffer(row[0] if row and row[0] else b"", dtype=_DIGEST)
    order = np.argsort(pairs["high"], kind="stable")
    return _Digests(pairs["high"][order], pairs["low"][order])


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be staged, and how it is compared and typed."""

    pages: Iterator[Page]
    published: _Digests
    mapped: Callable[[Page, Sequence[int]], Mapped]


def _stage_some(connection: psycopg.Connection, batch: Batch, received: Received, work: _Work) -> bool:
    """Copy a run of pages; False when there are none left.

    The server takes in the rows of one page while the next is digested and typed here, so that one COPY spans many
    pages; keys and digests wait meanwhile.
    """
    seen = bytearray()
    rejections: list[Rejection] = []
    with connection.cursor() as cursor:
        with cursor.copy(_copy(batch.records, STAGED_COLUMNS)) as copy:
            copy.set_types(_copy_types())
            for page in work.pages:
                changed = work.published.absent(page.digests)
                typed = work.mapped(page, changed)
                for row in typed.rows:
                    copy.write_row(row)
                _note_records(batch, page, typed)
                rejections += typed.rejections
                seen += _seen(page, frozenset(changed))
                received.rows += len(page.records)
                received.changed += len(changed)
                received.pages += 1
                failpoints.reach(Point.STAGE_PAGE_COPIED)
                if len(seen) >= _SEEN_BYTES_AT_ONCE:
                    break
        if seen:
            with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT TEXT)").format(batch.seen)) as copy:
                copy.write(seen)
        _insert_rejections(cursor, batch, rejections)
    return bool(seen)


def _note_records(batch: Batch, page: Page, typed: Mapped) -> None:
    """Tell of every record by itself, where anybody listens to that."""
    if journal.is_heard(Event.RECORD_CHANGED):
        for row in typed.rows:
            journal.note(Event.RECORD_CHANGED, token=batch.attempt.token, page=page.number, line=row[1], key=row[2])


def _seen(page: Page, changed: frozenset[int]) -> bytes:
    """Return page, line, key, digest and whether it changed, as lines of COPY's text format: 65 bytes a record."""
    keys = (_NULL if key is None else key.translate(_ESCAPED) for key in page.keys)
    lines = [
        f"{page.number}\t{line}\t{key}\t\\\\x{digest.hex()}\t{line in changed}\n"
        for line, (key, digest) in enumerate(zip(keys, page.digests, strict=True))
    ]
    return "".join(lines).encode()


def _insert_rejections(cursor: psycopg.Cursor, batch: Batch, rejections: Iterable[Rejection]) -> None:
    cursor.executemany(
        sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s)").format(batch.rejected),
        [(r.page, r.line, r.source_id, r.rule, r.field, r.reason) for r in rejections],
    )


def triage(connection: psycopg.Connection, batch: Batch, rules: Sequence[RowRule]) -> int:
    """Move every staged row that breaks a rule, and every surplus copy of a key, out of the batch.

    The first rule that a row breaks names it. Returns the number of records rejected in all.
    """
    failpoints.reach(Point.STAGE_BEFORE_TRIAGE)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        _reject_broken(cursor, batch, rules)
        _reject_copies(cursor, batch)
        row = cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(batch.rejected)).fetchone()
    connection.commit()
    failpoints.reach(Point.STAGE_AFTER_TRIAGE)
    return 0 if row is None else int(row[0])


def _reject_copies(cursor: psycopg.Cursor, batch: Batch) -> None:
    copies = cursor.execute(
        sql.SQL(
            "SELECT s.source_id, s.page, s.line, s.row_hash, coalesce(r.source_modified_at, d.source_modified_at)"
            " FROM {seen} AS s"
            " LEFT JOIN {records} AS r ON (r.page, r.line) = (s.page, s.line)"
            " LEFT JOIN aed.aed_data AS d ON d.source = %s AND d.source_id = s.source_id AND NOT s.is_changed"
            " WHERE s.source_id IN (SELECT source_id FROM {seen} GROUP BY 1 HAVING count(*) > 1)"
            " AND NOT EXISTS (SELECT FROM {rejected} AS j WHERE (j.page, j.line) = (s.page, s.line))"
            " ORDER BY s.source_id"
        ).format(seen=batch.seen, records=batch.records, rejected=batch.rejected),
        [batch.attempt.source],
    ).fetchall()
    groups: dict[str, list[tuple[int, int, bytes, object]]] = {}
    for key, *copy in copies:
        groups.setdefault(key, []).append(tuple(copy))
    for key, group in groups.items():
        if len(group) == 1:
            continue
        verdicts = records.keep_newest(group)  # type: ignore[arg-type]
        surplus = [
            Rejection(page, row, key, rule, None, f"{len(group)} records with this key in one batch")
            for (page, row), rule in verdicts.items()
        ]
        _insert_rejections(cursor, batch, surplus)
        cursor.executemany(
            sql.SQL("DELETE FROM {} WHERE page = %s AND line = %s").format(batch.records),
            list(verdicts),
        )


def _reject_broken(cursor: psycopg.Cursor, batch: Batch, rules: Sequence[RowRule]) -> None:
    broken = staging.first_broken(rules)
    cursor.execute(
        sql.SQL(
            "WITH gone AS (DELETE FROM {records} AS s WHERE {broken} IS NOT NULL"
            " RETURNING s.page, s.line, s.source_id, {broken} AS broken)"
            " INSERT INTO {rejected} SELECT page, line, source_id, (%s::text[])[broken], (%s::text[])[broken],"
            " (%s::text[])[broken] FROM gone"
        ).format(records=batch.records, rejected=batch.rejected, broken=broken),
        staging.told(rules),
    )


def quarantine(connection: psycopg.Connection, batch: Batch, *, fetch_id: str, page_at: Callable[[int], Page]) -> int:
    """Write every rejected record to `aed.quarantine` as it was received. Returns how many.

    `page_at` decodes a page of the batch again. A record that already waits for the same reason is counted once
    more, not stored twice; staging the batch again changes nothing.
    """
    numbers = [
        row[0] for row in connection.execute(sql.SQL("SELECT DISTINCT page FROM {} ORDER BY 1").format(batch.rejected))
    ]
    copies: Counter[tuple[bytes, str]] = Counter()
    with connection.cursor() as cursor:
        for number in numbers:
            page = page_at(number)
            waiting = cursor.execute(
                sql.SQL("SELECT line, source_id, rule, field, reason FROM {} WHERE page = %s ORDER BY 1").format(
                    batch.rejected
                ),
                [number],
            ).fetchall()
            rows = [_quarantine_row(batch, fetch_id, page, rejected, copies) for rejected in waiting]
            cursor.executemany(_QUARANTINE, rows)
            _note_rejections(batch, number, waiting)
    failpoints.reach(Point.STAGE_BEFORE_QUARANTINE_COMMIT)
    connection.commit()
    return copies.total()


_QUARANTINE = (
    "INSERT INTO aed.quarantine AS q (source, source_id, rule, field, reason, payload, payload_hash, copy, fetch_id,"
    " page, line, first_token, last_token) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (source, payload_hash, rule, copy) DO UPDATE SET fetch_id = EXCLUDED.fetch_id,"
    " page = EXCLUDED.page, line = EXCLUDED.line, last_token = EXCLUDED.last_token,"
    " times_seen = q.times_seen + 1, released_at = NULL WHERE q.last_token < EXCLUDED.last_token"
)


def _quarantine_row(
    batch: Batch,
    fetch_id: str,
    page: Page,
    rejected: tuple[int, str | None, str, str | None, str],
    copies: Counter[tuple[bytes, str]],
) -> tuple[object, ...]:
    line, source_id, rule, field, reason = rejected
    digest_of_record, token = page.digests[line], batch.attempt.token
    copy = copies[digest_of_record, rule]
    copies[digest_of_record, rule] += 1
    payload = Jsonb(records.storable(page.records[line]))
    source = batch.attempt.source
    return (
        source,
        source_id,
        rule,
        field,
        reason,
        payload,
        digest_of_record,
        copy,
        fetch_id,
        page.number,
        line,
        token,
        token,
    )


def _note_rejections(batch: Batch, page: int, waiting: Iterable[Sequence[object]]) -> None:
    if journal.is_heard(Event.RECORD_REJECTED):
        for line, _, rule, field, _ in waiting:
            facts = {"page": page, "line": line, "rule": rule, "field": field}
            journal.note(Event.RECORD_REJECTED, token=batch.attempt.token, **facts)


def rejected_by_rule(connection: psycopg.Connection, batch: Batch) -> dict[str, int]:
    """Return how many records of the batch each rule rejected."""
    query = sql.SQL("SELECT rule, count(*) FROM {} GROUP BY 1 ORDER BY 2 DESC, 1").format(batch.rejected)
    return dict(connection.execute(query).fetchall())


def staged_figures(connection: psycopg.Connection, batch: Batch) -> tuple[int, datetime | None]:
    """Return how many rows are left in the batch, and the greatest source timestamp among them."""
    row = connection.execute(
        sql.SQL("SELECT count(*), max(source_modified_at) FROM {}").format(batch.records)
    ).fetchone()
    return (0, None) if row is None else (int(row[0]), row[1])


def digest(connection: psycopg.Connection, batch: Batch) -> str:
    """Return the order-independent digest of the staged batch: rows and 2 × 64-bit sums of row hashes.

    It covers the typed rows and the keys seen, so that neither can change between audit and publication unseen.
    """
    row = connection.execute(
        sql.SQL(
            "SELECT (SELECT count(*) || ':' || coalesce(sum(hash_record_extended(r, 0)), 0) FROM {records} AS r)"
            " || '/' || (SELECT count(*) || ':' || coalesce(sum(hash_record_extended(s, 0)), 0) FROM {seen} AS s)"
            " || '/' || (SELECT count(*) FROM {rejected})"
        ).format(records=batch.records, seen=batch.seen, rejected=batch.rejected)
    ).fetchone()
    return "" if row is None else str(row[0])


def _copy(table: sql.Identifier, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, columns))
    )


def declared_type(name: str) -> str:
    """Return the type of a published column as PostgreSQL spells it."""
    return sql_type(AED_DATA.columns[name])


def _staging_type(name: str) -> str:
    """Coordinates stay as precise as received until publication rounds them; all else is staged as published."""
    kind = declared_type(name)
    if kind.startswith("numeric"):
        return "float8"
    return "timestamptz" if kind == "timestamp with time zone" else kind


def _copy_types() -> list[str]:
    return ["int4", "int4", "text", *(_staging_type(name) for name in STAGED_COLUMNS[3:])]
