"""Derived columns: post codes from two parts and a readable summary of opening hours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.transforms import SUMMARY_LENGTH, joined, opening_hours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "hol")


def week(sundays: str = "YYYYY", **hours: str) -> dict[str, str | None]:
    """Fields in contract order; `mon="0900-1800"`, days left out are absent."""
    values: dict[str, str | None] = {}
    for day in DAYS:
        start, _, end = hours.get(day, "").partition("-")
        values |= {f"{day}SttTme": start or None, f"{day}EndTme": end or None}
    return values | {f"flag{week}": flag for week, flag in enumerate(sundays)}


def test_a_post_code_needs_both_parts() -> None:
    assert joined({"zipcode1": "031", "zipcode2": " 55 "}) == "03155"
    assert joined({"zipcode1": "031", "zipcode2": None}) is None
    assert joined({"zipcode1": " ", "zipcode2": "55"}) is None


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        (week(**dict.fromkeys(DAYS, "0000-2400")), "24시간 연중무휴"),
        (week(**dict.fromkeys(DAYS[:5], "0900-1730")), "월-금 09:00-17:30"),
        (
            week(**dict.fromkeys((*DAYS[:6], "hol"), "0900-1800"), sun="0000-2400"),
            "월-토·공휴일 09:00-18:00, 일 24시간",
        ),
        (week(mon="0900-1800", wed="0900-1800", thu="0900-1800"), "월·수-목 09:00-18:00"),
        (week("YNYNN", sat="1000-1700", sun="1000-1700"), "토·일(1·3주) 10:00-17:00"),
        (week(fri="0400-2500"), "금 04:00-25:00"),
        (
            week(**{day: f"0{i}00-1{i}30" for i, day in enumerate(DAYS)}),
            "요일별 상이 00:00-17:30",
        ),
        (week(), None),
        (week(mon="9-18"), None),
    ],
)
def test_opening_hours_are_summarised(values: dict[str, str | None], summary: str | None) -> None:
    assert opening_hours(values) == summary


@given(
    st.lists(
        st.one_of(st.none(), st.from_regex(r"[0-9]{4}", fullmatch=True), st.text(max_size=5)),
        min_size=21,
        max_size=21,
    )
)
def test_a_summary_always_fits_its_column(cells: list[str | None]) -> None:
    summary = opening_hours({str(index): cell for index, cell in enumerate(cells)})

    assert summary is None or len(summary) <= SUMMARY_LENGTH
