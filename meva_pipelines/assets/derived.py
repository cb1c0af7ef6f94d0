"""The gates, and tables that one run works out from published ones: stage, judge, publish in one step of a run.

A gate is one and the same for what is worked out and for what arrives from outside: the verdict is stored with the
digest of the rows, shown as blocking checks of the asset that stages them, and demanded by the publishing transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import dagster as dg
import psycopg

from meva_pipelines.assets import verdicts_shown
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.quality import verdicts
from meva_pipelines.quality.expectations import Suite
from meva_pipelines.quality.verdicts import Judge, Verdict
from meva_pipelines.resources import ledger, publishing
from meva_pipelines.resources.ledger import Attempt, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role


def check_specs(suites: Sequence[Suite], asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the checks under which an asset shows its verdicts; what is downstream of a failed one does not run."""
    return [dg.AssetCheckSpec(suite.name, asset=asset, description=suite.meaning, blocking=True) for suite in suites]


def checks(
    suites: Sequence[Suite],
    said: Sequence[Verdict],
    *,
    attempt: int,
    asset: dg.AssetKey,
    more: Mapping[str, dg.MetadataValue[Any]] | None = None,
) -> list[dg.AssetCheckResult]:
    """Return the verdicts on an attempt as checks; `more` is shown beside those that stop it."""
    return [
        verdicts_shown.check(suite, verdict, attempt=attempt, asset=asset, more=None if verdict.is_passed else more)
        for suite, verdict in zip(suites, said, strict=True)
    ]


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
    yield from checks(suites, said, attempt=rows.attempt.token, asset=asset)
    if not is_passed:
        raise Rejected(told)


def nothing_to_judge(
    postgres: Postgres, rows: Staged, suites: Sequence[Suite], asset: dg.AssetKey, **figures: object
) -> Iterator[dg.AssetCheckResult]:
    """End the attempt of a run that staged no row: it publishes nothing, and its checks say so.

    `figures` go to the attempt, by their columns in the ledger.

    Raises:
        Superseded, Unavailable: as `publishing.locked`.
    """
    with publishing.locked(postgres, rows.attempt) as connection:
        ledger.record(
            connection, rows.attempt.token, **{"inserted_rows": 0, "updated_rows": 0, "unchanged_rows": 0, **figures}
        )
    _drop(postgres, rows)
    for suite in suites:
        yield dg.AssetCheckResult(asset_key=asset, check_name=suite.name, passed=True, description="no row to judge")


@contextmanager
def publication(postgres: Postgres, rows: Staged, suites: Sequence[Suite]) -> Iterator[psycopg.Connection]:
    """Lend the publishing transaction of judged rows; what was staged is dropped once it has committed.

    Raises:
        Rejected, Superseded, Unavailable: as `publishing.publication`.
    """
    names = tuple(suite.name for suite in suites)
    with publishing.publication(postgres, rows.attempt, digest=rows.digest, suites=names) as connection:
        yield connection
    _drop(postgres, rows)


def _drop(postgres: Postgres, rows: Staged) -> None:
    with postgres.connect(Role.WRITER, work=f"clean {rows.attempt.token}") as connection:
        rows.drop(connection)
