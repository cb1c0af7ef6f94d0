"""A machine is calibrated on the days that a certificate covers, both ends included."""

from datetime import date

import pytest

from meva_pipelines.domain.tensile import calibration
from meva_pipelines.domain.tensile.calibration import Calibration, State

YEARS = [
    Calibration(date(2024, 3, 1), date(2025, 2, 28)),
    Calibration(date(2025, 4, 1), date(2026, 3, 31)),
]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2024, 2, 29), State.EXPIRED),
        (date(2024, 3, 1), State.VALID),
        (date(2025, 2, 28), State.VALID),
        (date(2025, 3, 15), State.EXPIRED),
        (date(2025, 4, 1), State.VALID),
        (date(2026, 4, 1), State.EXPIRED),
    ],
)
def test_the_day_of_the_test_decides(day: date, expected: State) -> None:
    assert calibration.state("Z100", YEARS, tested_on=day) is expected


def test_a_machine_without_a_certificate_is_unknown_and_no_machine_is_not_stated() -> None:
    assert calibration.state("Z100", [], tested_on=date(2026, 1, 1)) is State.UNKNOWN
    assert calibration.state(None, YEARS, tested_on=date(2026, 1, 1)) is State.NOT_STATED
