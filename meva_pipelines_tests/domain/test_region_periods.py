"""A region table that contradicts itself is refused, and the message names the row."""

import pytest

from meva_pipelines.domain.region_periods import Level, check_relations, parse_region, periods_by_code

NOTHING = {"short": "", "parent": "", "valid_from": "", "valid_to": "", "successors": "", "event": ""}


def row(code: str, level: str, **changed: str) -> dict[str, str]:
    return {"code": code, "level": level, "name": f"name of {code}", **NOTHING, **changed}


def check(*rows: dict[str, str]) -> None:
    check_relations(periods_by_code(map(parse_region, rows)))


SIDO = row("10", "sido")


def test_a_row_becomes_a_region() -> None:
    region = parse_region(
        row("10110", "gugun", parent="10", valid_to="2020-01-01", successors="10120;10130", event="split")
    )
    assert (region.level, region.sido_code, region.short) == (Level.GUGUN, "10", None)
    assert region.successors == ("10120", "10130")


@pytest.mark.parametrize(
    "bad",
    [
        {"code": "1011"},
        {"code": "1011a"},
        {"code": "10"},
        {"level": "dong"},
        {"name": ""},
        {"valid_from": "2020-13-01"},
        {"valid_from": "2020-01-01", "valid_to": "2020-01-01"},
        {"successors": "10120;x"},
    ],
)
def test_an_unreadable_row_is_named(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="region row"):
        parse_region({**row("10110", "gugun", parent="10"), **bad})


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="successors"):
        parse_region({name: value for name, value in SIDO.items() if name != "successors"})


def test_periods_of_one_code_may_touch_but_not_overlap() -> None:
    first = row("10110", "gugun", parent="10", valid_to="2020-01-01", successors="10110")
    check(SIDO, first, row("10110", "gugun", parent="10", valid_from="2020-01-01"))
    with pytest.raises(ValueError, match="10110: two periods overlap on 2019-12-31"):
        check(SIDO, first, row("10110", "gugun", parent="10", valid_from="2019-12-31"))


def test_territory_is_never_lost() -> None:
    with pytest.raises(ValueError, match="10110: an end and successors come together"):
        check(SIDO, row("10110", "gugun", parent="10", valid_to="2020-01-01"))
    with pytest.raises(ValueError, match="10110: successor 10120 is not valid on 2020-01-01"):
        check(SIDO, row("10110", "gugun", parent="10", valid_to="2020-01-01", successors="10120"))


def test_a_successor_must_be_valid_when_its_predecessor_ends() -> None:
    late = row("10120", "gugun", parent="10", valid_from="2021-01-01")
    with pytest.raises(ValueError, match="successor 10120 is not valid on 2020-01-01"):
        check(SIDO, row("10110", "gugun", parent="10", valid_to="2020-01-01", successors="10120"), late)


def test_a_parent_is_valid_throughout() -> None:
    city = row("10110", "city", parent="10", valid_from="2020-01-01")
    gu = row("10111", "gugun", parent="10110", valid_from="2020-01-01")
    check(SIDO, city, gu)
    with pytest.raises(ValueError, match="10111: no parent 10110"):
        check(SIDO, city, {**gu, "valid_from": "2019-12-31"})
    with pytest.raises(ValueError, match="10111: no parent 20"):
        check(SIDO, city, {**gu, "parent": "20"})


def test_a_parent_may_change_its_name_meanwhile() -> None:
    earlier = row("10", "sido", name="old", valid_to="2020-01-01", successors="10")
    check(earlier, row("10", "sido", name="new", valid_from="2020-01-01"), row("10110", "gugun", parent="10"))


def test_a_parent_is_of_a_higher_level_and_of_the_same_sido() -> None:
    with pytest.raises(ValueError, match="10120: no parent 10110 of a higher level"):
        check(SIDO, row("10110", "gugun", parent="10"), row("10120", "gugun", parent="10110"))
    with pytest.raises(ValueError, match="20110: its parent 10 stands in another sido"):
        check(SIDO, row("20110", "gugun", parent="10"))
    with pytest.raises(ValueError, match="20: no parent 10 of a higher level"):
        check(SIDO, row("20", "sido", parent="10"))
