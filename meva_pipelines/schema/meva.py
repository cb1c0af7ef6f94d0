"""Tables of the schema `meva`: tensile tests, their points, what superseded what, and what they are compared with.

Column comments are the meanings shown in the Dagster UI; units stand in the names. Columns that may name a person are
in `PERSONAL_COLUMNS`. How the points are laid out on disk is `series`' business.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from meva_pipelines.schema.base import METADATA

PERSONAL_COLUMNS = ("operator", "remarks", "header")
"""Columns that hold, or may hold, the name of a person: never in logs, metadata or alerts."""

MATERIAL = Table(
    "material",
    METADATA,
    Column("material_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the material"),
    Column("name", Text, nullable=False, unique=True, comment="Name as files, sidecars and registers state it"),
    Column("type", Text, comment="metal, alloy, polymer, …"),
    Column("density_kg_m3", Double, comment="Density, kg/m³"),
    Column("supplier", Text, comment="Who delivered it"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="First seen"),
    CheckConstraint("density_kg_m3 > 0", name="density"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 500", name="name"),
    schema="meva",
    comment="Materials by name",
)

TESTING_MACHINE = Table(
    "testing_machine",
    METADATA,
    Column("machine_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the machine"),
    Column("name", Text, nullable=False, unique=True, comment="Name as files, sidecars and registers state it"),
    Column("maker", Text, comment="Who built it"),
    Column("capacity_n", Double, comment="Largest force, N"),
    Column("is_registered", Boolean, nullable=False, comment="In the register of machines; false: known from files"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="First seen"),
    CheckConstraint("capacity_n > 0", name="capacity"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 500", name="name"),
    schema="meva",
    comment="Testing machines by name",
)

MACHINE_CALIBRATION = Table(
    "machine_calibration",
    METADATA,
    Column(
        "machine_id", BigInteger, ForeignKey("meva.testing_machine.machine_id"), primary_key=True, comment="Machine"
    ),
    Column("calibrated_on", Date, primary_key=True, comment="Day of the calibration"),
    Column("valid_until", Date, nullable=False, comment="Last day on which it holds"),
    Column("class", Text, nullable=False, comment="Class of the force measurement to ISO 7500-1: 0.5, 1, 2 or 3"),
    Column("certificate", Text, comment="Number of the certificate"),
    Column("token", BigInteger, nullable=False, comment="ops.sync_runs.token that entered it last"),
    CheckConstraint("class IN ('0.5', '1', '2', '3')", name="class"),
    CheckConstraint("valid_until >= calibrated_on", name="period"),
    schema="meva",
    comment="Calibrations of testing machines with the period in which they hold",
)


def _content() -> list[Column[Any]]:
    """Return the columns of one content of a test: what a file says of it, and how it was understood."""
    return [
        Column("content_sha256", Text, nullable=False, comment="SHA-256 over specimen, header and curve, hexadecimal"),
        Column("curve_sha256", Text, nullable=False, comment="SHA-256 over the points, hexadecimal"),
        Column(
            "revised_at",
            DateTime(timezone=True),
            nullable=False,
            comment="Time of this content, by which versions are ordered",
        ),
        Column("revised_at_source", Text, nullable=False, comment="stated, or file: last modification of the file"),
        Column("material_id", BigInteger, ForeignKey("meva.material.material_id"), comment="NULL: nobody states it"),
        Column("condition", Text, comment="Heat treatment or temper, as stated"),
        Column("shape", Text, comment="Cross-section: round, rectangular or tube"),
        Column("diameter_mm", Double, comment="d0, outer diameter of a tube, mm"),
        Column("thickness_mm", Double, comment="a0, wall of a tube, mm"),
        Column("width_mm", Double, comment="b0, mm"),
        Column("area_mm2", Double, comment="S0, given or computed from the dimensions, mm²"),
        Column("gauge_length_mm", Double, comment="L0, mm"),
        Column("parallel_length_mm", Double, comment="Lc, mm"),
        Column("final_gauge_length_mm", Double, comment="Lu after fracture, mm"),
        Column("final_area_mm2", Double, comment="Su after fracture, mm²"),
        Column(
            "machine_id",
            BigInteger,
            ForeignKey("meva.testing_machine.machine_id"),
            comment="NULL: nobody states the machine",
        ),
        Column("calibration_state", Text, nullable=False, comment="valid, expired, unknown or not_stated"),
        Column("extensometer", Text, comment="As stated"),
        Column("operator", Text, comment="Who made the test; personal data"),
        Column("temperature_c", Double, comment="°C; NULL: not stated, which means room temperature"),
        Column("started_at", DateTime(timezone=True), nullable=False, comment="Begin of the test; time of point 0 s"),
        Column("started_at_source", Text, nullable=False, comment="stated, or revised_at where nobody states it"),
        Column("points", Integer, nullable=False, comment="Number of points"),
        Column("displacement_source", Text, nullable=False, comment="extensometer or crosshead"),
        Column("has_time", Boolean, nullable=False, comment="False: points are 1 µs apart, for their order only"),
        Column("tare_n", Double, nullable=False, comment="Lowest force within the zero band, N; loads are as measured"),
        Column("zero_mm", Double, nullable=False, comment="Subtracted from every displacement, mm"),
        Column("time_offset_s", Double, nullable=False, comment="Subtracted from every time, s"),
        Column("rows_read", Integer, nullable=False, comment="Rows of the file = points + the rows left out"),
        Column("rows_blank", Integer, nullable=False, comment="Left out: without a value"),
        Column("rows_repeated", Integer, nullable=False, comment="Left out: time did not advance"),
        Column("rows_after_break", Integer, nullable=False, comment="Left out: recorded after the break"),
        Column("detection", JSONB, nullable=False, comment="How the file was understood: dialect, columns, units, why"),
        Column("header", JSONB, nullable=False, comment="What the file states beyond this, as written"),
        Column("remarks", Text, comment="Free text; may hold personal data"),
        Column("file_name", Text, nullable=False, comment="Name of the file as it arrived"),
        Column("original", Text, nullable=False, comment="The file itself in the object store: key of its folder"),
        Column("received_at", DateTime(timezone=True), nullable=False, comment="Arrival"),
        Column("token", BigInteger, nullable=False, comment="ops.sync_runs.token that brought this content"),
    ]


CONTENT_COLUMNS = tuple(column.name for column in _content())
"""The columns of one content of a test, in table order: in `tensile_test` and in its history alike."""


def _content_rules() -> list[CheckConstraint]:
    lengths = ("diameter_mm", "thickness_mm", "width_mm", "gauge_length_mm", "parallel_length_mm")
    return [
        CheckConstraint("temperature_c BETWEEN -50 AND 1000", name="temperature"),
        CheckConstraint("points >= 2", name="points"),
        CheckConstraint("rows_read = points + rows_blank + rows_repeated + rows_after_break", name="rows"),
        CheckConstraint("displacement_source IN ('extensometer', 'crosshead')", name="displacement"),
        CheckConstraint("shape IN ('round', 'rectangular', 'tube')", name="shape"),
        CheckConstraint("calibration_state IN ('valid', 'expired', 'unknown', 'not_stated')", name="calibration"),
        CheckConstraint("revised_at_source IN ('stated', 'file')", name="revision"),
        CheckConstraint("started_at_source IN ('stated', 'revised_at')", name="start"),
        CheckConstraint(" AND ".join(f"{name} > 0 AND {name} <= 1000" for name in lengths), name="lengths"),
        CheckConstraint("area_mm2 > 0 AND area_mm2 <= 1000000 AND final_area_mm2 >= 0", name="areas"),
        CheckConstraint("char_length(content_sha256) = 64 AND char_length(curve_sha256) = 64", name="digests"),
    ]


TENSILE_TEST = Table(
    "tensile_test",
    METADATA,
    Column("test_id", BigInteger, Identity(), primary_key=True, comment="Number of the test"),
    Column("name", Text, nullable=False, unique=True, comment="Name of the specimen: identifies the test"),
    Column("content_id", BigInteger, nullable=False, unique=True, comment="Number of this content"),
    Column("version", Integer, nullable=False, server_default="1", comment="1 … n without gaps; rank by revised_at"),
    Column(
        "is_disputed",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Another content waits for a decision in data_conflict_log",
    ),
    *_content(),
    *_content_rules(),
    CheckConstraint("version >= 1", name="version"),
    Index(None, "material_id"),
    Index(None, "token"),
    Index(None, "started_at"),
    schema="meva",
    comment="Tensile tests as published: one row per test, its newest version",
)

TENSILE_TEST_HISTORY = Table(
    "tensile_test_history",
    METADATA,
    Column("content_id", BigInteger, primary_key=True, autoincrement=False, comment="Number of this content"),
    Column("test_id", BigInteger, nullable=False, comment="Number of the test"),
    Column("name", Text, nullable=False, comment="Name of the test"),
    Column("version", Integer, comment="Rank by revised_at; NULL where it is no version"),
    Column("standing", Text, nullable=False, comment="superseded, waiting, set_aside or withdrawn"),
    Column("moved_token", BigInteger, nullable=False, comment="ops.sync_runs.token that put it here"),
    Column("moved_at", DateTime(timezone=True), nullable=False, comment="When that was"),
    *_content(),
    CheckConstraint("standing IN ('superseded', 'waiting', 'set_aside', 'withdrawn')", name="standing"),
    CheckConstraint("(standing = 'superseded') = (version IS NOT NULL)", name="version"),
    Index(None, "test_id", "version"),
    Index(None, "name"),
    Index(None, "token"),
    schema="meva",
    comment="Every content of a test that is not the published one: older versions, and sides of a conflict",
)


def _points() -> list[Column[Any]]:
    return [
        Column("point", Integer, nullable=False, comment="Number of the point from 0"),
        Column(
            "timestamp",
            DateTime(timezone=True),
            nullable=False,
            comment="started_at + elapsed_s; without a time in the file started_at + point µs",
        ),
        Column("elapsed_s", Double, comment="Time since the first point, s; NULL: the file has none"),
        Column("load_n", Double, nullable=False, comment="Force as measured, N"),
        Column(
            "displacement_mm", Double, nullable=False, comment="Extensometer's where there is one, else crosshead, mm"
        ),
        Column("crosshead_mm", Double, comment="Travel of the machine, mm"),
        Column("strain", Double, comment="As the machine computed it, a ratio (not %)"),
    ]


POINT_COLUMNS = tuple(column.name for column in _points())


def _point_rules() -> list[CheckConstraint]:
    """Return the rules that no number of a machine can break; NaN and infinity break each of them."""
    return [
        CheckConstraint("point >= 0", name="point"),
        CheckConstraint("elapsed_s BETWEEN 0 AND 1e9", name="elapsed"),
        CheckConstraint("load_n BETWEEN -1e9 AND 1e9", name="load"),
        CheckConstraint("displacement_mm BETWEEN -1e5 AND 1e5", name="displacement"),
        CheckConstraint("crosshead_mm BETWEEN -1e5 AND 1e5", name="crosshead"),
        CheckConstraint("strain BETWEEN -1e3 AND 1e3", name="strain"),
    ]


TENSILE_DATA = Table(
    "tensile_data",
    METADATA,
    Column("test_id", BigInteger, nullable=False, comment="Test that it belongs to"),
    *_points(),
    *_point_rules(),
    Index(None, "test_id", "timestamp"),
    schema="meva",
    comment="Load and displacement of the published version of every test, point by point",
    postgresql_partition_by="HASH (test_id)",
)

TENSILE_DATA_HISTORY = Table(
    "tensile_data_history",
    METADATA,
    Column("content_id", BigInteger, nullable=False, comment="Content in tensile_test_history that it belongs to"),
    *_points(),
    Index(None, "content_id", "point"),
    schema="meva",
    comment="Points of every content of a test that is not the published one",
)

SIMULATION_RESULT = Table(
    "simulation_result",
    METADATA,
    Column("sim_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the result"),
    Column(
        "test_id",
        BigInteger,
        ForeignKey("meva.tensile_test.test_id", ondelete="CASCADE"),
        nullable=False,
        comment="Test that was evaluated",
    ),
    Column("version", Integer, nullable=False, comment="Version of the test that was evaluated"),
    Column("content_sha256", Text, nullable=False, comment="Content that was evaluated"),
    Column("evaluator", Text, nullable=False, comment="Version of the formulas"),
    Column("young_modulus_gpa", Double, comment="E, GPa; NULL: withheld, see results"),
    Column("yield_strength_mpa", Double, comment="ReH where the material yields, else Rp0.2, MPa"),
    Column("tensile_strength_mpa", Double, comment="Rm, MPa"),
    Column("elongation_pct", Double, comment="A after fracture, %"),
    Column("compare_to_std_pct", Double, comment="Largest difference from the standard values, within ±100 %"),
    Column("results", JSONB, nullable=False, comment="Every value with method and uncertainty, every reason without"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="Evaluated"),
    UniqueConstraint("test_id", "content_sha256", "evaluator"),
    CheckConstraint("compare_to_std_pct BETWEEN -100 AND 100", name="compare"),
    schema="meva",
    comment="Properties computed from the points of a test",
)

PROPERTY_COLUMNS = (
    "young_modulus_gpa",
    "yield_strength_mpa",
    "tensile_strength_mpa",
    "elongation_pct",
    "poisson_ratio",
    "density_kg_m3",
)
"""What a source may state of a material, in table order."""


def _standard() -> list[Column[Any]]:
    return [
        Column(
            "material_id",
            BigInteger,
            ForeignKey("meva.material.material_id"),
            nullable=False,
            comment="Material that it is for",
        ),
        Column("condition", Text, comment="Heat treatment or temper; NULL: none stated"),
        Column("temperature_c", Double, nullable=False, server_default="25", comment="°C"),
        Column("source", Text, nullable=False, comment="Document that states the values"),
        Column("publisher", Text, nullable=False, comment="Who answers for the source: two of one publisher are one"),
        Column(
            "grade", Text, nullable=False, comment="A standard, B national database, C paper, D vendor or unofficial"
        ),
        Column("young_modulus_gpa", Double, comment="E, GPa"),
        Column("yield_strength_mpa", Double, comment="Yield or 0.2 % proof strength, MPa"),
        Column("tensile_strength_mpa", Double, comment="Rm, MPa"),
        Column("elongation_pct", Double, comment="A after fracture, %"),
        Column("poisson_ratio", Double, comment="Poisson's ratio"),
        Column("density_kg_m3", Double, comment="Density, kg/m³"),
        Column("agreeing", ARRAY(Text), nullable=False, comment="Properties on which another publisher agrees"),
        Column("token", BigInteger, nullable=False, comment="ops.sync_runs.token that wrote this row"),
    ]


STANDARD_COLUMNS = tuple(column.name for column in _standard())

STANDARD_PROPERTY = Table(
    "standard_property",
    METADATA,
    Column("std_id", BigInteger, Identity(always=True), primary_key=True, comment="Number of the row"),
    *_standard(),
    Column(
        "is_approved",
        Boolean,
        Computed("cardinality(agreeing) > 0", persisted=True),
        nullable=False,
        comment="Two sources agree on at least one of its values, which may be compared with",
    ),
    UniqueConstraint(
        "material_id", "condition", "temperature_c", "source", postgresql_nulls_not_distinct=True, name="standard_key"
    ),
    CheckConstraint("grade IN ('A', 'B', 'C', 'D')", name="grade"),
    CheckConstraint("temperature_c BETWEEN -273.15 AND 3000", name="temperature"),
    CheckConstraint(
        "young_modulus_gpa > 0 AND young_modulus_gpa < 2000 AND yield_strength_mpa > 0"
        " AND tensile_strength_mpa > 0 AND elongation_pct >= 0 AND poisson_ratio BETWEEN -1 AND 0.5"
        " AND density_kg_m3 > 0",
        name="values",
    ),
    CheckConstraint(f"num_nonnulls({', '.join(PROPERTY_COLUMNS)}) > 0", name="given"),
    schema="meva",
    comment="Standard values by material, condition, temperature and source",
)

STANDARD_PROPERTY_HISTORY = Table(
    "standard_property_history",
    METADATA,
    Column("history_id", BigInteger, Identity(always=True), primary_key=True, comment="Order of supersession"),
    Column("superseded_token", BigInteger, nullable=False, comment="ops.sync_runs.token that superseded this image"),
    Column("superseded_at", DateTime(timezone=True), nullable=False, comment="When that was"),
    Column("std_id", BigInteger, nullable=False, comment="Number of the row"),
    *_standard(),
    Index(None, "std_id"),
    schema="meva",
    comment="Before-images of standard values",
)

DATA_CONFLICT_LOG = Table(
    "data_conflict_log",
    METADATA,
    Column("conflict_id", BigInteger, Identity(always=True), primary_key=True, comment="Number to resolve it by"),
    Column("test_id", BigInteger, nullable=False, comment="Test in dispute"),
    Column("name", Text, nullable=False, comment="Its name"),
    Column("standing_sha256", Text, nullable=False, comment="Content that stands meanwhile: the earlier one"),
    Column("standing_revised_at", DateTime(timezone=True), nullable=False, comment="Its time"),
    Column("standing_file", Text, nullable=False, comment="Its file"),
    Column("waiting_sha256", Text, nullable=False, comment="Content that waits; its points lie in the history"),
    Column("waiting_revised_at", DateTime(timezone=True), nullable=False, comment="Its time"),
    Column("waiting_file", Text, nullable=False, comment="Its file"),
    Column("waiting_original", Text, nullable=False, comment="That file in the object store: key of its folder"),
    Column("differences", JSONB, nullable=False, comment="What differs: name of the fact, and both values"),
    Column("status", Text, nullable=False, comment="open or resolved"),
    Column("resolution", Text, comment="keep, replace, keep_both; overtaken: other contents settled it"),
    Column("second_name", Text, comment="Test that the waiting content became, where both were kept"),
    Column("decided_by", Text, comment="Who decided"),
    Column("opened_at", DateTime(timezone=True), nullable=False, comment="First seen"),
    Column("opened_token", BigInteger, nullable=False, comment="ops.sync_runs.token that saw it"),
    Column("resolved_at", DateTime(timezone=True), comment="When it ended"),
    Column("resolved_token", BigInteger, comment="ops.sync_runs.token that ended it"),
    CheckConstraint("status IN ('open', 'resolved')", name="status"),
    CheckConstraint("(status = 'resolved') = (resolution IS NOT NULL)", name="outcome"),
    CheckConstraint("resolution IN ('keep', 'replace', 'keep_both', 'overtaken')", name="resolution"),
    CheckConstraint("standing_sha256 <> waiting_sha256", name="sides"),
    Index(
        "data_conflict_log_pair_idx",
        "name",
        text("least(standing_sha256, waiting_sha256)"),
        text("greatest(standing_sha256, waiting_sha256)"),
        unique=True,
    ),
    schema="meva",
    comment="Two contents of one test that no rule can put in order, and what people decided",
)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival"),
    Column("content_id", Text, nullable=False, comment="SHA-256 over the file and its sidecar"),
    Column("file_name", Text, nullable=False, comment="Name of the file as it arrived"),
    Column("specimen", Text, nullable=False, comment="Test of the file; empty: the whole file"),
    Column("rule", Text, nullable=False, comment="Rule that it breaks"),
    Column("field", Text, comment="Column or key that the rule names"),
    Column("row", BigInteger, comment="Line of the file, from 1"),
    Column("reason", Text, nullable=False, comment="What was expected, without personal data"),
    Column("code", SmallInteger, nullable=False, server_default="422", comment="HTTP-style code: 422 or 409"),
    Column("original", Text, nullable=False, comment="The file itself in the object store: key of its folder"),
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
    Column("released_at", DateTime(timezone=True), comment="Time at which the test was published after all"),
    UniqueConstraint("content_id", "specimen", "rule"),
    CheckConstraint("code IN (409, 422)", name="code"),
    Index(None, "last_token"),
    schema="meva",
    comment="Files and tests that wait for a fix, with their reason",
)
