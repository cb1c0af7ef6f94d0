"""Any question to any world of hot rows and cold parts is answered as a loop over a list would."""

from collections import Counter
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Not, Operator
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.resources import archive_predicates, hot_and_cold
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.domain.archive.filter_strategies import TEXTS, trees
from meva_pipelines_tests.domain.archive.naive import answer
from meva_pipelines_tests.resources.cold_worlds import HISTORY, World, image

COLUMNS = {
    name: kind
    for name, kind in archive_predicates.nameable(HISTORY, Role.READER).items()
    if name in {"history_id", "valid_to", "model_name", "latitude", "installation_date", "consecutive_missing_days"}
}
QUARTERS = [Period.named("2023-Q4"), Period.named("2024-Q1")]
PLACES = ["hot", 1, 2, 3]

VALUES = st.fixed_dictionaries(
    {
        "model_name": st.none() | TEXTS,
        "latitude": st.none() | st.integers(-30, 30).map(lambda number: Decimal(number).scaleb(-8)),
        "installation_date": st.none() | st.dates(date(2023, 12, 29), date(2024, 1, 3)),
        "consecutive_missing_days": st.integers(-4, 4),
    }
)


@pytest.fixture
def world(postgres: Postgres, tmp_path: Path) -> World:
    return World(postgres, tmp_path)


@st.composite
def histories(draw: st.DrawFn) -> dict[Any, list[dict[str, Any]]]:
    """Rows by place, (period, generation) or (period, "hot"); a key may lie in several places, each time otherwise."""
    places: dict[Any, list[dict[str, Any]]] = {}
    for number in range(-3, draw(st.integers(-3, 8))):
        period = draw(st.sampled_from(QUARTERS))
        edge = period.start if period is QUARTERS[1] else period.end - timedelta(microseconds=1)
        ages = st.just(edge) | st.datetimes(period.start.replace(tzinfo=None), edge.replace(tzinfo=None)).map(
            lambda moment: moment.replace(tzinfo=UTC)
        )
        age = edge if period is QUARTERS[1] else draw(ages)
        for place in draw(st.sets(st.sampled_from(PLACES), min_size=1, max_size=3)):
            values = draw(VALUES)
            places.setdefault((period, place), []).append({"history_id": number, "valid_to": age, **values})
    return places


@st.composite
def queries(draw: st.DrawFn) -> Query:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True, max_size=3))
    sort = tuple(Sort(name, draw(st.booleans())) for name in names)
    return Query(
        HISTORY,
        draw(st.just(EVERYTHING) | trees(COLUMNS)),
        columns=tuple(draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True, min_size=1))),
        sort=sort,
        limit=draw(st.none() | st.integers(0, 9)),
        offset=draw(st.integers(0, 4)) if sort else 0,
    )


@st.composite
def first_rows(draw: st.DrawFn) -> Query:
    """A question for which few hot rows suffice, so that they bound what is read of the cold ones."""
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True, min_size=1, max_size=2))
    return Query(
        HISTORY,
        columns=("history_id",),
        sort=tuple(Sort(name, draw(st.booleans())) for name in names),
        limit=draw(st.integers(1, 3)),
        offset=draw(st.integers(0, 1)),
    )


def truth(places: dict[Any, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Of each key, the row of the highest place."""
    rows: dict[int, dict[str, Any]] = {}
    for _, place in sorted(places, key=lambda at: PLACES.index(at[1]) or len(PLACES)):
        for period in QUARTERS:
            rows |= {row["history_id"]: row for row in places.get((period, place), [])}
    return list(rows.values())


def lay(world: World, places: dict[Any, list[dict[str, Any]]]) -> None:
    world.clear(HISTORY)
    for (period, place), rows in places.items():
        if place == "hot":
            world.lay_hot(HISTORY, [image(**row) for row in rows])
        else:
            world.lay_cold(HISTORY, period, place, [image(**row) for row in rows], group_rows=2)


def asked(world: World, query: Query) -> list[dict[str, Any]]:
    with hot_and_cold.answer(world.postgres, world.files, query) as found:
        return [row for batch in found.batches for row in batch.to_pylist()]


def row(number: int, model_name: str) -> dict[str, Any]:
    values = {"model_name": model_name, "latitude": None, "installation_date": None, "consecutive_missing_days": 0}
    return {"history_id": number, "valid_to": QUARTERS[1].start, **values}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(histories(), st.lists(queries(), min_size=1, max_size=3), st.lists(first_rows(), min_size=2, max_size=2))
@example(
    {(QUARTERS[1], 1): [row(1, "a")], (QUARTERS[1], "hot"): [row(1, "b")]},
    [Query(HISTORY, Condition("model_name", Operator.EQ, "a"), columns=("history_id",))],
    [],
)
@example(
    {(QUARTERS[1], 1): [row(1, "100%\n")], (QUARTERS[1], "hot"): [row(2, "\\")]},
    [
        Query(HISTORY, Condition("model_name", Operator.LIKE, "100\\%_"), columns=("history_id",)),
        Query(HISTORY, Condition("model_name", Operator.LIKE, "\\\\"), columns=("history_id",)),
        Query(HISTORY, Not(Condition("model_name", Operator.LIKE, "%0%")), columns=("history_id",)),
    ],
    [],
)
def test_hot_and_cold_answer_as_one_list(
    world: World, places: dict[Any, list[dict[str, Any]]], questions: list[Query], firsts: list[Query]
) -> None:
    lay(world, places)
    rows = truth(places)
    for query in (*questions, *firsts):
        found, expected = asked(world, query), answer(query, rows)
        if query.sort:
            assert found == expected
        elif query.limit is None:
            assert counted(found) == counted(expected)
        else:
            everything = counted(answer(Query(HISTORY, query.filter, query.columns), rows))
            assert len(found) == len(expected)
            assert counted(found) <= everything
    total, _ = hot_and_cold.count(world.postgres, world.files, questions[0])
    assert total == len(answer(Query(HISTORY, questions[0].filter, ("history_id",)), rows))


def counted(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row.items()) for row in rows)
