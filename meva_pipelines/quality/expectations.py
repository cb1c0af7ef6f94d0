"""What an expectation, a suite and its target are, and the expectations that suites share.

Nothing here runs anything: `judge` does.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """What a failed expectation does: `critical` stops the publication, `warning` is shown and told."""

    CRITICAL = "critical"
    WARNING = "warning"


class Target(StrEnum):
    """Which staging table a suite looks at."""

    RECORDS = "records"
    PROFILE = "profile"
    TESTS = "tests"
    RESULTS = "results"
    STANDARDS = "standards"
    PARTS = "parts"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: `kind` is the class name in Great Expectations, `name` the sentence shown to people."""

    name: str
    kind: str
    arguments: dict[str, Any]
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Suite:
    """A named set of expectations over one staging table."""

    name: str
    target: Target
    meaning: str
    expectations: tuple[Expectation, ...] = field(default_factory=tuple)


def given(column: str) -> Expectation:
    """Expect a value in every row."""
    return Expectation(f"{column}_is_given", "ExpectColumnValuesToNotBeNull", {"column": column})


def at_most(column: str, characters: int) -> Expectation:
    """Expect no longer text than fits."""
    return Expectation(
        f"{column}_has_at_most_{characters}_characters",
        "ExpectColumnValueLengthsToBeBetween",
        {"column": column, "max_value": characters},
    )


def between(
    name: str,
    column: str,
    low: float | None,
    high: float | None,
    severity: Severity = Severity.CRITICAL,
) -> Expectation:
    """Expect every value within bounds, both included; None leaves a side open."""
    arguments: dict[str, Any] = {"column": column}
    if low is not None:
        arguments["min_value"] = low
    if high is not None:
        arguments["max_value"] = high
    return Expectation(name, "ExpectColumnValuesToBeBetween", arguments, severity)


def unique(column: str) -> Expectation:
    """Expect no value twice."""
    return Expectation(f"{column}_occurs_once", "ExpectColumnValuesToBeUnique", {"column": column})
