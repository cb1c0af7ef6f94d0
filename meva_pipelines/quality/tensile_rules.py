"""Which staged tests may be published: row rules as data, in the order in which they name a culprit.

A rule is a SQL condition over a staged test `s`. A test that breaks one goes to quarantine; the others go on.
"""

from meva_pipelines.domain.tensile.calibration import State
from meva_pipelines.quality.tensile_suites import LARGEST_DROP, LONGEST_MM, STRAIN, STRESS_MPA, TEMPERATURE_C
from meva_pipelines.resources.staging import RowRule

_LENGTHS = ("diameter_mm", "thickness_mm", "width_mm", "gauge_length_mm", "parallel_length_mm")

TENSILE_RULES = (
    RowRule(
        "calibration_holds_on_the_test_date",
        "machine",
        f"s.calibration_state = '{State.EXPIRED}'",
        "no calibration of the machine held on the day of the test (ISO 7500-1): enter the calibration in the register "
        "of machines and replay, or test again",
    ),
    RowRule("at_least_two_points", None, "s.points < 2", "a test has two points or more"),
    RowRule(
        "times_strictly_increase", "time", "NOT s.min_time_step_s > 0", "a time does not increase after the repairs"
    ),
    RowRule("load_and_displacement_are_numbers", None, "s.missing_values > 0", "points without load or displacement"),
    RowRule("load_pulls", "force", "NOT s.load_max_n > 0", "the load never pulls"),
    *(
        RowRule(
            "dimensions_are_possible",
            column,
            f"NOT (s.{column} > 0 AND s.{column} <= {LONGEST_MM})",
            f"{column} is above 0 and at most {LONGEST_MM:g}",
        )
        for column in _LENGTHS
    ),
    RowRule("dimensions_are_possible", "area_mm2", "NOT s.area_mm2 > 0", "an area is above 0"),
    RowRule(
        "temperature_is_possible",
        "temperature_c",
        f"s.temperature_c NOT BETWEEN {TEMPERATURE_C[0]} AND {TEMPERATURE_C[1]}",
        f"temperatures lie between {TEMPERATURE_C[0]:g} and {TEMPERATURE_C[1]:g} °C",
    ),
    RowRule(
        "stress_is_possible",
        "force",
        f"s.stress_max_mpa > {STRESS_MPA[1]}",
        f"a stress above {STRESS_MPA[1]:g} MPa: the unit of force or the cross-section is wrong",
    ),
    RowRule(
        "strain_is_possible",
        "strain",
        f"s.strain_max > {STRAIN[1]} OR s.strain_min < {STRAIN[0]}",
        f"strains lie between {STRAIN[0]:g} and {STRAIN[1]:g} (ratios): the unit or the gauge length is wrong",
    ),
    RowRule(
        "load_rises_until_the_maximum",
        "force",
        f"s.largest_drop_ratio > {LARGEST_DROP}",
        "the load falls almost to zero before its maximum: a cyclic test, or two records in one",
    ),
)
