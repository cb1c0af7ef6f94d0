"""dlt and sling on the same rows, in an environment of their own that is thrown away afterwards.

Each loads into its own table with its own way of merging by primary key; a load counts only when the table then has
as many rows as the file. Ours is the publish phase with the typing of records included, for theirs types as well.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from time import perf_counter

import psycopg
from psycopg import sql

from meva_pipelines_tests.bench import publish, report
from meva_pipelines_tests.bench.dataset import DAYS, Dataset
from meva_pipelines_tests.bench.report import Figure
from meva_pipelines_tests.bench.world import Warehouse, World

PACKAGES = {"dlt": "dlt[postgres]", "sling": "sling-linux-amd64==1.4.11"}
"""The wheel of sling fetches its program from elsewhere; this one, the newest of its kind, carries it."""

_GOALS = {"dlt": (6.0, 15.0), "sling": (1.7, 5.0)}
_INSTALL_TIMEOUT_S = 600
_LOAD_TIMEOUT_S = 1_200

Load = Callable[[Warehouse, Dataset, date, Path], float]


@dataclass(frozen=True, slots=True)
class Peers:
    """The interpreter of the peers' environment, and those that can be run."""

    python: Path
    names: tuple[str, ...]


def installed(world: World) -> Peers:
    """Install the peers; what cannot be had is reported and left out."""
    folder = world.home / "peers"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    names = []
    for name, package in PACKAGES.items():
        words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_INSTALL_TIMEOUT_S)
        if done.returncode:
            print(f"{name} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
            continue
        names.append(name)
    return Peers(python, tuple(names))


def figures(world: World, rows: Dataset, peers: Peers, *, rounds: int) -> list[Figure]:
    """Measure first load and reload of each peer beside ours."""
    loads: dict[str, Load] = {"dlt": _dlt(peers), "sling": _sling(peers)}
    found = []
    for name in peers.names:
        try:
            laps = report.interleaved(
                rounds,
                {
                    "ours": lambda: _ours(world, rows),
                    name: partial(_theirs, world, rows, name, loads[name]),
                },
            )
        except (subprocess.SubprocessError, RuntimeError) as failure:
            print(f"{name} cannot be measured here: {failure}")
            continue
        for number, what in enumerate(("first load", "reload, 2 % changed")):
            laps[name] = laps[f"{name} {number}"]
            title = f"{what}, {rows.size:,} rows, against {name} into a plain table of its own"
            found.append(report.faster(title, laps, f"ours {number}", name, goal=_GOALS[name][number]))
    return found


def _ours(world: World, rows: Dataset) -> dict[str, float]:
    with world.warehouse() as warehouse:
        return {f"ours {number}": publish.published(warehouse, rows, day).total() for number, day in enumerate(DAYS)}


def _theirs(world: World, rows: Dataset, name: str, load: Load) -> dict[str, float]:
    laps = {}
    with world.warehouse() as warehouse:
        state = world.home / f"{name}-{perf_counter()}"
        state.mkdir()
        for number, day in enumerate(DAYS):
            world.settle()
            laps[f"{name} {number}"] = load(warehouse, rows, day, state)
            landed = _count(warehouse, f"peer_{name}")
            if number == 0 and landed != rows.rows(day):
                raise RuntimeError(f"{name} landed {landed} of {rows.rows(day)} rows")
            if landed < rows.rows(day):
                raise RuntimeError(f"{name} has {landed} rows after the reload, {rows.rows(day)} were given")
    return laps


def _count(warehouse: Warehouse, schema: str) -> int:
    with psycopg.connect(warehouse.url) as connection:
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, "aed_data"))
        ).fetchone()
    return int(row[0]) if row else 0


def _dlt(peers: Peers) -> Load:
    def load(warehouse: Warehouse, rows: Dataset, day: date, state: Path) -> float:
        script = Path(__file__).with_name("peer_dlt.py")
        done = subprocess.run(
            [str(peers.python), str(script), warehouse.url, str(state), str(rows.jsonl(day))],
            env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOAD_TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-600:])
        return float(done.stdout.split()[-1])

    return load


def _sling(peers: Peers) -> Load:
    def load(warehouse: Warehouse, rows: Dataset, day: date, state: Path) -> float:
        program = next(peers.python.parent.parent.rglob("bin/sling-linux-amd64"))
        words = [str(program), "run", "--src-stream", f"file://{rows.csv(day)}"]
        words += ["--tgt-conn", "BENCH", "--tgt-object", "peer_sling.aed_data"]
        words += ["--mode", "incremental", "--primary-key", "source_id"]
        started = perf_counter()
        done = subprocess.run(
            words,
            env={
                **os.environ,
                "BENCH": f"{warehouse.url}?sslmode=disable",
                "SLING_HOME_DIR": str(state),
                "SLING_DISABLE_TELEMETRY": "true",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOAD_TIMEOUT_S,
        )
        seconds = perf_counter() - started
        if done.returncode:
            raise RuntimeError((done.stderr + done.stdout).strip()[-600:])
        return seconds

    return load
