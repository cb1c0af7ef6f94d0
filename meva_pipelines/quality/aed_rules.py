"""Which staged registry records may be published: row rules as data, in the order in which they name a culprit.

A rule is a SQL condition over a staged row `s`. A record that breaks one goes to quarantine; the batch goes on.
"""

from meva_pipelines.domain.contract import FieldType, RecordContract
from meva_pipelines.domain.regions import KOREA_BOX, NameStatus
from meva_pipelines.resources.staging import RowRule


def row_rules(contract: RecordContract) -> tuple[RowRule, ...]:
    """Return the row rules of a source: its contract first, then what is true of every registry record."""
    return (*_required(contract), *_lengths(contract), *_REGISTRY)


def _required(contract: RecordContract) -> tuple[RowRule, ...]:
    return tuple(
        RowRule(
            "required_field_is_given",
            field.source,
            f"s.{field.column} IS NULL",
            f"{field.source} is required by the contract {contract.name} v{contract.version}",
        )
        for field in contract.fields
        if field.required
    )


def _lengths(contract: RecordContract) -> tuple[RowRule, ...]:
    return tuple(
        RowRule(
            "text_has_its_length",
            field.source,
            f"octet_length(s.{field.column}) > {field.length} AND char_length(s.{field.column}) > {field.length}",
            f"{field.source} has more than {field.length} characters",
        )
        for field in contract.fields
        if field.type is FieldType.TEXT and field.length is not None
    )


_BOX = KOREA_BOX
_REGISTRY = (
    RowRule(
        "coordinates_come_in_pairs",
        "latitude, longitude",
        "(s.latitude IS NULL) <> (s.longitude IS NULL)",
        "one coordinate is given and the other is not",
    ),
    RowRule(
        "coordinates_are_not_zero",
        "latitude, longitude",
        "s.latitude = 0 AND s.longitude = 0",
        "0/0 is a default, not a place",
    ),
    RowRule(
        "coordinates_are_not_swapped",
        "latitude, longitude",
        f"s.latitude BETWEEN {_BOX.west} AND {_BOX.east} AND s.longitude BETWEEN {_BOX.south} AND {_BOX.north}",
        "latitude and longitude are swapped",
    ),
    RowRule(
        "coordinates_lie_in_korea",
        "latitude, longitude",
        f"s.latitude NOT BETWEEN {_BOX.south} AND {_BOX.north} OR s.longitude NOT BETWEEN {_BOX.west} AND {_BOX.east}",
        f"outside {_BOX.south}–{_BOX.north} °N, {_BOX.west}–{_BOX.east} °E: a ship, or wrong",
    ),
    RowRule(
        "region_is_given",
        "sido, gugun",
        f"s.region_status = '{NameStatus.MISSING}'",
        "sido, or the gugun that it needs, is missing",
    ),
    RowRule(
        "region_exists",
        "sido, gugun",
        f"s.region_status IN ('{NameStatus.UNKNOWN_SIDO}', '{NameStatus.UNKNOWN_PAIR}')",
        "no such sido and gugun on the day of the sync",
    ),
    RowRule(
        "change_is_not_in_the_future",
        "source_modified_at",
        "s.source_modified_at > now() + interval '1 hour'",
        "changed more than an hour from now: the clock of the source is wrong, and later changes would look older",
    ),
)
