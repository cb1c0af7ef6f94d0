"""Backups: catalogue, copies and proofs in the schema `backup`."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "catalog",
        sa.Column("backup_id", sa.Text(), nullable=False, comment="Id, also the name of its folder on every target"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="Order of backups; clocks do not count"),
        sa.Column("method", sa.Text(), nullable=False, comment="physical, wal, logical or files"),
        sa.Column("extent", sa.Text(), nullable=False, comment="full or incremental"),
        sa.Column(
            "backup_types",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Of automatic, manual, scheduled, emergency, and extent",
        ),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="pending, in_progress, completed, failed, corrupted or expired"
        ),
        sa.Column("trigger", sa.Text(), nullable=False, comment="What made somebody take it"),
        sa.Column("subject", sa.Text(), nullable=False, comment="What it is a backup of"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="Begun"),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True, comment="Record written"),
        sa.Column(
            "covers_until", sa.DateTime(timezone=True), nullable=True, comment="Moment that a restore of it reaches"
        ),
        sa.Column("parent_id", sa.Text(), nullable=True, comment="Backup that it was made on; NULL: a full one"),
        sa.Column("file_path", sa.Text(), nullable=True, comment="Where it was written first, without credentials"),
        sa.Column("file_size", sa.BigInteger(), nullable=True, comment="Bytes of data before compression"),
        sa.Column("compressed_size", sa.BigInteger(), nullable=True, comment="Bytes stored"),
        sa.Column("compression_ratio", sa.Double(), nullable=True, comment="Per cent saved"),
        sa.Column("checksum", sa.Text(), nullable=True, comment="SHA-256 of the record, which binds every part"),
        sa.Column(
            "checksum_md5", sa.Text(), nullable=True, comment="MD5 over the parts: a legacy figure that decides nothing"
        ),
        sa.Column("key_id", sa.Text(), nullable=True, comment="Key that sealed it; zeros: not encrypted"),
        sa.Column(
            "data_types",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="What it holds",
        ),
        sa.Column(
            "source_paths",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Folders that it holds",
        ),
        sa.Column("description", sa.Text(), server_default="", nullable=False, comment="Reason, in a person's words"),
        sa.Column(
            "tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment="Labels"
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="Form of the record"),
        sa.Column(
            "record",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="The record as it lies on the targets; NULL: never finished",
        ),
        sa.Column("dagster_run_id", sa.Text(), nullable=True, comment="Dagster run that took it"),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed, without secrets"),
        sa.CheckConstraint(
            "(status IN ('pending', 'in_progress', 'failed')) = (record IS NULL)", name=op.f("catalog_record_check")
        ),
        sa.CheckConstraint("extent IN ('full', 'incremental')", name=op.f("catalog_extent_check")),
        sa.CheckConstraint("method IN ('physical', 'wal', 'logical', 'files')", name=op.f("catalog_method_check")),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'failed', 'corrupted', 'expired')",
            name=op.f("catalog_status_check"),
        ),
        sa.PrimaryKeyConstraint("backup_id", name=op.f("catalog_pkey")),
        schema="backup",
        comment="Every backup that was ever begun, and how it stands",
    )
    op.create_index(
        op.f("catalog_method_subject_sequence_idx"),
        "catalog",
        ["method", "subject", "sequence"],
        unique=False,
        schema="backup",
    )
    op.create_table(
        "copies",
        sa.Column("backup_id", sa.Text(), nullable=False, comment="Backup"),
        sa.Column("target", sa.Text(), nullable=False, comment="Where this copy lies: local, archive, emergency"),
        sa.Column("status", sa.Text(), nullable=False, comment="completed, corrupted or expired"),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last seen there",
        ),
        sa.Column(
            "verified_at", sa.DateTime(timezone=True), nullable=True, comment="Last read to its end without a fault"
        ),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True, comment="Last restored with success"),
        sa.Column("hold_reason", sa.Text(), nullable=True, comment="Why a person keeps it; NULL: no hold"),
        sa.CheckConstraint("status IN ('completed', 'corrupted', 'expired')", name=op.f("copies_status_check")),
        sa.ForeignKeyConstraint(["backup_id"], ["backup.catalog.backup_id"], name=op.f("copies_backup_id_fkey")),
        sa.PrimaryKeyConstraint("backup_id", "target", name=op.f("copies_pkey")),
        schema="backup",
        comment="Where each backup lies, and how well each copy is proved",
    )
    op.create_table(
        "proofs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of proving"),
        sa.Column("backup_id", sa.Text(), nullable=False, comment="Backup"),
        sa.Column("target", sa.Text(), nullable=False, comment="Copy that was used"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="verification: read to its end; drill: restored and compared"
        ),
        sa.Column("is_passed", sa.Boolean(), nullable=False, comment="Whether it held"),
        sa.Column(
            "proved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="When"
        ),
        sa.Column(
            "rto_s",
            sa.Double(),
            nullable=True,
            comment="Seconds from nothing to an answering server; NULL: nothing was restored",
        ),
        sa.Column(
            "rpo_s", sa.Double(), nullable=True, comment="Seconds between the moment reached and the start of the drill"
        ),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What was compared, and what was found",
        ),
        sa.CheckConstraint("kind IN ('verification', 'drill')", name=op.f("proofs_kind_check")),
        sa.ForeignKeyConstraint(["backup_id"], ["backup.catalog.backup_id"], name=op.f("proofs_backup_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("proofs_pkey")),
        schema="backup",
        comment="Evidence that backups can be read and restored",
    )
    op.create_index(op.f("proofs_kind_proved_at_idx"), "proofs", ["kind", "proved_at"], unique=False, schema="backup")


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("proofs_kind_proved_at_idx"), table_name="proofs", schema="backup")
    op.drop_table("proofs", schema="backup")
    op.drop_table("copies", schema="backup")
    op.drop_index(op.f("catalog_method_subject_sequence_idx"), table_name="catalog", schema="backup")
    op.drop_table("catalog", schema="backup")
