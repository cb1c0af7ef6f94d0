"""Canaries in every sink: a key, a password, a webhook's token, a name and a telephone number, and nobody sings.

Good and bad days are run on a Dagster instance with a real storage, so that event log, tags, metadata and compute
logs are what they are in operation. Published rows and quarantined payloads may hold names: they are guarded by grants.
"""

import threading
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import make_url

import meva_pipelines
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
from meva_pipelines.resources.embedded_postgres import Settings as ServerSettings
from meva_pipelines.sandbox import laboratory_files
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import MachineFile
from meva_pipelines.schema import migrate
from meva_pipelines_tests.recovery import laboratory, theatre
from meva_pipelines_tests.recovery.conftest import SERVICE_KEY
from meva_pipelines_tests.recovery.forks import Nursery
from meva_pipelines_tests.recovery.registries import FIRST_DAY, BetrayedRegistry
from meva_pipelines_tests.recovery.theatre import Outcome, Scene, Theatre

WEBHOOK_TOKEN = "T0K3Nwebhook42canary"
WRONG_PASSWORD = "wr0ngPassw0rd99canary"
OPERATOR, REMARK = "윤카나리아", "카나리아 비고: 010-5533-9182"
MAY_HOLD_NAMES = {"aed_data", "aed_history", "tensile_test", "tensile_test_history"}
DAYS = [FIRST_DAY + timedelta(days=number) for number in range(10)]


@dataclass(frozen=True)
class Evidence:
    """What happened, and where it left traces."""

    scene: Scene
    dagster_url: str
    artifacts: Path
    outcomes: dict[str, Outcome]
    commands: frozenset[str]
    canaries: tuple[str, ...]


@contextmanager
def commands_seen(seen: set[str]) -> Iterator[None]:
    """Read the command lines of all processes again and again."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.03)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(10)


@pytest.fixture(scope="module")
def evidence(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Good and bad days on a server, an instance and a registry of their own."""
    folder = tmp_path_factory.mktemp("canary")
    server = EmbeddedPostgres(folder / "server", ServerSettings(databases=("meva_template", "dagster")))
    running = server.ensure_running()
    migrate.upgrade(running.url("meva_template"))
    home, artifacts = folder / "home", folder / "artifacts"
    home.mkdir()
    settings = Path(meva_pipelines.__file__).parents[1] / "dagster.yaml"
    (home / "dagster.yaml").write_text(settings.read_text(encoding="utf-8"), encoding="utf-8")
    dagster_url = running.url("dagster")
    with theatre.registry(nursery, folder / "registry", service_key=SERVICE_KEY, character="betrayed") as registry:
        stage = Theatre(nursery, registry, running.url("postgres"), "meva_template", folder)
        with stage.scene() as scene:
            webhook = f"{registry.base_url}/_sandbox/webhook?token={WEBHOOK_TOKEN}"
            storage = make_url(dagster_url).set(drivername="postgresql+psycopg2")
            scene.overrides["MEVA_ALERT_WEBHOOK_URL"] = webhook
            scene.overrides["MEVA_DAGSTER_DATABASE_URL"] = storage.render_as_string(hide_password=False)
            scene.overrides["MEVA_DAGSTER_ARTIFACTS"] = str(artifacts)
            commands: set[str] = set()
            with commands_seen(commands):
                outcomes = play(scene, str(home))
            secrets = [SERVICE_KEY, running.password, WEBHOOK_TOKEN, WRONG_PASSWORD]
            people = [BetrayedRegistry.manager, BetrayedRegistry.telephone, BetrayedRegistry.telephone.replace("-", "")]
            people += [OPERATOR, REMARK]
            canaries = tuple(
                dict.fromkeys([*secrets, *people, *(quote(canary, safe="") for canary in [*secrets, *people])])
            )
            yield Evidence(scene, dagster_url, artifacts, outcomes, frozenset(commands), canaries)
    server.stop()


def play(scene: Scene, home: str) -> dict[str, Outcome]:
    """Ten ways to begin or to end a day."""
    found = {}

    def day(number: int, name: str, **arguments: Any) -> None:
        scene.registry.set(day=DAYS[number])
        found[name] = scene.sync(DAYS[number], dagster_home=home, assets=(), **arguments)
        scene.registry.break_by()

    day(0, "good", is_isolated=True)
    day(1, "some bad rows")
    scene.registry.break_by({"fault": "status", "times": None, "parameters": {"status": 503}})
    day(2, "source away", relaunches=1)
    scene.registry.break_by({"fault": "html", "times": None})
    day(3, "html")
    scene.registry.set(key_expired=True)
    day(4, "key expired")
    scene.registry.set(key_expired=False)
    for name, mutation in (("shifted", "shifted_mapping"), ("no coordinates", "all_coordinates_null")):
        scene.registry.set(day=DAYS[5], mutation=mutation)
        found[name] = scene.sync(DAYS[5], dagster_home=home, assets=())
    day(6, "an error in the middle", failpoints="aed.publish.after_upsert:raise")
    scene.change(
        "ALTER TABLE aed.aed_data ADD CONSTRAINT nobody CHECK (coalesce(manager, '') <> '강철수카나리아') NOT VALID"
    )
    day(7, "the database quotes a row")
    scene.change("ALTER TABLE aed.aed_data DROP CONSTRAINT nobody")
    right, wrong = scene.url, make_url(scene.url).set(password=WRONG_PASSWORD)
    scene.overrides["MEVA_DATABASE_URL"] = wrong.render_as_string(hide_password=False)
    day(8, "wrong password")
    scene.overrides["MEVA_DATABASE_URL"] = right
    found |= laboratory_days(scene, home)
    scene.registry.break_by({"fault": "status", "operation": "webhook", "times": 1, "parameters": {"status": 500}})
    found["webhook away"] = scene.run("deliver_alerts", dagster_home=home)
    scene.overrides["MEVA_ALERT_WEBHOOK_URL"] = f"http://127.0.0.1:9/hook?token={WEBHOOK_TOKEN}"
    found["webhook gone"] = scene.run("deliver_alerts", dagster_home=home)
    return found


def laboratory_days(scene: Scene, home: str) -> dict[str, Outcome]:
    """Four intakes of files that name a person as operator, in the remarks, and where a number ought to stand."""
    found = {}

    def intake(name: str, *files: MachineFile, days: int, **arguments: Any) -> None:
        laboratory.drop(scene, map(naming_people, files), days=days)
        found[name] = laboratory.intake(scene, dagster_home=home, **arguments)

    intake("tests", laboratory.sound(0, Dialect.UPLOAD_JSON), laboratory.sound(1, Dialect.UPLOAD_CSV), days=0)
    intake("a conflict", laboratory_files.conflicting(laboratory.sound(0, Dialect.UPLOAD_JSON)), days=1)
    laboratory.folder_of(scene).joinpath("names.csv").write_text(
        f"time (s),force (kN),displacement (mm)\n0,{OPERATOR},0\n{REMARK},1,1\n2,2,{OPERATOR}\n", encoding="utf-8"
    )
    found["a name for a number"] = laboratory.intake(scene, dagster_home=home)
    scene.change(
        f"ALTER TABLE meva.tensile_test ADD CONSTRAINT nobody CHECK (coalesce(operator, '') <> '{OPERATOR}') NOT VALID"
    )
    intake("the database quotes a test", laboratory.sound(2, Dialect.UPLOAD_JSON), days=2)
    scene.change("ALTER TABLE meva.tensile_test DROP CONSTRAINT nobody")
    intake(
        "an error among tests",
        laboratory.sound(3, Dialect.UPLOAD_JSON),
        days=3,
        failpoints="tensile.publish.after_copy:raise",
    )
    return found


def naming_people(file: MachineFile) -> MachineFile:
    """The same file, made by a person."""
    trials = tuple(
        replace(trial, specimen=replace(trial.specimen, operator=OPERATOR, remarks=REMARK)) for trial in file.trials
    )
    return replace(file, trials=trials)


def hits(text: str, canaries: tuple[str, ...]) -> list[str]:
    """The canaries in a text, each with what stands before it."""
    return [f"…{text[max(0, at - 80) : at + 40]}" for canary in canaries if (at := text.find(canary)) >= 0]


def rows_of(url: str, *, without: AbstractSet[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """Every row of every table as text, of quarantine without the payload; staged rows are not kept."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema', 'staging')"
        ).fetchall()
        for schema, table in tables:
            if table not in without:
                for (row,) in connection.execute(
                    f'SELECT (to_jsonb(t) - \'payload\')::text FROM "{schema}"."{table}" AS t'
                ):
                    yield f"{schema}.{table}", row


def test_the_days_ended_as_they_should(evidence: Evidence) -> None:
    """Otherwise the silence below would prove nothing."""
    good = {name for name, outcome in evidence.outcomes.items() if outcome.is_success}
    assert good == {"good", "some bad rows", "tests", "a conflict"}
    names = evidence.scene.rows("SELECT count(*) FROM aed.aed_data WHERE manager = %s", BetrayedRegistry.manager)
    assert names[0][0] > 0
    assert evidence.scene.rows("SELECT count(*) FROM meva.tensile_test WHERE operator = %s", OPERATOR) == [(2,)]
    waiting = evidence.scene.rows("SELECT payload::text FROM aed.quarantine")
    assert any(BetrayedRegistry.telephone in payload for (payload,) in waiting)
    events = [row for table, row in rows_of(evidence.dagster_url) if table == "public.event_logs"]
    assert len(events) > 100
    assert any("quality.judge" in command for command in evidence.commands)


def test_no_canary_in_the_storage_of_dagster(evidence: Evidence) -> None:
    """Events, errors, metadata, run configuration, tags."""
    found = [(table, hits(row, evidence.canaries)) for table, row in rows_of(evidence.dagster_url)]
    assert [(table, hit) for table, hit in found if hit] == []


def test_no_canary_in_the_ledgers(evidence: Evidence) -> None:
    found = [(t, hits(row, evidence.canaries)) for t, row in rows_of(evidence.scene.url, without=MAY_HOLD_NAMES)]
    assert [(table, hit) for table, hit in found if hit] == []


def test_no_canary_in_compute_logs_standard_streams_and_exceptions(evidence: Evidence) -> None:
    files = [path for path in evidence.artifacts.rglob("*") if path.is_file()]
    files += [
        outcome.folder / name for outcome in evidence.outcomes.values() for name in ("stdout", "stderr", "outcome.json")
    ]
    assert any(path.suffix == ".err" for path in files)
    found = [(path.name, hits(path.read_text(errors="replace"), evidence.canaries)) for path in files if path.exists()]
    assert [(name, hit) for name, hit in found if hit] == []


def test_no_canary_in_the_log_of_the_server(evidence: Evidence) -> None:
    ((data,),) = evidence.scene.rows("SELECT current_setting('data_directory')")
    logs = list(Path(data).glob("log/*.log"))
    assert any(path.stat().st_size for path in logs)
    found = [hits(path.read_text(errors="replace"), evidence.canaries) for path in logs]
    assert [hit for hit in found if hit] == []


def test_no_canary_in_a_command_line(evidence: Evidence) -> None:
    assert [command for command in evidence.commands if hits(command, evidence.canaries)] == []


def test_no_canary_in_a_message(evidence: Evidence) -> None:
    texts = str(evidence.scene.registry.messages())
    assert hits(texts, evidence.canaries) == []


def test_no_slot_of_a_pool_is_left_occupied(evidence: Evidence) -> None:
    """Runs that failed gave back what they held."""
    assert [row for table, row in rows_of(evidence.dagster_url) if table == "public.pending_steps"] == []
    slots = [row for table, row in rows_of(evidence.dagster_url) if table == "public.concurrency_slots"]
    assert [row for row in slots if '"run_id": null' not in row] == []
