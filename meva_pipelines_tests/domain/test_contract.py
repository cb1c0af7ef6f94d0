"""Contracts are parsed strictly: what a file says wrongly is named, what it says rightly is kept."""

import copy

import pytest

from meva_pipelines.domain import contract
from meva_pipelines.domain.contract import FieldType, KeyPlace, Wire
from meva_pipelines.resources import reference

SMALL: dict[str, object] = {
    "name": "small",
    "version": 1,
    "key": "id",
    "key_length": 10,
    "modified": "changed",
    "endpoint": {"full": "v1/all", "parameters": {"_type": "json"}},
    "paging": {"page": "p", "size": "n", "default_size": 10, "max_size": 100},
    "auth": {"place": "header", "name": "X-Key"},
    "answer": {"wire": "json", "items": "rows", "page": "p", "size": "n", "total": "t"},
    "widths": {"first": 3},
    "fields": [
        {"source": "place", "column": "sido", "type": "text", "required": True, "meaning": "Where"},
        {
            "from": ["first", "second"],
            "column": "postal_code",
            "type": "text",
            "length": 5,
            "transform": "joined",
            "meaning": "Post code",
        },
    ],
    "ignored": ["row"],
}
PUBLISHED_PERSONAL = {"manager", "institution_contact"}


def changed(**entries: object) -> dict[str, object]:
    return copy.deepcopy(SMALL) | entries


def part(name: str, **entries: object) -> dict[str, object]:
    inner = SMALL[name]
    assert isinstance(inner, dict)
    return changed(**{name: inner | entries})


def field(**entries: object) -> dict[str, object]:
    return changed(fields=[{"source": "a", "column": "sido", "type": "text", "meaning": "A"} | entries])


def test_a_contract_is_read_entry_by_entry() -> None:
    read = contract.parse(SMALL)

    assert (read.name, read.key, read.modified) == ("small", "id", "changed")
    assert read.endpoint.parameters == (("_type", "json"),)
    assert (read.auth.place, read.shape.wire, read.shape.items) == (KeyPlace.HEADER, Wire.JSON, ("rows",))
    assert (read.fields[0].reads, read.fields[0].required) == (("place",), True)
    assert (read.fields[1].source, read.fields[1].reads) == ("first+second", ("first", "second"))


def test_unknown_and_missing_fields_are_told_apart() -> None:
    read = contract.parse(SMALL)

    assert read.unknown(["id", "changed", "row", "place", "first", "second", "colour"]) == ("colour",)
    assert read.missing(["row", "second"]) == ("id", "place")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ("text", "contract: a mapping"),
        (changed(name=None), "contract.name"),
        (changed(version="1"), "contract.version"),
        (changed(version=True), "contract.version"),
        (changed(surprise=1), "unknown entries surprise"),
        (changed(fields=[]), "contract.fields"),
        (changed(ignored="row"), "contract.ignored"),
        (changed(ignored=["place"]), "fields that are also used: place"),
        (changed(widths={"colour": 3}), "contract.widths: fields that the contract does not know: colour"),
        (changed(widths={"first": "3"}), "contract.widths.first"),
        (part("endpoint", district="v1/one"), "district_parameters"),
        (part("endpoint", parameters=["a"]), "contract.endpoint.parameters"),
        (part("paging", default_size=1000), "default_size"),
        (part("paging", page=" "), "contract.paging.page"),
        (part("auth", place="cookie"), "contract.auth.place: one of query, header"),
        (part("answer", wire="csv"), "contract.answer.wire"),
        (part("answer", wire="xml"), "below one root element"),
        (field(type="blob"), r"contract.fields\[0\].type"),
        (field(length=0), r"contract.fields\[0\].length"),
        (field(required="yes"), r"contract.fields\[0\].required"),
        (field(transform="rot13"), r"contract.fields\[0\].transform: unknown transform 'rot13' of sido"),
        (field(transform="joined"), "unknown transform 'joined'"),
        (field(source=None), "either `source` or `from`"),
        (field(**{"from": ["b"]}), "either `source` or `from`"),
        (field(source=None, **{"from": ["b", "c"]}), "unknown transform None"),
        (changed(fields=[*SMALL["fields"], *SMALL["fields"]]), "columns named twice: postal_code, sido"),  # type: ignore[misc]
    ],
)
def test_a_bad_entry_is_named(values: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        contract.parse(values)


def test_the_open_api_is_described_as_its_guide_says() -> None:
    api = reference.contract("data_go_kr")
    columns = {found.column: found for found in api.fields}

    assert (api.key, api.modified, api.endpoint.modified_after) == ("serialSeq", None, None)
    assert "equipment_serial" not in columns
    assert columns["postal_code"].reads == ("zipcode1", "zipcode2")
    assert len(columns["access_control"].reads) == 16 + 5
    assert {"rnum", "managerTel"} <= set(api.ignored)
    assert {column for column, found in columns.items() if found.is_personal} == PUBLISHED_PERSONAL
    assert {name: width for name, width in api.widths.items() if width != 4} == {"zipcode1": 3, "zipcode2": 2}


def test_the_provisional_feed_fills_the_published_columns_under_their_own_names() -> None:
    feed = reference.contract("egen")

    assert (feed.key, feed.modified) == ("equipment_serial", "last_modified")
    assert feed.endpoint.modified_after == "last_modified_after"
    assert {found.column for found in feed.fields if found.source != found.column} == {"source_modified_at"}
    assert {found.column for found in feed.fields if found.type is FieldType.DECIMAL} == {
        "latitude",
        "longitude",
    }
    personal = {found.column for found in feed.fields if found.is_personal}
    assert personal == PUBLISHED_PERSONAL | {"establisher", "remarks"}
