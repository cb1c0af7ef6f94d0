"""Documents as typed values: what is missing, misspelled or out of bounds is named and never ignored."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import documents, references
from meva_pipelines.domain.simulation.documents import Firing, Forward, Model, Named, Reverse
from meva_pipelines.domain.simulation.references import Known
from meva_pipelines.domain.simulation.registers import Register
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season

SEASON = Season(orders=3, repeats=1)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@cache
def written() -> dict[str, bytes]:
    return {**dict(firing_files.simulation_files(SEASON)), **dict(firing_files.firing_files(SEASON))}


def plain(part: str, /, **changes: Any) -> dict[str, Any]:
    """The document of the season in whose name `part` stands, changed."""
    text = next(content for name, content in written().items() if part in name and name.endswith(".json"))
    found: dict[str, Any] = json.loads(text)
    return {key: value for key, value in (found | changes).items() if value != "absent"}


def rule_of(document: Any) -> tuple[str, str | None]:
    with pytest.raises(Unusable) as caught:
        documents.parse(document)
    return caught.value.rule, caught.value.field


def test_every_kind_of_the_season_is_read() -> None:
    kinds = {
        type(documents.parse(json.loads(content)))
        for files in (firing_files.simulation_files(SEASON), firing_files.firing_files(SEASON))
        for name, content in files
        if name.endswith(".json")
    }
    assert kinds == {Forward, Reverse, Model, Register, Firing}


def test_a_firing_names_its_files() -> None:
    firing = documents.parse(plain("F1"))
    assert documents.companions(firing) == tuple(
        Named(f"WO-20260110-100000-F1-{n}.xlsx", None, "WO-20260110-100000/F1") for n in range(2)
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "firings"}, ("document_is_known", None)),
        ({"name": "absent"}, ("field_is_given", "name")),
        ({"name": 7}, ("field_is_valid", "name")),
        ({"name": "n" * 101}, ("field_is_valid", "name")),
        ({"name": "a\0b"}, ("field_is_valid", "name")),
        ({"test_date": "2026-13-01"}, ("field_is_valid", "test_date")),
        ({"recorded_at": "2026-01-01T00:00:00"}, ("field_is_valid", "recorded_at")),
        ({"status": "archive"}, ("field_is_valid", "status")),
        ({"test_date": "1899-12-31"}, ("field_is_valid", "test_date")),
        ({"recorded_at": "0001-01-01T00:00:00+14:00"}, ("field_is_valid", "recorded_at")),
        ({"tester": "E1"}, ("field_is_known", "tester")),
        ({"test\0er": "E1"}, ("field_is_known", "test\ufffder")),
        ({"files": []}, ("field_is_given", "files")),
        ({"files": [{"file": "a"}, {"file": "a"}]}, ("field_is_given", "files")),
        ({"files": [{"file": "a", "size": 1}]}, ("field_is_known", "files[0].size")),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], expected: tuple[str, str | None]) -> None:
    assert rule_of(plain("F1", **changes)) == expected


def test_a_completed_simulation_has_a_series_and_a_failed_one_says_why() -> None:
    name = "WO-20260110-100000-pt-forward-1.0"
    assert rule_of(plain(name, series="absent")) == ("field_is_given", "series")
    assert rule_of(plain(name, series="absent", status="failed")) == ("field_is_given", "error")
    failed = documents.parse(plain(name, series="absent", status="failed", error="diverged"))
    assert isinstance(failed, Forward)
    assert failed.curve is None


def test_amounts_are_bounded_by_what_is_stored() -> None:
    name = "WO-20260110-100000-pt-forward-1.0"
    inputs = plain(name)["inputs"]
    assert rule_of(plain(name, inputs=inputs | {"nc_amount_mg": -1})) == ("field_is_valid", "inputs.nc_amount_mg")
    assert rule_of(plain(name, inputs=inputs | {"nc_amount_mg": 1e6})) == ("field_is_valid", "inputs.nc_amount_mg")


def test_messages_do_not_quote_values() -> None:
    with pytest.raises(Unusable) as caught:
        documents.parse(plain("F1", status="Hong Gil-dong"))
    assert "Hong" not in str(caught.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["F1", "register", "model-", "reverse", "pt-forward-1.0"]), st.data())
def test_a_spoiled_document_is_read_or_refused(name: str, data: st.DataObject) -> None:
    document = plain(name)
    key = data.draw(st.sampled_from(sorted(document)))
    document[key] = data.draw(_JSON)
    with suppress(Unusable):
        documents.parse(document)


def test_what_a_result_refers_to_must_exist() -> None:
    firing, register = documents.parse(plain("F1")), documents.parse(plain("register"))
    assert isinstance(register, Register)
    with pytest.raises(Unusable) as caught:
        references.demand(firing, Known(), now=NOW)
    assert (caught.value.rule, caught.value.field) == ("user_is_known", "user")
    references.demand(firing, references.extended(Known(), [register], now=NOW), now=NOW)


def register_of(**tables: Any) -> Register:
    found = documents.parse({"kind": "register", **tables})
    assert isinstance(found, Register)
    return found


def person(name: str, email: str) -> dict[str, str]:
    return {"username": name, "email": email}


ORDER = {"work_order_number": "WO-20260110-100000", "created_by": "a", "created_at": "2026-01-10T10:00:00+09:00"}


@pytest.mark.parametrize(
    "known", [Known(), Known(users=frozenset({"b"}), emails={"one@example.org": "b"})], ids=["register", "warehouse"]
)
def test_an_address_belongs_to_one_person(known: Known) -> None:
    """The table demands it: unnoticed, one such register would keep the whole batch from being published."""
    people = [person("a", "two@example.org"), person("c", "one@example.org"), person("b", "one@example.org")]
    with pytest.raises(Unusable) as caught:
        references.demand(register_of(users=people), known, now=NOW)
    assert caught.value.rule == "email_is_free"
    assert caught.value.field == ("users[1].email" if known.emails else "users[2].email")
    assert "@" not in str(caught.value)


def test_a_person_may_come_again_with_another_address() -> None:
    known = Known(users=frozenset({"a"}), emails={"one@example.org": "a"})
    references.demand(register_of(users=[person("a", "new@example.org")]), known, now=NOW)


def test_registers_of_a_batch_complete_each_other_in_any_order() -> None:
    orders, people = register_of(work_orders=[ORDER]), register_of(users=[person("a", "a@example.org")])
    for batch in ([orders, people], [people, orders]):
        known = references.extended(Known(), batch, now=NOW)
        assert [*known.users, *known.work_orders] == ["a", "WO-20260110-100000"]


def test_a_register_that_is_refused_brings_nothing() -> None:
    refused = register_of(users=[person("b", "b@example.org")], work_orders=[ORDER])
    assert references.extended(Known(), [refused], now=NOW) == Known()


def test_a_model_keeps_its_type() -> None:
    model = documents.parse(plain("model-pt-forward-1.0"))
    assert isinstance(model, Model)
    known = references.extended(Known(), [model], now=NOW)
    references.demand(model, known, now=NOW)
    with pytest.raises(Unusable) as caught:
        references.demand(replace(model, model_type="reverse"), known, now=NOW)
    assert caught.value.rule == "model_type_is_kept"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"work_order_number": "WO-1"}, "work_orders[0].work_order_number"),
        ({"completed_at": "2026-01-10T09:59:59+09:00"}, "work_orders[0].completed_at"),
    ],
)
def test_an_order_is_what_its_table_demands(changes: dict[str, str], field: str) -> None:
    assert rule_of({"kind": "register", "work_orders": [ORDER | changes]}) == ("field_is_valid", field)


def test_a_result_from_the_future_is_refused() -> None:
    register = documents.parse(plain("register"))
    assert isinstance(register, Register)
    known = references.extended(Known(), [register], now=NOW)
    late = documents.parse(plain("F1", recorded_at=(NOW + timedelta(hours=2)).isoformat()))
    with pytest.raises(Unusable) as caught:
        references.demand(late, known, now=NOW)
    assert caught.value.rule == "time_is_past"
