"""Whether the devices that a delivery does not hold are absent: judged region by region, over counts.

A region counts when it came completely and loses moderately; the others keep what they have (facts: failure
protocols §1 "deletion guard"). Who is absent is counted elsewhere; nothing here asks a table or a source.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from meva_pipelines.domain import guards
from meva_pipelines.domain.guards import Excess, Limit


class Verdict(StrEnum):
    """What the absences from one region are worth."""

    COUNTED = "counted"
    """It came completely and lost no more than the limit allows."""
    WITHHELD = "withheld"
    """It came completely and lost so much that nobody is called absent before a person has looked."""
    INCOMPLETE = "incomplete"
    """It was not asked for, or not proved to be complete: absence from it means nothing."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many live devices of a region there are, how many of them did not come, and whether it came completely."""

    live_rows: int
    absent_rows: int
    is_complete: bool


def judge(regions: Mapping[str, Tally], limit: Limit) -> dict[str, Verdict]:
    """Return the verdict on each region, by code."""
    return {code: _verdict(tally, limit) for code, tally in regions.items()}


def _verdict(tally: Tally, limit: Limit) -> Verdict:
    if not tally.is_complete:
        return Verdict.INCOMPLETE
    before, after = {"": tally.live_rows}, {"": tally.live_rows - tally.absent_rows}
    return Verdict.WITHHELD if guards.excesses(before, after, limit) else Verdict.COUNTED


def loss(regions: Iterable[Tally]) -> Excess:
    """Return what all regions that came completely lose together; they are `all` where people are told."""
    complete = [tally for tally in regions if tally.is_complete]
    live = sum(tally.live_rows for tally in complete)
    return Excess("all", live, live - sum(tally.absent_rows for tally in complete))
