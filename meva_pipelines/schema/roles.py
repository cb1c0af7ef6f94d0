"""Who may do what: the roles of the warehouse and one table of grants. Nothing here knows why.

    meva_owner      owns every object, runs DDL           meva_reader    reads, but no personal data
    meva_writer     publishes: never deletes hot rows     meva_backup    reads everything, for dumps
    meva_archiver   the only one that deletes hot rows    meva_dagster   nothing in the warehouse

Roles are NOLOGIN: whoever connects is a member and takes one with SET ROLE for each piece of work.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import sql
from sqlalchemy import Table

from meva_pipelines.schema import (
    aed,
    backup,
    meva,
    meva_results,
    mgg,
    mgg_archive,
    mgg_curves,
    mgg_records,
    mgg_views,
    ops,
)
from meva_pipelines.schema.base import METADATA


class Role(StrEnum):
    """A role of the warehouse."""

    OWNER = "meva_owner"
    WRITER = "meva_writer"
    ARCHIVER = "meva_archiver"
    READER = "meva_reader"
    BACKUP = "meva_backup"
    DAGSTER = "meva_dagster"


class Verb(StrEnum):
    """A table privilege."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


STAGING_SCHEMA = "staging"
SCHEMAS = ("ops", "aed", "meva", "mgg", "backup", STAGING_SCHEMA)

READ = frozenset({Verb.SELECT})
APPEND = frozenset({Verb.SELECT, Verb.INSERT})
WRITE = frozenset({Verb.SELECT, Verb.INSERT, Verb.UPDATE})
REMOVE = frozenset({Verb.SELECT, Verb.DELETE})
NOTHING: frozenset[Verb] = frozenset()


@dataclass(frozen=True, slots=True)
class Grant:
    """What writer, archiver and reader may do with a table; owner may do everything, backup reads everything."""

    writer: frozenset[Verb]
    archiver: frozenset[Verb] = READ
    reader: frozenset[Verb] = READ
    hidden_from_reader: tuple[str, ...] = ()

    def verbs(self, role: Role) -> frozenset[Verb]:
        """Return the table-wide privileges of a role."""
        return {
            Role.OWNER: frozenset(Verb),
            Role.WRITER: self.writer,
            Role.ARCHIVER: self.archiver,
            Role.READER: NOTHING if self.hidden_from_reader else self.reader,
            Role.BACKUP: READ,
            Role.DAGSTER: NOTHING,
        }[role]


GRANTS: Mapping[Table, Grant] = {
    ops.SYNC_RUNS: Grant(WRITE),
    ops.AUDIT_VERDICTS: Grant(APPEND),
    ops.SYNC_PARTS: Grant(APPEND),
    ops.INGEST_LEDGER: Grant(WRITE),
    ops.DELETION_LEDGER: Grant(WRITE, archiver=WRITE),
    ops.INCIDENTS: Grant(WRITE, archiver=WRITE),
    ops.OUTBOX: Grant(WRITE, archiver=APPEND),
    backup.CATALOG: Grant(WRITE),
    backup.COPIES: Grant(WRITE),
    backup.PROOFS: Grant(APPEND),
    aed.AED_DATA: Grant(WRITE, archiver=REMOVE, hidden_from_reader=aed.PERSONAL_COLUMNS),
    aed.AED_HISTORY: Grant(APPEND, archiver=REMOVE | APPEND, hidden_from_reader=aed.PERSONAL_COLUMNS),
    aed.REGIONS: Grant(WRITE | {Verb.DELETE}),
    aed.HEALTH_CENTERS: Grant(WRITE | {Verb.DELETE}),
    aed.QUARANTINE: Grant(WRITE, hidden_from_reader=("payload", "source_id")),
    meva.MATERIAL: Grant(WRITE),
    meva.TESTING_MACHINE: Grant(WRITE),
    meva.MACHINE_CALIBRATION: Grant(WRITE),
    meva.TENSILE_TEST: Grant(WRITE, archiver=REMOVE, hidden_from_reader=meva.PERSONAL_COLUMNS),
    meva.TENSILE_TEST_HISTORY: Grant(WRITE, archiver=REMOVE, hidden_from_reader=meva.PERSONAL_COLUMNS),
    meva.TENSILE_DATA: Grant(APPEND, archiver=REMOVE),
    meva.TENSILE_DATA_HISTORY: Grant(APPEND, archiver=REMOVE),
    meva.SIMULATION_RESULT: Grant(WRITE),
    meva_results.STANDARD_COMPARISON: Grant(WRITE | {Verb.DELETE}),
    meva.STANDARD_PROPERTY: Grant(WRITE),
    meva.STANDARD_PROPERTY_HISTORY: Grant(APPEND),
    meva.DATA_CONFLICT_LOG: Grant(WRITE, hidden_from_reader=("decided_by",)),
    meva.QUARANTINE: Grant(WRITE),
    mgg.USERS: Grant(WRITE, hidden_from_reader=mgg.PERSONAL_USER_COLUMNS),
    mgg.IGNITER_TYPES: Grant(WRITE),
    mgg.NC_TYPES: Grant(WRITE),
    mgg.GP_TYPES: Grant(WRITE),
    mgg.TEST_DEVICES: Grant(WRITE),
    mgg.WORK_ORDERS: Grant(WRITE),
    mgg.MODEL_VERSIONS: Grant(WRITE),
    mgg.RETENTION_POLICIES: Grant(WRITE, archiver=WRITE),
    mgg_curves.FORWARD_SIMULATIONS: Grant(WRITE),
    mgg_curves.REVERSE_SIMULATIONS: Grant(WRITE),
    mgg_curves.TEST_RESULTS: Grant(WRITE, hidden_from_reader=mgg_curves.PERSONAL_TEST_COLUMNS),
    mgg_curves.TEST_RESULT_FILES: Grant(WRITE),
    mgg_curves.SIMULATION_TIME_SERIES: Grant(APPEND, archiver=REMOVE | APPEND),
    mgg_curves.TEST_TIME_SERIES: Grant(APPEND, archiver=REMOVE | APPEND),
    mgg_records.PT_COMPARISONS: Grant(APPEND),
    mgg_records.REPEAT_COMPARISONS: Grant(APPEND),
    mgg_records.MODEL_SCORECARD: Grant(APPEND),
    mgg_records.MODEL_DECISIONS: Grant(APPEND),
    mgg_records.OPERATION_LOGS: Grant(APPEND, archiver=APPEND, hidden_from_reader=mgg_records.PERSONAL_LOG_COLUMNS),
    mgg_archive.OPERATION_LOG_HEAD: Grant(READ, hidden_from_reader=("hash",)),
    mgg_archive.ARCHIVE_BATCHES: Grant(READ, archiver=WRITE),
    mgg_archive.ARCHIVE_HOLDS: Grant(READ, archiver=WRITE),
    mgg_records.QUARANTINE: Grant(WRITE, hidden_from_reader=("payload", "name")),
    mgg_records.TAKEOVERS: Grant(WRITE),
}

VIEW_GRANTS: Mapping[Table, Grant] = {
    mgg_views.V_ACTIVE_SIMULATIONS: Grant(READ, hidden_from_reader=("username", "full_name")),
    mgg_views.V_TEST_RESULTS_SUMMARY: Grant(READ, hidden_from_reader=("username", "tester_id")),
}

FUNCTION_GRANTS: Mapping[str, tuple[Role, ...]] = {
    "mgg.ensure_partition(text, timestamptz)": (Role.WRITER, Role.ARCHIVER),
    "mgg.lock_partition(text, timestamptz)": (Role.ARCHIVER,),
    "mgg.drop_partition(text, timestamptz)": (Role.ARCHIVER,),
}
"""Functions that run with the rights of their owner, and who may call them."""


def create_roles(connection: psycopg.Connection) -> None:
    """Create the roles that are missing and make the current user a member of each. Idempotent."""
    for role in Role:
        _create_role(connection, role)
        _join(connection, role)
    database = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(Role.OWNER)),
    )
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")


def _create_role(connection: psycopg.Connection, role: Role) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.value]).fetchone()
    if exists:
        return
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return  # roles belong to the whole server: another database was first


def _join(connection: psycopg.Connection, role: Role) -> None:
    """Let the current user take a role; who was made a member by an administrator needs no right to grant it.

    Since version 16 a membership may come without the right to SET ROLE; before, there is no such column.
    """
    may_take = connection.execute(
        "SELECT 1 FROM pg_auth_members AS m WHERE roleid = %s::regrole AND member = current_user::regrole"
        " AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)",
        [role.value],
    ).fetchone()
    if may_take:
        return
    try:
        with connection.transaction():
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
    except (psycopg.errors.UniqueViolation, psycopg.errors.InternalError_):
        return  # another database was first; before version 16 the server says "tuple concurrently updated"


def create_schemas(connection: psycopg.Connection) -> None:
    """Create the schemas, owned by the owner role. Idempotent."""
    owner = sql.Identifier(Role.OWNER)
    for schema in SCHEMAS:
        connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(sql.Identifier(schema), owner)
        )


def apply_grants(connection: psycopg.Connection) -> None:
    """Bring every privilege in line with `GRANTS`. Run as the owner role; idempotent."""
    for statement in _statements():
        connection.execute(statement)


def _statements() -> Iterator[sql.Composed]:
    users = [role for role in Role if role is not Role.OWNER]
    for schema in (name for name in SCHEMAS if name != STAGING_SCHEMA):  # staging tables belong to who made them
        for role in users:
            grantee = sql.Identifier(role)
            yield sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(sql.Identifier(schema), grantee)
            if role is not Role.DAGSTER:
                yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), grantee)
    yield sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(
        sql.Identifier(STAGING_SCHEMA), sql.Identifier(Role.WRITER)
    )
    yield sql.SQL("GRANT SELECT ON ops.alembic_version TO {}, {}").format(
        sql.Identifier(Role.READER), sql.Identifier(Role.BACKUP)
    )
    for table, grant in (*GRANTS.items(), *VIEW_GRANTS.items()):
        for role in users:
            yield from _table_statements(table, grant, role)
    for function, callers in FUNCTION_GRANTS.items():
        for caller in callers:
            yield sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), sql.Identifier(caller))


def _table_statements(table: Table, grant: Grant, role: Role) -> Iterator[sql.Composed]:
    target, grantee = sql.Identifier(str(table.schema), table.name), sql.Identifier(role)
    if verbs := grant.verbs(role):
        listed = sql.SQL(", ").join(sql.SQL(verb.value) for verb in sorted(verbs))
        yield sql.SQL("GRANT {} ON {} TO {}").format(listed, target, grantee)
    if role is Role.READER and grant.hidden_from_reader:
        shown = [sql.Identifier(c.name) for c in table.columns if c.name not in grant.hidden_from_reader]
        yield sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(sql.SQL(", ").join(shown), target, grantee)


def ungranted_tables() -> frozenset[str]:
    """Return the tables of the metadata that `GRANTS` forgets: must be empty."""
    return frozenset(METADATA.tables) - {table.fullname for table in GRANTS}
