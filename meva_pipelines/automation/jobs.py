"""What can be started: the syncs and the rollback of the registry. When they start is in `schedules`."""

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import aed
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import ledger, published_runs, publishing, registry_deletion, registry_rollback
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_rollback import Undone
from meva_pipelines.schema.roles import Role

REGISTRY = dg.AssetSelection.groups("aed") | dg.AssetSelection.groups("ops")


def _by(intake: dg.AssetKey) -> dg.AssetSelection:
    """Return the assets of a run that takes its records from one intake."""
    return REGISTRY - dg.AssetSelection.assets(*(key for key in aed.INTAKES if key != intake))


aed_incremental_sync = dg.define_asset_job(
    "aed_incremental_sync",
    selection=_by(aed.RAW_RECORDS),
    description="Publish what changed in the registry on a Korean day; falls back to everything where it must.",
    config={"ops": {"aed__raw_records": {"config": {"mode": "incremental"}}}},
)

aed_full_sync = dg.define_asset_job(
    "aed_full_sync",
    selection=_by(aed.RAW_RECORDS),
    description="Fetch the whole registry, publish what differs and count absent devices as missing.",
    config={"ops": {"aed__raw_records": {"config": {"mode": "full"}}}},
)

aed_export_sync = dg.define_asset_job(
    "aed_export_sync",
    selection=_by(aed.EXPORT_FILES),
    description="Publish what differs in the export files that lie in the landing zone.",
)


aed_replay_quarantine = dg.define_asset_job(
    "aed_replay_quarantine",
    selection=_by(aed.REPLAYED_RECORDS),
    description="Try quarantined records again after a fix, by rule or by attempt, through the same audit.",
)


class RollbackConfig(dg.Config):
    """Which published sync to take back."""

    token: int = Field(description="Attempt to roll back: `attempt` in the metadata of aed/aed_data", ge=1)
    dry_run: bool = Field(default=True, description="Only say what would change; nothing is written")


@dg.op(pool=aed.POOL)
def roll_back_sync(context: dg.OpExecutionContext, config: RollbackConfig, postgres: Postgres) -> None:
    """Restore the before-images of a published sync byte for byte; the rollback itself can be rolled back."""
    with postgres.connect(Role.WRITER, work="plan rollback") as connection:
        target = ledger.attempt(connection, config.token)
        if target is None or target.subject != aed.SUBJECT:
            raise Refused(f"there is no sync {config.token} of {aed.SUBJECT}")
        allowed = published_runs.undoable(connection, subject=aed.SUBJECT, source=target.source)
        if config.token not in allowed:
            raise Refused(
                f"sync {config.token} cannot be rolled back now: newer syncs stand on it. "
                f"Possible: {', '.join(map(str, sorted(allowed))) or 'none'}"
            )
        touched = registry_rollback.touched(connection, source=target.source, target=config.token)
    if config.dry_run:
        context.log.info(f"dry run: rolling back {config.token} would touch {touched:,} rows; nothing was written")
        return
    undone = _undo(postgres, target, context.run.run_id)
    context.log.info(f"rolled back {config.token}: {undone}")


def _undo(postgres: Postgres, target: ledger.Attempt, run_id: str) -> Undone:
    with postgres.connect(Role.WRITER, work="open rollback") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=target.subject,
            source=target.source,
            mode=Mode.ROLLBACK,
            day=target.day,
            dagster_run_id=run_id,
            target_token=target.token,
        )
    with ledger.watch(postgres, attempt), publishing.locked(postgres, attempt) as connection:
        if target.token not in published_runs.undoable(connection, subject=target.subject, source=target.source):
            raise Refused(f"sync {target.token} can no longer be rolled back: another run published meanwhile")
        return registry_rollback.roll_back(
            connection,
            source=target.source,
            target=target.token,
            token=attempt.token,
            now=ledger.now(connection),
        )


@dg.job(description="Take a published sync back, byte for byte; a dry run by default.")
def aed_rollback() -> None:
    """Roll back one published sync."""
    roll_back_sync()


class DeletionConfig(dg.Config):
    """Which suspected devices may be tombstoned, and how many at most."""

    source: str = Field(default="data_go_kr", description="Registry source whose devices were absent")
    ceiling: int = Field(default=0, ge=0, description="Largest number of devices approved")
    approved_by: str = Field(default="", description="Who approves; required unless it is a dry run")
    dry_run: bool = Field(default=True, description="Only show the plan; nothing is written")


@dg.op(pool=aed.POOL)
def tombstone_devices(context: dg.OpExecutionContext, config: DeletionConfig, postgres: Postgres) -> None:
    """Mark devices that were absent for a week or more as deleted; the rows stay, and reappearance restores them."""
    with postgres.connect(Role.WRITER, work="plan deletion") as connection:
        plan = registry_deletion.plan(connection, subject=aed.SUBJECT, source=config.source)
    context.log.info(f"plan: {plan.rows:,} devices suspected since {plan.oldest_suspicion}; per sido {plan.per_sido}")
    if config.dry_run:
        context.log.info("dry run: nothing was written; approve with `ceiling`, `approved_by` and `dry_run: false`")
        return
    if not config.approved_by:
        raise Refused("approved_by is empty: a deletion names the person who approves it")
    done = _tombstone(postgres, config, context.run.run_id)
    context.log.info(f"{done.rows:,} devices are marked deleted, approved by {config.approved_by}")


def _tombstone(postgres: Postgres, config: DeletionConfig, run_id: str) -> registry_deletion.Plan:
    with postgres.connect(Role.WRITER, work="open deletion") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=aed.SUBJECT,
            source=config.source,
            mode=Mode.DELETION,
            day=ledger.today(connection),
            dagster_run_id=run_id,
        )
    with ledger.watch(postgres, attempt), publishing.locked(postgres, attempt) as connection:
        return registry_deletion.execute(
            connection,
            attempt,
            ceiling=config.ceiling,
            approved_by=config.approved_by,
            now=ledger.now(connection),
        )


@dg.job(description="Tombstone devices whose deletion is suspected, up to an approved ceiling; a dry run by default.")
def approve_deletions() -> None:
    """Approve the deletion of devices that vanished."""
    tombstone_devices()


JOBS = (aed_incremental_sync, aed_full_sync, aed_export_sync, aed_replay_quarantine, aed_rollback, approve_deletions)
