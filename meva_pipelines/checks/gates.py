"""The gates: what the judge said of a staged batch, as Dagster checks that stop the run.

They report the stored verdicts and judge nothing themselves; the publishing transaction demands the same rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import psycopg

from meva_pipelines.assets import aed, tables, tensile, verdicts_shown
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.quality.expectations import Suite
from meva_pipelines.quality.tensile_suites import TENSILE_SUITES
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(suite.name, asset=aed.STAGED_RECORDS, description=suite.meaning, blocking=True)
        for suite in AED_SUITES
    ]
)
def staged_records_pass_their_audit(postgres: Postgres) -> Iterator[dg.AssetCheckResult]:
    """Report the verdicts on the newest staged batch of the registry, expectation by expectation."""
    yield from _report(postgres, aed.SUBJECT, AED_SUITES)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(suite.name, asset=tensile.UPLOADS, description=suite.meaning, blocking=True)
        for suite in TENSILE_SUITES
    ]
)
def staged_tests_pass_their_audit(postgres: Postgres) -> Iterator[dg.AssetCheckResult]:
    """Report the verdicts on the newest staged batch of tensile tests, expectation by expectation."""
    yield from _report(postgres, tensile.SUBJECT, TENSILE_SUITES)


def _report(postgres: Postgres, subject: str, suites: Sequence[Suite]) -> Iterator[dg.AssetCheckResult]:
    with postgres.connect(Role.READER, work="report verdicts") as connection:
        said = {
            suite: (token, is_passed, results, duration_s)
            for suite, token, is_passed, results, duration_s in connection.execute(
                "SELECT suite, token, is_passed, results, duration_s FROM ops.audit_verdicts WHERE token ="
                " (SELECT max(token) FROM ops.audit_verdicts JOIN ops.sync_runs USING (token) WHERE subject = %s)",
                [subject],
            )
        }
        explanation = _explanation(connection, max((token for token, *_ in said.values()), default=0))
    for suite in suites:
        if suite.name not in said:
            yield dg.AssetCheckResult(
                check_name=suite.name,
                passed=False,
                description="no verdict was stored: stage the batch again",
            )
            continue
        token, is_passed, findings, duration_s = said[suite.name]
        more = {} if is_passed else explanation
        yield verdicts_shown.check(suite, findings, attempt=token, duration_s=duration_s, more=more)


def _explanation(connection: psycopg.Connection, token: int) -> dict[str, dg.MetadataValue[Any]]:
    """What a refused batch looked like: cause, regions, fields, pages, makers; no personal data."""
    row = connection.execute(
        "SELECT details->'explanation' FROM ops.sync_runs WHERE token = %s AND details ? 'explanation'", [token]
    ).fetchone()
    if row is None:
        return {}
    shown = ("regions", "fields", "pages", "makers")
    return {
        "likely_cause": dg.MetadataValue.text(row[0]["cause"]),
        "worst_regions": dg.MetadataValue.text(_worst(row[0]["regions"])),
        **{name: dg.MetadataValue.md(tables.markdown(row[0][name])) for name in shown},
        "sample_keys": dg.MetadataValue.text(", ".join(row[0]["sample_keys"])),
    }


def _worst(regions: list[dict[str, Any]]) -> str:
    """The regions that move most in one line, because tables hide behind a button."""
    return "; ".join(
        f"{region['sido']}: {region['now']:,} → {region['then']:,} devices, "
        f"{region['coordinates_lost_pct'] or 0:+.1f} points without coordinates"
        for region in regions[:3]
    )
