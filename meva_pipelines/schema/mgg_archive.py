"""Tables of the schema `mgg` by which rows age into cold files: batches, holds, and the head of the log's chain.

Which tables age is declared in `domain/archive`, how long their rows stay hot in `mgg.retention_policies`.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.mgg import created_at, row_id

ARCHIVE_BATCHES = Table(
    "archive_batches",
    METADATA,
    row_id(),
    Column("batch_name", String(100), nullable=False, unique=True, comment="Table, period and generation as one name"),
    Column("table_name", String(50), nullable=False, comment="Table that ages"),
    Column("period", Text, nullable=False, comment="Name of the period: 2024-Q1 or 2024-01"),
    Column("start_date", DateTime(timezone=True), nullable=False, comment="First moment of the period, UTC"),
    Column("end_date", DateTime(timezone=True), nullable=False, comment="First moment after the period, UTC"),
    Column("generation", Integer, nullable=False, server_default="1", comment="1, or more for rows that came late"),
    Column("token", BigInteger, ForeignKey("ops.sync_runs.token"), comment="Attempt that owns it now"),
    Column("row_count", BigInteger, comment="Rows"),
    Column("digest", Text, comment="Order-independent digest of the rows: sum of their signed 64-bit hashes"),
    Column("min_key", JSONB, comment="Least key, value by value as text"),
    Column("max_key", JSONB, comment="Greatest key, value by value as text"),
    Column("schema_version", Integer, comment="Version of the registered schema of the cold file"),
    Column("parquet_file_path", String(500), comment="Key of the cold file in the object store"),
    Column("parquet_file_size", BigInteger, comment="Size of the cold file, bytes"),
    Column("compression_type", String(20), nullable=False, server_default="zstd", comment="Compression"),
    Column("planned_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Planned"),
    Column("written_at", DateTime(timezone=True), comment="Cold file written"),
    Column("verified_at", DateTime(timezone=True), comment="Cold file re-read and found equal to the hot rows"),
    Column("archived_at", DateTime(timezone=True), comment="Committed"),
    Column("read_at", DateTime(timezone=True), comment="Cold file last read to its end and found as it was written"),
    Column("archived_by", BigInteger, ForeignKey("mgg.users.id"), comment="User who asked; NULL: the policy"),
    Column("status", String(20), nullable=False, comment="planned, written, verified, committed or failed"),
    Column("failure", Text, comment="Why it failed, without the contents of rows"),
    Column("checksum", String(64), comment="SHA-256 of the cold file"),
    UniqueConstraint("table_name", "start_date", "generation"),
    CheckConstraint("row_count >= 0", name="row_count"),
    CheckConstraint("start_date < end_date", name="period"),
    CheckConstraint("status IN ('planned', 'written', 'verified', 'committed', 'failed')", name="status"),
    CheckConstraint(
        "status NOT IN ('written', 'verified', 'committed') OR num_nulls(row_count, parquet_file_path, checksum) = 0",
        name="written_has_a_file",
    ),
    CheckConstraint(
        "status <> 'committed' OR num_nulls(digest, verified_at, archived_at) = 0", name="committed_has_a_proof"
    ),
    CheckConstraint("status <> 'failed' OR failure IS NOT NULL", name="failed_says_why"),
    Index(None, "start_date", "end_date"),
    Index(None, "status"),
    schema="mgg",
    comment="What was archived, state by state",
)

ARCHIVE_HOLDS = Table(
    "archive_holds",
    METADATA,
    row_id(),
    Column("table_name", String(50), nullable=False, comment="Table that ages"),
    Column("start_date", DateTime(timezone=True), nullable=False, comment="First moment that is held, UTC"),
    Column("end_date", DateTime(timezone=True), nullable=False, comment="First moment after it, UTC"),
    Column("reason", Text, nullable=False, comment="Why, in a person's words"),
    Column("held_by", Text, nullable=False, comment="Person or job that holds it"),
    Column("restored_rows", BigInteger, nullable=False, server_default="0", comment="Cold rows brought back under it"),
    created_at("Placed"),
    Column("until", DateTime(timezone=True), nullable=False, comment="Over by itself from here on"),
    Column("lifted_at", DateTime(timezone=True), comment="Lifted before that"),
    CheckConstraint("start_date < end_date", name="period"),
    CheckConstraint("until > created_at", name="until"),
    CheckConstraint("restored_rows >= 0", name="restored_rows"),
    CheckConstraint("reason <> ''", name="reason"),
    Index(None, "table_name", "start_date"),
    schema="mgg",
    comment="Periods whose hot rows stay where they are although a policy would let them go",
)

OPERATION_LOG_HEAD = Table(
    "operation_log_head",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="Last place of the chain; 0: none"),
    Column("hash", LargeBinary, nullable=False, comment="Hash of that place; zeros before the first"),
    CheckConstraint("octet_length(hash) = 32", name="hash"),
    schema="mgg",
    comment="Where the chain of operation logs ends: one row, taken out and put in again with every log",
)
