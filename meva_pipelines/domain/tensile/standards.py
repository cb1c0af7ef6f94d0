"""Which standard values may be compared with: those on which two publishers agree, taken from the best of them.

Pure rules over what sources state of one material in one condition at one temperature.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meva_pipelines.domain.tensile.comparison import TOLERANCE_PCT, name_key

_OTHER_TOLERANCE_PCT: Final = 5.0
"""For Poisson's ratio and the density, for which the design states none."""

_TOLERANCES: Final = {item.value: limit for item, limit in TOLERANCE_PCT.items()}


class Grade(StrEnum):
    """How far a source is trusted, best first."""

    STANDARD = "A"  # international standard: ASTM, ISO, DIN, JIS, KS
    DATABASE = "B"  # national database: NIST, …
    PAPER = "C"
    VENDOR = "D"  # vendor sheet, unofficial


@dataclass(frozen=True, slots=True)
class Statement:
    """What one source states, by the name of the property; two documents of one publisher are one voice."""

    source: str
    publisher: str
    grade: Grade
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Approved:
    """A value that may be compared with, and the source that it is taken from."""

    value: float
    source: str


def agreeing(statement: Statement, others: Iterable[Statement]) -> frozenset[str]:
    """Return the properties of a statement on which another publisher agrees."""
    voices = [other for other in others if name_key(other.publisher) != name_key(statement.publisher)]
    return frozenset(
        name
        for name, value in statement.values.items()
        if any(name in other.values and agrees(name, value, other.values[name]) for other in voices)
    )


def agrees(name: str, one: float, other: float) -> bool:
    """Tell whether two values of a property differ by no more than a test may differ from them (MEVA design §5)."""
    allowed = _TOLERANCES.get(name, _OTHER_TOLERANCE_PCT) / 100
    return abs(one - other) <= allowed * max(abs(one), abs(other))


def approved(statements: Sequence[Statement]) -> dict[str, Approved]:
    """Return the values that may be compared with: of those that agree, the one with the best grade.

    Between equal grades the name of the source decides, so that the answer never depends on an order.
    """
    found: dict[str, Approved] = {}
    for statement in sorted(statements, key=lambda each: (each.grade.value, each.source)):
        for name in agreeing(statement, statements):
            found.setdefault(name, Approved(statement.values[name], statement.source))
    return found
