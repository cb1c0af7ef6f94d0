"""The database goes away, comes back, answers too late, is locked or full: what is published is never in doubt.

The server belongs to these tests: it is restarted, its sessions are ended, and its files are limited.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import make_url

from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
from meva_pipelines.resources.embedded_postgres import Settings as ServerSettings
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.schema import migrate
from meva_pipelines_tests.recovery import invariants, theatre
from meva_pipelines_tests.recovery.conftest import SERVICE_KEY
from meva_pipelines_tests.recovery.forks import Nursery
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Running, Scene, Theatre

SECOND_DAY = FIRST_DAY + timedelta(days=1)
LOCK = "SELECT pg_advisory_lock(hashtextextended('aed.aed_data', 0))"


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of our own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("owned"), ServerSettings(databases=("template_of_ours",)))
    migrate.upgrade(server.ensure_running().url("template_of_ours"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stage_of_ours(
    stage: Theatre, owned: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    """A theatre on that server, with a published first day."""
    folder = tmp_path_factory.mktemp("ours")
    url = owned.ensure_running().url("postgres")
    ours = Theatre(stage.nursery, stage.registry, url, "template_of_ours", folder)
    with ours.scene() as scene:
        assert scene.sync(FIRST_DAY).is_success
        ours.bases["first"] = ours.keep(scene, FIRST_DAY)
    yield ours
    ours.close()


@pytest.fixture
def scene(stage_of_ours: Theatre) -> Iterator[Scene]:
    """A copy of the first day; the registry lives on the second."""
    with stage_of_ours.scene(stage_of_ours.bases["first"]) as lent:
        lent.registry.set(day=SECOND_DAY)
        yield lent


def held(scene: Scene, point: Point) -> Running:
    running = scene.start_sync(SECOND_DAY, failpoints=f"{point.value}:sleep")
    running.await_point(point.value)
    return running


def demand_unchanged_then_healed(scene: Scene, before: str) -> None:
    """Version N byte for byte, and the next run publishes version N + 1."""
    assert invariants.image(scene.url) == before
    assert invariants.breaches(scene.url, scene.store) == []
    assert scene.sync(SECOND_DAY).is_success
    assert invariants.image(scene.url) != before
    assert invariants.breaches(scene.url, scene.store) == []
    assert invariants.leftovers(scene.url, scene.store) == []


def end_sessions(scene: Scene, work: str) -> int:
    """End the sessions that do a piece of work, as an administrator would."""
    return len(
        scene.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name ^@ %s",
            f"meva {work}",
        )
    )


# ---- away


@pytest.mark.parametrize(
    ("point", "work"),
    [
        (Point.STAGE_CREATED, "stage"),
        (Point.STAGE_AFTER_TRIAGE, "stage"),
        (Point.PUBLISH_LOCKED, "publish"),
        (Point.PUBLISH_BEFORE_COMMIT, "publish"),
    ],
)
def test_a_session_that_is_ended_costs_the_run_and_nothing_else(scene: Scene, point: Point, work: str) -> None:
    before = invariants.image(scene.url)
    running = held(scene, point)
    assert end_sessions(scene, work) == 1
    outcome = running.end()
    assert not outcome.is_success
    assert "Unavailable" in outcome.errors
    assert scene.newest()["status"] == "failed"
    demand_unchanged_then_healed(scene, before)


def test_a_server_that_restarts_in_the_middle_of_a_publication_keeps_the_version_before(
    scene: Scene, owned: EmbeddedPostgres
) -> None:
    before = invariants.image(scene.url)
    running = held(scene, Point.PUBLISH_BEFORE_COMMIT)
    owned.stop()
    owned.ensure_running()
    outcome = running.end()
    assert not outcome.is_success
    demand_unchanged_then_healed(scene, before)


# ---- an answer that never came


class Proxy:
    """Stands between a run and its server, and cuts the publishing session at its COMMIT, before or after it passed."""

    def __init__(self, host: str, port: int, *, passes_commit: bool) -> None:
        self._server = (host, port)
        self._passes_commit = passes_commit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_over = threading.Event()
        self.cuts = 0
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more sessions."""
        self._is_over.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while chunk := server.recv(65_536):
                client.sendall(chunk)
        _shut(client)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        is_publishing = False
        with suppress(OSError):
            while chunk := client.recv(65_536):
                is_publishing = is_publishing or b"pg_advisory_xact_lock(hashtextextended($1" in chunk
                if is_publishing and b"COMMIT\0" in chunk:
                    self.cuts += 1
                    _shut(client)
                    if self._passes_commit:
                        server.sendall(chunk)
                        time.sleep(0.2)
                    break
                server.sendall(chunk)
        _shut(server)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def behind_a_proxy(scene: Scene, *, passes_commit: bool) -> Iterator[Proxy]:
    url = make_url(scene.url)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 5432, passes_commit=passes_commit)
    through = url.set(port=proxy.port).update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
    scene.overrides["MEVA_DATABASE_URL"] = through.render_as_string(hide_password=False)
    try:
        yield proxy
    finally:
        proxy.close()
        del scene.overrides["MEVA_DATABASE_URL"]


def test_a_commit_whose_answer_was_lost_is_found_out_from_the_ledger(scene: Scene) -> None:
    """The server committed and nobody heard of it: the run asks and goes on, and nothing is published twice."""
    before = invariants.image(scene.url)
    with behind_a_proxy(scene, passes_commit=True) as proxy:
        outcome = scene.sync(SECOND_DAY)
    assert proxy.cuts == 1
    assert outcome.is_success, outcome.errors
    assert scene.newest()["status"] == "published"
    after = invariants.image(scene.url)
    assert after != before
    assert invariants.breaches(scene.url, scene.store) == []
    assert invariants.leftovers(scene.url, scene.store) == []
    assert scene.sync(SECOND_DAY).is_success
    assert invariants.image(scene.url) == after


def test_a_commit_that_never_arrived_is_found_out_from_the_ledger(scene: Scene) -> None:
    before = invariants.image(scene.url)
    with behind_a_proxy(scene, passes_commit=False) as proxy:
        outcome = scene.sync(SECOND_DAY)
    assert proxy.cuts == 1
    assert not outcome.is_success
    assert "was not published and changed nothing" in outcome.errors
    assert scene.newest()["status"] == "failed"
    demand_unchanged_then_healed(scene, before)


# ---- locked


def test_a_lock_held_by_another_session_is_waited_for_and_then_named(scene: Scene) -> None:
    before = invariants.image(scene.url)
    with psycopg.connect(scene.url, autocommit=True) as other:
        other.execute(LOCK)
        outcome = scene.sync(SECOND_DAY, lock_timeout="300ms")
    assert not outcome.is_success
    assert "another run has been writing aed.aed_data for longer than 300ms" in outcome.errors
    assert "Run the sync again" in scene.newest()["error"]
    demand_unchanged_then_healed(scene, before)


def test_a_row_locked_by_another_session_is_waited_for_and_then_named(scene: Scene) -> None:
    before = invariants.image(scene.url)
    with psycopg.connect(scene.url) as other:
        other.execute("SELECT FROM aed.aed_data FOR UPDATE")
        outcome = scene.sync(SECOND_DAY, lock_timeout="300ms")
        other.rollback()
    assert not outcome.is_success
    assert "lock timeout" in outcome.errors
    demand_unchanged_then_healed(scene, before)


# ---- full


def test_a_full_disk_under_the_raw_pages_is_named_and_leaves_no_partial_file(scene: Scene) -> None:
    """The kernel refuses to let any file of the run grow beyond 2,000 bytes."""
    before = invariants.image(scene.url)
    outcome = scene.sync(SECOND_DAY, file_limit=2_000)
    assert not outcome.is_success
    assert "cannot write object raw/aed/data_go_kr/2026-11-03/2/page-00001.gz: File too large" in outcome.errors
    assert list(scene.store.rglob(".*.partial")) == []
    demand_unchanged_then_healed(scene, before)


def test_a_full_disk_under_staging_is_named_and_the_server_lives_on(
    nursery: Nursery, stage_of_ours: Theatre, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The kernel refuses to let any file of the staging session's process grow beyond 17 MB, a segment of WAL and more.

    That is the same refusal at the same system call as a full disk, for one process of the server only.
    """
    folder = tmp_path_factory.mktemp("bloated")
    with theatre.registry(nursery, folder, service_key=SERVICE_KEY, character="bloated") as bloated:
        ours = Theatre(nursery, bloated, stage_of_ours.server_url, stage_of_ours.template, folder)
        base = stage_of_ours.bases["first"]
        with ours.scene(Base(base.database, base.store, base.dialect, base.day)) as scene:
            scene.registry.set(day=SECOND_DAY)
            scene.registry.warm()
            before = invariants.image(scene.url)
            running = held(scene, Point.STAGE_CREATED)
            ((pid,),) = scene.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name ^@ %s",
                "meva stage",
            )
            nursery.limit_files(pid, 17_000_000, folder / "limit")
            outcome = running.end()
            assert not outcome.is_success
            assert "File too large" in outcome.errors
            assert "extend file" in scene.newest()["error"]
            demand_unchanged_then_healed(scene, before)
