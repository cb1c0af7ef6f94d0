"""Checks on the simulation system: books that balance, points that arrived, policies, indexes, the active model."""

from collections.abc import Iterator

import dagster as dg
import psycopg
from psycopg import sql

from meva_pipelines.assets import tables
from meva_pipelines.assets.simulation import FIRINGS, FLOWS, RETENTION_POLICIES, SIMULATIONS
from meva_pipelines.assets.simulation_scorecard import MODEL_SCORECARD
from meva_pipelines.domain.simulation.retention import POLICIES
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import mgg_curves
from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.roles import Role

SIMULATION_TIME_SERIES = tables.key(mgg_curves.SIMULATION_TIME_SERIES)
TEST_TIME_SERIES = tables.key(mgg_curves.TEST_TIME_SERIES)
_SIMULATION_IS_ARCHIVED = sql.SQL(
    "EXISTS (SELECT FROM mgg.archive_batches AS b WHERE b.table_name = 'simulation_time_series'"
    " AND b.status = 'committed' AND b.start_date <= s.created_at AND s.created_at < b.end_date)"
)
_FIRING_IS_ARCHIVED = sql.SQL(
    "EXISTS (SELECT FROM mgg.archive_batches AS b WHERE b.table_name = 'test_time_series' AND b.status = 'committed'"
    " AND b.start_date <= t.test_date::timestamp AT TIME ZONE 'UTC'"
    " AND t.test_date::timestamp AT TIME ZONE 'UTC' < b.end_date)"
)
"""Whether the archive holds the quarter of a simulation `s`, or of a firing `t`, of a query."""

_ACCOUNTED = "every_received_document_is_accounted_for"


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            _ACCOUNTED,
            asset=tables.key(flow.published[0]),
            description="Received = published + unchanged + quarantined (decision D9)",
            blocking=True,
        )
        for flow in FLOWS
    ],
    can_subset=True,
)
def documents_are_accounted_for(
    context: dg.AssetCheckExecutionContext, postgres: Postgres
) -> Iterator[dg.AssetCheckResult]:
    """Compare the figures of the newest publication of each way in."""
    wanted = {key.asset_key for key in context.selected_asset_check_keys}
    for flow in FLOWS:
        asset = tables.key(flow.published[0])
        if asset not in wanted:
            continue
        with postgres.connect(Role.READER, work="reconcile") as connection:
            row = connection.execute(
                "SELECT token, coalesce(received_rows, 0), coalesce(inserted_rows, 0), coalesce(unchanged_rows, 0),"
                " coalesce(quarantined_rows, 0) FROM ops.sync_runs WHERE subject = %s AND status = 'published'"
                " ORDER BY token DESC LIMIT 1",
                [flow.subject],
            ).fetchone()
        token, received, published, unchanged, quarantined = row or (0, 0, 0, 0, 1)
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=_ACCOUNTED,
            passed=received == published + unchanged + quarantined,
            metadata={
                "attempt": token,
                "received_documents": received,
                "published_documents": published,
                "unchanged_documents": unchanged,
                "quarantined_documents": quarantined,
            },
        )


@dg.asset_check(asset=SIMULATION_TIME_SERIES)
def simulated_points_are_those_of_the_run(postgres: Postgres) -> dg.AssetCheckResult:
    """Every simulation of the newest publication has the points that its row states, or its quarter is archived."""
    with postgres.connect(Role.READER, work="count points") as connection:
        return _points(
            connection,
            sql.SQL(
                "SELECT count(*), count(*) FILTER (WHERE p.points IS DISTINCT FROM s.num_data_points"
                " AND NOT (p.points = 0 AND {})), sum(p.points)"
                " FROM mgg.forward_simulations AS s CROSS JOIN LATERAL (SELECT count(*) AS points FROM"
                " mgg.simulation_time_series AS p WHERE (p.simulation_id, p.created_at) = (s.id, s.created_at)) AS p"
                " WHERE s.curve_sha256 IS NOT NULL AND s.token = (SELECT max(token) FROM ops.sync_runs"
                " WHERE subject = %s AND status = 'published')"
            ).format(_SIMULATION_IS_ARCHIVED),
            SIMULATIONS.subject,
        )


@dg.asset_check(asset=TEST_TIME_SERIES)
def measured_points_are_those_of_the_run(postgres: Postgres) -> dg.AssetCheckResult:
    """Every file of the newest publication has the points that its row states, or its quarter is archived."""
    with postgres.connect(Role.READER, work="count points") as connection:
        return _points(
            connection,
            sql.SQL(
                "SELECT count(*), count(*) FILTER (WHERE p.points IS DISTINCT FROM f.num_data_points"
                " AND NOT (p.points = 0 AND {})), sum(p.points)"
                " FROM mgg.test_results AS t JOIN mgg.test_result_files AS f ON f.test_result_id = t.id"
                " CROSS JOIN LATERAL (SELECT count(*) AS points FROM mgg.test_time_series AS p"
                " WHERE (p.test_result_id, p.file_id, p.test_date) = (f.test_result_id, f.id, f.test_date)) AS p"
                " WHERE t.token = (SELECT max(token) FROM ops.sync_runs WHERE subject = %s AND status = 'published')"
            ).format(_FIRING_IS_ARCHIVED),
            FIRINGS.subject,
        )


def _points(connection: psycopg.Connection, query: sql.Composed, subject: str) -> dg.AssetCheckResult:
    curves, wrong, points = connection.execute(query, [subject]).fetchone() or (0, 0, 0)
    return dg.AssetCheckResult(
        passed=wrong == 0, metadata={"curves": curves, "incomplete_curves": wrong, "points": int(points or 0)}
    )


@dg.asset_check(asset=RETENTION_POLICIES, blocking=True)
def policies_do_not_contradict_themselves(postgres: Postgres) -> dg.AssetCheckResult:
    """Every table has its policy, and nothing is deleted that is not archived first (seed 004)."""
    with postgres.connect(Role.READER, work="check policies") as connection:
        rows = connection.execute(
            "SELECT table_name, archive_enabled OR NOT delete_after_archive FROM mgg.retention_policies"
        ).fetchall()
    missing = {policy.table for policy in POLICIES} - {name for name, _ in rows}
    contradicting = sorted(name for name, is_sound in rows if not is_sound)
    return dg.AssetCheckResult(
        passed=not missing and not contradicting,
        metadata={"policies": len(rows), "missing": ", ".join(sorted(missing)) or "none"},
        description=", ".join(contradicting),
    )


@dg.asset_check(asset=RETENTION_POLICIES)
def indexes_are_those_declared(postgres: Postgres) -> dg.AssetCheckResult:
    """Every index of the schema is declared, valid and there once; those that nobody reads are listed."""
    declared = {
        str(name)
        for table in METADATA.tables.values()
        if table.schema == "mgg"
        for name in (
            table.primary_key.name,
            *(index.name for index in table.indexes),
            *(constraint.name for constraint in table.constraints if constraint.__visit_name__ == "unique_constraint"),
        )
    }
    with postgres.connect(Role.READER, work="inspect indexes") as connection:
        rows = connection.execute(
            "SELECT c.relname, i.indisvalid, coalesce(s.idx_scan, 0), pg_relation_size(c.oid) FROM pg_index AS i"
            " JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid"
            " LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = c.oid"
            " WHERE t.relnamespace = 'mgg'::regnamespace AND NOT t.relispartition"
        ).fetchall()
    found = {name for name, *_ in rows}
    invalid = sorted(name for name, is_valid, *_ in rows if not is_valid)
    unread = sorted(name for name, _, scans, _ in rows if not scans)
    return dg.AssetCheckResult(
        passed=found == declared and not invalid,
        metadata={
            "indexes": len(found),
            "missing": ", ".join(sorted(declared - found)) or "none",
            "undeclared": ", ".join(sorted(found - declared)) or "none",
            "invalid": ", ".join(invalid) or "none",
            "never_read": ", ".join(unread) or "none",
            "bytes": sum(size for *_, size in rows),
        },
    )


@dg.asset_check(asset=MODEL_SCORECARD)
def no_model_answers_against_its_judgement(postgres: Postgres) -> dg.AssetCheckResult:
    """At most one forward model is active, and it was allowed or approved beside the one before it."""
    with postgres.connect(Role.READER, work="check models") as connection:
        rows = connection.execute(
            "SELECT m.version_name, (SELECT verdict FROM mgg.model_decisions AS d WHERE d.model_version_id = m.id"
            " AND d.created_at <= m.activated_at ORDER BY d.id DESC LIMIT 1), EXISTS (SELECT FROM mgg.model_versions"
            " AS o WHERE o.model_type = 'forward' AND o.id <> m.id AND o.activated_at < m.activated_at)"
            " FROM mgg.model_versions AS m WHERE m.model_type = 'forward' AND m.is_active"
        ).fetchall()
    unjudged = [name for name, verdict, has_baseline in rows if has_baseline and verdict not in {"allowed", "approved"}]
    return dg.AssetCheckResult(
        passed=len(rows) <= 1 and not unjudged,
        metadata={"active": ", ".join(name for name, *_ in rows) or "none", "unjudged": ", ".join(unjudged) or "none"},
    )
