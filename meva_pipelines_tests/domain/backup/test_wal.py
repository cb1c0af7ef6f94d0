"""The log: names as PostgreSQL spells them (its documentation and pg_walfile_name), gaps, and how far a run reaches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.backup import wal
from meva_pipelines.domain.backup.wal import Gap, Segment
from meva_pipelines.domain.failures import Unusable

MB16 = 16 << 20
FIRST = Segment(1, 10)


@pytest.mark.parametrize(
    ("lsn", "name"),
    [
        ("0/1000000", "000000010000000000000001"),
        ("0/FFFFFFFF", "0000000100000000000000FF"),
        ("1/0", "000000010000000100000000"),
        ("AB/CD012345", "00000001000000AB000000CD"),
    ],
)
def test_a_position_lies_in_the_file_that_postgresql_names(lsn: str, name: str) -> None:
    assert Segment(1, wal.position(lsn) // MB16).name(MB16) == name


@given(st.integers(0, 2**64 - 1))
def test_a_position_is_spelled_and_read_back(lsn: int) -> None:
    assert wal.position(wal.spelled(lsn)) == lsn


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**32), st.sampled_from([1 << 20, MB16, 64 << 20]))
def test_a_segment_is_named_and_read_back(timeline: int, number: int, size: int) -> None:
    assert wal.segment(Segment(timeline, number).name(size), size) == Segment(timeline, number)


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/G", "0/123456789", " 0/0", "0/0\n"])
def test_other_texts_are_no_position(text: str) -> None:
    with pytest.raises(Unusable):
        wal.position(text)


@pytest.mark.parametrize(
    "name",
    ["", "backup.json", "000000010000000000000001.partial", "000000010000000000000100", "0" * 23, "../" + "0" * 21],
)
def test_other_names_are_no_segment(name: str) -> None:
    with pytest.raises(Unusable):
        wal.segment(name, MB16)


def run(first: int, last: int, timeline: int = 1) -> list[Segment]:
    return [Segment(timeline, number) for number in range(first, last + 1)]


def test_an_unbroken_run_has_no_gap() -> None:
    assert wal.gaps(run(8, 15), since=FIRST) == ()
    assert wal.reach(run(8, 15), since=FIRST) == Segment(1, 15)


def test_a_missing_segment_is_named_and_ends_the_reach() -> None:
    found = [*run(10, 11), *run(14, 15)]
    assert wal.gaps(found, since=FIRST) == (Gap(1, 12, 13),)
    assert wal.reach(found, since=FIRST) == Segment(1, 11)


def test_a_missing_beginning_is_a_gap_and_reaches_nowhere() -> None:
    assert wal.gaps(run(11, 12), since=FIRST) == (Gap(1, 10, 10),)
    assert wal.reach(run(11, 12), since=FIRST) is None


def test_a_later_timeline_carries_on_where_it_was_forked() -> None:
    forked = [*run(10, 12), *run(12, 14, timeline=2)]
    assert wal.gaps(forked, since=FIRST) == ()
    assert wal.reach(forked, since=FIRST) == Segment(2, 14)
    late = [*run(10, 12), *run(15, 16, timeline=2)]
    assert wal.gaps(late, since=FIRST) == (Gap(2, 13, 14),)
    assert wal.reach(late, since=FIRST) == Segment(1, 12)


@given(st.sets(st.integers(10, 40)))
def test_gaps_and_segments_fill_the_line(numbers: set[int]) -> None:
    found = [Segment(1, number) for number in numbers]
    missing = {n for gap in wal.gaps(found, since=FIRST) for n in range(gap.first, gap.last + 1)}
    assert missing | numbers == set(range(10, max(numbers, default=9) + 1))
    assert not missing & numbers
    last = wal.reach(found, since=FIRST)
    assert set(range(10, (last.number if last else 9) + 1)) <= numbers
