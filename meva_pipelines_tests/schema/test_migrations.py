"""Migrations on a real server: up, down, repeated, raced, and equal to what the metadata say."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from meva_pipelines.checks.operations import schema_is_current
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import migrate, roles
from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.roles import Role

_SCRIPTS = Path(migrate.__file__).parent / "migrations"
_PROJECT = Path(migrate.__file__).parents[2]
_RACERS = 4
_UPGRADE = "import os; from meva_pipelines.schema import migrate; migrate.upgrade(os.environ['URL'])"

_CATALOGUE = """
SELECT 'column', table_schema || '.' || table_name || '.' || c.column_name,
  c.data_type || ' ' || c.is_nullable || ' ' || coalesce(c.column_default, '') || ' '
  || coalesce(c.identity_generation, '') || ' ' || coalesce(c.generation_expression, '') || ' '
  || coalesce(c.numeric_precision::text, '') || ' '
  || coalesce(c.numeric_scale::text, '') || ' '
  || coalesce(col_description((table_schema || '.' || table_name)::regclass, c.ordinal_position::int), '')
FROM information_schema.columns AS c JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE table_schema = ANY(%(schemas)s) AND t.table_type = 'BASE TABLE'
  AND NOT (SELECT relispartition FROM pg_class WHERE oid = (table_schema || '.' || table_name)::regclass)
UNION ALL
SELECT 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace::regnamespace::text = ANY(%(schemas)s) AND contype <> 'n'
  AND NOT EXISTS (SELECT FROM pg_class AS t WHERE t.oid = conrelid AND relispartition)
UNION ALL
SELECT 'index', schemaname || '.' || indexname, indexdef FROM pg_indexes
WHERE schemaname = ANY(%(schemas)s)
  AND NOT (SELECT relispartition FROM pg_class WHERE oid = (schemaname || '.' || tablename)::regclass)
UNION ALL
SELECT 'table', oid::regclass::text, coalesce(obj_description(oid), '') || ' ' || relpersistence::text
FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace::regnamespace::text = ANY(%(schemas)s)
"""


def revisions() -> list[str]:
    """Return every revision, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Lend a connection that calls every table by its full name: the user `meva` finds the schema `meva` by itself."""
    named_in_full = {"options": "-c search_path=pg_catalog"}
    engine = create_engine(migrate.sqlalchemy_url(url), poolclass=NullPool, connect_args=named_in_full)
    with engine.connect() as connection:
        yield connection


def current(url: str) -> str | None:
    with connected(url) as connection:
        return migrate.current(connection)


def tables(url: str) -> set[str]:
    """Return the tables of our schemas, without Alembic's own and without partitions."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND NOT relispartition AND relnamespace::regnamespace::text = ANY(%s) AND relname <> 'alembic_version'",
            [list(roles.SCHEMAS)],
        )
        return {name for (name,) in found}


def catalogue(url: str) -> set[tuple[str, str, str]]:
    """Return columns, constraints, indexes and comments as the server describes them."""
    with psycopg.connect(url) as connection:
        found = connection.execute(_CATALOGUE, {"schemas": list(roles.SCHEMAS)})
        return {(kind, name, text) for kind, name, text in found if "alembic" not in name}


def named(described: set[tuple[str, str, str]]) -> set[tuple[str, str]]:
    return {(kind, name) for kind, name, _ in described}


def test_an_empty_database_reaches_the_newest_revision_and_has_every_table(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    assert current(empty_database_url) == migrate.head() == revisions()[-1]
    assert tables(empty_database_url) == set(METADATA.tables)


def test_alembic_finds_no_difference_between_metadata_and_migrated_database(warehouse_url: str) -> None:
    with connected(warehouse_url) as connection:
        partitions = {name for (name,) in connection.execute(text("SELECT relname FROM pg_class WHERE relispartition"))}
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _: kind != "table" or name not in partitions,
                "version_table_schema": "ops",
                "include_schemas": True,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, METADATA) == []


def test_migrations_and_metadata_make_the_same_catalogue(warehouse_url: str, empty_database_url: str) -> None:
    """Alembic compares neither CHECK constraints nor computed columns: the server's own words do."""
    with psycopg.connect(empty_database_url) as connection:
        roles.create_roles(connection)
        roles.create_schemas(connection)
    with connected(empty_database_url) as connection_of_metadata:
        METADATA.create_all(connection_of_metadata)
        connection_of_metadata.commit()
    assert catalogue(warehouse_url) == catalogue(empty_database_url)


def test_every_object_belongs_to_the_owner_role(warehouse_url: str) -> None:
    with psycopg.connect(warehouse_url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = ANY(%s) UNION"
            " SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = ANY(%s)",
            [list(roles.SCHEMAS), list(roles.SCHEMAS)],
        ).fetchall()
    assert owners == [(Role.OWNER.value,)]


def test_downgrade_to_base_leaves_no_table_and_upgrade_works_again(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    first = catalogue(empty_database_url)
    migrate.downgrade(empty_database_url)
    assert tables(empty_database_url) == set()
    assert current(empty_database_url) is None
    migrate.upgrade(empty_database_url)
    assert catalogue(empty_database_url) == first


def test_every_revision_can_be_taken_back_by_itself(empty_database_url: str) -> None:
    before: str | None = None
    for revision in revisions():
        below = catalogue(empty_database_url) if before else set()
        migrate.upgrade(empty_database_url, revision)
        reached = catalogue(empty_database_url)
        assert current(empty_database_url) == revision
        assert named(below) < named(reached)
        migrate.downgrade(empty_database_url, before or "base")
        assert current(empty_database_url) == before
        assert catalogue(empty_database_url) == below
        migrate.upgrade(empty_database_url, revision)
        assert catalogue(empty_database_url) == reached
        before = revision


def test_upgrading_again_changes_nothing_and_keeps_rows(warehouse_url: str) -> None:
    before = catalogue(warehouse_url)
    with psycopg.connect(warehouse_url) as connection:
        connection.execute("INSERT INTO aed.health_centers (key, name, spellings, devices) VALUES ('k', 'n', 1, 1)")
    migrate.upgrade(warehouse_url)
    assert catalogue(warehouse_url) == before
    with psycopg.connect(warehouse_url) as connection:
        assert connection.execute("SELECT key FROM aed.health_centers").fetchall() == [("k",)]


def test_upgrading_works_while_a_batch_is_staged(warehouse_url: str) -> None:
    """Staging tables belong to the writer; bringing grants in line as the owner once stumbled over them."""
    with psycopg.connect(warehouse_url) as connection:
        connection.execute("SET ROLE meva_writer")
        connection.execute("CREATE UNLOGGED TABLE staging.aed_1_records (source_id text)")
    migrate.upgrade(warehouse_url)
    assert tables(warehouse_url) == {*METADATA.tables, "staging.aed_1_records"}


def test_racing_upgrades_of_one_database_all_succeed(empty_database_url: str) -> None:
    start = threading.Barrier(_RACERS)

    def race() -> None:
        start.wait(timeout=120)
        migrate.upgrade(empty_database_url)

    with ThreadPoolExecutor(_RACERS) as pool:
        for racer in [pool.submit(race) for _ in range(_RACERS)]:
            racer.result(timeout=300)
    assert current(empty_database_url) == migrate.head()
    assert tables(empty_database_url) == set(METADATA.tables)


def test_processes_upgrading_several_databases_at_once_do_not_collide(
    warehouse_url: str, empty_database_url: str
) -> None:
    """Roles belong to the whole server, while the lock of an upgrade belongs to one database."""
    racers = [
        subprocess.Popen([sys.executable, "-c", _UPGRADE], env={"PYTHONPATH": str(_PROJECT), "URL": url})
        for url in (empty_database_url, warehouse_url, empty_database_url)
    ]
    assert [racer.wait(timeout=300) for racer in racers] == [0, 0, 0]
    assert current(warehouse_url) == current(empty_database_url) == migrate.head()


@pytest.fixture
def ordinary_user(empty_database_url: str) -> Iterator[str]:
    """URL of a user who owns an empty database and nothing else."""
    name, database = f"meva_test_ordinary_{os.getpid()}", str(make_url(empty_database_url).database)
    user = sql.Identifier(name)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'throw-away'").format(user))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), user))
        named = make_url(empty_database_url).set(username=name, password="throw-away")
        yield named.render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(user))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(database)))
        connection.execute(sql.SQL("DROP ROLE {}").format(user))


def test_an_ordinary_user_migrates_with_roles_that_an_administrator_granted(
    ordinary_user: str, warehouse_url: str
) -> None:
    """Managed servers give no superuser: who is a member of the roles already must not be asked to grant them."""
    user = sql.Identifier(str(make_url(ordinary_user).username))
    with psycopg.connect(warehouse_url) as administrator:
        for role in Role:
            administrator.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), user))
    migrate.upgrade(ordinary_user)
    migrate.upgrade(ordinary_user)
    assert current(ordinary_user) == migrate.head()
    with Postgres(url=ordinary_user, home="").connect(Role.READER, work="look") as connection:
        assert connection.execute("SELECT count(*) FROM aed.health_centers").fetchone() == (0,)


def test_an_interrupted_migration_leaves_the_database_as_it_was(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, revisions()[0])
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE VIEW aed.quarantine AS SELECT 1 AS stands_in_the_way")
    before = catalogue(empty_database_url)
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(empty_database_url)
    assert current(empty_database_url) == revisions()[0]
    assert catalogue(empty_database_url) == before


def checked(postgres: Postgres) -> dg.AssetCheckResult:
    result = schema_is_current(postgres=postgres)
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_the_schema_check_passes_at_the_newest_revision(postgres: Postgres) -> None:
    assert checked(postgres).passed


def test_the_schema_check_fails_at_an_older_revision_and_says_what_to_do(postgres: Postgres) -> None:
    older = revisions()[-2]
    migrate.downgrade(postgres.url, older)
    result = checked(postgres)
    assert not result.passed
    assert "make migrate" in (result.description or "")
    assert result.metadata["revision"].value == older
    assert result.metadata["newest_revision"].value == migrate.head()
