"""Files of testing machines: taken from the landing zone, kept as they came, read, staged and judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import attempts, derived, pictures, tables
from meva_pipelines.assets.tensile import DAYS, POOL, SOURCE, SUBJECT, UPLOADS, StagedTests
from meva_pipelines.domain.failures import Refused, Rejected, Unusable
from meva_pipelines.domain.tensile.recording import Reading, Recording, Refusal
from meva_pipelines.quality import verdicts
from meva_pipelines.quality.expectations import Target
from meva_pipelines.quality.tensile_rules import TENSILE_RULES
from meva_pipelines.quality.tensile_suites import TENSILE_SUITES
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    failpoints,
    ledger,
    machine_files,
    tensile_desk,
    tensile_intake,
    tensile_machines,
    tensile_report,
    tensile_staging,
)
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_batch import Batch
from meva_pipelines.resources.tensile_desk import Fate, Sighting
from meva_pipelines.resources.tensile_intake import Upload
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHECK = "every_test_was_usable"
_CURVES_SHOWN = 8
_POINTS_SHOWN = 400
_FILES_SHOWN = 50


class UploadConfig(dg.Config):
    """Which files are taken, and whether quarantined ones are tried again."""

    files: list[str] = Field(
        default_factory=list,
        description="Names of files in the folder `tensile` of the landing zone; empty: every file that has settled. "
        "Uploads of a run that did not end are taken up again in any case",
    )
    replays: bool = Field(default=False, description="Try quarantined uploads again, after their cause was mended")
    rule: str = Field(default="", description="Only those that broke this rule; empty: all")


@dataclass(slots=True)
class _Report:
    """What people see of the files that were read: how each was understood, and some of the curves."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    curves: list[Recording] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, upload: Upload, reading: Reading) -> None:
        """Note one file."""
        if not reading.recordings and reading.refusals:
            self.reasons[upload.content_id] = "\n".join(refusal.reason for refusal in reading.refusals)
        self.curves += reading.recordings[: max(0, _CURVES_SHOWN - len(self.curves))]
        if len(self.lines) < _FILES_SHOWN:
            self.lines += [_line(upload, reading)]


@dg.asset(
    key=UPLOADS,
    group_name="tensile",
    kinds={"file", "excel"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
    check_specs=[
        *derived.check_specs(TENSILE_SUITES, UPLOADS),
        dg.AssetCheckSpec(_CHECK, asset=UPLOADS, description="No file or test of the run was refused or had vanished."),
    ],
)
def uploads(
    context: dg.AssetExecutionContext,
    config: UploadConfig,
    landing: Landing,
    store: ObjectStore,
    postgres: Postgres,
    judge: Judge,
) -> Iterator[dg.MaterializeResult[None]]:
    """Files of testing machines with what was understood of them, staged and judged; the rest waits in quarantine.

    Whatever arrived is kept byte for byte before anything is read, so that a run that dies is taken up again.
    """
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=SOURCE,
            mode=Mode.INCREMENTAL,
            day=attempts.day_of(context),
            dagster_run_id=context.run.run_id,
        )
    with ledger.watch(postgres, attempt):
        with postgres.connect(Role.WRITER, work=f"take files {attempt.token}") as connection:
            replayed = _replay(connection, attempt, config.rule) if config.replays else 0
            names = [] if config.replays else _names(landing, config.files)
            sightings = tensile_desk.sort(connection, attempt, landing, store, names)
            tensile_desk.enter(connection, attempt, sightings)
        failpoints.reach(Point.TENSILE_ENTERED)
        batch, report = Batch(attempt), _Report()
        received, quarantined = _stage(postgres, store, batch, sightings, report)
        tensile_desk.clear(landing, attempt, sightings, report.reasons)
        failpoints.reach(Point.TENSILE_CLEARED)
        _demand_some(sightings, report, landing)
        gates, figures = _audit(postgres, store, judge, batch, received, quarantined)
    for sighting in sightings:
        context.log.info(f"{sighting.name}: {sighting.fate}; {sighting.told}")
    counts = {**figures, "quarantined_tests": quarantined, "replayed_uploads": replayed}
    yield _result(attempt, sightings, report, counts, gates)


def _replay(connection: psycopg.Connection, attempt: Attempt, rule: str) -> int:
    replayed = tensile_desk.replay(connection, attempt, rule=rule)
    if not replayed:
        raise Refused(f"no upload waits in meva.quarantine{f' because of {rule}' if rule else ''}: nothing to replay")
    return replayed


def _names(landing: Landing, asked: Sequence[str]) -> list[str]:
    return list(asked) or [arrival.name for arrival in tensile_desk.ready(landing.arrived(tensile_desk.FOLDER))]


def _stage(
    postgres: Postgres, store: ObjectStore, batch: Batch, sightings: Sequence[Sighting], report: _Report
) -> tuple[tensile_staging.Received, int]:
    """Read every upload, stage its tests, and move those that break a rule to quarantine."""
    with postgres.connect(Role.WRITER, work=f"stage {batch.attempt.token}") as connection:
        tensile_staging.drop_abandoned(connection, store, subject=SUBJECT)
        tensile_staging.create(connection, batch)
        received = tensile_staging.stage(
            connection,
            batch,
            store,
            _readings(store, sightings, report),
            register=tensile_machines.known(connection),
            now=ledger.now(connection),
        )
        tensile_staging.triage(connection, batch, TENSILE_RULES)
        quarantined = tensile_staging.quarantine(connection, batch)
    return received, quarantined


def _readings(store: ObjectStore, sightings: Sequence[Sighting], report: _Report) -> Iterator[tuple[Upload, Reading]]:
    """Yield what each upload holds; a file of which nothing can be taken is one refusal."""
    for sighting in sightings:
        if sighting.upload is None or sighting.fate not in {Fate.TAKEN, Fate.RESUMED}:
            continue
        upload, original = tensile_intake.found(store, sighting.upload.manifest)
        try:
            stated = None if original.sidecar is None else machine_files.read_sidecar(original.sidecar)
            reading = machine_files.read(original.content, name=upload.name, sidecar=stated)
        except Unusable as error:
            reading = Reading((), (Refusal("", error.rule, str(error), error.field, error.row),))
        report.add(upload, reading)
        yield upload, reading


def _demand_some(sightings: Sequence[Sighting], report: _Report, landing: Landing) -> None:
    """Refuse a run that brought nothing: every file was refused, or none was there."""
    place = landing.place(tensile_desk.FOLDER)
    refused = {s.name: s.told for s in sightings if s.fate is Fate.REFUSED}
    refused |= {s.name: report.reasons[s.upload.content_id] for s in sightings if _is_refused(s, report) and s.upload}
    if refused and len(refused) == sum(s.fate is not Fate.GONE for s in sightings):
        told = "; ".join(f"{name}: {reason}" for name, reason in list(refused.items())[:_CURVES_SHOWN])
        raise Rejected(f"no file could be used ({told}). They lie in refused/ below {place}, and in meva.quarantine")
    if all(sighting.fate is Fate.GONE for sighting in sightings):
        gone = ", ".join(sighting.name for sighting in sightings[:_CURVES_SHOWN])
        raise Refused(f"no file to take in {place}{f': {gone} is not there any more' if gone else ''}")


def _is_refused(sighting: Sighting, report: _Report) -> bool:
    return sighting.upload is not None and sighting.upload.content_id in report.reasons


def _audit(
    postgres: Postgres,
    store: ObjectStore,
    judge: Judge,
    batch: Batch,
    received: tensile_staging.Received,
    quarantined: int,
) -> tuple[list[dg.AssetCheckResult], dict[str, int | float | str]]:
    """Judge the staged tests and write the verdicts and figures; returns the gates and what is told.

    With nothing new the attempt ends here, and the assets behind it publish nothing.
    """
    with postgres.connect(Role.WRITER, work="look at batch") as connection:
        staged = tensile_report.staged_tests(connection, batch)
        digest = tensile_staging.digest(connection, batch)
    figures = {
        "received_files": received.files,
        "received_tests": received.tests,
        "staged_tests": staged,
        "received_points": received.points,
        "received_mb": round(received.bytes / 1e6, 3),
    }
    if not staged:
        counts = {"received_rows": quarantined, "quarantined_rows": quarantined, "bytes_received": received.bytes}
        ended = derived.nothing_to_judge(
            postgres,
            StagedTests(batch, store),
            TENSILE_SUITES,
            UPLOADS,
            **counts,
            details={"refused_tests": quarantined},
        )
        return list(ended), {**figures, "audit": "no test to judge"}
    said = judge.judge(
        TENSILE_SUITES,
        sqlalchemy_url=postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA),
        tables={Target.TESTS: batch.name("tests")},
    )
    failpoints.reach(Point.AUDIT_BEFORE_VERDICT)
    with postgres.connect(Role.WRITER, work=f"record audit {batch.attempt.token}") as connection:
        is_passed = verdicts.store(connection, batch.attempt, said, digest=digest)
        ledger.record(
            connection,
            batch.attempt.token,
            status=Status.STAGED,
            staged_at=ledger.now(connection),
            staged_digest=digest,
            received_rows=received.tests,
            bytes_received=received.bytes,
        )
        if not is_passed:
            told = f"the audit failed ({verdicts.failures(said)}); nothing was published and the tests before stay."
            ledger.reject(connection, batch.attempt, told)
    failpoints.reach(Point.AUDIT_AFTER_VERDICT)
    return derived.checks(TENSILE_SUITES, said, attempt=batch.attempt.token, asset=UPLOADS), {
        **figures,
        "audit_s": round(sum(verdict.duration_s for verdict in said), 3),
        "audit": "passed" if is_passed else "failed: nothing of this batch can be published",
    }


def _result(
    attempt: Attempt,
    sightings: Sequence[Sighting],
    report: _Report,
    figures: dict[str, int | float | str],
    gates: Sequence[dg.AssetCheckResult],
) -> dg.MaterializeResult[None]:
    troubled = [s for s in sightings if s.fate in {Fate.REFUSED, Fate.GONE} or _is_refused(s, report)]
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": figures["staged_tests"],
        "attempt": attempt.token,
        **figures,
        "fates": dg.MetadataValue.md(tables.markdown([_fate(sighting) for sighting in sightings[:_FILES_SHOWN]])),
        "detection": dg.MetadataValue.md(tables.markdown(report.lines)),
    }
    if report.curves:
        metadata["curves"] = _picture(report.curves)
    is_whole = not troubled and not figures["quarantined_tests"]
    return dg.MaterializeResult(
        metadata=metadata,
        check_results=[
            *gates,
            dg.AssetCheckResult(
                check_name=_CHECK,
                passed=is_whole,
                severity=dg.AssetCheckSeverity.WARN,
                description="every file and test was usable"
                if is_whole
                else f"{figures['quarantined_tests']} tests or files wait in meva.quarantine; "
                + ", ".join(sighting.name for sighting in troubled[:_CURVES_SHOWN]),
            ),
        ],
    )


def _fate(sighting: Sighting) -> dict[str, Any]:
    return {"file": sighting.name, "fate": sighting.fate.value, "why": sighting.told}


def _line(upload: Upload, reading: Reading) -> dict[str, Any]:
    """Show how one file was understood, by its first test; or why it was not."""
    first = reading.recordings[0] if reading.recordings else None
    used = [] if first is None else [column for column in first.detection.columns if column.quantity is not None]
    return {
        "file": upload.name,
        "dialect": "" if first is None else first.detection.dialect,
        "encoding": "" if first is None else first.detection.encoding,
        "tests": len(reading.recordings),
        "points": sum(len(recording.curve.load_n) for recording in reading.recordings),
        "columns": "; ".join(f"{column.quantity} ← {column.name}, in {column.unit}: {column.why}" for column in used),
        "repairs": "" if first is None else "; ".join(first.repairs.notes),
        "warnings": "" if first is None else "; ".join(first.detection.warnings),
        "refused": "; ".join(refusal.reason for refusal in reading.refusals),
    }


def _picture(recordings: Sequence[Recording]) -> dg.MarkdownMetadataValue:
    """Draw the first curves of the run: stress over strain where both can be computed, else load over displacement."""

    def draw(axes: "Sequence[Axes]") -> None:
        (plane,) = axes
        is_stress = all(r.specimen.area_mm2 and r.specimen.gauge_length_mm for r in recordings)
        for number, recording in enumerate(recordings, start=1):
            curve, specimen = recording.curve, recording.specimen
            step = max(1, len(curve.load_n) // _POINTS_SHOWN)
            x, y = curve.displacement_mm[::step], curve.load_n[::step]
            if is_stress:
                x, y = 100 * x / (specimen.gauge_length_mm or 1), y / (specimen.area_mm2 or 1)
            plane.plot(x, y, linewidth=1.2, label=pictures.label(specimen.name, f"test {number}"))
        plane.set(
            xlabel="extension / L0, %" if is_stress else "displacement, mm", ylabel="R, MPa" if is_stress else "F, N"
        )
        plane.legend(frameon=False, fontsize=7)

    return pictures.drawn("curves of the run", draw, size=(7.5, 4.0))
