"""The content of a test is what it says, not how it was read or in which zone its clock ran."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from meva_pipelines.domain.tensile import identity
from meva_pipelines.domain.tensile.recording import (
    Curve,
    Detection,
    DisplacementSource,
    Recording,
    Repairs,
    Specimen,
)

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
TEST = Recording(
    Specimen("A-1", material="S235", started_at=NOON),
    Curve(np.zeros(2), np.zeros(2), DisplacementSource.CROSSHEAD),
    Detection("plain", "utf-8", ",", ".", ()),
    Repairs(2),
    {"Prüfer": "-"},
)


def name(recording: Recording, curve: str = "c") -> str:
    return identity.content_sha256(recording, curve_sha256=curve)


def test_how_a_file_was_understood_and_the_zone_of_its_clock_do_not_count() -> None:
    seoul = replace(TEST.specimen, started_at=NOON.astimezone(timezone(timedelta(hours=9))))
    assert name(replace(TEST, specimen=seoul)) == name(TEST)
    assert name(replace(TEST, detection=Detection("other", "utf-16", ";", ",", ()))) == name(TEST)


@pytest.mark.parametrize(
    "other",
    [
        replace(TEST, specimen=replace(TEST.specimen, material="S355")),
        replace(TEST, specimen=replace(TEST.specimen, revised_at=NOON)),
        replace(TEST, specimen=replace(TEST.specimen, started_at=NOON + timedelta(microseconds=1))),
        replace(TEST, header={"Prüfer": "+"}),
    ],
)
def test_whatever_is_stated_counts(other: Recording) -> None:
    assert name(other) != name(TEST)


def test_the_points_count() -> None:
    assert name(TEST, "c") != name(TEST, "d")
