"""The demo: a registry fetched, audited, published, broken, rolled back; the laboratory; firings; years; a backup.

Every step is a real Dagster run on the real instance, so the web interface shows afterwards what happened here.
"""

import json
import time
from datetime import date, datetime, timedelta

import click
import httpx

from meva_pipelines.domain.days import SEOUL
from meva_pipelines.local import demo_archive, demo_backup, demo_firings, demo_laboratory, environment
from meva_pipelines.local.environment import SANDBOX_PAST_DAYS
from meva_pipelines.local.telling import Demo, demand, step

_REGISTRY_FIGURES = (
    "SELECT token, received_rows, inserted_rows, updated_rows, unchanged_rows, quarantined_rows, live_rows, status,"
    " error, extract(epoch FROM finished_at - started_at)::float8, bytes_received"
    " FROM ops.sync_runs WHERE mode NOT IN ('rollback', 'deletion') ORDER BY token DESC LIMIT 1"
)


def tell(size: int, millions: int) -> None:
    """Tell the story on a registry of `size` devices and `millions` of old points, and print what landed.

    Raises:
        SystemExit: a step did not end as it should.
    """
    started = time.monotonic()
    with step("PostgreSQL, schema, Dagster storage"):
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
        demo_laboratory.tell(demo)
        demo_firings.tell(demo)
        demo_archive.tell(demo, millions=millions)
        demo_backup.tell(demo, yesterday)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. Look at it with: make ui   ·   query it with: make psql")


def _full_sync(demo: Demo, day: date, size: int) -> None:
    demo.world(day=day.isoformat(), reform="off")
    with step(f"full sync of {day}: {size:,} devices over HTTP") as report:
        demand(demo.job("aed_full_sync", day=day), "the full sync failed")
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
    with step(f"a day later, {day}: incremental sync") as report:
        demand(demo.job("aed_incremental_sync", day=day), "the incremental sync failed")
        _, received, inserted, updated, unchanged, quarantined, live, *_, seconds, _ = demo.ask(_REGISTRY_FIGURES)
        report(
            f"{received:,} received: {inserted:,} new, {updated:,} changed, {unchanged:,} unchanged and not written, "
            f"{quarantined:,} in quarantine; {live:,} live; {seconds:.1f} s"
        )


def _bad_day(demo: Demo, day: date) -> None:
    digest = demo.ask(_DIGEST)
    demo.world(mutation="all_coordinates_null")
    with step("broken on purpose: every coordinate is NULL") as report:
        demand(not demo.job("aed_incremental_sync", day=day), "a corrupt batch was published")
        *_, status, error, _, _ = demo.ask(_REGISTRY_FIGURES)
        demand(demo.ask(_DIGEST) == digest, "the published registry changed")
        report(f"{status}: {error}")
        report("the published registry is byte for byte what it was")
        demand(demo.job("deliver_alerts"), "the alert was not delivered")
        messages = httpx.get(f"{demo.registry.url}/_sandbox/webhook", timeout=60).json()
        demand(bool(messages), "no alert arrived")
        report(f"alert delivered: {messages[-1]['text'].splitlines()[0]}")
    demo.world(mutation="none")


def _rollback(demo: Demo) -> None:
    (token, *_) = demo.ask("SELECT max(token) FROM ops.sync_runs WHERE status = 'published'")
    after = demo.ask(_DIGEST)
    with step(f"rollback of sync {token}, then rollback of the rollback") as report:
        for target in (token, None):
            chosen = target or demo.ask("SELECT max(token) FROM ops.sync_runs WHERE status = 'published'")[0]
            config = json.dumps({"ops": {"roll_back_sync": {"config": {"token": chosen, "dry_run": False}}}})
            demand(demo.job("aed_rollback", run_config=config), "the rollback failed")
            is_same = demo.ask(_DIGEST) == after
            report("registry as before the sync" if target else "registry as after the sync, byte for byte")
            demand(is_same == (target is None), "the rollback did not restore the registry")


def _rename(demo: Demo, day: date) -> None:
    demo.world(reform="by_date")
    with step("the source takes over the new names of regions (광주광역시 and 전라남도 are one sido now)") as report:
        demand(demo.job("aed_incremental_sync", day=day), "the sync after the bad day failed")
        renamed, updated, missing = demo.ask(
            "SELECT renamed_rows, updated_rows, coalesce(missing_rows, 0) FROM ops.sync_runs"
            " ORDER BY token DESC LIMIT 1"
        )
        report(f"one event: {renamed:,} devices renamed, {updated:,} updated, {missing:,} missing")


def _quarantine(demo: Demo, day: date) -> None:
    fault = {"fault": "duplicate_row", "operation": "getAedFullDown", "page": 1, "times": 1}
    httpx.put(f"{demo.registry.url}/_sandbox/faults", json=[fault], timeout=60).raise_for_status()
    with step("a page with a record twice, then a replay of the quarantine") as report:
        demand(demo.job("aed_incremental_sync", day=day), "the sync with a doubled record failed")
        (waiting,) = demo.ask(_WAITING)
        demand(demo.job("aed_replay_quarantine", day=day), "the replay failed")
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
