"""Simulations and firings: the schema `mgg`.

Beyond tables: partitions made on demand by who may not run DDL otherwise, `updated_at` kept by triggers, the
activation of a model version that demands a decision, and two views.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TOUCHED = """
CREATE FUNCTION mgg.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
"""

_PARTITION = """
CREATE FUNCTION mgg.ensure_partition(parent text, age timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  period text := CASE parent WHEN 'simulation_time_series' THEN 'quarter' WHEN 'test_time_series' THEN 'quarter'
                             WHEN 'operation_logs' THEN 'month' END;
  low timestamptz;
  high timestamptz;
  part text;
BEGIN
  IF period IS NULL OR age IS NULL THEN
    RAISE EXCEPTION 'mgg.% has no partitions by time, or no time is given', parent USING ERRCODE = '22023';
  END IF;
  low := date_trunc(period, age);
  high := low + CASE period WHEN 'month' THEN interval '1 month' ELSE interval '3 months' END;
  part := parent || to_char(low, CASE period WHEN 'month' THEN '"_"YYYY"_"MM' ELSE '"_"YYYY"_q"Q' END);
  IF to_regclass(format('mgg.%I', part)) IS NOT NULL THEN
    RETURN part;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('mgg.' || part, 0));
  IF to_regclass(format('mgg.%I', part)) IS NULL THEN
    EXECUTE format('CREATE TABLE mgg.%I (LIKE mgg.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)',
                   part, parent);
    EXECUTE format('ALTER TABLE mgg.%I ATTACH PARTITION mgg.%I FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
  END IF;
  RETURN part;
END $$
"""

_ACTIVATION = """
CREATE FUNCTION mgg.demand_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last_activation timestamptz := CASE TG_OP WHEN 'UPDATE' THEN OLD.activated_at END;
  baseline bigint;
  decision text;
BEGIN
  SELECT id INTO baseline FROM mgg.model_versions
   WHERE model_type = NEW.model_type AND id <> NEW.id AND activated_at IS NOT NULL
     AND (last_activation IS NULL OR activated_at >= last_activation)
   ORDER BY activated_at DESC, id DESC LIMIT 1;
  IF baseline IS NOT NULL AND NEW.model_type = 'forward' THEN
    SELECT verdict INTO decision FROM mgg.model_decisions
     WHERE model_version_id = NEW.id AND baseline_version_id = baseline ORDER BY id DESC LIMIT 1;
    IF decision IS NULL OR decision NOT IN ('allowed', 'approved') THEN
      RAISE EXCEPTION 'model version % cannot become active: beside the last active one it is %',
        NEW.version_name, coalesce(decision, 'not judged')
        USING ERRCODE = '23514', CONSTRAINT = 'model_versions_decision_check';
    END IF;
  END IF;
  NEW.activated_at := clock_timestamp();
  RETURN NEW;
END $$
"""

_APPEND_ONLY = """
CREATE FUNCTION mgg.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of %.% are never changed', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = '23001';
END $$
"""

_TRIGGERS = (
    *(
        f"CREATE TRIGGER {table}_touch BEFORE UPDATE ON mgg.{table} FOR EACH ROW"
        " EXECUTE FUNCTION mgg.touch_updated_at()"
        for table in ("users", "work_orders", "test_results", "retention_policies")
    ),
    """
CREATE TRIGGER model_versions_activation BEFORE UPDATE OF is_active ON mgg.model_versions FOR EACH ROW
WHEN (NEW.is_active AND NOT OLD.is_active) EXECUTE FUNCTION mgg.demand_decision()
""",
    """
CREATE TRIGGER model_versions_first BEFORE INSERT ON mgg.model_versions FOR EACH ROW
WHEN (NEW.is_active) EXECUTE FUNCTION mgg.demand_decision()
""",
    """
CREATE TRIGGER operation_logs_append BEFORE UPDATE ON mgg.operation_logs FOR EACH ROW
EXECUTE FUNCTION mgg.refuse_change()
""",
)

_VIEWS = (
    """
CREATE VIEW mgg.v_active_simulations AS
SELECT s.id, w.work_order_number, u.username, u.full_name, s.nc_amount, s.peak_pressure, s.peak_time, s.created_at
  FROM mgg.forward_simulations AS s
  JOIN mgg.users AS u ON u.id = s.user_id
  LEFT JOIN mgg.work_orders AS w ON w.id = s.work_order_id
 WHERE s.status = 'completed' AND s.is_current
 ORDER BY s.created_at DESC
""",
    """
CREATE VIEW mgg.v_test_results_summary AS
SELECT t.id, w.work_order_number, u.username, t.tester_id, d.device_name, t.test_date,
       (SELECT count(*) FROM mgg.test_result_files AS f WHERE f.test_result_id = t.id) AS file_count, t.created_at
  FROM mgg.test_results AS t
  JOIN mgg.users AS u ON u.id = t.user_id
  LEFT JOIN mgg.work_orders AS w ON w.id = t.work_order_id
  LEFT JOIN mgg.test_devices AS d ON d.id = t.test_device_id
 WHERE t.is_current
""",
)


def upgrade() -> None:
    """Apply."""
    _create_tables()
    _create_indexes()
    for statement in (_TOUCHED, _PARTITION, _ACTIVATION, _APPEND_ONLY, *_TRIGGERS, *_VIEWS):
        op.execute(statement)
    op.execute("REVOKE ALL ON FUNCTION mgg.ensure_partition(text, timestamptz) FROM PUBLIC")


def _create_tables() -> None:
    op.create_table(
        "gp_types",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("type_code", sa.String(length=20), nullable=False, comment="Code of the type"),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is"),
        sa.Column("density", sa.Numeric(precision=10, scale=4), nullable=True, comment="Density, g/cm³"),
        sa.Column("specific_heat", sa.Numeric(precision=10, scale=4), nullable=True, comment="Specific heat, J/(g·K)"),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether it is still used",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.CheckConstraint("density > 0", name=op.f("gp_types_density_check")),
        sa.CheckConstraint("specific_heat > 0", name=op.f("gp_types_specific_heat_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("gp_types_pkey")),
        sa.UniqueConstraint("type_code", name=op.f("gp_types_type_code_key")),
        schema="mgg",
        comment="Types of gas-generating propellant",
    )
    op.create_table(
        "igniter_types",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("type_code", sa.String(length=20), nullable=False, comment="Code of the type"),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is"),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether it is still used",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("igniter_types_pkey")),
        sa.UniqueConstraint("type_code", name=op.f("igniter_types_type_code_key")),
        schema="mgg",
        comment="Types of igniters",
    )
    op.create_table(
        "nc_types",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("type_code", sa.String(length=20), nullable=False, comment="Code of the type"),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is"),
        sa.Column("density", sa.Numeric(precision=10, scale=4), nullable=True, comment="Density, g/cm³"),
        sa.Column("specific_heat", sa.Numeric(precision=10, scale=4), nullable=True, comment="Specific heat, J/(g·K)"),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether it is still used",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.CheckConstraint("density > 0", name=op.f("nc_types_density_check")),
        sa.CheckConstraint("specific_heat > 0", name=op.f("nc_types_specific_heat_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("nc_types_pkey")),
        sa.UniqueConstraint("type_code", name=op.f("nc_types_type_code_key")),
        schema="mgg",
        comment="Types of nitrocellulose propellant",
    )
    op.create_table(
        "retention_policies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("table_name", sa.String(length=50), nullable=False, comment="Table in the schema mgg"),
        sa.Column("retention_days", sa.Integer(), nullable=False, comment="Days that rows stay hot"),
        sa.Column(
            "archive_enabled",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether older rows are written to cold files",
        ),
        sa.Column(
            "delete_after_archive",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether rows leave the table once their cold copy is proved",
        ),
        sa.Column(
            "file_period",
            sa.String(length=10),
            nullable=True,
            comment="month or quarter: what one cold file holds; NULL: no files",
        ),
        sa.Column("age_column", sa.String(length=50), nullable=False, comment="Column that tells how old a row is"),
        sa.Column(
            "last_cleanup_at", sa.DateTime(timezone=True), nullable=True, comment="Last time that rows really left"
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last change, kept by a trigger",
        ),
        sa.CheckConstraint("file_period IN ('month', 'quarter')", name=op.f("retention_policies_file_period_check")),
        sa.CheckConstraint(
            "archive_enabled = (file_period IS NOT NULL)", name=op.f("retention_policies_archive_needs_period_check")
        ),
        sa.CheckConstraint(
            "archive_enabled OR NOT delete_after_archive", name=op.f("retention_policies_delete_needs_archive_check")
        ),
        sa.CheckConstraint("retention_days > 0", name=op.f("retention_policies_retention_days_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("retention_policies_pkey")),
        sa.UniqueConstraint("table_name", name=op.f("retention_policies_table_name_key")),
        schema="mgg",
        comment="How long rows stay hot, and what becomes of them; nothing is deleted that is not archived",
    )
    op.create_table(
        "test_devices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("device_code", sa.String(length=20), nullable=False, comment="Code of the device"),
        sa.Column("device_name", sa.String(length=100), nullable=True, comment="Name of the device"),
        sa.Column("location", sa.String(length=100), nullable=True, comment="Where it stands"),
        sa.Column("calibration_date", sa.Date(), nullable=True, comment="Day of the last calibration"),
        sa.Column(
            "is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="Whether it is in use"
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("test_devices_pkey")),
        sa.UniqueConstraint("device_code", name=op.f("test_devices_device_code_key")),
        schema="mgg",
        comment="Devices that record firings",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("username", sa.String(length=50), nullable=False, comment="Name to log in with; personal data"),
        sa.Column("email", sa.String(length=100), nullable=False, comment="E-mail address; personal data"),
        sa.Column(
            "password_hash",
            sa.String(length=255),
            server_default="!",
            nullable=False,
            comment="Hash of the password; ! = nobody can log in",
        ),
        sa.Column("full_name", sa.String(length=100), nullable=True, comment="Name of the person; personal data"),
        sa.Column(
            "role", sa.String(length=20), server_default="user", nullable=False, comment="admin, user or engineer"
        ),
        sa.Column("department", sa.String(length=50), nullable=True, comment="Department"),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the account may be used",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last change, kept by a trigger",
        ),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True, comment="Last login"),
        sa.Column("created_by", sa.BigInteger(), nullable=True, comment="User who entered this one"),
        sa.CheckConstraint("role IN ('admin', 'user', 'engineer')", name=op.f("users_role_check")),
        sa.ForeignKeyConstraint(["created_by"], ["mgg.users.id"], name=op.f("users_created_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
        sa.UniqueConstraint("username", name=op.f("users_username_key")),
        schema="mgg",
        comment="People who order, simulate and test",
    )
    op.create_table(
        "archive_batches",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column(
            "batch_name", sa.String(length=100), nullable=False, comment="Table, period and generation as one name"
        ),
        sa.Column("table_name", sa.String(length=50), nullable=False, comment="Table in the schema mgg"),
        sa.Column("start_date", sa.DateTime(timezone=True), nullable=False, comment="First moment of the period, UTC"),
        sa.Column("end_date", sa.DateTime(timezone=True), nullable=False, comment="First moment after the period, UTC"),
        sa.Column(
            "generation", sa.Integer(), server_default="1", nullable=False, comment="1, or more for rows that came late"
        ),
        sa.Column("row_count", sa.BigInteger(), nullable=True, comment="Rows"),
        sa.Column(
            "parquet_file_path",
            sa.String(length=500),
            nullable=True,
            comment="Key of the cold file in the object store",
        ),
        sa.Column("parquet_file_size", sa.BigInteger(), nullable=True, comment="Size of the cold file, bytes"),
        sa.Column(
            "compression_type", sa.String(length=20), server_default="snappy", nullable=False, comment="Compression"
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True, comment="Committed"),
        sa.Column("archived_by", sa.BigInteger(), nullable=True, comment="User who asked; NULL: the policy"),
        sa.Column(
            "status", sa.String(length=20), nullable=False, comment="planned, written, verified, committed or failed"
        ),
        sa.Column("checksum", sa.String(length=64), nullable=True, comment="SHA-256 of the cold file"),
        sa.CheckConstraint(
            "status IN ('planned', 'written', 'verified', 'committed', 'failed')",
            name=op.f("archive_batches_status_check"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('written', 'verified', 'committed') OR num_nulls(row_count, parquet_file_path, checksum) = 0",
            name=op.f("archive_batches_written_has_a_file_check"),
        ),
        sa.CheckConstraint("row_count >= 0", name=op.f("archive_batches_row_count_check")),
        sa.CheckConstraint("start_date < end_date", name=op.f("archive_batches_period_check")),
        sa.ForeignKeyConstraint(["archived_by"], ["mgg.users.id"], name=op.f("archive_batches_archived_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("archive_batches_pkey")),
        sa.UniqueConstraint("batch_name", name=op.f("archive_batches_batch_name_key")),
        sa.UniqueConstraint(
            "table_name", "start_date", "generation", name=op.f("archive_batches_table_name_start_date_generation_key")
        ),
        schema="mgg",
        comment="What was archived, state by state",
    )
    op.create_table(
        "model_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("version_name", sa.String(length=50), nullable=False, comment="Name of the version"),
        sa.Column("model_type", sa.String(length=20), nullable=False, comment="forward or reverse"),
        sa.Column("file_path", sa.String(length=500), nullable=False, comment="Where the model lies"),
        sa.Column("num_models", sa.Integer(), nullable=True, comment="Time-point models"),
        sa.Column("training_date", sa.Date(), nullable=True, comment="Day on which it was trained"),
        sa.Column("r_squared", sa.Numeric(precision=10, scale=8), nullable=True, comment="R² of training"),
        sa.Column("description", sa.Text(), nullable=True, comment="What is different"),
        sa.Column(
            "is_active",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether it answers now; at most one version of a type",
        ),
        sa.Column(
            "activated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Last activation; its successor is measured against it",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Entered"
        ),
        sa.Column("created_by", sa.BigInteger(), nullable=True, comment="User who entered it"),
        sa.CheckConstraint("model_type IN ('forward', 'reverse')", name=op.f("model_versions_model_type_check")),
        sa.CheckConstraint("NOT is_active OR activated_at IS NOT NULL", name=op.f("model_versions_activation_check")),
        sa.CheckConstraint("num_models > 0", name=op.f("model_versions_num_models_check")),
        sa.CheckConstraint("r_squared <= 1", name=op.f("model_versions_r_squared_check")),
        sa.ForeignKeyConstraint(["created_by"], ["mgg.users.id"], name=op.f("model_versions_created_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("model_versions_pkey")),
        sa.UniqueConstraint("version_name", name=op.f("model_versions_version_name_key")),
        schema="mgg",
        comment="Versions of the models; a trigger lets none become active that is worse than the last active one",
    )
    op.create_table(
        "operation_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of writing"),
        sa.Column("user_id", sa.BigInteger(), nullable=True, comment="User; NULL: the pipeline"),
        sa.Column("log_type", sa.String(length=20), nullable=False, comment="What kind of operation"),
        sa.Column("action", sa.String(length=100), nullable=False, comment="What was done"),
        sa.Column("details", sa.Text(), nullable=True, comment="Circumstances; may hold personal data"),
        sa.Column("ip_address", postgresql.INET(), nullable=True, comment="Address it came from; personal data"),
        sa.Column("user_agent", sa.Text(), nullable=True, comment="Program it came from; personal data"),
        sa.Column(
            "origin",
            sa.Text(),
            nullable=True,
            comment="Row of an old database that it was taken over from; NULL: written here",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When; partition key",
        ),
        sa.CheckConstraint(
            "log_type IN ('login', 'simulation', 'upload', 'download', 'comparison', 'work_order', 'navigation', 'admin')",
            name=op.f("operation_logs_log_type_check"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["mgg.users.id"], name=op.f("operation_logs_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", "created_at", name=op.f("operation_logs_pkey")),
        schema="mgg",
        comment="What people and the pipeline did, in months; appended to and never changed",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("subject", sa.String(length=20), nullable=False, comment="simulation, firing, register or takeover"),
        sa.Column(
            "name",
            sa.Text(),
            nullable=True,
            comment="Name of the record, or of the file when it could not be read so far",
        ),
        sa.Column("rule", sa.Text(), nullable=False, comment="Rule that rejected it"),
        sa.Column("field", sa.Text(), nullable=True, comment="Field that the rule names"),
        sa.Column("row", sa.Integer(), nullable=True, comment="Row of the file, from 1, or of the series, from 0"),
        sa.Column("reason", sa.Text(), nullable=False, comment="What was expected, without personal data"),
        sa.Column("code", sa.SmallInteger(), server_default="422", nullable=False, comment="HTTP-style code"),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Record as received, without its series; may hold personal data",
        ),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the whole record"),
        sa.Column("object_key", sa.Text(), nullable=True, comment="Where the whole record lies in the object store"),
        sa.Column("first_token", sa.BigInteger(), nullable=False, comment="First attempt"),
        sa.Column("last_token", sa.BigInteger(), nullable=False, comment="Last attempt"),
        sa.Column("times_seen", sa.Integer(), server_default="1", nullable=False, comment="Attempts that brought it"),
        sa.Column(
            "quarantined_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="First time",
        ),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True, comment="Published after all"),
        sa.ForeignKeyConstraint(["first_token"], ["ops.sync_runs.token"], name=op.f("quarantine_first_token_fkey")),
        sa.ForeignKeyConstraint(["last_token"], ["ops.sync_runs.token"], name=op.f("quarantine_last_token_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quarantine_pkey")),
        sa.UniqueConstraint("subject", "payload_hash", "rule", name=op.f("quarantine_subject_payload_hash_rule_key")),
        schema="mgg",
        comment="Results that wait for a fix, with their reason",
    )
    op.create_table(
        "takeovers",
        sa.Column("source_sha256", sa.String(length=64), nullable=False, comment="SHA-256 of the old database file"),
        sa.Column("table_name", sa.String(length=50), nullable=False, comment="Table that was taken over"),
        sa.Column(
            "last_id",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Old number up to which rows are there",
        ),
        sa.Column(
            "rows", sa.BigInteger(), server_default="0", nullable=False, comment="Rows written or found there already"
        ),
        sa.Column(
            "quarantined_rows",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Rows that could not be taken",
        ),
        sa.Column(
            "source_rows", sa.BigInteger(), nullable=True, comment="Rows of the old table; NULL until they are proved"
        ),
        sa.Column(
            "source_digest",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 over the rows of the old database in canonical form",
        ),
        sa.Column(
            "target_digest", sa.String(length=64), nullable=True, comment="The same over the rows as they lie here"
        ),
        sa.Column("proved_at", sa.DateTime(timezone=True), nullable=True, comment="Rows and digests were found equal"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="Last attempt"),
        sa.CheckConstraint(
            "proved_at IS NULL OR (source_rows = rows + quarantined_rows AND source_digest = target_digest)",
            name=op.f("takeovers_proof_check"),
        ),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("takeovers_token_fkey")),
        sa.PrimaryKeyConstraint("source_sha256", "table_name", name=op.f("takeovers_pkey")),
        schema="mgg",
        comment="How far the takeover of an old database has come, table by table, and its proof",
    )
    op.create_table(
        "work_orders",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column(
            "work_order_number",
            sa.String(length=50),
            nullable=False,
            comment="WO-YYYYMMDD-HHMMSS, with -NN behind it for orders of one second",
        ),
        sa.Column("created_by", sa.BigInteger(), nullable=False, comment="User who ordered"),
        sa.Column(
            "status", sa.String(length=20), server_default="pending", nullable=False, comment="State of the order"
        ),
        sa.Column(
            "priority",
            sa.String(length=20),
            server_default="normal",
            nullable=False,
            comment="low, normal, high or urgent",
        ),
        sa.Column("description", sa.Text(), nullable=True, comment="What is ordered"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Ordered"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last change, kept by a trigger",
        ),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True, comment="Completed; NULL before"),
        sa.CheckConstraint("priority IN ('low', 'normal', 'high', 'urgent')", name=op.f("work_orders_priority_check")),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'cancelled')", name=op.f("work_orders_status_check")
        ),
        sa.CheckConstraint(
            "work_order_number ~ '^WO-[0-9]{8}-[0-9]{6}(-[0-9]{2})?$'", name=op.f("work_orders_number_check")
        ),
        sa.CheckConstraint("completed_at IS NULL OR completed_at >= created_at", name=op.f("work_orders_life_check")),
        sa.ForeignKeyConstraint(["created_by"], ["mgg.users.id"], name=op.f("work_orders_created_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("work_orders_pkey")),
        sa.UniqueConstraint("work_order_number", name=op.f("work_orders_work_order_number_key")),
        schema="mgg",
        comment="Work orders: what links simulations and firings",
    )
    op.create_table(
        "forward_simulations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("work_order_id", sa.BigInteger(), nullable=True, comment="Work order"),
        sa.Column("user_id", sa.BigInteger(), nullable=False, comment="User who simulated"),
        sa.Column(
            "shell_height", sa.Numeric(precision=10, scale=4), nullable=True, comment="Input: height of the shell, mm"
        ),
        sa.Column(
            "current_condition", sa.Numeric(precision=10, scale=4), nullable=True, comment="Input: firing current, A"
        ),
        sa.Column("igniter_type_id", sa.BigInteger(), nullable=True, comment="Input: igniter"),
        sa.Column("nc_type_id", sa.BigInteger(), nullable=True, comment="Input: nitrocellulose"),
        sa.Column(
            "nc_amount", sa.Numeric(precision=10, scale=4), nullable=True, comment="Input: amount of nitrocellulose, mg"
        ),
        sa.Column("gp_type_id", sa.BigInteger(), nullable=True, comment="Input: gas-generating propellant"),
        sa.Column(
            "gp_amount",
            sa.Numeric(precision=10, scale=4),
            nullable=True,
            comment="Input: amount of gas-generating propellant, mg",
        ),
        sa.Column(
            "model_version",
            sa.String(length=50),
            nullable=True,
            comment="Version of the model, by name; old results name unknown ones",
        ),
        sa.Column("num_models", sa.Integer(), nullable=True, comment="Time-point models used"),
        sa.Column("r_squared", sa.Numeric(precision=10, scale=8), nullable=True, comment="R² of the model"),
        sa.Column("peak_pressure", sa.Numeric(precision=10, scale=4), nullable=True, comment="Greatest pressure, MPa"),
        sa.Column(
            "peak_time", sa.Numeric(precision=10, scale=4), nullable=True, comment="Time of the greatest pressure, ms"
        ),
        sa.Column("num_data_points", sa.Integer(), nullable=True, comment="Points of the series"),
        sa.Column(
            "simulation_type",
            sa.String(length=20),
            server_default="forward",
            nullable=False,
            comment="forward or reverse",
        ),
        sa.Column(
            "status",
            sa.String(length=20),
            server_default="completed",
            nullable=False,
            comment="running, completed or failed",
        ),
        sa.Column(
            "execution_time", sa.Numeric(precision=10, scale=4), nullable=True, comment="Duration of the computation, s"
        ),
        sa.Column("error_message", sa.Text(), nullable=True, comment="Why it failed"),
        sa.Column("curve_sha256", sa.String(length=64), nullable=True, comment="Fingerprint of the series as stored"),
        sa.Column("name", sa.String(length=100), nullable=False, comment="Name of the simulation where it was made"),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="Rank among the results of that name by stated time, then by content_sha256",
        ),
        sa.Column(
            "is_current", sa.Boolean(), nullable=False, comment="Whether this version counts; exactly one of a name"
        ),
        sa.Column("content_sha256", sa.String(length=64), nullable=False, comment="SHA-256 of what was taken in"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="Attempt that wrote it"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Simulated; tells how old the series is",
        ),
        sa.CheckConstraint(
            "simulation_type IN ('forward', 'reverse')", name=op.f("forward_simulations_simulation_type_check")
        ),
        sa.CheckConstraint(
            "status <> 'completed' OR num_nulls(peak_pressure, peak_time, num_data_points) = 0",
            name=op.f("forward_simulations_completed_has_figures_check"),
        ),
        sa.CheckConstraint(
            "status <> 'failed' OR error_message IS NOT NULL", name=op.f("forward_simulations_failed_says_why_check")
        ),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed')", name=op.f("forward_simulations_status_check")
        ),
        sa.CheckConstraint("gp_amount >= 0", name=op.f("forward_simulations_gp_amount_check")),
        sa.CheckConstraint("nc_amount >= 0", name=op.f("forward_simulations_nc_amount_check")),
        sa.CheckConstraint("r_squared <= 1", name=op.f("forward_simulations_r_squared_check")),
        sa.CheckConstraint("shell_height >= 0", name=op.f("forward_simulations_shell_height_check")),
        sa.ForeignKeyConstraint(["gp_type_id"], ["mgg.gp_types.id"], name=op.f("forward_simulations_gp_type_id_fkey")),
        sa.ForeignKeyConstraint(
            ["igniter_type_id"], ["mgg.igniter_types.id"], name=op.f("forward_simulations_igniter_type_id_fkey")
        ),
        sa.ForeignKeyConstraint(["nc_type_id"], ["mgg.nc_types.id"], name=op.f("forward_simulations_nc_type_id_fkey")),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("forward_simulations_token_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["mgg.users.id"], name=op.f("forward_simulations_user_id_fkey")),
        sa.ForeignKeyConstraint(
            ["work_order_id"], ["mgg.work_orders.id"], name=op.f("forward_simulations_work_order_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("forward_simulations_pkey")),
        sa.UniqueConstraint("id", "created_at", name=op.f("forward_simulations_id_created_at_key")),
        sa.UniqueConstraint("name", "content_sha256", name=op.f("forward_simulations_name_content_sha256_key")),
        sa.UniqueConstraint(
            "name", "version", deferrable=True, initially="DEFERRED", name=op.f("forward_simulations_name_version_key")
        ),
        schema="mgg",
        comment="Forward simulations (正向仿真): from amounts to a pressure curve",
    )
    op.create_table(
        "model_decisions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column(
            "evaluated_at", sa.DateTime(timezone=True), nullable=False, comment="Evaluation that it follows from"
        ),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False, comment="Candidate"),
        sa.Column("baseline_version_id", sa.BigInteger(), nullable=True, comment="Last active version"),
        sa.Column(
            "verdict",
            sa.String(length=10),
            nullable=False,
            comment="allowed, refused, undecided, or approved by a person",
        ),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="Why, in sentences"),
        sa.Column("approved_by", sa.Text(), nullable=True, comment="Person who approved what was undecided"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Decided"
        ),
        sa.CheckConstraint(
            "(verdict = 'approved') = (approved_by IS NOT NULL)", name=op.f("model_decisions_approved_by_check")
        ),
        sa.CheckConstraint(
            "verdict IN ('allowed', 'refused', 'undecided', 'approved')", name=op.f("model_decisions_verdict_check")
        ),
        sa.ForeignKeyConstraint(
            ["baseline_version_id"], ["mgg.model_versions.id"], name=op.f("model_decisions_baseline_version_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["mgg.model_versions.id"], name=op.f("model_decisions_model_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("model_decisions_pkey")),
        schema="mgg",
        comment="What was decided of activating a model version; a trigger lets none become active without",
    )
    op.create_table(
        "model_scorecard",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column(
            "evaluated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="One moment for all rows of an evaluation",
        ),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False, comment="Version"),
        sa.Column(
            "cell",
            sa.Text(),
            nullable=False,
            comment="Recipe: igniter, nitrocellulose and propellant with their amounts",
        ),
        sa.Column(
            "metric", sa.String(length=40), nullable=False, comment="Measure of a comparison, named with its unit"
        ),
        sa.Column("firings", sa.Integer(), nullable=False, comment="Firings of the recipe that it was compared with"),
        sa.Column(
            "loss", sa.Double(), nullable=False, comment="Mean loss: size of an error, or what a score lacks to 1"
        ),
        sa.Column(
            "corridor",
            sa.Double(),
            nullable=True,
            comment="Greatest loss between two repeats; NULL: fewer than three repeats",
        ),
        sa.Column(
            "is_inside", sa.Boolean(), nullable=True, comment="Whether the loss is within the corridor; NULL: unknown"
        ),
        sa.Column("baseline_version_id", sa.BigInteger(), nullable=True, comment="Version it is judged by"),
        sa.Column("baseline_loss", sa.Double(), nullable=True, comment="Mean loss of that version in the cell"),
        sa.Column(
            "critical",
            sa.Double(),
            nullable=True,
            comment="Smallest difference that counts as worse; NULL: the scatter is unknown",
        ),
        sa.Column(
            "is_worse",
            sa.Boolean(),
            nullable=True,
            comment="Worse than the baseline beyond scatter; NULL: not judged, or unknown",
        ),
        sa.Column("method_version", sa.String(length=20), nullable=False, comment="Version of the comparisons' method"),
        sa.ForeignKeyConstraint(
            ["baseline_version_id"], ["mgg.model_versions.id"], name=op.f("model_scorecard_baseline_version_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["mgg.model_versions.id"], name=op.f("model_scorecard_model_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("model_scorecard_pkey")),
        sa.UniqueConstraint(
            "evaluated_at",
            "model_version_id",
            "cell",
            "metric",
            name=op.f("model_scorecard_evaluated_at_model_version_id_cell_metric_key"),
        ),
        schema="mgg",
        comment="Model versions against the scatter of repeated firings, recipe by recipe, evaluation by evaluation",
    )
    op.create_table(
        "reverse_simulations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("work_order_id", sa.BigInteger(), nullable=True, comment="Work order"),
        sa.Column("user_id", sa.BigInteger(), nullable=False, comment="User who simulated"),
        sa.Column(
            "shell_height", sa.Numeric(precision=10, scale=4), nullable=True, comment="Input: height of the shell, mm"
        ),
        sa.Column(
            "current_condition", sa.Numeric(precision=10, scale=4), nullable=True, comment="Input: firing current, A"
        ),
        sa.Column("igniter_type_id", sa.BigInteger(), nullable=True, comment="Input: igniter"),
        sa.Column("test_device_id", sa.BigInteger(), nullable=True, comment="Device that recorded the curve"),
        sa.Column(
            "pressure_data_file", sa.String(length=255), nullable=True, comment="File of the curve that was given"
        ),
        sa.Column("predicted_nc_type_id", sa.BigInteger(), nullable=True, comment="Result: nitrocellulose"),
        sa.Column(
            "predicted_nc_amount",
            sa.Numeric(precision=10, scale=4),
            nullable=True,
            comment="Result: amount of nitrocellulose, mg",
        ),
        sa.Column("predicted_gp_type_id", sa.BigInteger(), nullable=True, comment="Result: gas-generating propellant"),
        sa.Column(
            "predicted_gp_amount",
            sa.Numeric(precision=10, scale=4),
            nullable=True,
            comment="Result: amount of gas-generating propellant, mg",
        ),
        sa.Column(
            "confidence_score", sa.Numeric(precision=5, scale=2), nullable=True, comment="Confidence in the result, %"
        ),
        sa.Column("model_version", sa.String(length=50), nullable=True, comment="Version of the model, by name"),
        sa.Column(
            "status",
            sa.String(length=20),
            server_default="completed",
            nullable=False,
            comment="running, completed or failed",
        ),
        sa.Column(
            "execution_time", sa.Numeric(precision=10, scale=4), nullable=True, comment="Duration of the computation, s"
        ),
        sa.Column("error_message", sa.Text(), nullable=True, comment="Why it failed"),
        sa.Column("name", sa.String(length=100), nullable=False, comment="Name of the simulation where it was made"),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="Rank among the results of that name by stated time, then by content_sha256",
        ),
        sa.Column(
            "is_current", sa.Boolean(), nullable=False, comment="Whether this version counts; exactly one of a name"
        ),
        sa.Column("content_sha256", sa.String(length=64), nullable=False, comment="SHA-256 of what was taken in"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="Attempt that wrote it"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Simulated",
        ),
        sa.CheckConstraint(
            "status <> 'failed' OR error_message IS NOT NULL", name=op.f("reverse_simulations_failed_says_why_check")
        ),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed')", name=op.f("reverse_simulations_status_check")
        ),
        sa.CheckConstraint(
            "confidence_score BETWEEN 0 AND 100", name=op.f("reverse_simulations_confidence_score_check")
        ),
        sa.CheckConstraint("predicted_gp_amount >= 0", name=op.f("reverse_simulations_predicted_gp_amount_check")),
        sa.CheckConstraint("predicted_nc_amount >= 0", name=op.f("reverse_simulations_predicted_nc_amount_check")),
        sa.CheckConstraint("shell_height >= 0", name=op.f("reverse_simulations_shell_height_check")),
        sa.ForeignKeyConstraint(
            ["igniter_type_id"], ["mgg.igniter_types.id"], name=op.f("reverse_simulations_igniter_type_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["predicted_gp_type_id"], ["mgg.gp_types.id"], name=op.f("reverse_simulations_predicted_gp_type_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["predicted_nc_type_id"], ["mgg.nc_types.id"], name=op.f("reverse_simulations_predicted_nc_type_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["test_device_id"], ["mgg.test_devices.id"], name=op.f("reverse_simulations_test_device_id_fkey")
        ),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("reverse_simulations_token_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["mgg.users.id"], name=op.f("reverse_simulations_user_id_fkey")),
        sa.ForeignKeyConstraint(
            ["work_order_id"], ["mgg.work_orders.id"], name=op.f("reverse_simulations_work_order_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("reverse_simulations_pkey")),
        sa.UniqueConstraint("name", "content_sha256", name=op.f("reverse_simulations_name_content_sha256_key")),
        sa.UniqueConstraint(
            "name", "version", deferrable=True, initially="DEFERRED", name=op.f("reverse_simulations_name_version_key")
        ),
        schema="mgg",
        comment="Reverse simulations (逆向仿真): from a pressure curve to amounts",
    )
    op.create_table(
        "test_results",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("work_order_id", sa.BigInteger(), nullable=True, comment="Work order"),
        sa.Column("user_id", sa.BigInteger(), nullable=False, comment="User who handed the result in"),
        sa.Column(
            "tester_id", sa.String(length=50), nullable=True, comment="Employee number of who fired; personal data"
        ),
        sa.Column("test_device_id", sa.BigInteger(), nullable=True, comment="Device that recorded"),
        sa.Column("test_date", sa.Date(), nullable=False, comment="Day of the firing; tells how old the series is"),
        sa.Column("notes", sa.Text(), nullable=True, comment="Free text; may hold personal data"),
        sa.Column(
            "status",
            sa.String(length=20),
            server_default="submitted",
            nullable=False,
            comment="submitted, validated, archived",
        ),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Stated time of this version of the record",
        ),
        sa.Column("name", sa.String(length=100), nullable=False, comment="Name of the firing where it was made"),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="Rank among the results of that name by stated time, then by content_sha256",
        ),
        sa.Column(
            "is_current", sa.Boolean(), nullable=False, comment="Whether this version counts; exactly one of a name"
        ),
        sa.Column("content_sha256", sa.String(length=64), nullable=False, comment="SHA-256 of what was taken in"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="Attempt that wrote it"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Taken in",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last change, kept by a trigger",
        ),
        sa.CheckConstraint("status IN ('submitted', 'validated', 'archived')", name=op.f("test_results_status_check")),
        sa.ForeignKeyConstraint(
            ["test_device_id"], ["mgg.test_devices.id"], name=op.f("test_results_test_device_id_fkey")
        ),
        sa.ForeignKeyConstraint(["token"], ["ops.sync_runs.token"], name=op.f("test_results_token_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["mgg.users.id"], name=op.f("test_results_user_id_fkey")),
        sa.ForeignKeyConstraint(
            ["work_order_id"], ["mgg.work_orders.id"], name=op.f("test_results_work_order_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("test_results_pkey")),
        sa.UniqueConstraint("id", "test_date", name=op.f("test_results_id_test_date_key")),
        sa.UniqueConstraint("name", "content_sha256", name=op.f("test_results_name_content_sha256_key")),
        sa.UniqueConstraint(
            "name", "version", deferrable=True, initially="DEFERRED", name=op.f("test_results_name_version_key")
        ),
        schema="mgg",
        comment="Firings (实验结果): what was measured",
    )
    op.create_table(
        "pt_comparisons",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("user_id", sa.BigInteger(), nullable=False, comment="User who asked, or who fired"),
        sa.Column("simulation_id", sa.BigInteger(), nullable=False, comment="Simulation"),
        sa.Column("test_result_id", sa.BigInteger(), nullable=False, comment="Firing"),
        sa.Column(
            "alignment",
            sa.String(length=10),
            nullable=False,
            comment="raw, or ignition: both curves moved to 10 % of their peak",
        ),
        sa.Column("method_version", sa.String(length=20), nullable=False, comment="Version of the method"),
        sa.Column("is_comparable", sa.Boolean(), nullable=False, comment="Whether the curves overlap enough"),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why they are not comparable, or why a figure is missing"
        ),
        sa.Column("shift_ms", sa.Double(), nullable=True, comment="Subtracted from the times of the simulation, ms"),
        sa.Column(
            "late_ms", sa.Double(), nullable=True, comment="How late the simulation is by the best correlation, ms"
        ),
        sa.Column(
            "overlap_ratio", sa.Double(), nullable=True, comment="Share of the firing's duration that both curves cover"
        ),
        sa.Column(
            "start_ms",
            sa.Double(),
            nullable=True,
            comment="First moment of the common time base, on the firing's clock, ms",
        ),
        sa.Column(
            "end_ms",
            sa.Double(),
            nullable=True,
            comment="Last moment of the common time base, on the firing's clock, ms",
        ),
        sa.Column("points", sa.Integer(), nullable=True, comment="Points of the common time base"),
        sa.Column(
            "warping_points",
            sa.Integer(),
            nullable=True,
            comment="Points of the base of the ISO rating and the Fréchet distance",
        ),
        sa.Column(
            "peak_pressure_diff",
            sa.Numeric(precision=10, scale=4),
            nullable=True,
            comment="Greatest pressure, simulation − firing, MPa",
        ),
        sa.Column(
            "peak_time_diff",
            sa.Numeric(precision=10, scale=4),
            nullable=True,
            comment="Time of the greatest pressure, simulation − firing, ms",
        ),
        sa.Column(
            "rmse",
            sa.Numeric(precision=10, scale=6),
            nullable=True,
            comment="Root mean square of simulation − firing, MPa",
        ),
        sa.Column(
            "correlation",
            sa.Numeric(precision=10, scale=8),
            nullable=True,
            comment="Pearson's r; NULL for a flat curve",
        ),
        sa.Column("rmse_ratio", sa.Double(), nullable=True, comment="RMSE by the greatest pressure of the firing"),
        sa.Column("mae_mpa", sa.Double(), nullable=True, comment="Mean absolute difference, MPa"),
        sa.Column(
            "r_squared", sa.Double(), nullable=True, comment="1 − SSE/SST with the firing as reference; may be negative"
        ),
        sa.Column(
            "t10_diff_ms", sa.Double(), nullable=True, comment="Rise through 10 % of the peak, simulation − firing, ms"
        ),
        sa.Column(
            "t50_diff_ms", sa.Double(), nullable=True, comment="Rise through 50 % of the peak, simulation − firing, ms"
        ),
        sa.Column(
            "t90_diff_ms", sa.Double(), nullable=True, comment="Rise through 90 % of the peak, simulation − firing, ms"
        ),
        sa.Column(
            "max_rate_diff_mpa_per_ms",
            sa.Double(),
            nullable=True,
            comment="Greatest rate of rise, simulation − firing, MPa/ms",
        ),
        sa.Column(
            "impulse_diff_mpa_ms",
            sa.Double(),
            nullable=True,
            comment="Impulse over the overlap, simulation − firing, MPa·ms",
        ),
        sa.Column("sprague_geers_magnitude_ratio", sa.Double(), nullable=True, comment="Sprague–Geers magnitude error"),
        sa.Column("sprague_geers_phase_ratio", sa.Double(), nullable=True, comment="Sprague–Geers phase error"),
        sa.Column(
            "sprague_geers_comprehensive_ratio", sa.Double(), nullable=True, comment="Sprague–Geers comprehensive error"
        ),
        sa.Column("area_mpa_ms", sa.Double(), nullable=True, comment="Area between the curves, MPa·ms"),
        sa.Column(
            "frechet_ratio",
            sa.Double(),
            nullable=True,
            comment="Discrete Fréchet distance: time in durations of the base, pressure in peaks of the firing",
        ),
        sa.Column("iso18571_corridor", sa.Double(), nullable=True, comment="ISO/TS 18571 corridor score, 0 to 1"),
        sa.Column("iso18571_phase", sa.Double(), nullable=True, comment="ISO/TS 18571 phase score, 0 to 1"),
        sa.Column("iso18571_magnitude", sa.Double(), nullable=True, comment="ISO/TS 18571 magnitude score, 0 to 1"),
        sa.Column("iso18571_slope", sa.Double(), nullable=True, comment="ISO/TS 18571 slope score, 0 to 1"),
        sa.Column("iso18571_overall", sa.Double(), nullable=True, comment="ISO/TS 18571 rating, 0 to 1"),
        sa.Column("iso18571_grade", sa.String(length=10), nullable=True, comment="poor, fair, good or excellent"),
        sa.Column(
            "withheld",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Figures that the pair has none of, with the reason",
        ),
        sa.Column(
            "figures",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Figures of each curve by itself, named with their units",
        ),
        sa.Column(
            "simulation_sha256", sa.String(length=64), nullable=False, comment="Fingerprint of the simulated series"
        ),
        sa.Column("test_sha256", sa.String(length=64), nullable=False, comment="Fingerprint of the measured series"),
        sa.Column("notes", sa.Text(), nullable=True, comment="Remarks of who asked"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Compared",
        ),
        sa.CheckConstraint("alignment IN ('raw', 'ignition')", name=op.f("pt_comparisons_alignment_check")),
        sa.CheckConstraint(
            "NOT is_comparable OR num_nulls(rmse, peak_pressure_diff, peak_time_diff) = 0",
            name=op.f("pt_comparisons_figures_check"),
        ),
        sa.CheckConstraint("correlation BETWEEN -1 AND 1", name=op.f("pt_comparisons_correlation_check")),
        sa.CheckConstraint("is_comparable OR reason IS NOT NULL", name=op.f("pt_comparisons_reason_check")),
        sa.CheckConstraint("iso18571_overall BETWEEN 0 AND 1", name=op.f("pt_comparisons_iso18571_overall_check")),
        sa.ForeignKeyConstraint(
            ["simulation_id"], ["mgg.forward_simulations.id"], name=op.f("pt_comparisons_simulation_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["test_result_id"], ["mgg.test_results.id"], name=op.f("pt_comparisons_test_result_id_fkey")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["mgg.users.id"], name=op.f("pt_comparisons_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("pt_comparisons_pkey")),
        sa.UniqueConstraint(
            "simulation_id",
            "test_result_id",
            "alignment",
            "method_version",
            name=op.f("pt_comparisons_simulation_id_test_result_id_alignment_method_version_key"),
        ),
        schema="mgg",
        comment="Simulations beside firings; differences are simulation − firing",
    )
    op.create_table(
        "repeat_comparisons",
        sa.Column("test_result_id", sa.BigInteger(), nullable=False, comment="Firing"),
        sa.Column("repeat_id", sa.BigInteger(), nullable=False, comment="Later firing, reference"),
        sa.Column("method_version", sa.String(length=20), nullable=False, comment="Version of the method"),
        sa.Column(
            "measures",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Measures without alignment, named with their units",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Compared",
        ),
        sa.CheckConstraint("test_result_id < repeat_id", name=op.f("repeat_comparisons_once_check")),
        sa.ForeignKeyConstraint(["repeat_id"], ["mgg.test_results.id"], name=op.f("repeat_comparisons_repeat_id_fkey")),
        sa.ForeignKeyConstraint(
            ["test_result_id"], ["mgg.test_results.id"], name=op.f("repeat_comparisons_test_result_id_fkey")
        ),
        sa.PrimaryKeyConstraint("test_result_id", "repeat_id", "method_version", name=op.f("repeat_comparisons_pkey")),
        schema="mgg",
        comment="Firings of one recipe beside each other: the yardstick of every scorecard",
    )
    op.create_table(
        "simulation_time_series",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True, cache=1000),
            nullable=False,
            comment="Row number; no reference",
        ),
        sa.Column("simulation_id", sa.BigInteger(), nullable=False, comment="Simulation"),
        sa.Column("sequence_number", sa.Integer(), nullable=False, comment="Position in the series, from 0"),
        sa.Column("time_point", sa.Numeric(precision=10, scale=6), nullable=False, comment="Time since the start, ms"),
        sa.Column(
            "pressure",
            sa.Numeric(precision=10, scale=6),
            nullable=False,
            comment="Pressure, MPa; slightly negative near zero",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, comment="That of the simulation: partition key"
        ),
        sa.ForeignKeyConstraint(
            ["simulation_id", "created_at"],
            ["mgg.forward_simulations.id", "mgg.forward_simulations.created_at"],
            name=op.f("simulation_time_series_simulation_id_created_at_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "simulation_id", "sequence_number", "created_at", name=op.f("simulation_time_series_pkey")
        ),
        schema="mgg",
        comment="Pressure curves of simulations, in quarters of their simulation's age",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_table(
        "test_result_files",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("test_result_id", sa.BigInteger(), nullable=False, comment="Firing"),
        sa.Column("test_date", sa.Date(), nullable=False, comment="That of the firing"),
        sa.Column("position", sa.SmallInteger(), nullable=False, comment="Place among the files of the firing, from 0"),
        sa.Column("file_name", sa.String(length=255), nullable=False, comment="Name of the file as it came"),
        sa.Column("file_path", sa.String(length=500), nullable=False, comment="Key of the file in the object store"),
        sa.Column("file_size", sa.BigInteger(), nullable=True, comment="Size of the file, bytes"),
        sa.Column("file_type", sa.String(length=50), nullable=True, comment="What the file is"),
        sa.Column("num_data_points", sa.Integer(), nullable=True, comment="Points of the series"),
        sa.Column("peak_pressure", sa.Numeric(precision=10, scale=4), nullable=True, comment="Greatest pressure, MPa"),
        sa.Column(
            "peak_time", sa.Numeric(precision=10, scale=4), nullable=True, comment="Time of the greatest pressure, ms"
        ),
        sa.Column("content_sha256", sa.String(length=64), nullable=True, comment="SHA-256 of the file"),
        sa.Column("curve_sha256", sa.String(length=64), nullable=True, comment="Fingerprint of the series as stored"),
        sa.Column(
            "uploaded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Taken in",
        ),
        sa.ForeignKeyConstraint(
            ["test_result_id", "test_date"],
            ["mgg.test_results.id", "mgg.test_results.test_date"],
            name=op.f("test_result_files_test_result_id_test_date_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("test_result_files_pkey")),
        sa.UniqueConstraint(
            "id", "test_result_id", "test_date", name=op.f("test_result_files_id_test_result_id_test_date_key")
        ),
        sa.UniqueConstraint("test_result_id", "position", name=op.f("test_result_files_test_result_id_position_key")),
        schema="mgg",
        comment="Files of firings, one curve each",
    )
    op.create_table(
        "test_time_series",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True, cache=1000),
            nullable=False,
            comment="Row number; no reference",
        ),
        sa.Column("test_result_id", sa.BigInteger(), nullable=False, comment="Firing"),
        sa.Column("file_id", sa.BigInteger(), nullable=False, comment="File that the row comes from"),
        sa.Column("sequence_number", sa.Integer(), nullable=False, comment="Position in the series, from 0"),
        sa.Column(
            "time_point", sa.Numeric(precision=10, scale=6), nullable=False, comment="Time since the trigger, ms"
        ),
        sa.Column(
            "pressure",
            sa.Numeric(precision=10, scale=6),
            nullable=False,
            comment="Pressure, MPa; slightly negative near zero",
        ),
        sa.Column("test_date", sa.Date(), nullable=False, comment="That of the firing: partition key"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Taken in",
        ),
        sa.ForeignKeyConstraint(
            ["file_id", "test_result_id", "test_date"],
            ["mgg.test_result_files.id", "mgg.test_result_files.test_result_id", "mgg.test_result_files.test_date"],
            name=op.f("test_time_series_file_id_test_result_id_test_date_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "test_result_id", "file_id", "sequence_number", "test_date", name=op.f("test_time_series_pkey")
        ),
        schema="mgg",
        comment="Pressure curves of firings, in quarters of their firing's day",
        postgresql_partition_by="RANGE (test_date)",
    )


def _create_indexes() -> None:
    op.create_index(
        "users_inactive_idx", "users", ["id"], unique=False, schema="mgg", postgresql_where=sa.text("NOT is_active")
    )
    op.create_index(op.f("users_role_idx"), "users", ["role"], unique=False, schema="mgg")
    op.create_index(
        op.f("archive_batches_start_date_end_date_idx"),
        "archive_batches",
        ["start_date", "end_date"],
        unique=False,
        schema="mgg",
    )
    op.create_index(op.f("archive_batches_status_idx"), "archive_batches", ["status"], unique=False, schema="mgg")
    op.create_index(
        "model_versions_active_key",
        "model_versions",
        ["model_type"],
        unique=True,
        schema="mgg",
        postgresql_where=sa.text("is_active"),
    )
    op.create_index(
        op.f("operation_logs__idx"),
        "operation_logs",
        [sa.literal_column("created_at DESC")],
        unique=False,
        schema="mgg",
    )
    op.create_index(op.f("operation_logs_log_type_idx"), "operation_logs", ["log_type"], unique=False, schema="mgg")
    op.create_index(
        op.f("operation_logs_user_id_log_type_idx"),
        "operation_logs",
        ["user_id", "log_type"],
        unique=False,
        schema="mgg",
    )
    op.create_index(op.f("quarantine_last_token_idx"), "quarantine", ["last_token"], unique=False, schema="mgg")
    op.create_index(
        op.f("work_orders__idx"), "work_orders", [sa.literal_column("created_at DESC")], unique=False, schema="mgg"
    )
    op.create_index(op.f("work_orders_created_by_idx"), "work_orders", ["created_by"], unique=False, schema="mgg")
    op.create_index(op.f("work_orders_status_idx"), "work_orders", ["status"], unique=False, schema="mgg")
    op.create_index(
        op.f("forward_simulations__idx"),
        "forward_simulations",
        [sa.literal_column("created_at DESC")],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        "forward_simulations_current_key",
        "forward_simulations",
        ["name"],
        unique=True,
        schema="mgg",
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        op.f("forward_simulations_model_version_idx"),
        "forward_simulations",
        ["model_version"],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        op.f("forward_simulations_nc_amount_idx"), "forward_simulations", ["nc_amount"], unique=False, schema="mgg"
    )
    op.create_index(
        op.f("forward_simulations_user_id_idx"), "forward_simulations", ["user_id"], unique=False, schema="mgg"
    )
    op.create_index(
        op.f("forward_simulations_work_order_id_idx"),
        "forward_simulations",
        ["work_order_id"],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        op.f("model_decisions_model_version_id_baseline_version_id_idx"),
        "model_decisions",
        ["model_version_id", "baseline_version_id", sa.literal_column("id DESC")],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        op.f("model_scorecard_model_version_id_idx"),
        "model_scorecard",
        ["model_version_id", sa.literal_column("evaluated_at DESC")],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        op.f("reverse_simulations__idx"),
        "reverse_simulations",
        [sa.literal_column("created_at DESC")],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        "reverse_simulations_current_key",
        "reverse_simulations",
        ["name"],
        unique=True,
        schema="mgg",
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        op.f("reverse_simulations_user_id_idx"), "reverse_simulations", ["user_id"], unique=False, schema="mgg"
    )
    op.create_index(
        op.f("reverse_simulations_work_order_id_idx"),
        "reverse_simulations",
        ["work_order_id"],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        op.f("test_results__idx"), "test_results", [sa.literal_column("test_date DESC")], unique=False, schema="mgg"
    )
    op.create_index(
        "test_results_current_key",
        "test_results",
        ["name"],
        unique=True,
        schema="mgg",
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        op.f("test_results_test_device_id_idx"), "test_results", ["test_device_id"], unique=False, schema="mgg"
    )
    op.create_index(op.f("test_results_user_id_idx"), "test_results", ["user_id"], unique=False, schema="mgg")
    op.create_index(
        op.f("test_results_work_order_id_idx"), "test_results", ["work_order_id"], unique=False, schema="mgg"
    )
    op.create_index(
        op.f("pt_comparisons__idx"),
        "pt_comparisons",
        [sa.literal_column("created_at DESC")],
        unique=False,
        schema="mgg",
    )
    op.create_index(
        op.f("pt_comparisons_test_result_id_idx"), "pt_comparisons", ["test_result_id"], unique=False, schema="mgg"
    )
    op.create_index(op.f("pt_comparisons_user_id_idx"), "pt_comparisons", ["user_id"], unique=False, schema="mgg")


def downgrade() -> None:
    """Take back."""
    for view in ("v_test_results_summary", "v_active_simulations"):
        op.execute(f"DROP VIEW mgg.{view}")
    op.drop_table("test_time_series", schema="mgg")
    op.drop_table("test_result_files", schema="mgg")
    op.drop_table("simulation_time_series", schema="mgg")
    op.drop_table("repeat_comparisons", schema="mgg")
    op.drop_table("pt_comparisons", schema="mgg")
    op.drop_table("test_results", schema="mgg")
    op.drop_table("reverse_simulations", schema="mgg")
    op.drop_table("model_scorecard", schema="mgg")
    op.drop_table("model_decisions", schema="mgg")
    op.drop_table("forward_simulations", schema="mgg")
    op.drop_table("work_orders", schema="mgg")
    op.drop_table("takeovers", schema="mgg")
    op.drop_table("quarantine", schema="mgg")
    op.drop_table("operation_logs", schema="mgg")
    op.drop_table("model_versions", schema="mgg")
    op.drop_table("archive_batches", schema="mgg")
    op.drop_table("users", schema="mgg")
    op.drop_table("test_devices", schema="mgg")
    op.drop_table("retention_policies", schema="mgg")
    op.drop_table("nc_types", schema="mgg")
    op.drop_table("igniter_types", schema="mgg")
    op.drop_table("gp_types", schema="mgg")
    for function in (
        "refuse_change()",
        "demand_decision()",
        "ensure_partition(text, timestamptz)",
        "touch_updated_at()",
    ):
        op.execute(f"DROP FUNCTION mgg.{function}")
