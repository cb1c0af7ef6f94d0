"""Tables of the schema `backup`: a mirror of what lies on the targets, and the evidence that it can be restored.

The records on the targets are the truth, because they outlive this database; every row here can be read from them
again, except the evidence.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from meva_pipelines.schema.base import METADATA

CATALOG = Table(
    "catalog",
    METADATA,
    Column("backup_id", Text, primary_key=True, comment="Id, also the name of its folder on every target"),
    Column("sequence", BigInteger, nullable=False, comment="Order of backups; clocks do not count"),
    Column("method", Text, nullable=False, comment="physical, wal, logical or files"),
    Column("extent", Text, nullable=False, comment="full or incremental"),
    Column(
        "backup_types", ARRAY(Text), nullable=False, comment="Of automatic, manual, scheduled, emergency, and extent"
    ),
    Column("status", Text, nullable=False, comment="pending, in_progress, completed, failed, corrupted or expired"),
    Column("trigger", Text, nullable=False, comment="What made somebody take it"),
    Column("subject", Text, nullable=False, comment="What it is a backup of"),
    Column("created_at", DateTime(timezone=True), nullable=False, comment="Begun"),
    Column("completed_at", DateTime(timezone=True), comment="Record written"),
    Column("covers_until", DateTime(timezone=True), comment="Moment that a restore of it reaches"),
    Column("parent_id", Text, comment="Backup that it was made on; NULL: a full one"),
    Column("file_path", Text, comment="Where it was written first, without credentials"),
    Column("file_size", BigInteger, comment="Bytes of data before compression"),
    Column("compressed_size", BigInteger, comment="Bytes stored"),
    Column("compression_ratio", Double, comment="Per cent saved"),
    Column("checksum", Text, comment="SHA-256 of the record, which binds every part"),
    Column("checksum_md5", Text, comment="MD5 over the parts: a legacy figure that decides nothing"),
    Column("key_id", Text, comment="Key that sealed it; zeros: not encrypted"),
    Column("data_types", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="What it holds"),
    Column("source_paths", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="Folders that it holds"),
    Column("description", Text, nullable=False, server_default="", comment="Reason, in a person's words"),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="Labels"),
    Column("version", Text, nullable=False, comment="Form of the record"),
    Column("record", JSONB, comment="The record as it lies on the targets; NULL: never finished"),
    Column("dagster_run_id", Text, comment="Dagster run that took it"),
    Column("error", Text, comment="Why it failed, without secrets"),
    CheckConstraint("method IN ('physical', 'wal', 'logical', 'files')", name="method"),
    CheckConstraint("extent IN ('full', 'incremental')", name="extent"),
    CheckConstraint(
        "status IN ('pending', 'in_progress', 'completed', 'failed', 'corrupted', 'expired')", name="status"
    ),
    CheckConstraint("(status IN ('pending', 'in_progress', 'failed')) = (record IS NULL)", name="record"),
    Index(None, "method", "subject", "sequence"),
    schema="backup",
    comment="Every backup that was ever begun, and how it stands",
)

COPIES = Table(
    "copies",
    METADATA,
    Column("backup_id", Text, ForeignKey("backup.catalog.backup_id"), primary_key=True, comment="Backup"),
    Column("target", Text, primary_key=True, comment="Where this copy lies: local, archive, emergency"),
    Column("status", Text, nullable=False, comment="completed, corrupted or expired"),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Last seen there"),
    Column("verified_at", DateTime(timezone=True), comment="Last read to its end without a fault"),
    Column("proven_at", DateTime(timezone=True), comment="Last restored with success"),
    Column("hold_reason", Text, comment="Why a person keeps it; NULL: no hold"),
    CheckConstraint("status IN ('completed', 'corrupted', 'expired')", name="status"),
    schema="backup",
    comment="Where each backup lies, and how well each copy is proved",
)

PROOFS = Table(
    "proofs",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of proving"),
    Column("backup_id", Text, ForeignKey("backup.catalog.backup_id"), nullable=False, comment="Backup"),
    Column("target", Text, nullable=False, comment="Copy that was used"),
    Column("kind", Text, nullable=False, comment="verification: read to its end; drill: restored and compared"),
    Column("is_passed", Boolean, nullable=False, comment="Whether it held"),
    Column("proved_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="When"),
    Column("rto_s", Double, comment="Seconds from nothing to an answering server; NULL: nothing was restored"),
    Column("rpo_s", Double, comment="Seconds between the moment reached and the start of the drill"),
    Column("details", JSONB, nullable=False, comment="What was compared, and what was found"),
    CheckConstraint("kind IN ('verification', 'drill')", name="kind"),
    Index(None, "kind", "proved_at"),
    schema="backup",
    comment="Evidence that backups can be read and restored",
)
