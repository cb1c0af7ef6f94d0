"""The demo: a registry of full size fetched, audited, published, changed by a day, broken on purpose, rolled back.

Every step is a real Dagster run on the real instance, so the web interface shows afterwards what happened here.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import click
import httpx
import psycopg

from meva_pipelines.local import environment
from meva_pipelines.local.environment import SANDBOX_PAST_DAYS, SEOUL, Environment, Sandbox

_REGISTRY_FIGURES = (
    "SELECT token, received_rows, inserted_rows, updated_rows, unchanged_rows, quarantined_rows, live_rows, status,"
    " error, extract(epoch FROM finished_at - started_at)::float8, bytes_received"
    " FROM ops.sync_runs WHERE mode NOT IN ('rollback', 'deletion') ORDER BY token DESC LIMIT 1"
)


@dataclass(slots=True)
class Demo:
    """A telling in progress."""

    prepared: Environment
    registry: Sandbox

    def job(self, name: str, *, day: date | None = None, run_config: str | None = None) -> bool:
        """Run a job of the location in a process of its own; True when it succeeded."""
        command = ["-m", "meva_pipelines.local.run", name]
        command += ["--partition", day.isoformat()] if day else []
        command += ["--config", run_config] if run_config else []
        return self._quietly(command) == 0

    def _quietly(self, command: list[str]) -> int:
        with (self.prepared.home / "demo.log").open("ab") as log:
            process = subprocess.run(
                [sys.executable, *command],
                cwd=environment.PROJECT,
                env={**os.environ, **self.prepared.variables, **self.registry.variables},
                stdout=log,
                stderr=log,
                check=False,
            )
        return process.returncode

    def world(self, **changes: object) -> None:
        """Change the sandbox's world: its day, or what is wrong with it."""
        httpx.put(f"{self.registry.url}/_sandbox/world", json=changes, timeout=60).raise_for_status()

    def ask(self, query: str) -> tuple[object, ...]:
        """Return the first row of a query on the warehouse."""
        with psycopg.connect(self.prepared.database_url) as connection:
            return connection.execute(query).fetchone() or ()


def tell(size: int) -> None:
    """Tell the story on a registry of `size` devices and print what landed.

    Raises:
        SystemExit: a step did not end as it should.
    """
    started = time.monotonic()
    with _step("PostgreSQL, schema, Dagster storage"):
        prepared = environment.prepare()
    today = datetime.now(SEOUL).date()
    before, yesterday = today - timedelta(days=SANDBOX_PAST_DAYS), today - timedelta(days=1)
    with environment.sandbox(prepared.home, size=size) as registry:
        demo = Demo(prepared, registry)
        _full_sync(demo, before, size)
        _incremental_sync(demo, yesterday)
        _bad_day(demo, yesterday)
        _rollback(demo)
        _rename(demo, yesterday)
        _quarantine(demo, yesterday)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. Look at it with: make ui   ·   query it with: make psql")


def _full_sync(demo: Demo, day: date, size: int) -> None:
    demo.world(day=day.isoformat(), reform="off")
    with _step(f"full sync of {day}: {size:,} devices over HTTP") as report:
        _demand(demo.job("aed_full_sync", day=day), "the full sync failed")
        _, received, inserted, updated, unchanged, quarantined, live, *_, seconds, size_bytes = demo.ask(
            _REGISTRY_FIGURES
        )
        report(
            f"{received:,} received ({_mb(size_bytes)}): {inserted:,} new, {updated:,} changed, "
            f"{unchanged:,} unchanged, {quarantined:,} in quarantine"
        )
        report(f"{live:,} devices live after {seconds:.1f} s (the design allows 30 min)")


def _incremental_sync(demo: Demo, day: date) -> None:
    demo.world(day=day.isoformat())
    with _step(f"a day later, {day}: incremental sync") as report:
        _demand(demo.job("aed_incremental_sync", day=day), "the incremental sync failed")
        _, received, inserted, updated, unchanged, quarantined, live, *_, seconds, _ = demo.ask(_REGISTRY_FIGURES)
        report(
            f"{received:,} received: {inserted:,} new, {updated:,} changed, {unchanged:,} unchanged and not written, "
            f"{quarantined:,} in quarantine; {live:,} live; {seconds:.1f} s"
        )


def _bad_day(demo: Demo, day: date) -> None:
    digest = demo.ask(_DIGEST)
    demo.world(mutation="all_coordinates_null")
    with _step("broken on purpose: every coordinate is NULL") as report:
        _demand(not demo.job("aed_incremental_sync", day=day), "a corrupt batch was published")
        *_, status, error, _, _ = demo.ask(_REGISTRY_FIGURES)
        _demand(demo.ask(_DIGEST) == digest, "the published registry changed")
        report(f"{status}: {error}")
        report("the published registry is byte for byte what it was")
        _demand(demo.job("deliver_alerts"), "the alert was not delivered")
        messages = httpx.get(f"{demo.registry.url}/_sandbox/webhook", timeout=60).json()
        _demand(bool(messages), "no alert arrived")
        report(f"alert delivered: {messages[-1]['text'].splitlines()[0]}")
    demo.world(mutation="none")


def _rollback(demo: Demo) -> None:
    (token, *_) = demo.ask("SELECT max(token) FROM ops.sync_runs WHERE status = 'published'")
    after = demo.ask(_DIGEST)
    with _step(f"rollback of sync {token}, then rollback of the rollback") as report:
        for target in (token, None):
            chosen = target or demo.ask("SELECT max(token) FROM ops.sync_runs WHERE status = 'published'")[0]
            config = json.dumps({"ops": {"roll_back_sync": {"config": {"token": chosen, "dry_run": False}}}})
            _demand(demo.job("aed_rollback", run_config=config), "the rollback failed")
            is_same = demo.ask(_DIGEST) == after
            report("registry as before the sync" if target else "registry as after the sync, byte for byte")
            _demand(is_same == (target is None), "the rollback did not restore the registry")


def _rename(demo: Demo, day: date) -> None:
    demo.world(reform="by_date")
    with _step("the source takes over the new names of regions (광주광역시 and 전라남도 are one sido now)") as report:
        _demand(demo.job("aed_incremental_sync", day=day), "the sync after the bad day failed")
        renamed, updated, missing = demo.ask(
            "SELECT renamed_rows, updated_rows, coalesce(missing_rows, 0) FROM ops.sync_runs"
            " ORDER BY token DESC LIMIT 1"
        )
        report(f"one event: {renamed:,} devices renamed, {updated:,} updated, {missing:,} missing")


def _quarantine(demo: Demo, day: date) -> None:
    fault = {"fault": "duplicate_row", "operation": "getAedFullDown", "page": 1, "times": 1}
    httpx.put(f"{demo.registry.url}/_sandbox/faults", json=[fault], timeout=60).raise_for_status()
    with _step("a page with a record twice, then a replay of the quarantine") as report:
        _demand(demo.job("aed_incremental_sync", day=day), "the sync with a doubled record failed")
        (waiting,) = demo.ask(_WAITING)
        _demand(demo.job("aed_replay_quarantine", day=day), "the replay failed")
        (still,) = demo.ask(_WAITING)
        report(
            f"{waiting} records waited; replayed: {int(str(waiting)) - int(str(still))} recovered, {still} still fail"
        )


_WAITING = "SELECT count(*) FROM aed.quarantine WHERE released_at IS NULL"
_DIGEST = (
    "SELECT count(*), sum(hash_record_extended(ROW(d.source_id, d.installation_address, d.latitude, d.longitude,"
    " d.institution_contact, d.row_hash, d.sync_batch_id, d.updated_at), 0)) FROM aed.aed_data AS d"
)


def _mb(count: object) -> str:
    return f"{int(str(count)) / 1e6:.0f} MB"


def _demand(is_true: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion with a sentence
    if not is_true:
        click.echo(f"  ✗ {otherwise}; see demo.log in the state folder", err=True)
        raise SystemExit(1)


@contextmanager
def _step(title: str) -> Iterator[Callable[[str], None]]:
    """Print a step, what it reports, and how long it took."""
    click.echo(f"\n▸ {title}")
    started = time.monotonic()
    yield lambda line: click.echo(f"  ✓ {line}")
    click.echo(f"  {time.monotonic() - started:.1f} s with process start")
