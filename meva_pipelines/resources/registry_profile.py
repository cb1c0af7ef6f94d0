"""The profile of a registry batch: what readers would see after its publication beside what they see now.

One statement over staged and published rows; the suite of stage 4 judges its figures. Nothing is decided here.
"""

from collections.abc import Mapping

import psycopg
from psycopg import sql

from meva_pipelines.resources.registry_absences import Survey
from meva_pipelines.resources.registry_staging import Batch


def measure(connection: psycopg.Connection, batch: Batch, *, found: Survey, sido_groups: Mapping[str, str]) -> None:
    """Measure what readers would see after publication beside what they see now, into the batch's profile table.

    One row per sido (code valid on the day, so that a rename is no change) and one for `all`. A device is gone where
    `found` counts its absence; what did not come in all is measured whether it counts or not. Devices that are
    missing already count on neither side until they come again. Shares and drifts are in percent, and 0 where ten
    rows or fewer are concerned: a district with seven devices must not stop the country. What the batch itself takes
    away from devices that had it is counted as well (`lost_…`): in the few changes of one day a drift of the whole
    country would hide it.
    """
    connection.execute("SET LOCAL jit = off")
    connection.execute(
        sql.SQL("ANALYZE {} (source_id, sido_code), {} (source_id), {} (source_id)").format(
            batch.records, batch.seen, batch.absent
        )
    )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(batch.profile))
    connection.execute(
        sql.SQL(_PROFILE).format(
            profile=batch.profile,
            records=batch.records,
            seen=batch.seen,
            rejected=batch.rejected,
            absent=batch.absent,
            lost_rows=sql.Literal(found.loss.before - found.loss.after),
            lost_pct=sql.Literal(-found.loss.change_pct if found.loss.before else 0.0),
            source=sql.Literal(batch.attempt.source),
            old=sql.Literal(list(sido_groups)),
            new=sql.Literal(list(sido_groups.values())),
        )
    )
    connection.commit()


_PROFILE = """
CREATE TABLE {profile} AS
WITH p AS (
  SELECT source_id, sido_code, data_status = 'active' AS is_active,
    latitude IS NULL AS no_coordinates, installation_address !~ '[0-9]' AS no_number,
    installation_position IS NULL AS no_position, manufacturer IS NULL AS no_manufacturer
  FROM aed.aed_data WHERE source = {source} AND data_status <> 'deleted'
), n AS (
  SELECT source_id, sido_code, true AS is_active,
    latitude IS NULL AS no_coordinates, installation_address !~ '[0-9]' AS no_number,
    installation_position IS NULL AS no_position, manufacturer IS NULL AS no_manufacturer
  FROM {records}
), both_sides AS (
  SELECT true AS is_published, p.* FROM p WHERE is_active
  UNION ALL SELECT false, n.* FROM n
  UNION ALL SELECT false, p.* FROM p
    WHERE NOT EXISTS (SELECT FROM {records} AS r WHERE r.source_id = p.source_id)
    AND (EXISTS (SELECT FROM {seen} AS s WHERE s.source_id = p.source_id)
      OR p.is_active AND NOT EXISTS (SELECT FROM {absent} AS a WHERE a.source_id = p.source_id AND a.is_counted))
), measured AS (
  SELECT coalesce(g.new, b.sido_code, '-') AS scope, b.* FROM both_sides AS b
  LEFT JOIN unnest({old}::text[], {new}::text[]) AS g(old, new) ON g.old = b.sido_code
), counted AS (
  SELECT CASE WHEN GROUPING(scope) = 1 THEN 'all' ELSE scope END AS scope,
    count(*) FILTER (WHERE is_published) AS published_rows,
    count(*) FILTER (WHERE NOT is_published) AS candidate_rows,
    count(*) FILTER (WHERE is_published AND no_coordinates) AS published_no_coordinates,
    count(*) FILTER (WHERE NOT is_published AND no_coordinates) AS candidate_no_coordinates,
    count(*) FILTER (WHERE is_published AND no_number) AS published_no_number,
    count(*) FILTER (WHERE NOT is_published AND no_number) AS candidate_no_number,
    count(*) FILTER (WHERE is_published AND no_position) AS published_no_position,
    count(*) FILTER (WHERE NOT is_published AND no_position) AS candidate_no_position,
    count(*) FILTER (WHERE is_published AND no_manufacturer) AS published_no_manufacturer,
    count(*) FILTER (WHERE NOT is_published AND no_manufacturer) AS candidate_no_manufacturer
  FROM measured GROUP BY GROUPING SETS ((scope), ())
), known AS (
  SELECT sum(candidate_rows) AS candidate_rows FROM counted WHERE scope <> 'all' AND published_rows > 0
), compared AS (
  SELECT counted.*, CASE WHEN scope = 'all' THEN coalesce(known.candidate_rows, 0) ELSE counted.candidate_rows END
    AS comparable_rows
  FROM counted CROSS JOIN known
), lost AS (
  SELECT count(*) AS compared_rows,
    count(*) FILTER (WHERE n.no_coordinates AND NOT p.no_coordinates) AS coordinates,
    count(*) FILTER (WHERE n.no_number AND NOT p.no_number) AS numbers,
    count(*) FILTER (WHERE n.no_position AND NOT p.no_position) AS positions,
    count(*) FILTER (WHERE n.no_manufacturer AND NOT p.no_manufacturer) AS manufacturers
  FROM n JOIN p USING (source_id)
), batch AS (
  SELECT (SELECT count(*) FROM {seen}) AS received_rows, (SELECT count(*) FROM {rejected}) AS quarantined_rows,
    (SELECT count(*) FROM {records} AS r WHERE r.health_center_key IS NOT NULL
      AND NOT EXISTS (SELECT FROM aed.health_centers AS c WHERE c.key = r.health_center_key)) AS unknown_centers,
    (SELECT count(health_center_key) FROM {records}) AS named_centers,
    EXISTS (SELECT FROM aed.health_centers) AS knows_centers
)
SELECT scope, published_rows, candidate_rows,
  CASE WHEN abs(comparable_rows - published_rows) > 10 THEN
    100.0 * (comparable_rows - published_rows) / nullif(published_rows, 0) ELSE 0 END::float8 AS guarded_change_pct,
  CASE WHEN scope = 'all' AND {lost_rows} > 10 THEN {lost_pct} ELSE 0 END::float8 AS absent_pct,
  CASE WHEN candidate_no_coordinates > 10 THEN
    100.0 * candidate_no_coordinates / nullif(candidate_rows, 0) ELSE 0 END::float8 AS guarded_no_coordinates_pct,
  CASE WHEN candidate_no_number > 10 THEN
    100.0 * candidate_no_number / nullif(candidate_rows, 0) ELSE 0 END::float8 AS guarded_no_number_pct,
  CASE WHEN abs(candidate_no_coordinates - published_no_coordinates) > 10 THEN
    100.0 * candidate_no_coordinates / nullif(candidate_rows, 0)
    - 100.0 * published_no_coordinates / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_coordinates_drift_pct,
  CASE WHEN abs(candidate_no_number - published_no_number) > 10 THEN
    100.0 * candidate_no_number / nullif(candidate_rows, 0)
    - 100.0 * published_no_number / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_number_drift_pct,
  CASE WHEN abs(candidate_no_position - published_no_position) > 10 THEN
    100.0 * candidate_no_position / nullif(candidate_rows, 0)
    - 100.0 * published_no_position / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_position_drift_pct,
  CASE WHEN abs(candidate_no_manufacturer - published_no_manufacturer) > 10 THEN
    100.0 * candidate_no_manufacturer / nullif(candidate_rows, 0)
    - 100.0 * published_no_manufacturer / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_manufacturer_drift_pct,
  CASE WHEN scope = 'all' AND coordinates > 10 THEN
    100.0 * coordinates / compared_rows ELSE 0 END::float8 AS lost_coordinates_pct,
  CASE WHEN scope = 'all' AND numbers > 10 THEN
    100.0 * numbers / compared_rows ELSE 0 END::float8 AS lost_numbers_pct,
  CASE WHEN scope = 'all' AND positions > 10 THEN
    100.0 * positions / compared_rows ELSE 0 END::float8 AS lost_positions_pct,
  CASE WHEN scope = 'all' AND manufacturers > 10 THEN
    100.0 * manufacturers / compared_rows ELSE 0 END::float8 AS lost_manufacturers_pct,
  CASE WHEN scope = 'all' THEN received_rows END AS received_rows,
  CASE WHEN scope = 'all' THEN quarantined_rows END AS quarantined_rows,
  CASE WHEN scope = 'all' AND quarantined_rows > 10 THEN
    100.0 * quarantined_rows / received_rows END::float8 AS quarantined_pct,
  CASE WHEN scope = 'all' AND knows_centers AND unknown_centers > 10 THEN
    100.0 * unknown_centers / nullif(named_centers, 0) END::float8 AS unknown_health_centers_pct
FROM compared CROSS JOIN batch CROSS JOIN lost
"""
