"""Model versions against the scatter of repeated firings, evaluation by evaluation. Nothing is activated here."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from meva_pipelines.assets import pictures, tables
from meva_pipelines.assets.simulation import GROUP, POOL
from meva_pipelines.assets.simulation_comparisons import PT_COMPARISONS
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.domain.pressure import scorecard
from meva_pipelines.domain.pressure.comparison import Metric
from meva_pipelines.resources import failpoints, ledger, simulation_scorecard, simulation_totals
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.published_curves import Curves
from meva_pipelines.resources.simulation_scorecard import Evaluation
from meva_pipelines.schema import mgg_records
from meva_pipelines.schema.roles import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL_SCORECARD = tables.key(mgg_records.MODEL_SCORECARD)
_DRAWN = (Metric.RMSE, Metric.PEAK_PRESSURE_DIFF, Metric.ISO_OVERALL)


@dg.asset(
    key=MODEL_SCORECARD,
    description="Forward models against the scatter of repeated firings, recipe by recipe, and what may become active.",
    deps=[PT_COMPARISONS],
    group_name=GROUP,
    kinds={"postgres"},
    owners=[tables.OWNER],
    metadata={
        "dagster/table_name": mgg_records.MODEL_SCORECARD.fullname,
        "dagster/column_schema": tables.column_schema(mgg_records.MODEL_SCORECARD),
    },
    pool=POOL,
)
def model_scorecard(
    context: dg.AssetExecutionContext, postgres: Postgres, store: ObjectStore
) -> dg.MaterializeResult[None]:
    """Compare repeats with each other, judge every model on record by them, and append what was found."""
    left_out = list[MevaError]()
    with (
        postgres.connect(Role.WRITER, work="compare repeats") as connection,
        postgres.connect(Role.READER, work="read curves") as reading,
    ):
        repeats = simulation_scorecard.compare_repeats(connection, Curves(reading, ColdFiles(store)), left_out)
    if left_out:
        context.log.warning(f"{len(left_out)} pairs of repeats were left out, the first because: {left_out[0]}")
    with postgres.connect(Role.WRITER, work="scorecard") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('mgg.model_scorecard', 0))")
        evaluation = simulation_scorecard.evaluate(connection, now=ledger.now(connection))
        written = simulation_scorecard.write(connection, evaluation)
        failpoints.reach(Point.SIMULATION_SCORED)
        count = simulation_totals.of_table(connection, mgg_records.MODEL_SCORECARD)
    for name, decision in evaluation.decisions.items():
        context.log.info(f"{name}: {decision.verdict}; {'; '.join(decision.reasons[:5])}")
    trends = {
        metric: scorecard.trend(evaluation.observations, metric, [version.name for version in evaluation.versions])
        for metric in scorecard.DECISIVE
    }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": count,
            "written_rows": written,
            "compared_repeats": repeats,
            "repeats_left_out": len(left_out),
            "comparisons": len(evaluation.observations),
            "outside_corridor": sum(standing.is_inside is False for standing in evaluation.standings),
            "decisions": dg.MetadataValue.md(tables.markdown(_decisions(evaluation))),
            "trend": dg.MetadataValue.md(tables.markdown(_trend(trends))),
            **({"losses": _picture(evaluation)} if evaluation.standings else {}),
        }
    )


def _decisions(evaluation: Evaluation) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for version in evaluation.versions:
        decision = evaluation.decisions.get(version.name)
        baseline = evaluation.baseline(version)
        lines.append(
            {
                "model": version.name,
                "beside": "" if baseline is None else baseline.name,
                "verdict": "active" if decision is None else decision.verdict.value,
                "why": "" if decision is None else "; ".join(decision.reasons[:3]),
            }
        )
    return lines


def _trend(trends: Mapping[Metric, Sequence[scorecard.Step]]) -> list[dict[str, object]]:
    return [
        {
            "model": step.version,
            "metric": metric.value,
            "recipes": step.cells,
            "firings": step.firings,
            "mean loss": round(step.loss, 4),
            "change": None if step.change is None else round(step.change, 4),
            "in scatter": None if step.change_in_scatter is None else round(step.change_in_scatter, 1),
        }
        for metric, steps in trends.items()
        for step in steps
    ]


def _picture(evaluation: Evaluation) -> dg.MarkdownMetadataValue:
    """Draw the mean loss of every version in every recipe beside the corridor of the repeats."""
    cells = sorted({standing.cell for standing in evaluation.standings})

    def draw(axes: Sequence["Axes"]) -> None:
        for plane, metric in zip(axes, _DRAWN, strict=True):
            mine = [standing for standing in evaluation.standings if standing.metric is metric]
            corridors = {standing.cell: standing.corridor for standing in mine if standing.corridor is not None}
            where = [cells.index(cell) for cell in corridors]
            plane.bar(where, list(corridors.values()), color="0.85", label="between repeats")
            for version in evaluation.versions:
                own = [standing for standing in mine if standing.version == version.name]
                plane.plot([cells.index(s.cell) for s in own], [s.loss for s in own], "o", label=version.name)
            plane.set(title=f"loss by {metric.value}", xlabel="recipe")
        axes[0].legend(frameon=False, fontsize=7)

    return pictures.drawn("losses of the models beside repeats", draw, size=(10.0, 3.0), columns=len(_DRAWN))
