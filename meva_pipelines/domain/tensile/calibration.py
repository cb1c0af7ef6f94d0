"""Whether a testing machine was calibrated on the day of a test (ISO 7500-1). A rule over dates, nothing more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class State(StrEnum):
    """What is known of the calibration of the machine of a test."""

    VALID = "valid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    NOT_STATED = "not_stated"


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration; both days belong to the period in which it holds."""

    calibrated_on: date
    valid_until: date


def state(machine: str | None, calibrations: Iterable[Calibration], *, tested_on: date) -> State:
    """Return the state on the day of a test.

    Without a machine nothing can be said, and of a machine without a calibration on record neither. A test between
    two calibrations that leave a gap, or before the first, was made with an expired one: nobody vouches for it.
    """
    if machine is None:
        return State.NOT_STATED
    known = list(calibrations)
    if not known:
        return State.UNKNOWN
    holds = any(each.calibrated_on <= tested_on <= each.valid_until for each in known)
    return State.VALID if holds else State.EXPIRED
