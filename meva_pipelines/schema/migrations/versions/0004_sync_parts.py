"""What a full sync proves part by part: `ops.sync_parts`, and the complete parts of a fetch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PROVED_BEFORE = """
INSERT INTO ops.sync_parts (token, part, verdict)
SELECT DISTINCT run.token, device.sido_code, 'counted'
FROM ops.sync_runs AS run
JOIN ops.ingest_ledger AS i ON i.subject = run.subject AND i.fetch_id = run.fetch_id
JOIN aed.aed_data AS device ON device.source = run.source AND device.sido_code IS NOT NULL
WHERE run.subject = 'aed.aed_data' AND run.status = 'published' AND i.mode = 'full' AND i.is_complete_snapshot
"""


def upgrade() -> None:
    """Apply. Complete full syncs of before counted absences everywhere."""
    op.create_table(
        "sync_parts",
        sa.Column("token", sa.BigInteger(), nullable=False, comment="Attempt that published"),
        sa.Column("part", sa.Text(), nullable=False, comment="Part of the subject (registry: code of the sido)"),
        sa.Column(
            "verdict",
            sa.Text(),
            nullable=False,
            comment="counted, withheld or incomplete: what absence from it is worth",
        ),
        sa.Column("live_rows", sa.BigInteger(), nullable=True, comment="Published rows that were live in it before"),
        sa.Column("absent_rows", sa.BigInteger(), nullable=True, comment="Those of them that did not come"),
        sa.CheckConstraint("verdict IN ('counted', 'withheld', 'incomplete')", name=op.f("sync_parts_verdict_check")),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("sync_parts_token_fkey")),
        sa.PrimaryKeyConstraint("token", "part", name=op.f("sync_parts_pkey")),
        schema="ops",
        comment="What a full sync proved part by part: only where absences counted, a row may have vanished",
    )
    op.add_column(
        "ingest_ledger",
        sa.Column(
            "complete_parts",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Parts that it holds completely although it does not hold all (registry: codes of regions)",
        ),
        schema="ops",
    )
    op.execute(_PROVED_BEFORE)


def downgrade() -> None:
    """Take back."""
    op.drop_column("ingest_ledger", "complete_parts", schema="ops")
    op.drop_table("sync_parts", schema="ops")
