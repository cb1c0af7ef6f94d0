"""Records: what is written is what is read, and nothing else is taken for a record."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.backup import records
from meva_pipelines.domain.backup.vocabulary import Extent, Trigger, types
from meva_pipelines.domain.failures import Unusable
from meva_pipelines_tests.domain.backup.shelf_of_records import made, part

BACKUP = replace(
    made(7, parent=made(6)),
    description="앞선 백업 위에",
    tags=("주간",),
    figures={"streamed_s": 1.25, "database_bytes": 4_000},
    source_paths=("/srv/landing",),
)


def test_a_record_comes_back_as_it_was_written() -> None:
    assert records.read(records.written(BACKUP), expected_id=BACKUP.id) == BACKUP


def test_the_two_questions_of_the_seeds_types_are_both_answered() -> None:
    assert BACKUP.types == ("scheduled", "incremental")
    assert types(Trigger.DATA_CORRUPTION.origin, Extent.FULL) == ("emergency", "full")
    assert {Trigger(trigger).origin.value for trigger in Trigger} == {"automatic", "manual", "scheduled", "emergency"}


def test_the_ratio_is_per_cent_saved() -> None:
    assert BACKUP.compression_ratio == 80.0
    assert replace(BACKUP, parts=()).compression_ratio == 0.0


def test_a_record_at_another_place_is_refused() -> None:
    with pytest.raises(Unusable, match="another backup"):
        records.read(records.written(BACKUP), expected_id=made(8).id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 8),
        ("parent_digest", "00" * 32),
        ("completed_at", (BACKUP.completed_at + timedelta(seconds=1)).isoformat()),
        ("key_id", "1" * 16),
        ("description", ""),
    ],
)
def test_a_record_that_was_changed_is_refused(field: str, value: object) -> None:
    outer = json.loads(records.written(BACKUP))
    outer["record"][field] = value
    with pytest.raises(Unusable):
        records.read(json.dumps(outer).encode(), expected_id=BACKUP.id)


@given(st.integers(0, len(records.written(BACKUP)) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unseen(position: int, change: int) -> None:
    """Layout and the spelling of numbers may change without meaning; the meaning may not."""
    content = bytearray(records.written(BACKUP))
    content[position] ^= change
    try:
        found = records.read(bytes(content), expected_id=BACKUP.id)
    except Unusable:
        return
    assert found == BACKUP


@given(st.binary(max_size=400))
def test_garbage_is_no_record(content: bytes) -> None:
    with pytest.raises(Unusable):
        records.read(content, expected_id=BACKUP.id)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
        max_leaves=8,
    )
)
def test_json_of_another_form_is_no_record(body: object) -> None:
    with pytest.raises(Unusable):
        records.read(json.dumps({"digest": "", "record": body}).encode(), expected_id=BACKUP.id)


def test_two_parts_of_one_name_are_refused() -> None:
    doubled = replace(BACKUP, parts=(part(), part()))
    with pytest.raises(Unusable):
        records.read(records.written(doubled), expected_id=BACKUP.id)


def test_a_part_cannot_lead_out_of_its_folder() -> None:
    escaping = replace(BACKUP, parts=(part("../../etc/passwd"),))
    with pytest.raises(Unusable):
        records.read(records.written(escaping), expected_id=BACKUP.id)
    with pytest.raises(Unusable, match="no part"):
        BACKUP.part("manifest")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("figures", {"streamed_s": float("nan")}),
        ("description", "a\ud800b"),
        ("description", "a\0b"),
        ("covers_until", "9999-12-31T23:59:59+00:00"),
        ("created_at", "0001-01-01T00:00:00+14:00"),
        ("sequence", 1 << 70),
    ],
)
def test_what_nobody_can_calculate_with_or_store_is_no_record(field: str, value: object) -> None:
    outer = json.loads(records.written(BACKUP))
    outer["record"][field] = value
    with pytest.raises(Unusable):
        records.read(json.dumps(outer).encode(), expected_id=BACKUP.id)


def test_the_digest_of_a_moment_that_overflows_is_not_even_asked_for() -> None:
    """A record that is whole in itself and would still upset whoever adds a day to its moments."""
    late = replace(BACKUP, completed_at=BACKUP.completed_at.replace(year=9999))
    with pytest.raises(Unusable):
        records.read(records.written(late), expected_id=BACKUP.id)
