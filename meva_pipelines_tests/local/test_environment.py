"""The launcher: from settings to an environment in which Dagster and psql find everything, in its own folder."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import make_url

from meva_pipelines.domain.failures import Refused
from meva_pipelines.local import environment
from meva_pipelines.local.environment import Environment
from meva_pipelines.resources.embedded_postgres import DEFAULT_HOME
from meva_pipelines.schema import migrate
from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.roles import SCHEMAS

DATABASE = f"meva_test_launcher_{os.getpid()}"
STORAGE = f"{DATABASE}_dagster"
PASSWORD = "p@ss/w rd?#%'\\é"
_SIZE = 500


def on(url: str, **parts: str) -> str:
    rendered = make_url(url).set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]
    return rendered.replace(" ", "%20")


@pytest.fixture(scope="module")
def launched(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment prepared on a given server, by a user whose password needs every care."""
    user = sql.Identifier(DATABASE)
    with psycopg.connect(server_url, autocommit=True) as connection:
        statement = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
        connection.execute(statement.format(user, sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(user))
    given_url = on(server_url, drivername="postgresql+psycopg", database=DATABASE, username=DATABASE, password=PASSWORD)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MEVA_HOME", str(tmp_path_factory.mktemp("state") / "fresh"))
        patched.setenv("MEVA_DATABASE_URL", given_url)
        patched.setattr(environment, "DAGSTER_DATABASE", STORAGE)  # `dagster` may be there and in use
        yield environment.prepare()
    with psycopg.connect(server_url, autocommit=True) as connection:
        for database in (DATABASE, STORAGE):
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(user))
        connection.execute(sql.SQL("DROP ROLE {}").format(user))


def tables(url: str, schemas: list[str]) -> set[str]:
    with psycopg.connect(url) as connection:
        query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY(%s)"
        return {name for (name,) in connection.execute(query, [schemas])}


def test_the_given_database_is_brought_to_the_newest_revision(launched: Environment) -> None:
    assert set(METADATA.tables) <= tables(launched.database_url, [*SCHEMAS])
    with psycopg.connect(launched.database_url) as connection:
        found = connection.execute("SELECT version_num, current_database(), current_user FROM ops.alembic_version")
        assert found.fetchone() == (migrate.head(), DATABASE, DATABASE)


def test_dagsters_storage_is_a_database_beside_it_with_its_tables(launched: Environment) -> None:
    url = make_url(launched.variables["MEVA_DAGSTER_DATABASE_URL"])
    assert (url.drivername, url.database, url.password) == ("postgresql+psycopg2", STORAGE, PASSWORD)
    assert {"public.runs", "public.event_logs", "public.jobs"} <= tables(
        on(launched.variables["MEVA_DAGSTER_DATABASE_URL"], drivername="postgresql"), ["public"]
    )


def test_everything_lies_in_the_state_folder_that_was_set(launched: Environment) -> None:
    assert launched.home.is_dir()
    assert launched.home != DEFAULT_HOME
    assert launched.variables["MEVA_HOME"] == str(launched.home)
    assert Path(launched.variables["MEVA_DAGSTER_ARTIFACTS"]).is_relative_to(launched.home)
    assert (Path(launched.variables["DAGSTER_HOME"]) / "dagster.yaml").is_file()


def test_psql_finds_the_same_database(launched: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.libpq_variables(launched.database_url).items():
        monkeypatch.setenv(name, value)
    with psycopg.connect("") as connection:
        assert connection.info.dbname == DATABASE
        assert connection.info.user == DATABASE


def test_preparing_again_changes_nothing_and_takes_a_given_storage(
    launched: Environment, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(launched.database_url, [*SCHEMAS])
    monkeypatch.setenv("MEVA_HOME", str(launched.home))
    monkeypatch.setenv("MEVA_DATABASE_URL", launched.database_url)
    monkeypatch.setenv("MEVA_DAGSTER_DATABASE_URL", empty_database_url)
    again = environment.prepare()
    assert (again.home, again.database_url) == (launched.home, launched.database_url)
    assert make_url(again.variables["MEVA_DAGSTER_DATABASE_URL"]).database == make_url(empty_database_url).database
    assert tables(launched.database_url, [*SCHEMAS]) == before
    assert "public.runs" in tables(empty_database_url, ["public"])


def test_an_address_that_cannot_be_read_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEVA_HOME", str(tmp_path))
    monkeypatch.setenv("MEVA_DATABASE_URL", "postgresql://meva:Zq9/Xw7@127.0.0.1:1/meva")
    with pytest.raises(Refused) as raised:
        environment.prepare()
    assert "Zq9" not in str(raised.value)
    assert "Xw7" not in str(raised.value)


def test_the_state_folder_is_absolute_whatever_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.home() == DEFAULT_HOME.absolute()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEVA_HOME", "relative")
    assert environment.home() == tmp_path / "relative"
    monkeypatch.setenv("MEVA_HOME", "")
    assert environment.home() == DEFAULT_HOME.absolute()


@given(password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_any_password_reaches_libpq_whole(password: str) -> None:
    url = f"postgresql://meva:{quote(password, safe='')}@db.example:5433/meva"
    assert environment.libpq_variables(url) == {
        "PGHOST": "db.example",
        "PGPORT": "5433",
        "PGUSER": "meva",
        "PGPASSWORD": password,
        "PGDATABASE": "meva",
    }


def test_the_demand_for_tls_reaches_libpq_too() -> None:
    """The terminal of `make psql` once connected without the verification that the address demands."""
    found = environment.libpq_variables("postgresql://meva@db.example/meva?sslmode=verify-full&sslrootcert=/etc/ca.pem")
    assert (found["PGSSLMODE"], found["PGSSLROOTCERT"]) == ("verify-full", "/etc/ca.pem")


def test_the_sandbox_answers_with_its_key_and_ends_with_the_body(tmp_path: Path) -> None:
    with environment.sandbox(tmp_path, size=_SIZE) as served:
        answer = httpx.get(
            f"{served.variables['MEVA_EGEN_BASE_URL']}/getAedFullDown",
            params={"serviceKey": served.variables["MEVA_EGEN_SERVICE_KEY"], "pageNo": 1, "numOfRows": 10},
        )
        assert (answer.status_code, b"<resultCode>00</resultCode>" in answer.content) == (200, True)
        assert served.variables["MEVA_EGEN_DIALECT"] == "data_go_kr"
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.url)
    key_file = tmp_path / "sandbox-service-key"
    assert key_file.read_text(encoding="utf-8").strip() == served.variables["MEVA_EGEN_SERVICE_KEY"]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_the_sandbox_ends_when_the_body_raises(tmp_path: Path) -> None:
    urls: list[str] = []

    def serve_and_fail() -> None:
        with environment.sandbox(tmp_path, size=_SIZE) as served:
            urls.append(served.url)
            raise KeyError("any")

    with pytest.raises(KeyError):
        serve_and_fail()
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[0])


def test_a_sandbox_that_does_not_start_says_where_its_log_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"sandbox\.log"), environment.sandbox(tmp_path, size=-1):
        pass
    assert (tmp_path / "sandbox.log").stat().st_size > 0
