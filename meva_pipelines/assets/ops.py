"""What the operator looks at: the runs and the messages, straight from the ledgers."""

import dagster as dg
from psycopg.rows import dict_row

from meva_pipelines.assets import tables
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import aed, ops
from meva_pipelines.schema.roles import Role

_SHOWN = 15


@dg.multi_asset(
    specs=[
        tables.spec(
            ops.SYNC_RUNS,
            group="ops",
            description="Every attempt to publish, with its figures and how it ended.",
            deps=[tables.key(aed.AED_DATA)],
        )
    ]
)
def sync_runs(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Show the newest attempts."""
    with (
        postgres.connect(Role.READER, work="show runs") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(
            "SELECT token, source, mode, day, status, received_rows, inserted_rows, updated_rows, quarantined_rows,"
            " round(extract(epoch FROM finished_at - started_at)::numeric, 1)::float8 AS duration_s"
            " FROM ops.sync_runs ORDER BY token DESC LIMIT %s",
            [_SHOWN],
        ).fetchall()
        total = cursor.execute("SELECT count(*) AS n FROM ops.sync_runs").fetchone()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": total["n"] if total else 0,
            "newest_attempts": dg.MetadataValue.md(tables.markdown(rows)),
        }
    )


@dg.multi_asset(
    specs=[
        tables.spec(
            ops.OUTBOX,
            group="ops",
            description="What is worth telling, written in the transaction that made it true.",
            deps=[tables.key(aed.AED_DATA)],
        )
    ]
)
def outbox(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Show what is wrong at present, what waits for delivery, and the newest messages."""
    with (
        postgres.connect(Role.READER, work="show outbox") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        incidents = cursor.execute(
            "SELECT kind, subject, source, day, opened_at::timestamp(0) AS open_since, occurrences,"
            " last_seen_at::timestamp(0) AS last_seen FROM ops.incidents WHERE resolved_at IS NULL ORDER BY id"
        ).fetchall()
        messages = cursor.execute(
            "SELECT created_at::timestamp(0) AS written, kind, severity, title, replace(body, E'\\n', ' · ') AS body,"
            " delivered_at::timestamp(0) AS delivered, attempts, last_error FROM ops.outbox ORDER BY id DESC LIMIT %s",
            [_SHOWN],
        ).fetchall()
        counts = cursor.execute(
            "SELECT count(delivered_at) AS delivered, count(*) - count(delivered_at) AS waiting FROM ops.outbox"
        ).fetchone()
    waiting, delivered = (counts["waiting"], counts["delivered"]) if counts else (0, 0)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": waiting + delivered,
            "open_incidents": len(incidents),
            "undelivered": waiting,
            "delivered": delivered,
            "incidents": dg.MetadataValue.md(tables.markdown(incidents)),
            "newest_messages": dg.MetadataValue.md(tables.markdown(messages)),
        }
    )
