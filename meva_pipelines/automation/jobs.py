"""What can be started: the syncs and the rollback of the registry. When they start is in `schedules`."""

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import aed
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import ledger, publishing, registry_rollback
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_rollback import Undone
from meva_pipelines.schema.roles import Role

SYNCED = dg.AssetSelection.groups("aed") | dg.AssetSelection.groups("ops")

aed_incremental_sync = dg.define_asset_job(
    "aed_incremental_sync",
    selection=SYNCED,
    description="Publish what changed in the registry on a Korean day; falls back to everything where it must.",
    config={"ops": {"aed__raw_records": {"config": {"mode": "incremental"}}}},
)

aed_full_sync = dg.define_asset_job(
    "aed_full_sync",
    selection=SYNCED,
    description="Fetch the whole registry, publish what differs and count absent devices as missing.",
    config={"ops": {"aed__raw_records": {"config": {"mode": "full"}}}},
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
        allowed = registry_rollback.undoable_runs(connection, subject=aed.SUBJECT, source=target.source)
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
        if target.token not in registry_rollback.undoable_runs(
            connection, subject=target.subject, source=target.source
        ):
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


JOBS = (aed_incremental_sync, aed_full_sync, aed_rollback)
