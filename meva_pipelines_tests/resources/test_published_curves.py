"""A published curve is the same wherever it lies, and no other one is ever taken for it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines.domain.simulation import curves
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.published_curves import Curves
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archived_rows import FIRED, SERIES
from meva_pipelines_tests.resources.curve_laboratory import Laboratory, part_of, shape


@pytest.fixture
def laboratory(postgres: Postgres, store: ObjectStore) -> Laboratory:
    return Laboratory(postgres, store)


@pytest.fixture
def reading(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A connection as a reader of the published tables."""
    with postgres.connect(Role.READER, work="test") as connection:
        yield connection


def fresh(laboratory: Laboratory, reading: psycopg.Connection) -> Curves:
    return Curves(reading, laboratory.files)


@pytest.mark.parametrize("is_cold", [False, True])
def test_curves_are_those_that_were_published(
    laboratory: Laboratory, reading: psycopg.Connection, *, is_cold: bool
) -> None:
    """A simulation by its one curve; a firing by the mean of its files, in their order and not in that of their ids."""
    for table in (SERIES, FIRED) if is_cold else ():
        laboratory.commit(table)
    found = fresh(laboratory, reading)
    one = found.simulated(laboratory.simulations[1])
    several = found.measured(laboratory.firings[1])
    simulated, measured = shape(31, 1), (shape(32, 7), shape(32, 8))
    assert one.sha256 == simulated.sha256
    assert several.sha256 == curves.together([curve.sha256 for curve in measured])
    for trace, expected in ((one.trace, simulated.trace()), (several.trace, curves.mean(measured))):
        assert isinstance(trace, Trace)
        np.testing.assert_array_equal(trace.time_ms, expected.time_ms)
        np.testing.assert_array_equal(trace.pressure_mpa, expected.pressure_mpa)


def test_a_curve_of_which_some_rows_are_hot_again_is_taken_from_the_archive(
    laboratory: Laboratory, reading: psycopg.Connection
) -> None:
    laboratory.execute(
        "CREATE TABLE public.kept AS SELECT * FROM mgg.simulation_time_series WHERE sequence_number < 99"
    )
    laboratory.commit(SERIES)
    laboratory.execute("INSERT INTO mgg.simulation_time_series OVERRIDING SYSTEM VALUE SELECT * FROM public.kept")
    assert fresh(laboratory, reading).simulated(1).sha256 == shape(30, 0).sha256


def test_a_curve_that_is_not_the_published_one_is_no_curve(laboratory: Laboratory, reading: psycopg.Connection) -> None:
    laboratory.execute("UPDATE mgg.simulation_time_series SET pressure = 0 WHERE sequence_number = 50")
    with pytest.raises(Refused, match=r"neither in mgg\.simulation_time_series nor in the archive"):
        fresh(laboratory, reading).simulated(1)
    laboratory.execute("UPDATE mgg.test_result_files SET curve_sha256 = NULL")
    with pytest.raises(Refused, match="firing 1 has no curve"):
        fresh(laboratory, reading).measured(1)


def test_a_damaged_part_is_opened_once(laboratory: Laboratory, reading: psycopg.Connection, tmp_path: Path) -> None:
    """Thousands of pairs may wait for one part; the next run finds it when it was brought back."""
    laboratory.commit(SERIES)
    path = tmp_path / "store" / part_of(SERIES).key
    sound = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(sound[:-100] + bytes(100))
    found = fresh(laboratory, reading)
    with pytest.raises(Rejected, match=r"2024-Q1\.parquet .* is damaged"):
        found.simulated(1)
    path.write_bytes(sound)
    with pytest.raises(Rejected, match="is damaged"):
        found.simulated(2)
    assert fresh(laboratory, reading).simulated(2).sha256 == shape(31, 1).sha256
