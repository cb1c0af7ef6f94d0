"""The one judge: runs expectation suites on tables and says what held. The only importer of Great Expectations.

Great Expectations takes seconds and 200 MB to import and keeps process-wide state, so `verdicts.Judge` runs this
module in a process of its own: `python -m meva_pipelines.quality.judge` reads a request and prints its answer. It
looks at tables in a read-only session, judges in SQL, and returns neither values nor keys of rows: nothing personal
can leave it.
"""

import json
import logging
import sys
import time
import warnings
from typing import Any

from meva_pipelines.quality.expectations import Target


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Judge what a request asks for: url, tables by target, suites. Returns verdicts and what errored."""
    import great_expectations as gx  # noqa: PLC0415 - seconds and 200 MB: in this process only
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_postgres("warehouse", connection_string=request["url"])
    try:
        batches = {
            target: source.add_table_asset(target, table_name=table)
            .add_batch_definition_whole_table(target)
            .get_batch()
            for target, table in request["tables"].items()
        }
        return _judged(gx, request, batches)
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()


def _judged(gx: Any, request: dict[str, Any], batches: dict[str, Any]) -> dict[str, Any]:
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
    if result.get("partial_unexpected_list"):
        shown = ", ".join(f"{value:.4g}" for value in result["partial_unexpected_list"][:5])
        return f"{result['unexpected_count']} outside: {shown}"
    return ""


def main() -> None:
    """Judge what standard input asks for and print the answer as JSON."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps(run(json.loads(sys.stdin.read()))))


if __name__ == "__main__":
    main()
