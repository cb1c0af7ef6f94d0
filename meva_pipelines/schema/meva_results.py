"""Tables of the schema `meva` that are worked out from published tests: what becomes of a comparison.

The results of the evaluation itself are in `meva`, beside the tests that they belong to.
"""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, DateTime, Double, ForeignKey, Index, Table, Text

from meva_pipelines.schema.base import METADATA

STANDARD_COMPARISON = Table(
    "standard_comparison",
    METADATA,
    Column(
        "sim_id",
        BigInteger,
        ForeignKey("meva.simulation_result.sim_id", ondelete="CASCADE"),
        primary_key=True,
        comment="Evaluated test",
    ),
    Column("property", Text, primary_key=True, comment="Column of standard_property that is compared"),
    Column("outcome", Text, nullable=False, comment="passed, failed or not comparable"),
    Column("symbol", Text, comment="Symbol of ISO 6892-1 of what was measured"),
    Column("measured", Double, comment="Measured value, unit as in the name of the property"),
    Column("standard", Double, comment="Standard value, unit as in the name of the property"),
    Column("difference_pct", Double, comment="(measured - standard) / standard, %"),
    Column("uncertainty_pct", Double, comment="Expanded uncertainty (k = 2) of the measured value, % of the standard"),
    Column("is_certain", Boolean, comment="The uncertainty lies wholly on one side of the tolerance"),
    Column("reason", Text, nullable=False, comment="What was found, or why nothing can be said"),
    Column("source", Text, comment="Source of the standard value"),
    Column("compared_at", DateTime(timezone=True), nullable=False, comment="When"),
    Column("token", BigInteger, nullable=False, comment="ops.sync_runs.token that wrote this row"),
    CheckConstraint("outcome IN ('passed', 'failed', 'not comparable')", name="outcome"),
    CheckConstraint("difference_pct BETWEEN -100 AND 100", name="difference"),
    CheckConstraint("(outcome = 'not comparable') = (difference_pct IS NULL)", name="verdict"),
    Index(None, "outcome"),
    schema="meva",
    comment="Properties of evaluated tests beside standard values: passed, failed, or why they cannot be compared",
)
