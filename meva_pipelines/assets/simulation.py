"""Published simulations and firings, and what their assets share.

Uploads (`simulation_uploads`) are published here; comparisons and scorecards are next door. Each body shows what is
read, decided and written; statements are in `resources/simulation_*`, rules in `quality`, decisions in `domain`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from sqlalchemy import Table

from meva_pipelines.assets import attempts, derived, tables
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.simulation.documents import Kind
from meva_pipelines.quality.simulation_suites import RESULT_SUITES
from meva_pipelines.resources import (
    landing_ledger,
    ledger,
    simulation_publishing,
    simulation_staging,
    simulation_totals,
)
from meva_pipelines.resources.ledger import Attempt, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_publishing import Published
from meva_pipelines.schema import mgg, mgg_curves
from meva_pipelines.schema.roles import Role

GROUP = "simulation"
SOURCE = "landing"
POOL = "mgg"
DAYS = dg.DailyPartitionsDefinition(start_date="2025-10-28", timezone=SEOUL.key, end_offset=1)
"""Partition D holds what was received on the Korean day D; today's is there already, because files come by day."""

RETENTION_POLICIES = tables.key(mgg.RETENTION_POLICIES)


@dataclass(frozen=True, slots=True)
class Flow:
    """One way in: a folder of the landing zone, what may lie in it, and the tables that it ends in.

    `subject` is what an attempt writes, `files` that of its files in the ingest ledger.
    """

    word: str
    folder: str
    kinds: tuple[Kind, ...]
    published: tuple[Table, ...]

    @property
    def subject(self) -> str:
        """The table that stands for the whole publication."""
        return self.published[0].fullname

    @property
    def files(self) -> str:
        """Subject of the files in the ingest ledger."""
        return f"mgg.{self.word}_uploads"

    @property
    def uploads(self) -> dg.AssetKey:
        """The asset that takes, stages and judges."""
        return dg.AssetKey(["mgg", f"{self.word}_uploads"])


SIMULATIONS = Flow(
    "simulation",
    "simulations",
    (Kind.FORWARD, Kind.REVERSE, Kind.MODEL, Kind.REGISTER),
    (
        mgg_curves.FORWARD_SIMULATIONS,
        mgg_curves.REVERSE_SIMULATIONS,
        mgg_curves.SIMULATION_TIME_SERIES,
        mgg.WORK_ORDERS,
    ),
)
FIRINGS = Flow(
    "firing",
    "firings",
    (Kind.FIRING,),
    (mgg_curves.TEST_RESULTS, mgg_curves.TEST_TIME_SERIES),
)
FLOWS = (SIMULATIONS, FIRINGS)

_DESCRIPTIONS = {
    mgg_curves.FORWARD_SIMULATIONS: "Forward simulations with their inputs, their model and the peak of their curve.",
    mgg_curves.REVERSE_SIMULATIONS: "Reverse simulations: the amounts that a measured curve speaks for.",
    mgg_curves.SIMULATION_TIME_SERIES: "Simulated pressure curves, point by point, in quarters.",
    mgg.WORK_ORDERS: "Work orders, with the people, catalogues and devices that came in the same registers.",
    mgg_curves.TEST_RESULTS: "Firings with their recipe's work order, device and day.",
    mgg_curves.TEST_TIME_SERIES: "Measured pressure curves, point by point, in quarters.",
}


def _specs(flow: Flow) -> list[dg.AssetSpec]:
    return [
        tables.spec(
            table,
            group=GROUP,
            description=_DESCRIPTIONS[table],
            deps=[flow.uploads, RETENTION_POLICIES],
            partitions_def=DAYS,
        )
        for table in flow.published
    ]


@dg.multi_asset(specs=_specs(SIMULATIONS), backfill_policy=dg.BackfillPolicy.single_run(), pool=POOL)
def published_simulations(
    context: dg.AssetExecutionContext, postgres: Postgres, store: ObjectStore
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish the judged simulations and registers of the day in one transaction."""
    yield from _published(context, SIMULATIONS, postgres, store)


@dg.multi_asset(specs=_specs(FIRINGS), backfill_policy=dg.BackfillPolicy.single_run(), pool=POOL)
def published_firings(
    context: dg.AssetExecutionContext, postgres: Postgres, store: ObjectStore
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish the judged firings of the day in one transaction."""
    yield from _published(context, FIRINGS, postgres, store)


def _published(
    context: dg.AssetExecutionContext, flow: Flow, postgres: Postgres, store: ObjectStore
) -> Iterator[dg.MaterializeResult[None]]:
    with postgres.connect(Role.WRITER, work="find batch") as connection:
        attempt = attempts.to_publish(
            connection,
            subject=flow.subject,
            day=attempts.day_of(context),
            run_id=context.run.run_id,
            staged=flow.uploads,
        )
    if attempt.status is Status.STAGED:
        published = _publish(postgres, attempt, flow, store)
        context.log.info(f"published attempt {attempt.token}: {published}")
    with postgres.connect(Role.READER, work="report publication") as connection:
        figures = simulation_totals.of_attempt(connection, attempt.token)
        totals = {table: simulation_totals.of_table(connection, table) for table in flow.published}
    for table in flow.published:
        yield dg.MaterializeResult(
            asset_key=tables.key(table),
            metadata={"dagster/row_count": totals[table], "attempt": attempt.token, **figures},
        )


def _publish(postgres: Postgres, attempt: Attempt, flow: Flow, store: ObjectStore) -> Published:
    rows = simulation_staging.rows_of(attempt)
    with ledger.watch(postgres, attempt), derived.publication(postgres, rows, RESULT_SUITES) as connection:
        published = simulation_publishing.publish(connection, rows, store)
        simulation_totals.record(connection, rows, published)
        landing_ledger.finish(
            connection,
            simulation_staging.keys(connection, rows),
            files=flow.files,
            outcome="published",
            token=attempt.token,
        )
    with postgres.connect(Role.WRITER, work=f"clean {attempt.token}") as connection:
        simulation_staging.drop_abandoned(connection, store, subject=flow.subject)
    return published


@dg.asset(
    key=RETENTION_POLICIES,
    description="How long the rows of each table stay hot, and what becomes of them then (seed 004).",
    group_name=GROUP,
    kinds={"postgres"},
    owners=[tables.OWNER],
    metadata={
        "dagster/table_name": mgg.RETENTION_POLICIES.fullname,
        "dagster/column_schema": tables.column_schema(mgg.RETENTION_POLICIES),
    },
    pool=POOL,
)
def retention_policies(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Enter the policies that are missing; one that was changed by a person stays as it is."""
    with postgres.connect(Role.WRITER, work="retention policies") as connection:
        entered = simulation_totals.enter_policies(connection)
        policies = simulation_totals.policies(connection)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(policies),
            "entered_rows": entered,
            "policies": dg.MetadataValue.md(tables.markdown(policies)),
        }
    )
