"""References of the registry: regions with their periods, health centres with their spellings, and the report.

None of them can stop a sync; they are what people read beside the registry.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg
from psycopg.rows import dict_row

from meva_pipelines.assets import aed, pictures, tables
from meva_pipelines.domain.absences import Verdict
from meva_pipelines.domain.aed import health_center_key
from meva_pipelines.domain.regions import RegionTable
from meva_pipelines.resources import reference
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import aed as schema
from meva_pipelines.schema.roles import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN_COLUMNS = 8
_HISTORY = 30
_RENAMES_LAST_DAYS = 400


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.REGIONS,
            group="aed",
            description="Sido and sigungu with their codes and periods of validity; renames and reforms are rows.",
        )
    ]
)
def regions(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Bring the published regions in line with the package's table of facts, in one transaction."""
    table = reference.regions()
    with postgres.connect(Role.WRITER, work="publish regions") as connection:
        connection.execute("DELETE FROM aed.regions")
        rows = [
            (
                r.code,
                r.valid_from,
                r.valid_to,
                r.level.value,
                r.name,
                r.short,
                r.parent,
                list(r.successors),
                r.event or None,
            )
            for r in table.periods
        ]
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO aed.regions (code, valid_from, valid_to, level, name, short, parent, successors, event)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                rows,
            )
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows)})


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.HEALTH_CENTERS,
            group="aed",
            description="Health centres that the registry names, spellings brought together; never a reason to refuse.",
            deps=[tables.key(schema.AED_DATA)],
        )
    ]
)
def health_centers(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Count the devices and spellings of each health centre among the published devices."""
    with postgres.connect(Role.WRITER, work="publish health centres") as connection:
        names = connection.execute(
            "SELECT jurisdiction_health_center, count(*) FROM aed.aed_data WHERE data_status <> 'deleted'"
            " AND jurisdiction_health_center IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        spelled: dict[str, list[tuple[str, int]]] = {}
        for name, count in names:
            spelled.setdefault(health_center_key(name), []).append((name, count))
        rows = [(key, found[0][0], len(found), sum(count for _, count in found)) for key, found in spelled.items()]
        connection.execute("DELETE FROM aed.health_centers")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO aed.health_centers (key, name, spellings, devices) VALUES (%s, %s, %s, %s)", rows
            )
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows), "spellings": len(names)})


@dg.asset(
    key=dg.AssetKey(["aed", "sync_report"]),
    deps=[tables.key(schema.AED_DATA), tables.key(schema.AED_HISTORY)],
    group_name="aed",
    kinds={"postgres", "python"},
    owners=[tables.OWNER],
    partitions_def=aed.DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def sync_report(context: dg.AssetExecutionContext, postgres: Postgres) -> dg.MaterializeResult[None]:
    """What the sync of the day did: figures, which regions and fields carry the change, coverage of the country."""
    day = date.fromisoformat(context.partition_key_range.end)
    with postgres.connect(Role.READER, work="report sync") as connection:
        run = _newest_run(connection, day)
        if run is None:
            return dg.MaterializeResult(metadata={"summary": dg.MetadataValue.md(f"No published sync for {day}.")})
        history = _history(connection, run)
        quarantine = _quarantine(connection, run)
        absences = _absences(connection, run)
        points = connection.execute(
            "SELECT longitude::float8, latitude::float8 FROM aed.aed_data"
            " WHERE source = %s AND data_status = 'active' AND latitude IS NOT NULL",
            [run["source"]],
        ).fetchall()
    table = reference.regions()
    return dg.MaterializeResult(
        metadata={
            "summary": dg.MetadataValue.md(_summary(run, day)),
            "changes_by_sido": dg.MetadataValue.md(_changes_by_sido(run, table, day)),
            "absences_by_sido": dg.MetadataValue.md(_absences_by_sido(absences, table, day)),
            "sido_counted": sum(verdict is Verdict.COUNTED for _, verdict, _, _ in absences),
            "sido_withheld": sum(verdict is Verdict.WITHHELD for _, verdict, _, _ in absences),
            "sido_incomplete": sum(verdict is Verdict.INCOMPLETE for _, verdict, _, _ in absences),
            "changed_fields": dg.MetadataValue.md(_changed_fields(run)),
            "quarantine_by_rule": dg.MetadataValue.md(tables.markdown(quarantine)),
            "recovered_rows": sum(row["recovered"] for row in quarantine),
            "still_failing_rows": sum(row["rejected now"] for row in quarantine),
            "coverage": _picture(points, history),
            "received_rows": run["received_rows"] or 0,
            "inserted_rows": run["inserted_rows"] or 0,
            "updated_rows": run["updated_rows"] or 0,
            "quarantined_rows": run["quarantined_rows"] or 0,
            "missing_rows": run["missing_rows"] or 0,
            "live_rows": run["live_rows"] or 0,
            "received_mb": round((run["bytes_received"] or 0) / 1e6, 3),
            "duration_s": round(run["duration_s"], 3),
        }
    )


def _newest_run(connection: psycopg.Connection, day: date) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT *, extract(epoch FROM finished_at - started_at)::float8 AS duration_s FROM ops.sync_runs"
            " WHERE subject = %s AND day = %s AND status = 'published' AND mode NOT IN ('rollback', 'deletion')"
            " ORDER BY token DESC LIMIT 1",
            [aed.SUBJECT, day],
        ).fetchone()


def _quarantine(connection: psycopg.Connection, run: dict[str, Any]) -> list[dict[str, Any]]:
    """For each rule, what this run rejected, what it recovered, and what still waits in all."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            'SELECT rule, count(*) FILTER (WHERE last_token = %(token)s AND released_at IS NULL) AS "rejected now",'
            " count(*) FILTER (WHERE released_at BETWEEN %(started_at)s AND %(finished_at)s) AS recovered,"
            " count(*) FILTER (WHERE released_at IS NULL) AS waiting"
            " FROM aed.quarantine WHERE source = %(source)s GROUP BY 1 ORDER BY 4 DESC, 1",
            run,
        ).fetchall()


def _absences(connection: psycopg.Connection, run: dict[str, Any]) -> list[tuple[str, Verdict, int, int]]:
    """Sido, verdict, live devices and absent devices of each sido that a full sync judged, the worst first."""
    rows = connection.execute(
        "SELECT part, verdict, coalesce(live_rows, 0), coalesce(absent_rows, 0) FROM ops.sync_parts WHERE token = %s"
        " ORDER BY verdict = 'counted', absent_rows DESC NULLS LAST, part",
        [run["token"]],
    )
    return [(part, Verdict(verdict), live, absent) for part, verdict, live, absent in rows]


def _history(connection: psycopg.Connection, run: dict[str, Any]) -> list[tuple[date, int, int]]:
    rows = connection.execute(
        "SELECT day, inserted_rows, updated_rows FROM ops.sync_runs WHERE subject = %s AND source = %s"
        " AND status = 'published' AND mode NOT IN ('rollback', 'deletion') AND token <= %s"
        " ORDER BY token DESC LIMIT %s",
        [aed.SUBJECT, run["source"], run["token"], _HISTORY],
    ).fetchall()
    return [(day, inserted or 0, updated or 0) for day, inserted, updated in reversed(rows)]


def _summary(run: dict[str, Any], day: date) -> str:
    return (
        f"**{run['day']}** · {run['mode']} sync of `{run['source']}` in **{run['duration_s']:.1f} s**\n\n"
        f"{run['received_rows']:,} received = **{run['inserted_rows']:,} new** + **{run['updated_rows']:,} changed** "
        f"{_renames(run, day)}+ {run['unchanged_rows']:,} unchanged + {run['quarantined_rows']:,} quarantined; "
        f"{run['missing_rows'] or 0:,} missing; **{run['live_rows']:,} devices live**."
    )


def _renames(run: dict[str, Any], day: date) -> str:
    """A rename of regions as the one event that it is, with the devices that it touched."""
    if not run["renamed_rows"]:
        return ""
    events = reference.regions().renames(day - timedelta(days=_RENAMES_LAST_DAYS), day)
    named = "; ".join(f"{event.effective_on}: {event.description}" for event in events) or "names of regions"
    return f"+ {run['renamed_rows']:,} renamed by one event ({named}) "


def _changes_by_sido(run: dict[str, Any], table: RegionTable, day: date) -> str:
    per_sido = run["details"].get("per_sido", {})
    lines = ["| sido | new | changed |", "|---|---:|---:|"]
    for code, counts in sorted(per_sido.items(), key=lambda item: -item[1]["inserted"] - item[1]["updated"]):
        region = table.region(code, day) if code != "-" else None
        lines.append(f"| {region.name if region else code} | {counts['inserted']:,} | {counts['updated']:,} |")
    return "\n".join(lines)


def _absences_by_sido(absences: list[tuple[str, Verdict, int, int]], table: RegionTable, day: date) -> str:
    if not absences:
        return "Nobody can be absent: the sync did not ask for everything."
    lines = ["| sido | absences | live before | did not come |", "|---|---|---:|---:|"]
    for code, verdict, live, absent in absences:
        region = table.region(code, day) if code != "-" else None
        lines.append(f"| {region.name if region else code} | {verdict} | {live:,} | {absent:,} |")
    return "\n".join(lines)


def _changed_fields(run: dict[str, Any]) -> str:
    changed = run["details"].get("changed_columns", {})
    if not changed:
        return "No published row changed."
    ranked = sorted(changed.items(), key=lambda item: -item[1])[:_SHOWN_COLUMNS]
    return "\n".join(["| field | rows changed |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in ranked)])


def _picture(points: list[tuple[float, float]], history: list[tuple[date, int, int]]) -> dg.MarkdownMetadataValue:
    """Draw where the devices are and what the last syncs did, as an embedded PNG."""
    days = [f"{day:%m-%d}" for day, _, _ in history]
    positions = range(len(days))

    def draw(axes: "Sequence[Axes]") -> None:
        country, syncs = axes
        if points:
            longitudes, latitudes = zip(*points, strict=True)
            cells = country.hexbin(longitudes, latitudes, gridsize=55, bins="log", mincnt=1, cmap="viridis")
            country.figure.colorbar(cells, ax=country, label="devices per cell", shrink=0.8)
        country.set(title=f"{len(points):,} devices with coordinates", xlabel="longitude, °E", ylabel="latitude, °N")
        country.set_aspect(1.25)
        new, changed = [row[1] for row in history], [row[2] for row in history]
        syncs.bar(positions, new, label="new", color="#2c7fb8")
        syncs.bar(positions, changed, bottom=new, label="changed", color="#fdae61")
        syncs.set_yscale("symlog", linthresh=100)
        syncs.set_xticks(list(positions), days, rotation=60, fontsize=7)
        syncs.set(title=f"last {len(days)} syncs", ylabel="rows written")
        syncs.legend(frameon=False)

    return pictures.drawn("coverage", draw, size=(9, 4.2), columns=2, width_ratios=(1, 1.25))
