"""Tables of the schema `ops`: the ledgers that every protocol writes to. Nothing here belongs to one subject."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from meva_pipelines.schema.base import METADATA

SYNC_RUNS = Table(
    "sync_runs",
    METADATA,
    Column(
        "token",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Attempt token, strictly increasing",
    ),
    Column("subject", Text, nullable=False, comment="What is written: schema.table"),
    Column("source", Text, nullable=False, comment="Where the rows come from"),
    Column("mode", Text, nullable=False, comment="full, incremental, replay or rollback"),
    Column("day", Date, nullable=False, comment="Partition: a day in Asia/Seoul"),
    Column("dagster_run_id", Text, nullable=False, comment="Dagster run that made the attempt"),
    Column("status", Text, nullable=False, comment="started, fetched, staged, published, failed or rejected"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Start"),
    Column("fetched_at", DateTime(timezone=True), comment="All pages stored and proved complete"),
    Column("staged_at", DateTime(timezone=True), comment="All rows staged and triaged"),
    Column("finished_at", DateTime(timezone=True), comment="Published, failed or rejected"),
    Column("fetch_id", Text, comment="Name of the page set in the object store"),
    Column("expected_rows", BigInteger, comment="Rows announced by the source"),
    Column("received_rows", BigInteger, comment="Rows received"),
    Column("unchanged_rows", BigInteger, comment="Rows received that equal the published ones"),
    Column("quarantined_rows", BigInteger, comment="Rows received that wait in quarantine"),
    Column("inserted_rows", BigInteger, comment="Rows published for the first time"),
    Column("updated_rows", BigInteger, comment="Rows published over an older version"),
    Column("missing_rows", BigInteger, comment="Published rows absent from a proven-complete full sync"),
    Column("live_rows", BigInteger, comment="Published rows of the source after the run"),
    Column("bytes_received", BigInteger, comment="Bytes on the wire"),
    Column("requests", Integer, comment="HTTP requests made"),
    Column("retries", Integer, comment="HTTP requests repeated"),
    Column("staged_digest", Text, comment="Order-independent digest of the staged rows"),
    Column("watermark", DateTime(timezone=True), comment="Greatest source timestamp seen and committed"),
    Column(
        "target_token",
        BigInteger,
        ForeignKey("ops.sync_runs.token"),
        comment="Rolled-back run, for a rollback",
    ),
    Column("error_type", Text, comment="Class of the error that ended the attempt"),
    Column("error", Text, comment="Message of that error, without secrets"),
    Column(
        "details",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="Figures per region and per page",
    ),
    CheckConstraint("mode IN ('full', 'incremental', 'replay', 'rollback')", name="mode"),
    CheckConstraint(
        "status IN ('started', 'fetched', 'staged', 'published', 'failed', 'rejected')", name="status"
    ),
    CheckConstraint("(mode = 'rollback') = (target_token IS NOT NULL)", name="target"),
    Index(None, "subject", "source", "status"),
    Index(None, "dagster_run_id"),
    schema="ops",
    comment="One row per attempt to publish; the token fences out every older attempt",
)

AUDIT_VERDICTS = Table(
    "audit_verdicts",
    METADATA,
    Column(
        "token", BigInteger, ForeignKey("ops.sync_runs.token"), primary_key=True, comment="Attempt judged"
    ),
    Column("suite", Text, primary_key=True, comment="Expectation suite"),
    Column("digest", Text, nullable=False, comment="Digest of exactly the rows that were judged"),
    Column("is_passed", Boolean, nullable=False, comment="Whether every critical expectation held"),
    Column(
        "results", JSONB, nullable=False, comment="Expectation by expectation: bounds, observed, severity"
    ),
    Column("duration_s", Double, nullable=False, comment="Seconds that the judge took"),
    Column("judged_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="When"),
    schema="ops",
    comment="What the judge said of a staged batch; the publishing transaction demands it",
)

INGEST_LEDGER = Table(
    "ingest_ledger",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival"),
    Column("subject", Text, nullable=False, comment="What the content is for: schema.table"),
    Column("source", Text, nullable=False, comment="Where the content comes from"),
    Column("day", Date, nullable=False, comment="Partition: a day in Asia/Seoul"),
    Column("fetch_id", Text, nullable=False, comment="Name of the page set or file in the object store"),
    Column("content_hash", Text, nullable=False, comment="SHA-256 over the content, hexadecimal"),
    Column("mode", Text, nullable=False, comment="full or incremental: how it was asked for"),
    Column("is_complete_snapshot", Boolean, nullable=False, comment="Whether absence from it means anything"),
    Column("rows", BigInteger, nullable=False, comment="Rows it holds"),
    Column("bytes", BigInteger, nullable=False, comment="Bytes it holds, as received"),
    Column(
        "received_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Arrival"
    ),
    Column("as_of", DateTime(timezone=True), comment="Time that the source gives for its answer"),
    Column("outcome", Text, nullable=False, server_default="taken", comment="taken, published or rejected"),
    Column("token", BigInteger, ForeignKey("ops.sync_runs.token"), comment="Attempt that published it"),
    UniqueConstraint("subject", "fetch_id"),
    CheckConstraint("outcome IN ('taken', 'published', 'rejected')", name="outcome"),
    Index(None, "subject", "day"),
    schema="ops",
    comment="Everything that was taken in, once",
)

DELETION_LEDGER = Table(
    "deletion_ledger",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of planning"),
    Column("subject", Text, nullable=False, comment="What loses rows or files"),
    Column("kind", Text, nullable=False, comment="tombstone, rollback, archive, expiry or purge"),
    Column("plan", JSONB, nullable=False, comment="What would go: counts, oldest, newest, sample keys"),
    Column("plan_hash", Text, nullable=False, comment="SHA-256 of the plan"),
    Column("rows", BigInteger, nullable=False, comment="Rows or files planned"),
    Column("proof", JSONB, nullable=False, comment="Why they may go: digests, verdicts, completeness"),
    Column("ceiling", BigInteger, comment="Approved upper limit of rows"),
    Column("approved_by", Text, comment="Person or policy that approved"),
    Column("token", BigInteger, ForeignKey("ops.sync_runs.token"), comment="Attempt that executed it"),
    Column(
        "planned_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Planned"
    ),
    Column("executed_at", DateTime(timezone=True), comment="Executed"),
    Column("executed_rows", BigInteger, comment="Rows or files that really went"),
    schema="ops",
    comment="Every deletion: plan, proof, ceiling, execution",
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of writing"),
    Column("incident", Text, nullable=False, comment="De-duplication key"),
    Column("severity", Text, nullable=False, comment="critical, warning or info"),
    Column("title", Text, nullable=False, comment="One line"),
    Column("body", Text, nullable=False, comment="What happened and what to do, without personal data"),
    Column("token", BigInteger, ForeignKey("ops.sync_runs.token"), comment="Attempt it speaks of"),
    Column(
        "created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Written"
    ),
    Column("delivered_at", DateTime(timezone=True), comment="Delivered at least once"),
    UniqueConstraint("incident"),
    CheckConstraint("severity IN ('critical', 'warning', 'info')", name="severity"),
    schema="ops",
    comment="What is worth telling, written in the transaction that made it true",
)
