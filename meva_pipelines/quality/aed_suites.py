"""What must be true of a registry batch before it is published: expectation suites as data.

Stages 1 to 3 of seed 001 §5.1 look at the staged rows; stage 4 looks at the profile of what readers would see.
A share (`mostly`) of a delta of three rows means nothing: every rule about shares therefore speaks of the profile.
"""

from dataclasses import replace

from meva_pipelines.domain.regions import KOREA_BOX, NameStatus
from meva_pipelines.quality.expectations import (
    Expectation,
    Severity,
    Suite,
    Target,
    at_most,
    between,
    given,
    unique,
)

_RESOLVED = [
    NameStatus.CURRENT.value,
    NameStatus.LEGACY.value,
    NameStatus.EARLY.value,
    NameStatus.AMBIGUOUS.value,
]

AED_FORMAT = Suite(
    "records_keep_the_contract",
    Target.RECORDS,
    "Required fields, types and lengths (seed 001 §5.1 stage 1)",
    (
        given("source_id"),
        at_most("source_id", 50),
        given("installation_institution"),
        at_most("installation_institution", 255),
        given("installation_address"),
        at_most("installation_address", 255),
        given("sido"),
        at_most("model_name", 255),
        at_most("manufacturer", 255),
        given("row_hash"),
    ),
)

AED_BUSINESS = Suite(
    "records_make_sense",
    Target.RECORDS,
    "One row per device, coordinates in Korea, sido and gugun that belong together (stage 2)",
    (
        unique("source_id"),
        between("latitudes_lie_in_korea", "latitude", KOREA_BOX.south, KOREA_BOX.north),
        between("longitudes_lie_in_korea", "longitude", KOREA_BOX.west, KOREA_BOX.east),
        Expectation(
            "regions_exist_on_the_day",
            "ExpectColumnValuesToBeInSet",
            {"column": "region_status", "value_set": _RESOLVED},
        ),
        given("region_code"),
        Expectation(
            "devices_are_made_before_they_are_installed",
            "ExpectColumnPairValuesAToBeGreaterThanB",
            {
                "column_A": "installation_date",
                "column_B": "manufacturing_date",
                "or_equal": True,
                "mostly": 0.99,
                "ignore_row_if": "either_value_is_missing",
            },
            Severity.WARNING,
        ),
    ),
)

AED_DATABASE = Suite(
    "records_fit_the_published_table",
    Target.RECORDS,
    "Keys and values that the published table can take (stage 3); health centres are normalised, never refused",
    (
        unique("equipment_serial"),
        given("sido_code"),
        at_most("sido", 50),
        at_most("gugun", 50),
        at_most("jurisdiction_health_center", 100),
        at_most("operation_status", 50),
        at_most("access_control", 50),
    ),
)

AED_DRIFT = Suite(
    "changes_stay_within_expectation",
    Target.PROFILE,
    "What readers would see beside what they see now: never empty, counts within ±10 %, null shares steady (stage 4)",
    (
        Expectation("the_registry_is_not_empty", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        Expectation("devices_remain", "ExpectColumnMaxToBeBetween", {"column": "candidate_rows", "min_value": 1}),
        between("counts_change_moderately", "guarded_change_pct", -10.0, 10.0),
        between("devices_do_not_vanish", "absent_pct", None, 10.0),
        between("coordinates_are_rarely_missing", "guarded_no_coordinates_pct", None, 20.0),
        between("coordinates_do_not_vanish", "no_coordinates_drift_pct", None, 2.0),
        between("addresses_do_not_lose_their_numbers", "no_number_drift_pct", None, 5.0),
        between("places_do_not_vanish", "no_position_drift_pct", None, 5.0),
        between("makers_do_not_vanish", "no_manufacturer_drift_pct", None, 5.0),
        between("changes_rarely_take_coordinates_away", "lost_coordinates_pct", None, 25.0),
        between("changes_rarely_take_house_numbers_away", "lost_numbers_pct", None, 25.0),
        between("changes_rarely_take_places_away", "lost_positions_pct", None, 25.0),
        between("changes_rarely_take_makers_away", "lost_manufacturers_pct", None, 25.0),
        between("addresses_mostly_have_numbers", "guarded_no_number_pct", None, 50.0),
        between("few_records_are_quarantined", "quarantined_pct", None, 5.0),
        between("health_centers_are_known", "unknown_health_centers_pct", None, 20.0, Severity.WARNING),
    ),
)

AED_SUITES = (AED_FORMAT, AED_BUSINESS, AED_DATABASE, AED_DRIFT)
AED_TARGETS = (Target.RECORDS, Target.PROFILE)


def aed_suites(*, max_change_pct: float, max_quarantined_pct: float) -> tuple[Suite, ...]:
    """Return the suites of the registry with other limits than ±10 % of the count and 5 % in quarantine."""
    bounds = {
        "counts_change_moderately": {"min_value": -max_change_pct, "max_value": max_change_pct},
        "devices_do_not_vanish": {"max_value": max_change_pct},
        "few_records_are_quarantined": {"max_value": max_quarantined_pct},
    }
    return tuple(
        replace(
            suite,
            expectations=tuple(
                replace(expectation, arguments={**expectation.arguments, **bounds.get(expectation.name, {})})
                for expectation in suite.expectations
            ),
        )
        for suite in AED_SUITES
    )
