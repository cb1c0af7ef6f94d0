"""What must be true of a cold part before its hot rows may leave: suites as data.

The suites look at one row per part: what the database says of the hot rows beside what was read again from the file.
"""

from meva_pipelines.quality.expectations import Expectation, Suite, Target, between, given


def _equal(name: str, hot: str, cold: str) -> Expectation:
    return Expectation(name, "ExpectColumnPairValuesToBeEqual", {"column_A": hot, "column_B": cold})


def _none(name: str, column: str) -> Expectation:
    return between(name, column, 0, 0)


WHOLE = Suite(
    "cold_copies_equal_the_hot_rows",
    Target.PARTS,
    "What was read again from the file is what the database holds: rows, digest, first and last key",
    (
        Expectation("there_is_one_part", "ExpectTableRowCountToEqual", {"value": 1}),
        between("the_part_is_not_empty", "hot_rows", 1, None),
        given("sha256"),
        _equal("rows_are_equal", "hot_rows", "cold_rows"),
        _equal("digests_are_equal", "hot_digest", "cold_digest"),
        _equal("first_keys_are_equal", "hot_min_key", "cold_min_key"),
        _equal("last_keys_are_equal", "hot_max_key", "cold_max_key"),
        _none("nothing_is_missing_that_must_be_given", "forbidden_nulls"),
        _none("every_row_lies_in_the_period", "rows_outside"),
    ),
)

INVARIANT = Suite(
    "published_numbers_follow_from_the_file",
    Target.PARTS,
    "Fingerprints, peaks and comparisons recomputed from the file equal those that were published",
    (
        _none("curves_are_those_published", "differing_curves"),
        _none("comparisons_are_those_published", "differing_comparisons"),
    ),
)

PART_SUITES = (WHOLE, INVARIANT)
