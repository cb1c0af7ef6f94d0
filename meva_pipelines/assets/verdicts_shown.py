"""How a verdict appears in the Dagster UI: one check for each suite, every expectation in its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from meva_pipelines.quality.expectations import Severity, Suite


def check(
    suite: Suite,
    findings: Sequence[Mapping[str, Any]],
    *,
    attempt: int,
    duration_s: float,
    asset: dg.AssetKey | None = None,
    more: Mapping[str, dg.MetadataValue[Any]] | None = None,
) -> dg.AssetCheckResult:
    """Return the verdict on a suite as a check; `findings` are those that are stored with it.

    It is passed when everything held, a warning when only warnings did not, and an error otherwise.
    """
    unmet = [finding for finding in findings if not finding["is_met"]]
    stops = any(finding["severity"] == Severity.CRITICAL for finding in unmet)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=suite.name,
        passed=not unmet,
        severity=dg.AssetCheckSeverity.WARN if unmet and not stops else dg.AssetCheckSeverity.ERROR,
        description=_sentence(suite.meaning, unmet),
        metadata={
            "attempt": attempt,
            "expectations": len(findings),
            "unmet": len(unmet),
            "duration_s": round(duration_s, 3),
            "findings": dg.MetadataValue.md(_table(findings)),
            **(more or {}),
        },
    )


def _sentence(meaning: str, unmet: Sequence[Mapping[str, object]]) -> str:
    if not unmet:
        return meaning
    return "; ".join(f"{finding['expectation']}: {finding['observed'] or 'not met'}" for finding in unmet)


def _table(findings: Sequence[Mapping[str, object]]) -> str:
    ordered = sorted(findings, key=lambda finding: bool(finding["is_met"]))
    lines = ["| | expectation | severity | observed |", "|---|---|---|---|"]
    lines += [
        f"| {'✓' if finding['is_met'] else '✗'} | {finding['expectation']} | {finding['severity']} |"
        f" {finding['observed']} |"
        for finding in ordered
    ]
    return "\n".join(lines)
