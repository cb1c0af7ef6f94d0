"""The sensor of the landing zone looks, waits for what still changes, and asks once for everything that is there."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from meva_pipelines.assets import aed
from meva_pipelines.automation.jobs import aed_export_sync
from meva_pipelines.automation.landing_sensors import FILES_PER_TICK, aed_exports_landed
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources.landing import Landing

LONG_AGO = 1_700_000_000


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(url=(tmp_path / "landing").as_uri())


@pytest.fixture
def folder(landing: Landing) -> Path:
    path = Path(landing.place("aed"))
    path.mkdir(parents=True)
    return path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def drop(folder: Path, name: str, content: bytes = b"x", *, at: float = LONG_AGO) -> None:
    (folder / name).write_bytes(content)
    os.utime(folder / name, (at, at))


def tick(landing: Landing, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance) as context:
        answer = aed_exports_landed(context, landing=landing)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def request(landing: Landing, instance: dg.DagsterInstance) -> dg.RunRequest:
    answer = tick(landing, instance)
    assert isinstance(answer, dg.RunRequest)
    return answer


def skip(landing: Landing, instance: dg.DagsterInstance) -> str:
    answer = tick(landing, instance)
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


def files(asked: dg.RunRequest) -> list[str]:
    chosen: list[str] = asked.run_config["ops"]["aed__export_files"]["config"]["files"]
    return chosen


def test_an_empty_zone_is_skipped_with_its_place(landing: Landing, instance: dg.DagsterInstance) -> None:
    assert skip(landing, instance) == f"no export file lies in {landing.place('aed')}"


def test_everything_that_settled_is_asked_for_at_once(
    landing: Landing, folder: Path, instance: dg.DagsterInstance
) -> None:
    drop(folder, "b.xls")
    drop(folder, "a.csv", at=LONG_AGO + 1)
    asked = request(landing, instance)
    assert files(asked) == ["b.xls", "a.csv"]
    assert asked.partition_key == aed.DAYS.get_last_partition_key()
    assert len(str(asked.run_key)) < 40


def test_the_same_files_have_the_same_key_and_other_content_another(
    landing: Landing, folder: Path, instance: dg.DagsterInstance
) -> None:
    drop(folder, "a.csv")
    first = request(landing, instance)
    assert request(landing, instance).run_key == first.run_key
    drop(folder, "a.csv", b"other", at=LONG_AGO + 1)
    second = request(landing, instance)
    assert second.run_key != first.run_key
    drop(folder, "b.csv")
    assert request(landing, instance).run_key not in {first.run_key, second.run_key}


def test_a_download_under_way_holds_the_others_back(
    landing: Landing, folder: Path, instance: dg.DagsterInstance
) -> None:
    drop(folder, "a.csv")
    drop(folder, "b.csv.crdownload", at=time.time())
    assert "b.csv.crdownload" in skip(landing, instance)
    (folder / "b.csv.crdownload").rename(folder / "b.csv")
    assert "b.csv" in skip(landing, instance)
    os.utime(folder / "b.csv", (LONG_AGO, LONG_AGO))
    assert files(request(landing, instance)) == ["a.csv", "b.csv"]


def test_what_is_left_alone_is_named(landing: Landing, folder: Path, instance: dg.DagsterInstance) -> None:
    (folder / "link.csv").symlink_to("/etc/passwd")
    assert skip(landing, instance).endswith("left alone: link.csv (symbolic link)")


def test_one_run_takes_a_bounded_number_of_files(landing: Landing, folder: Path, instance: dg.DagsterInstance) -> None:
    for number in range(FILES_PER_TICK + 5):
        drop(folder, f"{number:03d}.csv", at=LONG_AGO + number)
    assert files(request(landing, instance)) == [f"{number:03d}.csv" for number in range(FILES_PER_TICK)]


def test_a_run_under_way_is_not_joined_by_a_second(
    landing: Landing, folder: Path, instance: dg.DagsterInstance
) -> None:
    drop(folder, "a.csv")
    run = dg.DagsterRun(job_name=aed_export_sync.name, run_id="0123456789", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    assert skip(landing, instance).startswith("run 01234567 is taking files; 1 lie in")
    instance.delete_run(run.run_id)
    assert files(request(landing, instance)) == ["a.csv"]


def test_a_zone_that_cannot_be_read_turns_the_tick_red(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        tick(Landing(url=(tmp_path / "file").as_uri()), instance)


def test_files_come_from_the_landing_zone_and_pages_from_the_api_in_jobs_of_their_own(
    definitions_of_the_location: dg.Definitions,
) -> None:
    def executed(job: str) -> set[dg.AssetKey]:
        return set(definitions_of_the_location.resolve_job_def(job).asset_layer.executable_asset_keys)

    assert executed("aed_export_sync") ^ executed("aed_full_sync") == {aed.EXPORT_FILES, aed.RAW_RECORDS}
    assert executed("aed_incremental_sync") == executed("aed_full_sync")


@pytest.fixture(scope="module")
def definitions_of_the_location() -> dg.Definitions:
    from meva_pipelines.definitions import defs  # noqa: PLC0415 - loads the whole location

    return defs()
