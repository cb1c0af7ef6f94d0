"""The laboratory of these tests: what its machines drop, and how its jobs are started, as the sensors start them.

What was dropped is kept beside the landing zone as well, so that `tensile_invariants` can look for every byte of it.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from meva_pipelines.automation import landing_sensors, tensile_sensors
from meva_pipelines.domain.tensile.moments import LABORATORY_ZONE
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox import laboratory_files
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import MachineFile
from meva_pipelines_tests.recovery.theatre import Outcome, Running, Scene

FIRST_DAY = date(2026, 11, 2)
LABORATORY = Laboratory(first_day=FIRST_DAY)
POINTS = 120
ROUNDS = 3
"""Runs that the sensors may ask for until nothing waits any more."""


def sound(number: int, dialect: Dialect) -> MachineFile:
    """A sound file of the first day."""
    return LABORATORY.file(number, points=POINTS, dialect=dialect)


def with_a_bad_half(number: int) -> MachineFile:
    """A file with two tests, of which the second one's time goes back."""
    good = sound(number, Dialect.UPLOAD_JSON)
    bad = laboratory_files.with_time_going_back(sound(number + 1, Dialect.UPLOAD_JSON))
    return replace(good, trials=(*good.trials, *bad.trials))


BEFORE = (sound(0, Dialect.UPLOAD_JSON), sound(1, Dialect.UPLOAD_CSV), sound(2, Dialect.BRACKETS))
"""What is published when a play begins."""

DELIVERY = (
    sound(3, Dialect.PMD),
    sound(4, Dialect.SHIMADZU),
    laboratory_files.revised(BEFORE[0]),
    laboratory_files.conflicting(BEFORE[1]),
    with_a_bad_half(5),
    laboratory_files.ambiguous(sound(7, Dialect.BRACKETS)),
)
"""New tests in two dialects, a correction, a conflict, a file that is good in part, and one that is not good at all."""

AFTER = (sound(8, Dialect.ZWICK_TEXT),)
"""What comes the next day."""


def folder_of(scene: Scene) -> Path:
    """The folder into which machines drop."""
    return scene.landing / "tensile"


def drop(scene: Scene, files: Iterable[MachineFile], *, days: int = 0) -> None:
    """Write files as if they had been written in the morning, some days after the first."""
    folder, kept = folder_of(scene), scene.folder / "dropped"
    for number, file in enumerate(files):
        kept.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        written = file.write(kept)
        morning = datetime.combine(FIRST_DAY + timedelta(days=days), time(9), LABORATORY_ZONE)
        modified = (morning + timedelta(minutes=number)).timestamp()
        for path in (written.with_name(f"{written.name}.meta.yaml"), written):
            if path.exists():
                os.utime(path, (modified, modified))
                shutil.copy2(path, folder / path.name)


def write_registers(scene: Scene, *, changed: bool = False) -> None:
    """Lay the registers down; changed ones have another value and one more certificate."""
    folder = scene.landing / "registers"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in LABORATORY.registers().items():
        shown = text.replace("Mill sheet", "Mill sheet 2").replace("KC-20", "KC2-20") if changed else text
        (folder / name).write_text(shown, encoding="utf-8")


def asked(scene: Scene) -> dg.RunRequest | None:
    """What the sensor of the landing zone asks for now."""
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
        said = landing_sensors.tensile_files_landed(
            context, landing=Landing(url=scene.landing.as_uri(), settle_s=0), postgres=_postgres(scene)
        )
    return said if isinstance(said, dg.RunRequest) else None


def asked_for_evaluation(scene: Scene) -> dg.RunRequest | None:
    """What the sensor of published tests asks for now."""
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
        said = tensile_sensors.tensile_tests_unevaluated(context, postgres=_postgres(scene))
    return said if isinstance(said, dg.RunRequest) else None


def _postgres(scene: Scene) -> Postgres:
    return Postgres(url=scene.url, home=str(scene.folder))


def _started(scene: Scene, job: str, request: dg.RunRequest | None, **arguments: Any) -> Running:
    assert request is not None, f"no sensor asks for {job}"
    assert request.partition_key is not None
    day = date.fromisoformat(request.partition_key)
    return scene.start(job, day=day, config=request.run_config["ops"], **arguments)


def start_intake(scene: Scene, **arguments: Any) -> Running:
    """Start what the sensor asks for."""
    return _started(scene, "tensile_intake", asked(scene), **arguments)


def intake(scene: Scene, **arguments: Any) -> Outcome:
    """Run what the sensor asks for."""
    return start_intake(scene, **arguments).end()


def take_everything(scene: Scene) -> list[Outcome]:
    """Run what the sensors ask for until they ask for nothing; as often as `ROUNDS` (R1)."""
    outcomes: list[Outcome] = []
    while True:
        if asked(scene):
            outcomes.append(intake(scene))
        elif request := asked_for_evaluation(scene):
            outcomes.append(_started(scene, "tensile_evaluation", request).end())
        else:
            return outcomes
        assert len(outcomes) <= ROUNDS, f"something waits for ever: {outcomes[-1].errors}"


def registers(scene: Scene, **arguments: Any) -> Outcome:
    """Refresh the registers and compare every test anew."""
    return scene.run("tensile_registers", **arguments)


def resolve(scene: Scene, resolution: str, **arguments: Any) -> Outcome:
    """Carry out a decision of the first conflict."""
    config = {"conflict_id": 1, "resolution": resolution.upper(), "decided_by": "test", "dry_run": False}
    return scene.run("resolve_tensile_conflict", config={"resolve_conflict": {"config": config}}, **arguments)


def roll_back(scene: Scene, token: int, **arguments: Any) -> Outcome:
    """Take a publication back."""
    config = {"roll_back_tests": {"config": {"token": token, "dry_run": False}}}
    return scene.run("tensile_rollback", config=config, **arguments)


def published(scene: Scene) -> list[int]:
    """Tokens of the published attempts that changed tests, oldest first."""
    found = scene.rows(
        "SELECT token FROM ops.sync_runs WHERE subject = 'meva.tensile_test' AND status = 'published' ORDER BY token"
    )
    return [token for (token,) in found]


def expected_tests(files: Sequence[MachineFile]) -> dict[str, Any]:
    """The trials by name of test, those that come later instead of those that came before."""
    return {trial.specimen.name: trial for file in files for trial in file.trials}
