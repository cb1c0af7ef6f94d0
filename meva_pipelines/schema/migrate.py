"""Bring a database to a revision of the schema. The only place that runs Alembic."""

from collections.abc import Callable
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine, make_url

from meva_pipelines.schema import roles
from meva_pipelines.schema.series import Layout

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('meva_pipelines.schema'))"


def upgrade(url: str, revision: str = "head", *, layout: Layout = Layout.AUTO) -> None:
    """Create roles, schemas, tables and grants up to `revision`. Idempotent; safe for several processes.

    `url` is a libpq URL of a user who owns the database and may create roles (or finds them created). `layout` says
    how the points of tensile tests are laid out when their table is made; it changes nothing afterwards.
    """
    with psycopg.connect(url) as connection:
        connection.execute(_LOCK)
        roles.create_roles(connection)
        roles.create_schemas(connection)
    _run(url, lambda config: command.upgrade(config, revision), layout=layout)
    if revision == "head":
        with psycopg.connect(url) as connection:
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(roles.Role.OWNER)))
            connection.execute(_LOCK)
            roles.apply_grants(connection)


def downgrade(url: str, revision: str = "base") -> None:
    """Take the schema back to `revision`. Tables of later revisions are dropped with their rows."""
    _run(url, lambda config: command.downgrade(config, revision))


def head() -> str:
    """Return the newest revision that this package knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current(connection: Connection) -> str | None:
    """Return the revision of a database, or None where the schema was never created."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": "ops"})
    return context.get_current_revision()


def sqlalchemy_url(url: str) -> str:
    """Spell a libpq URL for SQLAlchemy with the driver named (2.1 would guess)."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


def _run(url: str, action: Callable[[Config], None], *, layout: Layout = Layout.AUTO) -> None:
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f'SET LOCAL ROLE "{roles.Role.OWNER.value}"')
        connection.exec_driver_sql(_LOCK)
        config = _config()
        config.attributes["connection"] = connection
        config.attributes["layout"] = layout
        action(config)
