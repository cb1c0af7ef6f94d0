"""README, change log and code name the same things; whether the sentences are good, readers judge."""

import ast
import re
from pathlib import Path

import dagster as dg
import pytest

from meva_pipelines import definitions

PROJECT = Path(__file__).parent.parent
SETTING = re.compile(r"\bMEVA_[A-Z][A-Z_]*[A-Z]\b")
TARGET = re.compile(r"^([a-z]+):.*## ", re.MULTILINE)


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return definitions.defs()


@pytest.fixture(scope="module")
def readme() -> str:
    return (PROJECT / "README.md").read_text(encoding="utf-8")


def settings_of_the_code() -> set[str]:
    """Every setting that the package or Dagster's settings file reads."""
    sources = [*(PROJECT / "meva_pipelines").rglob("*.py"), PROJECT / "dagster.yaml"]
    return {name for source in sources for name in SETTING.findall(source.read_text(encoding="utf-8"))}


def missing(names: list[str], text: str) -> list[str]:
    return [name for name in sorted(names) if not re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", text)]


def test_the_readme_names_every_asset(defs: dg.Definitions, readme: str) -> None:
    assert not missing([spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()], readme)


def test_the_readme_names_every_job(defs: dg.Definitions, readme: str) -> None:
    assert not missing([job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")], readme)


def test_the_readme_names_every_schedule(defs: dg.Definitions, readme: str) -> None:
    assert not missing([schedule.name for schedule in defs.get_repository_def().schedule_defs], readme)


def test_the_readme_names_every_sensor(defs: dg.Definitions, readme: str) -> None:
    assert not missing([sensor.name for sensor in defs.get_repository_def().sensor_defs], readme)


def test_the_readme_names_every_setting(readme: str) -> None:
    assert not missing(list(settings_of_the_code()), readme)


def test_the_readme_names_no_setting_that_nobody_reads(readme: str) -> None:
    in_tests = {
        name
        for source in (PROJECT / "meva_pipelines_tests").rglob("*.py")
        for name in SETTING.findall(source.read_text(encoding="utf-8"))
    }
    assert not set(SETTING.findall(readme)) - settings_of_the_code() - in_tests


def test_the_readme_names_every_command(readme: str) -> None:
    targets = TARGET.findall((PROJECT / "Makefile").read_text(encoding="utf-8"))
    assert targets
    assert not missing([f"make {target}" for target in targets], readme)


def test_the_readme_names_no_command_that_make_does_not_know(readme: str) -> None:
    targets = set(TARGET.findall((PROJECT / "Makefile").read_text(encoding="utf-8")))
    assert not set(re.findall(r"`make ([a-z]+)", readme)) - targets


def test_the_change_log_tells_of_this_version() -> None:
    tree = ast.parse((PROJECT / "setup.py").read_text(encoding="utf-8"))
    versions = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "version"
    ]
    assert len(versions) == 1
    assert f"## [{versions[0]}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_decision_has_a_number_of_its_own_and_the_same_parts() -> None:
    records = sorted((PROJECT / "docs" / "decisions").glob("*.md"))
    numbers = [record.name.split("-")[0] for record in records]
    assert numbers == [f"{number:04d}" for number in range(1, len(records) + 1)]
    for record in records:
        parts = re.findall(r"^## (\w+)", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], record.name
