"""A process that has everything loaded and forks itself for every task: a run takes a second and may be killed.

`python -m meva_pipelines_tests.recovery.nursery` reads one JSON task per line and answers with JSON lines: `ready`,
`started` with the pid of the fork, `ended` with its wait status. It stays single-threaded, so that forking is safe.
What is run and what must hold afterwards is said by `theatre` and the tests.
"""

import ctypes
import gc
import importlib
import io
import json
import logging
import os
import resource
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import uvicorn

from meva_pipelines import definitions
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import publishing
from meva_pipelines.resources.alerts import Webhook
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.cache import Cache
from meva_pipelines.resources.egen import EgenSession, EgenSource
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox import server
from meva_pipelines_tests.recovery import registries

POLL_S = 0.005
_PR_SET_PDEATHSIG = 1
"""Asks Linux for a signal when the parent dies: no fork outlives a test run that was cut off."""

Task = dict[str, Any]
_WAITS: list[float] = []


class HastySource(EgenSource):
    """The registry, asked by a client that notes how long it would wait instead of waiting.

    A fetch has all the time that a slow machine needs, unless the environment names a `PATIENCE_S`.
    """

    @contextmanager
    def session(
        self,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] | None = None,
        within_s: float | None = None,
    ) -> Iterator[EgenSession]:
        within_s = float(os.environ["PATIENCE_S"]) if "PATIENCE_S" in os.environ else within_s
        with super().session(transport=transport, sleep=sleep or _WAITS.append, within_s=within_s) as session:
            yield session


def main() -> None:
    """Load everything, then fork for every task until standard input ends."""
    location = _location()
    _load(location)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    _say({"said": "ready", "threads": threading.active_count()})
    buffered = b""
    while True:
        if select.select([0], [], [], POLL_S)[0]:
            chunk = os.read(0, 65_536)
            if not chunk:
                return
            *lines, buffered = (buffered + chunk).split(b"\n")
            for line in lines:
                children.add(_fork(location, json.loads(line)))
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.discard(pid)
                _say({"said": "ended", "pid": pid, "status": status})


def _say(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _load(location: dg.Definitions) -> None:
    """Import what a run imports late, by doing a little of everything."""
    warnings.simplefilter("ignore")
    import great_expectations as gx  # noqa: PLC0415 - loaded once, here, for all forks
    import matplotlib as mpl  # noqa: PLC0415 - the same
    from pyarrow import fs  # noqa: PLC0415 - the same

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    figure, (left, _) = plt.subplots(1, 2, layout="constrained")
    left.hexbin([1.0, 2.0], [1.0, 2.0], bins="log", mincnt=1)
    figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)
    gx.get_context(mode="ephemeral")
    fs.LocalFileSystem()
    location.get_repository_def().load_all_definitions()
    logging.disable(logging.CRITICAL)
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([_nothing], instance=instance)
    logging.disable(logging.NOTSET)
    importlib.import_module("sqlalchemy.dialects.postgresql.psycopg")


@dg.asset
def _nothing() -> None:
    """An asset that costs nothing."""


def _location(*, is_isolated: bool = False) -> dg.Definitions:
    """The location as it is served: what it works on enters with the environment of each fork."""
    return definitions.assemble(
        {
            "postgres": Postgres(url=dg.EnvVar("MEVA_DATABASE_URL"), home=dg.EnvVar("MEVA_HOME")),
            "judge": Judge(is_isolated=is_isolated),
            "store": ObjectStore(url=dg.EnvVar("MEVA_STORE_URL")),
            "egen": HastySource(
                base_url=dg.EnvVar("MEVA_EGEN_BASE_URL"),
                service_key=dg.EnvVar("MEVA_EGEN_SERVICE_KEY"),
                dialect=dg.EnvVar("MEVA_EGEN_DIALECT"),
                page_size=100,
                read_timeout_s=5.0,
            ),
            "landing": Landing(url=dg.EnvVar("MEVA_LANDING_URL"), settle_s=0),
            "cache": Cache(url=dg.EnvVar("MEVA_REDIS_URL")),
            "webhook": Webhook(url=dg.EnvVar("MEVA_ALERT_WEBHOOK_URL"), timeout_s=10.0),
            "vault": Vault(
                url=dg.EnvVar("MEVA_BACKUP_URL"), key=dg.EnvVar("MEVA_BACKUP_KEY"), home=dg.EnvVar("MEVA_HOME")
            ),
        }
    )


def _fork(location: dg.Definitions, task: Task) -> int:
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            code = _perform(location, task)
        except BaseException:  # noqa: BLE001 - a fork never returns into the loop of its parent
            traceback.print_exc()
        finally:
            os._exit(code)
    _say({"said": "started", "pid": pid, "task": task["id"]})
    return pid


def _perform(location: dg.Definitions, task: Task) -> int:
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    for descriptor, name in ((0, "/dev/null"), (1, "stdout"), (2, "stderr")):
        opened = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - the fork's own, until it ends
    os.environ.update(task["environment"])
    publishing.LOCK_TIMEOUT = task.get("lock_timeout") or publishing.LOCK_TIMEOUT
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    match task["kind"]:
        case "sandbox":
            return _serve(task, folder)
        case "limit":
            return _limit(task)
        case "run":
            return _run(_location(is_isolated=True) if task["is_isolated"] else location, task, folder)
        case unknown:
            raise ValueError(f"unknown task {unknown}")


def _limit(task: Task) -> int:
    """Limit the files of another process, as the account that it belongs to: its owner always may, root not always."""
    owner = Path(f"/proc/{task['pid']}").stat()
    if owner.st_uid != os.geteuid():
        os.setgroups([])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
    _, hard = resource.prlimit(task["pid"], resource.RLIMIT_FSIZE)
    resource.prlimit(task["pid"], resource.RLIMIT_FSIZE, (task["bytes"], hard))
    return 0


def _serve(task: Task, folder: Path) -> int:
    parts = server.assemble(registries.world(task["character"]), service_key=task["service_key"])
    parts.world.set(quota=None, rate_per_s=None)
    listener = server.listen(server.LOOPBACK, 0)
    _write(folder / "outcome.json", {"port": listener.getsockname()[1]})
    uvicorn.Server(server.configure(parts)).run([listener])
    return 0


def _run(location: dg.Definitions, task: Task, folder: Path) -> int:
    job = location.resolve_job_def(task["job"])
    with _instance(task) as instance, _file_limit(task):
        if isinstance(job.partitions_def, dg.DynamicPartitionsDefinition):
            instance.add_dynamic_partitions(str(job.partitions_def.name), [task["partition"]])
        result = job.execute_in_process(
            instance=instance,
            partition_key=task["partition"],
            run_config={"ops": task["config"]} if task["config"] else None,
            asset_selection=[dg.AssetKey(name.split("/")) for name in task["assets"]] or None,
            raise_on_error=False,
        )
        failures = [event for event in result.all_events if event.is_step_failure]
        relaunches = [event for event in result.all_events if event.is_step_up_for_retry]
    outcome = {
        "run_id": result.run_id,
        "is_success": result.success,
        "errors": {
            str(event.step_key): event.step_failure_data.error.to_string()
            for event in failures
            if event.step_failure_data.error is not None
        },
        "relaunches": len(relaunches),
        "waits": _WAITS,
    }
    _write(folder / "outcome.json", outcome)
    return 0 if result.success else 1


@contextmanager
def _instance(task: Task) -> Iterator[dg.DagsterInstance]:
    if task["dagster_home"]:
        with dg.DagsterInstance.from_config(task["dagster_home"]) as instance:
            yield instance
    else:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance


@contextmanager
def _file_limit(task: Task) -> Iterator[None]:
    """Let no file grow beyond a number of bytes: what a full disk does to a writer, without filling one."""
    if task["file_limit"] is None:
        yield
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for descriptor in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    resource.setrlimit(resource.RLIMIT_FSIZE, (task["file_limit"], hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.rename(path)


if __name__ == "__main__":
    main()
