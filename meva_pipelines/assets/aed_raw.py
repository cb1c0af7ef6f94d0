"""Raw pages of the registry: fetched, proved complete, stored as received. Nothing is interpreted here."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import attempts, tables
from meva_pipelines.assets.aed import DAYS, POOL, RAW_RECORDS, SUBJECT
from meva_pipelines.domain import district_requests, relaunches
from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources import failpoints, fetches, journal, ledger, published_runs, raw_pages, reference
from meva_pipelines.resources.egen import EgenSource, Fetched
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


class FetchConfig(dg.Config):
    """How the registry is asked."""

    mode: Literal["incremental", "full"] = Field(
        default="incremental",
        description="incremental: what changed, where the source can tell, else everything. full: everything, and "
        "devices that are absent are counted as missing",
    )
    overlap_minutes: int = Field(
        default=60,
        ge=0,
        le=10_080,
        description="Minutes before the newest change seen that are asked for again (incremental, dialect egen)",
    )
    relaunches: int = Field(
        default=3,
        ge=0,
        le=10,
        description="How often a fetch that failed is launched again within the hour, where trying again helps",
    )
    relaunch_after_s: float = Field(
        default=300.0,
        ge=0,
        le=3_600,
        description="Seconds before the first of these launches; the pause doubles from one to the next",
    )
    districts: list[str] = Field(
        default_factory=list,
        description="What to ask for one by one (dialect data_go_kr): 'sido/gugun', 'sido' for all its districts, "
        "'all' for those of the country. A district that does not come completely costs the others nothing, and "
        "absences count in each sido that came completely. Empty: the whole country in one go",
    )


@dg.asset(
    key=RAW_RECORDS,
    group_name="aed",
    kinds={"file"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def raw_records(
    context: dg.AssetExecutionContext,
    config: FetchConfig,
    egen: EgenSource,
    store: ObjectStore,
    postgres: Postgres,
) -> dg.MaterializeResult[None]:
    """Pages of the registry exactly as received, proved complete; every sync can be replayed from them.

    Nothing is staged unless every page came, each said so itself, and the rows add up to the announced total. Where
    the source does not answer, the fetch is launched again within the hour, each time as an attempt of its own.
    """
    contract, day = reference.contract(egen.dialect), attempts.day_of(context)
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        done, elapsed = ledger.launched(connection, subject=SUBJECT, dagster_run_id=context.run.run_id)
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=contract.name,
            mode=Mode(config.mode),
            day=day,
            dagster_run_id=context.run.run_id,
        )
        watermark = published_runs.watermark(connection, subject=SUBJECT, source=contract.name)
    started = time.monotonic()
    decided: list[timedelta | None] = []

    def pause(error: MevaError) -> timedelta | None:
        """Decide once, so that a message is never at odds with what happens."""
        if not decided:
            took = elapsed + timedelta(seconds=time.monotonic() - started)
            first = timedelta(seconds=config.relaunch_after_s)
            decided.append(relaunches.wait(error, done=done, at_most=config.relaunches, elapsed=took, first=first))
        return decided[0]

    try:
        with ledger.watch(postgres, attempt, is_last=lambda error: pause(error) is None), _explained(pause, done):
            failpoints.reach(Point.FETCH_STARTED)
            wants_changes = attempt.mode is Mode.INCREMENTAL and contract.modified is not None and watermark is not None
            since = watermark - timedelta(minutes=config.overlap_minutes) if wants_changes and watermark else None
            store.discard_partials("raw/aed")
            writer = raw_pages.Writer(store, f"{contract.name}/{day}/{attempt.token}")
            fetched = egen.fetch(
                modified_after=since,
                store=writer.put,
                districts=district_requests.districts(config.districts, reference.regions(), day),
                within_s=relaunches.left(elapsed).total_seconds(),
            )
            entries = writer.finish(fetched, contract)
            _enter(postgres, attempt, fetched, entries, is_whole=since is None or fetched.fell_back, config=config)
    except Unavailable as error:
        _relaunch(attempt, error, pause(error), config)
        raise
    _note(attempt, fetched)
    return dg.MaterializeResult(metadata=_fetch_metadata(attempt, fetched, store))


@contextmanager
def _explained(pause: Callable[[MevaError], timedelta | None], done: int) -> Iterator[None]:
    """Let the error of the last launch say what it means and what to do."""
    try:
        yield
    except (Unavailable, Refused) as error:
        if pause(error) is None:
            raise relaunches.final(error, done=done) from None
        raise


def _relaunch(attempt: Attempt, error: Unavailable, pause: timedelta | None, config: FetchConfig) -> None:
    """Ask Dagster to launch the fetch again after a pause, if there is one to wait for."""
    if pause is None:
        return
    journal.note(Event.FETCH_RELAUNCHED, token=attempt.token, error=type(error).__name__, message=error, wait_s=pause)
    raise dg.RetryRequested(max_retries=config.relaunches, seconds_to_wait=pause.total_seconds()) from error


def _enter(
    postgres: Postgres,
    attempt: Attempt,
    fetched: Fetched,
    entries: Sequence[raw_pages.Entry],
    *,
    is_whole: bool,
    config: FetchConfig,
) -> None:
    fetch_id = f"{attempt.source}/{attempt.day}/{attempt.token}"
    with postgres.connect(Role.WRITER, work=f"enter fetch {attempt.token}") as connection:
        fetches.take(
            connection,
            attempt,
            fetch_id=fetch_id,
            page_hashes=[entry.sha256 for entry in entries],
            is_complete_snapshot=is_whole and not config.districts,
            rows=fetched.rows,
            size=fetched.bytes_received,
            as_of=fetched.as_of,
        )
        if is_whole and config.districts:
            proved = district_requests.proved_regions(fetched.rows_by_scope, reference.regions(), attempt.day)
            fetches.prove_parts(connection, subject=SUBJECT, fetch_id=fetch_id, parts=proved)
        ledger.record(
            connection,
            attempt.token,
            status=Status.FETCHED,
            fetched_at=ledger.now(connection),
            fetch_id=fetch_id,
            expected_rows=fetched.total,
            bytes_received=fetched.bytes_received,
            requests=fetched.requests,
            retries=fetched.retries,
        )
    failpoints.reach(Point.FETCH_ENTERED)


def _note(attempt: Attempt, fetched: Fetched) -> None:
    facts = {"rows": fetched.rows, "pages": fetched.pages, "bytes": fetched.bytes_received}
    took = timedelta(seconds=fetched.duration_s)
    journal.note(Event.SYNC_FETCHED, token=attempt.token, **facts, duration_s=took, retries=fetched.retries)
    for scope, error in fetched.failed.items():
        journal.note(Event.DISTRICT_INCOMPLETE, token=attempt.token, district=scope, error=error)


def _fetch_metadata(attempt: Attempt, fetched: Fetched, store: ObjectStore) -> dict[str, Any]:
    return {
        "dagster/partition_row_count": fetched.rows,
        "attempt": attempt.token,
        "mode": fetched.mode_used.value,
        "fell_back_to_full": fetched.fell_back,
        "pages": fetched.pages,
        "received_mb": round(fetched.bytes_received / 1e6, 3),
        "decoded_mb": round(fetched.bytes_decoded / 1e6, 3),
        "requests": fetched.requests,
        "retries": fetched.retries,
        "restarts": fetched.restarts,
        "duration_s": round(fetched.duration_s, 3),
        "incomplete_districts": len(fetched.failed),
        "notes": "; ".join([*fetched.notes, *_failures(fetched)]) or "none",
        "page_set": store.uri(f"raw/aed/{attempt.source}/{attempt.day}/{attempt.token}"),
    }


def _failures(fetched: Fetched) -> list[str]:
    """Say which districts did not come completely, and by which error."""
    return [f"{scope} did not come completely ({error})" for scope, error in fetched.failed.items()]
