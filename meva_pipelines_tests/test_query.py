"""The command that asks archived tables: what it prints, what it writes, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from meva_pipelines import query
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.cold_worlds import HISTORY, QUARTER, World, image


@pytest.fixture
def world(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Devices 1 to 3 hot, 3 to 30 cold, found by the environment."""
    monkeypatch.setenv("MEVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEVA_STORE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MEVA_DATABASE_URL", postgres.url)
    made = World(postgres, tmp_path / "store")
    made.lay_hot(HISTORY, [device(number) for number in range(1, 4)])
    made.lay_cold(HISTORY, QUARTER, 1, [device(number) for number in range(3, 31)], group_rows=10)
    return made


def device(number: int) -> dict[str, Any]:
    names = {1: "심장충격기", 2: None, 3: "", 4: "two\nlines\x1b[31m", 5: "x" * 90}
    return image(number, model_name=names.get(number, f"model {number}"), manager="김철수")


def run(*words: str) -> Result:
    return CliRunner().invoke(query.main, ["aed_history", "--columns", "history_id,model_name", *words])


def shown(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("world")
def test_a_table_is_aligned_and_says_how_many_rows_there_are() -> None:
    lines = shown("--sort", "history_id", "--limit", "5").splitlines()
    assert lines == [
        "history_id  model_name",
        "──────────  ────────────────────────────────────────",
        "1           심장충격기",
        "2           NULL",
        "3",
        "4           two\\nlines\\x1b[31m",
        f"5           {'x' * 39}…",
        "5 rows",
    ]


@pytest.mark.usefixtures("world")
def test_without_a_limit_the_first_rows_are_shown_and_all_are_counted() -> None:
    lines = shown("--sort", "-history_id").splitlines()
    assert len(lines) == 23
    assert lines[2].startswith("30")
    assert lines[-1] == "… 20 of 30 rows"


@pytest.mark.usefixtures("world")
def test_korean_characters_take_two_columns() -> None:
    lines = shown("--columns", "model_name,history_id", "--filter", "history_id", "lte", "2", "--sort", "history_id")
    assert lines.splitlines()[2:4] == ["심장충격기  1", "NULL        2"]


@pytest.mark.usefixtures("world")
def test_conditions_of_words_and_of_json_hold_together() -> None:
    tree = {"not": {"field": "history_id", "operator": "in", "value": [6, 8]}}
    words = ("--filter", "history_id", "lt", "10", "--filter", "model_name", "like", "model _")
    out = shown(*words, "--where", json.dumps(tree), "--sort", "-history_id", "--output", "csv")
    assert out == '"history_id","model_name"\n9,"model 9"\n7,"model 7"\n'


@pytest.mark.usefixtures("world")
def test_csv_tells_null_from_nothing() -> None:
    out = shown("--filter", "history_id", "in", "2,3", "--sort", "history_id", "--output", "csv")
    assert out == '"history_id","model_name"\n2,\n3,""\n'


@pytest.mark.usefixtures("world")
def test_rows_are_counted() -> None:
    assert shown("--count", "--filter", "model_name", "like", "model%") == "25\n"


@pytest.mark.usefixtures("world")
def test_parquet_is_a_file_of_typed_columns(tmp_path: Path) -> None:
    target = tmp_path / "rows.parquet"
    result = run("--output", "parquet", "--to", str(target), "--columns", "history_id,row_hash,valid_to")
    assert result.stderr == "30 rows\n"
    table = parquet.read_table(target)
    assert table.schema.types == [pa.int64(), pa.binary(), pa.timestamp("us", "UTC")]
    with duckdb.connect() as database:
        assert database.execute("SELECT count(DISTINCT history_id) FROM read_parquet(?)", [str(target)]).fetchall() == [
            (30,)
        ]


@pytest.mark.usefixtures("world")
def test_a_file_is_written_once_and_whole(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("mine")
    for path in (target, tmp_path / "no" / "folder.csv"):
        assert isinstance(run("--output", "csv", "--to", str(path)).exception, Refused)
    assert target.read_text() == "mine"
    assert isinstance(run("--output", "csv", "--to", str(tmp_path / "new"), "--sort", "x").exception, Refused)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name or path.name == "new"] == []


@pytest.mark.usefixtures("world")
def test_explaining_says_what_was_read_and_what_was_not() -> None:
    result = run("--explain", "--filter", "history_id", "eq", "17")
    assert "parquet_archive/aed_history/2024-Q1.parquet: 1 of 3 row groups" in result.stderr
    assert "0 hot rows; 1 of 1 cold files" in result.stderr
    result = run("--explain", "--filter", "valid_to", "lt", "2024-01-01T00:00:00Z")
    assert "parquet_archive/aed_history/2024-Q1.parquet: left out, another time" in result.stderr


def ended(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {"MEVA_DATABASE_URL": world.postgres.url, "MEVA_STORE_URL": world.folder.as_uri()}
    return subprocess.run(
        [sys.executable, "-m", "meva_pipelines.query", "aed_history", *words],
        env={**os.environ, **variables, "MEVA_HOME": str(world.folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_end_says_whether_trying_again_helps(world: World) -> None:
    answered = ended(world, "--filter", "manager", "eq", "김철수")
    assert answered.returncode == 2
    assert answered.stderr.startswith("Refused: filter 'manager' 'eq' '김철수': there is no such field; there are")
    assert "Traceback" not in answered.stderr
    path = world.folder / HISTORY.file_key(QUARTER, 1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert ended(world).returncode == 3
    path.unlink()
    answered = ended(world)
    assert answered.returncode == 4
    assert answered.stderr.startswith("StoreUnavailable: ")
