"""Cold files in a store: streams that appear whole or not at all, manifests, and what may be collected."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Refused, StoreUnavailable, Unusable
from meva_pipelines.resources.cold_files import GRACE, ColdFiles, Manifest, Part
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines_tests.resources.archived_rows import QUARTER, SERIES

PART = Part(SERIES, QUARTER)
LATE = Part(SERIES, QUARTER, 2)
NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.fixture
def files(store: ObjectStore) -> ColdFiles:
    return ColdFiles(store)


def root(files: ColdFiles) -> Path:
    return Path(files.store.uri("x").removeprefix("file://")).parent


def put(files: ColdFiles, key: str, content: bytes = b"x", *, age: timedelta = timedelta(0)) -> None:
    with files.creating(key) as creation:
        creation.write(content)
    moment = (NOW - age).timestamp()
    os.utime(root(files) / key, (moment, moment))


def manifest(part: Part = PART) -> Manifest:
    return Manifest(
        part.name, part.table.name, part.period.name, part.generation, 1, 3, "-7", "a" * 64, 5, ("1",), ("2",)
    )


def test_names_are_those_of_the_layout() -> None:
    month = Part(SERIES, Period.named("2024-01"), 3)
    assert (PART.key, PART.manifest_key, PART.name) == (
        "parquet_archive/simulation_time_series/2024-Q1.parquet",
        "parquet_archive/simulation_time_series/2024-Q1.json",
        "simulation_time_series/2024-Q1/g1",
    )
    assert (month.key, month.manifest_key) == (
        "parquet_archive/simulation_time_series/2024-01.g3.parquet",
        "parquet_archive/simulation_time_series/2024-01.g3.json",
    )


def test_a_stream_is_counted_hashed_and_there_when_it_ends(files: ColdFiles) -> None:
    with files.creating(PART.key) as creation:
        creation.write(b"first ")
        creation.write(memoryview(b"second"))
        assert creation.tell() == 12
        assert files.listed() == []
    assert files.store.get(PART.key) == b"first second"
    assert creation.sha256 == files.store.sha256(PART.key)
    assert [(one.key, one.size) for one in files.listed()] == [(PART.key, 12)]


def test_a_stream_that_breaks_off_leaves_nothing(files: ColdFiles) -> None:
    def break_off() -> None:
        with files.creating(PART.key) as creation:
            creation.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert list(root(files).rglob("*.parquet")) == list(root(files).rglob("*.partial")) == []
    put(files, PART.key, b"whole")
    assert files.store.get(PART.key) == b"whole"


def test_a_name_is_used_once(files: ColdFiles) -> None:
    put(files, PART.key, b"first")
    put(files, PART.key, b"first")
    with pytest.raises(Refused, match="exists with other content"):
        put(files, PART.key, b"second")
    assert files.store.get(PART.key) == b"first"
    assert list(root(files).rglob("*.partial")) == []


def test_a_file_is_invisible_until_it_is_linked(files: ColdFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MEVA_FAILPOINTS", ",".join(f"{Point.OBJECT_BEFORE_LINK.value}:raise@{n}" for n in range(1, 999)))
        with pytest.raises(Injected):
            put(files, PART.key)
    assert files.listed() == []


def test_a_file_can_be_read_anywhere(files: ColdFiles) -> None:
    put(files, PART.key, b"0123456789")
    with files.open(PART.key) as file:
        file.seek(7)
        assert file.read() == b"789"
        assert file.size() == 10
    with (
        pytest.raises(StoreUnavailable, match=r"cannot read object parquet_archive/.*2024-Q1.g2"),
        files.open(LATE.key),
    ):
        pass


def test_a_manifest_is_written_once_and_read_back(files: ColdFiles) -> None:
    files.write_manifest(PART, manifest())
    files.write_manifest(PART, manifest())
    assert files.manifest(PART) == manifest()
    with pytest.raises(Refused):
        files.write_manifest(PART, manifest(LATE))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"name": "x"}', b"\xff"])
def test_what_is_no_manifest_is_unusable(files: ColdFiles, content: bytes) -> None:
    put(files, PART.manifest_key, content)
    with pytest.raises(Unusable, match="is no manifest"):
        files.manifest(PART)


def test_the_manifest_of_another_part_is_unusable(files: ColdFiles) -> None:
    files.write_manifest(LATE, manifest(LATE))
    put(files, PART.manifest_key, files.store.get(LATE.manifest_key))
    with pytest.raises(Unusable, match="another part"):
        files.manifest(PART)


def test_only_old_files_that_nobody_refers_to_are_orphans(files: ColdFiles) -> None:
    old, young = GRACE + timedelta(seconds=1), GRACE - timedelta(seconds=1)
    third = Part(SERIES, QUARTER, 3)
    for part, age in ((PART, old), (LATE, old), (third, young)):
        put(files, part.key, age=age)
        put(files, part.manifest_key, age=age)
    put(files, "parquet_archive/notes.txt", age=old)
    put(files, "elsewhere/2024-Q1.parquet", age=old)
    orphans = files.orphans({PART.key}, now=NOW)
    assert [one.key for one in orphans] == ["parquet_archive/notes.txt", LATE.manifest_key, LATE.key]
    files.remove(orphans, {PART.key})
    assert [one.key for one in files.listed()] == [third.manifest_key, third.key, PART.manifest_key, PART.key]
    files.remove(orphans, {PART.key})


def test_a_file_of_the_future_is_no_orphan(files: ColdFiles) -> None:
    put(files, PART.key, age=timedelta(days=-30))
    assert files.orphans((), now=NOW) == ()


def test_an_orphan_that_found_a_batch_stays(files: ColdFiles) -> None:
    put(files, PART.key, age=2 * GRACE)
    orphans = files.orphans((), now=NOW)
    with pytest.raises(Refused, match="belongs to a batch by now"):
        files.remove(orphans, {PART.key})
    assert [one.key for one in files.listed()] == [PART.key]


def test_partials_are_collected_after_a_day(files: ColdFiles) -> None:
    put(files, PART.key)
    folder = (root(files) / PART.key).parent
    for name, age_h in ((".old.partial", 25), (".young.partial", 23)):
        (folder / name).write_bytes(b"half")
        moment = (datetime.now(UTC) - timedelta(hours=age_h)).timestamp()
        os.utime(folder / name, (moment, moment))
    assert files.discard_partials() == 1
    assert sorted(path.name for path in folder.iterdir()) == [".young.partial", "2024-Q1.parquet"]


def test_nothing_lies_where_nothing_was_ever_written(files: ColdFiles) -> None:
    assert files.listed() == []
    assert files.orphans((), now=NOW) == ()
    assert files.discard_partials() == 0
