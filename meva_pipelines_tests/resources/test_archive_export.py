"""Hot rows to a file and back: every value arrives, in order, in a form that other programs read."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.resources import archive_digests, archive_export, archive_reading, archive_schemas
from meva_pipelines.resources.archive_digests import Extent
from meva_pipelines.resources.archive_export import Written
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources import archived_rows
from meva_pipelines_tests.resources.archived_rows import HISTORY, QUARTER, SERIES

PART = Part(SERIES, QUARTER)
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15)

_WRITE_ON_A_FULL_DISK = """
import resource, signal, sys
from meva_pipelines.domain.failures import MevaError
from meva_pipelines_tests.resources.test_archive_export import PART, hot, written
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
postgres, files = Postgres(url=sys.argv[1], home="."), ColdFiles(ObjectStore(url=sys.argv[2]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    written(postgres, files)
except MevaError as error:
    print(type(error).__name__, error, end="")
"""


@pytest.fixture
def files(store: ObjectStore) -> ColdFiles:
    return ColdFiles(store)


def hot(postgres: Postgres, part: Part = PART) -> Extent:
    with postgres.connect(Role.ARCHIVER, work="test") as connection:
        return archive_digests.hot(connection, part.table, part.period)


def written(postgres: Postgres, files: ColdFiles, part: Part = PART) -> Written:
    return archive_export.write(postgres, files, part, hot(postgres, part))


def table_of(files: ColdFiles, part: Part = PART) -> pa.Table:
    with files.open(part.key) as file:
        return parquet.read_table(file)


def lay_points(dsn: str, points: int, curves: int = 1) -> None:
    """Let these be the rows of the series: points that rise and fall by a few pascals."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SELECT mgg.ensure_partition('simulation_time_series', %s)", [QUARTER.start])
        connection.execute("TRUNCATE mgg.simulation_time_series")
        connection.execute(
            "INSERT INTO mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure, created_at)"
            " SELECT s, n, n * 0.01, sin(n / 99.0) * 40 - 0.000001 * (n %% 7), %s + s * interval '1 hour'"
            " FROM generate_series(1, %s) AS s, generate_series(0, %s - 1) AS n ORDER BY n, s",
            [QUARTER.start, curves, points],
        )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@SHARED
@given(data=st.data())
def test_every_value_arrives(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, table: Archived, data: st.DataObject
) -> None:
    rows = data.draw(archived_rows.rows_of(table))
    part = Part(table, archived_rows.period_of(table), data.draw(st.integers(1, 3)))
    archived_rows.lay(postgres.dsn(), table, rows)
    files = ColdFiles(ObjectStore(url=tmp_path_factory.mktemp("store").as_uri()))
    found = written(postgres, files, part)
    expected = pa.Table.from_batches([archived_rows.batch_of(table, rows)])
    assert table_of(files, part).replace_schema_metadata(None).equals(expected)
    assert archive_reading.read(files, part, sha256=found.sha256).extent == found.extent == hot(postgres, part)


def test_rows_that_come_in_many_pieces_are_one_ordered_file(postgres: Postgres, files: ColdFiles) -> None:
    lay_points(postgres.dsn(), 4_000, curves=40)
    found = written(postgres, files)
    seen: list[pa.RecordBatch] = []
    again = archive_reading.read(files, PART, sha256=found.sha256, each=seen.append)
    assert (again.extent, again.rows_outside, again.forbidden_nulls) == (hot(postgres), 0, 0)
    assert (again.extent.rows, again.row_groups, again.size) == (160_000, 3, found.size)
    keys = pa.Table.from_batches(seen).select(["simulation_id", "sequence_number"]).to_pydict()
    pairs = list(zip(keys["simulation_id"], keys["sequence_number"], strict=True))
    assert pairs == [(curve, point) for curve in range(1, 41) for point in range(4_000)]


def test_other_programs_read_decimals_and_moments(postgres: Postgres, files: ColdFiles, store: ObjectStore) -> None:
    lay_points(postgres.dsn(), 500, curves=3)
    written(postgres, files)
    path = Path(store.uri(PART.key).removeprefix("file://"))
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("SET timezone = 'UTC'")
        theirs = connection.execute(
            "SELECT sum(pressure), min(pressure), max(time_point), count(*), max(created_at)"
            " FROM mgg.simulation_time_series"
        ).fetchone()
    with duckdb.connect() as duck:
        duck.execute("SET timezone = 'UTC'")
        ours = duck.execute(
            "SELECT sum(pressure), min(pressure), max(time_point), count(*), epoch_us(max(created_at))"
            " FROM read_parquet($1)",
            [str(path)],
        ).fetchone()
        types = duck.execute("DESCRIBE SELECT pressure, created_at FROM read_parquet($1)", [str(path)]).fetchall()
    assert theirs is not None
    assert ours is not None
    assert ours[:4] == theirs[:4]
    assert ours[4] == int(theirs[4].timestamp()) * 10**6
    assert [row[1] for row in types] == ["DECIMAL(10,6)", "TIMESTAMP WITH TIME ZONE"]
    frame = pd.read_parquet(path)
    assert frame["pressure"].sum() == theirs[0]
    assert isinstance(frame["pressure"].iloc[0], Decimal)
    assert frame["created_at"].max().to_pydatetime() == theirs[4]


def test_a_file_says_what_it_is_and_is_small(postgres: Postgres, files: ColdFiles) -> None:
    lay_points(postgres.dsn(), 2_000, curves=20)
    found = written(postgres, files)
    with files.open(PART.key) as file:
        opened = parquet.ParquetFile(file)
        labels = {name.decode(): value.decode() for name, value in opened.schema_arrow.metadata.items()}
        group = opened.metadata.row_group(0)
    assert labels == {
        "meva.part": "simulation_time_series/2024-Q1/g1",
        "meva.table": "simulation_time_series",
        "meva.period": "2024-Q1",
        "meva.generation": "1",
        "meva.schema_version": "1",
    }
    assert [one.column_index for one in group.sorting_columns] == [1, 2, 5]
    assert {group.column(place).compression for place in range(6)} == {"ZSTD"}
    manifest = files.manifest(PART)
    assert (manifest.rows, manifest.sha256, manifest.size) == (40_000, found.sha256, found.size)
    assert found.size < 3 * 40_000


def test_writing_the_same_rows_again_changes_nothing(postgres: Postgres, files: ColdFiles) -> None:
    lay_points(postgres.dsn(), 100)
    first = written(postgres, files)
    assert written(postgres, files) == first
    assert [one.key for one in files.listed()] == [PART.manifest_key, PART.key]


def test_other_rows_never_replace_a_file(postgres: Postgres, files: ColdFiles) -> None:
    lay_points(postgres.dsn(), 100)
    first = written(postgres, files)
    lay_points(postgres.dsn(), 101)
    with pytest.raises(Refused, match="never overwritten"):
        written(postgres, files)
    assert files.store.sha256(PART.key) == first.sha256
    assert written(postgres, files, Part(SERIES, QUARTER, 2)).rows == 101


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("DELETE FROM mgg.simulation_time_series WHERE sequence_number = 7", id="deleted"),
        pytest.param(
            "UPDATE mgg.simulation_time_series SET pressure = -pressure WHERE sequence_number = 7", id="changed"
        ),
        pytest.param(
            "INSERT INTO mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure, created_at)"
            " VALUES (2, 0, 0, 0, '2024-02-01Z')",
            id="inserted",
        ),
    ],
)
def test_rows_that_changed_since_they_were_planned_make_no_file(
    postgres: Postgres, files: ColdFiles, change: str
) -> None:
    lay_points(postgres.dsn(), 100)
    planned = hot(postgres)
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(change.encode())
    with pytest.raises(Rejected, match="changed in between"):
        archive_export.write(postgres, files, PART, planned)
    assert files.listed() == []
    assert partials(files) == []


def partials(files: ColdFiles) -> list[Path]:
    return list(Path(files.store.uri("x").removeprefix("file://")).parent.rglob("*.partial"))


def test_a_decimal_that_is_no_number_is_rejected_by_name(postgres: Postgres, files: ColdFiles) -> None:
    lay_points(postgres.dsn(), 10)
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE mgg.simulation_time_series SET pressure = 'NaN' WHERE sequence_number = 3")
    with pytest.raises(Rejected, match="no finite number"):
        written(postgres, files)
    assert files.listed() == []


def test_a_full_disk_leaves_nothing_and_is_named(postgres: Postgres, files: ColdFiles) -> None:
    lay_points(postgres.dsn(), 4_000, curves=20)
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_ON_A_FULL_DISK, postgres.dsn(), files.store.url],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == f"StoreUnavailable cannot write object {PART.key}: File too large"
    assert files.listed() == []
    assert partials(files) == []
    assert written(postgres, files).rows == 80_000


@pytest.mark.parametrize(
    ("point", "left"),
    [
        (Point.ARCHIVE_PARTIAL_WRITTEN, []),
        (Point.OBJECT_BEFORE_LINK, []),
        (Point.ARCHIVE_OBJECT_WRITTEN, [PART.key]),
        (Point.ARCHIVE_MANIFEST_WRITTEN, [PART.manifest_key, PART.key]),
    ],
)
def test_a_step_that_fails_is_done_again(
    postgres: Postgres, files: ColdFiles, monkeypatch: pytest.MonkeyPatch, point: Point, left: list[str]
) -> None:
    lay_points(postgres.dsn(), 100)
    with monkeypatch.context() as patch:
        patch.setenv("MEVA_FAILPOINTS", ",".join(f"{point.value}:raise@{visit}" for visit in range(1, 50)))
        with pytest.raises(Injected):
            written(postgres, files)
    assert [one.key for one in files.listed()] == left
    assert partials(files) == []
    assert written(postgres, files).rows == 100
    assert [one.key for one in files.listed()] == [PART.manifest_key, PART.key]


def test_long_texts_are_written_in_small_pieces(postgres: Postgres, files: ColdFiles) -> None:
    """Ten thousand images with a long remark each: more than one piece, and all in one row group."""
    names = archive_schemas.current(HISTORY).schema.names
    with psycopg.connect(postgres.dsn()) as connection:
        connection.execute(
            "INSERT INTO aed.aed_history (token, change, valid_from, valid_to, id, source, source_id, data_status,"
            " first_seen_date, consecutive_missing_days, row_hash, sync_batch_id, created_at, updated_at, remarks)"
            " SELECT n, 'updated', %(at)s, %(at)s, n, 's', n::text, 'active', '2024-01-01', 0, '\\xff00', 1, %(at)s,"
            " %(at)s, repeat('비고 ', n %% 300) FROM generate_series(1, 10000) AS n",
            {"at": QUARTER.start},
        )
    part = Part(HISTORY, QUARTER)
    found = written(postgres, files, part)
    again = archive_reading.read(files, part, sha256=found.sha256)
    assert (again.extent, again.row_groups) == (hot(postgres, part), 1)
    nulls = {profile.name: profile.nulls for profile in again.profiles}
    assert list(nulls) == names
    assert (nulls["remarks"], nulls["longitude"], nulls["token"]) == (0, 10_000, 0)
