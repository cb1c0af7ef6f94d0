"""Tables of the schema `mgg` that the others refer to: people, catalogues, work orders, model versions, retention.

Curves are in `mgg_curves`, what is derived from them or recorded about them in `mgg_records`. Seed 004 names tables
and columns and states no unit for some of them; the unit written here is the one that this project takes them in.
Personal data are marked in `PERSONAL_USER_COLUMNS`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.schema import SchemaItem

from meva_pipelines.schema.base import METADATA

PERSONAL_USER_COLUMNS = ("username", "email", "password_hash", "full_name")
"""Columns of `mgg.users` that name a person or let one in: never in logs, metadata or alerts."""


def row_id() -> Column[int]:
    """Return the primary key of a table: 64 bits, because series overflow 32."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Row number")


def created_at(comment: str) -> Column[object]:
    """Return the column `created_at`, by default the moment of the transaction."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment=comment)


def updated_at() -> Column[object]:
    """Return the column `updated_at`, which a trigger keeps."""
    return Column(
        "updated_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="Last change, kept by a trigger",
    )


def is_active(comment: str) -> Column[bool]:
    """Return the column `is_active`, true unless said otherwise."""
    return Column("is_active", Boolean, nullable=False, server_default=text("true"), comment=comment)


def _catalogue(name: str, *properties: SchemaItem, comment: str) -> Table:
    return Table(
        name,
        METADATA,
        row_id(),
        Column("type_code", String(20), nullable=False, unique=True, comment="Code of the type"),
        Column("description", Text, comment="What it is"),
        *properties,
        is_active("Whether it is still used"),
        created_at("Entered"),
        schema="mgg",
        comment=comment,
    )


def _propellant(name: str, *, comment: str) -> Table:
    return _catalogue(
        name,
        Column("density", Numeric(10, 4), comment="Density, g/cm³"),
        Column("specific_heat", Numeric(10, 4), comment="Specific heat, J/(g·K)"),
        CheckConstraint("density > 0", name="density"),
        CheckConstraint("specific_heat > 0", name="specific_heat"),
        comment=comment,
    )


USERS = Table(
    "users",
    METADATA,
    row_id(),
    Column("username", String(50), nullable=False, unique=True, comment="Name to log in with; personal data"),
    Column("email", String(100), nullable=False, unique=True, comment="E-mail address; personal data"),
    Column(
        "password_hash",
        String(255),
        nullable=False,
        server_default="!",
        comment="Hash of the password; ! = nobody can log in",
    ),
    Column("full_name", String(100), comment="Name of the person; personal data"),
    Column("role", String(20), nullable=False, server_default="user", comment="admin, user or engineer"),
    Column("department", String(50), comment="Department"),
    is_active("Whether the account may be used"),
    created_at("Entered"),
    updated_at(),
    Column("last_login", DateTime(timezone=True), comment="Last login"),
    Column("created_by", BigInteger, ForeignKey("mgg.users.id"), comment="User who entered this one"),
    CheckConstraint("role IN ('admin', 'user', 'engineer')", name="role"),
    Index(None, "role"),
    Index("users_inactive_idx", "id", postgresql_where=text("NOT is_active")),
    schema="mgg",
    comment="People who order, simulate and test",
)

IGNITER_TYPES = _catalogue("igniter_types", comment="Types of igniters")
NC_TYPES = _propellant("nc_types", comment="Types of nitrocellulose propellant")
GP_TYPES = _propellant("gp_types", comment="Types of gas-generating propellant")

TEST_DEVICES = Table(
    "test_devices",
    METADATA,
    row_id(),
    Column("device_code", String(20), nullable=False, unique=True, comment="Code of the device"),
    Column("device_name", String(100), comment="Name of the device"),
    Column("location", String(100), comment="Where it stands"),
    Column("calibration_date", Date, comment="Day of the last calibration"),
    is_active("Whether it is in use"),
    created_at("Entered"),
    schema="mgg",
    comment="Devices that record firings",
)

WORK_ORDERS = Table(
    "work_orders",
    METADATA,
    row_id(),
    Column(
        "work_order_number",
        String(50),
        nullable=False,
        unique=True,
        comment="WO-YYYYMMDD-HHMMSS, with -NN behind it for orders of one second",
    ),
    Column("created_by", BigInteger, ForeignKey("mgg.users.id"), nullable=False, comment="User who ordered"),
    Column("status", String(20), nullable=False, server_default="pending", comment="State of the order"),
    Column("priority", String(20), nullable=False, server_default="normal", comment="low, normal, high or urgent"),
    Column("description", Text, comment="What is ordered"),
    created_at("Ordered"),
    updated_at(),
    Column("completed_at", DateTime(timezone=True), comment="Completed; NULL before"),
    CheckConstraint(
        "work_order_number ~ '^WO-[0-9]{8}-[0-9]{6}(-[0-9]{2})?$'",
        name="number",
    ),
    CheckConstraint("status IN ('pending', 'in_progress', 'completed', 'cancelled')", name="status"),
    CheckConstraint("priority IN ('low', 'normal', 'high', 'urgent')", name="priority"),
    CheckConstraint("completed_at IS NULL OR completed_at >= created_at", name="life"),
    Index(None, "created_by"),
    Index(None, "status"),
    Index(None, text("created_at DESC")),
    schema="mgg",
    comment="Work orders: what links simulations and firings",
)

MODEL_VERSIONS = Table(
    "model_versions",
    METADATA,
    row_id(),
    Column("version_name", String(50), nullable=False, unique=True, comment="Name of the version"),
    Column("model_type", String(20), nullable=False, comment="forward or reverse"),
    Column("file_path", String(500), nullable=False, comment="Where the model lies"),
    Column("num_models", Integer, comment="Time-point models"),
    Column("training_date", Date, comment="Day on which it was trained"),
    Column("r_squared", Numeric(10, 8), comment="R² of training"),
    Column("description", Text, comment="What is different"),
    Column(
        "is_active",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether it answers now; at most one version of a type",
    ),
    Column("activated_at", DateTime(timezone=True), comment="Last activation; its successor is measured against it"),
    created_at("Entered"),
    Column("created_by", BigInteger, ForeignKey("mgg.users.id"), comment="User who entered it"),
    CheckConstraint("model_type IN ('forward', 'reverse')", name="model_type"),
    CheckConstraint("num_models > 0", name="num_models"),
    CheckConstraint("r_squared <= 1", name="r_squared"),
    CheckConstraint("NOT is_active OR activated_at IS NOT NULL", name="activation"),
    Index("model_versions_active_key", "model_type", unique=True, postgresql_where=text("is_active")),
    schema="mgg",
    comment="Versions of the models; a trigger lets none become active that is worse than the last active one",
)

RETENTION_POLICIES = Table(
    "retention_policies",
    METADATA,
    row_id(),
    Column("table_name", String(50), nullable=False, unique=True, comment="Table that ages"),
    Column("retention_days", Integer, nullable=False, comment="Days that rows stay hot"),
    Column(
        "archive_enabled",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether older rows are written to cold files",
    ),
    Column(
        "delete_after_archive",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether rows leave the table once their cold copy is proved",
    ),
    Column("file_period", String(10), comment="month or quarter: what one cold file holds; NULL: no files"),
    Column("age_column", String(50), nullable=False, comment="Column that tells how old a row is"),
    Column("last_cleanup_at", DateTime(timezone=True), comment="Last time that rows really left"),
    created_at("Entered"),
    updated_at(),
    CheckConstraint("retention_days > 0", name="retention_days"),
    CheckConstraint("archive_enabled OR NOT delete_after_archive", name="delete_needs_archive"),
    CheckConstraint("archive_enabled = (file_period IS NOT NULL)", name="archive_needs_period"),
    CheckConstraint("file_period IN ('month', 'quarter')", name="file_period"),
    schema="mgg",
    comment="How long rows stay hot, and what becomes of them; nothing is deleted that is not archived",
)
