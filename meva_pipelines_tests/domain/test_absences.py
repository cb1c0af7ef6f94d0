"""Absence is worth something only where everything came and not too much is gone; districts prove their sido."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain import absences, district_requests
from meva_pipelines.domain.absences import Tally, Verdict
from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.guards import Limit
from meva_pipelines.domain.region_periods import Level
from meva_pipelines.resources import reference

DAY = date(2026, 11, 2)
LIMIT = Limit(pct=10.0, rows=10)
REGIONS = reference.regions()


@pytest.mark.parametrize(
    ("live", "absent", "verdict"),
    [
        (1_000, 0, Verdict.COUNTED),
        (1_000, 100, Verdict.COUNTED),
        (1_000, 101, Verdict.WITHHELD),
        (10, 10, Verdict.COUNTED),
        (11, 11, Verdict.WITHHELD),
        (0, 0, Verdict.COUNTED),
    ],
)
def test_a_region_counts_up_to_both_limits(live: int, absent: int, verdict: Verdict) -> None:
    assert absences.judge({"11": Tally(live, absent, is_complete=True)}, LIMIT) == {"11": verdict}
    assert absences.judge({"11": Tally(live, absent, is_complete=False)}, LIMIT) == {"11": Verdict.INCOMPLETE}


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000), st.booleans()), max_size=17))
def test_what_is_lost_in_all_is_what_the_complete_regions_lose(rows: list[tuple[int, int, bool]]) -> None:
    tallies = [Tally(max(live, absent), absent, is_complete=is_complete) for live, absent, is_complete in rows]
    loss = absences.loss(tallies)
    complete = [tally for tally in tallies if tally.is_complete]
    assert loss.before == sum(tally.live_rows for tally in complete)
    assert loss.before - loss.after == sum(tally.absent_rows for tally in complete)


def test_a_country_is_asked_for_once_per_district() -> None:
    everything = district_requests.districts(["all"], REGIONS, DAY)
    assert len(everything) == len(set(everything)) == len(REGIONS.regions_on(DAY))
    assert ("세종특별자치시", "") in everything
    assert ("경기도", "수원시 장안구") in everything
    assert {sido for sido, _ in everything} == {region.name for region in REGIONS.regions_on(DAY, Level.SIDO)}


def test_a_sido_stands_for_its_districts_and_a_pair_for_itself() -> None:
    assert district_requests.districts(["세종특별자치시"], REGIONS, DAY) == (("세종특별자치시", ""),)
    seoul = district_requests.districts(["서울특별시/중구", "서울특별시"], REGIONS, DAY)
    assert seoul[0] == ("서울특별시", "중구")
    assert len(seoul) == 25
    assert district_requests.districts([], REGIONS, DAY) == ()


def test_a_sido_goes_by_its_name_of_the_day() -> None:
    assert district_requests.districts(["광주광역시"], REGIONS, date(2026, 6, 30))
    with pytest.raises(Refused, match="names of 2026-07-01, not '광주광역시'"):
        district_requests.districts(["광주광역시"], REGIONS, date(2026, 7, 1))


def test_a_sido_is_proved_when_every_district_answered() -> None:
    rows = {"/".join(district): 5 for district in district_requests.districts(["대전광역시"], REGIONS, DAY)}
    proved = district_requests.proved_regions(rows, REGIONS, DAY)
    assert {code for code in proved if len(code) == 2} == {"30"}
    assert len(proved) == 6
    assert district_requests.proved_regions(dict(list(rows.items())[1:]), REGIONS, DAY) == frozenset()


def test_an_empty_district_proves_nothing_about_itself() -> None:
    rows = {"/".join(district): 5 for district in district_requests.districts(["대전광역시"], REGIONS, DAY)}
    proved = district_requests.proved_regions({**rows, "대전광역시/동구": 0}, REGIONS, DAY)
    assert "30" in proved
    assert "30110" not in proved
    assert len(proved) == 5
