"""Who is absent from a registry batch, and in which regions that counts: found in SQL, judged in `domain/absences`.

The absent devices of a batch lie in one staging table, which the profile, the explanation and the publication read.
What each region was worth is written to `ops.sync_parts` with the publication.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql

from meva_pipelines.domain import absences
from meva_pipelines.domain.absences import Tally, Verdict
from meva_pipelines.domain.guards import Excess, Limit
from meva_pipelines.resources import journal, published_runs
from meva_pipelines.resources.fetches import Fetch
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.registry_staging import Batch


@dataclass(frozen=True, slots=True)
class Survey:
    """What a batch says about absence: a tally and a verdict for each sido, by the code that it is counted under."""

    tallies: Mapping[str, Tally]
    verdicts: Mapping[str, Verdict]

    @property
    def loss(self) -> Excess:
        """Return what the sido that came completely lose together."""
        return absences.loss(self.tallies.values())


def survey(
    connection: psycopg.Connection, batch: Batch, fetch: Fetch, *, sido_groups: Mapping[str, str], limit: Limit
) -> Survey:
    """Find who did not come into the batch's table `absent`, and judge every sido; in the caller's transaction.

    `sido_groups` says under which code a sido is counted on the day. Of a fetch that is complete in some sido only,
    devices in a district that answered with nobody, or that has another code by now, are never absent.
    """
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(batch.absent))
    complete = {sido_groups[code] for code in fetch.complete_parts if code in sido_groups}
    connection.execute(
        sql.SQL(_ABSENT).format(
            absent=batch.absent,
            seen=batch.seen,
            source=sql.Literal(batch.attempt.source),
            old=sql.Literal(list(sido_groups)),
            new=sql.Literal(list(sido_groups.values())),
            is_whole=sql.Literal(fetch.is_complete_snapshot),
            complete=sql.Literal(sorted(complete)),
            districts=sql.Literal(list(fetch.complete_parts)),
        )
    )
    tallies = {
        part: Tally(live, absent, fetch.is_complete_snapshot or part in complete)
        for part, live, absent in connection.execute(
            sql.SQL(_TALLIES).format(absent=batch.absent),
            [list(sido_groups), list(sido_groups.values()), batch.attempt.source],
        )
    }
    verdicts = absences.judge(tallies, limit)
    connection.execute(
        sql.SQL("UPDATE {} SET is_counted = true WHERE part = ANY(%s)").format(batch.absent),
        [[part for part, verdict in verdicts.items() if verdict is Verdict.COUNTED]],
    )
    return Survey(tallies, verdicts)


_ABSENT = """
CREATE UNLOGGED TABLE {absent} AS
SELECT d.source_id, d.part, d.is_active, false AS is_counted
FROM (
  SELECT d.source_id, coalesce(g.new, d.sido_code, '-') AS part, d.data_status = 'active' AS is_active, d.region_code
  FROM aed.aed_data AS d LEFT JOIN unnest({old}::text[], {new}::text[]) AS g(old, new) ON g.old = d.sido_code
  WHERE d.source = {source} AND d.data_status <> 'deleted'
) AS d
WHERE ({is_whole} OR (d.part = ANY({complete}::text[]) AND d.region_code = ANY({districts}::text[])))
  AND NOT EXISTS (SELECT FROM {seen} AS s WHERE s.source_id = d.source_id)
"""

_TALLIES = """
WITH live AS (
  SELECT coalesce(g.new, d.sido_code, '-') AS part, count(*) FILTER (WHERE d.data_status = 'active') AS rows
  FROM aed.aed_data AS d LEFT JOIN unnest(%s::text[], %s::text[]) AS g(old, new) ON g.old = d.sido_code
  WHERE d.source = %s AND d.data_status <> 'deleted' GROUP BY 1
), absent AS (
  SELECT part, count(*) FILTER (WHERE is_active) AS rows FROM {absent} GROUP BY 1
)
SELECT part, live.rows, coalesce(absent.rows, 0) FROM live LEFT JOIN absent USING (part) ORDER BY 1
"""


def record(connection: psycopg.Connection, token: int, found: Survey) -> None:
    """Write what each sido was worth to the ledger, with the publication that went by it."""
    for part, tally in found.tallies.items():
        if (verdict := found.verdicts[part]) is not Verdict.COUNTED:
            facts = {"live_rows": tally.live_rows, "absent_rows": tally.absent_rows}
            journal.note(Event.ABSENCES_WITHHELD, token=token, sido=part, verdict=verdict, **facts)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ops.sync_parts (token, part, verdict, live_rows, absent_rows) VALUES (%s, %s, %s, %s, %s)",
            [
                (token, part, found.verdicts[part], tally.live_rows, tally.absent_rows)
                for part, tally in found.tallies.items()
            ],
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """The newest published sync in which the absences from a sido counted."""

    token: int
    day: date


def proofs(
    connection: psycopg.Connection, *, subject: str, source: str, sido_groups: Mapping[str, str]
) -> dict[str, Proof]:
    """Return for each sido code, of whatever time, the newest sync that proved who was there.

    What was rolled back, withheld or incomplete proves nothing; a sido without a proof is not in the result.
    """
    newest: dict[str, Proof] = {}
    for part, token, day in connection.execute(
        "SELECT p.part, run.token, run.day FROM ops.sync_parts AS p JOIN ops.sync_runs AS run USING (token)"
        " WHERE run.subject = %s AND run.source = %s AND run.status = 'published' AND p.verdict = %s"
        " AND run.token <> ALL(%s) ORDER BY run.day, run.token",
        [subject, source, Verdict.COUNTED, published_runs.undone(connection, subject=subject, source=source)],
    ):
        newest[sido_groups.get(part, part)] = Proof(token, day)
    return {code: newest[group] for code, group in sido_groups.items() if group in newest}
