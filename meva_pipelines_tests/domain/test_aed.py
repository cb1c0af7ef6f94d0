"""Records become typed rows: nothing is guessed, and a bad value costs its own row only."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.aed import (
    NULL_WORDS,
    Mapped,
    Mapper,
    Rejection,
    health_center_key,
    keep_newest,
    storable,
)
from meva_pipelines.domain.contract import Contract
from meva_pipelines.resources import reference
from meva_pipelines.schema.aed import SOURCED_COLUMNS

DAY = date(2026, 11, 2)
BEFORE_THE_REFORM = date(2026, 6, 30)
EGEN = reference.contract("egen")
OPEN_API = reference.contract("data_go_kr")
COLUMNS = (
    "page",
    "line",
    "source_id",
    *SOURCED_COLUMNS,
    "region_code",
    "sido_code",
    "region_status",
    "health_center_key",
    "row_hash",
)
RECORD: Mapping[str, object] = {
    "equipment_serial": "11-0000001",
    "sido": "서울",
    "gugun": "종로구",
    "installation_institution": "종로구청",
    "installation_address": "서울특별시 종로구 세종로 1",
    "latitude": 37.5723,
    "longitude": 126.9794,
    "installation_date": "2020-03-01",
    "last_modified": "2026-11-01T10:00:00+09:00",
}
OPEN_RECORD: Mapping[str, object] = {
    "serialSeq": "031-200101-000001",
    "sido": "서울특별시",
    "gugun": "종로구",
    "org": "종로구청",
    "buildAddress": "세종로 1",
    "wgs84Lat": "37.5723",
    "wgs84Lon": "126.9794",
}


def mapper(contract: Contract = EGEN, day: date = DAY) -> Mapper:
    return Mapper(contract, reference.regions(), day=day, columns=SOURCED_COLUMNS)


def mapped(records: Sequence[Mapping[str, object]], contract: Contract = EGEN, day: date = DAY) -> Mapped:
    worker = mapper(contract, day)
    return worker.rows(worker.page(1, records), range(len(records)))


def row(record: Mapping[str, object], contract: Contract = EGEN, day: date = DAY) -> dict[str, object]:
    result = mapped([record], contract, day)
    assert not result.rejections
    return dict(zip(COLUMNS, result.rows[0], strict=True))


def digest(record: Mapping[str, object], contract: Contract = EGEN) -> bytes:
    return mapper(contract).page(1, [record]).digests[0]


# ---- types and the words that mean nothing


def test_every_type_arrives_as_itself() -> None:
    found = row({**RECORD, "management_number": "  서울-1  ", "last_use_date": 3})
    assert found["management_number"] == "서울-1"
    assert found["installation_date"] == date(2020, 3, 1)
    assert (found["latitude"], found["longitude"]) == (37.5723, 126.9794)
    assert found["source_modified_at"] == datetime(2026, 11, 1, 1, tzinfo=UTC)
    assert found["last_use_date"] == "3"
    assert (found["page"], found["line"], found["source_id"]) == (1, 0, "11-0000001")


def test_a_field_that_is_not_there_is_null() -> None:
    found = row({"equipment_serial": "1", "last_modified": None})
    published = [found[name] for name in SOURCED_COLUMNS if name != "equipment_serial"]
    assert published == [None] * len(published)


@pytest.mark.parametrize("word", sorted(NULL_WORDS))
@pytest.mark.parametrize("field", ["remarks", "installation_date", "latitude", "last_modified"])
def test_the_words_that_mean_nothing_are_null_in_every_type(field: str, word: str) -> None:
    column = "source_modified_at" if field == "last_modified" else field
    assert row({**RECORD, field: f" {word} "})[column] is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-09",
        "2026/03/09",
        "2026.03.09",
        "2026.3.9",
        "20260309",
        "09-03-2026",
        "2026-03-09 00:00:00",
        " 2026-3-9 ",
    ],
)
def test_a_date_is_read_in_every_form_that_the_portal_writes(text: str) -> None:
    assert row({**RECORD, "installation_date": text})["installation_date"] == date(2026, 3, 9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("installation_date", "2026-02-30"),
        ("installation_date", "2026-03-09 12:30:00"),
        ("installation_date", "3월 9일"),
        ("installation_date", "20261301"),
        ("latitude", "north"),
        ("latitude", "inf"),
        ("longitude", "1e400"),
        ("last_modified", "2026-11-01T10:00:00"),
        ("last_modified", "yesterday"),
    ],
)
def test_a_bad_value_costs_one_row_and_says_which_field_broke_which_rule(field: str, value: str) -> None:
    good = [{**RECORD, "equipment_serial": str(number)} for number in range(5)]
    result = mapped([*good[:2], {**RECORD, field: value}, *good[2:]])
    assert [found[2] for found in result.rows] == ["0", "1", "2", "3", "4"]
    (rejection,) = result.rejections
    assert (rejection.page, rejection.line, rejection.source_id) == (1, 2, "11-0000001")
    assert (rejection.rule, rejection.field) == ("field_has_its_type", field)
    assert "expected" in rejection.reason


@pytest.mark.parametrize("field", ["installation_date", "last_modified", "latitude"])
def test_a_reason_never_quotes_the_value(field: str) -> None:
    """A shifted mapping puts telephones into date fields; reasons are shown to everybody."""
    (rejection,) = mapped([{**RECORD, field: "010-1234-5678 김철수"}]).rejections
    assert not {"1234", "5678", "김철수"} & set(rejection.reason.replace("-", " ").replace("'", " ").split())
    assert "999-9999-9999 가가가" in rejection.reason


def test_a_record_with_several_faults_is_rejected_once() -> None:
    result = mapped([{**RECORD, "installation_date": "x", "latitude": "y"}])
    assert (len(result.rows), len(result.rejections)) == (0, 1)


@pytest.mark.parametrize("value", [["a"], {"a": 1}, True])
def test_a_structure_where_a_value_belongs_is_rejected(value: object) -> None:
    (rejection,) = mapped([{**RECORD, "remarks": value}]).rejections
    assert (rejection.rule, rejection.field) == ("field_is_a_scalar", "remarks")


def test_a_structure_below_a_derived_column_is_rejected() -> None:
    (rejection,) = mapped([{**OPEN_RECORD, "zipcode1": ["031"], "zipcode2": "55"}], OPEN_API).rejections
    assert (rejection.rule, rejection.field) == ("field_is_a_scalar", "zipcode1+zipcode2")


# ---- keys


@pytest.mark.parametrize("key", [None, "", "  ", True, 1.5, ["1"]])
def test_a_record_without_a_key_is_rejected(key: object) -> None:
    rules = {rejection.rule for rejection in mapped([{**RECORD, "equipment_serial": key}]).rejections}
    assert rules == {"key_is_given"}


def test_a_key_fits_the_contract_to_the_character() -> None:
    assert row({**RECORD, "equipment_serial": "가" * EGEN.key_length})["source_id"] == "가" * EGEN.key_length
    (rejection,) = mapped([{**RECORD, "equipment_serial": "가" * (EGEN.key_length + 1)}]).rejections
    assert (rejection.rule, rejection.reason) == ("key_fits", "51 characters, at most 50")


def test_a_number_may_be_a_key() -> None:
    assert row({**RECORD, "equipment_serial": 12})["source_id"] == "12"


@pytest.mark.parametrize("field", ["remarks", "equipment_serial"])
def test_the_character_nul_costs_its_row(field: str) -> None:
    (rejection,) = mapped([{**RECORD, field: "a\0b"}]).rejections
    assert rejection.rule == "text_is_storable"
    assert "\0" not in (rejection.source_id or "")


def test_a_backslash_and_a_u_are_no_nul() -> None:
    assert row({**RECORD, "remarks": r"\u0000"})["remarks"] == r"\u0000"


def test_a_payload_becomes_storable_however_deep_it_is() -> None:
    assert storable({"a\0": "b\0", "c": ["\0", {"d\0": "\0"}], "e": 1}) == {
        "a\ufffd": "b\ufffd",
        "c": ["\ufffd", {"d\ufffd": "\ufffd"}],
        "e": 1,
    }


# ---- digests


@pytest.mark.parametrize("contract", [EGEN, OPEN_API], ids=lambda contract: contract.name)
def test_a_digest_depends_on_every_field_that_the_contract_reads(contract: Contract) -> None:
    names = sorted(contract.known - set(contract.ignored))
    base = dict.fromkeys(names, "x")
    changed = {digest({**base, name: "y"}, contract) for name in names} | {digest(base, contract)}
    assert len(changed) == len(names) + 1


def test_a_digest_does_not_depend_on_what_the_contract_ignores() -> None:
    assert OPEN_API.ignored
    for name in (*OPEN_API.ignored, "aFieldOfTomorrow"):
        assert digest({**OPEN_RECORD, name: "7"}, OPEN_API) == digest(OPEN_RECORD, OPEN_API)


def test_a_digest_does_not_depend_on_the_order_of_fields() -> None:
    assert digest({name: RECORD[name] for name in reversed(list(RECORD))}) == digest(RECORD)


def test_a_digest_is_salted_with_source_and_version() -> None:
    other = replace(EGEN, version=EGEN.version + 1)
    renamed = replace(EGEN, name="export")
    assert len({digest(RECORD), digest(RECORD, other), digest(RECORD, renamed)}) == 3


def test_null_and_missing_have_one_digest_and_blank_has_another() -> None:
    assert digest({**RECORD, "remarks": None}) == digest(RECORD)
    assert digest({**RECORD, "remarks": ""}) != digest(RECORD)


# ---- derived columns, addresses, regions


def test_the_post_code_is_joined_from_its_parts() -> None:
    assert row({**OPEN_RECORD, "zipcode1": "031", "zipcode2": "55"}, OPEN_API)["postal_code"] == "03155"
    assert row({**OPEN_RECORD, "zipcode1": "031"}, OPEN_API)["postal_code"] is None


def test_opening_hours_become_access_control() -> None:
    hours = {f"{day}SttTme": "0900" for day in ("mon", "tue", "wed", "thu", "fri")}
    hours |= {f"{day}EndTme": "1800" for day in ("mon", "tue", "wed", "thu", "fri")}
    assert row({**OPEN_RECORD, **hours}, OPEN_API)["access_control"] == "월-금 09:00-18:00"
    assert row(OPEN_RECORD, OPEN_API)["access_control"] is None


@pytest.mark.parametrize(
    ("sido", "gugun", "address", "joined"),
    [
        ("서울특별시", "종로구", "세종로 1", "서울특별시 종로구 세종로 1"),
        ("서울특별시", "종로구", "서울특별시 종로구 세종로 1", "서울특별시 종로구 세종로 1"),
        ("서울특별시", "종로구", "서울 종로구 세종로 1", "서울 종로구 세종로 1"),
        ("서울특별시", "종로구", "서울특별시 종로구 서울특별시 종로구 세종로 1", "서울특별시 종로구 세종로 1"),
        ("전남광주통합특별시", "목포시", "전라남도 목포시 용당로 3", "전남광주통합특별시 목포시 용당로 3"),
        ("세종특별자치시", None, "세종특별자치시 한누리대로 5", "세종특별자치시 한누리대로 5"),
        ("세종특별자치시", None, "한누리대로 5", "세종특별자치시 한누리대로 5"),
        (None, None, "세종로 1", "세종로 1"),
        ("서울특별시", "종로구", None, None),
    ],
)
def test_an_address_names_its_region_once(
    sido: str | None, gugun: str | None, address: str | None, joined: str | None
) -> None:
    record = {**OPEN_RECORD, "sido": sido, "gugun": gugun, "buildAddress": address}
    assert row(record, OPEN_API)["installation_address"] == joined


@pytest.mark.parametrize(
    ("sido", "gugun", "day", "resolved"),
    [
        ("전라남도", "목포시", BEFORE_THE_REFORM, ("46110", "46", "current")),
        ("전라남도", "목포시", DAY, ("12110", "12", "legacy")),
        ("전남광주통합특별시", "목포시", DAY, ("12110", "12", "current")),
        ("전남광주통합특별시", "목포시", BEFORE_THE_REFORM, ("46110", "46", "early")),
        ("인천", "중구", DAY, ("28110", "28", "ambiguous")),
        ("세종", None, DAY, ("36110", "36", "current")),
        ("서울", None, DAY, (None, "11", "missing")),
        ("서울", "해운대구", DAY, (None, "11", "unknown_pair")),
        ("평양", "중구", DAY, (None, None, "unknown_sido")),
        (None, "중구", DAY, (None, None, "missing")),
    ],
)
def test_a_region_is_what_its_names_mean_on_the_day(
    sido: str | None, gugun: str | None, day: date, resolved: tuple[object, ...]
) -> None:
    found = row({**RECORD, "sido": sido, "gugun": gugun}, day=day)
    assert (found["region_code"], found["sido_code"], found["region_status"]) == resolved


@pytest.mark.parametrize(
    "name", ["종로구 보건소", "종로구보건소", "종로구 보건소장", "종로구(보건소)", " 종로구-보건소 "]
)
def test_spellings_of_a_health_centre_share_a_key(name: str) -> None:
    assert health_center_key(name) == "종로구보건소"
    assert row({**RECORD, "jurisdiction_health_center": name})["health_center_key"] == "종로구보건소"


# ---- no record whatever stops a batch

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(
        ["2026-13-01", "2026-W01-1", "0000-00-00", "9999-12-31", "1e999", "-", "필요", "\0", "서울", "중구"]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


def strange_records(contract: Contract) -> st.SearchStrategy[list[dict[str, object]]]:
    names = st.sampled_from(sorted(contract.known))
    return st.lists(st.dictionaries(names, VALUES, max_size=12), max_size=6)


@pytest.mark.parametrize("contract", [EGEN, OPEN_API], ids=lambda contract: contract.name)
def test_no_record_crashes_the_mapper_and_none_gets_lost(contract: Contract) -> None:
    worker = mapper(contract)

    @settings(max_examples=150, deadline=None)
    @given(strange_records(contract))
    def check(records: list[dict[str, object]]) -> None:
        received = orjson.loads(orjson.dumps(records))
        result = worker.rows(worker.page(3, received), range(len(received)))
        lines = [found[1] for found in result.rows] + [rejection.line for rejection in result.rejections]
        assert sorted(map(int, map(str, lines))) == list(range(len(received)))
        assert all(rejection.rule and rejection.reason for rejection in result.rejections)

    check()


def test_only_the_asked_for_positions_are_typed() -> None:
    worker = mapper()
    page = worker.page(2, [{**RECORD, "equipment_serial": str(number)} for number in range(4)])
    assert [found[:3] for found in worker.rows(page, [3, 1]).rows] == [(2, 3, "3"), (2, 1, "1")]
    assert worker.rows(page, []) == Mapped([], [])


def test_a_rejection_is_a_value() -> None:
    assert Rejection(1, 2, "k", "r", None, "why") == Rejection(1, 2, "k", "r", None, "why")


# ---- copies of a key

NOON = datetime(2026, 11, 1, 12, tzinfo=timezone(timedelta(hours=9)))
STAMPS = st.none() | st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours))
PLACES = st.tuples(st.integers(1, 3), st.integers(0, 5))


@st.composite
def copies_of_a_key(draw: st.DrawFn) -> list[tuple[int, int, bytes, datetime | None]]:
    """Copies as staging finds them: equal digests carry equal times, because the digest covers the time."""
    stamps = {content: draw(STAMPS) for content in (b"a", b"b", b"c")}
    places = draw(st.lists(PLACES, min_size=2, max_size=6, unique=True))
    contents = [draw(st.sampled_from(sorted(stamps))) for _ in places]
    return [(*place, content, stamps[content]) for place, content in zip(places, contents, strict=True)]


def test_of_equal_copies_the_first_stays() -> None:
    assert keep_newest([(2, 0, b"a", None), (1, 4, b"a", None), (1, 7, b"a", None)]) == {
        (1, 7): "key_occurs_once",
        (2, 0): "key_occurs_once",
    }


def test_of_different_copies_the_newest_stays() -> None:
    later = NOON + timedelta(hours=1)
    assert keep_newest([(1, 0, b"a", NOON), (1, 1, b"b", later)]) == {(1, 0): "key_occurs_once"}


def test_of_different_copies_none_stays_when_nothing_tells_which_is_right() -> None:
    every = {(1, 0): "copies_of_a_key_agree", (1, 1): "copies_of_a_key_agree"}
    assert keep_newest([(1, 0, b"a", NOON), (1, 1, b"b", NOON)]) == every
    assert keep_newest([(1, 0, b"a", NOON), (1, 1, b"b", None)]) == every
    assert keep_newest([(1, 0, b"a", None), (1, 1, b"b", None)]) == every


@given(copies_of_a_key(), st.randoms(use_true_random=False))
def test_the_order_of_copies_does_not_matter(
    copies: list[tuple[int, int, bytes, datetime | None]], shuffler: Random
) -> None:
    shuffled = list(copies)
    shuffler.shuffle(shuffled)
    assert keep_newest(shuffled) == keep_newest(copies)


@given(copies_of_a_key())
def test_the_newest_copy_is_never_dropped_for_an_older_one(
    copies: list[tuple[int, int, bytes, datetime | None]],
) -> None:
    rejected = keep_newest(copies)
    kept = [copy for copy in copies if copy[:2] not in rejected]
    assert len(kept) <= 1
    for _, _, content, stamp in kept:
        others = [copy for copy in copies if copy[2] != content]
        assert all(stamp is not None and copy[3] is not None and copy[3] < stamp for copy in others)
    if not kept:
        assert len({copy[2] for copy in copies}) > 1
        assert set(rejected.values()) == {"copies_of_a_key_agree"}
