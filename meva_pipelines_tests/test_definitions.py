"""The code location as the Dagster server sees it: it loads with nothing set, and assets keep the habits.

What an asset computes is proved in `assets/`; when it runs, in `automation/`.
"""

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from meva_pipelines import definitions, schema
from meva_pipelines.schema.base import METADATA

PROJECT = Path(__file__).parent.parent

PROBE = """
import json, sys, time
began_s = time.process_time()
import dagster
connections = []
sys.addaudithook(lambda event, args: connections.append(str(args[1])) if event == "socket.connect" else None)
dagster_s = time.process_time()
from meva_pipelines.definitions import defs
dagster.Definitions.validate_loadable(defs())
done_s = time.process_time()
cost = (done_s - dagster_s) / (dagster_s - began_s)
print(json.dumps({"cost": cost, "modules": sorted(sys.modules), "connections": connections}))
"""
TOO_HEAVY_FOR_LOADING = {"great_expectations", "pandas", "matplotlib"}
MOST_COST = 6.0
"""Processor time of loading, in times of importing Dagster, which takes half a second: 3 s."""

SUBJECTS = {"aed", "tensile", "simulation", "platform", "archive", "backup", "ops"}
DESTRUCTIVE_WORDS = {
    "collect",
    "delete",
    "drop",
    "expire",
    "expiry",
    "purge",
    "release",
    "released",
    "retention",
    "rollback",
    "tombstone",
    "truncate",
}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return definitions.defs()


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> list[dg.AssetSpec]:
    return list(defs.resolve_all_asset_specs())


@pytest.fixture(scope="module")
def named_jobs(defs: dg.Definitions) -> list[dg.JobDefinition]:
    """The jobs that a person chooses from; Dagster's own job over all assets is not among them."""
    return [job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")]


@pytest.fixture(scope="module")
def loaded_with_nothing_set() -> SimpleNamespace:
    """What a server process would see that has a PATH and no other variable."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return SimpleNamespace(**json.loads(answer.stdout.splitlines()[-1]))


def tables() -> set[tuple[str, ...]]:
    """Every table of the warehouse as an asset key."""
    for module in pkgutil.iter_modules(schema.__path__):
        importlib.import_module(f"{schema.__name__}.{module.name}")
    return {tuple(name.split(".")) for name in METADATA.tables}


def is_table(spec: dg.AssetSpec) -> bool:
    return tuple(spec.key.path) in tables()


def words_of(name: str) -> set[str]:
    return set(name.lower().replace("/", "_").split("_"))


def act_of(name: str) -> str:
    """What an operation does, without the table that it is named for: a table of policies deletes nothing."""
    for table in tables():
        name = name.removeprefix("__".join(table))
    return name


def dry_run_fields(defs: dg.Definitions) -> Iterator[tuple[str, dg.Field | None]]:
    """Each operation with its `dry_run` field, or none where its configuration has no such field."""
    seen: dict[str, dg.OpDefinition] = {}
    for job in defs.resolve_all_job_defs():
        seen |= {node.name: node for node in job.all_node_defs if isinstance(node, dg.OpDefinition)}
    for name, operation in sorted(seen.items()):
        fields = getattr(operation.config_schema.config_type, "fields", {})
        yield name, fields.get("dry_run")


def test_the_location_loads_with_nothing_set(loaded_with_nothing_set: SimpleNamespace) -> None:
    assert "meva_pipelines.definitions" in loaded_with_nothing_set.modules


def test_loading_talks_to_nobody(loaded_with_nothing_set: SimpleNamespace) -> None:
    assert loaded_with_nothing_set.connections == []


def test_loading_is_quick(loaded_with_nothing_set: SimpleNamespace) -> None:
    assert loaded_with_nothing_set.cost < MOST_COST


def test_loading_imports_nothing_heavy(loaded_with_nothing_set: SimpleNamespace) -> None:
    assert not TOO_HEAVY_FOR_LOADING & set(loaded_with_nothing_set.modules)


def test_every_asset_is_described(specs: list[dg.AssetSpec]) -> None:
    assert not [spec.key.to_user_string() for spec in specs if not (spec.description or "").strip()]


def test_every_asset_has_an_owner(specs: list[dg.AssetSpec]) -> None:
    assert not [spec.key.to_user_string() for spec in specs if not spec.owners]


def test_every_asset_belongs_to_a_subject(specs: list[dg.AssetSpec]) -> None:
    assert not [spec.key.to_user_string() for spec in specs if spec.group_name not in SUBJECTS]


def test_every_asset_says_where_it_is_stored(specs: list[dg.AssetSpec]) -> None:
    assert not [spec.key.to_user_string() for spec in specs if not 1 <= len(spec.kinds) <= 3]


def test_every_asset_key_is_a_subject_and_a_noun(specs: list[dg.AssetSpec]) -> None:
    assert not [spec.key.to_user_string() for spec in specs if len(spec.key.path) != 2]


def test_every_table_explains_its_columns(specs: list[dg.AssetSpec]) -> None:
    unexplained = []
    for spec in filter(is_table, specs):
        columns = spec.metadata.get("dagster/column_schema")
        assert isinstance(columns, dg.TableSchema), f"{spec.key.to_user_string()} has no column schema"
        unexplained += [
            (spec.key.to_user_string(), column.name) for column in columns.columns if not column.description
        ]
    assert not unexplained


def test_every_table_shows_the_columns_that_it_has(specs: list[dg.AssetSpec]) -> None:
    for spec in filter(is_table, specs):
        shown = {column.name for column in spec.metadata["dagster/column_schema"].columns}
        stored = set(METADATA.tables[".".join(spec.key.path)].columns.keys())
        assert shown == stored, spec.key.to_user_string()


def test_every_table_is_findable_by_its_name(specs: list[dg.AssetSpec]) -> None:
    for spec in filter(is_table, specs):
        assert str(spec.metadata.get("dagster/table_name", "")).endswith(".".join(spec.key.path))
        assert "postgres" in spec.kinds, spec.key.to_user_string()


def test_every_published_table_stands_behind_a_blocking_check(defs: dg.Definitions) -> None:
    """A table is either on the way to a gate or behind one; a gate on the table itself comes too late."""
    graph = defs.resolve_asset_graph()
    checks = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    gated = {check.asset_key for check in checks if check.blocking}
    on_the_way = gated.union(*(graph.get_ancestor_asset_keys(key) for key in gated)) - {
        key for key in gated if not graph.get(key).child_keys
    }
    open_doors = [
        key.to_user_string()
        for key in graph.materializable_asset_keys
        if tuple(key.path) in tables() and key not in on_the_way and not graph.get_ancestor_asset_keys(key) & gated
    ]
    assert not open_doors


def test_every_partitioned_asset_says_how_it_is_backfilled(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.materializable_asset_keys]
    assert not [node.key.to_user_string() for node in nodes if node.is_partitioned and not node.backfill_policy]


def test_every_check_is_described(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    checks = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert not [f"{check.asset_key.to_user_string()}:{check.name}" for check in checks if not check.description]


def test_every_job_is_described(named_jobs: list[dg.JobDefinition]) -> None:
    assert not [job.name for job in named_jobs if not (job.description or "").strip()]


def test_every_schedule_is_described_and_keeps_korean_time(defs: dg.Definitions) -> None:
    schedules = defs.get_repository_def().schedule_defs
    assert not [schedule.name for schedule in schedules if not (schedule.description or "").strip()]
    assert not [schedule.name for schedule in schedules if schedule.execution_timezone != "Asia/Seoul"]


def test_every_sensor_is_described(defs: dg.Definitions) -> None:
    sensors = defs.get_repository_def().sensor_defs
    assert not [sensor.name for sensor in sensors if not (sensor.description or "").strip()]


def test_a_destructive_step_can_be_tried_without_effect(defs: dg.Definitions) -> None:
    fields = dry_run_fields(defs)
    assert not [name for name, field in fields if words_of(act_of(name)) & DESTRUCTIVE_WORDS and field is None]


def test_a_dry_run_is_the_default(defs: dg.Definitions) -> None:
    eager = [name for name, field in dry_run_fields(defs) if field and field.default_value is not True]
    assert not eager


def test_a_dry_run_explains_itself(defs: dg.Definitions) -> None:
    assert not [name for name, field in dry_run_fields(defs) if field and not field.description]
