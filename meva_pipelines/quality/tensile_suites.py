"""What must be true of tensile tests before they are published: expectation suites as data.

The suites look at one row per test: what is stated of it, and the profile of its curve. Tests that break a row rule
are in quarantine before; a suite that fails says that a rule, a reader or the staging is wrong.
"""

from meva_pipelines.domain.tensile import plausibility
from meva_pipelines.domain.tensile.calibration import State
from meva_pipelines.domain.tensile.recording import DisplacementSource
from meva_pipelines.quality.expectations import Expectation, Severity, Suite, Target, between, given, unique

LONGEST_MM = 1_000.0
STRESS_MPA = (0.0, 10_000.0)
TEMPERATURE_C = (-50.0, 1_000.0)
STRAIN = (-0.05, 20.0)
"""Metals stay below 1; films of polymers are drawn to several times their length."""

LARGEST_DROP = 0.9
"""Share of the maximum by which the load may fall before it: a yield drop and a drawn film do, two records do not."""


def _above(name: str, column: str, low: float) -> Expectation:
    return Expectation(name, "ExpectColumnValuesToBeBetween", {"column": column, "min_value": low, "strict_min": True})


def _among(
    name: str, column: str, values: list[str] | list[bool], severity: Severity = Severity.CRITICAL
) -> Expectation:
    return Expectation(name, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": values}, severity)


WHOLE = Suite(
    "tests_are_whole",
    Target.TESTS,
    "Every test has its points: two or more, times that strictly increase, no missing load or displacement",
    (
        Expectation("there_is_a_test", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        given("name"),
        given("content_sha256"),
        given("curve_sha256"),
        unique("content_sha256"),
        between("tests_have_two_points", "points", 2, None),
        _above("times_strictly_increase", "min_time_step_s", 0.0),
        between("no_load_or_displacement_is_missing", "missing_values", None, 0.0),
        _among("displacement_has_a_source", "displacement_source", [source.value for source in DisplacementSource]),
    ),
)

SENSIBLE = Suite(
    "tests_make_sense",
    Target.TESTS,
    "Dimensions, temperature, strain and stress are possible, and the load rises until its maximum",
    (
        *(
            expectation
            for column in ("diameter_mm", "thickness_mm", "width_mm", "gauge_length_mm", "parallel_length_mm")
            for expectation in (
                _above(f"{column}_is_positive", column, 0.0),
                between(f"{column}_is_at_most_a_metre", column, None, LONGEST_MM),
            )
        ),
        _above("areas_are_positive", "area_mm2", 0.0),
        between("temperatures_are_possible", "temperature_c", *TEMPERATURE_C),
        between("strains_are_possible", "strain_max", *STRAIN),
        between("strains_do_not_shrink", "strain_min", STRAIN[0], None),
        between("strains_are_those_of_metals", "strain_max", None, 1.0, Severity.WARNING),
        between("stresses_are_possible", "stress_max_mpa", *STRESS_MPA),
        _above("loads_pull", "load_max_n", 0.0),
        between("loads_rise_until_the_maximum", "largest_drop_ratio", 0.0, LARGEST_DROP),
        between("loads_rarely_fall_before_the_maximum", "largest_drop_ratio", None, 0.3, Severity.WARNING),
    ),
)

CALIBRATED = Suite(
    "machines_were_calibrated",
    Target.TESTS,
    "No test comes from a machine whose calibration did not hold on its day (ISO 7500-1)",
    (
        _among(
            "no_calibration_had_expired",
            "calibration_state",
            [State.VALID.value, State.UNKNOWN.value, State.NOT_STATED.value],
        ),
        _among("calibrations_are_on_record", "calibration_state", [State.VALID.value], Severity.WARNING),
    ),
)

TENSILE_SUITES = (WHOLE, SENSIBLE, CALIBRATED)

RESULTS = Suite(
    "properties_are_plausible",
    Target.RESULTS,
    "Moduli and strengths of solids, in their order, from records that are fine enough for them",
    (
        Expectation("there_is_a_result", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        given("content_sha256"),
        given("results"),
        between("moduli_are_those_of_solids", "young_modulus_gpa", *plausibility.MODULUS_GPA),
        _above("yield_strengths_are_positive", "yield_strength_mpa", 0.0),
        _above("tensile_strengths_are_positive", "tensile_strength_mpa", 0.0),
        between("elongations_are_possible", "elongation_pct", *plausibility.ELONGATION_PCT),
        _among("no_result_contradicts_itself", "broken_rules", [""]),
        _among("records_are_good_enough_for_a_slope", "quality_is_good", [True], Severity.WARNING),
    ),
)

COMPARISONS = Suite(
    "comparisons_are_fair",
    Target.RESULTS,
    "Every comparison has a verdict and its reason; what differs by more than 100 % is not the same thing",
    (
        given("sim_id"),
        given("reason"),
        _among("outcomes_are_known", "outcome", ["passed", "failed", "not comparable"]),
        between("differences_are_comparable", "difference_pct", -100.0, 100.0),
        between("differences_are_moderate", "difference_pct", -25.0, 25.0, Severity.WARNING),
    ),
)

STANDARDS = Suite(
    "standard_values_are_sound",
    Target.STANDARDS,
    "Every standard value names its source and grade and lies where values of solids do",
    (
        Expectation("there_is_a_standard_value", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        given("material"),
        given("source"),
        given("publisher"),
        _among("grades_are_known", "grade", ["A", "B", "C", "D"]),
        between("moduli_are_those_of_solids", "young_modulus_gpa", *plausibility.MODULUS_GPA),
        between("yield_strengths_are_possible", "yield_strength_mpa", 0.0, STRESS_MPA[1]),
        between("tensile_strengths_are_possible", "tensile_strength_mpa", 0.0, STRESS_MPA[1]),
        between("elongations_are_possible", "elongation_pct", 0.0, 100 * STRAIN[1]),
        between("densities_are_possible", "density_kg_m3", 1.0, 25_000.0),
        Expectation(
            "yield_is_below_tensile_strength",
            "ExpectColumnPairValuesAToBeGreaterThanB",
            {
                "column_A": "tensile_strength_mpa",
                "column_B": "yield_strength_mpa",
                "or_equal": True,
                "ignore_row_if": "either_value_is_missing",
            },
        ),
    ),
)
