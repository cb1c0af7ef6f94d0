"""Old rows of every table that ages, and the jobs that move them, as the sensor and people start them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from meva_pipelines.assets.simulation import DAYS, FIRINGS, SIMULATIONS
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.filters import Condition, Operator
from meva_pipelines.domain.archive.queries import Query
from meva_pipelines.resources import hot_and_cold, simulation_totals
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.recovery import archive_invariants, invariants
from meva_pipelines_tests.recovery.archive_invariants import AGES, OLD
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Running, Scene, Theatre

SEASON = Season(orders=2, repeats=1, first_day=date(2024, 2, 7), spacing_days=70, simulated_points=40)
"""One work order in the first quarter of 2024, one in the second, each compared."""

POINTS = 1_500
"""Points of a measured curve."""

PERIODS: Mapping[str, str] = {
    "simulation_time_series": "2024-Q1",
    "test_time_series": "2024-Q1",
    "operation_logs": "2024-02",
    "aed_history": "2024-Q1",
}
"""A period of each table that is old enough to leave."""

RUNS = 2
"""Runs within which whatever went wrong is healed."""

_LOGS = """
INSERT INTO mgg.operation_logs (log_type, action, details, ip_address, user_agent, created_at)
SELECT 'login', 'logged in ' || n, nullif('로그 ' || n, '로그 3'),
       CASE mod(n, 3) WHEN 0 THEN '10.1.2.3'::inet WHEN 1 THEN 'fd00::1'::inet END, 'agent', m + n * interval '1 minute'
FROM generate_series(1, 40) AS n, (VALUES (timestamptz '2024-02-10Z')) AS moment(m)
"""
IMAGES = """
INSERT INTO aed.aed_history (token, change, valid_from, valid_to, id, source, source_id, manufacturer, longitude,
  data_status, first_seen_date, consecutive_missing_days, row_hash, sync_batch_id, created_at, updated_at)
SELECT 1, 'updated', m, m + n * interval '1 hour', n, 'egen', n::text, nullif('제조 ' || n, '제조 3'), n - 20.5,
  'active', m::date, 0, sha256(n::text::bytea), 1, m, m
FROM generate_series(1, 40) AS n, (VALUES (timestamptz '2024-02-10Z')) AS moment(m)
"""


def base(stage: Theatre) -> Base:
    """A warehouse with old rows, all of them hot."""
    if "old rows" not in stage.bases:
        with stage.scene() as scene:
            _lay(scene)
            stage.bases["old rows"] = stage.keep(scene, today())
    return stage.bases["old rows"]


def _lay(scene: Scene) -> None:
    """Publish and compare a season, and put logs and before-images of its days beside it."""
    firing_files.write(firing_files.simulation_files(SEASON), scene.landing / SIMULATIONS.folder)
    firing_files.write(_firings(SEASON), scene.landing / FIRINGS.folder)
    for job in ("simulation_intake", "firing_intake"):
        outcome = scene.run(job, day=today())
        assert outcome.is_success, outcome.errors
    scene.change("SELECT mgg.ensure_partition('operation_logs', timestamptz '2024-02-10Z')")
    for statement in (_LOGS, IMAGES):
        scene.change(statement)
    with postgres(scene).connect(Role.WRITER, work="policies") as connection:
        simulation_totals.enter_policies(connection)


def _firings(season: Season) -> Iterator[tuple[str, bytes]]:
    for order in season.work_orders():
        for firing in season.firings(order):
            yield from firing_files.firing_document(firing, points=POINTS).items()


def today() -> date:
    """The day of which the intakes are."""
    day = DAYS.get_last_partition_key()
    assert day is not None
    return date.fromisoformat(day)


def postgres(scene: Scene) -> Postgres:
    """The warehouse of a scene as its runs have it."""
    return Postgres(url=scene.url, home=str(scene.folder))


def store_url(scene: Scene) -> str:
    """Where the runs of a scene put their objects."""
    return scene.overrides.get("MEVA_STORE_URL", scene.store.as_uri())


def start(scene: Scene, table: str, *, period: str = "", **arguments: Any) -> Running:
    """Start the run that archives a period of a table and lets its rows go."""
    return scene.start(f"archive_{table}", period=period or PERIODS[table], **arguments)


def archive(scene: Scene, table: str, **arguments: Any) -> Outcome:
    """Archive a period of a table and let its rows go."""
    return start(scene, table, **arguments).end()


def start_restore(scene: Scene, table: str, **arguments: Any) -> Running:
    """Start the run that brings a table's period back and holds it."""
    wish = {"table": table, "period": PERIODS[table], "held_by": "test", "dry_run": False}
    return scene.start("archive_restore", config={"bring_rows_back": {"config": wish}}, **arguments)


def restore(scene: Scene, table: str, **arguments: Any) -> Outcome:
    """Bring a table's period back and hold it."""
    return start_restore(scene, table, **arguments).end()


def collect(scene: Scene, **arguments: Any) -> Outcome:
    """Collect what no batch refers to."""
    config = {"archive__orphans": {"config": {"dry_run": False}}}
    return scene.run("archive_nightly", assets=["archive/orphans"], config=config, **arguments)


def held(scene: Scene, table: str, point: Point, **arguments: Any) -> Running:
    """Start archiving a table's period and freeze it where it has reached a point."""
    running = start(scene, table, failpoints=f"{point.value}:sleep", **arguments)
    running.await_point(point.value)
    running.freeze()
    return running


def woken(running: Running) -> Outcome:
    """Let a frozen run go on to its end."""
    running.thaw()
    return running.end()


def tomorrow(scene: Scene) -> None:
    """The next run of the archive, over another period, collects what the dead left behind."""
    outcome = archive(scene, "simulation_time_series", period="2024-Q2")
    assert outcome.is_success, outcome.errors
    assert invariants.leftovers(scene.url, scene.store) == []


def hot(scene: Scene, table: str) -> int:
    """How many rows of the first quarter of 2024 are hot."""
    name = next(name for name in AGES if name.endswith(f".{table}"))
    age = AGES[name][0]
    query = f"SELECT count(*) FROM {name} WHERE {age} >= '2024-01-01Z' AND {age} < '2024-04-01Z'"
    return int(scene.rows(query)[0][0])


def batches(scene: Scene, table: str) -> list[tuple[Any, ...]]:
    """Generations of the table's period with their states."""
    return scene.rows(
        "SELECT generation, status FROM mgg.archive_batches WHERE table_name = %s AND period = %s ORDER BY 1",
        table,
        PERIODS[table],
    )


def truth(scene: Scene) -> Content:
    """Every old row, wherever it lies now."""
    return archive_invariants.content(scene.url, store_url(scene))


def as_readers_see(scene: Scene, tables: Iterable[str] = tuple(AGES)) -> Content:
    """Every old row as whoever asks for hot and cold rows is told."""
    files = ColdFiles(ObjectStore(url=store_url(scene)))
    found = {}
    for name in tables:
        age, key = AGES[name]
        before = OLD.date() if age == "test_date" else OLD
        asked = Query(TABLES[name.partition(".")[2]], Condition(age, Operator.LT, before))
        with hot_and_cold.answer(postgres(scene), files, asked, role=Role.ARCHIVER) as answer:
            rows = pa.Table.from_batches(list(answer.batches), answer.schema)
        found[name] = Counter(archive_invariants.by_key(key, rows).values())
    return Content(found)


def demand_sound(scene: Scene, expected: Content) -> None:
    """Every invariant holds, and readers are told the truth."""
    assert archive_invariants.breaches(scene.url, store_url(scene), expected) == []
    assert as_readers_see(scene).differences(expected) == []


def demand_cold(scene: Scene, table: str, expected: Content) -> None:
    """Every row of a table's period lies in one committed part, and none is hot."""
    demand_sound(scene, expected)
    assert hot(scene, table) == 0
    assert [state for _, state in batches(scene, table)].count("committed") == 1


def demand_healed(scene: Scene, table: str, expected: Content) -> None:
    """The same job again, until it succeeds, makes the rows cold; then nothing is left behind."""
    again = archive(scene, table)
    for _ in range(RUNS - 1):
        if not again.is_success:
            demand_sound(scene, expected)
            again = archive(scene, table)
    assert again.is_success, again.errors
    demand_cold(scene, table, expected)
    assert invariants.leftovers(scene.url, scene.store) == []
