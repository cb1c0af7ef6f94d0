"""What can be started for simulations and firings: intake, comparisons, activation of a model, takeover."""

from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import simulation, simulation_comparisons, tables
from meva_pipelines.assets.simulation import FIRINGS, SIMULATIONS, Flow
from meva_pipelines.assets.simulation_comparisons import PT_COMPARISONS
from meva_pipelines.assets.simulation_scorecard import MODEL_SCORECARD
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import MevaError, Refused
from meva_pipelines.domain.simulation import takeover
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    ledger,
    publishing,
    simulation_scorecard,
    simulation_totals,
    sqlite_source,
    sqlite_takeover,
)
from meva_pipelines.resources import simulation_comparisons as comparisons
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_comparisons import Pair
from meva_pipelines.resources.simulation_scorecard import Version
from meva_pipelines.schema.roles import Role


def _intake(flow: Flow) -> dg.AssetSelection:
    """Return a flow from its files to the scorecard: a new result is compared in the run that publishes it."""
    return dg.AssetSelection.assets(flow.uploads, *map(tables.key, flow.published), PT_COMPARISONS, MODEL_SCORECARD)


simulation_intake = dg.define_asset_job(
    "simulation_intake",
    selection=_intake(SIMULATIONS),
    description="Publish results of simulations, model versions and registers from the landing zone; compare them.",
)

firing_intake = dg.define_asset_job(
    "firing_intake",
    selection=_intake(FIRINGS),
    description="Publish firings from the landing zone; compare each with every simulation of its work order.",
)


class PairConfig(dg.Config):
    """Which curves are compared."""

    simulation: str = Field(description="Name of the simulation; its current version is taken")
    firing: str = Field(description="Name of the firing; its current version is taken")
    username: str = Field(default="", description="Who asks; empty: whoever handed the firing in")
    notes: str = Field(
        default="",
        description="Remarks that are kept with the comparison; refused for a pair that is compared already",
    )


@dg.op(pool=simulation.POOL)
def compare_pair(
    context: dg.OpExecutionContext, config: PairConfig, postgres: Postgres, judge: Judge, store: ObjectStore
) -> None:
    """Compare one simulation with one firing, whatever their work orders are, wherever their curves lie."""
    with postgres.connect(Role.WRITER, work="find pair") as connection:
        pair = _pair(connection, config)
        comparisons.demand_room_for_notes(connection, pair)
    left_out = list[MevaError]()
    for result in simulation_comparisons.compare(
        postgres, judge, ColdFiles(store), [pair], run_id=context.run.run_id, left_out=left_out
    ):
        context.log.info(f"{result.check_name}: {'passed' if result.passed else result.description}")
    if left_out:
        raise left_out[0]


def _pair(connection: psycopg.Connection, config: PairConfig) -> Pair:
    row = connection.execute(
        "SELECT (SELECT id FROM mgg.forward_simulations WHERE name = %s AND is_current AND status = 'completed'),"
        " (SELECT id FROM mgg.test_results WHERE name = %s AND is_current),"
        " coalesce((SELECT id FROM mgg.users WHERE username = %s),"
        " (SELECT user_id FROM mgg.test_results WHERE name = %s AND is_current))",
        [config.simulation, config.firing, config.username, config.firing],
    ).fetchone()
    if row is None or None in row:
        raise Refused("there is no completed simulation or no firing of that name; look at both tables")
    simulation_id, test_result_id, user_id = row
    return Pair(simulation_id, test_result_id, user_id, config.notes or None)


@dg.job(description="Compare any simulation with any firing, by their names.")
def compare_curves() -> None:
    """Compare one pair of curves."""
    compare_pair()


class ActivationConfig(dg.Config):
    """Which version is to answer from now on."""

    version: str = Field(description="Name of the model version")
    approved_by: str = Field(
        default="",
        description="Who approves a version that the scorecard left undecided; what it refused stays refused",
    )
    dry_run: bool = Field(default=True, description="Only say what would become active; nothing is written")


@dg.op(pool=simulation.POOL)
def switch_model(context: dg.OpExecutionContext, config: ActivationConfig, postgres: Postgres) -> None:
    """Let a forward model answer in place of the active one, if the scorecard of this moment allows it."""
    with postgres.connect(Role.WRITER, work="judge model") as connection:
        version = _named(simulation_scorecard.versions(connection), config.version)
        evaluation = simulation_scorecard.evaluate(connection, now=ledger.now(connection))
        decision = evaluation.decisions.get(version.name)
        if decision is None:
            context.log.info(f"{version.name} is active already; nothing was changed")
            return
        context.log.info(f"{version.name}: {decision.verdict}; {'; '.join(decision.reasons[:5])}")
        if config.dry_run:
            context.log.info("dry run: nothing was written; activate with `dry_run: false`")
            return
        simulation_scorecard.write_decisions(connection, evaluation)
    with postgres.connect(Role.WRITER, work="activate model") as connection:
        if config.approved_by:
            simulation_scorecard.approve(connection, version, approved_by=config.approved_by)
        simulation_scorecard.activate(connection, version)
        simulation_totals.log(
            connection, log_type="admin", action="model activated", details=f"{version.name}: {decision.verdict}"
        )


def _named(versions: tuple[Version, ...], name: str) -> Version:
    found = next((version for version in versions if version.name == name), None)
    if found is None:
        known = ", ".join(version.name for version in versions) or "none"
        raise Refused(f"there is no forward model of that name; on record: {known}")
    return found


@dg.job(description="Let a model version answer, unless it is worse than the active one; a dry run by default.")
def activate_model() -> None:
    """Activate one model version."""
    switch_model()


class TakeoverConfig(dg.Config):
    """Which old database is taken over."""

    path: str = Field(description="Path of the SQLite file on this machine; it is only read")
    time_zone: str = Field(default=SEOUL.key, description="Zone of its times, which name none")
    dry_run: bool = Field(default=True, description="Only count the rows of the old tables; nothing is written")


@dg.op(pool=simulation.POOL)
def take_over(context: dg.OpExecutionContext, config: TakeoverConfig, postgres: Postgres) -> None:
    """Take the rows of an old database over, from where an earlier run stopped, and prove that none was lost."""
    with sqlite_source.opened(Path(config.path)) as source:
        if config.dry_run:
            counts = {old.name: sum(1 for _ in source.rows(old)) for old in takeover.TABLES}
            context.log.info(f"dry run: {counts}; series besides. Take over with `dry_run: false`")
            return
        with postgres.connect(Role.WRITER, work="open takeover") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject=sqlite_takeover.SUBJECT,
                source=source.sha256[:12],
                mode=Mode.FULL,
                day=ledger.today(connection),
                dagster_run_id=context.run.run_id,
            )
        with ledger.watch(postgres, attempt):
            proofs = sqlite_takeover.Takeover(postgres, source, attempt, ZoneInfo(config.time_zone)).run()
            with publishing.locked(postgres, attempt) as connection:
                ledger.record(
                    connection,
                    attempt.token,
                    received_rows=sum(proof.source_rows for proof in proofs),
                    inserted_rows=sum(proof.rows for proof in proofs),
                    quarantined_rows=sum(proof.quarantined_rows for proof in proofs),
                    unchanged_rows=0,
                    details={proof.table: proof.digest for proof in proofs},
                )
    for proof in proofs:
        earlier = f"; proved {proof.proved_before:%Y-%m-%d}, archived since" if proof.proved_before else ""
        context.log.info(
            f"{proof.table}: {proof.source_rows:,} old rows = {proof.rows:,} taken + {proof.quarantined_rows:,} in"
            f" quarantine, digest {proof.digest[:16]} on both sides{earlier}"
        )


@dg.job(description="Take an old SQLite database over, resumable, with row and digest proof; a dry run by default.")
def migrate_from_sqlite() -> None:
    """Take one old database over."""
    take_over()


JOBS = (simulation_intake, firing_intake, compare_curves, activate_model, migrate_from_sqlite)
