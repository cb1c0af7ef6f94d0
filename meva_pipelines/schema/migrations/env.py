"""Alembic environment: runs inside the transaction that `schema.migrate` opened, and nowhere else."""

from alembic import context

from meva_pipelines.schema import aed, meva, meva_results, mgg, mgg_archive, mgg_curves, mgg_records, ops
from meva_pipelines.schema.base import METADATA

SUBJECTS = (
    ops,
    aed,
    meva,
    meva_results,
    mgg,
    mgg_archive,
    mgg_curves,
    mgg_records,
)  # importing them fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table_schema="ops",
    include_schemas=True,
    compare_type=True,
)
context.run_migrations()
