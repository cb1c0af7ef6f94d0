"""What must hold of the archive after every fault: plain SQL and plain Parquet, with nothing of the code under test.

The names are those of the failure protocols: A archive, F fencing, L ledgers. A check returns sentences about what is
wrong; an empty list means that it holds.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from ipaddress import ip_interface
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
from psycopg.rows import dict_row
from pyarrow import fs, parquet

from meva_pipelines_tests.recovery.invariants import Content

OLD = datetime(2025, 1, 1, tzinfo=UTC)
"""What is older is watched; logs that the runs themselves write are younger."""

AGES = {
    "mgg.simulation_time_series": ("created_at", ("simulation_id", "sequence_number", "created_at")),
    "mgg.test_time_series": ("test_date", ("test_result_id", "file_id", "sequence_number", "test_date")),
    "mgg.operation_logs": ("created_at", ("id", "created_at")),
    "aed.aed_history": ("valid_to", ("history_id",)),
}
"""Every table that ages: what makes its rows old, and its key."""

_AS_TEXT = {"jsonb", "inet", "uuid"}
_HASH = {
    "smallint": "hashint2extended({value}, {seed})",
    "integer": "hashint4extended({value}, {seed})",
    "bigint": "hashint8extended({value}, {seed})",
    "numeric": "hash_numeric_extended({value}, {seed} # CASE WHEN {value} < 0 THEN 1 ELSE 0 END::bigint)",
    "timestamp with time zone": "timestamp_hash_extended({value} AT TIME ZONE 'UTC', {seed})",
    "date": "hashint4extended({value} - date '2000-01-01', {seed})",
    "bytea": "hashtextextended(encode({value}, 'hex') COLLATE \"C\", {seed})",
}
_TEXT_HASH = 'hashtextextended({value} COLLATE "C", {seed})'
_EMPTY = {
    "timestamp with time zone": "timestamptz '2000-01-01Z'",
    "date": "date '2000-01-01'",
    "bytea": "''::bytea",
    "smallint": "0::smallint",
    "integer": "0",
    "bigint": "0",
    "numeric": "0",
}
_SEED = 0x6D657661
_CHAIN = ("chain_position", "chain_hash")
_CHAINED = ("id", "user_id", "log_type", "action", "details", "ip_address", "user_agent", "origin", "created_at")
_ADDRESS = _CHAINED.index("ip_address")

Rows = dict[tuple[str, ...], str]
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Archive:
    """The books of an archive and its files, with a question for each invariant."""

    connection: psycopg.Connection
    files: fs.FileSystem
    root: str
    batches: Sequence[Mapping[str, Any]]
    read_already: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def read(cls, url: str, store_url: str) -> "Iterator[Archive]":
        """Lend the archive as it is now."""
        files, root = fs.FileSystem.from_uri(store_url)
        with psycopg.connect(url, options="-c timezone=UTC") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with connection.cursor(row_factory=dict_row) as cursor:
                batches = cursor.execute("SELECT * FROM mgg.archive_batches ORDER BY id").fetchall()
            yield cls(connection, files, root.rstrip("/"), batches)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self.connection.execute(query, values).fetchall()

    @property
    def committed(self) -> list[Mapping[str, Any]]:
        """Committed batches in the order of their planning."""
        return [batch for batch in self.batches if batch["status"] == "committed"]

    @cached_property
    def objects(self) -> set[str]:
        """Keys of everything in the folder of the archive, without what is half-written."""
        selector = fs.FileSelector(f"{self.root}/parquet_archive", recursive=True, allow_not_found=True)
        found = [one.path.removeprefix(f"{self.root}/") for one in self.files.get_file_info(selector) if one.is_file]
        return {key for key in found if not key.endswith(".partial")}

    def content(self, key: str) -> bytes:
        """Return the bytes of an object."""

        def read() -> bytes:
            with self.files.open_input_stream(f"{self.root}/{key}", compression=None) as stream:
                return bytes(stream.read())

        return self._once(key, read)

    def part(self, batch: Mapping[str, Any]) -> pa.Table:
        """Read the file of a batch."""
        return parquet.ParquetFile(
            pa.BufferReader(self.content(batch["parquet_file_path"])), page_checksum_verification=True
        ).read()

    def columns(self, table: str) -> list[tuple[str, str, bool]]:
        """Return names, types and whether NULL is allowed, of the columns of a table."""
        return self.ask(
            "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns"
            " WHERE table_schema || '.' || table_name = %s ORDER BY ordinal_position",
            table,
        )

    # ---- rows

    def hot(self, table: str) -> Rows:
        """Return the old hot rows of a table by key."""
        return self._once(table, lambda: self._hot(table))

    def cold(self, table: str, batch: Mapping[str, Any]) -> Rows:
        """Return the rows of a part by key."""
        return self._once(batch["batch_name"], lambda: by_key(AGES[table][1], self.part(batch)))

    def _hot(self, table: str) -> Rows:
        names = [f"{name}::text" if kind in _AS_TEXT else name for name, kind, _ in self.columns(table)]
        plain = [name for name, _, _ in self.columns(table)]
        rows = self.ask(f"SELECT {', '.join(names)} FROM {table} WHERE {AGES[table][0]} < %s", OLD)
        return _by_key(AGES[table][1], plain, rows)

    def everything(self) -> Content:
        """Return what readers are to see: of a key the hot row, otherwise that of the highest generation."""
        found = {}
        for table in AGES:
            rows: Rows = {}
            for batch in sorted(self.of(table), key=lambda one: one["generation"]):
                rows |= self.cold(table, batch)
            found[table] = Counter((rows | self.hot(table)).values())
        return Content(found)

    def of(self, table: str) -> list[Mapping[str, Any]]:
        """Return the committed batches of a table."""
        return [batch for batch in self.committed if batch["table_name"] == table.partition(".")[2]]

    # ---- invariants

    def a1_nothing_is_lost_and_nothing_is_twice(self, truth: Content) -> list[str]:
        return self.everything().differences(truth)

    def a2_files_and_manifests_belong_together(self) -> list[str]:
        found = []
        named = {batch["parquet_file_path"] for batch in self.batches}
        for batch in self.batches:
            pair = {batch["parquet_file_path"], _manifest_key(batch)}
            if batch["status"] in {"written", "verified", "committed"} and not pair <= self.objects:
                found.append(f"{batch['batch_name']} is {batch['status']} without {sorted(pair - self.objects)}")
        return found + [
            f"{key} belongs to no batch"
            for key in self.objects
            if f"{key.removesuffix('.json').removesuffix('.parquet')}.parquet" not in named
        ]

    def a3_files_are_what_the_books_say(self) -> list[str]:
        found = []
        for batch in self.committed:
            said = json.loads(self.content(_manifest_key(batch)))
            content = self.content(batch["parquet_file_path"])
            table = next(name for name in AGES if name.endswith(f".{batch['table_name']}"))
            part = self.part(batch)
            facts = {
                "name": batch["batch_name"],
                "period": batch["period"],
                "generation": batch["generation"],
                "rows": part.num_rows,
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "digest": self._digest(table, part),
            }
            found += [f"manifest of {batch['batch_name']}: {name}" for name in facts if said[name] != facts[name]]
            books = (batch["row_count"], batch["checksum"], batch["parquet_file_size"], batch["digest"])
            if books != (facts["rows"], facts["sha256"], facts["size"], facts["digest"]):
                found.append(f"the books say something else of {batch['batch_name']} than its file")
        return found

    def a4_what_left_was_proved(self) -> list[str]:
        """Every deletion names the committed batch, its file, and the passed verdicts of the attempt that deleted."""
        found = []
        by_name = {batch["batch_name"]: batch for batch in self.committed}
        left = set()
        for token, rows, executed, proof in self.ask(
            "SELECT token, rows, executed_rows, proof FROM ops.deletion_ledger WHERE kind = 'archive'"
        ):
            batch = by_name.get(proof["batch"], {})
            left.add(proof["batch"])
            facts = (batch.get("row_count"), batch.get("row_count"), batch.get("checksum"), batch.get("digest"))
            if (rows, executed, proof["sha256"], proof["digest"]) != facts:
                found.append(f"a deletion of {proof['batch']} is not what was proved")
            judged = self.ask(
                "SELECT count(DISTINCT suite) FROM ops.audit_verdicts WHERE token = %s AND is_passed AND digest = %s"
                " AND suite = ANY(%s)",
                token,
                proof["digest"],
                proof["suites"],
            )
            if not proof["suites"] or judged != [(len(proof["suites"]),)]:
                found.append(f"a deletion of {proof['batch']} was not judged")
        return found + [f"{name} is committed and nothing says what left" for name in by_name if name not in left]

    def a5_what_is_hot_and_cold_is_late_or_restored(self) -> list[str]:
        found = []
        for table in AGES:
            hot, cold = self.hot(table), Rows()
            for batch in sorted(self.of(table), key=lambda one: one["generation"]):
                cold |= self.cold(table, batch)
            same = [key for key, row in hot.items() if cold.get(key) == row]
            restored = self.ask(
                "SELECT coalesce(sum(restored_rows), 0) FROM mgg.archive_holds WHERE table_name = %s",
                table.partition(".")[2],
            )[0][0]
            if len(same) > restored:
                found.append(f"{len(same)} rows of {table} are hot and cold, and {restored} were restored")
        return found

    def f1_commits_carry_increasing_tokens(self) -> list[str]:
        found = []
        last: dict[tuple[str, str], int] = {}
        published = self.ask(
            "SELECT subject, source, token FROM ops.sync_runs WHERE status = 'published' AND mode IN ('archive',"
            " 'restore') ORDER BY finished_at"
        )
        for subject, source, token in published:
            if token <= last.get((subject, source), 0):
                found.append(f"attempt {token} was published after attempt {last[subject, source]}")
            last[subject, source] = token
        tokens = {token for *_, token in published}
        deleted = self.ask("SELECT token FROM ops.deletion_ledger WHERE kind = 'archive'")
        return found + [f"attempt {token} deleted and is not published" for (token,) in deleted if token not in tokens]

    def l2_an_attempt_that_ended_badly_says_why(self) -> list[str]:
        return [
            f"attempt {token} ended without a word"
            for (token,) in self.ask(
                "SELECT token FROM ops.sync_runs WHERE status IN ('failed', 'rejected')"
                " AND num_nulls(error, error_type, finished_at) > 0"
            )
        ]

    def l3_the_chain_of_logs_has_no_gap(self) -> list[str]:
        """Over hot and cold rows: places from 1 on, each once, each hash over the one before and the row."""
        links: dict[int, tuple[Any, ...]] = {}
        for batch in self.of("mgg.operation_logs"):
            part = self.part(batch).select([*_CHAIN, *_CHAINED])
            links |= {row[0]: row for row in zip(*(c.to_pylist() for c in part.columns), strict=True)}
        hot = ", ".join([*_CHAIN, *_CHAINED]).replace("ip_address", "ip_address::text")
        links |= {row[0]: row for row in self.ask(f"SELECT {hot} FROM mgg.operation_logs")}
        before = bytes(32)
        for place in range(1, len(links) + 1):
            if place not in links:
                return [f"place {place} of the chain of logs is missing"]
            _, link, *row = links[place]
            row[_ADDRESS] = _sent(row[_ADDRESS])
            if hashlib.sha256(before + b"".join(_framed(value) for value in (place, *row))).digest() != link:
                return [f"place {place} of the chain of logs has another hash"]
            before = link
        head = self.ask("SELECT position, hash FROM mgg.operation_log_head")
        return [] if head == [(len(links), before)] else ["the head of the chain of logs is another"]

    def _once(self, name: str, read: Callable[[], _Read]) -> _Read:
        if name not in self.read_already:
            self.read_already[name] = read()
        found: _Read = self.read_already[name]
        return found

    def _digest(self, table: str, part: pa.Table) -> str:
        """Recompute the digest of a part by PostgreSQL, after the rule that the books follow."""
        columns, key = self.columns(table), AGES[table][1]
        types = {name: (kind, is_nullable) for name, kind, is_nullable in columns}
        chain = f"{_SEED}::bigint"
        for name in [*(name for name in types if name not in key), *reversed(key)]:
            kind, is_nullable = types[name]
            plain = name if kind in _HASH else f"{name}::text"
            value = f"coalesce({plain}, {_EMPTY.get(kind, repr(''))})" if is_nullable else plain
            seed = f"({chain} # CASE WHEN {name} IS NULL THEN 2 ELSE 0 END::bigint)" if is_nullable else chain
            chain = _HASH.get(kind, _TEXT_HASH).format(value=value, seed=seed)
        self.connection.execute(f"CREATE TEMP TABLE cold (LIKE {table}) ON COMMIT DROP")
        with self.connection.cursor() as cursor:
            with cursor.copy(f"COPY cold ({', '.join(part.column_names)}) FROM STDIN") as copy:
                for row in zip(*(column.to_pylist() for column in part.columns), strict=True):
                    copy.write_row(row)
            ((digest,),) = cursor.execute(f"SELECT sum({chain})::text FROM cold").fetchall()
        self.connection.execute("DROP TABLE cold")
        return str(digest)


def breaches(url: str, store_url: str, truth: Content) -> list[str]:
    """Ask every invariant that holds at any moment, also right after a fault."""
    with Archive.read(url, store_url) as archive:
        return [
            *archive.a1_nothing_is_lost_and_nothing_is_twice(truth),
            *archive.a2_files_and_manifests_belong_together(),
            *archive.a3_files_are_what_the_books_say(),
            *archive.a4_what_left_was_proved(),
            *archive.a5_what_is_hot_and_cold_is_late_or_restored(),
            *archive.f1_commits_carry_increasing_tokens(),
            *archive.l2_an_attempt_that_ended_badly_says_why(),
            *archive.l3_the_chain_of_logs_has_no_gap(),
        ]


def content(url: str, store_url: str) -> Content:
    """Return every old row, wherever it lies."""
    with Archive.read(url, store_url) as archive:
        return archive.everything()


def _manifest_key(batch: Mapping[str, Any]) -> str:
    return f"{str(batch['parquet_file_path']).removesuffix('.parquet')}.json"


def by_key(key: Sequence[str], rows: pa.Table) -> Rows:
    """Return the lines of rows by their key."""
    return _by_key(key, rows.column_names, zip(*(column.to_pylist() for column in rows.columns), strict=True))


def _by_key(key: Sequence[str], names: Sequence[str], rows: Any) -> Rows:
    places = [names.index(name) for name in key]
    found: Rows = {}
    for row in rows:
        told = [_told(value) for value in row]
        if found.setdefault(tuple(told[place] for place in places), line := "|".join(told)) is not line:
            raise AssertionError("a key lies twice in one place")
    return found


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else repr(value)


def _framed(value: object) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    if isinstance(value, datetime):
        value = int(value.timestamp()) * 1_000_000 + value.microsecond
    spelled = value if isinstance(value, bytes) else str(value).encode()
    return len(spelled).to_bytes(4, "big") + spelled


def _sent(address: str | None) -> bytes | None:
    """Return an address as PostgreSQL sends one: family, bits, a host or a network, length, bytes."""
    if address is None:
        return None
    found = ip_interface(address)
    return bytes([2 if found.version == 4 else 3, found.network.prefixlen, 0, len(found.packed)]) + found.packed
