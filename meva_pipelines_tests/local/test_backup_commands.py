"""The commands for the days of trouble: a backup before a shutdown, a whole server from nothing but its backups."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from meva_pipelines.domain.backup import records
from meva_pipelines.resources import postgres_binaries
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres, Server
from meva_pipelines.resources.postgres_binaries import Account


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project on a state folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "meva_pipelines.local", *words],
        env={**os.environ, "MEVA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder after a service manager has asked for the backup before a shutdown."""
    folder = tmp_path_factory.mktemp("state")
    done = command(folder, "backup", "--trigger", "system_shutdown", "--description", "maintenance")
    assert done.returncode == 0, done.stderr[-2_000:]
    yield folder
    EmbeddedPostgres(home=folder).stop()


@pytest.fixture
def place() -> Iterator[Path]:
    """A new folder that whoever runs a server can reach."""
    folder = Path("/var/tmp") / f"meva-restored-{secrets.token_hex(4)}"  # noqa: S108 - a name of its own
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(folder: Path, like: Server) -> Iterator[str]:
    """Start the server in a folder as its owner would, and lend what stands for its port in an address."""
    account = Account.caller()
    if account.uid == 0:
        account = Account.unprivileged(owner_of=folder / "nobody")
        for path in (folder, *folder.rglob("*")):
            account.take(path)
    programs = postgres_binaries.find().for_account(account, copies=folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert port != like.port
    ctl = [str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    options = f"-p {port} -c unix_socket_directories={folder}"
    begun = account.run([*ctl, "-l", str(folder / "log"), "-o", options, "start"], timeout_s=300)
    assert begun.returncode == 0, (folder / "log").read_text(encoding="utf-8")
    try:
        yield f":{port}/"
    finally:
        account.run([*ctl, "-m", "immediate", "stop"], timeout_s=300)


def recovered(copy: psycopg.Connection) -> None:
    """Wait until a server that lets people in while it recovers has replayed its log."""
    copy.autocommit = True
    until = time.monotonic() + 300
    while copy.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        assert time.monotonic() < until, "the server recovers for longer than five minutes"
        time.sleep(0.1)


def test_a_service_manager_gets_its_backup_before_a_shutdown(home: Path) -> None:
    with psycopg.connect(EmbeddedPostgres(home=home).ensure_running().url("meva")) as connection:
        found = connection.execute(
            "SELECT method, status, trigger, description, key_id <> repeat('0', 16) FROM backup.catalog"
            " ORDER BY sequence"
        ).fetchall()
    told = ("completed", "system_shutdown", "maintenance", True)
    assert found == [("physical", *told), ("wal", *told)]


def test_a_backup_that_fails_is_told_to_the_service_manager(home: Path) -> None:
    assert command(home, "backup", "--kinds", "everything").returncode == 1
    assert command(home, "backup", "--trigger", "boredom").returncode == 2


@pytest.mark.parametrize("at", ["yesterday", "2026-11-19T14:59:59"])
def test_what_is_no_moment_is_refused_before_anything_is_written(home: Path, place: Path, at: str) -> None:
    done = command(home, "restore", "--into", str(place), "--at", at)
    assert done.returncode == 1
    assert "2026-11-19T14:59:59+09:00" in done.stderr
    assert not place.exists()


def test_a_machine_without_the_key_makes_none_up(home: Path, place: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "backups", tmp_path / "backups")
    done = command(tmp_path, "restore", "--into", str(place))
    assert done.returncode == 1
    assert "MEVA_BACKUP_KEY" in done.stderr
    assert not (tmp_path / "backup-key").exists()
    assert not place.exists()


def test_a_server_stands_up_from_its_backups_alone(home: Path, place: Path) -> None:
    """Row for row, under its old password; another machine needs the targets and the key and nothing else."""
    server = EmbeddedPostgres(home=home).ensure_running()
    with psycopg.connect(server.url("meva")) as connection:
        connection.execute("CREATE TABLE public.late AS SELECT generate_series(1, 100) AS n")
    assert command(home, "backup", "--kinds", "wal").returncode == 0
    done = command(home, "restore", "--into", str(place))
    assert done.returncode == 0, done.stderr
    with started(place, server) as port, psycopg.connect(server.url("meva").replace(f":{server.port}/", port)) as copy:
        recovered(copy)
        assert copy.execute("SELECT count(*) FROM public.late").fetchone() == (100,)
        row = copy.execute("SELECT backup_id FROM backup.catalog ORDER BY sequence LIMIT 1").fetchone()
        assert row is not None
        assert records.is_identifier(row[0])
