"""The world of a benchmark: a private PostgreSQL in a temporary home, fresh databases, the sandbox."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from typing import IO

import httpx
import psycopg
from psycopg import sql

from meva_pipelines.local.environment import PROJECT, libpq_variables
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres, Server
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import migrate

TEMPLATE = "bench_template"
XML_PATH = "/B552657/AEDInfoInqireService"
_NUMBERS = count(1)
_WARM_TIMEOUT_S = 900
_QUIET = "-c client_min_messages=warning"


@dataclass(frozen=True, slots=True)
class World:
    """A running server and a folder for files."""

    home: Path
    server: Server

    @contextmanager
    def warehouse(self) -> Iterator["Warehouse"]:
        """Lend a fresh warehouse at the newest revision."""
        name = f"bench_{next(_NUMBERS)}"
        self.execute("CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
        try:
            yield Warehouse(self, self.server.url(name))
        finally:
            self.execute("DROP DATABASE {} WITH (FORCE)", name)

    def execute(self, statement: str, *names: str) -> None:
        """Run a statement on the maintenance database."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def settle(self) -> None:
        """Write dirty pages out, so that no way pays for what another one left."""
        self.execute("CHECKPOINT")

    def version(self) -> str:
        """The version of the server."""
        with psycopg.connect(self.server.url("postgres")) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else "?"


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One fresh database of the world."""

    world: World
    url: str = field(repr=False)

    @property
    def postgres(self) -> Postgres:
        """The warehouse as the resource that assets take."""
        return Postgres(url=self.url, home=str(self.world.home))

    def psql(self, script: str, *, feeds: Sequence[Sequence[str]] = ()) -> None:
        """Run a script with the server's own psql; the pipe of programs `feeds` is its standard input."""
        path = self.world.home / "script.sql"
        path.write_text(script, encoding="utf-8")
        words = [str(self.world.server.bindir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(path)]
        env = {**os.environ, **libpq_variables(self.url), "PGCLIENTENCODING": "UTF8", "PGOPTIONS": _QUIET}
        running: list[subprocess.Popen[bytes]] = []
        stream: IO[bytes] | int | None = subprocess.DEVNULL
        for feed in feeds:
            running.append(subprocess.Popen(feed, stdin=stream, stdout=subprocess.PIPE))
            stream = running[-1].stdout
        subprocess.run(words, env=env, stdin=stream, check=True, stdout=subprocess.DEVNULL)
        for process, feed in zip(running, feeds, strict=True):
            if process.stdout:
                process.stdout.close()
            if code := process.wait(timeout=60):
                raise RuntimeError(f"{feed[0]} ended with code {code}")


@contextmanager
def world() -> Iterator[World]:
    """Lend a world that leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="meva-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded = EmbeddedPostgres(home=home)
        server = embedded.ensure_running()
        try:
            here = World(home, server)
            here.execute("CREATE DATABASE {}", TEMPLATE)
            migrate.upgrade(server.url(TEMPLATE))
            yield here
        finally:
            embedded.stop()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox registry."""

    url: str
    key: str = field(repr=False)
    key_file: Path

    def be(self, day: date) -> None:
        """Let the sandbox live on a day."""
        httpx.put(f"{self.url}/_sandbox/world", json={"day": day.isoformat()}, timeout=60).raise_for_status()

    def warm(self, form: str, size: int) -> None:
        """Render all pages of a format beforehand, so that serving them costs next to nothing."""
        answer = httpx.post(f"{self.url}/_sandbox/warm", json={"format": form, "size": size}, timeout=_WARM_TIMEOUT_S)
        answer.raise_for_status()


@contextmanager
def sandbox(home: Path, *, size: int) -> Iterator[Sandbox]:
    """Lend a sandbox registry of `size` devices in a process of its own, without limits."""
    key_file = home / f"sandbox-key-{size}"
    words = [sys.executable, "-m", "meva_pipelines.sandbox", "--port", "0", "--size", str(size), "--no-limits"]
    with (home / "sandbox.log").open("ab") as log:
        process = subprocess.Popen(
            [*words, "--service-key-file", str(key_file)], cwd=PROJECT, stdout=subprocess.PIPE, stderr=log
        )
    try:
        line = process.stdout.readline().decode() if process.stdout else ""
        url = line.rsplit(" ", 1)[-1].strip()
        httpx.get(f"{url}/_sandbox/requests", timeout=60).raise_for_status()
        yield Sandbox(url, key_file.read_text(encoding="utf-8").strip(), key_file)
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()
