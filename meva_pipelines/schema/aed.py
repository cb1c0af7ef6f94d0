"""Tables of the schema `aed`: the registry of AED devices, its history, its references and its quarantine.

Column comments are the meanings shown in the Dagster UI. Personal data are marked in `PERSONAL_COLUMNS`.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.types import TypeEngine

from meva_pipelines.schema.base import METADATA

PERSONAL_COLUMNS = ("manager", "institution_contact", "establisher", "remarks")
"""Columns that hold, or may hold, names and telephone numbers: never in logs, metadata or alerts."""

SOURCED: tuple[tuple[str, TypeEngine[Any], str], ...] = (
    ("equipment_serial", Text(), "장비연번: the registry's serial, form 12-0000397; NULL for the open API"),
    ("management_number", Text(), "관리번호"),
    ("model_name", Text(), "모델명: model"),
    ("manufacturer", Text(), "제조사: maker, as spelled by the source"),
    ("manufacturing_country", Text(), "제조국"),
    ("manufacturing_date", Date(), "제조일자"),
    ("serial_number", Text(), "제조번호: the maker's number; not unique"),
    ("installation_date", Date(), "설치일자"),
    ("first_installation_date", Date(), "최초설치일"),
    ("installation_institution", Text(), "설치기관명: institution where the device stands"),
    ("installation_address", Text(), "설치기관_주소"),
    ("installation_position", Text(), "설치위치: place inside the building, or vehicle"),
    ("installation_method", Text(), "설치방법"),
    ("jurisdiction_health_center", Text(), "관할보건소: free text; may lie elsewhere than the device"),
    ("manager", Text(), "관리책임자: person in charge; personal data"),
    ("institution_contact", Text(), "기관_연락처: telephone; personal data"),
    ("establisher", Text(), "설립자; may be personal data"),
    ("purchase_institution", Text(), "구입기관"),
    ("sido", Text(), "시도, as spelled by the source"),
    ("gugun", Text(), "구군, as spelled by the source; empty for 세종"),
    ("longitude", Numeric(11, 8), "WGS 84 longitude, degrees east"),
    ("latitude", Numeric(10, 8), "WGS 84 latitude, degrees north"),
    ("operation_status", Text(), "운영현황"),
    ("display_allowed", Text(), "표출허용여부"),
    ("external_display", Text(), "외부표출여부"),
    ("external_non_display_reason", Text(), "외부미표출사유"),
    ("government_support", Text(), "정부지원여부"),
    ("battery_expiry_date", Date(), "배터리_유효기간"),
    ("patch_available", Text(), "패치_유_무: pads there or not"),
    ("patch_expiry_date", Date(), "패치_유효기간: expiry of the pads"),
    ("last_inspection_date", Date(), "최근점검일"),
    ("last_use_date", Text(), "최근사용일, as sent: a number in the export"),
    ("replacement_date", Date(), "교체_폐기일자"),
    ("category_1", Text(), "분류1: 구비의무기관 or 구비의무기관 외"),
    ("category_2", Text(), "분류2"),
    ("category_3", Text(), "분류3"),
    ("registration_date", Date(), "등록일자"),
    ("remarks", Text(), "비고: free text; may hold personal data"),
    ("report_date", Date(), "신고일자"),
    ("installation_location_address", Text(), "설치장소_주소"),
    ("saeum_deletion_status", Text(), "새올_삭제여부"),
    ("access_control", Text(), "Opening hours, summarised"),
    ("postal_code", Text(), "Five-digit post code"),
    ("source_modified_at", DateTime(timezone=True), "Time of the last change, as given by the source"),
)
"""Columns that a source may fill: name, type, meaning (facts: the table `aed_data` and its export header)."""


def _sourced() -> list[Column[Any]]:
    return [Column(name, kind, comment=meaning) for name, kind, meaning in SOURCED]


def _life_cycle() -> list[Column[Any]]:
    return [
        Column("region_code", Text, comment="Code of the sigungu valid on the day of the sync"),
        Column("sido_code", Text, comment="Code of the sido valid on the day of the sync"),
        Column("region_status", Text, comment="current, legacy, ambiguous, missing: how the names were resolved"),
        Column("health_center_key", Text, comment="Normalised name in aed.health_centers"),
        Column("data_status", Text, nullable=False, comment="active, missing, deletion_suspected, deleted"),
        Column("first_seen_date", Date, nullable=False, comment="Day of the first publication"),
        Column("last_seen_date", Date, comment="Day last seen, for a device that is missing; NULL while active"),
        Column(
            "consecutive_missing_days",
            Integer,
            nullable=False,
            comment="Days absent from complete full syncs",
        ),
        Column("deletion_suspected_date", Date, comment="Day on which the absence became suspicious"),
        Column("row_hash", LargeBinary, nullable=False, comment="BLAKE2b-128 of the source record and the rules"),
        Column("sync_batch_id", BigInteger, nullable=False, comment="ops.sync_runs.token that wrote this version"),
        Column("created_at", DateTime(timezone=True), nullable=False, comment="First publication"),
        Column("updated_at", DateTime(timezone=True), nullable=False, comment="Publication of this version"),
    ]


AED_DATA = Table(
    "aed_data",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number; never a reference"),
    Column("source", Text, nullable=False, comment="Registry source: data_go_kr, egen, export"),
    Column("source_id", Text, nullable=False, comment="Stable key in that source (serialSeq or equipment_serial)"),
    *_sourced(),
    *_life_cycle(),
    Column(
        "search_vector",
        TSVECTOR,
        Computed(
            "to_tsvector('simple', coalesce(installation_institution, '') || ' ' "
            "|| coalesce(installation_address, ''))",
            persisted=True,
        ),
        comment="Words of institution and address",
    ),
    UniqueConstraint("source", "source_id"),
    CheckConstraint("data_status IN ('active', 'missing', 'deletion_suspected', 'deleted')", name="data_status"),
    CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name="coordinates"),
    CheckConstraint("consecutive_missing_days >= 0", name="missing_days"),
    Index(None, "source", "equipment_serial", unique=True),
    Index(None, "updated_at"),
    Index(None, "jurisdiction_health_center"),
    Index(None, "sync_batch_id"),
    Index(None, "source", "sido_code", "region_code", "data_status"),
    Index(None, "source", "data_status", postgresql_where=text("data_status <> 'active'")),
    schema="aed",
    comment="The registry as published: one row per device and source",
)

SOURCED_COLUMNS = tuple(name for name, _, _ in SOURCED)
IMAGE_COLUMNS = tuple(column.name for column in AED_DATA.columns if column.name != "search_vector")
"""Every stored column of a published row, in table order: what a before-image holds."""

AED_HISTORY = Table(
    "aed_history",
    METADATA,
    Column("history_id", BigInteger, Identity(always=True), primary_key=True, comment="Order of supersession"),
    Column("token", BigInteger, nullable=False, comment="ops.sync_runs.token that superseded this image"),
    Column(
        "change",
        Text,
        nullable=False,
        comment="updated, renamed, missing, reappeared, deleted, rolled_back, removed, reinserted",
    ),
    Column("valid_from", DateTime(timezone=True), nullable=False, comment="Image was published from here"),
    Column("valid_to", DateTime(timezone=True), nullable=False, comment="... until here, exclusive"),
    Column("id", BigInteger, nullable=False, comment="Row number of the image"),
    Column("source", Text, nullable=False, comment="Registry source"),
    Column("source_id", Text, nullable=False, comment="Stable key in that source"),
    *_sourced(),
    *_life_cycle(),
    UniqueConstraint("token", "source", "source_id"),
    Index(None, "source", "source_id", "valid_from"),
    Index(None, "valid_to"),
    CheckConstraint(
        "change IN ('updated', 'renamed', 'missing', 'reappeared', 'deleted', 'rolled_back', 'removed', 'reinserted')",
        name="change",
    ),
    schema="aed",
    comment="Before-images of published rows with the period in which they were valid",
)

REGIONS = Table(
    "regions",
    METADATA,
    Column("code", Text, primary_key=True, comment="Two digits for a sido, five for a sigungu"),
    Column("valid_from", Date, primary_key=True, comment="First day"),
    Column("valid_to", Date, comment="First day after; NULL while valid"),
    Column("level", Text, nullable=False, comment="sido or gugun"),
    Column("name", Text, nullable=False, comment="Official name in the period"),
    Column("short", Text, comment="Short name of a sido"),
    Column("parent", Text, comment="Code of the sido"),
    Column("successors", ARRAY(Text), nullable=False, comment="Codes that follow; several after a split"),
    Column("event", Text, comment="What changed at the end of the period"),
    schema="aed",
    comment="Sido and sigungu with their periods of validity",
)

HEALTH_CENTERS = Table(
    "health_centers",
    METADATA,
    Column("key", Text, primary_key=True, comment="Normalised name"),
    Column("name", Text, nullable=False, comment="Most frequent spelling"),
    Column("spellings", Integer, nullable=False, comment="Number of spellings seen"),
    Column("devices", Integer, nullable=False, comment="Devices in its jurisdiction"),
    Column(
        "updated_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="Last refresh",
    ),
    schema="aed",
    comment="Health centres named by the registry, spellings brought together",
)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival"),
    Column("source", Text, nullable=False, comment="Registry source"),
    Column("source_id", Text, comment="Key of the record; NULL when the key itself is wrong"),
    Column("rule", Text, nullable=False, comment="Rule that rejected the record"),
    Column("field", Text, comment="Field that the rule names"),
    Column("reason", Text, nullable=False, comment="What was expected, without personal data"),
    Column("code", SmallInteger, nullable=False, server_default="422", comment="HTTP-style code"),
    Column("payload", JSONB, nullable=False, comment="Record as received; may hold personal data"),
    Column("payload_hash", LargeBinary, nullable=False, comment="Digest of the record, as row_hash"),
    Column("copy", SmallInteger, nullable=False, comment="0, or n for the n-th equal record of one batch"),
    Column("fetch_id", Text, nullable=False, comment="Page set that brought it last"),
    Column("page", Integer, nullable=False, comment="Page in that set"),
    Column("line", Integer, nullable=False, comment="Position on that page, from 0"),
    Column("first_token", BigInteger, ForeignKey("ops.sync_runs.token"), nullable=False, comment="First attempt"),
    Column("last_token", BigInteger, ForeignKey("ops.sync_runs.token"), nullable=False, comment="Last attempt"),
    Column("times_seen", Integer, nullable=False, server_default="1", comment="Attempts that brought it"),
    Column(
        "quarantined_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="First time",
    ),
    Column("released_at", DateTime(timezone=True), comment="Time at which the device was published after all"),
    UniqueConstraint("source", "payload_hash", "rule", "copy"),
    Index(None, "last_token"),
    schema="aed",
    comment="Records that wait for a fix, with their reason",
)
