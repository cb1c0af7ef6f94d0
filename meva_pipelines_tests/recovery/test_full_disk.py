"""A disk that is really full under the log of the server: it goes down, and what was published is there afterwards.

A file system in memory is mounted for the server and filled up; mounting takes root.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
from meva_pipelines.resources.embedded_postgres import Settings as ServerSettings
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.schema import migrate
from meva_pipelines_tests.recovery import invariants
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Theatre

SECOND_DAY = FIRST_DAY + timedelta(days=1)
SIZE_MB = 400


def as_root(*command: str) -> None:
    subprocess.run(command if os.geteuid() == 0 else ("sudo", "-n", *command), check=True, timeout=30)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk where the account that a server runs under may go, which it may not below the folders of a test."""
    folder = Path(tempfile.mkdtemp(prefix="meva-disk-"))
    folder.chmod(0o755)
    as_root("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0777", "meva-test", str(folder))
    yield folder
    as_root("umount", "--lazy", str(folder))
    folder.rmdir()


@pytest.fixture
def server(disk: Path) -> Iterator[EmbeddedPostgres]:
    found = EmbeddedPostgres(disk / "server", ServerSettings(databases=("template_on_disk",)))
    migrate.upgrade(found.ensure_running().url("template_on_disk"))
    yield found
    found.stop()


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65_536)
    return filler


def exhaust_the_log(url: str) -> None:
    """Write into the log of the server until it cannot begin another segment."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as administrator:
        for _ in range(SIZE_MB):
            administrator.execute("SELECT pg_logical_emit_message(false, 'meva', repeat('x', 1000000))")
        raise AssertionError("the log never filled the disk")


@pytest.mark.debian
def test_a_full_disk_under_the_log_of_the_server_loses_nothing(
    stage: Theatre, server: EmbeddedPostgres, disk: Path, tmp_path: Path
) -> None:
    url = server.ensure_running().url("postgres")
    ours = Theatre(stage.nursery, stage.registry, url, "template_on_disk", tmp_path)
    with ours.scene() as scene:
        assert scene.sync(FIRST_DAY).is_success
        before = invariants.image(scene.url)
        scene.registry.set(day=SECOND_DAY)
        running = scene.start_sync(SECOND_DAY, failpoints=f"{Point.PUBLISH_LOCKED.value}:sleep")
        running.await_point(Point.PUBLISH_LOCKED.value)
        running.freeze()
        filler = fill(disk)
        exhaust_the_log(url)
        running.thaw()
        outcome = running.end()
        assert not outcome.is_success
        filler.unlink()
        server.ensure_running()
        assert invariants.image(scene.url) == before
        assert re.search("PANIC: .*No space left on device", log_of(disk))
        assert scene.sync(SECOND_DAY).is_success
        assert invariants.image(scene.url) != before
        assert invariants.breaches(scene.url, scene.store) == []
        assert invariants.leftovers(scene.url, scene.store) == []


def log_of(disk: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in disk.rglob("*.log"))
