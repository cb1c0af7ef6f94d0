"""The warehouse resource on a real server: roles, transactions, refusals that say why and give nothing away."""

import os
import socket
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors, sql
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

CANARY = "Zq9-canary-Xw7"
STRANGER = f"meva_test_stranger_{os.getpid()}"


def told(error: BaseException) -> str:
    """Return everything that a person, a log or Dagster's event log would see of an error and its chain."""
    assert error.__traceback__ is not None
    recorded = serializable_error_info_from_exc_info((type(error), error, error.__traceback__))
    return "".join([*traceback.format_exception(error), repr(error), recorded.to_string()])


def with_parts(url: str, **parts: object) -> str:
    rendered = make_url(url).set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]
    return rendered.replace(" ", "%20")


def who(connection: psycopg.Connection) -> tuple[object, ...]:
    row = connection.execute("SELECT current_user, current_setting('search_path'), current_setting('timezone')")
    found = row.fetchone()
    assert found is not None
    return found


def centers(postgres: Postgres) -> list[str]:
    with postgres.connect(Role.READER, work="count") as connection:
        return [key for (key,) in connection.execute("SELECT key FROM aed.health_centers ORDER BY key")]


def terminate(url: str, connection: psycopg.Connection) -> None:
    """End a connection from the server's side."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])


def insert(connection: psycopg.Connection, key: str) -> None:
    connection.execute(
        "INSERT INTO aed.health_centers (key, name, spellings, devices) VALUES (%s, %s, 1, 1)", [key, key]
    )


@pytest.mark.parametrize("role", list(Role))
def test_a_connection_works_in_its_role_with_pinned_names_and_utc(postgres: Postgres, role: Role) -> None:
    with postgres.connect(role, work="look") as connection:
        assert who(connection) == (role.value, "pg_catalog, pg_temp", "UTC")


def test_a_role_survives_a_rollback_in_the_body(postgres: Postgres) -> None:
    with postgres.connect(Role.READER, work="look") as connection:
        connection.rollback()
        assert who(connection)[0] == Role.READER.value


def test_the_work_is_named_in_the_servers_activity(postgres: Postgres, warehouse_url: str) -> None:
    with postgres.connect(Role.WRITER, work="publish 7"), psycopg.connect(warehouse_url) as other:
        found = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'meva publish 7'"
        )
        assert found.fetchone() == (1,)


def test_the_body_is_committed_when_it_returns(postgres: Postgres) -> None:
    with postgres.connect(Role.WRITER, work="write") as connection:
        insert(connection, "kept")
    assert connection.closed
    assert centers(postgres) == ["kept"]


def test_the_body_is_rolled_back_and_closed_when_it_raises(postgres: Postgres) -> None:
    lent: list[psycopg.Connection] = []

    def write_and_fail() -> None:
        with postgres.connect(Role.WRITER, work="write") as connection:
            lent.append(connection)
            insert(connection, "lost")
            raise KeyError("any")

    with pytest.raises(KeyError):
        write_and_fail()
    assert lent[0].closed
    assert centers(postgres) == []


def test_a_connection_that_cannot_even_roll_back_is_closed(postgres: Postgres, warehouse_url: str) -> None:
    lent: list[psycopg.Connection] = []

    def write_and_lose_the_server() -> None:
        with postgres.connect(Role.WRITER, work="write") as connection:
            lent.append(connection)
            insert(connection, "lost")
            terminate(warehouse_url, connection)
            connection.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError):
        write_and_lose_the_server()
    assert lent[0].closed
    assert centers(postgres) == []


def test_autocommit_keeps_each_statement(postgres: Postgres) -> None:
    def write_and_fail() -> None:
        with postgres.connect(Role.WRITER, work="write", autocommit=True) as connection:
            insert(connection, "kept")
            raise KeyError("any")

    with pytest.raises(KeyError):
        write_and_fail()
    assert centers(postgres) == ["kept"]


def test_nothing_is_left_connected(postgres: Postgres, warehouse_url: str) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), postgres.connect(Role.WRITER, work="leak"):
            _ = 1 / 0
    with psycopg.connect(warehouse_url) as other:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        assert other.execute(f"{query} AND application_name = 'meva leak'").fetchone() == (0,)


@pytest.fixture
def login(warehouse_url: str) -> Iterator[str]:
    """URL of a user with a password, who is a member of no role."""
    name = sql.Identifier(STRANGER)
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(CANARY)))
        yield with_parts(warehouse_url, username=STRANGER, password=CANARY)
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


def refusal(url: str, tmp_path: Path) -> MevaError:
    with (
        pytest.raises(MevaError) as raised,
        Postgres(url=url, home=str(tmp_path)).connect(Role.READER, work="look"),
    ):
        pass
    return raised.value


def test_a_wrong_password_is_refused_without_being_shown(login: str, tmp_path: Path) -> None:
    error = refusal(with_parts(login, password=f"{CANARY} but wrong"), tmp_path)
    assert isinstance(error, Refused)
    assert "password authentication failed" in str(error)
    assert CANARY not in told(error)
    assert quote(CANARY) not in told(error)


def test_an_unknown_database_or_user_is_refused(login: str, tmp_path: Path) -> None:
    assert isinstance(refusal(with_parts(login, database="no_such_database"), tmp_path), Refused)
    assert isinstance(refusal(with_parts(login, username="no_such_user"), tmp_path), Refused)


def test_a_user_without_permission_to_connect_or_log_in_is_refused(
    login: str, warehouse_url: str, tmp_path: Path
) -> None:
    database = sql.Identifier(str(make_url(login).database))
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
        assert isinstance(refusal(login, tmp_path), Refused)
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(STRANGER)))
        assert isinstance(refusal(login, tmp_path), Refused)


def test_a_user_who_may_not_take_the_role_is_refused_and_told_what_to_do(login: str, tmp_path: Path) -> None:
    error = refusal(login, tmp_path)
    assert isinstance(error, Refused)
    assert "meva_reader" in str(error)
    assert "make migrate" in str(error)
    assert CANARY not in told(error)


def test_a_dead_server_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = refusal(f"postgresql://meva:{CANARY}@127.0.0.1:{unused.getsockname()[1]}/meva", tmp_path)
    assert isinstance(error, Unavailable)
    assert "127.0.0.1" in str(error)
    assert CANARY not in told(error)


def test_a_server_that_hangs_up_is_unavailable(tmp_path: Path) -> None:
    def hang_up() -> None:
        with listener.accept()[0]:
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)
        answered = pool.submit(hang_up)
        url = f"postgresql://meva:{CANARY}@127.0.0.1:{listener.getsockname()[1]}/meva?sslmode=disable"
        error = refusal(f"{url}&gssencmode=disable", tmp_path)
        answered.result(timeout=300)
    assert isinstance(error, Unavailable)
    assert CANARY not in told(error)


@given(middle=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8))
def test_an_address_with_an_unencoded_password_never_shows_any_part_of_it(middle: str) -> None:
    """`@`, `/`, `?`, `%`, `[` and blanks in a password shift it into host, port or database of the message."""
    with (
        pytest.raises(MevaError) as raised,
        Postgres(url=f"postgresql://meva:Zq9{middle}Xw7@127.0.0.1:1/meva", home="/nowhere").connect(
            Role.READER, work="look"
        ),
    ):
        pass
    shown = told(raised.value)
    assert "Zq9" not in shown
    assert "Xw7" not in shown


@pytest.mark.parametrize(
    "password", ["a@b", "a/b", "a?b", "a#b", "a%b", "a%zz", "a b", "a:b", "a[b", "a]b", "12/b", "12?b=c"]
)
def test_usual_special_characters_are_refused_or_understood(password: str, tmp_path: Path) -> None:
    error = refusal(f"postgresql://meva:Zq9{password}Xw7@127.0.0.1:1/meva", tmp_path)
    assert "Zq9" not in told(error)
    assert "Xw7" not in told(error)


def test_an_address_that_names_a_driver_works(warehouse_url: str, tmp_path: Path) -> None:
    for driver in ("postgresql+psycopg", "postgresql+psycopg2"):
        named = with_parts(warehouse_url, drivername=driver)
        with Postgres(url=named, home=str(tmp_path)).connect(Role.READER, work="look") as connection:
            assert who(connection)[0] == Role.READER.value


def test_the_resource_hides_its_address(tmp_path: Path) -> None:
    resource = Postgres(url=f"postgresql://meva:{CANARY}@localhost/meva", home=str(tmp_path))
    assert CANARY not in f"{resource!r} {resource}"


def test_a_reading_address_takes_the_role_and_the_schema_and_cannot_write(postgres: Postgres) -> None:
    engine = create_engine(postgres.reading_url(Role.WRITER, schema="aed"), poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == Role.WRITER.value
        assert connection.execute(text("SELECT count(*) FROM health_centers")).scalar_one() == 0
        with pytest.raises(SQLAlchemyError) as raised:
            connection.execute(text("DELETE FROM health_centers"))
    assert isinstance(raised.value.__cause__, errors.ReadOnlySqlTransaction)


def test_a_reading_address_of_the_reader_stays_harmless_even_when_it_asks_to_write(postgres: Postgres) -> None:
    """Read-only is a default that a session may lift; what then still holds is the role."""
    engine = create_engine(postgres.reading_url(Role.READER, schema="aed"), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))
        with pytest.raises(SQLAlchemyError) as raised:
            connection.execute(text("DELETE FROM health_centers"))
    assert isinstance(raised.value.__cause__, errors.InsufficientPrivilege)
