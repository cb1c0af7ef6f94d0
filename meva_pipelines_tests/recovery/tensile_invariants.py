"""What must hold of the laboratory after every fault: plain SQL and plain files, with nothing of the code under test.

The names are those of the failure protocols: T tests and versions, F fencing, R recovery. A check returns sentences
about what is wrong; an empty list means that it holds.
"""

import hashlib
import json
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from meva_pipelines_tests.recovery.invariants import Content, Ledger

CHANNELS = ("elapsed_s", "load_n", "displacement_mm", "crosshead_mm", "strain")

_NUMBERS = "'{test_id,content_id,token,received_at,moved_at,moved_token,material_id,machine_id,sim_id,created_at}'"
_NAMED = "jsonb_build_object('material', m.name, 'machine', k.name, 'points', {})"
_JOINS = "LEFT JOIN meva.material AS m USING (material_id) LEFT JOIN meva.testing_machine AS k USING (machine_id)"
_CURVE = "(SELECT md5(string_agg((to_jsonb(d) - '{{{key}}}'::text[])::text, '' ORDER BY point)) FROM {table} AS d"
_CURVE += " WHERE d.{key} = t.{key})"

TABLES: Mapping[str, str] = {
    "tests": f"SELECT to_jsonb(t) - {_NUMBERS}::text[] || "
    + _NAMED.format(_CURVE.format(table="meva.tensile_data", key="test_id"))
    + f" FROM meva.tensile_test AS t {_JOINS}",
    "history": f"SELECT to_jsonb(t) - {_NUMBERS}::text[] || "
    + _NAMED.format(_CURVE.format(table="meva.tensile_data_history", key="content_id"))
    + f" FROM meva.tensile_test_history AS t {_JOINS}",
    "conflicts": "SELECT to_jsonb(c) - '{conflict_id,test_id,opened_at,opened_token}'::text[]"
    " - '{resolved_at,resolved_token}'::text[] FROM meva.data_conflict_log AS c",
    "quarantine": "SELECT to_jsonb(q) - '{id,first_token,last_token,times_seen,quarantined_at,released_at}'::text[]"
    " || jsonb_build_object('is_released', released_at IS NOT NULL) FROM meva.quarantine AS q",
    "results": f"SELECT to_jsonb(r) - {_NUMBERS}::text[] - 'compare_to_std_pct' || jsonb_build_object('test', t.name)"
    " FROM meva.simulation_result AS r JOIN meva.tensile_test AS t USING (test_id, content_sha256)",
    "comparisons": "SELECT to_jsonb(c) - '{sim_id,compared_at,token}'::text[] || jsonb_build_object('test', t.name,"
    " 'largest', r.compare_to_std_pct) FROM meva.standard_comparison AS c JOIN meva.simulation_result AS r"
    " USING (sim_id) JOIN meva.tensile_test AS t USING (test_id)",
    "standards": "SELECT to_jsonb(s) - '{std_id,material_id,token}'::text[] || jsonb_build_object('material', m.name)"
    " FROM meva.standard_property AS s JOIN meva.material AS m USING (material_id)",
    "calibrations": "SELECT to_jsonb(c) - '{machine_id,token}'::text[] || jsonb_build_object('machine', k.name)"
    " FROM meva.machine_calibration AS c JOIN meva.testing_machine AS k USING (machine_id)",
}
"""What is published, remembered and quarantined, row by row, without numbers and times that differ between runs."""

TOGETHER = (("tests", "history", "conflicts"), ("comparisons",), ("standards", "calibrations"))
"""Tables that change in one transaction."""


def content(url: str, names: Iterable[str] = tuple(TABLES)) -> Content:
    """Read the content of a warehouse."""
    with psycopg.connect(url) as connection:
        return Content(
            {
                name: Counter(
                    json.dumps(row, sort_keys=True, ensure_ascii=False) for (row,) in connection.execute(TABLES[name])
                )
                for name in names
            }
        )


def image(url: str) -> str:
    """Return a digest of every byte that readers see of tests and points: equal digests mean byte-equal tables."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT md5((SELECT coalesce(string_agg(t::text, '|' ORDER BY test_id), '') FROM meva.tensile_test AS t)"
            " || (SELECT coalesce(string_agg(d::text, '|' ORDER BY test_id, point), '') FROM meva.tensile_data AS d))"
        ).fetchone()
    return str(row[0]) if row else ""


def mixed(seen: Content, before: Content, after: Content) -> list[str]:
    """Say which tables hold neither the version before nor the version after, all that belong together.

    Results come after their tests: until then those of contents that stand no more are missing.
    """
    found = []
    results = [each.tables["results"] for each in (seen, before, after)]
    if not results[0] <= results[1] and results[0] != results[2]:
        found.append("results are a mix")
    for names in TOGETHER:
        parts = [Content({name: each.tables[name] for name in names}) for each in (seen, before, after)]
        if parts[0].differences(parts[1]) and parts[0].differences(parts[2]):
            found += [f"a mix: {told}" for told in parts[0].differences(parts[2])]
    return found


@dataclass(frozen=True)
class Held:
    """One content of a test as the warehouse holds it, published or in the history."""

    content_id: int
    test_id: int
    name: str
    version: int | None
    standing: str
    rank: tuple[Any, str]
    curve_sha256: str
    points: int
    original: str
    token: int
    is_disputed: bool


@dataclass(frozen=True)
class Tests:
    """The contents of all tests, with a question for each invariant."""

    held: Sequence[Held]
    ledger: Ledger

    @classmethod
    def read(cls, ledger: Ledger) -> "Tests":
        """Read every content."""
        rows = ledger.ask(
            "SELECT content_id, test_id, name, version, 'published', revised_at, content_sha256, curve_sha256, points,"
            " original, token, is_disputed FROM meva.tensile_test UNION ALL SELECT content_id, test_id, name, version,"
            " standing, revised_at, content_sha256, curve_sha256, points, original, token, false"
            " FROM meva.tensile_test_history"
        )
        held = [
            Held(content_id, test_id, name, version, standing, (revised_at, sha256), *rest)
            for content_id, test_id, name, version, standing, revised_at, sha256, *rest in rows
        ]
        return cls(held, ledger)

    # ---- versions

    def t1_versions_have_no_gaps(self) -> list[str]:
        """One current version for each test, the last of 1…n, in the order of their times."""
        found = []
        chains: dict[str, list[Held]] = {}
        for each in self.held:
            if each.version is not None:
                chains.setdefault(each.name, []).append(each)
        for name, chain in chains.items():
            chain.sort(key=lambda each: each.version or 0)
            if [each.version for each in chain] != list(range(1, len(chain) + 1)):
                found.append(f"test {name} has the versions {[each.version for each in chain]}")
            if [each.standing for each in chain] != ["superseded"] * (len(chain) - 1) + ["published"]:
                found.append(f"test {name} has the standings {[each.standing for each in chain]}")
            if any(later.rank <= earlier.rank for earlier, later in pairwise(chain)):
                found.append(f"the versions of test {name} are not in the order of their times")
            if len({each.test_id for each in chain}) != 1:
                found.append(f"the versions of test {name} bear several numbers")
        return found

    def t2_each_lost_update_stands_in_the_log(self) -> list[str]:
        """What waits is in the log, open, and what was set aside was decided; readers are told of a dispute."""
        logged = self.ledger.ask("SELECT name, waiting_sha256, status FROM meva.data_conflict_log")
        waiting = {(each.name, each.rank[1]) for each in self.held if each.standing == "waiting"}
        aside = {(each.name, each.rank[1]) for each in self.held if each.standing == "set_aside"}
        opened = {(name, sha256) for name, sha256, status in logged if status == "open"}
        decided = {(name, sha256) for name, sha256, status in logged if status == "resolved"}
        disputed = {each.name for each in self.held if each.is_disputed}
        return [
            *(f"{name}: a content waits and is in no conflict" for name, _ in waiting - opened),
            *(f"{name}: a conflict is open and nothing waits" for name, _ in opened - waiting),
            *(f"{name}: a content was set aside by nobody" for name, _ in aside - decided),
            *(f"{name}: readers are told wrongly about a dispute" for name in disputed ^ {name for name, _ in opened}),
        ]

    def t3_no_content_stands_twice(self) -> list[str]:
        counts = Counter((each.name, each.rank[1]) for each in self.held if each.standing != "withdrawn")
        return [f"test {name} holds a content {times} times" for (name, _), times in counts.items() if times > 1]

    # ---- points

    def no_test_is_half_there(self) -> list[str]:
        """Every content has as many points as it says, numbered from 0, and their bytes have the curve's SHA-256."""
        found = []
        for each in self.held:
            is_published = each.standing == "published"
            table, key = ("tensile_data", "test_id") if is_published else ("tensile_data_history", "content_id")
            rows = self.ledger.ask(
                f"SELECT point, {', '.join(CHANNELS)} FROM meva.{table} WHERE {key} = %s ORDER BY point",
                each.test_id if is_published else each.content_id,
            )
            if [row[0] for row in rows] != list(range(each.points)):
                found.append(f"{each.name}, {each.standing}: {len(rows)} of {each.points} points are there")
            elif _curve_sha256(rows) != each.curve_sha256:
                found.append(f"{each.name}, {each.standing}: its points are not those that were read")
        for table, key, owner in (
            ("tensile_data", "test_id", "tensile_test"),
            ("tensile_data_history", "content_id", "tensile_test_history"),
        ):
            orphans = self.ledger.ask(
                f"SELECT DISTINCT {key} FROM meva.{table} WHERE {key} NOT IN (SELECT {key} FROM meva.{owner})"
            )
            found += [f"points of {key} {number} in {table} belong to nothing" for (number,) in orphans]
        return found

    # ---- files

    def every_original_is_kept(self) -> list[str]:
        """The file of every content and of everything in quarantine lies in the store under its own SHA-256."""
        waiting = [original for (original,) in self.ledger.ask("SELECT original FROM meva.quarantine")]
        return [
            f"{original} does not hold the file that came"
            for original in {*(each.original for each in self.held), *waiting}
            if _identity(self.ledger.store / original) != original.rpartition("/")[2]
        ]

    def every_upload_ended_or_waits(self) -> list[str]:
        """A published upload brought a test, a refused one is in quarantine, any other will be taken up again."""
        originals = {each.original for each in self.held}
        refused = {content_id for (content_id,) in self.ledger.ask("SELECT content_id FROM meva.quarantine")}
        found = []
        for upload in self._uploads():
            folder = upload["fetch_id"].rpartition("/")[0]
            if upload["outcome"] == "published" and folder not in originals:
                found.append(f"{folder} is called published and brought no test")
            if upload["outcome"] == "rejected" and upload["content_hash"] not in refused:
                found.append(f"{folder} is called refused and is not in quarantine")
        return found

    def no_file_is_lost(self, dropped: Path) -> list[str]:
        """Whatever was dropped lies there still, or is in the store and in the ledger."""
        entered = {upload["content_hash"] for upload in self._uploads()}
        found = []
        for path in dropped.glob("*") if dropped.exists() else ():
            if path.name.endswith(".meta.yaml"):
                continue
            sidecar = path.with_name(f"{path.name}.meta.yaml")
            identity = _name_of(path.read_bytes(), sidecar.read_bytes() if sidecar.exists() else None)
            lying = dropped.parent / "landing" / "tensile" / path.name
            lies_there = lying.exists() and lying.read_bytes() == path.read_bytes()
            is_kept = _identity(self.ledger.store / "raw" / "tensile" / identity) == identity and identity in entered
            if not lies_there and not is_kept:
                found.append(f"{path.name} is lost")
        return found

    def _uploads(self) -> list[Mapping[str, Any]]:
        return [fetch for fetch in self.ledger.fetches.values() if fetch["subject"] == "tensile.uploads"]

    # ---- books

    def books_balance(self) -> list[str]:
        """Tests received = tests new, changed, unchanged and refused; decisions and rollbacks receive none."""
        found = []
        for run in self._runs():
            if run["mode"] == "incremental":
                accounted = run["inserted_rows"] + run["updated_rows"] + run["unchanged_rows"] + run["quarantined_rows"]
                if run["received_rows"] != accounted:
                    found.append(f"attempt {run['token']} received {run['received_rows']} and accounts for {accounted}")
        return found

    def f1_only_published_attempts_wrote(self) -> list[str]:
        """Whatever stands was brought by a published attempt, judged as it was staged."""
        published = {run["token"] for run in self._runs()}
        judged = dict(
            self.ledger.ask(
                "SELECT token, bool_and(v.is_passed AND v.digest = r.staged_digest) FROM ops.audit_verdicts AS v"
                " JOIN ops.sync_runs AS r USING (token) GROUP BY 1"
            )
        )
        moved = self.ledger.ask(
            "SELECT moved_token FROM meva.tensile_test_history UNION SELECT opened_token FROM meva.data_conflict_log"
            " UNION SELECT resolved_token FROM meva.data_conflict_log WHERE resolved_token IS NOT NULL"
        )
        brought = {each.token for each in self.held}
        return [
            *(f"attempt {t} wrote and is not published" for t in {*brought, *(t for (t,) in moved)} - published),
            *(f"attempt {token} brought tests without a passed verdict" for token in brought if not judged.get(token)),
        ]

    def _runs(self) -> list[Mapping[str, Any]]:
        return [run for run in self.ledger.published if run["subject"] == "meva.tensile_test"]


def breaches(url: str, folder: Path, *, secrets: Sequence[str] = ()) -> list[str]:
    """Ask every invariant that holds at any moment, also in the middle of a recovery; `folder` is that of a scene."""
    with Ledger.read(url, folder / "store") as ledger:
        tests = Tests.read(ledger)
        return [
            *tests.t1_versions_have_no_gaps(),
            *tests.t2_each_lost_update_stands_in_the_log(),
            *tests.t3_no_content_stands_twice(),
            *tests.no_test_is_half_there(),
            *tests.every_original_is_kept(),
            *tests.every_upload_ended_or_waits(),
            *tests.no_file_is_lost(folder / "dropped"),
            *tests.books_balance(),
            *tests.f1_only_published_attempts_wrote(),
            *ledger.f1_commits_carry_increasing_tokens(),
            *ledger.l2_an_attempt_that_ended_badly_says_why(),
            *ledger.l4_the_ledgers_name_nobody(*secrets),
        ]


def leftovers(url: str, folder: Path, *, patience_s: float = 60.0) -> list[str]:
    """Ask what is left behind; a server needs a moment to notice that a client was killed."""
    deadline = time.monotonic() + patience_s
    while True:
        with Ledger.read(url, folder / "store") as ledger:
            found = ledger.r2_nothing_is_left_behind()
        staged = folder / "store" / "tensile" / "staged"
        found += [f"staged points {path.name} are left" for path in staged.rglob("*") if path.is_file()]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _curve_sha256(rows: Sequence[tuple[Any, ...]]) -> str:
    """SHA-256 over the names of the channels that are there and their values as little-endian doubles."""
    series = {name: [row[1 + n] for row in rows] for n, name in enumerate(CHANNELS)}
    given = {name: values for name, values in series.items() if any(value is not None for value in values)}
    packed = [" ".join(given).encode().ljust(64), *_doubles(given.values())]
    return hashlib.sha256(b"".join(packed)).hexdigest()


def _doubles(series: Iterable[list[float | None]]) -> Iterator[bytes]:
    for values in series:
        yield struct.pack(f"<{len(values)}d", *(float("nan") if value is None else value for value in values))


def _identity(folder: Path) -> str | None:
    """The name that a stored upload ought to have by its bytes; None where it is not there."""
    file, sidecar = folder / "file", folder / "sidecar"
    return _name_of(file.read_bytes(), sidecar.read_bytes() if sidecar.exists() else None) if file.exists() else None


def _name_of(content: bytes, sidecar: bytes | None) -> str:
    digest = hashlib.sha256(content)
    if sidecar is not None:
        digest = hashlib.sha256(digest.digest() + hashlib.sha256(sidecar).digest())
    return digest.hexdigest()
