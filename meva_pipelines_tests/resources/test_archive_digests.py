"""Digests: PostgreSQL's own value and ours agree on any rows, whatever their order, and disagree on any change."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.resources import archive_digests, archive_hashing, archive_schemas
from meva_pipelines.resources.archive_digests import Extent, Folded
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources import archived_rows
from meva_pipelines_tests.resources.archived_rows import HISTORY, SERIES

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
SEEDS = st.integers(1, 2**63 - 1)


@pytest.fixture(scope="module")
def server(server_url: str) -> Iterator[psycopg.Connection]:
    """A session on the server under test."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        yield connection


def folded(table: Archived, *batches: pa.RecordBatch) -> Extent:
    found = Folded(table)
    for batch in batches:
        found.add(batch)
    return found.extent()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@SHARED
@given(data=st.data())
def test_the_database_and_the_file_agree_on_any_rows(postgres: Postgres, table: Archived, data: st.DataObject) -> None:
    rows = data.draw(archived_rows.rows_of(table))
    archived_rows.lay(postgres.dsn(), table, rows)
    with postgres.connect(Role.ARCHIVER, work="test") as connection:
        hot = archive_digests.hot(connection, table, archived_rows.period_of(table))
    assert hot == folded(table, archived_rows.batch_of(table, rows))
    assert hot.rows == len(rows)


@SHARED
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), SEEDS)
def test_whole_numbers_are_hashed_as_by_the_server(server: psycopg.Connection, values: list[int], seed: int) -> None:
    seeds = np.full(len(values), seed, np.uint64)
    rows = server.execute(
        "SELECT hashint8extended(v, %s), hashint4extended((v & 65535)::int - 40000, %s) FROM unnest(%s::bigint[]) AS v",
        [seed, seed, values],
    ).fetchall()
    ours = archive_hashing.whole64(np.array(values), seeds).view(np.int64)
    small = archive_hashing.whole32((np.array(values) & 65_535).astype(np.int32) - 40_000, seeds).view(np.int64)
    assert rows == list(zip(ours.tolist(), small.tolist(), strict=True))


@pytest.mark.parametrize("places", [(4, 6), (3, 8), (2, 8), (6, 4), (10, 0), (0, 6), (8, 8)])
@SHARED
@given(data=st.data(), seed=SEEDS)
def test_decimals_are_hashed_as_by_the_server(
    server: psycopg.Connection, places: tuple[int, int], data: st.DataObject, seed: int
) -> None:
    most = 10 ** sum(places) - 1
    values = data.draw(st.lists(st.integers(-most, most) | st.sampled_from([0, 1, -1, most, 10 ** (sum(places) - 1)])))
    rows = server.execute(
        "SELECT hash_numeric_extended(v, %s) FROM unnest(%s::numeric[]) AS v",
        [seed, [Decimal(value).scaleb(-places[1]) for value in values]],
    ).fetchall()
    ours = archive_hashing.decimal(np.array(values, np.int64), places, np.full(len(values), seed, np.uint64))
    assert [row[0] for row in rows] == ours.view(np.int64).tolist()


@SHARED
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)), SEEDS)
def test_texts_are_hashed_as_by_the_server(server: psycopg.Connection, values: list[str], seed: int) -> None:
    rows = server.execute(
        'SELECT hashtextextended(v COLLATE "C", %s) FROM unnest(%s::text[]) AS v', [seed, values]
    ).fetchall()
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)])
    letters = np.frombuffer(b"".join(encoded), np.uint8)
    ours = archive_hashing.text(letters, offsets, np.full(len(values), seed, np.uint64))
    assert [row[0] for row in rows] == ours.view(np.int64).tolist()


@SHARED
@given(data=st.data())
def test_neither_order_nor_batches_matter(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(list(TABLES.values())))
    batch = archived_rows.batch_of(table, data.draw(archived_rows.rows_of(table)))
    order = data.draw(st.permutations(range(batch.num_rows)))
    cut = data.draw(st.integers(0, batch.num_rows))
    shuffled = batch.take(pa.array(order))
    whole, pieces = folded(table, batch), folded(table, shuffled.slice(cut), shuffled.slice(0, cut))
    assert (whole.rows, whole.digest) == (pieces.rows, pieces.digest)


@SHARED
@given(data=st.data())
def test_any_other_value_is_another_digest(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(list(TABLES.values())))
    rows = data.draw(archived_rows.rows_of(table, most=5))
    others = data.draw(archived_rows.rows_of(table, most=1))
    at, name = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from(list(others[0])))
    changed = [row | {name: others[0][name]} if place == at else row for place, row in enumerate(rows)]
    before, after = (folded(table, archived_rows.batch_of(table, some)).digest for some in (rows, changed))
    assert (before == after) == (rows[at][name] == others[0][name])


POINT = {"id": 1, "simulation_id": 7, "sequence_number": 0, "time_point": Decimal("0.01"), "pressure": Decimal("2.5")}
NEXT = POINT | {"id": 2, "sequence_number": 1, "time_point": Decimal("0.02"), "pressure": Decimal("3.25")}


def digest(*rows: dict[str, Any]) -> str:
    moment = {"created_at": archived_rows.QUARTER.start}
    return folded(SERIES, archived_rows.batch_of(SERIES, [moment | row for row in rows])).digest


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([POINT | {"pressure": Decimal("-2.5")}, NEXT], id="a sign"),
        pytest.param([POINT | {"pressure": Decimal("-2.5")}, NEXT | {"pressure": Decimal("-3.25")}], id="all signs"),
        pytest.param([POINT | {"time_point": POINT["pressure"], "pressure": POINT["time_point"]}, NEXT], id="columns"),
        pytest.param([POINT | {"pressure": NEXT["pressure"]}, NEXT | {"pressure": POINT["pressure"]}], id="rows"),
        pytest.param([POINT], id="a row less"),
        pytest.param([POINT, NEXT, NEXT | {"sequence_number": 2}], id="a row more"),
        pytest.param([POINT | {"pressure": Decimal(25)}, NEXT], id="a point moved by one digit"),
        pytest.param([POINT | {"pressure": Decimal("0.00025")}, NEXT], id="a point moved by four digits"),
    ],
)
def test_what_an_archive_may_mix_up_is_seen(changed: list[dict[str, Any]]) -> None:
    assert digest(*changed) != digest(POINT, NEXT)


def test_null_is_not_an_empty_text_and_not_that_of_the_next_column() -> None:
    rows = [
        {"remarks": remarks, "report_date": None, "postal_code": code} for remarks in (None, "") for code in (None, "")
    ]
    digests = {folded(HISTORY, pa.RecordBatch.from_pylist([whole_image(row)], schema=schema())).digest for row in rows}
    assert len(digests) == len(rows)


def whole_image(row: dict[str, Any]) -> dict[str, Any]:
    plain = dict.fromkeys(schema().names)
    key = {"history_id": 1, "token": 1, "change": "updated", "id": 1, "source": "s", "source_id": "s"}
    moments = dict.fromkeys(("valid_from", "valid_to", "created_at", "updated_at"), archived_rows.QUARTER.start)
    rest = {"data_status": "active", "first_seen_date": archived_rows.QUARTER.start.date(), "row_hash": b""}
    return plain | key | moments | rest | {"consecutive_missing_days": 0, "sync_batch_id": 1} | row


def schema() -> pa.Schema:
    return archive_schemas.current(HISTORY).schema


def test_no_rows_have_no_keys(postgres: Postgres) -> None:
    with postgres.connect(Role.ARCHIVER, work="test") as connection:
        assert archive_digests.hot(connection, HISTORY, archived_rows.QUARTER) == Extent(0, "0", None, None)
    assert folded(HISTORY) == Extent(0, "0", None, None)


def test_rows_of_the_next_period_do_not_count(postgres: Postgres) -> None:
    moments = [archived_rows.QUARTER.start, archived_rows.QUARTER.end]
    rows = [POINT | {"created_at": moment, "id": place} for place, moment in enumerate(moments)]
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("SELECT mgg.ensure_partition('simulation_time_series', %s)", [moments[1]])
    archived_rows.lay(postgres.dsn(), SERIES, rows)
    with postgres.connect(Role.ARCHIVER, work="test") as connection:
        found = archive_digests.hot(connection, SERIES, archived_rows.QUARTER)
    assert found.rows == 1
    assert found.max_key == ("7", "0", "2024-01-01T00:00:00.000000Z")


@SHARED
@given(archived_rows.rows_of(HISTORY, most=5))
def test_rows_of_an_older_version_are_hashed_as_they_were_then(rows: list[dict[str, Any]]) -> None:
    """A column that came later is no part of what was promised of them, whatever is read in its place."""
    today = archived_rows.batch_of(HISTORY, rows)
    old = today.drop_columns(["remarks"])
    found = Folded(HISTORY, archive_schemas.columns_of(old.schema))
    found.add(old)
    conformed = archive_schemas.conform(old, HISTORY)
    assert found.extent().rows == conformed.num_rows
    assert found.extent().digest != folded(HISTORY, conformed).digest
