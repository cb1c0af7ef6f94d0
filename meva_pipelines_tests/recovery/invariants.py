"""What must hold after every fault: plain SQL and plain files, with nothing of the code under test.

The names are those of the failure protocols: S readers, F fencing, L ledgers and messages, R recovery. A check returns
sentences about what is wrong; an empty list means that it holds.
"""

import gzip
import json
import re
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

GUARD_PCT, GUARD_ROWS = 10.0, 10
PARTIAL_TTL_S = 86_400.0

_KEYS = {"data_go_kr": "serialSeq", "egen": "equipment_serial"}
_VOLATILE = {
    "aed.aed_data": ("id", "sync_batch_id", "created_at", "updated_at", "search_vector"),
    "aed.aed_history": (
        "history_id",
        "token",
        "valid_from",
        "valid_to",
        "id",
        "sync_batch_id",
        "created_at",
        "updated_at",
    ),
    "aed.quarantine": ("id", "fetch_id", "page", "line", "first_token", "last_token", "times_seen", "quarantined_at"),
}
_PERSONAL = re.compile(r"\b01[016789]-?\d{3,4}-?\d{4}\b")


@dataclass(frozen=True)
class Content:
    """What is published, remembered and quarantined, without numbers and times that differ between runs."""

    tables: Mapping[str, Counter[str]]

    def differences(self, other: "Content") -> list[str]:
        """Say what this content has that the other has not, and the other way round."""
        found = []
        for name, rows in self.tables.items():
            more, less = rows - other.tables[name], other.tables[name] - rows
            if more or less:
                shown = [f"+ {row[:300]}" for row in list(more)[:2]] + [f"- {row[:300]}" for row in list(less)[:2]]
                found.append(f"{name}: {more.total()} rows too many, {less.total()} missing: {'; '.join(shown)}")
        return found


def content(url: str, tables: Iterable[str] = tuple(_VOLATILE)) -> Content:
    """Read the content of a warehouse; `released_at` counts as yes or no."""
    with psycopg.connect(url) as connection:
        return Content({name: Counter(_rows(connection, name)) for name in tables})


def _rows(connection: psycopg.Connection, table: str) -> Iterator[str]:
    rows = connection.execute(f"SELECT to_jsonb(t) - %s::text[] FROM {table} AS t", [list(_VOLATILE[table])])
    for (row,) in rows:
        if "released_at" in row:
            row["released_at"] = row["released_at"] is not None
        yield json.dumps(row, sort_keys=True, ensure_ascii=False)


def image(url: str) -> str:
    """Return a digest of every byte that readers see: equal digests mean byte-equal tables."""
    with psycopg.connect(url) as connection:
        return published_image(connection)


def published_image(connection: psycopg.Connection) -> str:
    """As `image`, in a session of the caller."""
    row = connection.execute(
        "SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY source, source_id), '')) FROM aed.aed_data AS t"
    ).fetchone()
    return str(row[0]) if row else ""


@dataclass(frozen=True)
class Ledger:
    """The ledgers of a warehouse and its store, read once, with a question for each invariant."""

    runs: Sequence[Mapping[str, Any]]
    fetches: Mapping[str, Mapping[str, Any]]
    store: Path
    connection: psycopg.Connection

    @classmethod
    @contextmanager
    def read(cls, url: str, store: Path) -> "Iterator[Ledger]":
        """Lend the ledgers as they are, with a session to ask further."""
        with psycopg.connect(url) as connection:
            with connection.cursor(row_factory=dict_row) as cursor:
                runs = cursor.execute("SELECT * FROM ops.sync_runs ORDER BY token").fetchall()
                fetches = cursor.execute("SELECT * FROM ops.ingest_ledger ORDER BY id").fetchall()
            yield cls(runs, {fetch["fetch_id"]: fetch for fetch in fetches}, store, connection)

    @property
    def published(self) -> list[Mapping[str, Any]]:
        """Published attempts by token."""
        return [run for run in self.runs if run["status"] == "published"]

    @property
    def syncs(self) -> list[Mapping[str, Any]]:
        """Published attempts that brought rows from a source and were not taken back, by token."""
        undone: set[int] = set()
        for run in reversed(self.published):
            if run["mode"] == "rollback" and run["token"] not in undone:
                undone.add(run["target_token"])
        return [
            r for r in self.published if r["mode"] in {"full", "incremental", "replay"} and r["token"] not in undone
        ]

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self.connection.execute(query, values).fetchall()

    # ---- what readers see

    def s2_the_number_of_devices_moves_within_the_guard(self) -> list[str]:
        found, last = [], dict[str, int]()
        for run in self.syncs:
            before, after = last.get(run["source"]), run["live_rows"]
            last[run["source"]] = after
            if before is not None and abs(after - before) > max(GUARD_ROWS, GUARD_PCT / 100 * before):
                found.append(f"attempt {run['token']} moved the number of devices from {before} to {after}")
        if self.published and self.published[-1]["mode"] != "rollback" and self.syncs:
            source = self.syncs[-1]["source"]
            live = self.ask("SELECT count(*) FROM aed.aed_data WHERE source = %s AND data_status = 'active'", source)[
                0
            ][0]
            if live != last[source]:
                found.append(f"{live} devices of {source} are live, the ledger says {last[source]}")
        return found

    def s3_the_watermark_is_what_was_seen_and_committed(self) -> list[str]:
        found = []
        committed = dict(
            self.ask(
                "SELECT source, max(source_modified_at) FROM (SELECT source, source_modified_at FROM aed.aed_data"
                " UNION ALL SELECT source, source_modified_at FROM aed.aed_history) AS images GROUP BY 1"
            )
        )
        for run in self.published:
            greatest = committed.get(run["source"])
            if run["watermark"] is not None and (greatest is None or run["watermark"] > greatest):
                found.append(f"attempt {run['token']} has the watermark {run['watermark']}, the rows end at {greatest}")
        return found

    def s4_the_newest_version_delivered_is_live(self) -> list[str]:
        """Of the dialect that tells the time of every change, whatever came late, twice or in another order."""
        newest: dict[str, datetime] = {}
        refused = {
            (fetch, page, line)
            for fetch, page, line in self.ask("SELECT fetch_id, page, line FROM aed.quarantine WHERE source = 'egen'")
        }
        waiting = {
            (key, stamp)
            for key, stamp in self.ask(
                "SELECT payload->>'equipment_serial', payload->>'last_modified' FROM aed.quarantine"
                " WHERE source = 'egen'"
            )
        }
        for fetch_id in dict.fromkeys(run["fetch_id"] for run in self.syncs if run["source"] == "egen"):
            for page, line, record in deliveries(self.store, fetch_id):
                key, stamp = str(record["equipment_serial"]), str(record["last_modified"])
                if (fetch_id, page, line) not in refused and (key, stamp) not in waiting:
                    newest[key] = max(newest.get(key, datetime.fromisoformat(stamp)), datetime.fromisoformat(stamp))
        live = dict(self.ask("SELECT source_id, source_modified_at FROM aed.aed_data WHERE source = 'egen'"))
        return [
            f"device {key}: {live.get(key)} is live, {stamp} was delivered"
            for key, stamp in newest.items()
            if live.get(key) != stamp
        ][:5]

    def s7_every_record_is_accounted_for(self) -> list[str]:
        found = []
        for run in self.published:
            if run["mode"] in {"rollback", "deletion"}:
                continue
            reappeared = int(run["details"].get("reappeared_rows", 0))
            written = run["inserted_rows"] + run["updated_rows"] + run["renamed_rows"] - reappeared
            accounted = written + run["unchanged_rows"] + run["quarantined_rows"]
            if run["received_rows"] != accounted:
                found.append(f"attempt {run['token']} received {run['received_rows']} and accounts for {accounted}")
            delivered = sum(1 for _ in deliveries(self.store, run["fetch_id"]))
            if run["received_rows"] != delivered:
                found.append(f"attempt {run['token']} received {run['received_rows']} of {delivered} records stored")
        staged = [run for run in self.runs if run["staged_at"] is not None]
        if staged:
            (count,) = self.ask("SELECT count(*) FROM aed.quarantine WHERE last_token = %s", staged[-1]["token"])[0]
            if count != staged[-1]["quarantined_rows"]:
                found.append(
                    f"{count} records wait since attempt {staged[-1]['token']}: {staged[-1]['quarantined_rows']}"
                )
        twice = self.ask(
            "SELECT fetch_id, page, line FROM aed.quarantine GROUP BY 1, 2, 3 HAVING count(*) > 1"
            " UNION ALL SELECT fetch_id, page, line FROM aed.quarantine WHERE reason = '' OR payload_hash IS NULL"
        )
        return found + [f"record {place} is in quarantine twice, or without a reason" for place in twice]

    def s8_only_a_complete_answer_makes_a_device_missing(self) -> list[str]:
        found = []
        absent: dict[int, set[str]] = {}
        for token, key in self.ask("SELECT token, source_id FROM aed.aed_history WHERE change = 'missing'"):
            absent.setdefault(token, set()).add(key)
        by_token = {run["token"]: run for run in self.runs}
        for token, keys in absent.items():
            run = by_token[token]
            fetch = self.fetches[run["fetch_id"]]
            if fetch["mode"] != "full" or not (fetch["is_complete_snapshot"] or fetch["complete_parts"]):
                found.append(f"attempt {token} infers absences from {fetch['fetch_id']}, which is not complete")
            unproved = self.ask(
                "SELECT DISTINCT h.sido_code FROM aed.aed_history AS h JOIN ops.ingest_ledger AS i ON i.fetch_id = %s"
                " WHERE h.token = %s AND h.change = 'missing' AND NOT (i.is_complete_snapshot OR"
                " h.sido_code = ANY(i.complete_parts)) UNION SELECT h.sido_code FROM aed.aed_history AS h"
                " JOIN ops.sync_parts AS p ON p.token = h.token AND p.part = h.sido_code AND p.verdict <> 'counted'"
                " WHERE h.token = %s AND h.change = 'missing'",
                run["fetch_id"],
                token,
                token,
            )
            found += [f"attempt {token} infers absences in {sido}, where they do not count" for (sido,) in unproved]
            name = _KEYS.get(run["source"])
            seen = {str(record[name]) for *_, record in deliveries(self.store, run["fetch_id"])} if name else set()
            if lost := keys & seen:
                found.append(f"attempt {token} misses {len(lost)} devices that were delivered")
        return found

    # ---- who may write

    def f1_commits_carry_increasing_tokens(self) -> list[str]:
        found = []
        last: dict[tuple[str, str], int] = {}
        for run in sorted(self.published, key=lambda run: run["finished_at"]):
            key = run["subject"], run["source"]
            if run["token"] <= last.get(key, 0):
                found.append(f"attempt {run['token']} was published after attempt {last[key]}")
            last[key] = run["token"]
        tokens = {run["token"] for run in self.published}
        written = self.ask(
            "SELECT DISTINCT sync_batch_id FROM aed.aed_data UNION SELECT DISTINCT token FROM aed.aed_history"
        )
        return found + [
            f"attempt {token} wrote rows and is not published" for (token,) in written if token not in tokens
        ]

    def f2_what_is_published_was_judged(self) -> list[str]:
        judged = dict(
            self.ask(
                "SELECT token, bool_and(v.is_passed AND v.digest = r.staged_digest) FROM ops.audit_verdicts AS v"
                " JOIN ops.sync_runs AS r USING (token) GROUP BY 1"
            )
        )
        return [
            f"attempt {run['token']} is published without a passed verdict for its rows"
            for run in self.published
            if run["mode"] not in {"rollback", "deletion"} and not judged.get(run["token"])
        ]

    # ---- what is told

    def l2_an_attempt_that_ended_badly_says_why(self) -> list[str]:
        return [
            f"attempt {run['token']} {run['status']} without a word"
            for run in self.runs
            if run["status"] in {"failed", "rejected"}
            and not (run["error"] and run["error_type"] and run["finished_at"])
        ]

    def l4_the_ledgers_name_nobody(self, *secrets: str) -> list[str]:
        found = []
        tables = self.ask("SELECT table_name FROM information_schema.tables WHERE table_schema = 'ops'")
        for name in [f"ops.{table}" for (table,) in tables] + ["aed.quarantine"]:
            for (row,) in self.ask(f"SELECT (to_jsonb(t) - 'payload')::text FROM {name} AS t"):
                if _PERSONAL.search(row) or any(secret in row for secret in secrets):
                    found.append(f"{name} holds a secret or a telephone number")
        return sorted(set(found))

    # ---- what is left behind

    def r2_nothing_is_left_behind(self) -> list[str]:
        """To be asked when every run has ended and the last one succeeded."""
        tables = self.ask(
            "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'staging' AND c.relkind = 'r'"
        )
        sessions = self.ask(
            "SELECT application_name, state FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        locks = self.ask(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        now = time.time()
        partials = [path for path in self.store.rglob(".*.partial") if now - path.stat().st_mtime > PARTIAL_TTL_S]
        return [
            *(f"staging table {name} is left" for (name,) in tables),
            *(f"session {name!r} is still there, {state}" for name, state in sessions),
            *(f"advisory lock {number} is still held" for (number,) in locks),
            *(f"partial file {path.name} is left" for path in partials),
        ]


def breaches(url: str, store: Path, *, secrets: Sequence[str] = ()) -> list[str]:
    """Ask every invariant that holds at any moment, also in the middle of a recovery."""
    with Ledger.read(url, store) as ledger:
        return [
            *ledger.s2_the_number_of_devices_moves_within_the_guard(),
            *ledger.s3_the_watermark_is_what_was_seen_and_committed(),
            *ledger.s4_the_newest_version_delivered_is_live(),
            *ledger.s7_every_record_is_accounted_for(),
            *ledger.s8_only_a_complete_answer_makes_a_device_missing(),
            *ledger.f1_commits_carry_increasing_tokens(),
            *ledger.f2_what_is_published_was_judged(),
            *ledger.l2_an_attempt_that_ended_badly_says_why(),
            *ledger.l4_the_ledgers_name_nobody(*secrets),
        ]


def leftovers(url: str, store: Path, *, patience_s: float = 60.0) -> list[str]:
    """Ask what is left behind; a server needs a moment to notice that a client was killed."""
    deadline = time.monotonic() + patience_s
    while True:
        with Ledger.read(url, store) as ledger:
            found = ledger.r2_nothing_is_left_behind()
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def deliveries(store: Path, fetch_id: str) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Yield page, line and fields of every record of a page set as it was received."""
    folder = store / "raw" / "aed" / fetch_id
    for page in json.loads((folder / "manifest.json").read_bytes())["pages"]:
        body = (store / page["key"]).read_bytes()
        text = (gzip.decompress(body) if page["encoding"] == "gzip" else body).removeprefix(b"\xef\xbb\xbf")
        records = _xml_rows(text) if text.lstrip()[:1] == b"<" else _json_rows(text)
        for line, record in enumerate(records):
            yield page["number"], line, record


def _json_rows(text: bytes) -> list[Mapping[str, Any]]:
    document = json.loads(text)
    if isinstance(document, dict) and "fields" in document:
        return [dict(zip(document["fields"], row, strict=True)) for row in document["rows"]]
    rows: list[Mapping[str, Any]] = document["items"] if isinstance(document, dict) else document
    return rows


def _xml_rows(text: bytes) -> list[Mapping[str, Any]]:
    return [{field.tag: field.text for field in item} for item in ET.fromstring(text).iter("item")]  # noqa: S314 - ours
