"""Tables of the schema `mgg` that are derived from curves or recorded about them, and what waits in its quarantine.

Curves themselves are in `mgg_curves`, what both refer to in `mgg`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB

from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.mgg import created_at, row_id

PERSONAL_LOG_COLUMNS = ("details", "ip_address", "user_agent", "chain_hash")
"""Columns of `mgg.operation_logs` that may name or locate a person, or let one be guessed and confirmed."""

MEASURES = {
    "rmse_ratio": "RMSE by the greatest pressure of the firing",
    "mae_mpa": "Mean absolute difference, MPa",
    "r_squared": "1 − SSE/SST with the firing as reference; may be negative",
    "t10_diff_ms": "Rise through 10 % of the peak, simulation − firing, ms",
    "t50_diff_ms": "Rise through 50 % of the peak, simulation − firing, ms",
    "t90_diff_ms": "Rise through 90 % of the peak, simulation − firing, ms",
    "max_rate_diff_mpa_per_ms": "Greatest rate of rise, simulation − firing, MPa/ms",
    "impulse_diff_mpa_ms": "Impulse over the overlap, simulation − firing, MPa·ms",
    "sprague_geers_magnitude_ratio": "Sprague–Geers magnitude error",
    "sprague_geers_phase_ratio": "Sprague–Geers phase error",
    "sprague_geers_comprehensive_ratio": "Sprague–Geers comprehensive error",
    "area_mpa_ms": "Area between the curves, MPa·ms",
    "frechet_ratio": "Discrete Fréchet distance: time in durations of the base, pressure in peaks of the firing",
    "iso18571_corridor": "ISO/TS 18571 corridor score, 0 to 1",
    "iso18571_phase": "ISO/TS 18571 phase score, 0 to 1",
    "iso18571_magnitude": "ISO/TS 18571 magnitude score, 0 to 1",
    "iso18571_slope": "ISO/TS 18571 slope score, 0 to 1",
    "iso18571_overall": "ISO/TS 18571 rating, 0 to 1",
}
"""Columns of `mgg.pt_comparisons` beyond those of seed 004 that hold one measure each."""

LOG_TYPES = ("login", "simulation", "upload", "download", "comparison", "work_order", "navigation", "admin")


PT_COMPARISONS = Table(
    "pt_comparisons",
    METADATA,
    row_id(),
    Column("user_id", BigInteger, ForeignKey("mgg.users.id"), nullable=False, comment="User who asked, or who fired"),
    Column("simulation_id", BigInteger, ForeignKey("mgg.forward_simulations.id"), nullable=False, comment="Simulation"),
    Column("test_result_id", BigInteger, ForeignKey("mgg.test_results.id"), nullable=False, comment="Firing"),
    Column(
        "alignment", String(10), nullable=False, comment="raw, or ignition: both curves moved to 10 % of their peak"
    ),
    Column("method_version", String(20), nullable=False, comment="Version of the method"),
    Column("is_comparable", Boolean, nullable=False, comment="Whether the curves overlap enough"),
    Column("reason", Text, comment="Why they are not comparable, or why a figure is missing"),
    Column("shift_ms", Double, comment="Subtracted from the times of the simulation, ms"),
    Column("late_ms", Double, comment="How late the simulation is by the best correlation, ms"),
    Column("overlap_ratio", Double, comment="Share of the firing's duration that both curves cover"),
    Column("start_ms", Double, comment="First moment of the common time base, on the firing's clock, ms"),
    Column("end_ms", Double, comment="Last moment of the common time base, on the firing's clock, ms"),
    Column("points", Integer, comment="Points of the common time base"),
    Column("warping_points", Integer, comment="Points of the base of the ISO rating and the Fréchet distance"),
    Column("peak_pressure_diff", Numeric(10, 4), comment="Greatest pressure, simulation − firing, MPa"),
    Column("peak_time_diff", Numeric(10, 4), comment="Time of the greatest pressure, simulation − firing, ms"),
    Column("rmse", Numeric(10, 6), comment="Root mean square of simulation − firing, MPa"),
    Column("correlation", Numeric(10, 8), comment="Pearson's r; NULL for a flat curve"),
    *(Column(name, Double, comment=comment) for name, comment in MEASURES.items()),
    Column("iso18571_grade", String(10), comment="poor, fair, good or excellent"),
    Column("withheld", JSONB, nullable=False, comment="Figures that the pair has none of, with the reason"),
    Column("figures", JSONB, nullable=False, comment="Figures of each curve by itself, named with their units"),
    Column("simulation_sha256", String(64), nullable=False, comment="Fingerprint of the simulated series"),
    Column("test_sha256", String(64), nullable=False, comment="Fingerprint of the measured series"),
    Column("notes", Text, comment="Remarks of who asked"),
    created_at("Compared"),
    UniqueConstraint("simulation_id", "test_result_id", "alignment", "method_version"),
    CheckConstraint("alignment IN ('raw', 'ignition')", name="alignment"),
    CheckConstraint("is_comparable OR reason IS NOT NULL", name="reason"),
    CheckConstraint("NOT is_comparable OR num_nulls(rmse, peak_pressure_diff, peak_time_diff) = 0", name="figures"),
    CheckConstraint("correlation BETWEEN -1 AND 1", name="correlation"),
    CheckConstraint("iso18571_overall BETWEEN 0 AND 1", name="iso18571_overall"),
    Index(None, "user_id"),
    Index(None, "test_result_id"),
    Index(None, text("created_at DESC")),
    schema="mgg",
    comment="Simulations beside firings; differences are simulation − firing",
)

REPEAT_COMPARISONS = Table(
    "repeat_comparisons",
    METADATA,
    Column("test_result_id", BigInteger, ForeignKey("mgg.test_results.id"), primary_key=True, comment="Firing"),
    Column(
        "repeat_id", BigInteger, ForeignKey("mgg.test_results.id"), primary_key=True, comment="Later firing, reference"
    ),
    Column("method_version", String(20), primary_key=True, comment="Version of the method"),
    Column("measures", JSONB, nullable=False, comment="Measures without alignment, named with their units"),
    created_at("Compared"),
    CheckConstraint("test_result_id < repeat_id", name="once"),
    schema="mgg",
    comment="Firings of one recipe beside each other: the yardstick of every scorecard",
)

MODEL_SCORECARD = Table(
    "model_scorecard",
    METADATA,
    row_id(),
    Column("evaluated_at", DateTime(timezone=True), nullable=False, comment="One moment for all rows of an evaluation"),
    Column("model_version_id", BigInteger, ForeignKey("mgg.model_versions.id"), nullable=False, comment="Version"),
    Column("cell", Text, nullable=False, comment="Recipe: igniter, nitrocellulose and propellant with their amounts"),
    Column("metric", String(40), nullable=False, comment="Measure of a comparison, named with its unit"),
    Column("firings", Integer, nullable=False, comment="Firings of the recipe that it was compared with"),
    Column("loss", Double, nullable=False, comment="Mean loss: size of an error, or what a score lacks to 1"),
    Column("corridor", Double, comment="Greatest loss between two repeats; NULL: fewer than three repeats"),
    Column("is_inside", Boolean, comment="Whether the loss is within the corridor; NULL: unknown"),
    Column("baseline_version_id", BigInteger, ForeignKey("mgg.model_versions.id"), comment="Version it is judged by"),
    Column("baseline_loss", Double, comment="Mean loss of that version in the cell"),
    Column("critical", Double, comment="Smallest difference that counts as worse; NULL: the scatter is unknown"),
    Column("is_worse", Boolean, comment="Worse than the baseline beyond scatter; NULL: not judged, or unknown"),
    Column("method_version", String(20), nullable=False, comment="Version of the comparisons' method"),
    UniqueConstraint("evaluated_at", "model_version_id", "cell", "metric"),
    Index(None, "model_version_id", text("evaluated_at DESC")),
    schema="mgg",
    comment="Model versions against the scatter of repeated firings, recipe by recipe, evaluation by evaluation",
)

MODEL_DECISIONS = Table(
    "model_decisions",
    METADATA,
    row_id(),
    Column("evaluated_at", DateTime(timezone=True), nullable=False, comment="Evaluation that it follows from"),
    Column("model_version_id", BigInteger, ForeignKey("mgg.model_versions.id"), nullable=False, comment="Candidate"),
    Column("baseline_version_id", BigInteger, ForeignKey("mgg.model_versions.id"), comment="Last active version"),
    Column("verdict", String(10), nullable=False, comment="allowed, refused, undecided, or approved by a person"),
    Column("reasons", JSONB, nullable=False, comment="Why, in sentences"),
    Column("approved_by", Text, comment="Person who approved what was undecided"),
    created_at("Decided"),
    CheckConstraint("verdict IN ('allowed', 'refused', 'undecided', 'approved')", name="verdict"),
    CheckConstraint("(verdict = 'approved') = (approved_by IS NOT NULL)", name="approved_by"),
    Index(None, "model_version_id", "baseline_version_id", text("id DESC")),
    schema="mgg",
    comment="What was decided of activating a model version; a trigger lets none become active without",
)

OPERATION_LOGS = Table(
    "operation_logs",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of writing"),
    Column("user_id", BigInteger, ForeignKey("mgg.users.id"), comment="User; NULL: the pipeline"),
    Column("log_type", String(20), nullable=False, comment="What kind of operation"),
    Column("action", String(100), nullable=False, comment="What was done"),
    Column("details", Text, comment="Circumstances; may hold personal data"),
    Column("ip_address", INET, comment="Address it came from; personal data"),
    Column("user_agent", Text, comment="Program it came from; personal data"),
    Column("origin", Text, comment="Row of an old database that it was taken over from; NULL: written here"),
    Column(
        "created_at",
        DateTime(timezone=True),
        primary_key=True,
        server_default=func.now(),
        comment="When; partition key",
    ),
    Column(
        "chain_position", BigInteger, nullable=False, comment="Place in the chain of all logs, from 1, without gaps"
    ),
    Column("chain_hash", LargeBinary, nullable=False, comment="SHA-256 over the hash of the place before and this row"),
    CheckConstraint(f"log_type IN {LOG_TYPES}", name="log_type"),
    CheckConstraint("octet_length(chain_hash) = 32", name="chain_hash"),
    Index(None, "user_id", "log_type"),
    Index(None, "log_type"),
    Index(None, text("created_at DESC")),
    schema="mgg",
    comment="What people and the pipeline did, in months; appended to and never changed, each row chained to the last",
    postgresql_partition_by="RANGE (created_at)",
)

QUARANTINE = Table(
    "quarantine",
    METADATA,
    row_id(),
    Column("subject", String(20), nullable=False, comment="simulation, firing, register or takeover"),
    Column("name", Text, comment="Name of the record, or of the file when it could not be read so far"),
    Column("rule", Text, nullable=False, comment="Rule that rejected it"),
    Column("field", Text, comment="Field that the rule names"),
    Column("row", Integer, comment="Row of the file, from 1, or of the series, from 0"),
    Column("reason", Text, nullable=False, comment="What was expected, without personal data"),
    Column("code", SmallInteger, nullable=False, server_default="422", comment="HTTP-style code"),
    Column("payload", JSONB, nullable=False, comment="Record as received, without its series; may hold personal data"),
    Column("payload_hash", LargeBinary, nullable=False, comment="SHA-256 of the whole record"),
    Column("object_key", Text, comment="Where the whole record lies in the object store"),
    Column("first_token", BigInteger, ForeignKey("ops.sync_runs.token"), nullable=False, comment="First attempt"),
    Column("last_token", BigInteger, ForeignKey("ops.sync_runs.token"), nullable=False, comment="Last attempt"),
    Column("times_seen", Integer, nullable=False, server_default="1", comment="Attempts that brought it"),
    Column("quarantined_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="First time"),
    Column("released_at", DateTime(timezone=True), comment="Published after all"),
    UniqueConstraint("subject", "payload_hash", "rule"),
    Index(None, "last_token"),
    schema="mgg",
    comment="Results that wait for a fix, with their reason",
)

TAKEOVERS = Table(
    "takeovers",
    METADATA,
    Column("source_sha256", String(64), primary_key=True, comment="SHA-256 of the old database file"),
    Column("table_name", String(50), primary_key=True, comment="Table that was taken over"),
    Column("last_id", BigInteger, nullable=False, server_default="0", comment="Old number up to which rows are there"),
    Column("rows", BigInteger, nullable=False, server_default="0", comment="Rows written or found there already"),
    Column("quarantined_rows", BigInteger, nullable=False, server_default="0", comment="Rows that could not be taken"),
    Column("source_rows", BigInteger, comment="Rows of the old table; NULL until they are proved"),
    Column("source_digest", String(64), comment="SHA-256 over the rows of the old database in canonical form"),
    Column("target_digest", String(64), comment="The same over the rows as they lie here"),
    Column("proved_at", DateTime(timezone=True), comment="Rows and digests were found equal"),
    Column("token", BigInteger, ForeignKey("ops.sync_runs.token"), nullable=False, comment="Last attempt"),
    CheckConstraint(
        "proved_at IS NULL OR (source_rows = rows + quarantined_rows AND source_digest = target_digest)",
        name="proof",
    ),
    schema="mgg",
    comment="How far the takeover of an old database has come, table by table, and its proof",
)
