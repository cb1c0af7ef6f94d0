"""Doubled region prefixes of addresses, as the open API has sent them since the reform of 2026-07-01."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.addresses import collapse_prefixes
from meva_pipelines.domain.region_periods import Level
from meva_pipelines.resources import reference

TABLE = reference.regions()
NOW = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("doubled", "collapsed"),
    [
        ("전남광주통합특별시 북구 전남광주통합특별시 북구 용봉로 77", "전남광주통합특별시 북구 용봉로 77"),
        ("광주광역시 북구 전남광주통합특별시 북구 용봉로 77", "전남광주통합특별시 북구 용봉로 77"),
        ("전남광주통합특별시 북구 광주광역시 북구 용봉로 77", "전남광주통합특별시 북구 용봉로 77"),
        ("광주 북구 광주광역시 북구 용봉로 77", "광주광역시 북구 용봉로 77"),
        ("광주 북구 광주광역시 북구 전남광주통합특별시 북구 용봉로", "전남광주통합특별시 북구 용봉로"),
        ("서울 서울특별시 종로구 종로 1", "서울특별시 종로구 종로 1"),
        ("서울특별시 종로구 종로구 종로 1", "서울특별시 종로구 종로 1"),
        ("세종특별자치시 세종특별자치시 한누리대로 2130", "세종특별자치시 한누리대로 2130"),
        ("경기도 수원시 장안구 경기도 수원시 장안구 정조로 1", "경기도 수원시 장안구 정조로 1"),
        ("경기도 수원시 경기도 수원시 장안구 정조로 1", "경기도 수원시 장안구 정조로 1"),
        ("경기도 수원시 장안구 경기도 수원시 정조로 1", "경기도 수원시 장안구 정조로 1"),
        ("인천광역시 중구 인천광역시 영종구 영종대로 1", "인천광역시 영종구 영종대로 1"),
        ("경상북도 군위군 대구광역시 군위군 군위읍", "대구광역시 군위군 군위읍"),
        ("  서울   종로구  서울 종로구   종로 1, 2층 ", "서울 종로구 종로 1, 2층"),
        ("서울 종로구 서울 종로구", "서울 종로구"),
    ],
)
def test_a_region_named_twice_is_named_once(doubled: str, collapsed: str) -> None:
    assert collapse_prefixes(doubled, TABLE, NOW) == collapsed


@pytest.mark.parametrize(
    "address",
    [
        "",
        "용봉로 77",
        "북구 북구 용봉로",
        "서울특별시 종로구  종로 1",
        "경기도 광주시 광주대로 1",
        "경기도 광주 경안동 1",
        "부산광역시 중구 동구 수정동 1",
        "서울특별시 중구 부산광역시 중구 중앙대로 1",
        "서울특별시 종로구 서울 빌딩 1층",
        "세종특별자치시 세종시 한누리대로 2130",
        "제주특별자치도 제주시 제주대학로 102",
        "광주광역시 북구 용봉로 77",
    ],
)
def test_an_address_without_repetition_is_left_as_it_is(address: str) -> None:
    assert collapse_prefixes(address, TABLE, NOW) == address


@given(data=st.data(), times=st.integers(min_value=2, max_value=4))
def test_every_region_collapses_to_itself(data: st.DataObject, times: int) -> None:
    region = data.draw(st.sampled_from([*TABLE.regions_on(NOW), *TABLE.regions_on(NOW, Level.CITY)]))
    sido = TABLE.region(region.sido_code, NOW)
    assert sido is not None
    prefix = f"{sido.name} {region.name}"
    assert collapse_prefixes(" ".join([prefix] * times + ["큰길 1"]), TABLE, NOW) == f"{prefix} 큰길 1"


@given(
    words=st.lists(
        st.sampled_from(
            ["광주", "광주광역시", "전남광주통합특별시", "북구", "경기도", "광주시", "길 1", "중구", "인천"]
        )
    )
)
def test_collapsing_twice_changes_nothing_more(words: list[str]) -> None:
    once = collapse_prefixes(" ".join(words), TABLE, NOW)
    assert collapse_prefixes(once, TABLE, NOW) == once
