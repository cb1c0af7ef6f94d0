"""Files of the simulation system and of firings: taken from the landing zone, kept as they came, staged and judged."""

import time
from collections.abc import Iterator, Sequence

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import attempts, derived, tables
from meva_pipelines.assets.simulation import DAYS, FIRINGS, GROUP, POOL, SIMULATIONS, SOURCE, Flow
from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.quality.simulation_suites import RESULT_SUITES
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    failpoints,
    landing_ledger,
    ledger,
    simulation_bundles,
    simulation_catalogue,
    simulation_staging,
)
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_desk import Desk, Fate, Sighting
from meva_pipelines.resources.simulation_staging import Received
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema.roles import Role

MOST_BUNDLES = 2_000
"""Most documents of one batch; the others are taken by the next run."""

_CHECK = "every_file_was_usable"
_SHOWN = 50


class IntakeConfig(dg.Config):
    """Which files are taken, and what is tried again."""

    files: list[str] = Field(
        default_factory=list,
        description="Names of files in the folder of the landing zone; empty: every file that has settled. "
        "What a run took that did not end is taken up again in any case",
    )
    replay_rule: str = Field(
        default="",
        description="Try again what waits in quarantine for this rule; `all`: for whatever rule; empty: nothing",
    )


@dg.asset(
    key=SIMULATIONS.uploads,
    group_name=GROUP,
    kinds={"file"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
    check_specs=[
        *derived.check_specs(RESULT_SUITES, SIMULATIONS.uploads),
        dg.AssetCheckSpec(
            _CHECK, asset=SIMULATIONS.uploads, description="No file was refused or is in quarantine now."
        ),
    ],
)
def simulation_uploads(
    context: dg.AssetExecutionContext,
    config: IntakeConfig,
    landing: Landing,
    store: ObjectStore,
    postgres: Postgres,
    judge: Judge,
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Results of simulations, model versions and registers as they came, staged and judged; the rest in quarantine.

    Whatever arrived is kept byte for byte before anything is read, so that a run that dies is taken up again.
    """
    yield from _Intake(context, SIMULATIONS, landing, store, postgres).run(config, judge)


@dg.asset(
    key=FIRINGS.uploads,
    group_name=GROUP,
    kinds={"file", "excel"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
    check_specs=[
        *derived.check_specs(RESULT_SUITES, FIRINGS.uploads),
        dg.AssetCheckSpec(_CHECK, asset=FIRINGS.uploads, description="No file was refused or is in quarantine now."),
    ],
)
def firing_uploads(
    context: dg.AssetExecutionContext,
    config: IntakeConfig,
    landing: Landing,
    store: ObjectStore,
    postgres: Postgres,
    judge: Judge,
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Records of firings with their workbooks as they came, staged and judged; the rest waits in quarantine.

    Whatever arrived is kept byte for byte before anything is read, so that a run that dies is taken up again.
    """
    yield from _Intake(context, FIRINGS, landing, store, postgres).run(config, judge)


class _Intake:
    """One run of a flow from the landing zone to a judged batch."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        flow: Flow,
        landing: Landing,
        store: ObjectStore,
        postgres: Postgres,
    ) -> None:
        """Take the parts of a run."""
        self.context, self.flow, self.landing, self.store, self.postgres = context, flow, landing, store, postgres

    def run(self, config: IntakeConfig, judge: Judge) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Take, stage, judge and report."""
        attempt = self._open()
        rows = simulation_staging.rows_of(attempt)
        with ledger.watch(self.postgres, attempt):
            desk = self._take(attempt, config)
            received = self._stage(attempt, rows)
            self._demand_some(desk, received, rows)
            yield self._usable(desk, received)
            yield from self._judged(judge, rows, received)
        for sighting in desk.sightings:
            self.context.log.info(f"{sighting.name}: {sighting.fate}; {sighting.told}")
        yield self._result(attempt, desk, received)

    def _open(self) -> Attempt:
        with self.postgres.connect(Role.WRITER, work="open attempt") as connection:
            return ledger.open_attempt(
                connection,
                subject=self.flow.subject,
                source=SOURCE,
                mode=Mode.INCREMENTAL,
                day=attempts.day_of(self.context),
                dagster_run_id=self.context.run.run_id,
            )

    def _take(self, attempt: Attempt, config: IntakeConfig) -> Desk:
        """Keep what lies in the landing zone, enter it in the ledger, and move it out of the way."""
        names = config.files or [arrival.name for arrival in self.landing.arrived(self.flow.folder).settled]
        self.store.discard_partials("raw/mgg")
        with self.postgres.connect(Role.WRITER, work=f"take files {attempt.token}") as connection:
            desk = Desk(
                self.landing,
                self.flow.folder,
                self.store,
                done=lambda sha256: landing_ledger.finished(
                    connection, [sha256], files=self.flow.files, subject=self.flow.subject, source=SOURCE
                ).get(sha256),
            )
            desk.sort(names, now_ns=time.time_ns())
            for bundle in desk.bundles():
                self._remember(connection, attempt, simulation_bundles.keep(self.store, bundle))
            for key in self._replayed(connection, config.replay_rule):
                self._remember(connection, attempt, key)
        failpoints.reach(Point.SIMULATION_ENTERED)
        for sighting in desk.sightings:
            self._clear(attempt, sighting)
        failpoints.reach(Point.SIMULATION_CLEARED)
        return desk

    def _remember(self, connection: psycopg.Connection, attempt: Attempt, key: str) -> None:
        bundle = simulation_bundles.found(self.store, key)
        landing_ledger.remember(
            connection,
            attempt,
            sha256=bundle.sha256,
            rows=1,
            size=bundle.size,
            is_refused=False,
            files=self.flow.files,
            fetch_id=key,
        )

    def _replayed(self, connection: psycopg.Connection, rule: str) -> list[str]:
        if not rule:
            return []
        found = connection.execute(
            "SELECT DISTINCT object_key FROM mgg.quarantine WHERE subject = %s AND released_at IS NULL"
            " AND object_key IS NOT NULL AND (%s = 'all' OR rule = %s) ORDER BY 1 LIMIT %s",
            [self.flow.word, rule, rule, MOST_BUNDLES],
        ).fetchall()
        return [key for (key,) in found]

    def _clear(self, attempt: Attempt, sighting: Sighting) -> None:
        if sighting.fate is Fate.WAITING:
            return
        for arrival in sighting.arrivals:
            if sighting.fate is Fate.REFUSED or sighting.bundle is None:
                self.landing.refuse(self.flow.folder, arrival, mark=f"{attempt.token}", reason=sighting.told)
            else:
                self.landing.take(self.flow.folder, arrival, sha256=sighting.bundle.sha256)

    def _stage(self, attempt: Attempt, rows: StagedRows) -> Received:
        """Stage what was taken and did not end, by this run or an earlier one; what breaks a rule is put aside."""
        with self.postgres.connect(Role.WRITER, work=f"stage {attempt.token}") as connection:
            entries = landing_ledger.unfinished(connection, files=self.flow.files, source=SOURCE, limit=MOST_BUNDLES)
            bundles = [(entry.fetch_id, simulation_bundles.found(self.store, entry.fetch_id)) for entry in entries]
            received = simulation_staging.stage(
                connection,
                rows,
                self.store,
                bundles,
                kinds=self.flow.kinds,
                known=simulation_catalogue.known(connection),
                now=ledger.now(connection),
            )
            quarantined = simulation_staging.quarantine(
                connection, attempt, self.store, received.rejections, subject=self.flow.word
            )
            landing_ledger.finish(
                connection,
                [rejection.key for rejection in received.rejections],
                files=self.flow.files,
                outcome="rejected",
                token=attempt.token,
            )
            ledger.record(
                connection,
                attempt.token,
                fetched_at=ledger.now(connection),
                received_rows=received.bundles,
                quarantined_rows=quarantined,
                bytes_received=sum(bundle.size for _, bundle in bundles),
            )
        return received

    def _demand_some(self, desk: Desk, received: Received, rows: StagedRows) -> None:
        if received.results or desk.of(Fate.PUBLISHED_BEFORE, Fate.WAITING, Fate.UNNAMED):
            return
        with self.postgres.connect(Role.WRITER, work=f"clean {rows.attempt.token}") as connection:
            rows.drop(connection)
        place = self.landing.place(self.flow.folder)
        told = [f"{s.name}: {s.told}" for s in desk.of(Fate.REFUSED)]
        told += [f"{rejection.bundle.name}: {rejection.error}" for rejection in received.rejections]
        if told:
            raise Rejected(f"no file could be used ({'; '.join(told[:8])}). See refused/ below {place}, mgg.quarantine")
        gone = ", ".join(sighting.name for sighting in desk.sightings[:8])
        raise Refused(f"no file to take in {place}{f': {gone} is not there any more' if gone else ''}")

    def _judged(self, judge: Judge, rows: StagedRows, received: Received) -> Iterator[dg.AssetCheckResult]:
        """Judge what is staged; with nothing new the attempt ends here, and the assets behind it publish nothing."""
        failpoints.reach(Point.SIMULATION_BEFORE_VERDICT)
        if received.results:
            try:
                yield from derived.judge_rows(self.postgres, judge, rows, RESULT_SUITES, self.flow.uploads)
            except Rejected:
                self._give_up(rows)
                raise
        else:
            yield from derived.nothing_to_judge(self.postgres, rows, RESULT_SUITES, self.flow.uploads)
        failpoints.reach(Point.SIMULATION_AFTER_VERDICT)

    def _give_up(self, rows: StagedRows) -> None:
        """Let no later run take up a batch that its audit refused; its files can be handed in again."""
        with self.postgres.connect(Role.WRITER, work=f"give up {rows.attempt.token}") as connection:
            landing_ledger.finish(
                connection,
                simulation_staging.keys(connection, rows),
                files=self.flow.files,
                outcome="rejected",
                token=rows.attempt.token,
            )

    def _usable(self, desk: Desk, received: Received) -> dg.AssetCheckResult:
        told = [f"{s.name}: {s.told}" for s in desk.of(Fate.REFUSED, Fate.GONE, Fate.WAITING)]
        told += [f"{rejection.bundle.name}: {rejection.error}" for rejection in received.rejections]
        return dg.AssetCheckResult(
            check_name=_CHECK,
            passed=not told,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(told[:_SHOWN]) or "every file was usable",
        )

    def _result(self, attempt: Attempt, desk: Desk, received: Received) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": received.results,
                "attempt": attempt.token,
                "received_documents": received.bundles,
                "staged_results": received.results,
                "quarantined_documents": len(received.rejections),
                "curves": received.curves,
                "points": received.points,
                "files": dg.MetadataValue.md(tables.markdown(_lines(desk.sightings))),
                "quarantine": dg.MetadataValue.md(tables.markdown(_reasons(received))),
            }
        )


def _lines(sightings: Sequence[Sighting]) -> list[dict[str, object]]:
    return [{"file": s.name, "fate": s.fate.value, "what it is": s.told} for s in sightings[:_SHOWN]]


def _reasons(received: Received) -> list[dict[str, object]]:
    return [
        {"file": r.bundle.name, "rule": r.error.rule, "field": r.error.field, "reason": str(r.error)}
        for r in received.rejections[:_SHOWN]
    ]
