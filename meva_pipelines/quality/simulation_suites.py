"""What must be true of simulations, firings and their comparisons before they are published: suites as data.

The suites look at one row per result: what is stated of it, and the profile of its curves. Results that break a rule
of their documents are in quarantine before; a suite that fails says that a rule, a reader or the staging is wrong.
"""

from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.documents import Kind
from meva_pipelines.quality.expectations import Expectation, Severity, Suite, Target, between, given, unique


def _among(
    name: str, column: str, values: list[str] | list[bool], severity: Severity = Severity.CRITICAL
) -> Expectation:
    return Expectation(name, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": values}, severity)


WHOLE = Suite(
    "results_are_whole",
    Target.RESULTS,
    "Every result has its name, its content and what is published of it, once",
    (
        Expectation("there_is_a_result", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        given("name"),
        given("content_sha256"),
        given("payload"),
        unique("content_sha256"),
        _among("kinds_are_known", "kind", [kind.value for kind in Kind]),
        _among("models_are_on_record", "is_model_known", [True], Severity.WARNING),
    ),
)

SENSIBLE = Suite(
    "curves_make_sense",
    Target.RESULTS,
    "Curves begin at their trigger, run forward, and have one peak of a possible pressure before their end",
    (
        between("curves_have_two_points", "points", 2, curves.MOST_POINTS),
        between("curves_begin_at_their_trigger", "start_ms", -curves.LATEST_START_MS, curves.LATEST_START_MS),
        between("curves_end_in_time", "end_ms", None, curves.LONGEST_MS),
        between("time_never_runs_backwards", "smallest_step_ms", 0.0, None),
        between("peaks_are_possible", "peak_mpa", curves.LEAST_PEAK_MPA, curves.GREATEST_MPA),
        between("pressures_hardly_fall_below_zero", "lowest_pct", curves.LOWEST_PCT, None),
        between("peaks_lie_in_the_first_half", "peak_at_share", None, 0.5, Severity.WARNING),
        between("sensors_agree_on_the_peak", "spread_of_peaks_pct", None, 5.0, Severity.WARNING),
    ),
)

RESULT_SUITES = (WHOLE, SENSIBLE)

COMPARISONS = Suite(
    "comparisons_are_sound",
    Target.RESULTS,
    "Every comparison names its curves; its figures lie where figures of that kind can lie",
    (
        given("simulation_id"),
        given("test_result_id"),
        given("simulation_sha256"),
        given("test_sha256"),
        _among("alignments_are_known", "alignment", ["raw", "ignition"]),
        between("errors_are_not_negative", "rmse", 0.0, None),
        between("correlations_are_correlations", "correlation", -1.0, 1.0),
        between("ratings_are_ratings", "iso18571_overall", 0.0, 1.0),
        between("overlaps_are_shares", "overlap_ratio", 0.0, 1.0),
        _among("curves_are_comparable", "is_comparable", [True], Severity.WARNING),
    ),
)
