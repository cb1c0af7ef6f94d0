"""Names, dates and codes of Korean regions: the traps known from real tables, the laws of the answers."""

import unicodedata
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.region_periods import Level, Region
from meva_pipelines.domain.regions import KOREA_BOX, NameStatus, RegionTable, Resolution
from meva_pipelines.resources import reference

TABLE = reference.regions()
BEFORE = date(2026, 6, 30)
REFORM = date(2026, 7, 1)
NOW = date(2026, 11, 20)

ROWS_PER_SIDO_SINCE_THE_REFORM = {
    "11": 25, "12": 27, "26": 16, "27": 9, "28": 11, "30": 5, "31": 5, "36": 1,
    "41": 47, "43": 14, "44": 16, "47": 23, "48": 22, "50": 2, "51": 18, "52": 15,
}  # fmt: skip

days = st.dates(date(2018, 1, 1), date(2027, 12, 31))


def current(code: str) -> Resolution:
    return Resolution(code, code[:2], NameStatus.CURRENT)


def legacy(code: str) -> Resolution:
    return Resolution(code, code[:2], NameStatus.LEGACY)


def row(code: str, **changed: str) -> dict[str, str]:
    """A row of the region table, valid for ever unless said otherwise."""
    level = "sido" if len(code) == 2 else "gugun"
    parent = "" if level == "sido" else code[:2]
    plain = {"short": "", "valid_from": "", "valid_to": "", "successors": "", "event": ""}
    return {"code": code, "level": level, "name": f"name of {code}", "parent": parent, **plain, **changed}


def test_sixteen_sido_have_the_known_number_of_rows_since_the_reform() -> None:
    counted = Counter(region.sido_code for region in TABLE.regions_on(REFORM))
    assert counted == ROWS_PER_SIDO_SINCE_THE_REFORM
    assert counted.total() == 256
    assert [region.code for region in TABLE.regions_on(REFORM, Level.SIDO)] == sorted(counted)


def test_seventeen_sido_and_255_rows_before_the_reform() -> None:
    assert len(TABLE.regions_on(date(2026, 4, 1))) == 255
    assert len(TABLE.regions_on(date(2026, 4, 1), Level.SIDO)) == 17


def test_a_city_with_general_gu_has_the_known_number_of_gu() -> None:
    gu = Counter(region.name.split()[0] for region in TABLE.regions_on(NOW) if " " in region.name)
    assert gu == {
        "고양시": 3, "부천시": 3, "성남시": 3, "수원시": 4, "안산시": 2, "안양시": 2, "용인시": 3,
        "전주시": 2, "창원시": 5, "천안시": 2, "청주시": 4, "포항시": 2, "화성시": 4,
    }  # fmt: skip
    assert sorted(gu) == sorted(region.name for region in TABLE.regions_on(NOW, Level.CITY))


def test_a_sido_name_is_never_matched_by_its_beginning() -> None:
    assert TABLE.resolve("전남광주통합특별시", "북구", NOW) == current("12300")
    assert TABLE.resolve("전남광", "북구", NOW).status is NameStatus.UNKNOWN_SIDO
    assert TABLE.resolve("서울특별", "중구", NOW).status is NameStatus.UNKNOWN_SIDO


def test_gwangju_the_city_in_gyeonggi_is_not_gwangju_the_former_sido() -> None:
    assert TABLE.resolve("경기도", "광주시", NOW) == current("41610")
    assert TABLE.resolve("광주시", "북구", NOW).status is NameStatus.UNKNOWN_SIDO
    assert TABLE.resolve("광주광역시", "북구", BEFORE) == current("29170")


@pytest.mark.parametrize(
    ("gugun", "holders"),
    [("중구", 5), ("동구", 5), ("서구", 4), ("남구", 4), ("북구", 4), ("고성군", 2), ("강서구", 2)],
)
def test_the_same_gugun_name_stands_in_several_sido(gugun: str, holders: int) -> None:
    same = [region for region in TABLE.regions_on(NOW) if region.name == gugun]
    assert len(same) == holders
    assert TABLE.resolve(None, gugun, NOW) == Resolution(None, None, NameStatus.MISSING)


def test_a_gugun_is_identified_by_its_sido() -> None:
    assert TABLE.resolve("강원특별자치도", "고성군", NOW) == current("51820")
    assert TABLE.resolve("경상남도", "고성군", NOW) == current("48820")
    assert TABLE.resolve("서울", "강서구", NOW) == current("11500")
    assert TABLE.resolve("부산", "강서구", NOW) == current("26440")
    assert TABLE.resolve("대구", "강서구", NOW) == Resolution(None, "27", NameStatus.UNKNOWN_PAIR)


@pytest.mark.parametrize("gugun", [None, "", "  ", "세종시"])
@pytest.mark.parametrize("sido", ["세종특별자치시", "세종", "세종시"])
def test_sejong_is_accepted_with_a_blank_gugun_and_with_its_own_name(sido: str, gugun: str | None) -> None:
    assert TABLE.resolve(sido, gugun, NOW) == current("36110")


def test_only_sejong_may_leave_its_gugun_blank() -> None:
    assert TABLE.resolve("제주특별자치도", None, NOW) == Resolution(None, "50", NameStatus.MISSING)
    assert TABLE.resolve("충청남도", "세종시", NOW).status is NameStatus.UNKNOWN_PAIR


@pytest.mark.parametrize("gugun", ["수원시 장안구", "수원시장안구", " 수원시  장안구 ", "수원시\u00a0장안구"])
def test_spaces_between_city_and_gu_do_not_matter(gugun: str) -> None:
    assert TABLE.resolve("경기도", gugun, NOW) == current("41111")


def test_decomposed_hangul_is_the_same_name() -> None:
    """File names and spreadsheets from macOS carry Hangul as separate letters (NFD)."""
    sido, gugun = (unicodedata.normalize("NFD", name) for name in ("서울특별시", "종로구"))
    assert sido != "서울특별시"
    assert TABLE.resolve(sido, gugun, NOW) == current("11110")


def test_the_city_above_general_gu_is_accepted_with_its_own_code() -> None:
    assert TABLE.resolve("경기도", "수원시", NOW) == current("41110")
    assert TABLE.resolve("경기도", "장안구", NOW).status is NameStatus.UNKNOWN_PAIR
    region = TABLE.region("41110", NOW)
    assert region is not None
    assert region.level is Level.CITY


@pytest.mark.parametrize("sido", ["서울", "서울시", "서울특별시", "서울특별시 종로구"])
def test_short_and_long_sido_names_mean_the_same(sido: str) -> None:
    assert TABLE.resolve(sido, "종로구", NOW) == current("11110")


def test_a_joined_sido_and_gugun_is_no_sido() -> None:
    assert TABLE.resolve("서울시성북구", None, NOW).status is NameStatus.UNKNOWN_SIDO


@pytest.mark.parametrize(
    ("sido", "gugun", "code"),
    [
        ("광주", "북구", "12300"),
        ("광주광역시", "북구", "12300"),
        ("전남", "목포시", "12110"),
        ("전라남도", "광양시", "12190"),
        ("전라북도", "전주시 완산구", "52111"),
        ("전라북도", "전주시", "52110"),
        ("강원도", "고성군", "51820"),
        ("제주도", "서귀포시", "50130"),
        ("경북", "군위군", "27720"),
        ("인천", "남구", "28177"),
        ("인천", "동구", "28125"),
    ],
)
def test_a_former_name_leads_to_its_one_successor_and_is_flagged(sido: str, gugun: str, code: str) -> None:
    assert TABLE.resolve(sido, gugun, NOW) == legacy(code)


@pytest.mark.parametrize("sido", ["전남광주통합특별시", "전남광주", "광주전남통합특별시"])
def test_old_and_new_names_mean_the_same_code_in_one_file(sido: str) -> None:
    assert TABLE.resolve(sido, "북구", NOW).code == TABLE.resolve("광주", "북구", NOW).code
    assert TABLE.resolve(sido, "목포시", NOW).code == TABLE.resolve("전남", "목포시", NOW).code


def test_a_merged_sido_does_not_lend_its_gugun_to_its_predecessors() -> None:
    assert TABLE.resolve("광주광역시", "목포시", NOW) == Resolution(None, "12", NameStatus.UNKNOWN_PAIR)
    assert TABLE.resolve("전라남도", "북구", NOW) == Resolution(None, "12", NameStatus.UNKNOWN_PAIR)


@pytest.mark.parametrize(("gugun", "code"), [("중구", "28110"), ("서구", "28260")])
def test_the_name_of_a_split_region_keeps_the_old_code_as_ambiguous(gugun: str, code: str) -> None:
    assert TABLE.resolve("인천", gugun, BEFORE) == current(code)
    assert TABLE.resolve("인천", gugun, NOW) == Resolution(code, "28", NameStatus.AMBIGUOUS)


def test_a_city_divided_into_gu_stays_valid_as_their_parent() -> None:
    assert TABLE.resolve("경기도", "부천시", date(2023, 12, 31)) == current("41190")
    assert TABLE.resolve("경기도", "부천시", NOW) == current("41190")
    assert TABLE.resolve("경기도", "부천시 원미구", NOW) == current("41192")
    assert TABLE.resolve("경기도", "화성시 동탄구", NOW) == current("41597")


def test_a_source_that_changes_early_is_understood_and_flagged() -> None:
    assert TABLE.resolve("전남광주통합특별시", "북구", BEFORE) == Resolution("29170", "29", NameStatus.EARLY)
    assert TABLE.resolve("인천", "영종구", BEFORE) == Resolution("28110", "28", NameStatus.EARLY)
    assert TABLE.resolve("인천", "제물포구", BEFORE) == Resolution("28125", "28", NameStatus.AMBIGUOUS)


def test_a_former_name_is_refused_when_its_days_of_grace_are_over() -> None:
    last = REFORM + timedelta(days=29)
    assert TABLE.resolve("광주", "북구", last, grace_days=30) == legacy("12300")
    late = TABLE.resolve("광주", "북구", last + timedelta(days=1), grace_days=30)
    assert late == Resolution(None, None, NameStatus.UNKNOWN_SIDO)
    assert TABLE.resolve("인천", "동구", NOW, grace_days=30) == Resolution(None, "28", NameStatus.UNKNOWN_PAIR)
    assert TABLE.resolve("광주", "북구", REFORM, grace_days=0).status is NameStatus.UNKNOWN_SIDO
    assert TABLE.resolve("전남광주", "북구", REFORM, grace_days=0) == current("12300")


def test_an_expired_sido_name_still_means_its_namesake_that_is_valid() -> None:
    """강원 is the short name of both 42 and 51: no grace is needed for it."""
    assert TABLE.resolve("강원", "춘천시", NOW, grace_days=0) == current("51110")


@pytest.mark.parametrize(("sido", "gugun"), [(None, None), ("", "중구"), (" ", ""), ("서울", None)])
def test_missing_names_are_missing_and_not_unknown(sido: str | None, gugun: str | None) -> None:
    assert TABLE.resolve(sido, gugun, NOW).status is NameStatus.MISSING


@given(day=days, data=st.data())
def test_official_names_lead_to_the_code_of_the_day(day: date, data: st.DataObject) -> None:
    level = data.draw(st.sampled_from([Level.GUGUN, Level.CITY]))
    region = data.draw(st.sampled_from(TABLE.regions_on(day, level)))
    sido = TABLE.region(region.sido_code, day)
    assert sido is not None
    expected = Resolution(region.code, sido.code, NameStatus.CURRENT)
    assert TABLE.resolve(sido.name, region.name, day) == expected
    assert TABLE.resolve(sido.short, region.name.replace(" ", ""), day) == expected


@given(day=days, later=st.integers(min_value=0, max_value=4000), data=st.data())
def test_every_name_that_was_right_once_stays_understood(day: date, later: int, data: st.DataObject) -> None:
    region = data.draw(st.sampled_from(TABLE.regions_on(day)))
    sido = TABLE.region(region.sido_code, day)
    assert sido is not None
    on = day + timedelta(days=later)
    found = TABLE.resolve(sido.name, region.name, on)
    if TABLE.region(region.code, on) == region:
        assert found.status is NameStatus.CURRENT
    else:
        assert found.status in {NameStatus.LEGACY, NameStatus.AMBIGUOUS} or is_city(found.code, on)
    assert found.sido_code == TABLE.statistic_group(region.code, on)


def is_city(code: str | None, on: date) -> bool:
    region = TABLE.region(code, on) if code else None
    return region is not None and region.level is Level.CITY


@given(sido=st.text(max_size=12) | st.none(), gugun=st.text(max_size=12) | st.none(), day=st.dates())
def test_any_text_gets_an_answer(sido: str | None, gugun: str | None, day: date) -> None:
    found = TABLE.resolve(sido, gugun, day)
    unresolved = {NameStatus.MISSING, NameStatus.UNKNOWN_SIDO, NameStatus.UNKNOWN_PAIR}
    assert (found.code is None) == (found.status in unresolved)


def test_a_renamed_region_keeps_its_lineage() -> None:
    assert TABLE.lineage("12300") == TABLE.lineage("29170") == "29170"
    assert TABLE.lineage("51820") == TABLE.lineage("42820") == "42820"
    assert TABLE.lineage("27720") == "47720"
    assert TABLE.lineage("28177") == "28170"
    assert TABLE.lineage("52") == "45"
    assert TABLE.lineage("11110") == "11110"


def test_splits_and_merges_begin_new_lineages() -> None:
    split_or_merged = ["28125", "28155", "28275", "28290", "41192", "41597", "12"]
    assert [TABLE.lineage(code) for code in split_or_merged] == split_or_merged


def test_an_unknown_code_is_an_error_and_not_an_answer() -> None:
    with pytest.raises(KeyError, match="99999"):
        TABLE.lineage("99999")
    with pytest.raises(KeyError, match="99999"):
        TABLE.statistic_group("99999", NOW)


@pytest.mark.parametrize(
    ("code", "group", "group_before"),
    [
        ("29170", "12", "29"), ("46110", "12", "46"), ("12300", "12", "29"), ("12110", "12", "46"),
        ("29", "12", "29"), ("46", "12", "46"), ("28260", "28", "28"), ("28275", "28", "28"),
        ("47720", "27", "27"), ("42820", "51", "51"), ("42", "51", "51"), ("41190", "41", "41"),
    ],
)  # fmt: skip
def test_a_code_is_counted_under_the_sido_of_the_day(code: str, group: str, group_before: str) -> None:
    assert TABLE.statistic_group(code, NOW) == group
    assert TABLE.statistic_group(code, BEFORE) == group_before


@given(day=days, other=days)
def test_counting_by_sido_is_net_of_renames(day: date, other: date) -> None:
    groups = {TABLE.statistic_group(region.code, other) for region in TABLE.regions_on(day)}
    assert groups == {region.code for region in TABLE.regions_on(other, Level.SIDO)}


def test_the_merger_of_gwangju_and_jeonnam_is_one_event() -> None:
    merger, seo, jung_and_dong = TABLE.renames(BEFORE, REFORM)
    assert merger.effective_on == REFORM
    assert len(merger.recodings) == 27
    assert ("29170", "12300") in merger.recodings
    assert {change.old for change in merger.changes} >= {"29", "46"}
    assert seo.recodings == jung_and_dong.recodings == ()
    assert {change.old for change in (*seo.changes, *jung_and_dong.changes)} == {"28110", "28140", "28260"}


def test_events_count_after_the_first_day_up_to_the_last() -> None:
    assert TABLE.renames(REFORM, NOW) == ()
    days_of_change = [event.effective_on for event in TABLE.renames(date(2018, 1, 1), NOW)]
    assert sorted(set(days_of_change)) == [
        date(2018, 7, 1), date(2023, 6, 11), date(2023, 7, 1), date(2024, 1, 1),
        date(2024, 1, 18), date(2026, 2, 1), REFORM,
    ]  # fmt: skip


def test_a_chain_of_renames_is_followed_to_its_end_and_back() -> None:
    table = RegionTable.from_rows(
        [
            row("10", name="가도"),
            row("10110", name="나군", valid_to="2020-01-01", successors="10120"),
            row("10120", name="다군", valid_from="2020-01-01", valid_to="2021-01-01", successors="10130"),
            row("10130", name="라군", valid_from="2021-01-01"),
        ]
    )
    assert table.resolve("가도", "나군", NOW) == legacy("10130")
    assert table.resolve("가도", "라군", date(2019, 1, 1)) == Resolution("10110", "10", NameStatus.EARLY)
    assert {table.lineage(code) for code in ("10110", "10120", "10130")} == {"10110"}


def test_a_region_without_predecessor_is_unknown_before_it_began() -> None:
    table = RegionTable.from_rows([row("10", name="가도"), row("10110", name="나군", valid_from="2020-01-01")])
    found = table.resolve("가도", "나군", date(2019, 1, 1))
    assert found == Resolution(None, "10", NameStatus.UNKNOWN_PAIR)
    assert table.statistic_group("10110", date(2019, 1, 1)) == "10"


def test_an_alias_must_lead_somewhere() -> None:
    with pytest.raises(ValueError, match="sido alias 가: there is no region 98"):
        RegionTable.from_rows([row("10")], [{"alias": "가", "code": "98"}])


def test_a_repeated_question_is_answered_from_memory() -> None:
    questions = [
        (sido.name, region.name)
        for region in TABLE.regions_on(NOW)
        if isinstance(sido := TABLE.region(region.sido_code, NOW), Region)
    ]
    answers = [TABLE.resolve(*question, NOW) for question in questions]
    assert all(TABLE.resolve(*question, NOW) is answer for question, answer in zip(questions, answers, strict=True))


@pytest.mark.parametrize(
    ("place", "latitude", "longitude"),
    [
        ("Marado", 33.11, 126.27),
        ("Baengnyeong", 37.96, 124.61),
        ("Dokdo", 37.24, 131.87),
        ("north", 38.38, 128.4),
    ],
)
def test_the_farthest_places_lie_inside_the_box(place: str, latitude: float, longitude: float) -> None:
    assert KOREA_BOX.contains(latitude=latitude, longitude=longitude), place


@pytest.mark.parametrize(("latitude", "longitude"), [(34.82, 137.25), (126.97, 37.56), (0.0, 0.0)])
def test_ships_swapped_axes_and_zeros_lie_outside_the_box(latitude: float, longitude: float) -> None:
    assert not KOREA_BOX.contains(latitude=Decimal(str(latitude)), longitude=Decimal(str(longitude)))
