"""Where evaluations run: in this process, or spread over several that read the curves themselves.

A worker takes whole tests, so nothing but numbers of tests goes in and results come out; the order is kept.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import psycopg

from meva_pipelines.domain.tensile import plausibility
from meva_pipelines.domain.tensile.evaluation import evaluator
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.values import Evaluation
from meva_pipelines.resources import tensile_results
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_results import Row, Test
from meva_pipelines.schema.roles import Role

_TESTS_AT_ONCE = 16


def evaluated(postgres: Postgres, tests: Sequence[Test], recipe: Recipe, *, processes: int) -> Iterator[Row]:
    """Yield the evaluation of every test, in their order.

    With one process everything happens here; several are started afresh, so that no connection is shared.
    """
    if processes == 1:
        yield from _several(postgres, tests, recipe)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as workers:
        address, home = postgres.dsn(), postgres.home
        chunks = [
            workers.submit(_in_worker, address, home, tests[start : start + _TESTS_AT_ONCE], recipe)
            for start in range(0, len(tests), _TESTS_AT_ONCE)
        ]
        for chunk in chunks:
            yield from chunk.result()


def _in_worker(address: str, home: str, tests: Sequence[Test], recipe: Recipe) -> list[Row]:
    return list(_several(Postgres(url=address, home=home), tests, recipe))


def _several(postgres: Postgres, tests: Sequence[Test], recipe: Recipe) -> Iterator[Row]:
    with postgres.connect(Role.READER, work="evaluate tests") as connection:
        for test in tests:
            yield evaluate(connection, test, recipe)


def evaluate(connection: psycopg.Connection, test: Test, recipe: Recipe) -> Row:
    """Evaluate one published test and look for what cannot be true of it."""
    found = evaluation(connection, test, recipe)
    return tensile_results.row(test, found, [broken.rule for broken in plausibility.contradictions(found)])


def evaluation(connection: psycopg.Connection, test: Test, recipe: Recipe) -> Evaluation:
    """Return the whole evaluation of one published test, with what a picture of it draws.

    What turns out to be no metal is evaluated by the strain band of ISO 527 instead.
    """
    curve = tensile_results.curve(connection, test)
    found = evaluator.evaluate(curve, test.specimen, recipe, rows_after_break=test.rows_after_break)
    if found.is_metal is False and recipe.slope is SlopeMethod.STRESS_BAND:  # a band in shares of Rp0.2 needs an Rp0.2
        by_strain = replace(recipe, slope=SlopeMethod.STRAIN_BAND)
        found = evaluator.evaluate(curve, test.specimen, by_strain, rows_after_break=test.rows_after_break)
    return found
