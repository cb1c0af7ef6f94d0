"""What can be started for the laboratory: intake, evaluation, and what people decide of conflicts and publications."""

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import tables, tensile, tensile_cache, tensile_report, tensile_results
from meva_pipelines.assets import tensile_registers as registers
from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.tensile.versions import Resolution
from meva_pipelines.resources import ledger, published_runs, publishing, tensile_disputes, tensile_resolution
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_batch import Transaction
from meva_pipelines.schema import meva as schema
from meva_pipelines.schema.roles import Role

_PUBLISHED = dg.AssetSelection.assets(
    tensile.UPLOADS, tables.key(schema.TENSILE_TEST), tables.key(schema.TENSILE_DATA), tensile_results.SIMULATION_RESULT
)
_COMPARED = dg.AssetSelection.assets(
    tensile_results.STANDARD_COMPARISON, tensile_report.REPORT, tensile_cache.STANDARDS_KEY, tensile_cache.RECENT_KEY
)
_REGISTERS = dg.AssetSelection.assets(
    registers.REGISTERS,
    *map(tables.key, (schema.STANDARD_PROPERTY, schema.MATERIAL, schema.TESTING_MACHINE, schema.MACHINE_CALIBRATION)),
)

tensile_intake = dg.define_asset_job(
    "tensile_intake",
    selection=_PUBLISHED,
    description="Take what machines dropped into the landing zone, publish the tests and evaluate them.",
)

tensile_replay_quarantine = dg.define_asset_job(
    "tensile_replay_quarantine",
    selection=_PUBLISHED,
    description="Try quarantined uploads again after a fix, by rule, through the same audit.",
    config={"ops": {"tensile__uploads": {"config": {"replays": True}}}},
)

tensile_evaluation = dg.define_asset_job(
    "tensile_evaluation",
    selection=dg.AssetSelection.assets(tensile_results.SIMULATION_RESULT),
    description="Evaluate the tests of a range of days again and report which published numbers would change.",
    config={"ops": {"simulation_result": {"config": {"again": True}}}},
)

tensile_comparison = dg.define_asset_job(
    "tensile_comparison",
    selection=_COMPARED,
    description="Compare every evaluated test with the approved standard values; report and caches follow.",
)

tensile_registers = dg.define_asset_job(
    "tensile_registers",
    selection=_REGISTERS | _COMPARED,
    description="Refresh standard values and calibrations from the registers, and compare every test anew.",
)


class ResolutionConfig(dg.Config):
    """What becomes of a conflict between two contents of one test."""

    conflict_id: int = Field(description="conflict_id in meva.data_conflict_log; a dry run lists them all", ge=0)
    resolution: Resolution = Field(
        default=Resolution.KEEP,
        description="keep: the standing content stays, replace: the waiting one is the next version, keep_both: the "
        "waiting one becomes a test of its own",
    )
    decided_by: str = Field(default="", description="Who decides; required unless it is a dry run")
    dry_run: bool = Field(default=True, description="Only list the conflicts; nothing is written")


@dg.op(pool=tensile.POOL)
def resolve_conflict(context: dg.OpExecutionContext, config: ResolutionConfig, postgres: Postgres) -> None:
    """Carry out what a person decided of a conflict; a rollback takes it back."""
    if config.dry_run:
        with postgres.connect(Role.READER, work="list conflicts") as connection:
            for dispute in tensile_disputes.open_ones(connection):
                told = "; ".join(f"{d['fact']}: {d['standing']} / {d['waiting']}" for d in dispute.differences)
                context.log.info(
                    f"conflict {dispute.conflict_id}, {dispute.name}: {dispute.standing_file} stands, "
                    f"{dispute.waiting_file} waits; {told}"
                )
        context.log.info("dry run: nothing was written; decide with `resolution`, `decided_by` and `dry_run: false`")
        return
    if not config.decided_by.strip():
        raise Refused("decided_by is empty: a decision names the person who makes it")
    attempt = _open(postgres, context.run.run_id, Mode.REPLAY)
    with ledger.watch(postgres, attempt), publishing.locked(postgres, attempt) as connection:
        transaction = Transaction(connection, attempt.token, ledger.now(connection))
        done = tensile_resolution.resolve(transaction, config.conflict_id, config.resolution, by=config.decided_by)
    second = f"; the other content is {done.second_name} now" if done.second_name else ""
    context.log.info(f"conflict {config.conflict_id} of {done.name}: {config.resolution}{second}")


@dg.job(description="Decide a conflict between two contents of a test: keep, replace, keep_both; a dry run by default.")
def resolve_tensile_conflict() -> None:
    """Resolve one conflict."""
    resolve_conflict()


class TensileRollbackConfig(dg.Config):
    """Which published batch or decision to take back."""

    token: int = Field(description="Attempt to roll back: `attempt` in the metadata of meva/tensile_test", ge=1)
    dry_run: bool = Field(default=True, description="Only say whether it can be rolled back; nothing is written")


@dg.op(pool=tensile.POOL)
def roll_back_tests(context: dg.OpExecutionContext, config: TensileRollbackConfig, postgres: Postgres) -> None:
    """Restore the tests as they were before a publication, byte for byte; the rollback itself can be rolled back."""
    with postgres.connect(Role.WRITER, work="plan rollback") as connection:
        allowed = published_runs.undoable(connection, subject=tensile.SUBJECT, source=tensile.SOURCE)
    if config.token not in allowed:
        raise Refused(
            f"attempt {config.token} cannot be rolled back now. "
            f"Possible: {', '.join(map(str, sorted(allowed))) or 'none'}"
        )
    if config.dry_run:
        context.log.info(f"dry run: attempt {config.token} can be rolled back; nothing was written")
        return
    attempt = _open(postgres, context.run.run_id, Mode.ROLLBACK, target=config.token)
    with ledger.watch(postgres, attempt), publishing.locked(postgres, attempt) as connection:
        transaction = Transaction(connection, attempt.token, ledger.now(connection))
        undone = tensile_resolution.roll_back(transaction, config.token)
    context.log.info(f"rolled back {config.token}: {undone}")


@dg.job(description="Take a published batch of tests or a decision back, byte for byte; a dry run by default.")
def tensile_rollback() -> None:
    """Roll back one publication."""
    roll_back_tests()


def _open(postgres: Postgres, run_id: str, mode: Mode, *, target: int | None = None) -> Attempt:
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        return ledger.open_attempt(
            connection,
            subject=tensile.SUBJECT,
            source=tensile.SOURCE,
            mode=mode,
            day=ledger.today(connection),
            dagster_run_id=run_id,
            target_token=target,
        )


JOBS = (
    tensile_intake,
    tensile_replay_quarantine,
    tensile_evaluation,
    tensile_comparison,
    tensile_registers,
    resolve_tensile_conflict,
    tensile_rollback,
)
