"""Paging returns only what is proved whole, whatever a source answers."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meva_pipelines.domain import paging
from meva_pipelines.domain.failures import Incomplete
from meva_pipelines.domain.paging import Complete, PageFacts, PageQuery


def honest(query: PageQuery, total: int, *, cap: int = 10**9) -> PageFacts:
    size = min(query.size, cap)
    return PageFacts(query.number, max(0, min(size, total - size * (query.number - 1))), total, size)


def answer_all(
    answers: list[PageFacts], *, size: int = 10, may_be_empty: bool = False
) -> tuple[Complete, list[PageQuery]]:
    """Play a script of answers; the last one is repeated when the script ends."""
    conversation = paging.converse(size, may_be_empty=may_be_empty)
    queries = [next(conversation)]
    script = iter(answers)
    while True:
        try:
            queries.append(conversation.send(next(script, answers[-1])))
        except StopIteration as end:
            return end.value, queries


@pytest.mark.parametrize(
    ("total", "pages"), [(0, (0,)), (1, (1,)), (9, (9,)), (10, (10,)), (11, (10, 1)), (30, (10, 10, 10))]
)
def test_a_plan_fills_every_page_but_the_last(total: int, pages: tuple[int, ...]) -> None:
    assert paging.plan(total, 10) == pages


@pytest.mark.parametrize(("total", "size"), [(-1, 10), (10, 0)])
def test_a_plan_of_nonsense_is_refused(total: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        paging.plan(total, size)


def test_a_quiet_source_is_paged_once() -> None:
    complete, queries = answer_all([PageFacts(1, 10, 25, 10), PageFacts(2, 10, 25, 10), PageFacts(3, 5, 25, 10)])

    assert complete == Complete(pages=3, rows=25, total=25, generation=1, restarts=0)
    assert [query.number for query in queries] == [1, 2, 3]


def test_a_changed_total_begins_the_set_anew() -> None:
    complete, queries = answer_all(
        [PageFacts(1, 10, 15, 10), PageFacts(2, 6, 16, 10), PageFacts(1, 10, 16, 10), PageFacts(2, 6, 16, 10)]
    )

    assert complete == Complete(pages=2, rows=16, total=16, generation=2, restarts=1)
    assert [(query.generation, query.number) for query in queries] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_source_that_grants_fewer_rows_per_page_is_taken_at_its_word() -> None:
    complete, queries = answer_all([PageFacts(1, 4, 6, 4), PageFacts(2, 2, 6, 4)])

    assert (complete.rows, [query.size for query in queries]) == (6, [10, 4])


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (PageFacts(1, 10, 15, 10), "page 1 came for page 2"),
        (PageFacts(2, 4, 15, 10), "page 2 has 4 rows where 5 were due"),
        (PageFacts(2, 10, 15, 10), "page 2 has 10 rows"),
        (PageFacts(2, 0, 15, 10), "page 2 has 0 rows"),
        (PageFacts(2, 5, 15, 5), "size changed from 10 to 5"),
        (PageFacts(2, 6, 16, 10), "total changed from 15 to 16"),
    ],
)
def test_a_contradiction_that_stays_is_never_complete(second: PageFacts, reason: str) -> None:
    first = PageFacts(1, 10, 15, 10)

    with pytest.raises(Incomplete, match=reason):
        answer_all([first, second] * 3)


@pytest.mark.parametrize("facts", [PageFacts(1, 5, 15, 20), PageFacts(1, 15, 15, 0), PageFacts(1, 3, 0, 10)])
def test_a_first_page_that_contradicts_itself_is_never_complete(facts: PageFacts) -> None:
    with pytest.raises(Incomplete):
        answer_all([facts])


def test_a_country_without_devices_is_never_believed() -> None:
    nothing = PageFacts(1, 0, 0, 10)

    with pytest.raises(Incomplete, match="never believed"):
        answer_all([nothing])
    assert answer_all([nothing], may_be_empty=True)[0] == Complete(1, 0, 0, 1, 0)


FACTS = st.builds(PageFacts, st.integers(1, 4), st.integers(0, 6), st.integers(0, 12), st.integers(0, 6))


@settings(max_examples=300, deadline=None)
@given(
    total=st.integers(0, 12),
    lies=st.dictionaries(st.integers(0, 8), st.one_of(FACTS, st.sampled_from(["short", "other total", "other page"]))),
    cap=st.integers(1, 6),
)
def test_complete_always_means_every_page_of_one_generation_fitted(
    total: int, lies: dict[int, PageFacts | str], cap: int
) -> None:
    """Whatever a source answers, Complete is returned only for pages that add up to an unchanged total."""
    conversation = paging.converse(4, may_be_empty=True)
    query = next(conversation)
    seen: dict[int, list[tuple[PageQuery, PageFacts]]] = {}
    for turn in range(100):
        facts = distorted(honest(query, total, cap=cap), lies.get(turn))
        seen.setdefault(query.generation, []).append((query, facts))
        try:
            query = conversation.send(facts)
        except Incomplete:
            return
        except StopIteration as end:
            assert_is_whole(end.value, seen)
            return
    raise AssertionError("the conversation did not end")


def distorted(facts: PageFacts, lie: PageFacts | str | None) -> PageFacts:
    if isinstance(lie, PageFacts):
        return lie
    changes = {"short": {"rows": max(0, facts.rows - 1)}, "other total": {"total": facts.total + 1}}
    return replace(facts, **changes.get(lie or "", {"number": facts.number + 1} if lie else {}))


def assert_is_whole(complete: Complete, seen: dict[int, list[tuple[PageQuery, PageFacts]]]) -> None:
    pages = seen[complete.generation]
    assert complete.generation == max(seen)
    assert complete.rows == complete.total == sum(facts.rows for _, facts in pages)
    assert [facts.number for _, facts in pages] == list(range(1, complete.pages + 1))
    assert {facts.total for _, facts in pages} == {complete.total}
    assert all(facts.rows == facts.size for _, facts in pages[:-1])
