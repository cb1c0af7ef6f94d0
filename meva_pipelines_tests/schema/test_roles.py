"""Who may do what, proved twice: as the catalogue says it, and as the server does it. All cases come from GRANTS."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import Column, Table

from meva_pipelines.schema import aed, ops, roles
from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.roles import GRANTS, Role, Verb

_USERS = tuple(role for role in Role if role is not Role.OWNER)
_FORBIDDEN_TO_USERS = ("TRUNCATE", "REFERENCES", "TRIGGER")
_HOT = (aed.AED_DATA, aed.AED_HISTORY)
_HIDDEN = [(table, name) for table, grant in GRANTS.items() for name in grant.hidden_from_reader]
_TABLES = pytest.mark.parametrize("table", list(GRANTS), ids=lambda table: table.fullname)
_ROLES = pytest.mark.parametrize("role", list(Role))


@pytest.fixture(scope="module")
def warehouse(server_url: str, template: str) -> Iterator[psycopg.Connection]:
    """One connection for the whole matrix: nothing here leaves a row or survives its transaction."""
    with psycopg.connect(server_url) as connection:
        user, host, port = connection.info.user, connection.info.host, connection.info.port
        password = connection.info.password
    with psycopg.connect(
        host=host, port=port, user=user, password=password, dbname=template, autocommit=True
    ) as connection:
        yield connection


def written_column(table: Table) -> Column[object]:
    """Return a column that may be assigned: neither generated nor an identity."""
    return next(column for column in table.columns if column.computed is None and column.identity is None)


def statement(verb: str, table: Table) -> sql.Composed:
    """Return a statement that needs the whole privilege and touches no row."""
    names = {
        "t": sql.Identifier(str(table.schema), table.name),
        "c": sql.Identifier(written_column(table).name),
    }
    text = {
        "SELECT": "SELECT * FROM {t} WHERE false",
        "INSERT": "INSERT INTO {t} ({c}) SELECT NULL WHERE false",
        "UPDATE": "UPDATE {t} SET {c} = NULL WHERE false",
        "DELETE": "DELETE FROM {t} WHERE false",
        "TRUNCATE": "TRUNCATE {t}",
    }[verb]
    return sql.SQL(text).format(**names)


def is_allowed(connection: psycopg.Connection, role: Role, query: sql.Composed) -> bool:
    """Execute a statement as a role, take it back, and say whether the server let it through."""
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        try:
            with connection.transaction():
                connection.execute(query)
        except errors.InsufficientPrivilege:
            return False
    return True


def holds(connection: psycopg.Connection, role: Role, table: Table, verb: str) -> bool:
    row = connection.execute("SELECT has_table_privilege(%s, %s, %s)", [role.value, table.fullname, verb]).fetchone()
    assert row is not None
    return bool(row[0])


def test_every_table_has_a_line_in_the_grants() -> None:
    assert roles.ungranted_tables() == frozenset()
    assert {table.fullname for table in GRANTS} == set(METADATA.tables)


@_TABLES
@_ROLES
def test_catalogue_and_server_agree_with_the_grants(warehouse: psycopg.Connection, role: Role, table: Table) -> None:
    expected = GRANTS[table].verbs(role)
    for verb in Verb:
        assert holds(warehouse, role, table, verb) == (verb in expected), verb
        assert is_allowed(warehouse, role, statement(verb, table)) == (verb in expected), verb


@_TABLES
@pytest.mark.parametrize("role", _USERS)
def test_nobody_but_the_owner_truncates_or_alters(warehouse: psycopg.Connection, role: Role, table: Table) -> None:
    for privilege in _FORBIDDEN_TO_USERS:
        assert not holds(warehouse, role, table, privilege)
    assert not is_allowed(warehouse, role, statement("TRUNCATE", table))
    target = sql.Identifier(str(table.schema), table.name)
    for text in ("DROP TABLE {}", "ALTER TABLE {} ADD COLUMN mine text", "CREATE INDEX ON {} ((1))"):
        assert not is_allowed(warehouse, role, sql.SQL(text).format(target))


@_TABLES
def test_the_owner_may_truncate(warehouse: psycopg.Connection, table: Table) -> None:
    cascaded = sql.SQL("{} CASCADE").format(statement("TRUNCATE", table))
    assert is_allowed(warehouse, Role.OWNER, cascaded)


def test_only_owner_and_archiver_delete_hot_rows(warehouse: psycopg.Connection) -> None:
    for table in _HOT:
        deleters = {role for role in Role if is_allowed(warehouse, role, statement("DELETE", table))}
        assert deleters == {Role.OWNER, Role.ARCHIVER}


def test_evidence_can_be_changed_by_nobody_but_the_owner(warehouse: psycopg.Connection) -> None:
    """A verdict and a before-image are written once: no role that runs pipelines may alter one."""
    for table, role in itertools.product((ops.AUDIT_VERDICTS, aed.AED_HISTORY), _USERS):
        assert not is_allowed(warehouse, role, statement("UPDATE", table))
    for table, role in itertools.product((ops.SYNC_RUNS, ops.DELETION_LEDGER, ops.OUTBOX, ops.INGEST_LEDGER), _USERS):
        assert not is_allowed(warehouse, role, statement("DELETE", table))


@pytest.mark.parametrize(("table", "name"), _HIDDEN, ids=lambda value: getattr(value, "fullname", value))
def test_the_reader_cannot_see_a_hidden_column(warehouse: psycopg.Connection, table: Table, name: str) -> None:
    target, column = sql.Identifier(str(table.schema), table.name), sql.Identifier(name)
    for text in (
        "SELECT {c} FROM {t} WHERE false",
        "SELECT 1 FROM {t} WHERE {c} IS NULL AND false",
        "SELECT 1 FROM {t} WHERE false ORDER BY {c}",
        "SELECT t FROM {t} AS t WHERE false",
        "SELECT to_jsonb(t) FROM {t} AS t WHERE false",
    ):
        assert not is_allowed(warehouse, Role.READER, sql.SQL(text).format(t=target, c=column)), text


@_TABLES
def test_the_reader_sees_every_other_column(warehouse: psycopg.Connection, table: Table) -> None:
    shown = [c.name for c in table.columns if c.name not in GRANTS[table].hidden_from_reader]
    query = sql.SQL("SELECT {} FROM {} WHERE false").format(
        sql.SQL(", ").join(map(sql.Identifier, shown)), sql.Identifier(str(table.schema), table.name)
    )
    assert is_allowed(warehouse, Role.READER, query)


def test_personal_columns_are_hidden_wherever_they_are(warehouse: psycopg.Connection) -> None:
    for table, name in itertools.product(METADATA.tables.values(), aed.PERSONAL_COLUMNS):
        if name in table.columns:
            row = warehouse.execute(
                "SELECT has_column_privilege(%s, %s, %s, 'SELECT')", [Role.READER.value, table.fullname, name]
            ).fetchone()
            assert row == (False,), f"{table.fullname}.{name}"


def test_only_writer_and_owner_enter_the_staging_schema(warehouse: psycopg.Connection) -> None:
    for role in Role:
        row = warehouse.execute(
            "SELECT has_schema_privilege(%s, 'staging', 'USAGE'), has_schema_privilege(%s, 'staging', 'CREATE')",
            [role.value, role.value],
        ).fetchone()
        assert row == ((role in {Role.OWNER, Role.WRITER},) * 2)


def test_what_the_writer_stages_is_read_by_no_other_role(warehouse: psycopg.Connection) -> None:
    with warehouse.transaction(force_rollback=True):
        warehouse.execute("SET LOCAL ROLE meva_writer")
        warehouse.execute("CREATE UNLOGGED TABLE staging.aed_1_records (manager text)")
        for role in set(_USERS) - {Role.WRITER}:
            assert not is_allowed(warehouse, role, sql.SQL("SELECT * FROM staging.aed_1_records").format())
            warehouse.execute("SET LOCAL ROLE meva_writer")


@pytest.mark.parametrize("schema", ["ops", "aed"])
def test_no_role_but_the_owner_creates_objects_among_the_tables(warehouse: psycopg.Connection, schema: str) -> None:
    query = sql.SQL("CREATE TABLE {} (mine text)").format(sql.Identifier(schema, "mine"))
    assert [role for role in Role if is_allowed(warehouse, role, query)] == [Role.OWNER]


def test_the_public_schema_is_closed_to_everybody(warehouse: psycopg.Connection) -> None:
    for role in Role:
        row = warehouse.execute(
            "SELECT has_schema_privilege(%s, 'public', 'USAGE'), has_schema_privilege(%s, 'public', 'CREATE')",
            [role.value, role.value],
        ).fetchone()
        assert row == (False, False), role


def test_dagsters_role_holds_nothing_in_the_warehouse(warehouse: psycopg.Connection) -> None:
    rows = warehouse.execute(
        "SELECT n.nspname FROM pg_namespace AS n WHERE n.nspname = ANY(%s)"
        " AND has_schema_privilege(%s, n.nspname, 'USAGE')",
        [list(roles.SCHEMAS), Role.DAGSTER.value],
    ).fetchall()
    assert rows == []


def test_nobody_can_log_in_as_a_role_and_none_is_mighty(warehouse: psycopg.Connection) -> None:
    rows = warehouse.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND NOT"
        " (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)",
        [[role.value for role in Role]],
    ).fetchall()
    assert {name for (name,) in rows} == {role.value for role in Role}


def test_roles_are_not_members_of_each_other(warehouse: psycopg.Connection) -> None:
    for one, other in itertools.permutations(Role, 2):
        row = warehouse.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", [one.value, other.value]).fetchone()
        assert row == (False,), f"{one} is a member of {other}"


def test_a_privilege_granted_by_hand_is_taken_back(warehouse: psycopg.Connection) -> None:
    with warehouse.transaction(force_rollback=True):
        warehouse.execute("SET LOCAL ROLE meva_owner")
        warehouse.execute("GRANT ALL ON aed.aed_data TO meva_reader")
        warehouse.execute("GRANT SELECT (payload) ON aed.quarantine TO meva_reader")
        assert holds(warehouse, Role.READER, aed.AED_DATA, "DELETE")
        roles.apply_grants(warehouse)
        assert not holds(warehouse, Role.READER, aed.AED_DATA, "DELETE")
        row = warehouse.execute(
            "SELECT has_column_privilege('meva_reader', 'aed.quarantine', 'payload', 'SELECT')"
        ).fetchone()
        assert row == (False,)
