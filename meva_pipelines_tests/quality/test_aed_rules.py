"""Each row rule rejects exactly the record that breaks it, under its own name, and lets every good record pass."""

from collections.abc import Iterator

import pytest

from meva_pipelines.domain.contract import Field, FieldType
from meva_pipelines.domain.regions import KOREA_BOX
from meva_pipelines.quality import aed_rules
from meva_pipelines.resources import reference, registry_staging
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.registry_desk import Desk, item, open_item, shared_desk

EGEN, OPEN_API = reference.contract("egen"), reference.contract("data_go_kr")
Record = dict[str, object]
REQUIRED = [field for field in EGEN.fields if field.required and field.source != EGEN.key]
LIMITED = [
    field
    for field in EGEN.fields
    if field.type is FieldType.TEXT and field.length is not None and field.source not in {EGEN.key, "sido", "gugun"}
]


@pytest.fixture(scope="module")
def desk(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with shared_desk(server_url, template, str(tmp_path_factory.mktemp("home"))) as shared:
        yield shared


def rejected(desk: Desk, *records: Record) -> list[tuple[int, str, str | None]]:
    """Line, rule and field of each record rejected among good ones; the batch is staged and dropped again."""
    staged = desk.stage(records)
    found = desk.rows(f"SELECT line, rule, field FROM staging.{staged.batch.name('rejected')} ORDER BY 1")
    with desk.postgres.connect(Role.WRITER, work="drop a delivery") as connection:
        registry_staging.drop(connection, staged.batch)
    return found


def among_good(desk: Desk, broken: Record) -> tuple[str, str | None]:
    """The rule and field by which `broken`, and nothing else, is rejected."""
    ((line, rule, field),) = rejected(desk, item(20), item(21), broken, item(22))
    assert line == 2
    return rule, field


def test_good_records_break_no_rule(desk: Desk) -> None:
    assert rejected(desk, *(item(n) for n in range(18, 60))) == []
    open_desk = Desk(desk.postgres, "data_go_kr")
    assert rejected(open_desk, *(open_item(n) for n in range(18, 60))) == []


@pytest.mark.parametrize("name", [field.source for field in REQUIRED])
@pytest.mark.parametrize("value", [None, "", "없음"])
def test_a_required_field_must_be_given(desk: Desk, name: str, value: object) -> None:
    assert among_good(desk, item(30) | {name: value}) == ("required_field_is_given", name)


@pytest.mark.parametrize("field", LIMITED, ids=lambda field: field.source)
def test_a_text_has_its_length_in_characters_not_in_bytes(desk: Desk, field: Field) -> None:
    assert field.length is not None
    assert rejected(desk, item(30) | {field.source: "가" * field.length}) == []
    too_long = item(30) | {field.source: "가" * (field.length + 1)}
    assert among_good(desk, too_long) == ("text_has_its_length", field.source)


def test_an_address_has_fewer_than_255_characters() -> None:
    """Seed 001 §5.1, stage 1."""
    for contract in (EGEN, OPEN_API):
        (field,) = [field for field in contract.fields if field.column == "installation_address"]
        assert field.length == 254


BOX = KOREA_BOX
COORDINATES: dict[str, tuple[object, object, str]] = {
    "no longitude": (37.5, None, "coordinates_come_in_pairs"),
    "no latitude": (None, 127.0, "coordinates_come_in_pairs"),
    "zeros": (0.0, 0.0, "coordinates_are_not_zero"),
    "swapped": (127.0, 37.5, "coordinates_are_not_swapped"),
    "south": (BOX.south - 0.001, 127.0, "coordinates_lie_in_korea"),
    "north": (BOX.north + 0.001, 127.0, "coordinates_lie_in_korea"),
    "west": (37.5, BOX.west - 0.001, "coordinates_lie_in_korea"),
    "east": (37.5, BOX.east + 0.001, "coordinates_lie_in_korea"),
    "one zero": (37.5, 0.0, "coordinates_lie_in_korea"),
    "negative": (-37.5, 127.0, "coordinates_lie_in_korea"),
    "beyond any number that fits the column": (1e300, 127.0, "coordinates_lie_in_korea"),
}


@pytest.mark.parametrize("name", COORDINATES)
def test_coordinates_are_a_place_in_korea(desk: Desk, name: str) -> None:
    latitude, longitude, rule = COORDINATES[name]
    assert among_good(desk, item(30, latitude=latitude, longitude=longitude)) == (rule, "latitude, longitude")


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(None, None), (BOX.south, BOX.west), (BOX.north, BOX.east), (33.1123, 126.2673), (37.2426, 131.8664)],
    ids=["unknown", "south-west corner", "north-east corner", "Marado", "Dokdo"],
)
def test_unknown_coordinates_and_the_outermost_places_pass(desk: Desk, latitude: object, longitude: object) -> None:
    assert rejected(desk, item(30, latitude=latitude, longitude=longitude)) == []


@pytest.mark.parametrize(
    ("sido", "gugun", "rule"),
    [
        ("서울", None, "region_is_given"),
        ("서울", "해운대구", "region_exists"),
        ("평양", "중구", "region_exists"),
        ("서울특별시", "종로", "region_exists"),
    ],
)
def test_sido_and_gugun_belong_together(desk: Desk, sido: str, gugun: str | None, rule: str) -> None:
    assert among_good(desk, item(30, sido=sido, gugun=gugun)) == (rule, "sido, gugun")


@pytest.mark.parametrize(
    ("sido", "gugun"), [("전라남도", "목포시"), ("인천", "중구"), ("세종", None), ("서울특별시", "중구")]
)
def test_names_of_yesterday_and_ambiguous_ones_pass(desk: Desk, sido: str, gugun: str | None) -> None:
    assert rejected(desk, item(30, sido=sido, gugun=gugun)) == []


def test_the_first_broken_rule_names_the_culprit(desk: Desk) -> None:
    every = item(
        30, installation_institution=None, remarks="x", manager="가" * 101, latitude=0.0, longitude=0.0, gugun=None
    )
    assert among_good(desk, every)[0] == "required_field_is_given"
    assert among_good(desk, {**every, "installation_institution": "x"})[0] == "text_has_its_length"
    assert among_good(desk, {**every, "installation_institution": "x", "manager": "x"})[0] == "coordinates_are_not_zero"
    names = [rule.name for rule in aed_rules.row_rules(EGEN)]
    assert list(dict.fromkeys(names)) == [
        "required_field_is_given",
        "text_has_its_length",
        "coordinates_come_in_pairs",
        "coordinates_are_not_zero",
        "coordinates_are_not_swapped",
        "coordinates_lie_in_korea",
        "region_is_given",
        "region_exists",
        "change_is_not_in_the_future",
    ]


def test_reasons_are_sentences_about_the_rule_and_not_about_the_record() -> None:
    for contract in (EGEN, OPEN_API):
        assert all(rule.reason and rule.field for rule in aed_rules.row_rules(contract))


# ---- copies of a key


def test_of_identical_copies_one_is_published(desk: Desk) -> None:
    assert rejected(desk, item(20), item(30), item(30), item(30)) == [
        (2, "key_occurs_once", None),
        (3, "key_occurs_once", None),
    ]


def test_of_conflicting_copies_none_is_published(desk: Desk) -> None:
    assert rejected(desk, item(20), item(30), item(30, remarks="x")) == [
        (1, "copies_of_a_key_agree", None),
        (2, "copies_of_a_key_agree", None),
    ]


def test_of_an_older_and_a_newer_copy_the_newer_is_published(desk: Desk) -> None:
    newer = item(30, remarks="x", last_modified="2026-11-02T23:00:00+09:00")
    assert rejected(desk, newer, item(20), item(30)) == [(2, "key_occurs_once", None)]
    assert rejected(desk, item(30), item(20), newer) == [(0, "key_occurs_once", None)]


def test_a_copy_that_breaks_a_rule_does_not_take_the_good_one_along(desk: Desk) -> None:
    assert rejected(desk, item(30, latitude=0.0, longitude=0.0), item(30)) == [
        (0, "coordinates_are_not_zero", "latitude, longitude")
    ]


def test_copies_on_different_pages_find_each_other(desk: Desk) -> None:
    staged = desk.stage([item(30), item(20), item(21), item(30, remarks="x")], page_rows=2)
    assert staged.rejected == 2


def test_a_published_row_and_its_newer_copy_are_compared_by_time(desk: Desk) -> None:
    """One copy equals what is published and is not staged; it still counts as a copy."""
    desk.deliver([item(n) for n in range(200, 221)])
    newer = item(210, remarks="x", last_modified="2026-11-02T23:00:00+09:00")
    older = item(210, remarks="x", last_modified="2020-11-02T23:00:00+09:00")
    assert rejected(desk, item(210), newer) == [(0, "key_occurs_once", None)]
    assert rejected(desk, item(210), older) == [(1, "key_occurs_once", None)]
    assert rejected(desk, item(210), item(210, remarks="x")) == [
        (0, "copies_of_a_key_agree", None),
        (1, "copies_of_a_key_agree", None),
    ]
