"""Tables that one run works out from published ones: stage, judge, publish in one step of a run.

The same gate as for what arrives from outside: the verdict is stored with the digest of the rows, shown as checks of
the asset, and demanded by the publishing transaction.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import dagster as dg
import psycopg

from meva_pipelines.assets import verdicts_shown
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.quality import verdicts
from meva_pipelines.quality.expectations import Suite
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import ledger
from meva_pipelines.resources.ledger import Attempt, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role


def check_specs(suites: Sequence[Suite], asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the checks under which an asset shows its verdicts; what is downstream of a failed one does not run."""
    return [dg.AssetCheckSpec(suite.name, asset=asset, description=suite.meaning, blocking=True) for suite in suites]


class Staged(Protocol):
    """What is staged by an attempt, as far as a judge has to know it."""

    @property
    def attempt(self) -> Attempt:
        """The attempt that staged it."""

    @property
    def name(self) -> str:
        """The unqualified name of the table that is judged."""

    def digest(self, connection: psycopg.Connection) -> str:
        """The order-independent digest of everything that is staged."""

    def drop(self, connection: psycopg.Connection) -> None:
        """Drop it. Idempotent."""


def judge_rows(
    postgres: Postgres, judge: Judge, rows: Staged, suites: Sequence[Suite], asset: dg.AssetKey
) -> Iterator[dg.AssetCheckResult]:
    """Judge staged rows, store the verdicts and yield them as checks.

    Raises:
        Rejected: after the last check, when one of them stops the publication.
    """
    said = judge.judge(
        suites,
        sqlalchemy_url=postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA),
        tables={suite.target: rows.name for suite in suites},
    )
    told = f"the audit failed ({verdicts.failures(said)}); nothing was published and the rows before stay."
    with postgres.connect(Role.WRITER, work=f"record audit {rows.attempt.token}") as connection:
        digest = rows.digest(connection)
        ledger.record(
            connection,
            rows.attempt.token,
            status=Status.STAGED,
            staged_at=ledger.now(connection),
            staged_digest=digest,
        )
        is_passed = verdicts.store(connection, rows.attempt, said, digest=digest)
        if not is_passed:
            ledger.reject(connection, rows.attempt, told)
    for suite, verdict in zip(suites, said, strict=True):
        yield verdicts_shown.check(
            suite,
            [finding.as_json() for finding in verdict.findings],
            attempt=rows.attempt.token,
            duration_s=verdict.duration_s,
            asset=asset,
        )
    if not is_passed:
        raise Rejected(told)


def nothing_to_judge(
    postgres: Postgres, rows: Staged, suites: Sequence[Suite], asset: dg.AssetKey
) -> Iterator[dg.AssetCheckResult]:
    """End the attempt of a run that worked nothing out: it publishes nothing, and its checks say so."""
    with postgres.connect(Role.WRITER, work=f"end attempt {rows.attempt.token}") as connection:
        ledger.record(connection, rows.attempt.token, status=Status.PUBLISHED, finished_at=ledger.now(connection))
    with postgres.connect(Role.WRITER, work=f"clean {rows.attempt.token}") as connection:
        rows.drop(connection)
    for suite in suites:
        yield dg.AssetCheckResult(asset_key=asset, check_name=suite.name, passed=True, description="no row to judge")
