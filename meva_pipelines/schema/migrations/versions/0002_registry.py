"""The AED registry: the schema `aed`."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "aed_data",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Row number; never a reference"
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Registry source: data_go_kr, egen, export"),
        sa.Column(
            "source_id", sa.Text(), nullable=False, comment="Stable key in that source (serialSeq or equipment_serial)"
        ),
        sa.Column(
            "equipment_serial",
            sa.Text(),
            nullable=True,
            comment="장비연번: the registry's serial, form 12-0000397; NULL for the open API",
        ),
        sa.Column("management_number", sa.Text(), nullable=True, comment="관리번호"),
        sa.Column("model_name", sa.Text(), nullable=True, comment="모델명: model"),
        sa.Column("manufacturer", sa.Text(), nullable=True, comment="제조사: maker, as spelled by the source"),
        sa.Column("manufacturing_country", sa.Text(), nullable=True, comment="제조국"),
        sa.Column("manufacturing_date", sa.Date(), nullable=True, comment="제조일자"),
        sa.Column("serial_number", sa.Text(), nullable=True, comment="제조번호: the maker's number; not unique"),
        sa.Column("installation_date", sa.Date(), nullable=True, comment="설치일자"),
        sa.Column("first_installation_date", sa.Date(), nullable=True, comment="최초설치일"),
        sa.Column(
            "installation_institution",
            sa.Text(),
            nullable=True,
            comment="설치기관명: institution where the device stands",
        ),
        sa.Column("installation_address", sa.Text(), nullable=True, comment="설치기관_주소"),
        sa.Column(
            "installation_position", sa.Text(), nullable=True, comment="설치위치: place inside the building, or vehicle"
        ),
        sa.Column("installation_method", sa.Text(), nullable=True, comment="설치방법"),
        sa.Column(
            "jurisdiction_health_center",
            sa.Text(),
            nullable=True,
            comment="관할보건소: free text; may lie elsewhere than the device",
        ),
        sa.Column("manager", sa.Text(), nullable=True, comment="관리책임자: person in charge; personal data"),
        sa.Column("institution_contact", sa.Text(), nullable=True, comment="기관_연락처: telephone; personal data"),
        sa.Column("establisher", sa.Text(), nullable=True, comment="설립자; may be personal data"),
        sa.Column("purchase_institution", sa.Text(), nullable=True, comment="구입기관"),
        sa.Column("sido", sa.Text(), nullable=True, comment="시도, as spelled by the source"),
        sa.Column("gugun", sa.Text(), nullable=True, comment="구군, as spelled by the source; empty for 세종"),
        sa.Column(
            "longitude", sa.Numeric(precision=11, scale=8), nullable=True, comment="WGS 84 longitude, degrees east"
        ),
        sa.Column(
            "latitude", sa.Numeric(precision=10, scale=8), nullable=True, comment="WGS 84 latitude, degrees north"
        ),
        sa.Column("operation_status", sa.Text(), nullable=True, comment="운영현황"),
        sa.Column("display_allowed", sa.Text(), nullable=True, comment="표출허용여부"),
        sa.Column("external_display", sa.Text(), nullable=True, comment="외부표출여부"),
        sa.Column("external_non_display_reason", sa.Text(), nullable=True, comment="외부미표출사유"),
        sa.Column("government_support", sa.Text(), nullable=True, comment="정부지원여부"),
        sa.Column("battery_expiry_date", sa.Date(), nullable=True, comment="배터리_유효기간"),
        sa.Column("patch_available", sa.Text(), nullable=True, comment="패치_유_무: pads there or not"),
        sa.Column("patch_expiry_date", sa.Date(), nullable=True, comment="패치_유효기간: expiry of the pads"),
        sa.Column("last_inspection_date", sa.Date(), nullable=True, comment="최근점검일"),
        sa.Column("last_use_date", sa.Text(), nullable=True, comment="최근사용일, as sent: a number in the export"),
        sa.Column("replacement_date", sa.Date(), nullable=True, comment="교체_폐기일자"),
        sa.Column("category_1", sa.Text(), nullable=True, comment="분류1: 구비의무기관 or 구비의무기관 외"),
        sa.Column("category_2", sa.Text(), nullable=True, comment="분류2"),
        sa.Column("category_3", sa.Text(), nullable=True, comment="분류3"),
        sa.Column("registration_date", sa.Date(), nullable=True, comment="등록일자"),
        sa.Column("remarks", sa.Text(), nullable=True, comment="비고: free text; may hold personal data"),
        sa.Column("report_date", sa.Date(), nullable=True, comment="신고일자"),
        sa.Column("installation_location_address", sa.Text(), nullable=True, comment="설치장소_주소"),
        sa.Column("saeum_deletion_status", sa.Text(), nullable=True, comment="새올_삭제여부"),
        sa.Column("access_control", sa.Text(), nullable=True, comment="Opening hours, summarised"),
        sa.Column("postal_code", sa.Text(), nullable=True, comment="Five-digit post code"),
        sa.Column(
            "source_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the last change, as given by the source",
        ),
        sa.Column("region_code", sa.Text(), nullable=True, comment="Code of the sigungu valid on the day of the sync"),
        sa.Column("sido_code", sa.Text(), nullable=True, comment="Code of the sido valid on the day of the sync"),
        sa.Column(
            "region_status",
            sa.Text(),
            nullable=True,
            comment="current, legacy, ambiguous, missing: how the names were resolved",
        ),
        sa.Column("health_center_key", sa.Text(), nullable=True, comment="Normalised name in aed.health_centers"),
        sa.Column("data_status", sa.Text(), nullable=False, comment="active, missing, deletion_suspected, deleted"),
        sa.Column("first_seen_date", sa.Date(), nullable=False, comment="Day of the first publication"),
        sa.Column(
            "last_seen_date",
            sa.Date(),
            nullable=True,
            comment="Day last seen, for a device that is missing; NULL while active",
        ),
        sa.Column(
            "consecutive_missing_days", sa.Integer(), nullable=False, comment="Days absent from complete full syncs"
        ),
        sa.Column(
            "deletion_suspected_date", sa.Date(), nullable=True, comment="Day on which the absence became suspicious"
        ),
        sa.Column(
            "row_hash", sa.LargeBinary(), nullable=False, comment="BLAKE2b-128 of the source record and the rules"
        ),
        sa.Column(
            "sync_batch_id", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that wrote this version"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="First publication"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="Publication of this version"),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed(
                "to_tsvector('simple', coalesce(installation_institution, '') || ' ' || coalesce(installation_address, ''))",
                persisted=True,
            ),
            nullable=True,
            comment="Words of institution and address",
        ),
        sa.CheckConstraint(
            "data_status IN ('active', 'missing', 'deletion_suspected', 'deleted')",
            name=op.f("aed_data_data_status_check"),
        ),
        sa.CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name=op.f("aed_data_coordinates_check")),
        sa.CheckConstraint("consecutive_missing_days >= 0", name=op.f("aed_data_missing_days_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("aed_data_pkey")),
        sa.UniqueConstraint("source", "source_id", name=op.f("aed_data_source_source_id_key")),
        schema="aed",
        comment="The registry as published: one row per device and source",
    )
    op.create_index(
        op.f("aed_data_jurisdiction_health_center_idx"),
        "aed_data",
        ["jurisdiction_health_center"],
        unique=False,
        schema="aed",
    )
    op.create_index(
        op.f("aed_data_source_data_status_idx"),
        "aed_data",
        ["source", "data_status"],
        unique=False,
        schema="aed",
        postgresql_where=sa.text("data_status <> 'active'"),
    )
    op.create_index(
        op.f("aed_data_source_equipment_serial_idx"),
        "aed_data",
        ["source", "equipment_serial"],
        unique=True,
        schema="aed",
    )
    op.create_index(
        op.f("aed_data_source_sido_code_region_code_data_status_idx"),
        "aed_data",
        ["source", "sido_code", "region_code", "data_status"],
        unique=False,
        schema="aed",
    )
    op.create_index(op.f("aed_data_sync_batch_id_idx"), "aed_data", ["sync_batch_id"], unique=False, schema="aed")
    op.create_index(op.f("aed_data_updated_at_idx"), "aed_data", ["updated_at"], unique=False, schema="aed")
    op.create_table(
        "aed_history",
        sa.Column(
            "history_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of supersession"
        ),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that superseded this image"),
        sa.Column(
            "change",
            sa.Text(),
            nullable=False,
            comment="updated, renamed, missing, reappeared, deleted, rolled_back, removed, reinserted",
        ),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False, comment="Image was published from here"),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False, comment="... until here, exclusive"),
        sa.Column("id", sa.BigInteger(), nullable=False, comment="Row number of the image"),
        sa.Column("source", sa.Text(), nullable=False, comment="Registry source"),
        sa.Column("source_id", sa.Text(), nullable=False, comment="Stable key in that source"),
        sa.Column(
            "equipment_serial",
            sa.Text(),
            nullable=True,
            comment="장비연번: the registry's serial, form 12-0000397; NULL for the open API",
        ),
        sa.Column("management_number", sa.Text(), nullable=True, comment="관리번호"),
        sa.Column("model_name", sa.Text(), nullable=True, comment="모델명: model"),
        sa.Column("manufacturer", sa.Text(), nullable=True, comment="제조사: maker, as spelled by the source"),
        sa.Column("manufacturing_country", sa.Text(), nullable=True, comment="제조국"),
        sa.Column("manufacturing_date", sa.Date(), nullable=True, comment="제조일자"),
        sa.Column("serial_number", sa.Text(), nullable=True, comment="제조번호: the maker's number; not unique"),
        sa.Column("installation_date", sa.Date(), nullable=True, comment="설치일자"),
        sa.Column("first_installation_date", sa.Date(), nullable=True, comment="최초설치일"),
        sa.Column(
            "installation_institution",
            sa.Text(),
            nullable=True,
            comment="설치기관명: institution where the device stands",
        ),
        sa.Column("installation_address", sa.Text(), nullable=True, comment="설치기관_주소"),
        sa.Column(
            "installation_position", sa.Text(), nullable=True, comment="설치위치: place inside the building, or vehicle"
        ),
        sa.Column("installation_method", sa.Text(), nullable=True, comment="설치방법"),
        sa.Column(
            "jurisdiction_health_center",
            sa.Text(),
            nullable=True,
            comment="관할보건소: free text; may lie elsewhere than the device",
        ),
        sa.Column("manager", sa.Text(), nullable=True, comment="관리책임자: person in charge; personal data"),
        sa.Column("institution_contact", sa.Text(), nullable=True, comment="기관_연락처: telephone; personal data"),
        sa.Column("establisher", sa.Text(), nullable=True, comment="설립자; may be personal data"),
        sa.Column("purchase_institution", sa.Text(), nullable=True, comment="구입기관"),
        sa.Column("sido", sa.Text(), nullable=True, comment="시도, as spelled by the source"),
        sa.Column("gugun", sa.Text(), nullable=True, comment="구군, as spelled by the source; empty for 세종"),
        sa.Column(
            "longitude", sa.Numeric(precision=11, scale=8), nullable=True, comment="WGS 84 longitude, degrees east"
        ),
        sa.Column(
            "latitude", sa.Numeric(precision=10, scale=8), nullable=True, comment="WGS 84 latitude, degrees north"
        ),
        sa.Column("operation_status", sa.Text(), nullable=True, comment="운영현황"),
        sa.Column("display_allowed", sa.Text(), nullable=True, comment="표출허용여부"),
        sa.Column("external_display", sa.Text(), nullable=True, comment="외부표출여부"),
        sa.Column("external_non_display_reason", sa.Text(), nullable=True, comment="외부미표출사유"),
        sa.Column("government_support", sa.Text(), nullable=True, comment="정부지원여부"),
        sa.Column("battery_expiry_date", sa.Date(), nullable=True, comment="배터리_유효기간"),
        sa.Column("patch_available", sa.Text(), nullable=True, comment="패치_유_무: pads there or not"),
        sa.Column("patch_expiry_date", sa.Date(), nullable=True, comment="패치_유효기간: expiry of the pads"),
        sa.Column("last_inspection_date", sa.Date(), nullable=True, comment="최근점검일"),
        sa.Column("last_use_date", sa.Text(), nullable=True, comment="최근사용일, as sent: a number in the export"),
        sa.Column("replacement_date", sa.Date(), nullable=True, comment="교체_폐기일자"),
        sa.Column("category_1", sa.Text(), nullable=True, comment="분류1: 구비의무기관 or 구비의무기관 외"),
        sa.Column("category_2", sa.Text(), nullable=True, comment="분류2"),
        sa.Column("category_3", sa.Text(), nullable=True, comment="분류3"),
        sa.Column("registration_date", sa.Date(), nullable=True, comment="등록일자"),
        sa.Column("remarks", sa.Text(), nullable=True, comment="비고: free text; may hold personal data"),
        sa.Column("report_date", sa.Date(), nullable=True, comment="신고일자"),
        sa.Column("installation_location_address", sa.Text(), nullable=True, comment="설치장소_주소"),
        sa.Column("saeum_deletion_status", sa.Text(), nullable=True, comment="새올_삭제여부"),
        sa.Column("access_control", sa.Text(), nullable=True, comment="Opening hours, summarised"),
        sa.Column("postal_code", sa.Text(), nullable=True, comment="Five-digit post code"),
        sa.Column(
            "source_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the last change, as given by the source",
        ),
        sa.Column("region_code", sa.Text(), nullable=True, comment="Code of the sigungu valid on the day of the sync"),
        sa.Column("sido_code", sa.Text(), nullable=True, comment="Code of the sido valid on the day of the sync"),
        sa.Column(
            "region_status",
            sa.Text(),
            nullable=True,
            comment="current, legacy, ambiguous, missing: how the names were resolved",
        ),
        sa.Column("health_center_key", sa.Text(), nullable=True, comment="Normalised name in aed.health_centers"),
        sa.Column("data_status", sa.Text(), nullable=False, comment="active, missing, deletion_suspected, deleted"),
        sa.Column("first_seen_date", sa.Date(), nullable=False, comment="Day of the first publication"),
        sa.Column(
            "last_seen_date",
            sa.Date(),
            nullable=True,
            comment="Day last seen, for a device that is missing; NULL while active",
        ),
        sa.Column(
            "consecutive_missing_days", sa.Integer(), nullable=False, comment="Days absent from complete full syncs"
        ),
        sa.Column(
            "deletion_suspected_date", sa.Date(), nullable=True, comment="Day on which the absence became suspicious"
        ),
        sa.Column(
            "row_hash", sa.LargeBinary(), nullable=False, comment="BLAKE2b-128 of the source record and the rules"
        ),
        sa.Column(
            "sync_batch_id", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that wrote this version"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="First publication"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="Publication of this version"),
        sa.CheckConstraint(
            "change IN ('updated', 'renamed', 'missing', 'reappeared', 'deleted', 'rolled_back', 'removed', 'reinserted')",
            name=op.f("aed_history_change_check"),
        ),
        sa.PrimaryKeyConstraint("history_id", name=op.f("aed_history_pkey")),
        sa.UniqueConstraint("token", "source", "source_id", name=op.f("aed_history_token_source_source_id_key")),
        schema="aed",
        comment="Before-images of published rows with the period in which they were valid",
    )
    op.create_index(
        op.f("aed_history_source_source_id_valid_from_idx"),
        "aed_history",
        ["source", "source_id", "valid_from"],
        unique=False,
        schema="aed",
    )
    op.create_table(
        "health_centers",
        sa.Column("key", sa.Text(), nullable=False, comment="Normalised name"),
        sa.Column("name", sa.Text(), nullable=False, comment="Most frequent spelling"),
        sa.Column("spellings", sa.Integer(), nullable=False, comment="Number of spellings seen"),
        sa.Column("devices", sa.Integer(), nullable=False, comment="Devices in its jurisdiction"),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last refresh",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("health_centers_pkey")),
        schema="aed",
        comment="Health centres named by the registry, spellings brought together",
    )
    op.create_table(
        "regions",
        sa.Column("code", sa.Text(), nullable=False, comment="Two digits for a sido, five for a sigungu"),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="First day"),
        sa.Column("valid_to", sa.Date(), nullable=True, comment="First day after; NULL while valid"),
        sa.Column("level", sa.Text(), nullable=False, comment="sido or gugun"),
        sa.Column("name", sa.Text(), nullable=False, comment="Official name in the period"),
        sa.Column("short", sa.Text(), nullable=True, comment="Short name of a sido"),
        sa.Column("parent", sa.Text(), nullable=True, comment="Code of the sido"),
        sa.Column(
            "successors",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Codes that follow; several after a split",
        ),
        sa.Column("event", sa.Text(), nullable=True, comment="What changed at the end of the period"),
        sa.PrimaryKeyConstraint("code", "valid_from", name=op.f("regions_pkey")),
        schema="aed",
        comment="Sido and sigungu with their periods of validity",
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of arrival"),
        sa.Column("source", sa.Text(), nullable=False, comment="Registry source"),
        sa.Column(
            "source_id", sa.Text(), nullable=True, comment="Key of the record; NULL when the key itself is wrong"
        ),
        sa.Column("rule", sa.Text(), nullable=False, comment="Rule that rejected the record"),
        sa.Column("field", sa.Text(), nullable=True, comment="Field that the rule names"),
        sa.Column("reason", sa.Text(), nullable=False, comment="What was expected, without personal data"),
        sa.Column("code", sa.SmallInteger(), server_default="422", nullable=False, comment="HTTP-style code"),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Record as received; may hold personal data",
        ),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False, comment="Digest of the record, as row_hash"),
        sa.Column("copy", sa.SmallInteger(), nullable=False, comment="0, or n for the n-th equal record of one batch"),
        sa.Column("fetch_id", sa.Text(), nullable=False, comment="Page set that brought it last"),
        sa.Column("page", sa.Integer(), nullable=False, comment="Page in that set"),
        sa.Column("line", sa.Integer(), nullable=False, comment="Position on that page, from 0"),
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
        sa.Column(
            "released_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time at which the device was published after all",
        ),
        sa.ForeignKeyConstraint(["first_token"], ["ops.sync_runs.token"], name=op.f("quarantine_first_token_fkey")),
        sa.ForeignKeyConstraint(["last_token"], ["ops.sync_runs.token"], name=op.f("quarantine_last_token_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quarantine_pkey")),
        sa.UniqueConstraint(
            "source", "payload_hash", "rule", "copy", name=op.f("quarantine_source_payload_hash_rule_copy_key")
        ),
        schema="aed",
        comment="Records that wait for a fix, with their reason",
    )
    op.create_index(op.f("quarantine_last_token_idx"), "quarantine", ["last_token"], unique=False, schema="aed")


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("quarantine_last_token_idx"), table_name="quarantine", schema="aed")
    op.drop_table("quarantine", schema="aed")
    op.drop_table("regions", schema="aed")
    op.drop_table("health_centers", schema="aed")
    op.drop_index(op.f("aed_history_source_source_id_valid_from_idx"), table_name="aed_history", schema="aed")
    op.drop_table("aed_history", schema="aed")
    op.drop_index(op.f("aed_data_updated_at_idx"), table_name="aed_data", schema="aed")
    op.drop_index(op.f("aed_data_sync_batch_id_idx"), table_name="aed_data", schema="aed")
    op.drop_index(op.f("aed_data_source_sido_code_region_code_data_status_idx"), table_name="aed_data", schema="aed")
    op.drop_index(op.f("aed_data_source_equipment_serial_idx"), table_name="aed_data", schema="aed")
    op.drop_index(
        op.f("aed_data_source_data_status_idx"),
        table_name="aed_data",
        schema="aed",
        postgresql_where=sa.text("data_status <> 'active'"),
    )
    op.drop_index(op.f("aed_data_jurisdiction_health_center_idx"), table_name="aed_data", schema="aed")
    op.drop_table("aed_data", schema="aed")
