"""How a verdict appears in the Dagster UI: one check for each suite, every expectation in its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from meva_pipelines.quality.expectations import Suite
from meva_pipelines.quality.verdicts import Finding, Verdict


def check(
    suite: Suite,
    verdict: Verdict,
    *,
    attempt: int,
    asset: dg.AssetKey,
    more: Mapping[str, dg.MetadataValue[Any]] | None = None,
) -> dg.AssetCheckResult:
    """Return the verdict on a suite as a check.

    It is passed when everything held, a warning when only warnings did not, and an error otherwise.
    """
    unmet = [finding for finding in verdict.findings if not finding.is_met]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=suite.name,
        passed=not unmet,
        severity=dg.AssetCheckSeverity.WARN if unmet and verdict.is_passed else dg.AssetCheckSeverity.ERROR,
        description=_sentence(suite.meaning, unmet),
        metadata={
            "attempt": attempt,
            "expectations": len(verdict.findings),
            "unmet": len(unmet),
            "duration_s": round(verdict.duration_s, 3),
            "findings": dg.MetadataValue.md(_table(verdict.findings)),
            **(more or {}),
        },
    )


def _sentence(meaning: str, unmet: Sequence[Finding]) -> str:
    if not unmet:
        return meaning
    return "; ".join(f"{finding.expectation}: {finding.observed or 'not met'}" for finding in unmet)


def _table(findings: Sequence[Finding]) -> str:
    ordered = sorted(findings, key=lambda finding: finding.is_met)
    lines = ["| | expectation | severity | observed |", "|---|---|---|---|"]
    lines += [
        f"| {'✓' if finding.is_met else '✗'} | {finding.expectation} | {finding.severity} | {finding.observed} |"
        for finding in ordered
    ]
    return "\n".join(lines)
