"""The ledgers of the schema `ops`."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sync_runs",
        sa.Column(
            "token",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Attempt token, strictly increasing",
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="What is written: schema.table"),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the rows come from"),
        sa.Column("mode", sa.Text(), nullable=False, comment="full, incremental, replay, rollback or deletion"),
        sa.Column("day", sa.Date(), nullable=False, comment="Partition: a day in Asia/Seoul"),
        sa.Column("dagster_run_id", sa.Text(), nullable=False, comment="Dagster run that made the attempt"),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="started, fetched, staged, published, failed or rejected"
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Start"
        ),
        sa.Column(
            "fetched_at", sa.DateTime(timezone=True), nullable=True, comment="All pages stored and proved complete"
        ),
        sa.Column("staged_at", sa.DateTime(timezone=True), nullable=True, comment="All rows staged and triaged"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="Published, failed or rejected"),
        sa.Column("fetch_id", sa.Text(), nullable=True, comment="Name of the page set in the object store"),
        sa.Column("expected_rows", sa.BigInteger(), nullable=True, comment="Rows announced by the source"),
        sa.Column("received_rows", sa.BigInteger(), nullable=True, comment="Rows received"),
        sa.Column(
            "unchanged_rows", sa.BigInteger(), nullable=True, comment="Rows received that equal the published ones"
        ),
        sa.Column("quarantined_rows", sa.BigInteger(), nullable=True, comment="Rows received that wait in quarantine"),
        sa.Column("inserted_rows", sa.BigInteger(), nullable=True, comment="Rows published for the first time"),
        sa.Column("updated_rows", sa.BigInteger(), nullable=True, comment="Rows published over an older version"),
        sa.Column(
            "renamed_rows",
            sa.BigInteger(),
            nullable=True,
            comment="Rows in which only the name of their region changed",
        ),
        sa.Column(
            "missing_rows",
            sa.BigInteger(),
            nullable=True,
            comment="Published rows absent from a proven-complete full sync",
        ),
        sa.Column("live_rows", sa.BigInteger(), nullable=True, comment="Published rows of the source after the run"),
        sa.Column("bytes_received", sa.BigInteger(), nullable=True, comment="Bytes on the wire"),
        sa.Column("requests", sa.Integer(), nullable=True, comment="HTTP requests made"),
        sa.Column("retries", sa.Integer(), nullable=True, comment="HTTP requests repeated"),
        sa.Column("staged_digest", sa.Text(), nullable=True, comment="Order-independent digest of the staged rows"),
        sa.Column(
            "watermark",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Greatest source timestamp seen and committed",
        ),
        sa.Column("target_token", sa.BigInteger(), nullable=True, comment="Rolled-back run, for a rollback"),
        sa.Column("error_type", sa.Text(), nullable=True, comment="Class of the error that ended the attempt"),
        sa.Column("error", sa.Text(), nullable=True, comment="Message of that error, without secrets"),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Figures per region and per page",
        ),
        sa.CheckConstraint("(mode = 'rollback') = (target_token IS NOT NULL)", name=op.f("sync_runs_target_check")),
        sa.CheckConstraint(
            "mode IN ('full', 'incremental', 'replay', 'rollback', 'deletion')", name=op.f("sync_runs_mode_check")
        ),
        sa.CheckConstraint(
            "status IN ('started', 'fetched', 'staged', 'published', 'failed', 'rejected')",
            name=op.f("sync_runs_status_check"),
        ),
        sa.ForeignKeyConstraint(["target_token"], ["ops.sync_runs.token"], name=op.f("sync_runs_target_token_fkey")),
        sa.PrimaryKeyConstraint("token", name=op.f("sync_runs_pkey")),
        schema="ops",
        comment="One row per attempt to publish; the token fences out every older attempt",
    )
    op.create_index(op.f("sync_runs_dagster_run_id_idx"), "sync_runs", ["dagster_run_id"], unique=False, schema="ops")
    op.create_index(
        op.f("sync_runs_subject_source_status_idx"),
        "sync_runs",
        ["subject", "source", "status"],
        unique=False,
        schema="ops",
    )
    op.create_table(
        "audit_verdicts",
        sa.Column("token", sa.BigInteger(), nullable=False, comment="Attempt judged"),
        sa.Column("suite", sa.Text(), nullable=False, comment="Expectation suite"),
        sa.Column("digest", sa.Text(), nullable=False, comment="Digest of exactly the rows that were judged"),
        sa.Column("is_passed", sa.Boolean(), nullable=False, comment="Whether every critical expectation held"),
        sa.Column(
            "results",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Expectation by expectation: bounds, observed, severity",
        ),
        sa.Column("duration_s", sa.Double(), nullable=False, comment="Seconds that the judge took"),
        sa.Column(
            "judged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="When"
        ),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("audit_verdicts_token_fkey")),
        sa.PrimaryKeyConstraint("token", "suite", name=op.f("audit_verdicts_pkey")),
        schema="ops",
        comment="What the judge said of a staged batch; the publishing transaction demands it",
    )
    op.create_table(
        "deletion_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of planning"),
        sa.Column("subject", sa.Text(), nullable=False, comment="What loses rows or files"),
        sa.Column("kind", sa.Text(), nullable=False, comment="tombstone, rollback, archive, expiry or purge"),
        sa.Column(
            "plan",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What would go: counts, oldest, newest, sample keys",
        ),
        sa.Column("plan_hash", sa.Text(), nullable=False, comment="SHA-256 of the plan"),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="Rows or files planned"),
        sa.Column(
            "proof",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Why they may go: digests, verdicts, completeness",
        ),
        sa.Column("ceiling", sa.BigInteger(), nullable=True, comment="Approved upper limit of rows"),
        sa.Column("approved_by", sa.Text(), nullable=True, comment="Person or policy that approved"),
        sa.Column("token", sa.BigInteger(), nullable=True, comment="Attempt that executed it"),
        sa.Column(
            "planned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Planned"
        ),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=True, comment="Executed"),
        sa.Column("executed_rows", sa.BigInteger(), nullable=True, comment="Rows or files that really went"),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("deletion_ledger_token_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("deletion_ledger_pkey")),
        schema="ops",
        comment="Every deletion: plan, proof, ceiling, execution",
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of opening"),
        sa.Column("kind", sa.Text(), nullable=False, comment="What is wrong; names its page in docs/runbook"),
        sa.Column("subject", sa.Text(), nullable=False, comment="What is not written as it should be: schema.table"),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the rows come from; empty: whichever source"),
        sa.Column("day", sa.Date(), nullable=False, comment="Newest partition concerned: a day in Asia/Seoul"),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="First seen",
        ),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last seen",
        ),
        sa.Column("occurrences", sa.Integer(), server_default="1", nullable=False, comment="Times seen while open"),
        sa.Column("first_token", sa.BigInteger(), nullable=True, comment="Attempt that opened it"),
        sa.Column("last_token", sa.BigInteger(), nullable=True, comment="Attempt that showed it last"),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True, comment="Over since; NULL while open"),
        sa.Column("resolved_token", sa.BigInteger(), nullable=True, comment="Attempt that ended it"),
        sa.CheckConstraint("occurrences > 0", name=op.f("incidents_occurrences_check")),
        sa.CheckConstraint("resolved_at >= opened_at", name=op.f("incidents_life_check")),
        sa.ForeignKeyConstraint(["first_token"], ["ops.sync_runs.token"], name=op.f("incidents_first_token_fkey")),
        sa.ForeignKeyConstraint(["last_token"], ["ops.sync_runs.token"], name=op.f("incidents_last_token_fkey")),
        sa.ForeignKeyConstraint(
            ["resolved_token"], ["ops.sync_runs.token"], name=op.f("incidents_resolved_token_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("incidents_pkey")),
        schema="ops",
        comment="What is or was wrong: opened once, counted while it lasts, resolved by a later success",
    )
    op.create_index(
        op.f("incidents_kind_subject_source_idx"),
        "incidents",
        ["kind", "subject", "source"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "ingest_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of arrival"),
        sa.Column("subject", sa.Text(), nullable=False, comment="What the content is for: schema.table"),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the content comes from"),
        sa.Column("day", sa.Date(), nullable=False, comment="Partition: a day in Asia/Seoul"),
        sa.Column("fetch_id", sa.Text(), nullable=False, comment="Name of the page set or file in the object store"),
        sa.Column("content_hash", sa.Text(), nullable=False, comment="SHA-256 over the content, hexadecimal"),
        sa.Column("mode", sa.Text(), nullable=False, comment="full or incremental: how it was asked for"),
        sa.Column(
            "is_complete_snapshot", sa.Boolean(), nullable=False, comment="Whether absence from it means anything"
        ),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="Rows it holds"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="Bytes it holds, as received"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Arrival",
        ),
        sa.Column(
            "as_of", sa.DateTime(timezone=True), nullable=True, comment="Time that the source gives for its answer"
        ),
        sa.Column("outcome", sa.Text(), server_default="taken", nullable=False, comment="taken, published or rejected"),
        sa.Column("token", sa.BigInteger(), nullable=True, comment="Attempt that published it"),
        sa.CheckConstraint("outcome IN ('taken', 'published', 'rejected')", name=op.f("ingest_ledger_outcome_check")),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("ingest_ledger_token_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("ingest_ledger_pkey")),
        sa.UniqueConstraint("subject", "fetch_id", name=op.f("ingest_ledger_subject_fetch_id_key")),
        schema="ops",
        comment="Everything that was taken in, once",
    )
    op.create_index(
        op.f("ingest_ledger_subject_day_idx"), "ingest_ledger", ["subject", "day"], unique=False, schema="ops"
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of writing"),
        sa.Column("kind", sa.Text(), nullable=False, comment="opened, resolved or digest"),
        sa.Column("incident_id", sa.BigInteger(), nullable=True, comment="Incident it tells of; NULL: a digest"),
        sa.Column("day", sa.Date(), nullable=False, comment="Day in Asia/Seoul that it tells of"),
        sa.Column("severity", sa.Text(), nullable=False, comment="critical, warning or info"),
        sa.Column("title", sa.Text(), nullable=False, comment="One line"),
        sa.Column("body", sa.Text(), nullable=False, comment="What happened and what to do, without personal data"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Written"
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="Deliveries tried"),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Not tried before",
        ),
        sa.Column(
            "last_error",
            sa.Text(),
            nullable=True,
            comment="Why it was not delivered the last time, without the address",
        ),
        sa.Column(
            "delivered_at", sa.DateTime(timezone=True), nullable=True, comment="Accepted by the receiver, at least once"
        ),
        sa.CheckConstraint("(kind = 'digest') = (incident_id IS NULL)", name=op.f("outbox_incident_check")),
        sa.CheckConstraint("kind IN ('opened', 'resolved', 'digest')", name=op.f("outbox_kind_check")),
        sa.CheckConstraint("severity IN ('critical', 'warning', 'info')", name=op.f("outbox_severity_check")),
        sa.ForeignKeyConstraint(["incident_id"], ["ops.incidents.id"], name=op.f("outbox_incident_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sa.UniqueConstraint("incident_id", "kind", name=op.f("outbox_incident_id_kind_key")),
        schema="ops",
        comment="What is worth telling, written in the transaction that made it true",
    )
    op.create_index(
        op.f("outbox_day_idx"),
        "outbox",
        ["day"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("kind = 'digest'"),
    )
    op.create_index(
        op.f("outbox_due_at_idx"),
        "outbox",
        ["due_at"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index(
        op.f("outbox_due_at_idx"), table_name="outbox", schema="ops", postgresql_where=sa.text("delivered_at IS NULL")
    )
    op.drop_index(
        op.f("outbox_day_idx"), table_name="outbox", schema="ops", postgresql_where=sa.text("kind = 'digest'")
    )
    op.drop_table("outbox", schema="ops")
    op.drop_index(op.f("ingest_ledger_subject_day_idx"), table_name="ingest_ledger", schema="ops")
    op.drop_table("ingest_ledger", schema="ops")
    op.drop_index(
        op.f("incidents_kind_subject_source_idx"),
        table_name="incidents",
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_table("incidents", schema="ops")
    op.drop_table("deletion_ledger", schema="ops")
    op.drop_table("audit_verdicts", schema="ops")
    op.drop_index(op.f("sync_runs_subject_source_status_idx"), table_name="sync_runs", schema="ops")
    op.drop_index(op.f("sync_runs_dagster_run_id_idx"), table_name="sync_runs", schema="ops")
    op.drop_table("sync_runs", schema="ops")
