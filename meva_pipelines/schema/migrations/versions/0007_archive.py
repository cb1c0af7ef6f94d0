"""The archive: batches with their proofs, holds, partitions that leave, and the hash chain of the operation logs.

Beyond tables: whoever ensures a partition keeps it until the end of the transaction; the archiver may lock and drop a
partition whose cold copy is proved, and no other; parents of series are kept for ever; logs that exist are chained.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_MODES = "'full', 'incremental', 'replay', 'rollback', 'deletion'"
_MODES_NAMED = "full, incremental, replay, rollback or deletion"
_PARENTS = ("forward_simulations", "test_results", "test_result_files")

_PART_OF = """
CREATE FUNCTION mgg.part_of(parent text, age timestamptz, OUT part text, OUT low timestamptz, OUT high timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  span text := CASE parent WHEN 'simulation_time_series' THEN 'quarter' WHEN 'test_time_series' THEN 'quarter'
                           WHEN 'operation_logs' THEN 'month' END;
BEGIN
  IF span IS NULL OR age IS NULL THEN
    RAISE EXCEPTION 'mgg.% has no partitions by time, or no time is given', parent USING ERRCODE = '22023';
  END IF;
  low := date_trunc(span, age);
  high := low + CASE span WHEN 'month' THEN interval '1 month' ELSE interval '3 months' END;
  part := parent || to_char(low, CASE span WHEN 'month' THEN '"_"YYYY"_"MM' ELSE '"_"YYYY"_q"Q' END);
END $$
"""

_ENSURE = """
CREATE OR REPLACE FUNCTION mgg.ensure_partition(parent text, age timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  its record := mgg.part_of(parent, age);
BEGIN
  LOOP
    BEGIN
      IF to_regclass(format('mgg.%I', its.part)) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('mgg.' || its.part, 0));
        EXECUTE format('CREATE TABLE mgg.%I (LIKE mgg.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)',
                       its.part, parent);
        EXECUTE format('ALTER TABLE mgg.%I ATTACH PARTITION mgg.%I FOR VALUES FROM (%L) TO (%L)',
                       parent, its.part, its.low, its.high);
      END IF;
      EXECUTE format('LOCK TABLE mgg.%I IN ROW EXCLUSIVE MODE', its.part);
      RETURN its.part;
    EXCEPTION WHEN duplicate_table OR undefined_table THEN
      NULL;  -- while this waited another made it, or its rows were released: look again
    END;
  END LOOP;
END $$
"""

_LOCK = """
CREATE FUNCTION mgg.lock_partition(parent text, low timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  its record := mgg.part_of(parent, low);
BEGIN
  IF its.low <> low OR NOT EXISTS (
    SELECT FROM mgg.archive_batches AS b
     WHERE b.table_name = parent AND b.start_date = its.low AND b.end_date = its.high
       AND b.status IN ('verified', 'committed')
  ) THEN
    RAISE EXCEPTION 'mgg.% from %: no cold copy of exactly this period is proved', parent, low USING ERRCODE = '55000';
  END IF;
  IF to_regclass(format('mgg.%I', its.part)) IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('LOCK TABLE mgg.%I IN SHARE ROW EXCLUSIVE MODE', its.part);
  RETURN true;
EXCEPTION WHEN undefined_table THEN
  RETURN false;  -- dropped while this waited
END $$
"""

_DROP = """
CREATE FUNCTION mgg.drop_partition(parent text, low timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  its record := mgg.part_of(parent, low);
BEGIN
  IF NOT mgg.lock_partition(parent, low) THEN
    RAISE EXCEPTION 'mgg.% is not there', its.part USING ERRCODE = '42P01';
  END IF;
  IF EXISTS (
    SELECT FROM mgg.archive_holds AS h
     WHERE h.table_name = parent AND h.start_date < its.high AND h.end_date > its.low
       AND h.lifted_at IS NULL AND h.until > clock_timestamp()
  ) THEN
    RAISE EXCEPTION 'mgg.% is under a hold', its.part USING ERRCODE = '55000';
  END IF;
  EXECUTE format('ALTER TABLE mgg.%I DETACH PARTITION mgg.%I', parent, its.part);
  EXECUTE format('DROP TABLE mgg.%I', its.part);
END $$
"""

_KEPT = """
CREATE FUNCTION mgg.refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of %.% are kept for ever: series hang on them, hot or cold', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = '23001';
END $$
"""

_LINK = """
CREATE FUNCTION mgg.log_link(
  previous bytea, place bigint, id bigint, user_id bigint, log_type text, action text, details text, ip_address inet,
  user_agent text, origin text, created_at timestamptz
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT sha256(previous || substr(array_send(ARRAY[
    convert_to(place::text, 'UTF8'),
    convert_to(id::text, 'UTF8'),
    convert_to(user_id::text, 'UTF8'),
    convert_to(log_type, 'UTF8'),
    convert_to(action, 'UTF8'),
    convert_to(details, 'UTF8'),
    inet_send(ip_address),
    convert_to(user_agent, 'UTF8'),
    convert_to(origin, 'UTF8'),
    convert_to((extract(epoch FROM created_at) * 1000000)::bigint::text, 'UTF8')
  ]), 21))
$$
"""
"""Behind its header of 20 bytes an array is sent as length and content of each element, NULL as the length -1."""

_CHAIN = """
CREATE FUNCTION mgg.chain_operation_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last mgg.operation_log_head;
BEGIN
  LOOP
    DELETE FROM mgg.operation_log_head
     WHERE position = (SELECT max(h.position) FROM mgg.operation_log_head AS h) RETURNING * INTO last;
    EXIT WHEN FOUND;  -- otherwise another transaction has chained a row meanwhile: look again
    IF NOT EXISTS (SELECT FROM mgg.operation_log_head) THEN
      RAISE EXCEPTION 'the head of the chain of operation logs is lost' USING ERRCODE = '55000';
    END IF;
  END LOOP;
  NEW.chain_position := last.position + 1;
  NEW.chain_hash := mgg.log_link(last.hash, NEW.chain_position, NEW.id, NEW.user_id, NEW.log_type, NEW.action,
    NEW.details, NEW.ip_address, NEW.user_agent, NEW.origin, NEW.created_at);
  INSERT INTO mgg.operation_log_head VALUES (NEW.chain_position, NEW.chain_hash);
  RETURN NEW;
END $$
"""

_CHAIN_EXISTING = """
DO $$
DECLARE
  log mgg.operation_logs;
  place bigint := 0;
  link bytea := decode(repeat('00', 32), 'hex');
BEGIN
  FOR log IN SELECT * FROM mgg.operation_logs ORDER BY id LOOP
    place := place + 1;
    link := mgg.log_link(link, place, log.id, log.user_id, log.log_type, log.action, log.details, log.ip_address,
      log.user_agent, log.origin, log.created_at);
    UPDATE mgg.operation_logs AS l SET chain_position = place, chain_hash = link
     WHERE l.id = log.id AND l.created_at = log.created_at;
  END LOOP;
  INSERT INTO mgg.operation_log_head VALUES (place, link);
END $$
"""

_APPEND_TRIGGER = """
CREATE TRIGGER operation_logs_append BEFORE UPDATE ON mgg.operation_logs FOR EACH ROW
EXECUTE FUNCTION mgg.refuse_change()
"""

_CHAIN_TRIGGER = """
CREATE TRIGGER operation_logs_chain BEFORE INSERT ON mgg.operation_logs FOR EACH ROW
WHEN (current_user <> 'meva_archiver' OR NEW.chain_position IS NULL OR NEW.chain_hash IS NULL)
EXECUTE FUNCTION mgg.chain_operation_log()
"""

_ENSURE_BEFORE = """
CREATE OR REPLACE FUNCTION mgg.ensure_partition(parent text, age timestamptz) RETURNS text
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


def upgrade() -> None:
    """Apply."""
    _extend_batches()
    _create_holds()
    _chain_logs()
    _change_modes(
        f"{_MODES}, 'archive', 'restore'", "full, incremental, replay, rollback, deletion, archive or restore"
    )
    op.create_index(op.f("aed_history_valid_to_idx"), "aed_history", ["valid_to"], schema="aed")
    _say_what_a_policy_names("Table in the schema mgg", "Table that ages")
    for statement in (_PART_OF, _ENSURE, _LOCK, _DROP, _KEPT):
        op.execute(statement)
    for function in ("lock_partition", "drop_partition"):
        op.execute(f"REVOKE ALL ON FUNCTION mgg.{function}(text, timestamptz) FROM PUBLIC")
    for parent in _PARENTS:
        op.execute(
            f"CREATE TRIGGER {parent}_kept BEFORE DELETE ON mgg.{parent} FOR EACH ROW"
            " EXECUTE FUNCTION mgg.refuse_deletion()"
        )


def _extend_batches() -> None:
    for column in (
        sa.Column("period", sa.Text(), nullable=True, comment="Name of the period: 2024-Q1 or 2024-01"),
        sa.Column("token", sa.BigInteger(), nullable=True, comment="Attempt that owns it now"),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=True,
            comment="Order-independent digest of the rows: sum of their signed 64-bit hashes",
        ),
        sa.Column("min_key", postgresql.JSONB(), nullable=True, comment="Least key, value by value as text"),
        sa.Column("max_key", postgresql.JSONB(), nullable=True, comment="Greatest key, value by value as text"),
        sa.Column(
            "schema_version",
            sa.Integer(),
            nullable=True,
            comment="Version of the registered schema of the cold file",
        ),
        sa.Column(
            "planned_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Planned",
        ),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=True, comment="Cold file written"),
        sa.Column(
            "verified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Cold file re-read and found equal to the hot rows",
        ),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Cold file last read to its end and found as it was written",
        ),
        sa.Column("failure", sa.Text(), nullable=True, comment="Why it failed, without the contents of rows"),
    ):
        op.add_column("archive_batches", column, schema="mgg")
    op.execute(
        "UPDATE mgg.archive_batches SET failure = CASE status WHEN 'failed' THEN 'not recorded' END,"
        " period = CASE WHEN end_date - start_date < interval '32 days'"
        " THEN to_char(start_date AT TIME ZONE 'UTC', 'YYYY-MM')"
        " ELSE to_char(start_date AT TIME ZONE 'UTC', 'YYYY\"-Q\"Q') END"
    )
    op.alter_column("archive_batches", "period", nullable=False, schema="mgg")
    op.alter_column("archive_batches", "compression_type", server_default="zstd", schema="mgg")
    op.alter_column(
        "archive_batches",
        "table_name",
        comment="Table that ages",
        existing_comment="Table in the schema mgg",
        schema="mgg",
    )
    op.create_foreign_key(
        op.f("archive_batches_token_fkey"),
        "archive_batches",
        "sync_runs",
        ["token"],
        ["token"],
        source_schema="mgg",
        referent_schema="ops",
    )
    for name, condition in (
        ("committed_has_a_proof", "status <> 'committed' OR num_nulls(digest, verified_at, archived_at) = 0"),
        ("failed_says_why", "status <> 'failed' OR failure IS NOT NULL"),
    ):
        op.create_check_constraint(op.f(f"archive_batches_{name}_check"), "archive_batches", condition, schema="mgg")


def _create_holds() -> None:
    op.create_table(
        "archive_holds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row number"),
        sa.Column("table_name", sa.String(length=50), nullable=False, comment="Table that ages"),
        sa.Column("start_date", sa.DateTime(timezone=True), nullable=False, comment="First moment that is held, UTC"),
        sa.Column("end_date", sa.DateTime(timezone=True), nullable=False, comment="First moment after it, UTC"),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why, in a person's words"),
        sa.Column("held_by", sa.Text(), nullable=False, comment="Person or job that holds it"),
        sa.Column(
            "restored_rows",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Cold rows brought back under it",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False, comment="Placed"
        ),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False, comment="Over by itself from here on"),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True, comment="Lifted before that"),
        sa.CheckConstraint("reason <> ''", name=op.f("archive_holds_reason_check")),
        sa.CheckConstraint("restored_rows >= 0", name=op.f("archive_holds_restored_rows_check")),
        sa.CheckConstraint("start_date < end_date", name=op.f("archive_holds_period_check")),
        sa.CheckConstraint("until > created_at", name=op.f("archive_holds_until_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("archive_holds_pkey")),
        schema="mgg",
        comment="Periods whose hot rows stay where they are although a policy would let them go",
    )
    op.create_index(
        op.f("archive_holds_table_name_start_date_idx"), "archive_holds", ["table_name", "start_date"], schema="mgg"
    )


def _chain_logs() -> None:
    op.create_table(
        "operation_log_head",
        sa.Column(
            "position",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Last place of the chain; 0: none",
        ),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="Hash of that place; zeros before the first"),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("operation_log_head_hash_check")),
        sa.PrimaryKeyConstraint("position", name=op.f("operation_log_head_pkey")),
        schema="mgg",
        comment="Where the chain of operation logs ends: one row, taken out and put in again with every log",
    )
    op.add_column(
        "operation_logs",
        sa.Column(
            "chain_position",
            sa.BigInteger(),
            nullable=True,
            comment="Place in the chain of all logs, from 1, without gaps",
        ),
        schema="mgg",
    )
    op.add_column(
        "operation_logs",
        sa.Column(
            "chain_hash",
            sa.LargeBinary(),
            nullable=True,
            comment="SHA-256 over the hash of the place before and this row",
        ),
        schema="mgg",
    )
    op.execute("DROP TRIGGER operation_logs_append ON mgg.operation_logs")
    for statement in (_LINK, _CHAIN, _CHAIN_EXISTING, _APPEND_TRIGGER, _CHAIN_TRIGGER):
        op.execute(statement)
    for column in ("chain_position", "chain_hash"):
        op.alter_column("operation_logs", column, nullable=False, schema="mgg")
    op.create_check_constraint(
        op.f("operation_logs_chain_hash_check"), "operation_logs", "octet_length(chain_hash) = 32", schema="mgg"
    )
    op.create_table_comment(
        "operation_logs",
        "What people and the pipeline did, in months; appended to and never changed, each row chained to the last",
        existing_comment="What people and the pipeline did, in months; appended to and never changed",
        schema="mgg",
    )


def _change_modes(modes: str, named: str) -> None:
    op.drop_constraint(op.f("sync_runs_mode_check"), "sync_runs", schema="ops")
    op.create_check_constraint(op.f("sync_runs_mode_check"), "sync_runs", f"mode IN ({modes})", schema="ops")
    op.alter_column("sync_runs", "mode", comment=named, schema="ops")


def _say_what_a_policy_names(before: str, after: str) -> None:
    op.alter_column("retention_policies", "table_name", comment=after, existing_comment=before, schema="mgg")


def downgrade() -> None:
    """Take back. Attempts of the archive go, and with them the batches that only they could have made."""
    for parent in _PARENTS:
        op.execute(f"DROP TRIGGER {parent}_kept ON mgg.{parent}")
    op.execute(_ENSURE_BEFORE)
    for function in (
        "refuse_deletion()",
        "drop_partition(text, timestamptz)",
        "lock_partition(text, timestamptz)",
        "part_of(text, timestamptz)",
    ):
        op.execute(f"DROP FUNCTION mgg.{function}")
    _say_what_a_policy_names("Table that ages", "Table in the schema mgg")
    op.drop_index(op.f("aed_history_valid_to_idx"), table_name="aed_history", schema="aed")
    _take_back_batches()
    _take_back_chain()
    _change_modes(_MODES, _MODES_NAMED)


def _take_back_batches() -> None:
    op.drop_index(op.f("archive_holds_table_name_start_date_idx"), table_name="archive_holds", schema="mgg")
    op.drop_table("archive_holds", schema="mgg")
    for name in ("committed_has_a_proof", "failed_says_why"):
        op.drop_constraint(op.f(f"archive_batches_{name}_check"), "archive_batches", schema="mgg")
    op.alter_column(
        "archive_batches",
        "table_name",
        comment="Table in the schema mgg",
        existing_comment="Table that ages",
        schema="mgg",
    )
    op.alter_column("archive_batches", "compression_type", server_default="snappy", schema="mgg")
    for column in (
        "failure",
        "read_at",
        "verified_at",
        "written_at",
        "planned_at",
        "schema_version",
        "max_key",
        "min_key",
        "digest",
        "token",
        "period",
    ):
        op.drop_column("archive_batches", column, schema="mgg")


def _take_back_chain() -> None:
    op.execute("DROP TRIGGER operation_logs_chain ON mgg.operation_logs")
    for column in ("chain_hash", "chain_position"):
        op.drop_column("operation_logs", column, schema="mgg")
    op.create_table_comment(
        "operation_logs",
        "What people and the pipeline did, in months; appended to and never changed",
        existing_comment="What people and the pipeline did, in months; appended to and never changed, each row chained"
        " to the last",
        schema="mgg",
    )
    for function in (
        "chain_operation_log()",
        "log_link(bytea, bigint, bigint, bigint, text, text, text, inet, text, text, timestamptz)",
    ):
        op.execute(f"DROP FUNCTION mgg.{function}")
    op.drop_table("operation_log_head", schema="mgg")
