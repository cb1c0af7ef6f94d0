"""Tables of the schema `mgg` that hold pressure curves: simulations, firings and their time series.

A result is immutable: another content of the same name makes a version beside it, and `is_current` tells which one
counts: the last by stated time, whatever the order of arrival. Series lie in quarters (UTC) of what makes them old, so
that ageing drops whole partitions; foreign keys over several columns see to it that a row lies in the quarter of its
parent. `mgg.ensure_partition` makes the quarters.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.mgg import created_at, row_id, updated_at

PERSONAL_TEST_COLUMNS = ("tester_id", "notes")
"""Columns of `mgg.test_results` that may name a person."""


def _order() -> Column[int]:
    return Column("work_order_id", BigInteger, ForeignKey("mgg.work_orders.id"), comment="Work order")


def _user(comment: str) -> Column[int]:
    return Column("user_id", BigInteger, ForeignKey("mgg.users.id"), nullable=False, comment=comment)


def _reference(name: str, table: str, comment: str) -> Column[int]:
    return Column(name, BigInteger, ForeignKey(f"mgg.{table}.id"), comment=comment)


def _amount(name: str, comment: str) -> Column[object]:
    return Column(name, Numeric(10, 4), comment=comment)


def _not_negative(*names: str) -> tuple[CheckConstraint, ...]:
    return tuple(CheckConstraint(f"{name} >= 0", name=name) for name in names)


def _versioned(what: str) -> tuple[Column[object], ...]:
    return (
        Column("name", String(100), nullable=False, comment=f"Name of the {what} where it was made"),
        Column(
            "version",
            Integer,
            nullable=False,
            comment="Rank among the results of that name by stated time, then by content_sha256",
        ),
        Column("is_current", Boolean, nullable=False, comment="Whether this version counts; exactly one of a name"),
        Column("content_sha256", String(64), nullable=False, comment="SHA-256 of what was taken in"),
        Column("token", BigInteger, ForeignKey("ops.sync_runs.token"), nullable=False, comment="Attempt that wrote it"),
    )


def _versions() -> tuple[UniqueConstraint, ...]:
    return (
        UniqueConstraint("name", "content_sha256"),
        UniqueConstraint("name", "version", deferrable=True, initially="DEFERRED"),
    )


FORWARD_SIMULATIONS = Table(
    "forward_simulations",
    METADATA,
    row_id(),
    _order(),
    _user("User who simulated"),
    _amount("shell_height", "Input: height of the shell, mm"),
    Column("current_condition", Numeric(10, 4), comment="Input: firing current, A"),
    _reference("igniter_type_id", "igniter_types", "Input: igniter"),
    _reference("nc_type_id", "nc_types", "Input: nitrocellulose"),
    _amount("nc_amount", "Input: amount of nitrocellulose, mg"),
    _reference("gp_type_id", "gp_types", "Input: gas-generating propellant"),
    _amount("gp_amount", "Input: amount of gas-generating propellant, mg"),
    Column("model_version", String(50), comment="Version of the model, by name; old results name unknown ones"),
    Column("num_models", Integer, comment="Time-point models used"),
    Column("r_squared", Numeric(10, 8), comment="R² of the model"),
    Column("peak_pressure", Numeric(10, 4), comment="Greatest pressure, MPa"),
    Column("peak_time", Numeric(10, 4), comment="Time of the greatest pressure, ms"),
    Column("num_data_points", Integer, comment="Points of the series"),
    Column("simulation_type", String(20), nullable=False, server_default="forward", comment="forward or reverse"),
    Column("status", String(20), nullable=False, server_default="completed", comment="running, completed or failed"),
    Column("execution_time", Numeric(10, 4), comment="Duration of the computation, s"),
    Column("error_message", Text, comment="Why it failed"),
    Column("curve_sha256", String(64), comment="Fingerprint of the series as stored"),
    *_versioned("simulation"),
    created_at("Simulated; tells how old the series is"),
    *_versions(),
    UniqueConstraint("id", "created_at"),
    *_not_negative("shell_height", "nc_amount", "gp_amount"),
    CheckConstraint("r_squared <= 1", name="r_squared"),
    CheckConstraint("simulation_type IN ('forward', 'reverse')", name="simulation_type"),
    CheckConstraint("status IN ('running', 'completed', 'failed')", name="status"),
    CheckConstraint(
        "status <> 'completed' OR num_nulls(peak_pressure, peak_time, num_data_points) = 0",
        name="completed_has_figures",
    ),
    CheckConstraint("status <> 'failed' OR error_message IS NOT NULL", name="failed_says_why"),
    Index("forward_simulations_current_key", "name", unique=True, postgresql_where=text("is_current")),
    Index(None, "user_id"),
    Index(None, "work_order_id"),
    Index(None, text("created_at DESC")),
    Index(None, "nc_amount"),
    Index(None, "model_version"),
    schema="mgg",
    comment="Forward simulations (正向仿真): from amounts to a pressure curve",
)

SIMULATION_TIME_SERIES = Table(
    "simulation_time_series",
    METADATA,
    Column("id", BigInteger, Identity(always=True, cache=1_000), nullable=False, comment="Row number; no reference"),
    Column("simulation_id", BigInteger, primary_key=True, comment="Simulation"),
    Column("sequence_number", Integer, primary_key=True, comment="Position in the series, from 0"),
    Column("time_point", Numeric(10, 6), nullable=False, comment="Time since the start, ms"),
    Column("pressure", Numeric(10, 6), nullable=False, comment="Pressure, MPa; slightly negative near zero"),
    Column("created_at", DateTime(timezone=True), primary_key=True, comment="That of the simulation: partition key"),
    ForeignKeyConstraint(
        ["simulation_id", "created_at"],
        ["mgg.forward_simulations.id", "mgg.forward_simulations.created_at"],
        ondelete="CASCADE",
    ),
    schema="mgg",
    comment="Pressure curves of simulations, in quarters of their simulation's age",
    postgresql_partition_by="RANGE (created_at)",
)

REVERSE_SIMULATIONS = Table(
    "reverse_simulations",
    METADATA,
    row_id(),
    _order(),
    _user("User who simulated"),
    _amount("shell_height", "Input: height of the shell, mm"),
    Column("current_condition", Numeric(10, 4), comment="Input: firing current, A"),
    _reference("igniter_type_id", "igniter_types", "Input: igniter"),
    _reference("test_device_id", "test_devices", "Device that recorded the curve"),
    Column("pressure_data_file", String(255), comment="File of the curve that was given"),
    _reference("predicted_nc_type_id", "nc_types", "Result: nitrocellulose"),
    _amount("predicted_nc_amount", "Result: amount of nitrocellulose, mg"),
    _reference("predicted_gp_type_id", "gp_types", "Result: gas-generating propellant"),
    _amount("predicted_gp_amount", "Result: amount of gas-generating propellant, mg"),
    Column("confidence_score", Numeric(5, 2), comment="Confidence in the result, %"),
    Column("model_version", String(50), comment="Version of the model, by name"),
    Column("status", String(20), nullable=False, server_default="completed", comment="running, completed or failed"),
    Column("execution_time", Numeric(10, 4), comment="Duration of the computation, s"),
    Column("error_message", Text, comment="Why it failed"),
    *_versioned("simulation"),
    created_at("Simulated"),
    *_versions(),
    *_not_negative("shell_height", "predicted_nc_amount", "predicted_gp_amount"),
    CheckConstraint("confidence_score BETWEEN 0 AND 100", name="confidence_score"),
    CheckConstraint("status IN ('running', 'completed', 'failed')", name="status"),
    CheckConstraint("status <> 'failed' OR error_message IS NOT NULL", name="failed_says_why"),
    Index("reverse_simulations_current_key", "name", unique=True, postgresql_where=text("is_current")),
    Index(None, "user_id"),
    Index(None, "work_order_id"),
    Index(None, text("created_at DESC")),
    schema="mgg",
    comment="Reverse simulations (逆向仿真): from a pressure curve to amounts",
)

TEST_RESULTS = Table(
    "test_results",
    METADATA,
    row_id(),
    _order(),
    _user("User who handed the result in"),
    Column("tester_id", String(50), comment="Employee number of who fired; personal data"),
    _reference("test_device_id", "test_devices", "Device that recorded"),
    Column("test_date", Date, nullable=False, comment="Day of the firing; tells how old the series is"),
    Column("notes", Text, comment="Free text; may hold personal data"),
    Column("status", String(20), nullable=False, server_default="submitted", comment="submitted, validated, archived"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, comment="Stated time of this version of the record"),
    *_versioned("firing"),
    created_at("Taken in"),
    updated_at(),
    *_versions(),
    UniqueConstraint("id", "test_date"),
    CheckConstraint("status IN ('submitted', 'validated', 'archived')", name="status"),
    Index("test_results_current_key", "name", unique=True, postgresql_where=text("is_current")),
    Index(None, "work_order_id"),
    Index(None, "user_id"),
    Index(None, text("test_date DESC")),
    Index(None, "test_device_id"),
    schema="mgg",
    comment="Firings (实验结果): what was measured",
)

TEST_RESULT_FILES = Table(
    "test_result_files",
    METADATA,
    row_id(),
    Column("test_result_id", BigInteger, nullable=False, comment="Firing"),
    Column("test_date", Date, nullable=False, comment="That of the firing"),
    Column("position", SmallInteger, nullable=False, comment="Place among the files of the firing, from 0"),
    Column("file_name", String(255), nullable=False, comment="Name of the file as it came"),
    Column("file_path", String(500), nullable=False, comment="Key of the file in the object store"),
    Column("file_size", BigInteger, comment="Size of the file, bytes"),
    Column("file_type", String(50), comment="What the file is"),
    Column("num_data_points", Integer, comment="Points of the series"),
    Column("peak_pressure", Numeric(10, 4), comment="Greatest pressure, MPa"),
    Column("peak_time", Numeric(10, 4), comment="Time of the greatest pressure, ms"),
    Column("content_sha256", String(64), comment="SHA-256 of the file"),
    Column("curve_sha256", String(64), comment="Fingerprint of the series as stored"),
    Column("uploaded_at", DateTime(timezone=True), nullable=False, server_default=text("now()"), comment="Taken in"),
    UniqueConstraint("test_result_id", "position"),
    UniqueConstraint("id", "test_result_id", "test_date"),
    ForeignKeyConstraint(
        ["test_result_id", "test_date"],
        ["mgg.test_results.id", "mgg.test_results.test_date"],
        ondelete="CASCADE",
    ),
    schema="mgg",
    comment="Files of firings, one curve each",
)

TEST_TIME_SERIES = Table(
    "test_time_series",
    METADATA,
    Column("id", BigInteger, Identity(always=True, cache=1_000), nullable=False, comment="Row number; no reference"),
    Column("test_result_id", BigInteger, primary_key=True, comment="Firing"),
    Column("file_id", BigInteger, primary_key=True, comment="File that the row comes from"),
    Column("sequence_number", Integer, primary_key=True, comment="Position in the series, from 0"),
    Column("time_point", Numeric(10, 6), nullable=False, comment="Time since the trigger, ms"),
    Column("pressure", Numeric(10, 6), nullable=False, comment="Pressure, MPa; slightly negative near zero"),
    Column("test_date", Date, primary_key=True, comment="That of the firing: partition key"),
    created_at("Taken in"),
    ForeignKeyConstraint(
        ["file_id", "test_result_id", "test_date"],
        [
            "mgg.test_result_files.id",
            "mgg.test_result_files.test_result_id",
            "mgg.test_result_files.test_date",
        ],
        ondelete="CASCADE",
    ),
    schema="mgg",
    comment="Pressure curves of firings, in quarters of their firing's day",
    postgresql_partition_by="RANGE (test_date)",
)
