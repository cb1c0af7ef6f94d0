"""The archive on a real S3 that goes away between two parts of an upload, and archivers that die on their way to it."""

import base64
import itertools
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import pytest
from pyarrow import fs

from meva_pipelines.resources.failpoints import Point
from meva_pipelines_tests.fixtures.object_gateway import Gateway
from meva_pipelines_tests.recovery import old_rows
from meva_pipelines_tests.recovery.theatre import Scene, Theatre

pytestmark = pytest.mark.debian

LOGS, IMAGES = "operation_logs", "aed_history"
LARGE_LOGS, LARGE_BYTES = 220, 90_000
"""Logs that no compression makes smaller than one part of an upload."""

_NUMBERS = itertools.count(1)


@pytest.fixture
def scene(stage: Theatre, gateway: Gateway) -> Iterator[Scene]:
    """A warehouse with old rows, and a bucket of its own."""
    bucket = f"archive-{next(_NUMBERS)}"
    filesystem, _ = fs.FileSystem.from_uri(gateway.url(bucket) + "&allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    with stage.scene(old_rows.base(stage)) as lent:
        lent.overrides["MEVA_STORE_URL"] = gateway.url(bucket).replace("?", "/prefix?")
        yield lent


@dataclass
class Line:
    """A line to a store, which is cut as soon as a certain word is sent over it, and stays cut."""

    port: int
    word: bytes
    is_cut: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.near_port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.is_cut.is_set():
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._carry, args=(near, far, self.word), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, b""), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, word: bytes) -> None:
        with suppress(OSError):
            while chunk := source.recv(65_536):
                if word and word in chunk:
                    self.is_cut.set()
                    break
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def over_a_line(scene: Scene, gateway: Gateway, *, cut_at: bytes) -> Iterator[Line]:
    whole = scene.overrides["MEVA_STORE_URL"]
    line = Line(gateway.port, cut_at)
    scene.overrides["MEVA_STORE_URL"] = whole.replace(f":{gateway.port}", f":{line.near_port}")
    try:
        yield line
    finally:
        line.close()
        scene.overrides["MEVA_STORE_URL"] = whole


def lay_large_logs(scene: Scene) -> None:
    noise = random.Random("logs")
    statement = "INSERT INTO mgg.operation_logs (log_type, action, details, created_at) VALUES ('admin', 'a', %s, %s)"
    with psycopg.connect(scene.url) as connection, connection.cursor() as cursor:
        details = [base64.b64encode(noise.randbytes(LARGE_BYTES)).decode() for _ in range(LARGE_LOGS)]
        cursor.executemany(statement, [(text, "2024-02-20Z") for text in details])


def test_a_store_that_goes_away_between_two_parts_costs_the_run_and_nothing_else(
    scene: Scene, gateway: Gateway
) -> None:
    lay_large_logs(scene)
    truth = old_rows.truth(scene)
    with over_a_line(scene, gateway, cut_at=b"partNumber=2") as line:
        outcome = old_rows.archive(scene, LOGS)
    assert line.is_cut.is_set()
    assert not outcome.is_success
    assert "cannot write object parquet_archive/operation_logs/2024-02.parquet" in outcome.errors
    old_rows.demand_sound(scene, truth)
    old_rows.demand_healed(scene, LOGS, truth)
    assert old_rows.batches(scene, LOGS) == [(1, "committed")]
    assert names(scene) == {"2024-02.parquet", "2024-02.json"}


@pytest.mark.parametrize(
    "point", [Point.OBJECT_BEFORE_LINK, Point.ARCHIVE_OBJECT_WRITTEN, Point.ARCHIVE_MANIFEST_WRITTEN]
)
def test_an_archiver_that_died_on_its_way_to_s3_is_followed_by_the_next(scene: Scene, point: Point) -> None:
    truth = old_rows.truth(scene)
    assert old_rows.archive(scene, IMAGES, failpoints=f"{point.value}:kill").was_killed
    old_rows.demand_sound(scene, truth)
    old_rows.demand_healed(scene, IMAGES, truth)
    assert old_rows.batches(scene, IMAGES) == [(1, "committed")]
    assert old_rows.restore(scene, IMAGES).is_success
    old_rows.demand_sound(scene, truth)


def names(scene: Scene) -> set[str]:
    """Names of the cold files of the logs."""
    filesystem, root = fs.FileSystem.from_uri(old_rows.store_url(scene))
    found = filesystem.get_file_info(fs.FileSelector(f"{root}/parquet_archive/operation_logs"))
    return {one.base_name for one in found}
