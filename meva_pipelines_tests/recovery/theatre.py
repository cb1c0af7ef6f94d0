"""The stage on which faults are played: a warehouse, a store and a registry, and runs that may be killed.

What is run happens in forks of `nursery`; what must hold afterwards is judged by `invariants`.
"""

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql
from sqlalchemy import make_url

from meva_pipelines_tests.recovery.forks import RUN_TIMEOUT_S, START_TIMEOUT_S, Nursery
from meva_pipelines_tests.recovery.registries import FIRST_DAY

PIPE = ("aed/raw_records", "aed/staged_records", "aed/aed_data", "aed/aed_history")
"""The assets of a sync that can do harm; the whole job draws a report besides."""

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. A run that was killed has no errors to tell."""

    exit_code: int
    folder: Path
    trace: tuple[str, ...]
    said: Mapping[str, Any]

    @property
    def is_success(self) -> bool:
        """Whether the run reports success."""
        return self.exit_code == 0

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.exit_code == -signal.SIGKILL

    @property
    def errors(self) -> str:
        """What the failed steps said, with every cause."""
        return "\n".join(self.said.get("errors", {}).values())

    @property
    def output(self) -> str:
        """Everything that the process wrote to its standard streams."""
        return "".join((self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))


@dataclass(frozen=True, slots=True)
class Registry:
    """The sandbox registry in a process of its own, controlled over HTTP."""

    base_url: str
    service_key: str
    client: httpx.Client

    def source_url(self, dialect: str) -> str:
        """Base URL of a dialect."""
        return self.base_url + ("/B552657/AEDInfoInqireService" if dialect == "data_go_kr" else "")

    def set(self, **changes: object) -> None:
        """Change the world: day, mutation, key_expired, quota and the like. A day begins without a mutation."""
        changes = {"mutation": "none"} | changes if "day" in changes else changes
        values = {name: value.isoformat() if isinstance(value, date) else value for name, value in changes.items()}
        self.client.put("/_sandbox/world", json=values).raise_for_status()

    def break_by(self, *faults: Mapping[str, object]) -> None:
        """Put these fault rules in force instead of all others."""
        self.client.put("/_sandbox/faults", json=list(faults)).raise_for_status()

    def calm(self, day: date) -> None:
        """Forget everything that was wrong and everything that was asked."""
        for path in ("faults", "requests", "webhook"):
            self.client.delete(f"/_sandbox/{path}").raise_for_status()
        self.set(day=day, key_expired=False, quota=None, rate_per_s=None, gateway="xml_200")

    def warm(self) -> None:
        """Render every page of the day beforehand."""
        body = {"format": "xml", "size": 100}
        self.client.post("/_sandbox/warm", json=body).raise_for_status()

    def messages(self) -> list[dict[str, Any]]:
        """What the webhook received."""
        found: list[dict[str, Any]] = self.client.get("/_sandbox/webhook").json()
        return found


@contextmanager
def registry(nursery: Nursery, folder: Path, *, service_key: str, character: str = "") -> Iterator[Registry]:
    """Lend a sandbox registry that runs in a fork."""
    task = {
        "kind": "sandbox",
        "folder": str(folder),
        "environment": {},
        "service_key": service_key,
        "character": character,
    }
    pid = nursery.fork(task)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (folder / "outcome.json").exists():
            assert time.monotonic() < deadline, "the sandbox did not start"
            time.sleep(0.01)
        port = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))["port"]
        base_url = f"http://127.0.0.1:{port}"
        no_idle = httpx.Limits(max_keepalive_connections=0)  # the server may end what is idle while it is reused
        with httpx.Client(base_url=base_url, timeout=START_TIMEOUT_S, limits=no_idle) as client:
            yield Registry(base_url, service_key, client)
    finally:
        os.kill(pid, signal.SIGKILL)
        nursery.wait(pid)


@dataclass(frozen=True, slots=True)
class Scene:
    """A warehouse with its store on which runs are played."""

    nursery: Nursery
    registry: Registry
    url: str
    folder: Path
    dialect: str
    overrides: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Folder of the object store."""
        return self.folder / "store"

    @property
    def landing(self) -> Path:
        """Folder into which people drop files."""
        return self.folder / "landing"

    def start(
        self,
        job: str,
        *,
        day: date | None = None,
        period: str = "",
        config: Mapping[str, object] | None = None,
        assets: Sequence[str] = (),
        failpoints: str = "",
        file_limit: int | None = None,
        dagster_home: str = "",
        lock_timeout: str = "",
        is_isolated: bool = False,
    ) -> "Running":
        """Start a run in a fork."""
        folder = self.folder / f"run-{next(_NUMBERS)}"
        environment = {
            "MEVA_DATABASE_URL": self.url,
            "MEVA_HOME": str(self.folder),
            "MEVA_STORE_URL": self.store.as_uri(),
            "MEVA_LANDING_URL": self.landing.as_uri(),
            "MEVA_EGEN_BASE_URL": self.registry.source_url(self.dialect),
            "MEVA_EGEN_SERVICE_KEY": self.registry.service_key,
            "MEVA_EGEN_DIALECT": self.dialect,
            "MEVA_ALERT_WEBHOOK_URL": f"{self.registry.base_url}/_sandbox/webhook",
            "MEVA_REDIS_URL": "",
            "MEVA_BACKUP_URL": (self.folder / "backups").as_uri(),
            "MEVA_BACKUP_KEY": "",
            "MEVA_FAILPOINTS": failpoints,
            "MEVA_FAILPOINTS_TRACE": str(folder / "trace"),
        }
        task = {
            "kind": "run",
            "folder": str(folder),
            "environment": environment | self.overrides,
            "job": job,
            "assets": list(assets),
            "partition": day.isoformat() if day else period or None,
            "config": dict(config or {}),
            "file_limit": file_limit,
            "dagster_home": dagster_home,
            "lock_timeout": lock_timeout,
            "is_isolated": is_isolated,
        }
        return Running(self, self.nursery.fork(task), folder)

    def run(self, job: str, **arguments: Any) -> Outcome:
        """Run a job to its end, whatever that is."""
        return self.start(job, **arguments).end()

    def sync(self, day: date, *, mode: str = "full", failpoints: str = "", **arguments: Any) -> Outcome:
        """Sync a day without the reports beside the registry; relaunches come at once."""
        return self.start_sync(day, mode=mode, failpoints=failpoints, **arguments).end()

    def start_sync(
        self, day: date, *, mode: str = "full", failpoints: str = "", relaunches: int = 0, **arguments: Any
    ) -> "Running":
        """Start a sync of a day; see `sync`."""
        config = {"aed__raw_records": {"config": {"mode": mode, "relaunches": relaunches, "relaunch_after_s": 0}}}
        return self.start(
            f"aed_{mode}_sync", day=day, failpoints=failpoints, **{"config": config, "assets": PIPE} | arguments
        )

    def replay(self, day: date, **arguments: Any) -> Outcome:
        """Stage and publish the newest page set of a day again, without the network."""
        return self.run("aed_full_sync", day=day, assets=PIPE[1:], **arguments)

    def roll_back(self, token: int, **arguments: Any) -> Outcome:
        """Roll a published run back."""
        config = {"roll_back_sync": {"config": {"token": token, "dry_run": False}}}
        return self.run("aed_rollback", config=config, **arguments)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query, asked as the superuser."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Execute a statement as the superuser."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement, values)

    def await_waiting(self) -> None:
        """Wait until a session of this database waits for a lock."""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        while not self.rows(f"{waiting} AND cardinality(pg_blocking_pids(pid)) > 0"):
            assert time.monotonic() < deadline, "nobody waits for a lock"
            time.sleep(0.02)

    def newest(self) -> dict[str, Any]:
        """Return the newest attempt."""
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row) as connection:
            found = connection.execute("SELECT * FROM ops.sync_runs ORDER BY token DESC LIMIT 1").fetchone()
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Running:
    """A run under way."""

    scene: Scene
    pid: int
    folder: Path

    def end(self, *, timeout_s: float = RUN_TIMEOUT_S) -> Outcome:
        """Wait for the end of the run."""
        code = self.scene.nursery.wait(self.pid, timeout_s=timeout_s)
        outcome = self.folder / "outcome.json"
        said = json.loads(outcome.read_text(encoding="utf-8")) if outcome.exists() else {}
        if code == 70:  # the fork itself is broken: no fault that was asked for
            raise RuntimeError((self.folder / "stderr").read_text(errors="replace")[-4_000:])
        return Outcome(code, self.folder, self._trace(), said)

    def freeze(self) -> None:
        """Stop the run where it is, as a machine does that hangs."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> Outcome:
        """End the run with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def await_point(self, point: str, *, timeout_s: float = RUN_TIMEOUT_S) -> None:
        """Wait until the run has reached a failpoint."""
        deadline = time.monotonic() + timeout_s
        while point not in self._trace():
            assert time.monotonic() < deadline, f"{point} was not reached within {timeout_s:g} s"
            assert self.scene.nursery.is_alive(self.pid), f"the run ended before it reached {point}"
            time.sleep(0.01)

    def _trace(self) -> tuple[str, ...]:
        trace = self.folder / "trace"
        return tuple(trace.read_text(encoding="utf-8").split()) if trace.exists() else ()


@dataclass(frozen=True, slots=True)
class Base:
    """A state from which plays begin: a database that is copied, and a store that is copied with it."""

    database: str
    store: Path
    dialect: str
    day: date


@dataclass(frozen=True, slots=True)
class Theatre:
    """Everything that scenes are made of; one for a whole test run."""

    nursery: Nursery
    registry: Registry
    server_url: str
    template: str
    folder: Path
    bases: dict[str, Base] = field(default_factory=dict)

    @contextmanager
    def scene(self, base: Base | None = None, *, dialect: str = "data_go_kr") -> Iterator[Scene]:
        """Lend a fresh copy of a base, or of nothing; the registry is calm and lives on the day of the base."""
        number = next(_NUMBERS)
        name, folder = f"meva_scene_{os.getpid()}_{number}", self.folder / f"scene-{number}"
        self.registry.calm(base.day if base else FIRST_DAY)
        folder.mkdir()
        if base:
            shutil.copytree(base.store, folder / "store")
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, base.database if base else self.template)
        try:
            yield Scene(self.nursery, self.registry, self._url(name), folder, base.dialect if base else dialect)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, scene: Scene, day: date) -> Base:
        """Keep the present state of a scene as a base for others."""
        number = next(_NUMBERS)
        name, store = f"meva_base_{os.getpid()}_{number}", self.folder / f"base-{number}"
        shutil.copytree(scene.store, store)
        source = str(make_url(scene.url).database)
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, source)
        return Base(name, store, scene.dialect, day)

    def close(self) -> None:
        """Drop the bases."""
        for base in self.bases.values():
            self._execute("DROP DATABASE {} WITH (FORCE)", base.database)

    def _url(self, name: str) -> str:
        return make_url(self.server_url).set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
