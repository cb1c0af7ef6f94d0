"""The one judge: runs expectation suites on tables and says what held. The only importer of Great Expectations.

Great Expectations takes seconds and 200 MB to import and keeps process-wide state, so it runs in a process of its
own: `judge` starts it, `python -m meva_pipelines.quality.judge` is it. It reads in a read-only session, judges in
SQL, and returns neither values nor keys of rows: nothing personal can leave it.
"""

import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meva_pipelines.domain.failures import MevaError, Unavailable
from meva_pipelines.quality.suites import Severity, Suite, Target

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


def judge(suites: Sequence[Suite], *, sqlalchemy_url: str, schema: str, tables: dict[Target, str]) -> list[Verdict]:
    """Run suites on the tables that stand for their targets.

    Raises:
        Errored: an expectation could not be evaluated.
        Unavailable: the judge did not finish.
    """
    request = {
        "url": sqlalchemy_url,
        "schema": schema,
        "tables": tables,
        "suites": [asdict(suite) for suite in suites],
    }
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
    answer = json.loads(process.stdout)
    if problems := answer["errored"]:
        raise Errored(f"expectations that could not be evaluated: {'; '.join(problems)}")
    return [
        Verdict(said["suite"], tuple(Finding(**finding) for finding in said["findings"]), said["duration_s"])
        for said in answer["verdicts"]
    ]


def _run(request: dict[str, Any]) -> dict[str, Any]:
    import great_expectations as gx  # noqa: PLC0415 - seconds and 200 MB: in this process only
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_postgres("warehouse", connection_string=request["url"])
    batches = {
        target: source.add_table_asset(target, table_name=table, schema_name=request["schema"])
        .add_batch_definition_whole_table(target)
        .get_batch()
        for target, table in request["tables"].items()
    }
    errored: list[str] = []
    verdicts = []
    for suite in request["suites"]:
        started = time.perf_counter()
        expectations = [
            getattr(gx.expectations, item["kind"])(**item["arguments"], meta={"name": item["name"]})
            for item in suite["expectations"]
        ]
        result = batches[suite["target"]].validate(
            gx.ExpectationSuite(name=suite["name"], expectations=expectations),
            result_format={"result_format": _detail(suite["target"])},
        )
        outcomes = {outcome.expectation_config.meta["name"]: outcome for outcome in result.results}
        findings = []
        for item in suite["expectations"]:
            outcome = outcomes[item["name"]]
            if outcome.exception_info and _raised(outcome.exception_info):
                errored.append(f"{suite['name']}.{item['name']}: {_raised(outcome.exception_info)}")
            findings.append(
                {
                    "expectation": item["name"],
                    "severity": item["severity"],
                    "is_met": bool(outcome.success),
                    "observed": _observed(outcome.to_json_dict().get("result") or {}),
                }
            )
        duration = time.perf_counter() - started
        verdicts.append({"suite": suite["name"], "findings": findings, "duration_s": duration})
    return {"verdicts": verdicts, "errored": errored}


def _detail(target: str) -> str:
    """Rows may hold personal data: only yes or no. The profile holds shares: figures as well."""
    return "SUMMARY" if target == Target.PROFILE else "BOOLEAN_ONLY"


def _raised(info: dict[str, Any]) -> str:
    """The message of an exception inside a result; the library nests it one level deep or not at all."""
    entries = [info] if "raised_exception" in info else [entry for entry in info.values() if isinstance(entry, dict)]
    return next((str(entry.get("exception_message")) for entry in entries if entry.get("raised_exception")), "")


def _observed(result: dict[str, Any]) -> str:
    if "observed_value" in result:
        return f"{result['observed_value']}"
    if "partial_unexpected_list" in result and result["partial_unexpected_list"]:
        shown = ", ".join(f"{value:.4g}" for value in result["partial_unexpected_list"][:5])
        return f"{result['unexpected_count']} outside: {shown}"
    return ""


def main() -> None:
    """Judge what standard input asks for and print the answer as JSON."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(json.dumps(_run(json.loads(sys.stdin.read()))))


if __name__ == "__main__":
    main()
