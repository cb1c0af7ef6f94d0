"""Cold parts read again: a sound one tells what it holds, and no damage is ever silent."""

import hashlib
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from pyarrow import parquet

from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import StoreUnavailable, Unusable
from meva_pipelines.resources import archive_export, archive_reading, archive_schemas
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.archived_rows import FIRED, HISTORY, LOGS, MONTH, QUARTER, SERIES
from meva_pipelines_tests.resources.test_archive_export import lay_points, written

PART = Part(SERIES, QUARTER)
FLIPS = 300


@pytest.fixture
def files(store: ObjectStore) -> ColdFiles:
    return ColdFiles(store)


@pytest.fixture
def sound(postgres: Postgres, files: ColdFiles) -> str:
    """A part that lies there, by its SHA-256."""
    lay_points(postgres.dsn(), 2_000, curves=10)
    return written(postgres, files).sha256


def path_of(files: ColdFiles, part: Part = PART) -> Path:
    return Path(files.store.uri(part.key).removeprefix("file://"))


def place(files: ColdFiles, part: Part, rows: pa.Table, *, labels: dict[str, str] | None = None) -> str:
    """Put a file of our own making where a part lies, and return its SHA-256."""
    labelled = rows.replace_schema_metadata(archive_export.labels(part, 1) if labels is None else labels)
    path = path_of(files, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(labelled, path, write_page_checksum=True)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def points(*numbers: int, **columns: list[object]) -> pa.Table:
    """A series with these points."""
    plain: dict[str, list[object]] = {
        "id": list(numbers),
        "simulation_id": [7] * len(numbers),
        "sequence_number": list(numbers),
        "time_point": [Decimal(number % 100) / 100 for number in numbers],
        "pressure": [Decimal(number % 100) for number in numbers],
        "created_at": [QUARTER.start] * len(numbers),
    }
    return pa.Table.from_pydict(plain | columns, archive_schemas.current(SERIES).schema)


def rule_of(files: ColdFiles, sha256: str, part: Part = PART) -> str:
    with pytest.raises(Unusable) as damage:
        archive_reading.read(files, part, sha256=sha256)
    assert part.key in str(damage.value) or damage.value.rule == "archive_schema"
    return damage.value.rule


def test_every_flipped_bit_is_seen(files: ColdFiles, sound: str) -> None:
    path, random = path_of(files), Random(7)
    content = path.read_bytes()
    for bit in random.sample(range(8 * len(content)), FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert rule_of(files, sound) == "archive_bytes"
    path.write_bytes(content)
    archive_reading.read(files, PART, sha256=sound)


def test_a_flipped_bit_of_a_page_is_seen_even_where_nobody_knows_the_file(files: ColdFiles, sound: str) -> None:
    """Readers that have no SHA-256 rely on the checksums of the pages: their content never changes silently."""
    path, random = path_of(files), Random(8)
    content = path.read_bytes()
    whole = archive_reading.read(files, PART, sha256=sound)
    footer = int.from_bytes(content[-8:-4], "little") + 8
    seen = 0
    for bit in random.sample(range(8 * 4, 8 * (len(content) - footer)), FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = archive_reading.read(files, PART, sha256=hashlib.sha256(flipped).hexdigest())
        except Unusable as damage:
            seen += damage.rule in {"archive_pages", "archive_order"}
        else:
            assert found.extent == whole.extent  # the bit was one of a page's head that says nothing of its rows
            seen += 1
    assert seen == FLIPS


@pytest.mark.parametrize("kept", [0, 1, 0.5, -8, -1])
def test_a_truncated_file_is_seen(files: ColdFiles, sound: str, kept: float) -> None:
    path = path_of(files)
    content = path.read_bytes()
    left = content[: int(len(content) * kept)] if kept == 0.5 else content[: int(kept)]
    path.write_bytes(left)
    assert rule_of(files, sound) == "archive_bytes"
    assert rule_of(files, hashlib.sha256(left).hexdigest()) == "archive_pages"


def test_a_valid_file_of_another_part_is_seen(files: ColdFiles) -> None:
    """Periods, generations and tables of the same columns may be mixed up by whoever copies files."""
    rows = points(0, 1, 2)
    for other in (Part(SERIES, QUARTER, 2), Part(SERIES, Period.named("2024-Q2")), Part(FIRED, QUARTER)):
        sha256 = place(files, PART, rows, labels=archive_export.labels(other, 1))
        assert rule_of(files, sha256) == "archive_labels"
    assert rule_of(files, place(files, PART, rows, labels={})) == "archive_labels"


def test_a_file_of_other_columns_is_seen(files: ColdFiles) -> None:
    rows = points(0, 1)
    for other in (
        rows.drop_columns(["pressure"]),
        rows.rename_columns(["id", "simulation_id", "sequence_number", "pressure", "time_point", "created_at"]),
        rows.append_column("note", pa.array(["", ""])),
        rows.set_column(4, "pressure", rows["pressure"].cast(pa.float64())),
    ):
        assert rule_of(files, place(files, PART, other)) == "archive_schema"


@pytest.mark.parametrize("numbers", [(1, 0), (0, 0), (0, 2, 1)])
def test_keys_that_do_not_rise_are_seen(files: ColdFiles, numbers: tuple[int, ...]) -> None:
    assert rule_of(files, place(files, PART, points(*numbers))) == "archive_order"


def test_order_is_also_seen_between_batches(files: ColdFiles) -> None:
    numbers = [*range(70_000), 3]
    assert rule_of(files, place(files, PART, points(*numbers))) == "archive_order"


def test_a_file_is_not_held_in_memory_while_it_is_read(files: ColdFiles) -> None:
    """A reader of all row groups at once keeps the bytes of every one that it has read."""
    path, random = path_of(files), Random(9)
    path.parent.mkdir(parents=True)
    rows = points(*range(200_000), id=[random.getrandbits(62) for _ in range(200_000)])
    labelled = rows.replace_schema_metadata(archive_export.labels(PART, 1))
    parquet.write_table(labelled, path, row_group_size=1_000, write_page_checksum=True)
    sha256, held = hashlib.sha256(path.read_bytes()).hexdigest(), [pa.total_allocated_bytes()]
    found = archive_reading.read(files, PART, sha256=sha256, each=lambda _: held.append(pa.total_allocated_bytes()))
    assert (found.row_groups, len(held)) == (200, 201)
    assert max(held) - held[0] < path.stat().st_size / 4


def test_rows_of_another_time_are_counted(files: ColdFiles) -> None:
    moments: list[object] = [QUARTER.start, QUARTER.end]
    found = archive_reading.read(files, PART, sha256=place(files, PART, points(0, 1, created_at=moments)))
    assert found.rows_outside == 1
    profiles = {profile.name: (profile.least, profile.greatest) for profile in found.profiles}
    assert profiles["pressure"] == (Decimal(0), Decimal(1))
    assert profiles["created_at"] == (QUARTER.start, QUARTER.end)


def test_a_part_without_rows_is_one(files: ColdFiles) -> None:
    found = archive_reading.read(files, PART, sha256=place(files, PART, points()))
    assert (found.extent.rows, found.extent.digest, found.extent.min_key) == (0, "0", None)


def test_a_file_that_is_not_there_is_unavailable(files: ColdFiles) -> None:
    with pytest.raises(StoreUnavailable, match="cannot read object parquet_archive/operation_logs/2024-02"):
        archive_reading.read(files, Part(LOGS, MONTH), sha256="")


def test_texts_are_not_told_in_profiles(files: ColdFiles, postgres: Postgres) -> None:
    part = Part(HISTORY, QUARTER)
    found = archive_reading.read(files, part, sha256=written(postgres, files, part).sha256)
    assert {profile.name for profile in found.profiles} == set(archive_schemas.current(HISTORY).schema.names)
    assert all(profile.least is None for profile in found.profiles)


def test_a_reading_that_ends_early_can_be_done_again(
    files: ColdFiles, sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MEVA_FAILPOINTS", ",".join(f"{Point.ARCHIVE_REREAD.value}:raise@{n}" for n in range(1, 2_000)))
        with pytest.raises(Injected):
            archive_reading.read(files, PART, sha256=sound)
    assert archive_reading.read(files, PART, sha256=sound).extent.rows == 20_000
