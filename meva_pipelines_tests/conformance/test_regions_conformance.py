"""The package's region table against the supplied tables of sigungu (`kr_sido_gugun`)."""

import csv
import os
from datetime import date
from pathlib import Path

import pytest

from meva_pipelines.domain.region_periods import Level
from meva_pipelines.domain.regions import NameStatus
from meva_pipelines.resources import reference

pytestmark = pytest.mark.conformance

TABLE = reference.regions()
BEFORE = date(2026, 4, 1)
REFORM = date(2026, 7, 1)
BESIDE_THE_PROJECT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("MEVA_REFERENCE_DATA") or BESIDE_THE_PROJECT) / "kr_sido_gugun"


def supplied(file_name: str) -> list[dict[str, str]]:
    with (FOLDER / file_name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def own(on: date) -> set[tuple[str, str, str]]:
    sido = {region.code: region.name for region in TABLE.regions_on(on, Level.SIDO)}
    return {(region.code, sido[region.sido_code], region.name) for region in TABLE.regions_on(on)}


@pytest.mark.parametrize(
    ("file_name", "on"), [("sigungu_20260401.csv", BEFORE), ("sigungu_20260701_derived.csv", REFORM)]
)
def test_codes_and_names_are_those_of_the_supplied_table(file_name: str, on: date) -> None:
    expected = {(row["sigungu_code"], row["sido"], row["sigungu"]) for row in supplied(file_name)}
    assert own(on) == expected


def test_every_gu_stands_below_the_city_of_the_supplied_table() -> None:
    for row in supplied("sigungu_20260701_derived.csv"):
        region = TABLE.region(row["sigungu_code"], REFORM)
        parent = TABLE.region(region.parent, REFORM) if region and region.parent else None
        holder = row["si_gun_gu_level1"] if row["general_gu"] else row["sido"]
        assert parent is not None, row
        assert parent.name == holder, row


def test_predecessors_are_those_of_the_supplied_table() -> None:
    for row in supplied("sigungu_20260701_derived.csv"):
        previous = frozenset(row["prev_code_20260401"].split("+"))
        assert TABLE.codes_on(row["sigungu_code"], BEFORE) == previous, row
        for code in previous:
            assert row["sigungu_code"] in TABLE.codes_on(code, REFORM), row


def test_names_of_april_are_understood_after_the_reform() -> None:
    understood = {NameStatus.CURRENT, NameStatus.LEGACY, NameStatus.AMBIGUOUS}
    for row in supplied("sigungu_20260401.csv"):
        assert TABLE.resolve(row["sido"], row["sigungu"], REFORM).status in understood, row


def test_every_supplied_alias_means_the_supplied_sido() -> None:
    rows = supplied("sido_aliases.csv")
    assert len(rows) == len(TABLE.regions_on(REFORM, Level.SIDO))
    for row in rows:
        for name in (row["sido_current_20260701"], *row["aliases_and_legacy"].split(";")):
            assert TABLE.resolve(name, None, REFORM).sido_code == row["code"], name
