"""What stands follows from the set of contents: whatever came first, and however often."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.tensile import versions
from meva_pipelines.domain.tensile.versions import Content, Facts, Resolution, Standing

START = datetime(2026, 11, 18, tzinfo=UTC)


def content(name: str, minutes: int = 0, **facts: object) -> Content:
    return Content(name, START + timedelta(minutes=minutes), Facts(**facts))  # type: ignore[arg-type]  # by their names


def pair(one: str, other: str) -> frozenset[str]:
    return frozenset({one, other})


def test_versions_are_ranks_in_time() -> None:
    found = versions.arrange([content("c", 3), content("a", 1), content("b", 2)], {})
    assert found.versions == ("a", "b", "c")
    assert [found.version(name) for name in "abc"] == [1, 2, 3]
    assert (found.published, found.standing("c"), found.standing("a")) == ("c", Standing.PUBLISHED, Standing.SUPERSEDED)


def test_a_tie_is_a_conflict_and_the_lower_digest_stands() -> None:
    found = versions.arrange([content("b"), content("a")], {})
    (conflict,) = found.conflicts
    assert (found.versions, conflict.standing, conflict.waiting) == (("a",), "a", "b")


def test_what_differs_is_named_with_both_values() -> None:
    found = versions.arrange([content("a", 1, area_mm2=50.0), content("b", 2, area_mm2=60.0)], {})
    (difference,) = found.conflicts[0].differences
    assert (difference.fact, difference.standing, difference.waiting) == ("area_mm2", "50.0", "60.0")


def test_spelling_and_rounding_are_no_difference() -> None:
    one = content("a", 1, material="42CrMo S4", area_mm2=25.4)
    other = content("b", 2, material="42crmo-s4", area_mm2=25.4 * (1 + 1e-9))
    assert versions.arrange([one, other], {}).versions == ("a", "b")


def test_what_one_version_states_binds_the_later_ones() -> None:
    stated = [content("a", 1), content("b", 2, material="S235"), content("c", 3), content("d", 4, material="Cu")]
    found = versions.arrange(stated, {})
    assert found.versions == ("a", "b", "c")
    assert (found.conflicts[0].standing, found.conflicts[0].waiting) == ("b", "d")


def test_a_ruling_counts_for_whatever_agrees_with_the_side_that_it_speaks_of() -> None:
    steel, copper = content("a", 1, material="S235"), content("b", 5, material="Cu")
    late = content("c", 3, material="S235")
    ruled = {pair("a", "b"): Resolution.REPLACE}
    assert versions.arrange([steel, late, copper], ruled).versions == ("a", "c", "b")
    kept = versions.arrange([steel, late, copper], {pair("a", "b"): Resolution.KEEP})
    assert (kept.versions, kept.set_aside, kept.conflicts) == (("a", "c"), frozenset("b"), ())


def test_after_a_replacement_only_the_new_facts_bind() -> None:
    ruled = {pair("a", "b"): Resolution.REPLACE}
    three = [content("a", 1, material="S235"), content("b", 2, material="Cu"), content("c", 3, material="Cu")]
    assert versions.arrange(three, ruled).versions == ("a", "b", "c")


_CONTENTS = st.lists(
    st.builds(
        lambda name, minutes, material, area: content(name, minutes, material=material, area_mm2=area),
        st.sampled_from("abcdefgh"),
        st.integers(0, 3),
        st.sampled_from([None, "S235", "Cu"]),
        st.sampled_from([None, 50.0, 60.0]),
    ),
    unique_by=lambda each: each.sha256,
    max_size=8,
)
_RULINGS = st.dictionaries(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")).map(frozenset), st.sampled_from(Resolution)
)


@given(_CONTENTS, _RULINGS, st.integers())
def test_order_and_repetition_have_no_influence(
    contents: list[Content], rulings: Mapping[frozenset[str], Resolution], seed: int
) -> None:
    again = contents + contents[:3]
    Random(seed).shuffle(again)
    assert versions.arrange(again, rulings) == versions.arrange(contents, rulings)


@given(_CONTENTS, _RULINGS)
def test_every_content_stands_somewhere_and_only_once(
    contents: list[Content], rulings: Mapping[frozenset[str], Resolution]
) -> None:
    found = versions.arrange(contents, rulings)
    waiting = [conflict.waiting for conflict in found.conflicts]
    assert sorted([*found.versions, *waiting, *found.set_aside]) == sorted(each.sha256 for each in contents)
    assert bool(found.versions) == bool(contents)
    assert all(conflict.standing in found.versions and conflict.differences for conflict in found.conflicts)


@given(_CONTENTS)
def test_versions_agree_with_each_other_and_their_times_differ(contents: list[Content]) -> None:
    found = versions.arrange(contents, {})
    chain = [next(each for each in contents if each.sha256 == name) for name in found.versions]
    for earlier, later in ((a, b) for n, a in enumerate(chain) for b in chain[n + 1 :]):
        assert earlier.revised_at < later.revised_at
        assert not list(versions.differences(earlier.facts, later.facts))


@given(_CONTENTS)
def test_a_ruling_ends_its_conflict(contents: list[Content]) -> None:
    for conflict in versions.arrange(contents, {}).conflicts:
        for resolution in Resolution:
            ruled = versions.arrange(contents, {pair(conflict.standing, conflict.waiting): resolution})
            assert pair(conflict.standing, conflict.waiting) not in {
                pair(c.standing, c.waiting) for c in ruled.conflicts
            }


def test_facts_of_a_content_do_not_change_its_rank() -> None:
    one = content("a", 1, material="S235")
    assert one.rank == replace(one, facts=Facts()).rank
