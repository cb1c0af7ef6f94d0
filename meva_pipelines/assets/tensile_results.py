"""What follows from published tests: properties to ISO 6892-1, comparison with standard values, and the report."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import attempts, derived, tables, tensile_pictures
from meva_pipelines.assets.tensile import DAYS, POOL
from meva_pipelines.domain.tensile.comparison import Outcome
from meva_pipelines.domain.tensile.evaluation.evaluator import EVALUATOR_VERSION
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe, SlopeMethod
from meva_pipelines.quality.tensile_suites import COMPARISONS, RESULTS
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    ledger,
    tensile_comparisons,
    tensile_evaluations,
    tensile_results,
    tensile_standards,
)
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.resources.tensile_results import Change, Test
from meva_pipelines.schema import meva as schema
from meva_pipelines.schema import meva_results
from meva_pipelines.schema.roles import Role

SIMULATION_RESULT = tables.key(schema.SIMULATION_RESULT)
STANDARD_COMPARISON = tables.key(meva_results.STANDARD_COMPARISON)
_UNCHANGED = "no_published_number_changes_unasked"
_SOURCE = "evaluator"
_ROWS_SHOWN = 30
_LOOKED_AT = 40
_KINDS = 3


class EvaluationConfig(dg.Config):
    """How the tests of the partition are evaluated."""

    slope: SlopeMethod = Field(
        default=SlopeMethod.STRESS_BAND,
        description="How the elastic line is found; what turns out to be no metal is evaluated by the strain band",
    )
    again: bool = Field(default=False, description="Also tests that this version of the formulas evaluated before")
    replaces: bool = Field(
        default=False,
        description="Publish results that change published numbers of the same test; otherwise they are only reported",
    )
    processes: int = Field(default=1, ge=1, le=16, description="Processes that evaluate, for backfills of the history")


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.SIMULATION_RESULT,
            group="tensile",
            description="Properties of every test to ISO 6892-1 with uncertainty, or the reason why one is withheld.",
            deps=[tables.key(schema.TENSILE_TEST), tables.key(schema.TENSILE_DATA)],
            partitions_def=DAYS,
        )
    ],
    check_specs=[
        *derived.check_specs([RESULTS], SIMULATION_RESULT),
        dg.AssetCheckSpec(
            _UNCHANGED,
            asset=SIMULATION_RESULT,
            description="No result would change a published number, or the run was asked to replace it.",
        ),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def simulation_result(
    context: dg.AssetExecutionContext, config: EvaluationConfig, postgres: Postgres, judge: Judge
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Evaluate the tests that were received in the partition and publish what does not contradict itself.

    Results that would change a published number are reported, and published only when the run says so.
    """
    recipe = Recipe(slope=config.slope)
    days = context.partition_key_range
    with postgres.connect(Role.WRITER, work="open evaluation") as connection:
        tests = tensile_results.waiting(
            connection, evaluator=EVALUATOR_VERSION, first=days.start, last=days.end, again=config.again
        )
        attempt = ledger.open_attempt(
            connection,
            subject=tensile_results.SUBJECT,
            source=_SOURCE,
            mode=Mode.FULL if config.again else Mode.INCREMENTAL,
            day=attempts.day_of(context),
            dagster_run_id=context.run.run_id,
        )
    rows = tensile_results.staged(attempt)
    changes: list[Change] = []
    published = tensile_results.Published(0, 0)
    with ledger.watch(postgres, attempt):
        with postgres.connect(Role.WRITER, work=f"stage results {attempt.token}") as connection:
            evaluated = tensile_evaluations.evaluated(postgres, tests, recipe, processes=config.processes)
            rows.stage(connection, map(tensile_results.values, evaluated))
            implausible = tensile_results.set_aside(connection, rows)
            changes = tensile_results.changes(connection, rows)
        if len(tests) > implausible:
            yield from derived.judge_rows(postgres, judge, rows, [RESULTS], SIMULATION_RESULT)
            published = _publish_results(postgres, rows, is_replacing=config.replaces)
        else:
            yield from derived.nothing_to_judge(postgres, rows, [RESULTS], SIMULATION_RESULT)
    yield dg.AssetCheckResult(
        asset_key=SIMULATION_RESULT,
        check_name=_UNCHANGED,
        passed=not changes or config.replaces,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(changes)} published numbers would change; run again with `replaces: true` to accept them"
        if changes
        else "no published number would change",
    )
    with postgres.connect(Role.READER, work="report results") as connection:
        shown = tensile_results.shown(connection, [test.test_id for test in tests], limit=_ROWS_SHOWN)
        drawn = _pictures(connection, tests, recipe)
    yield dg.MaterializeResult(
        asset_key=SIMULATION_RESULT,
        metadata={
            "dagster/partition_row_count": len(tests),
            "attempt": attempt.token,
            "evaluator": EVALUATOR_VERSION,
            "recipe": recipe.described(),
            "evaluated_tests": len(tests),
            "new_results": published.inserted,
            "replaced_results": published.replaced,
            "implausible_tests": implausible,
            "results": dg.MetadataValue.md(tables.markdown(shown)),
            **drawn,
            "would_change": dg.MetadataValue.md(tables.markdown([_change(c) for c in changes[:_ROWS_SHOWN]])),
        },
    )


def _pictures(
    connection: psycopg.Connection, tests: Sequence[Test], recipe: Recipe
) -> dict[str, dg.MarkdownMetadataValue]:
    """Draw the first test of each kind in the run: smooth yielding, a yield drop, no metal."""
    found: dict[str, dg.MarkdownMetadataValue] = {}
    for test in tests[:_LOOKED_AT]:
        evaluation = tensile_evaluations.evaluation(connection, test, recipe)
        drop = "curve_with_yield_drop" if evaluation.is_discontinuous else "curve_that_yields_smoothly"
        kind = drop if evaluation.is_metal else "curve_of_no_metal"
        if kind not in found and (picture := tensile_pictures.evaluated(test.specimen.name, evaluation)):
            found[kind] = picture
        if len(found) == _KINDS:
            break
    return found


def _publish_results(postgres: Postgres, rows: StagedRows, *, is_replacing: bool) -> tensile_results.Published:
    with derived.publication(postgres, rows, [RESULTS]) as connection:
        published = tensile_results.publish(connection, rows, ledger.now(connection), is_replacing=is_replacing)
        ledger.record(connection, rows.attempt.token, inserted_rows=published.inserted, updated_rows=published.replaced)
    return published


def _change(change: Change) -> dict[str, Any]:
    return {
        "test": change.name,
        "property": change.column,
        "published": change.published,
        "evaluated": change.evaluated,
    }


@dg.multi_asset(
    specs=[
        tables.spec(
            meva_results.STANDARD_COMPARISON,
            group="tensile",
            description="Measured properties beside standard values: passed, failed, or why they cannot be compared.",
            deps=[SIMULATION_RESULT, tables.key(schema.STANDARD_PROPERTY)],
        )
    ],
    check_specs=derived.check_specs([COMPARISONS], STANDARD_COMPARISON),
    pool=POOL,
)
def standard_comparison(
    context: dg.AssetExecutionContext, postgres: Postgres, judge: Judge
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Compare every published test with the approved standard values of its material, condition and temperature."""
    with postgres.connect(Role.WRITER, work="open comparison") as connection:
        approved = tensile_standards.approved(connection)
        attempt = ledger.open_attempt(
            connection,
            subject=tensile_comparisons.SUBJECT,
            source=_SOURCE,
            mode=Mode.FULL,
            day=ledger.today(connection),
            dagster_run_id=context.run.run_id,
        )
    rows = tensile_comparisons.staged(attempt)
    changed = 0
    with ledger.watch(postgres, attempt):
        with (
            postgres.connect(Role.READER, work="read results") as reading,
            postgres.connect(Role.WRITER, work=f"stage comparisons {attempt.token}") as connection,
        ):
            staged = rows.stage(
                connection,
                (
                    tensile_comparisons.values(evaluated.sim_id, found)
                    for evaluated in tensile_comparisons.newest(reading)
                    for found in tensile_comparisons.compared(evaluated, approved)
                ),
            )
        if staged:
            yield from derived.judge_rows(postgres, judge, rows, [COMPARISONS], STANDARD_COMPARISON)
            changed = _publish_comparisons(postgres, rows)
        else:
            yield from derived.nothing_to_judge(postgres, rows, [COMPARISONS], STANDARD_COMPARISON)
    with postgres.connect(Role.READER, work="report comparisons") as connection:
        outcomes = tensile_comparisons.outcomes(connection)
        worst = tensile_comparisons.worst(connection, limit=_ROWS_SHOWN)
    yield dg.MaterializeResult(
        asset_key=STANDARD_COMPARISON,
        metadata={
            "summary": dg.MetadataValue.md(_outcomes(outcomes)),
            "dagster/row_count": sum(outcomes.values()),
            "attempt": attempt.token,
            "approved_standards": len(approved),
            "changed_comparisons": changed,
            **{outcome.value.replace(" ", "_"): outcomes.get(outcome, 0) for outcome in Outcome},
            "worst": dg.MetadataValue.md(tables.markdown(worst)),
        },
    )


def _publish_comparisons(postgres: Postgres, rows: StagedRows) -> int:
    with derived.publication(postgres, rows, [COMPARISONS]) as connection:
        changed = tensile_comparisons.publish(connection, rows, ledger.now(connection))
        ledger.record(connection, rows.attempt.token, updated_rows=changed)
    return changed


def _outcomes(outcomes: dict[Outcome, int]) -> str:
    counts: Sequence[str] = [f"{outcomes.get(outcome, 0):,} {outcome}" for outcome in Outcome]
    return f"**{', '.join(counts)}.** Tolerances: E ±5 %, yield ±3 %, tensile ±3 %, elongation ±5 %."
