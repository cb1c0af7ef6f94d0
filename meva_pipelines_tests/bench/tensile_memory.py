"""The memory of one Dagster run that takes many machine files at once, all of its processes together.

`python -m meva_pipelines_tests.bench.tensile_memory DAY` is that run: both assets of the intake, on every file that
lies in the landing zone. A run that a sensor asks for takes 200; people may name as many as they like.
"""

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from meva_pipelines import definitions
from meva_pipelines.assets import tables, tensile
from meva_pipelines.local import environment
from meva_pipelines.resources import tensile_desk
from meva_pipelines.schema.meva import TENSILE_DATA, TENSILE_TEST
from meva_pipelines_tests.bench import run, tensile_files
from meva_pipelines_tests.bench.report import Figure, Sense
from meva_pipelines_tests.bench.run import Run
from meva_pipelines_tests.bench.tensile_intake import DAY
from meva_pipelines_tests.bench.world import TEMPLATE, World

FILES = 1_000
LARGER = 10
POINTS = 500
_MODULE = "meva_pipelines_tests.bench.tensile_memory"


def figures(world: World, *, is_large: bool) -> list[Figure]:
    """Peak memory at a thousand files, and its growth to ten times as many."""
    small = _measured(world, FILES)
    found = [
        Figure(
            name=f"peak memory of a Dagster run that takes {FILES:,} files × {POINTS} points (all its processes)",
            sense=Sense.AT_MOST,
            goal=300.0,
            value=small.together_mb,
            unit="MB",
            ours=f"PSS together; largest process RSS {small.largest_mb:.0f} MB; run {small.seconds:.0f} s",
            against="–",
        )
    ]
    if is_large:
        large = _measured(world, LARGER * FILES)
        found.append(
            Figure(
                name=f"peak memory at {LARGER * FILES:,} files",
                sense=Sense.AT_MOST,
                goal=1.15,
                value=large.together_mb / small.together_mb,
                unit="×",
                ours=f"{large.together_mb:.0f} MB, largest process RSS {large.largest_mb:.0f} MB",
                against=f"{small.together_mb:.0f} MB",
            )
        )
    return found


def _measured(world: World, files: int) -> Run:
    os.environ["MEVA_HOME"] = str(world.home)
    prepared = environment.prepare()
    world.execute("DROP DATABASE {} WITH (FORCE)", "meva")
    world.execute("CREATE DATABASE {} TEMPLATE {}", "meva", TEMPLATE)
    landing = prepared.home / "landing" / tensile_desk.FOLDER
    shutil.rmtree(landing, ignore_errors=True)
    with TemporaryDirectory(prefix="memory-", dir=world.home) as name:
        tensile_files.mixed(Path(name) / "mixed", files, points=POINTS).drop(landing)
        world.settle()
        return run.watched([sys.executable, "-m", _MODULE, f"{DAY}"], prepared, {})


def _run(day: str) -> bool:
    folder = environment.home() / "landing" / tensile_desk.FOLDER
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    with dg.DagsterInstance.get() as instance:
        result = (
            definitions.defs()
            .resolve_job_def("tensile_intake")
            .execute_in_process(
                instance=instance,
                partition_key=day,
                run_config={"ops": {"tensile__uploads": {"config": {"files": names}}}},
                asset_selection=[tensile.UPLOADS, tables.key(TENSILE_TEST), tables.key(TENSILE_DATA)],
                raise_on_error=False,
            )
        )
    return bool(result.success)


if __name__ == "__main__":
    raise SystemExit(0 if _run(sys.argv[1]) else 1)
