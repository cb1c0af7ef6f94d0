"""Simulations beside firings: every new firing with every simulation of its work order, judged and published."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import psycopg
from pydantic import Field

from meva_pipelines.assets import derived, pictures, tables
from meva_pipelines.assets.simulation import GROUP, POOL
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.domain.pressure.comparison import Alignment
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines.quality.simulation_suites import COMPARISONS
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    failpoints,
    ledger,
    published_curves,
    simulation_comparisons,
    simulation_totals,
    staging,
)
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.published_curves import Curves, Fingerprinted
from meva_pipelines.resources.simulation_comparisons import Pair
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema import mgg_curves, mgg_records
from meva_pipelines.schema.roles import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PT_COMPARISONS = tables.key(mgg_records.PT_COMPARISONS)
SUITES = (COMPARISONS,)
SOURCE = "published curves"

_POINTS_SHOWN = 400
_MOST_DRAWN = 12
_SAID = 5


class ComparisonConfig(dg.Config):
    """How much one run compares."""

    most_pairs: int = Field(
        default=5_000,
        ge=1,
        le=1_000_000,
        description="Most pairs of one run, the newest firings first; a pair takes about a tenth of a second",
    )


@dg.asset(
    key=PT_COMPARISONS,
    description="Simulations beside firings: peak, RMSE, correlation, ISO/TS 18571 and more, raw and at ignition.",
    deps=[tables.key(mgg_curves.SIMULATION_TIME_SERIES), tables.key(mgg_curves.TEST_TIME_SERIES)],
    group_name=GROUP,
    kinds={"postgres"},
    owners=[tables.OWNER],
    metadata={
        "dagster/table_name": mgg_records.PT_COMPARISONS.fullname,
        "dagster/column_schema": tables.column_schema(mgg_records.PT_COMPARISONS),
    },
    check_specs=derived.check_specs(SUITES, PT_COMPARISONS),
    pool=POOL,
)
def pt_comparisons(
    context: dg.AssetExecutionContext, config: ComparisonConfig, postgres: Postgres, judge: Judge, store: ObjectStore
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Compare what was not compared yet, judge the figures and publish them in one transaction.

    A pair of which a curve cannot be read is left out and told; the next run tries it again.
    """
    files, left_out = ColdFiles(store), list[MevaError]()
    with postgres.connect(Role.READER, work="look for pairs") as connection:
        pairs = simulation_comparisons.waiting(connection, limit=config.most_pairs)
    if pairs:
        yield from compare(postgres, judge, files, pairs, run_id=context.run.run_id, left_out=left_out)
    else:
        yield from (
            dg.AssetCheckResult(check_name=suite.name, passed=True, description="nothing new to compare")
            for suite in SUITES
        )
    for reason in _told(left_out):
        context.log.warning(f"a pair was left out: {reason}")
    yield _result(postgres, files, len(pairs), left_out)


def compare(
    postgres: Postgres,
    judge: Judge,
    files: ColdFiles,
    pairs: Sequence[Pair],
    *,
    run_id: str,
    left_out: list[MevaError],
) -> Iterator[dg.AssetCheckResult]:
    """Compare pairs, judge and publish them; yields the verdicts.

    A pair of which a curve cannot be read is left out; why is added to `left_out`.

    Raises:
        Rejected: the figures did not pass their audit; nothing was published.
    """
    attempt = _open(postgres, run_id)
    rows = simulation_comparisons.rows_of(attempt)
    with ledger.watch(postgres, attempt):
        with (
            postgres.connect(Role.WRITER, work=f"compare {attempt.token}") as connection,
            postgres.connect(Role.READER, work="read curves") as reading,
        ):
            staged = rows.stage(connection, simulation_comparisons.compared(Curves(reading, files), pairs, left_out))
            ledger.record(connection, attempt.token, received_rows=staged, quarantined_rows=0)
        failpoints.reach(Point.SIMULATION_COMPARED)
        if staged:
            yield from derived.judge_rows(postgres, judge, rows, SUITES, PT_COMPARISONS)
            _publish(postgres, rows, staged=staged)
        else:
            yield from derived.nothing_to_judge(postgres, rows, SUITES, PT_COMPARISONS)
    with postgres.connect(Role.WRITER, work=f"clean {attempt.token}") as connection:
        staging.drop_abandoned(connection)


def _publish(postgres: Postgres, rows: StagedRows, *, staged: int) -> None:
    with derived.publication(postgres, rows, SUITES) as connection:
        written = simulation_comparisons.publish(connection, rows)
        ledger.record(connection, rows.attempt.token, inserted_rows=written, unchanged_rows=staged - written)
        simulation_totals.log(
            connection,
            log_type="comparison",
            action="curves compared",
            details=f"attempt {rows.attempt.token}: {staged // len(Alignment)} pairs",
        )


def _open(postgres: Postgres, run_id: str) -> Attempt:
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        return ledger.open_attempt(
            connection,
            subject=mgg_records.PT_COMPARISONS.fullname,
            source=SOURCE,
            mode=Mode.INCREMENTAL,
            day=ledger.today(connection),
            dagster_run_id=run_id,
        )


def _result(
    postgres: Postgres, files: ColdFiles, pairs: int, left_out: Sequence[MevaError]
) -> dg.MaterializeResult[None]:
    with postgres.connect(Role.READER, work="report comparisons") as connection:
        count = simulation_totals.of_table(connection, mgg_records.PT_COMPARISONS)
        newest = _newest_firing(connection)
        lines = [] if newest is None else _lines(connection, newest)
        overlay = {} if newest is None else _overlay(connection, files, newest)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": count,
            "compared_pairs": pairs - len(left_out),
            "pairs_left_out": len(left_out),
            "newest_firing": dg.MetadataValue.md(tables.markdown(lines)),
            **({"left_out": dg.MetadataValue.text("; ".join(_told(left_out)))} if left_out else {}),
            **overlay,
        }
    )


def _told(reasons: Sequence[object]) -> list[str]:
    """Return the first few different reasons."""
    return list(dict.fromkeys(map(str, reasons)))[:_SAID]


def _newest_firing(connection: psycopg.Connection) -> int | None:
    row = connection.execute(
        "SELECT test_result_id FROM mgg.pt_comparisons JOIN mgg.test_results AS t ON t.id = test_result_id"
        " ORDER BY t.test_date DESC, t.id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def _lines(connection: psycopg.Connection, firing: int) -> list[dict[str, object]]:
    rows = connection.execute(
        "SELECT s.model_version, c.alignment, c.peak_pressure_diff, c.peak_time_diff, c.rmse, c.correlation,"
        " round(c.iso18571_overall::numeric, 3), c.iso18571_grade FROM mgg.pt_comparisons AS c"
        " JOIN mgg.forward_simulations AS s ON s.id = c.simulation_id WHERE c.test_result_id = %s"
        " ORDER BY s.id, c.alignment DESC",
        [firing],
    ).fetchall()
    names = ("model", "clocks", "Δ peak, MPa", "Δ time, ms", "RMSE, MPa", "r", "ISO/TS 18571", "grade")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _overlay(connection: psycopg.Connection, files: ColdFiles, firing: int) -> dict[str, dg.MetadataValue[Any]]:
    """Draw a firing, the corridor of its repeats and the simulations that it was compared with; say what is away."""
    repeats = connection.execute(
        "SELECT other.id FROM mgg.test_results AS t JOIN mgg.test_results AS other USING (work_order_id)"
        " WHERE t.id = %s AND other.is_current AND other.id <> t.id ORDER BY other.test_date DESC, other.id DESC"
        " LIMIT %s",
        [firing, _MOST_DRAWN],
    ).fetchall()
    simulated = connection.execute(
        "SELECT DISTINCT s.id, s.model_version FROM mgg.pt_comparisons AS c JOIN mgg.forward_simulations AS s"
        " ON s.id = c.simulation_id WHERE c.test_result_id = %s ORDER BY s.id DESC LIMIT %s",
        [firing, _MOST_DRAWN],
    ).fetchall()
    curves, away = Curves(connection, files), list[object]()

    def trace(read: Callable[[int], Fingerprinted], number: int) -> Trace | None:
        try:
            found: object = read(number).trace
        except published_curves.UNREADABLE as error:
            found = error
        if isinstance(found, Trace):
            return found
        away.append(found)
        return None

    measured = trace(curves.measured, firing)
    others = [one for (number,) in repeats if (one := trace(curves.measured, number)) is not None]
    models = [
        (model or f"simulation {number}", one)
        for number, model in reversed(simulated)
        if (one := trace(curves.simulated, number)) is not None
    ]
    shown: dict[str, dg.MetadataValue[Any]] = {}
    if away:
        shown["not_drawn"] = dg.MetadataValue.text("; ".join(_told(away)))
    if measured is not None:
        shown["overlay"] = _picture(measured, others, models)
    return shown


def _picture(measured: Trace, others: Sequence[Trace], models: Sequence[tuple[str, Trace]]) -> dg.MarkdownMetadataValue:

    def draw(axes: Sequence["Axes"]) -> None:
        (plane,) = axes
        grid = np.linspace(measured.time_ms[0], measured.time_ms[-1], _POINTS_SHOWN)
        if others:
            band = np.array([np.interp(grid, one.time_ms, one.pressure_mpa) for one in (measured, *others)])
            label = f"{len(others) + 1} repeats"
            plane.fill_between(grid, band.min(axis=0), band.max(axis=0), color="0.85", label=label)
        step = max(1, measured.time_ms.size // _POINTS_SHOWN)
        plane.plot(
            measured.time_ms[::step], measured.pressure_mpa[::step], color="black", linewidth=1.2, label="firing"
        )
        for model, trace in models:
            label = pictures.label(model, "simulation")
            plane.plot(trace.time_ms, trace.pressure_mpa, linewidth=1.2, linestyle="--", label=label)
        plane.set(xlabel="time, ms", ylabel="pressure, MPa")
        plane.legend(frameon=False, fontsize=8)

    return pictures.drawn("the newest firing beside its simulations", draw, size=(7.5, 3.6))
