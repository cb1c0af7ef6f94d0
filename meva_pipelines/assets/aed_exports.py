"""Export files of the registry: taken from the landing zone, read, kept as they came. Nothing is interpreted here."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import attempts, tables
from meva_pipelines.assets.aed import DAYS, EXPORT_FILES, POOL, SUBJECT
from meva_pipelines.domain.days import korean_day
from meva_pipelines.domain.exports import Header
from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.resources import failpoints, fetches, journal, landing_ledger, ledger, raw_pages, reference
from meva_pipelines.resources.export_desk import Desk, Fate, Sighting
from meva_pipelines.resources.export_pages import Writer
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

SOURCE = "nemc_export"
FOLDER = "aed"
_CHECK = "every_file_was_usable"


class ExportConfig(dg.Config):
    """Which files are taken, and what they claim to be."""

    files: list[str] = Field(
        default_factory=list,
        description="Names of files in the landing zone; empty: every file that has arrived and settled",
    )
    is_complete: bool = Field(
        default=False,
        description="The files hold the whole registry: devices that are absent from them count as missing. "
        "Only true when all sido are there and were exported together",
    )
    is_older_allowed: bool = Field(
        default=False,
        description="Files that were made on an earlier day than what is published are taken and overwrite it",
    )


@dg.asset(
    key=EXPORT_FILES,
    group_name="aed",
    kinds={"file", "excel"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
    check_specs=[
        dg.AssetCheckSpec(_CHECK, asset=EXPORT_FILES, description="No file of the run was refused or had vanished.")
    ],
)
def export_files(
    context: dg.AssetExecutionContext,
    config: ExportConfig,
    landing: Landing,
    store: ObjectStore,
    postgres: Postgres,
) -> Iterator[dg.MaterializeResult[None]]:
    """Files that people exported from the NEMC portal, byte for byte, with the rows read from them.

    A file is taken whole or refused whole; contents that were published already are not staged again.
    """
    contract, day = reference.table(SOURCE), attempts.day_of(context)
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=contract.name,
            mode=Mode.FULL if config.is_complete else Mode.INCREMENTAL,
            day=day,
            dagster_run_id=context.run.run_id,
        )
        published = landing_ledger.publications(connection, subject=SUBJECT, source=contract.name)
        waiting = landing_ledger.waiting(connection, subject=SUBJECT, source=contract.name)
        newest = fetches.newest_as_of(connection, subject=SUBJECT, source=contract.name)
        now = ledger.now(connection)
    with ledger.watch(postgres, attempt):
        desk = Desk(
            landing=landing,
            folder=FOLDER,
            writer=Writer(store, contract, f"{contract.name}/{day}/{attempt.token}"),
            published={} if config.is_complete else published,
            kept={} if waiting is None else {o.name: o for o in raw_pages.originals(store, waiting.fetch_id)},
            now=now,
            oldest=None if newest is None or config.is_older_allowed else korean_day(newest),
        )
        names = config.files or [arrival.name for arrival in landing.arrived(FOLDER).settled]
        for name in dict.fromkeys(names):
            desk.see(name)
        _enter(postgres, attempt, desk, is_complete=config.is_complete)
        failpoints.reach(Point.FETCH_ENTERED)
        _clear(landing, attempt, desk.sightings)
        failpoints.reach(Point.EXPORT_CLEARED)
        _demand_some(desk, landing)
    for sighting in desk.sightings:
        event = Event.FILE_REFUSED if sighting.fate is Fate.REFUSED else Event.FILE_TAKEN
        journal.note(event, token=attempt.token, file=sighting.name, fate=sighting.fate, told=sighting.told)
    yield _result(attempt, desk, store)


def _enter(postgres: Postgres, attempt: Attempt, desk: Desk, *, is_complete: bool) -> None:
    """Write the set and everything that is known of its files to the ledger in one transaction."""
    is_usable = bool(desk.of(Fate.TAKEN, Fate.PUBLISHED_BEFORE))
    entries = desk.writer.finish() if is_usable else []
    rows = sum(entry.rows for entry in entries)
    size = sum(sighting.size for sighting in desk.of(Fate.TAKEN))
    with postgres.connect(Role.WRITER, work=f"enter files {attempt.token}") as connection:
        for sighting in desk.of(Fate.TAKEN, Fate.REFUSED):
            landing_ledger.remember(
                connection,
                attempt,
                sha256=sighting.sha256,
                rows=sighting.rows,
                size=sighting.size,
                is_refused=sighting.fate is Fate.REFUSED,
            )
        if not is_usable:
            return
        fetches.take(
            connection,
            attempt,
            fetch_id=desk.writer.fetch_id,
            page_hashes=[entry.sha256 for entry in entries],
            is_complete_snapshot=is_complete and not desk.of(Fate.REFUSED, Fate.GONE),
            rows=rows,
            size=size,
            as_of=max((s.as_of for s in desk.of(Fate.TAKEN) if s.as_of is not None), default=None),
        )
        ledger.record(
            connection,
            attempt.token,
            status=Status.FETCHED,
            fetched_at=ledger.now(connection),
            fetch_id=desk.writer.fetch_id,
            expected_rows=rows,
            bytes_received=size,
        )


def _clear(landing: Landing, attempt: Attempt, sightings: Sequence[Sighting]) -> None:
    """Move the files out of the way, now that the ledger knows them."""
    for sighting in sightings:
        if sighting.arrival is None:
            continue
        if sighting.fate is Fate.REFUSED:
            landing.refuse(FOLDER, sighting.arrival, mark=f"{attempt.token}", reason=sighting.told)
        else:
            landing.take(FOLDER, sighting.arrival, sha256=sighting.sha256)


def _demand_some(desk: Desk, landing: Landing) -> None:
    if desk.of(Fate.TAKEN, Fate.PUBLISHED_BEFORE):
        return
    if refused := desk.of(Fate.REFUSED):
        told = "; ".join(f"{sighting.name}: {sighting.told}" for sighting in refused)
        raise Rejected(f"no file could be used ({told}). They lie in refused/ below {landing.place(FOLDER)}")
    gone = ", ".join(sighting.name for sighting in desk.sightings)
    raise Refused(f"no file to take in {landing.place(FOLDER)}{f': {gone} is not there any more' if gone else ''}")


def _result(attempt: Attempt, desk: Desk, store: ObjectStore) -> dg.MaterializeResult[None]:
    unusable = desk.of(Fate.REFUSED, Fate.GONE)
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": sum(sighting.rows for sighting in desk.sightings),
            "attempt": attempt.token,
            "taken_files": len(desk.of(Fate.TAKEN)),
            "refused_files": len(desk.of(Fate.REFUSED)),
            "published_before_files": len(desk.of(Fate.PUBLISHED_BEFORE)),
            "received_mb": round(sum(sighting.size for sighting in desk.sightings) / 1e6, 3),
            "files": dg.MetadataValue.md(tables.markdown([_line(sighting) for sighting in desk.sightings])),
            "header_mapping": dg.MetadataValue.md(_mappings(desk.sightings)),
            "page_set": store.uri(f"raw/aed/{desk.writer.fetch_id}"),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=_CHECK,
                passed=not unusable,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(f"{s.name}: {s.told}" for s in unusable) or "every file was usable",
            )
        ],
    )


def _line(sighting: Sighting) -> dict[str, Any]:
    header = sighting.header
    return {
        "file": sighting.name,
        "fate": sighting.fate.value,
        "what it is": sighting.told,
        "made on": sighting.as_of.date().isoformat() if sighting.as_of else "",
        "rows": sighting.rows,
        "unknown headers": ", ".join(header.unknown) if header else "",
        "missing headers": ", ".join(header.missing) if header else "",
    }


def _mappings(sightings: Sequence[Sighting]) -> str:
    """Show which column feeds what; files with the same header share a table."""
    alike: dict[Header, list[str]] = {}
    for sighting in sightings:
        if sighting.header is not None:
            alike.setdefault(sighting.header, []).append(sighting.name)
    parts = []
    for header, names in alike.items():
        lines = [
            {"column": fed.position + 1, "header": fed.written, "field": fed.field, "published as": fed.column}
            for fed in header.fed
        ]
        parts.append(f"**{', '.join(names)}**\n\n{tables.markdown(lines)}")
    return "\n\n".join(parts) or "No file was read."
