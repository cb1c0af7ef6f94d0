"""What is told of a batch of tensile tests and of all that is published: figures, nothing else."""

from typing import Any

import psycopg
from psycopg import sql

from meva_pipelines.resources.tensile_batch import Batch

_PUBLISHED = (
    "new_tests",
    "new_versions",
    "older_versions",
    "conflicts",
    "set_aside",
    "unchanged_tests",
    "refused_tests",
    "points",
)


def staged_tests(connection: psycopg.Connection, batch: Batch) -> int:
    """Return how many tests of a batch are staged."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(batch.tests)).fetchone()
    return 0 if row is None else int(row[0])


def figures(connection: psycopg.Connection, token: int) -> dict[str, int]:
    """Return what a publication changed, by name; zeros before it."""
    row = connection.execute("SELECT details FROM ops.sync_runs WHERE token = %s", [token]).fetchone()
    details: dict[str, Any] = row[0] if row else {}
    return {name: int(details.get(name, 0)) for name in _PUBLISHED}


def totals(connection: psycopg.Connection) -> dict[str, int]:
    """Return how many tests, points, disputed tests and quarantined tests or files there are."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(points), 0), count(*) FILTER (WHERE is_disputed),"
        " (SELECT count(*) FROM meva.quarantine WHERE released_at IS NULL) FROM meva.tensile_test"
    ).fetchone()
    names = ("tests", "points", "disputed", "quarantined")
    return dict(zip(names, map(int, row or (0, 0, 0, 0)), strict=True))
