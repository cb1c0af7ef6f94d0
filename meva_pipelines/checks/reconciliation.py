"""Checks on what was published: the books balance, the rows are those of the run, the coordinates make sense."""

import dagster as dg

from meva_pipelines.assets import aed, tables
from meva_pipelines.domain.regions import KOREA_BOX
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import aed as schema
from meva_pipelines.schema.roles import Role

AED_DATA = tables.key(schema.AED_DATA)
_NEWEST = (
    "SELECT token, source, received_rows, inserted_rows, updated_rows + renamed_rows, unchanged_rows, quarantined_rows,"
    " coalesce((details->>'reappeared_rows')::bigint, 0), missing_rows"
    " FROM ops.sync_runs WHERE subject = %s AND status = 'published' AND mode NOT IN ('rollback', 'deletion')"
    " ORDER BY token DESC LIMIT 1"
)


@dg.asset_check(asset=AED_DATA, blocking=True)
def every_received_row_is_accounted_for(postgres: Postgres) -> dg.AssetCheckResult:
    """Received = published + unchanged + quarantined (decision D9)."""
    with postgres.connect(Role.READER, work="reconcile") as connection:
        row = connection.execute(_NEWEST, [aed.SUBJECT]).fetchone()
    if row is None:
        return dg.AssetCheckResult(passed=False, description="no sync was ever published")
    token, _, received, inserted, updated, unchanged, quarantined, reappeared, _ = row
    published = inserted + updated - reappeared
    return dg.AssetCheckResult(
        passed=received == published + unchanged + quarantined,
        metadata={
            "attempt": token,
            "received_rows": received,
            "published_rows": published,
            "unchanged_rows": unchanged,
            "quarantined_rows": quarantined,
        },
    )


@dg.asset_check(asset=AED_DATA)
def published_rows_are_those_of_the_run(postgres: Postgres) -> dg.AssetCheckResult:
    """As many rows carry the attempt's token as the attempt says it wrote (stage 4 of seed 001 §5.1, afterwards)."""
    with postgres.connect(Role.READER, work="verify publication") as connection:
        row = connection.execute(_NEWEST, [aed.SUBJECT]).fetchone()
        if row is None:
            return dg.AssetCheckResult(passed=False, description="no sync was ever published")
        token, _, _, inserted, updated, *_, missing = row
        found = connection.execute(
            "SELECT count(*) FROM aed.aed_data WHERE sync_batch_id = %s"
            " AND NOT EXISTS (SELECT FROM ops.sync_runs WHERE target_token = %s AND status = 'published')",
            [token, token],
        ).fetchone()
        is_undone = connection.execute(
            "SELECT EXISTS (SELECT FROM ops.sync_runs WHERE target_token = %s AND status = 'published')",
            [token],
        ).fetchone()
    expected = 0 if is_undone and is_undone[0] else inserted + updated + (missing or 0)
    actual = found[0] if found else -1
    return dg.AssetCheckResult(
        passed=actual == expected,
        metadata={"attempt": token, "expected_rows": expected, "found_rows": actual},
    )


@dg.asset_check(asset=tables.key(schema.REGIONS), blocking=True)
def a_code_names_one_region_a_day(postgres: Postgres) -> dg.AssetCheckResult:
    """Periods of a region code do not overlap, and every sigungu valid today lies in a sido valid today."""
    with postgres.connect(Role.READER, work="check regions") as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM aed.regions AS a JOIN aed.regions AS b ON a.code = b.code"
            " AND a.valid_from < b.valid_from AND coalesce(a.valid_to, 'infinity') > b.valid_from),"
            " (SELECT count(*) FROM aed.regions AS g WHERE g.level = 'gugun' AND g.valid_to IS NULL AND NOT EXISTS"
            " (SELECT FROM aed.regions AS s WHERE s.code = left(g.code, 2) AND s.valid_to IS NULL)),"
            " (SELECT count(*) FROM aed.regions WHERE level = 'gugun' AND valid_to IS NULL)"
        ).fetchone()
    overlapping, homeless, current = row or (0, 0, 0)
    return dg.AssetCheckResult(
        passed=overlapping == 0 and homeless == 0 and current > 0,
        metadata={"overlapping_periods": overlapping, "without_sido": homeless, "sigungu_today": current},
    )


@dg.asset_check(asset=AED_DATA)
def coordinates_lie_in_korea(postgres: Postgres) -> dg.AssetCheckResult:
    """No published device stands outside 33.0–38.7 °N, 124.5–132.0 °E."""
    with postgres.connect(Role.READER, work="check coordinates") as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE latitude NOT BETWEEN %s AND %s OR longitude NOT BETWEEN %s AND %s),"
            " count(*) FILTER (WHERE latitude IS NULL), count(*) FROM aed.aed_data WHERE data_status <> 'deleted'",
            [KOREA_BOX.south, KOREA_BOX.north, KOREA_BOX.west, KOREA_BOX.east],
        ).fetchone()
    outside, without, total = row or (0, 0, 0)
    return dg.AssetCheckResult(
        passed=outside == 0 and without < total,
        metadata={"outside_rows": outside, "without_coordinates_rows": without, "rows": total},
    )
