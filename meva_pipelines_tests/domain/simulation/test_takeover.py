"""Rows of an old database in the one form that is written and proved."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import takeover
from meva_pipelines.domain.simulation.takeover import TABLES, Tally

SEOUL = ZoneInfo("Asia/Seoul")
FORWARD = next(old for old in TABLES if old.name == "forward_simulations")


def test_values_are_converted_once() -> None:
    row = {"nc_amount": 12.3456499, "num_models": "40", "created_at": "2024-03-01 09:00:00", "status": ""}
    found = takeover.convert(FORWARD, row, zone=SEOUL)
    assert found["nc_amount"] == Decimal("12.3456")
    assert found["num_models"] == 40
    assert found["created_at"] == datetime(2024, 3, 1, 0, 0, tzinfo=UTC)
    assert found["status"] is None
    assert found["peak_time"] is None


@pytest.mark.parametrize(("name", "value"), [("nc_amount", "a lot"), ("num_models", 1.5), ("created_at", "yesterday")])
def test_a_value_of_another_type_is_named(name: str, value: object) -> None:
    with pytest.raises(Unusable) as caught:
        takeover.convert(FORWARD, {name: value}, zone=SEOUL)
    assert (caught.value.rule, caught.value.field) == ("value_is_typed", name)


@given(st.decimals(-9_999, 9_999, places=4), st.integers(4, 10))
def test_the_same_number_has_one_form_whatever_its_trailing_zeros(value: Decimal, places: int) -> None:
    assert takeover.canonical([value]) == takeover.canonical([value.quantize(Decimal(1).scaleb(-places))])


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=20))
def test_the_digest_does_not_depend_on_the_order_and_counts_repetitions(rows: list[bytes]) -> None:
    first, second, doubled = Tally(), Tally(), Tally()
    for row in rows:
        first.add(row)
    for row in sorted(rows):
        second.add(row)
    for row in [*rows, rows[0]]:
        doubled.add(row)
    assert first.digest == second.digest
    assert first.digest != doubled.digest
