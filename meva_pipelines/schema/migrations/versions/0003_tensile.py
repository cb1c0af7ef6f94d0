"""Tensile tests: the schema `meva`.

The points are laid out as the server and the caller of `migrate.upgrade` say: see `schema/series`. That no test with
points is deleted is kept by a trigger: a foreign key on every point would cost twice the load itself.
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

from meva_pipelines.schema import series
from meva_pipelines.schema.series import Layout

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEEPS_ITS_POINTS = """
CREATE FUNCTION meva.tensile_test_keeps_its_points() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM meva.tensile_data AS d WHERE d.test_id = OLD.test_id) THEN
    RAISE EXCEPTION 'test % still has points', OLD.test_id USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN OLD;
END $$
"""
_TRIGGER = """
CREATE TRIGGER keeps_its_points BEFORE DELETE ON meva.tensile_test
FOR EACH ROW EXECUTE FUNCTION meva.tensile_test_keeps_its_points()
"""


def upgrade() -> None:
    """Apply."""
    layout = series.chosen(op.get_bind(), context.config.attributes.get("layout", Layout.AUTO))
    op.create_table(
        "data_conflict_log",
        sa.Column(
            "conflict_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Number to resolve it by"
        ),
        sa.Column("test_id", sa.BigInteger(), nullable=False, comment="Test in dispute"),
        sa.Column("name", sa.Text(), nullable=False, comment="Its name"),
        sa.Column(
            "standing_sha256", sa.Text(), nullable=False, comment="Content that stands meanwhile: the earlier one"
        ),
        sa.Column("standing_revised_at", sa.DateTime(timezone=True), nullable=False, comment="Its time"),
        sa.Column("standing_file", sa.Text(), nullable=False, comment="Its file"),
        sa.Column(
            "waiting_sha256", sa.Text(), nullable=False, comment="Content that waits; its points lie in the history"
        ),
        sa.Column("waiting_revised_at", sa.DateTime(timezone=True), nullable=False, comment="Its time"),
        sa.Column("waiting_file", sa.Text(), nullable=False, comment="Its file"),
        sa.Column(
            "waiting_original", sa.Text(), nullable=False, comment="That file in the object store: key of its folder"
        ),
        sa.Column(
            "differences",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What differs: name of the fact, and both values",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="open or resolved"),
        sa.Column(
            "resolution",
            sa.Text(),
            nullable=True,
            comment="keep, replace, keep_both; overtaken: other contents settled it",
        ),
        sa.Column(
            "second_name",
            sa.Text(),
            nullable=True,
            comment="Test that the waiting content became, where both were kept",
        ),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="Who decided"),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, comment="First seen"),
        sa.Column("opened_token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that saw it"),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True, comment="When it ended"),
        sa.Column("resolved_token", sa.BigInteger(), nullable=True, comment="ops.sync_runs.token that ended it"),
        sa.CheckConstraint(
            "(status = 'resolved') = (resolution IS NOT NULL)", name=op.f("data_conflict_log_outcome_check")
        ),
        sa.CheckConstraint(
            "resolution IN ('keep', 'replace', 'keep_both', 'overtaken')",
            name=op.f("data_conflict_log_resolution_check"),
        ),
        sa.CheckConstraint("status IN ('open', 'resolved')", name=op.f("data_conflict_log_status_check")),
        sa.CheckConstraint("standing_sha256 <> waiting_sha256", name=op.f("data_conflict_log_sides_check")),
        sa.PrimaryKeyConstraint("conflict_id", name=op.f("data_conflict_log_pkey")),
        schema="meva",
        comment="Two contents of one test that no rule can put in order, and what people decided",
    )
    op.create_index(
        "data_conflict_log_pair_idx",
        "data_conflict_log",
        [
            "name",
            sa.literal_column("least(standing_sha256, waiting_sha256)"),
            sa.literal_column("greatest(standing_sha256, waiting_sha256)"),
        ],
        unique=True,
        schema="meva",
    )
    op.create_table(
        "material",
        sa.Column(
            "material_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Number of the material"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Name as files, sidecars and registers state it"),
        sa.Column("type", sa.Text(), nullable=True, comment="metal, alloy, polymer, …"),
        sa.Column("density_kg_m3", sa.Double(), nullable=True, comment="Density, kg/m³"),
        sa.Column("supplier", sa.Text(), nullable=True, comment="Who delivered it"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="First seen",
        ),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 500", name=op.f("material_name_check")),
        sa.CheckConstraint("density_kg_m3 > 0", name=op.f("material_density_check")),
        sa.PrimaryKeyConstraint("material_id", name=op.f("material_pkey")),
        sa.UniqueConstraint("name", name=op.f("material_name_key")),
        schema="meva",
        comment="Materials by name",
    )
    op.create_table(
        "tensile_data",
        sa.Column("test_id", sa.BigInteger(), nullable=False, comment="Test that it belongs to"),
        sa.Column("point", sa.Integer(), nullable=False, comment="Number of the point from 0"),
        sa.Column(
            "timestamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="started_at + elapsed_s; without a time in the file started_at + point µs",
        ),
        sa.Column(
            "elapsed_s", sa.Double(), nullable=True, comment="Time since the first point, s; NULL: the file has none"
        ),
        sa.Column("load_n", sa.Double(), nullable=False, comment="Force as measured, N"),
        sa.Column(
            "displacement_mm",
            sa.Double(),
            nullable=False,
            comment="Extensometer's where there is one, else crosshead, mm",
        ),
        sa.Column("crosshead_mm", sa.Double(), nullable=True, comment="Travel of the machine, mm"),
        sa.Column("strain", sa.Double(), nullable=True, comment="As the machine computed it, a ratio (not %)"),
        sa.CheckConstraint("crosshead_mm BETWEEN -1e5 AND 1e5", name=op.f("tensile_data_crosshead_check")),
        sa.CheckConstraint("displacement_mm BETWEEN -1e5 AND 1e5", name=op.f("tensile_data_displacement_check")),
        sa.CheckConstraint("elapsed_s BETWEEN 0 AND 1e9", name=op.f("tensile_data_elapsed_check")),
        sa.CheckConstraint("load_n BETWEEN -1e9 AND 1e9", name=op.f("tensile_data_load_check")),
        sa.CheckConstraint("point >= 0", name=op.f("tensile_data_point_check")),
        sa.CheckConstraint("strain BETWEEN -1e3 AND 1e3", name=op.f("tensile_data_strain_check")),
        schema="meva",
        comment="Load and displacement of the published version of every test, point by point",
        postgresql_partition_by="HASH (test_id)" if layout is Layout.PARTITIONS else None,
    )
    op.create_index(
        op.f("tensile_data_test_id_timestamp_idx"),
        "tensile_data",
        ["test_id", "timestamp"],
        unique=False,
        schema="meva",
    )
    op.create_table(
        "tensile_data_history",
        sa.Column(
            "content_id", sa.BigInteger(), nullable=False, comment="Content in tensile_test_history that it belongs to"
        ),
        sa.Column("point", sa.Integer(), nullable=False, comment="Number of the point from 0"),
        sa.Column(
            "timestamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="started_at + elapsed_s; without a time in the file started_at + point µs",
        ),
        sa.Column(
            "elapsed_s", sa.Double(), nullable=True, comment="Time since the first point, s; NULL: the file has none"
        ),
        sa.Column("load_n", sa.Double(), nullable=False, comment="Force as measured, N"),
        sa.Column(
            "displacement_mm",
            sa.Double(),
            nullable=False,
            comment="Extensometer's where there is one, else crosshead, mm",
        ),
        sa.Column("crosshead_mm", sa.Double(), nullable=True, comment="Travel of the machine, mm"),
        sa.Column("strain", sa.Double(), nullable=True, comment="As the machine computed it, a ratio (not %)"),
        schema="meva",
        comment="Points of every content of a test that is not the published one",
    )
    op.create_index(
        op.f("tensile_data_history_content_id_point_idx"),
        "tensile_data_history",
        ["content_id", "point"],
        unique=False,
        schema="meva",
    )
    op.create_table(
        "testing_machine",
        sa.Column(
            "machine_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Number of the machine"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Name as files, sidecars and registers state it"),
        sa.Column("maker", sa.Text(), nullable=True, comment="Who built it"),
        sa.Column("capacity_n", sa.Double(), nullable=True, comment="Largest force, N"),
        sa.Column(
            "is_registered",
            sa.Boolean(),
            nullable=False,
            comment="In the register of machines; false: known from files",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="First seen",
        ),
        sa.CheckConstraint("capacity_n > 0", name=op.f("testing_machine_capacity_check")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 500", name=op.f("testing_machine_name_check")),
        sa.PrimaryKeyConstraint("machine_id", name=op.f("testing_machine_pkey")),
        sa.UniqueConstraint("name", name=op.f("testing_machine_name_key")),
        schema="meva",
        comment="Testing machines by name",
    )
    op.create_table(
        "machine_calibration",
        sa.Column("machine_id", sa.BigInteger(), nullable=False, comment="Machine"),
        sa.Column("calibrated_on", sa.Date(), nullable=False, comment="Day of the calibration"),
        sa.Column("valid_until", sa.Date(), nullable=False, comment="Last day on which it holds"),
        sa.Column(
            "class", sa.Text(), nullable=False, comment="Class of the force measurement to ISO 7500-1: 0.5, 1, 2 or 3"
        ),
        sa.Column("certificate", sa.Text(), nullable=True, comment="Number of the certificate"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that entered it last"),
        sa.CheckConstraint("class IN ('0.5', '1', '2', '3')", name=op.f("machine_calibration_class_check")),
        sa.CheckConstraint("valid_until >= calibrated_on", name=op.f("machine_calibration_period_check")),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["meva.testing_machine.machine_id"], name=op.f("machine_calibration_machine_id_fkey")
        ),
        sa.PrimaryKeyConstraint("machine_id", "calibrated_on", name=op.f("machine_calibration_pkey")),
        schema="meva",
        comment="Calibrations of testing machines with the period in which they hold",
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of arrival"),
        sa.Column("content_id", sa.Text(), nullable=False, comment="SHA-256 over the file and its sidecar"),
        sa.Column("file_name", sa.Text(), nullable=False, comment="Name of the file as it arrived"),
        sa.Column("specimen", sa.Text(), nullable=False, comment="Test of the file; empty: the whole file"),
        sa.Column("rule", sa.Text(), nullable=False, comment="Rule that it breaks"),
        sa.Column("field", sa.Text(), nullable=True, comment="Column or key that the rule names"),
        sa.Column("row", sa.BigInteger(), nullable=True, comment="Line of the file, from 1"),
        sa.Column("reason", sa.Text(), nullable=False, comment="What was expected, without personal data"),
        sa.Column(
            "code", sa.SmallInteger(), server_default="422", nullable=False, comment="HTTP-style code: 422 or 409"
        ),
        sa.Column(
            "original", sa.Text(), nullable=False, comment="The file itself in the object store: key of its folder"
        ),
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
            comment="Time at which the test was published after all",
        ),
        sa.CheckConstraint("code IN (409, 422)", name=op.f("quarantine_code_check")),
        sa.ForeignKeyConstraint(["first_token"], ["ops.sync_runs.token"], name=op.f("quarantine_first_token_fkey")),
        sa.ForeignKeyConstraint(["last_token"], ["ops.sync_runs.token"], name=op.f("quarantine_last_token_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quarantine_pkey")),
        sa.UniqueConstraint("content_id", "specimen", "rule", name=op.f("quarantine_content_id_specimen_rule_key")),
        schema="meva",
        comment="Files and tests that wait for a fix, with their reason",
    )
    op.create_index(op.f("quarantine_last_token_idx"), "quarantine", ["last_token"], unique=False, schema="meva")
    op.create_table(
        "standard_property",
        sa.Column("std_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Number of the row"),
        sa.Column("material_id", sa.BigInteger(), nullable=False, comment="Material that it is for"),
        sa.Column("condition", sa.Text(), nullable=True, comment="Heat treatment or temper; NULL: none stated"),
        sa.Column("temperature_c", sa.Double(), server_default="25", nullable=False, comment="°C"),
        sa.Column("source", sa.Text(), nullable=False, comment="Document that states the values"),
        sa.Column(
            "publisher", sa.Text(), nullable=False, comment="Who answers for the source: two of one publisher are one"
        ),
        sa.Column(
            "grade",
            sa.Text(),
            nullable=False,
            comment="A standard, B national database, C paper, D vendor or unofficial",
        ),
        sa.Column("young_modulus_gpa", sa.Double(), nullable=True, comment="E, GPa"),
        sa.Column("yield_strength_mpa", sa.Double(), nullable=True, comment="Yield or 0.2 % proof strength, MPa"),
        sa.Column("tensile_strength_mpa", sa.Double(), nullable=True, comment="Rm, MPa"),
        sa.Column("elongation_pct", sa.Double(), nullable=True, comment="A after fracture, %"),
        sa.Column("poisson_ratio", sa.Double(), nullable=True, comment="Poisson's ratio"),
        sa.Column("density_kg_m3", sa.Double(), nullable=True, comment="Density, kg/m³"),
        sa.Column(
            "agreeing",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Properties on which another publisher agrees",
        ),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that wrote this row"),
        sa.Column(
            "is_approved",
            sa.Boolean(),
            sa.Computed("cardinality(agreeing) > 0", persisted=True),
            nullable=False,
            comment="Two sources agree on at least one of its values, which may be compared with",
        ),
        sa.CheckConstraint("grade IN ('A', 'B', 'C', 'D')", name=op.f("standard_property_grade_check")),
        sa.CheckConstraint(
            "num_nonnulls(young_modulus_gpa, yield_strength_mpa, tensile_strength_mpa, elongation_pct, poisson_ratio, density_kg_m3) > 0",
            name=op.f("standard_property_given_check"),
        ),
        sa.CheckConstraint("temperature_c BETWEEN -273.15 AND 3000", name=op.f("standard_property_temperature_check")),
        sa.CheckConstraint(
            "young_modulus_gpa > 0 AND young_modulus_gpa < 2000 AND yield_strength_mpa > 0 AND tensile_strength_mpa > 0 AND elongation_pct >= 0 AND poisson_ratio BETWEEN -1 AND 0.5 AND density_kg_m3 > 0",
            name=op.f("standard_property_values_check"),
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["meva.material.material_id"], name=op.f("standard_property_material_id_fkey")
        ),
        sa.PrimaryKeyConstraint("std_id", name=op.f("standard_property_pkey")),
        sa.UniqueConstraint(
            "material_id",
            "condition",
            "temperature_c",
            "source",
            name="standard_key",
            postgresql_nulls_not_distinct=True,
        ),
        schema="meva",
        comment="Standard values by material, condition, temperature and source",
    )
    op.create_table(
        "standard_property_history",
        sa.Column(
            "history_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of supersession"
        ),
        sa.Column(
            "superseded_token",
            sa.BigInteger(),
            nullable=False,
            comment="ops.sync_runs.token that superseded this image",
        ),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=False, comment="When that was"),
        sa.Column("std_id", sa.BigInteger(), nullable=False, comment="Number of the row"),
        sa.Column("material_id", sa.BigInteger(), nullable=False, comment="Material that it is for"),
        sa.Column("condition", sa.Text(), nullable=True, comment="Heat treatment or temper; NULL: none stated"),
        sa.Column("temperature_c", sa.Double(), server_default="25", nullable=False, comment="°C"),
        sa.Column("source", sa.Text(), nullable=False, comment="Document that states the values"),
        sa.Column(
            "publisher", sa.Text(), nullable=False, comment="Who answers for the source: two of one publisher are one"
        ),
        sa.Column(
            "grade",
            sa.Text(),
            nullable=False,
            comment="A standard, B national database, C paper, D vendor or unofficial",
        ),
        sa.Column("young_modulus_gpa", sa.Double(), nullable=True, comment="E, GPa"),
        sa.Column("yield_strength_mpa", sa.Double(), nullable=True, comment="Yield or 0.2 % proof strength, MPa"),
        sa.Column("tensile_strength_mpa", sa.Double(), nullable=True, comment="Rm, MPa"),
        sa.Column("elongation_pct", sa.Double(), nullable=True, comment="A after fracture, %"),
        sa.Column("poisson_ratio", sa.Double(), nullable=True, comment="Poisson's ratio"),
        sa.Column("density_kg_m3", sa.Double(), nullable=True, comment="Density, kg/m³"),
        sa.Column(
            "agreeing",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Properties on which another publisher agrees",
        ),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that wrote this row"),
        sa.ForeignKeyConstraint(
            ["material_id"], ["meva.material.material_id"], name=op.f("standard_property_history_material_id_fkey")
        ),
        sa.PrimaryKeyConstraint("history_id", name=op.f("standard_property_history_pkey")),
        schema="meva",
        comment="Before-images of standard values",
    )
    op.create_index(
        op.f("standard_property_history_std_id_idx"),
        "standard_property_history",
        ["std_id"],
        unique=False,
        schema="meva",
    )
    op.create_table(
        "tensile_test",
        sa.Column("test_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Number of the test"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name of the specimen: identifies the test"),
        sa.Column("content_id", sa.BigInteger(), nullable=False, comment="Number of this content"),
        sa.Column(
            "version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="1 … n without gaps; rank by revised_at",
        ),
        sa.Column(
            "is_disputed",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Another content waits for a decision in data_conflict_log",
        ),
        sa.Column(
            "content_sha256", sa.Text(), nullable=False, comment="SHA-256 over specimen, header and curve, hexadecimal"
        ),
        sa.Column("curve_sha256", sa.Text(), nullable=False, comment="SHA-256 over the points, hexadecimal"),
        sa.Column(
            "revised_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of this content, by which versions are ordered",
        ),
        sa.Column(
            "revised_at_source", sa.Text(), nullable=False, comment="stated, or file: last modification of the file"
        ),
        sa.Column("material_id", sa.BigInteger(), nullable=True, comment="NULL: nobody states it"),
        sa.Column("condition", sa.Text(), nullable=True, comment="Heat treatment or temper, as stated"),
        sa.Column("shape", sa.Text(), nullable=True, comment="Cross-section: round, rectangular or tube"),
        sa.Column("diameter_mm", sa.Double(), nullable=True, comment="d0, outer diameter of a tube, mm"),
        sa.Column("thickness_mm", sa.Double(), nullable=True, comment="a0, wall of a tube, mm"),
        sa.Column("width_mm", sa.Double(), nullable=True, comment="b0, mm"),
        sa.Column("area_mm2", sa.Double(), nullable=True, comment="S0, given or computed from the dimensions, mm²"),
        sa.Column("gauge_length_mm", sa.Double(), nullable=True, comment="L0, mm"),
        sa.Column("parallel_length_mm", sa.Double(), nullable=True, comment="Lc, mm"),
        sa.Column("final_gauge_length_mm", sa.Double(), nullable=True, comment="Lu after fracture, mm"),
        sa.Column("final_area_mm2", sa.Double(), nullable=True, comment="Su after fracture, mm²"),
        sa.Column("machine_id", sa.BigInteger(), nullable=True, comment="NULL: nobody states the machine"),
        sa.Column("calibration_state", sa.Text(), nullable=False, comment="valid, expired, unknown or not_stated"),
        sa.Column("extensometer", sa.Text(), nullable=True, comment="As stated"),
        sa.Column("operator", sa.Text(), nullable=True, comment="Who made the test; personal data"),
        sa.Column(
            "temperature_c", sa.Double(), nullable=True, comment="°C; NULL: not stated, which means room temperature"
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="Begin of the test; time of point 0 s"
        ),
        sa.Column(
            "started_at_source", sa.Text(), nullable=False, comment="stated, or revised_at where nobody states it"
        ),
        sa.Column("points", sa.Integer(), nullable=False, comment="Number of points"),
        sa.Column("displacement_source", sa.Text(), nullable=False, comment="extensometer or crosshead"),
        sa.Column(
            "has_time", sa.Boolean(), nullable=False, comment="False: points are 1 µs apart, for their order only"
        ),
        sa.Column(
            "tare_n", sa.Double(), nullable=False, comment="Lowest force within the zero band, N; loads are as measured"
        ),
        sa.Column("zero_mm", sa.Double(), nullable=False, comment="Subtracted from every displacement, mm"),
        sa.Column("time_offset_s", sa.Double(), nullable=False, comment="Subtracted from every time, s"),
        sa.Column("rows_read", sa.Integer(), nullable=False, comment="Rows of the file = points + the rows left out"),
        sa.Column("rows_blank", sa.Integer(), nullable=False, comment="Left out: without a value"),
        sa.Column("rows_repeated", sa.Integer(), nullable=False, comment="Left out: time did not advance"),
        sa.Column("rows_after_break", sa.Integer(), nullable=False, comment="Left out: recorded after the break"),
        sa.Column(
            "detection",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="How the file was understood: dialect, columns, units, why",
        ),
        sa.Column(
            "header",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What the file states beyond this, as written",
        ),
        sa.Column("remarks", sa.Text(), nullable=True, comment="Free text; may hold personal data"),
        sa.Column("file_name", sa.Text(), nullable=False, comment="Name of the file as it arrived"),
        sa.Column(
            "original", sa.Text(), nullable=False, comment="The file itself in the object store: key of its folder"
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, comment="Arrival"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that brought this content"),
        sa.CheckConstraint(
            "calibration_state IN ('valid', 'expired', 'unknown', 'not_stated')",
            name=op.f("tensile_test_calibration_check"),
        ),
        sa.CheckConstraint(
            "displacement_source IN ('extensometer', 'crosshead')", name=op.f("tensile_test_displacement_check")
        ),
        sa.CheckConstraint("revised_at_source IN ('stated', 'file')", name=op.f("tensile_test_revision_check")),
        sa.CheckConstraint("shape IN ('round', 'rectangular', 'tube')", name=op.f("tensile_test_shape_check")),
        sa.CheckConstraint("started_at_source IN ('stated', 'revised_at')", name=op.f("tensile_test_start_check")),
        sa.CheckConstraint(
            "area_mm2 > 0 AND area_mm2 <= 1000000 AND final_area_mm2 >= 0", name=op.f("tensile_test_areas_check")
        ),
        sa.CheckConstraint(
            "char_length(content_sha256) = 64 AND char_length(curve_sha256) = 64",
            name=op.f("tensile_test_digests_check"),
        ),
        sa.CheckConstraint(
            "diameter_mm > 0 AND diameter_mm <= 1000 AND thickness_mm > 0 AND thickness_mm <= 1000 AND width_mm > 0 AND width_mm <= 1000 AND gauge_length_mm > 0 AND gauge_length_mm <= 1000 AND parallel_length_mm > 0 AND parallel_length_mm <= 1000",
            name=op.f("tensile_test_lengths_check"),
        ),
        sa.CheckConstraint("points >= 2", name=op.f("tensile_test_points_check")),
        sa.CheckConstraint(
            "rows_read = points + rows_blank + rows_repeated + rows_after_break", name=op.f("tensile_test_rows_check")
        ),
        sa.CheckConstraint("temperature_c BETWEEN -50 AND 1000", name=op.f("tensile_test_temperature_check")),
        sa.CheckConstraint("version >= 1", name=op.f("tensile_test_version_check")),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["meva.testing_machine.machine_id"], name=op.f("tensile_test_machine_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["meva.material.material_id"], name=op.f("tensile_test_material_id_fkey")
        ),
        sa.PrimaryKeyConstraint("test_id", name=op.f("tensile_test_pkey")),
        sa.UniqueConstraint("content_id", name=op.f("tensile_test_content_id_key")),
        sa.UniqueConstraint("name", name=op.f("tensile_test_name_key")),
        schema="meva",
        comment="Tensile tests as published: one row per test, its newest version",
    )
    op.create_index(op.f("tensile_test_material_id_idx"), "tensile_test", ["material_id"], unique=False, schema="meva")
    op.create_index(op.f("tensile_test_started_at_idx"), "tensile_test", ["started_at"], unique=False, schema="meva")
    op.create_index(op.f("tensile_test_token_idx"), "tensile_test", ["token"], unique=False, schema="meva")
    op.create_table(
        "tensile_test_history",
        sa.Column("content_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Number of this content"),
        sa.Column("test_id", sa.BigInteger(), nullable=False, comment="Number of the test"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name of the test"),
        sa.Column("version", sa.Integer(), nullable=True, comment="Rank by revised_at; NULL where it is no version"),
        sa.Column("standing", sa.Text(), nullable=False, comment="superseded, waiting, set_aside or withdrawn"),
        sa.Column("moved_token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that put it here"),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False, comment="When that was"),
        sa.Column(
            "content_sha256", sa.Text(), nullable=False, comment="SHA-256 over specimen, header and curve, hexadecimal"
        ),
        sa.Column("curve_sha256", sa.Text(), nullable=False, comment="SHA-256 over the points, hexadecimal"),
        sa.Column(
            "revised_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of this content, by which versions are ordered",
        ),
        sa.Column(
            "revised_at_source", sa.Text(), nullable=False, comment="stated, or file: last modification of the file"
        ),
        sa.Column("material_id", sa.BigInteger(), nullable=True, comment="NULL: nobody states it"),
        sa.Column("condition", sa.Text(), nullable=True, comment="Heat treatment or temper, as stated"),
        sa.Column("shape", sa.Text(), nullable=True, comment="Cross-section: round, rectangular or tube"),
        sa.Column("diameter_mm", sa.Double(), nullable=True, comment="d0, outer diameter of a tube, mm"),
        sa.Column("thickness_mm", sa.Double(), nullable=True, comment="a0, wall of a tube, mm"),
        sa.Column("width_mm", sa.Double(), nullable=True, comment="b0, mm"),
        sa.Column("area_mm2", sa.Double(), nullable=True, comment="S0, given or computed from the dimensions, mm²"),
        sa.Column("gauge_length_mm", sa.Double(), nullable=True, comment="L0, mm"),
        sa.Column("parallel_length_mm", sa.Double(), nullable=True, comment="Lc, mm"),
        sa.Column("final_gauge_length_mm", sa.Double(), nullable=True, comment="Lu after fracture, mm"),
        sa.Column("final_area_mm2", sa.Double(), nullable=True, comment="Su after fracture, mm²"),
        sa.Column("machine_id", sa.BigInteger(), nullable=True, comment="NULL: nobody states the machine"),
        sa.Column("calibration_state", sa.Text(), nullable=False, comment="valid, expired, unknown or not_stated"),
        sa.Column("extensometer", sa.Text(), nullable=True, comment="As stated"),
        sa.Column("operator", sa.Text(), nullable=True, comment="Who made the test; personal data"),
        sa.Column(
            "temperature_c", sa.Double(), nullable=True, comment="°C; NULL: not stated, which means room temperature"
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="Begin of the test; time of point 0 s"
        ),
        sa.Column(
            "started_at_source", sa.Text(), nullable=False, comment="stated, or revised_at where nobody states it"
        ),
        sa.Column("points", sa.Integer(), nullable=False, comment="Number of points"),
        sa.Column("displacement_source", sa.Text(), nullable=False, comment="extensometer or crosshead"),
        sa.Column(
            "has_time", sa.Boolean(), nullable=False, comment="False: points are 1 µs apart, for their order only"
        ),
        sa.Column(
            "tare_n", sa.Double(), nullable=False, comment="Lowest force within the zero band, N; loads are as measured"
        ),
        sa.Column("zero_mm", sa.Double(), nullable=False, comment="Subtracted from every displacement, mm"),
        sa.Column("time_offset_s", sa.Double(), nullable=False, comment="Subtracted from every time, s"),
        sa.Column("rows_read", sa.Integer(), nullable=False, comment="Rows of the file = points + the rows left out"),
        sa.Column("rows_blank", sa.Integer(), nullable=False, comment="Left out: without a value"),
        sa.Column("rows_repeated", sa.Integer(), nullable=False, comment="Left out: time did not advance"),
        sa.Column("rows_after_break", sa.Integer(), nullable=False, comment="Left out: recorded after the break"),
        sa.Column(
            "detection",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="How the file was understood: dialect, columns, units, why",
        ),
        sa.Column(
            "header",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What the file states beyond this, as written",
        ),
        sa.Column("remarks", sa.Text(), nullable=True, comment="Free text; may hold personal data"),
        sa.Column("file_name", sa.Text(), nullable=False, comment="Name of the file as it arrived"),
        sa.Column(
            "original", sa.Text(), nullable=False, comment="The file itself in the object store: key of its folder"
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, comment="Arrival"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that brought this content"),
        sa.CheckConstraint(
            "(standing = 'superseded') = (version IS NOT NULL)", name=op.f("tensile_test_history_version_check")
        ),
        sa.CheckConstraint(
            "standing IN ('superseded', 'waiting', 'set_aside', 'withdrawn')",
            name=op.f("tensile_test_history_standing_check"),
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["meva.testing_machine.machine_id"], name=op.f("tensile_test_history_machine_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["meva.material.material_id"], name=op.f("tensile_test_history_material_id_fkey")
        ),
        sa.PrimaryKeyConstraint("content_id", name=op.f("tensile_test_history_pkey")),
        schema="meva",
        comment="Every content of a test that is not the published one: older versions, and sides of a conflict",
    )
    op.create_index(
        op.f("tensile_test_history_name_idx"), "tensile_test_history", ["name"], unique=False, schema="meva"
    )
    op.create_index(
        op.f("tensile_test_history_test_id_version_idx"),
        "tensile_test_history",
        ["test_id", "version"],
        unique=False,
        schema="meva",
    )
    op.create_index(
        op.f("tensile_test_history_token_idx"), "tensile_test_history", ["token"], unique=False, schema="meva"
    )
    op.create_table(
        "simulation_result",
        sa.Column("sim_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Number of the result"),
        sa.Column("test_id", sa.BigInteger(), nullable=False, comment="Test that was evaluated"),
        sa.Column("version", sa.Integer(), nullable=False, comment="Version of the test that was evaluated"),
        sa.Column("content_sha256", sa.Text(), nullable=False, comment="Content that was evaluated"),
        sa.Column("evaluator", sa.Text(), nullable=False, comment="Version of the formulas"),
        sa.Column("young_modulus_gpa", sa.Double(), nullable=True, comment="E, GPa; NULL: withheld, see results"),
        sa.Column(
            "yield_strength_mpa", sa.Double(), nullable=True, comment="ReH where the material yields, else Rp0.2, MPa"
        ),
        sa.Column("tensile_strength_mpa", sa.Double(), nullable=True, comment="Rm, MPa"),
        sa.Column("elongation_pct", sa.Double(), nullable=True, comment="A after fracture, %"),
        sa.Column(
            "compare_to_std_pct",
            sa.Double(),
            nullable=True,
            comment="Largest difference from the standard values, within ±100 %",
        ),
        sa.Column(
            "results",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Every value with method and uncertainty, every reason without",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Evaluated",
        ),
        sa.CheckConstraint("compare_to_std_pct BETWEEN -100 AND 100", name=op.f("simulation_result_compare_check")),
        sa.ForeignKeyConstraint(
            ["test_id"], ["meva.tensile_test.test_id"], name=op.f("simulation_result_test_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sim_id", name=op.f("simulation_result_pkey")),
        sa.UniqueConstraint(
            "test_id",
            "content_sha256",
            "evaluator",
            name=op.f("simulation_result_test_id_content_sha256_evaluator_key"),
        ),
        schema="meva",
        comment="Properties computed from the points of a test",
    )
    op.create_table(
        "standard_comparison",
        sa.Column("sim_id", sa.BigInteger(), nullable=False, comment="Evaluated test"),
        sa.Column("property", sa.Text(), nullable=False, comment="Column of standard_property that is compared"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="passed, failed or not comparable"),
        sa.Column("symbol", sa.Text(), nullable=True, comment="Symbol of ISO 6892-1 of what was measured"),
        sa.Column(
            "measured", sa.Double(), nullable=True, comment="Measured value, unit as in the name of the property"
        ),
        sa.Column(
            "standard", sa.Double(), nullable=True, comment="Standard value, unit as in the name of the property"
        ),
        sa.Column("difference_pct", sa.Double(), nullable=True, comment="(measured - standard) / standard, %"),
        sa.Column(
            "uncertainty_pct",
            sa.Double(),
            nullable=True,
            comment="Expanded uncertainty (k = 2) of the measured value, % of the standard",
        ),
        sa.Column(
            "is_certain",
            sa.Boolean(),
            nullable=True,
            comment="The uncertainty lies wholly on one side of the tolerance",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="What was found, or why nothing can be said"),
        sa.Column("source", sa.Text(), nullable=True, comment="Source of the standard value"),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False, comment="When"),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="ops.sync_runs.token that wrote this row"),
        sa.CheckConstraint(
            "outcome IN ('passed', 'failed', 'not comparable')", name=op.f("standard_comparison_outcome_check")
        ),
        sa.CheckConstraint("difference_pct BETWEEN -100 AND 100", name=op.f("standard_comparison_difference_check")),
        sa.CheckConstraint(
            "(outcome = 'not comparable') = (difference_pct IS NULL)", name=op.f("standard_comparison_verdict_check")
        ),
        sa.ForeignKeyConstraint(
            ["sim_id"],
            ["meva.simulation_result.sim_id"],
            name=op.f("standard_comparison_sim_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sim_id", "property", name=op.f("standard_comparison_pkey")),
        schema="meva",
        comment="Properties of evaluated tests beside standard values: passed, failed, or why they cannot be compared",
    )
    op.create_index(
        op.f("standard_comparison_outcome_idx"), "standard_comparison", ["outcome"], unique=False, schema="meva"
    )
    if layout is Layout.HYPERTABLE:
        series.make_hypertable(op.get_bind())
    else:
        for statement in series.partitions():
            op.execute(statement)
    op.execute(_KEEPS_ITS_POINTS)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("standard_comparison_outcome_idx"), table_name="standard_comparison", schema="meva")
    op.drop_table("standard_comparison", schema="meva")
    op.drop_table("simulation_result", schema="meva")
    op.drop_index(op.f("tensile_test_history_token_idx"), table_name="tensile_test_history", schema="meva")
    op.drop_index(op.f("tensile_test_history_test_id_version_idx"), table_name="tensile_test_history", schema="meva")
    op.drop_index(op.f("tensile_test_history_name_idx"), table_name="tensile_test_history", schema="meva")
    op.drop_table("tensile_test_history", schema="meva")
    op.drop_index(op.f("tensile_test_token_idx"), table_name="tensile_test", schema="meva")
    op.drop_index(op.f("tensile_test_started_at_idx"), table_name="tensile_test", schema="meva")
    op.drop_index(op.f("tensile_test_material_id_idx"), table_name="tensile_test", schema="meva")
    op.drop_table("tensile_test", schema="meva")
    op.drop_index(op.f("standard_property_history_std_id_idx"), table_name="standard_property_history", schema="meva")
    op.drop_table("standard_property_history", schema="meva")
    op.drop_table("standard_property", schema="meva")
    op.drop_index(op.f("quarantine_last_token_idx"), table_name="quarantine", schema="meva")
    op.drop_table("quarantine", schema="meva")
    op.drop_table("machine_calibration", schema="meva")
    op.drop_table("testing_machine", schema="meva")
    op.drop_index(op.f("tensile_data_history_content_id_point_idx"), table_name="tensile_data_history", schema="meva")
    op.drop_table("tensile_data_history", schema="meva")
    op.drop_index(op.f("tensile_data_test_id_timestamp_idx"), table_name="tensile_data", schema="meva")
    op.drop_table("tensile_data", schema="meva")
    op.drop_table("material", schema="meva")
    op.drop_index("data_conflict_log_pair_idx", table_name="data_conflict_log", schema="meva")
    op.drop_table("data_conflict_log", schema="meva")
    op.execute("DROP FUNCTION meva.tensile_test_keeps_its_points()")
