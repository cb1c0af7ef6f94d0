"""The names under which a batch of tensile tests is staged, and the transaction that changes what is published."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.schema.roles import STAGING_SCHEMA

STAGED_OBJECTS = "tensile/staged"
LARGEST_BATCH = 1_000_000
"""Tests that fit into one batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The staging tables of one attempt."""

    attempt: Attempt

    @property
    def tests(self) -> sql.Identifier:
        """One row per test: what is published of it, what was measured on it, where its points lie."""
        return self._table("tests")

    @property
    def files(self) -> sql.Identifier:
        """One row per upload of the batch."""
        return self._table("files")

    @property
    def refused(self) -> sql.Identifier:
        """One row per test, or whole file, that is not taken, with its reason."""
        return self._table("refused")

    @property
    def folder(self) -> str:
        """Where the points lie in the store until they are published."""
        return f"{STAGED_OBJECTS}/{self.attempt.token}"

    def content_id(self, n: int) -> int:
        """Return the number of the n-th content of the batch: no two batches share one."""
        return self.attempt.token * LARGEST_BATCH + n

    def name(self, part: str) -> str:
        """Return the unqualified name of a staging table."""
        return f"tensile_{self.attempt.token}_{part}"

    def _table(self, part: str) -> sql.Identifier:
        return sql.Identifier(STAGING_SCHEMA, self.name(part))


@dataclass(frozen=True, slots=True)
class Transaction:
    """The transaction in which contents of tests move: what it writes carries `token` and `now`.

    `batch` and `store` are where staged contents lie; None where nothing is staged.
    """

    connection: psycopg.Connection
    token: int
    now: datetime
    batch: Batch | None = None
    store: ObjectStore | None = None
