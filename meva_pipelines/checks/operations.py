"""Checks on the installation itself, not on any data."""

import dagster as dg
from sqlalchemy import NullPool, create_engine

from meva_pipelines.assets import tables
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import migrate, ops
from meva_pipelines.schema.roles import Role


@dg.asset_check(asset=tables.key(ops.SYNC_RUNS))
def schema_is_current(postgres: Postgres) -> dg.AssetCheckResult:
    """The database is at the newest revision that this package knows."""
    engine = create_engine(postgres.reading_url(Role.READER), poolclass=NullPool)
    with engine.connect() as connection:
        found = migrate.current(connection)
    return dg.AssetCheckResult(
        passed=found == migrate.head(),
        description="" if found == migrate.head() else "bring it up to date with: make migrate",
        metadata={"revision": found or "none", "newest_revision": migrate.head()},
    )
