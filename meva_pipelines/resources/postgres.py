"""Connections to the warehouse, each taking one role for one piece of work. No SQL of a subject lives here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field
from sqlalchemy import make_url

from meva_pipelines.domain.failures import Refused, StoreUnavailable
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
from meva_pipelines.schema import migrate
from meva_pipelines.schema.roles import Role

_CONNECT_TIMEOUT_S = 10
_SEARCH_PATH = "pg_catalog, pg_temp"


class Postgres(dg.ConfigurableResource["Postgres"]):
    """The warehouse: any PostgreSQL of version 15 or later, or the embedded server when no URL is given."""

    url: str = Field(
        default="",
        repr=False,
        description="PostgreSQL DSN of the warehouse; empty: the embedded server under `home`",
        json_schema_extra={"dagster__is_secret": True},
    )
    home: str = Field(description="State folder of the embedded server")

    def dsn(self) -> str:
        """Return the libpq URL of the warehouse, starting the embedded server when it is the one in use."""
        if self.url:
            return self.url.replace("postgresql+psycopg://", "postgresql://").replace(
                "postgresql+psycopg2://", "postgresql://"
            )
        return EmbeddedPostgres(home=Path(self.home)).ensure_running().url("meva")

    def reading_url(self, role: Role, *, schema: str = "pg_catalog") -> str:
        """Return a SQLAlchemy URL for a library that connects by itself: read-only, in `role`, names from `schema`."""
        options = f"-c role={role.value} -c search_path={schema} -c default_transaction_read_only=on"
        url = make_url(migrate.sqlalchemy_url(self.dsn())).update_query_dict({"options": options})
        return url.render_as_string(hide_password=False)

    @contextmanager
    def connect(self, role: Role, *, work: str, autocommit: bool = False) -> Iterator[psycopg.Connection]:
        """Lend a connection in `role`; commit when the body returns, roll back when it raises, always close.

        `work` names the piece of work in `pg_stat_activity`.

        Raises:
            StoreUnavailable: no server answers, or it is starting or stopping.
            Refused: the server refuses the user, the database or the role.
        """
        connection = _open(self.dsn(), role, work)
        try:
            connection.autocommit = autocommit
            with connection:
                yield connection
        finally:
            connection.close()


@contextmanager
def acting_as(connection: psycopg.Connection, role: Role, *, then: Role) -> Iterator[None]:
    """Take another role for some statements of a transaction. One that fails ends it, and the role with it."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    yield
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(then)))


def parts_of(dsn: str) -> dict[str, str]:
    """Return the parts of an address by their libpq names.

    Raises:
        Refused: it cannot be read. The message quotes nothing of it, because what is misread is mostly a password
            whose special characters are not percent-encoded.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.Error:
        parts = {"port": "unreadable"}
    is_port = all(port.isdecimal() for port in parts.get("port", "5432").split(","))
    if not is_port or any("@" in parts.get(name, "") for name in ("host", "dbname")):
        raise Refused(
            "the address of the warehouse cannot be read. Write it postgresql://user:password@host:port/database, the "
            "special characters of user and password percent-encoded, and check MEVA_DATABASE_URL."
        )
    return parts


def _open(dsn: str, role: Role, work: str) -> psycopg.Connection:
    parts = parts_of(dsn)
    try:
        connection = psycopg.connect(
            dsn,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name=f"meva {work}",
            keepalives_idle=30,
        )
    except psycopg.OperationalError as error:
        raise _explained(parts, error) from None
    try:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("SET search_path = " + _SEARCH_PATH))
        connection.execute("SET timezone = 'UTC'")
        connection.commit()
    except psycopg.OperationalError as error:
        connection.close()
        raise _explained(parts, error) from None
    except psycopg.Error as error:
        connection.close()
        raise Refused(
            f"PostgreSQL refuses the role {role.value}: {error.diag.message_primary}. "
            "Bring the schema up to date with: make migrate"
        ) from None
    return connection


_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "pg_hba.conf",
    "is not permitted to log in",
    "permission denied",
)


def _explained(parts: Mapping[str, str], error: psycopg.OperationalError) -> StoreUnavailable | Refused:
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    text = str(error).replace(parts.get("password") or "\0", "***").strip()
    if any(refusal in text for refusal in _REFUSALS):
        return Refused(f"PostgreSQL at {where} refuses the connection: {text}. Check MEVA_DATABASE_URL.")
    return StoreUnavailable(f"PostgreSQL at {where} does not answer: {text}")
