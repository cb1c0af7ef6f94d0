"""A whole Dagster run of the full sync as `make demo` starts it: seconds from process start to end, and its memory.

PostgreSQL and the sandbox run beside it and do not count. Memory: the largest resident process of the run at its
peak, and the peak of the sum over all its processes where shared pages count once (PSS).
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil

from meva_pipelines.local import environment
from meva_pipelines.local.environment import Environment
from meva_pipelines.resources import reference
from meva_pipelines_tests.bench.dataset import DAYS
from meva_pipelines_tests.bench.report import Figure, Sense
from meva_pipelines_tests.bench.wire import XML
from meva_pipelines_tests.bench.world import TEMPLATE, Sandbox, World

_SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """One whole run: seconds, and megabytes of the largest process and of all together."""

    seconds: float
    largest_mb: float
    together_mb: float


def runs(world: World, sandbox: Sandbox, *, rounds: int) -> list[Run]:
    """Run the full sync of the first day into an empty warehouse, several times."""
    os.environ["MEVA_HOME"] = str(world.home)
    prepared = environment.prepare()
    sandbox.be(DAYS[0])
    sandbox.warm(XML.form, reference.contract(XML.name).paging.default_size)
    found = []
    for _ in range(rounds):
        world.execute("DROP DATABASE {} WITH (FORCE)", "meva")
        world.execute("CREATE DATABASE {} TEMPLATE {}", "meva", TEMPLATE)
        world.settle()
        found.append(_run(prepared, sandbox))
    return found


def figures(size: int, found: list[Run]) -> list[Figure]:
    """Seconds and memory of whole runs, medians over the rounds."""
    largest, together = (median(run.largest_mb for run in found), median(run.together_mb for run in found))
    return [
        Figure(
            name=f"whole Dagster run, XML, {size:,} devices, process starts and imports included",
            sense=Sense.AT_MOST,
            goal=30.0,
            value=median(run.seconds for run in found),
            unit="s",
            ours=", ".join(f"{run.seconds:.1f} s" for run in found),
            against="–",
        ),
        Figure(
            name="peak memory of that run (all its processes)",
            sense=Sense.AT_MOST,
            goal=350.0,
            value=together,
            unit="MB",
            ours=f"PSS together; largest process RSS {largest:.0f} MB",
            against="–",
        ),
    ]


def growth(size: int, large: list[Run], small: list[Run]) -> Figure:
    """How the memory grows with the rows."""
    more, less = (median(run.together_mb for run in found) for found in (large, small))
    return Figure(
        name=f"peak memory at {size:,} devices",
        sense=Sense.AT_MOST,
        goal=1.15,
        value=more / less,
        unit="×",
        ours=f"{more:.0f} MB, run {median(run.seconds for run in large):.0f} s",
        against=f"{less:.0f} MB",
    )


def _run(prepared: Environment, sandbox: Sandbox) -> Run:
    words = [sys.executable, "-m", "meva_pipelines.local.run", "aed_full_sync", "--partition", DAYS[0].isoformat()]
    settings = {
        "MEVA_EGEN_BASE_URL": sandbox.url + XML.path,
        "MEVA_EGEN_SERVICE_KEY": sandbox.key,
        "MEVA_EGEN_DIALECT": XML.name,
    }
    return watched(words, prepared, settings)


def watched(words: Sequence[str], prepared: Environment, settings: Mapping[str, str]) -> Run:
    """Run a program in a prepared environment and watch it and its children until it ends.

    Raises:
        RuntimeError: it failed; the message ends with its log.
    """
    log_path = prepared.home / "run.log"
    largest = together = 0.0
    with log_path.open("wb") as log:
        started = perf_counter()
        process = psutil.Popen(
            words,
            cwd=environment.PROJECT,
            env={**os.environ, **prepared.variables, **settings},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        while True:
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError):
                family = [process, *process.children(recursive=True)]
                together = max(together, sum(_pss_mb(member.pid) for member in family))
                largest = max(largest, *(_peak_mb(member.pid) for member in family))
            try:
                code = process.wait(timeout=_SAMPLE_S)
                break
            except psutil.TimeoutExpired:
                continue
        seconds = perf_counter() - started
    if code:
        raise RuntimeError(f"the run failed:\n{log_path.read_text(encoding='utf-8')[-3000:]}")
    return Run(seconds, largest, together)


def _pss_mb(pid: int) -> float:
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") / 1024


def _peak_mb(pid: int) -> float:
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") / 1024


def _kilobytes(path: Path, name: str) -> float:
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(name):
                return float(line.split()[1])
    return 0.0
