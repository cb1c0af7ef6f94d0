"""What the judge says, and how it is asked. Reading and judging tables happens in `judge`, in another process."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.domain.failures import MevaError, Unavailable
from meva_pipelines.quality import judge
from meva_pipelines.quality.expectations import Severity, Suite, Target
from meva_pipelines.resources import ledger
from meva_pipelines.resources.ledger import Attempt

_TIMEOUT_S = 900


class Errored(MevaError):
    """An expectation could not be evaluated: a missing column or a broken suite, not a verdict."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one expectation; `observed` is a count or a bound, never a value of a row."""

    expectation: str
    severity: str
    is_met: bool
    observed: str

    @property
    def stops(self) -> bool:
        """Whether this finding alone keeps the batch from being published."""
        return not self.is_met and self.severity == Severity.CRITICAL

    def as_json(self) -> dict[str, object]:
        """Return the finding as it is stored with the verdict."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge said of one suite."""

    suite: str
    findings: tuple[Finding, ...]
    duration_s: float

    @property
    def is_passed(self) -> bool:
        """Whether every critical expectation held."""
        return not any(finding.stops for finding in self.findings)


def store(connection: psycopg.Connection, attempt: Attempt, verdicts: Sequence[Verdict], *, digest: str) -> bool:
    """Write what the judge said of the rows that have this digest; returns whether all of it passed."""
    for verdict in verdicts:
        ledger.store_verdict(
            connection,
            attempt.token,
            suite=verdict.suite,
            digest=digest,
            is_passed=verdict.is_passed,
            results=[finding.as_json() for finding in verdict.findings],
            duration_s=verdict.duration_s,
        )
    return all(verdict.is_passed for verdict in verdicts)


def failures(verdicts: Sequence[Verdict]) -> str:
    """Return the expectations that stop a batch, as they are told."""
    return "; ".join(f"{v.suite}: {f.expectation}" for v in verdicts for f in v.findings if f.stops)


class Judge(dg.ConfigurableResource["Judge"]):
    """Asks Great Expectations. Isolated it costs some seconds of imports for each batch and leaves no memory behind."""

    is_isolated: bool = Field(
        default=True,
        description="Judge in a process of its own; otherwise in this one, which keeps the library loaded",
    )

    def judge(self, suites: Sequence[Suite], *, sqlalchemy_url: str, tables: Mapping[Target, str]) -> list[Verdict]:
        """Run suites on the tables that stand for their targets, found by the URL's search path.

        Raises:
            Errored: an expectation could not be evaluated.
            Unavailable: the judge did not finish.
        """
        request = {
            "url": sqlalchemy_url,
            "tables": dict(tables),
            "suites": [asdict(suite) for suite in suites],
        }
        answer = _ask(request) if self.is_isolated else judge.run(request)
        if problems := answer["errored"]:
            raise Errored(f"expectations that could not be evaluated: {'; '.join(problems)}")
        return [
            Verdict(said["suite"], tuple(Finding(**finding) for finding in said["findings"]), said["duration_s"])
            for said in answer["verdicts"]
        ]


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    try:
        process = subprocess.run(
            [sys.executable, "-m", "meva_pipelines.quality.judge"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the judge did not finish within {_TIMEOUT_S} s") from None
    if process.returncode != 0:
        last = process.stderr.strip().rsplit("\n", 1)[-1]
        raise Unavailable(f"the judge ended with code {process.returncode}: {last}")
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer
