"""Raw pages on a real store: a set exists when it is whole, is read as it was received, and never changes."""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.contract import Contract
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import raw_pages, reference
from meva_pipelines.resources.egen import NATION, Fetched, Mode, RawPage
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.raw_pages import Writer

SEOUL = "서울특별시/종로구"
_SERIALS = st.lists(st.from_regex(r"[0-9]{2}-[0-9]{7}", fullmatch=True), max_size=5)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return reference.contract("egen")


def body_of(serials: list[str], *, total: int | None = None) -> bytes:
    items = [{"equipment_serial": serial, "sido": "서울특별시"} for serial in serials]
    return orjson.dumps({"page": 1, "size": 1000, "total": total or len(items), "as_of": None, "items": items})


def page_of(
    body: bytes, *, rows: int, number: int = 1, generation: int = 1, scope: str = NATION, encoding: str = "identity"
) -> RawPage:
    sent = gzip.compress(body) if encoding == "gzip" else body
    return RawPage(
        generation=generation,
        number=number,
        scope=scope,
        body=sent,
        encoding=encoding,
        media_type="application/json",
        rows=rows,
        total=rows,
        sha256=hashlib.sha256(sent).hexdigest(),
    )


def fetched(generations: dict[str, int], *, rows: int = 0) -> Fetched:
    return Fetched(
        pages=1,
        rows=rows,
        total=rows,
        bytes_received=1,
        bytes_decoded=1,
        duration_s=0.1,
        requests=1,
        retries=0,
        restarts=0,
        mode_used=Mode.FULL,
        fell_back=False,
        as_of=None,
        generations=generations,
        rows_by_scope={},
        failed={},
        notes=(),
    )


def records_of(store: ObjectStore, fetch_id: str, contract: Contract) -> list[Mapping[str, object]]:
    entries = raw_pages.pages(store, fetch_id)
    return [record for entry in entries for record in raw_pages.records(store, entry, contract)]


def serials_of(store: ObjectStore, fetch_id: str, contract: Contract) -> list[object]:
    return [record["equipment_serial"] for record in records_of(store, fetch_id, contract)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(sets=st.lists(_SERIALS, min_size=1, max_size=4), is_compressed=st.booleans())
def test_a_set_is_read_back_in_order_as_it_was_received(
    store: ObjectStore, contract: Contract, sets: list[list[str]], *, is_compressed: bool
) -> None:
    encoding = "gzip" if is_compressed else "identity"
    fetch_id = hashlib.sha256(repr((sets, is_compressed)).encode()).hexdigest()
    writer = Writer(store, fetch_id)
    for number, serials in enumerate(sets, start=1):
        writer.put(page_of(body_of(serials), rows=len(serials), number=number, encoding=encoding))
    entries = writer.finish(fetched({NATION: 1}), contract)
    assert raw_pages.pages(store, fetch_id) == entries
    assert [entry.number for entry in entries] == list(range(1, len(sets) + 1))
    assert serials_of(store, fetch_id, contract) == [serial for serials in sets for serial in serials]


def test_a_set_without_its_manifest_does_not_exist(store: ObjectStore) -> None:
    writer = Writer(store, "egen/2026-11-19/1")
    writer.put(page_of(body_of(["12-0000001"]), rows=1))
    with pytest.raises(Unavailable):
        raw_pages.pages(store, "egen/2026-11-19/1")


def test_an_empty_set_is_a_set(store: ObjectStore, contract: Contract) -> None:
    assert Writer(store, "empty").finish(fetched({}), contract) == []
    assert raw_pages.pages(store, "empty") == []


def test_only_the_last_generation_of_each_scope_counts(store: ObjectStore, contract: Contract) -> None:
    """The set changed while it was paged and was begun anew: the first generation stays stored, and unread."""
    writer = Writer(store, "restarted")
    writer.put(page_of(body_of(["12-0000001"]), rows=1, number=1, generation=1))
    writer.put(page_of(body_of(["12-0000002"]), rows=1, number=2, generation=1))
    writer.put(page_of(body_of(["12-0000001"]), rows=1, number=1, generation=2))
    writer.put(page_of(body_of(["12-0000003"]), rows=1, number=2, generation=2))
    writer.put(page_of(body_of(["12-0000004"]), rows=1, scope=SEOUL, generation=1))
    writer.finish(fetched({NATION: 2, SEOUL: 1}), contract)
    assert serials_of(store, "restarted", contract) == ["12-0000001", "12-0000003", "12-0000004"]


def test_a_page_that_is_put_again_takes_the_place_of_the_first(store: ObjectStore, contract: Contract) -> None:
    """Numbers once followed the count of distinct pages, so that the page after a repeated one met its object."""
    writer = Writer(store, "repeated")
    for number, serial in ((1, "12-0000001"), (1, "12-0000001"), (2, "12-0000002")):
        writer.put(page_of(body_of([serial]), rows=1, number=number))
    writer.finish(fetched({NATION: 1}), contract)
    assert serials_of(store, "repeated", contract) == ["12-0000001", "12-0000002"]


def test_pages_of_a_district_get_the_names_that_the_answer_leaves_out(store: ObjectStore, contract: Contract) -> None:
    writer = Writer(store, "district")
    body = orjson.dumps({"page": 1, "size": 10, "total": 1, "as_of": None, "items": [{"equipment_serial": "1"}]})
    writer.put(page_of(body, rows=1, scope=SEOUL))
    writer.finish(fetched({SEOUL: 1}), contract)
    [record] = records_of(store, "district", contract)
    assert (record["sido"], record["gugun"]) == ("서울특별시", "종로구")


def test_names_in_the_answer_win_over_those_that_were_asked_for(store: ObjectStore, contract: Contract) -> None:
    writer = Writer(store, "district")
    writer.put(page_of(body_of(["12-0000001"]), rows=1, scope="부산광역시/중구"))
    writer.finish(fetched({"부산광역시/중구": 1}), contract)
    [record] = records_of(store, "district", contract)
    assert (record["sido"], record["gugun"]) == ("서울특별시", "중구")


@pytest.mark.parametrize("damage", ["altered", "truncated", "emptied", "removed", "swapped"])
def test_a_page_that_is_not_the_one_received_is_unavailable(
    store: ObjectStore, contract: Contract, damage: str
) -> None:
    writer = Writer(store, "damaged")
    for number in (1, 2):
        writer.put(page_of(body_of([f"12-000000{number}"]), rows=1, number=number))
    writer.finish(fetched({NATION: 1}), contract)
    first, second = (path_of(store, entry.key) for entry in raw_pages.pages(store, "damaged"))
    body, other = first.read_bytes(), second.read_bytes()
    match damage:
        case "altered":
            first.write_bytes(body.replace(b"12-0000001", b"12-0000009"))
        case "truncated":
            first.write_bytes(body[:-1])
        case "emptied":
            first.write_bytes(b"")
        case "removed":
            first.unlink()
        case _:
            first.write_bytes(other)
    with pytest.raises(Unavailable):
        serials_of(store, "damaged", contract)


def test_a_page_with_other_than_the_announced_records_is_unavailable(store: ObjectStore, contract: Contract) -> None:
    writer = Writer(store, "short")
    writer.put(page_of(body_of(["12-0000001"]), rows=2))
    writer.finish(fetched({NATION: 1}), contract)
    with pytest.raises(Unavailable, match="announced 2 records and holds 1"):
        serials_of(store, "short", contract)


def test_a_finished_set_is_never_changed(store: ObjectStore, contract: Contract) -> None:
    for serial, is_refused in (("12-0000001", False), ("12-0000001", False), ("12-0000002", True)):
        writer = Writer(store, "same")
        page = page_of(body_of([serial]), rows=1)
        if is_refused:
            with pytest.raises(Refused):
                writer.put(page)
        else:
            writer.put(page)
            writer.finish(fetched({NATION: 1}), contract)
    assert serials_of(store, "same", contract) == ["12-0000001"]


def test_pages_and_manifest_are_what_they_are_called(store: ObjectStore, contract: Contract) -> None:
    writer = Writer(store, "egen/2026-11-19/7")
    body = body_of(["12-0000001"])
    writer.put(page_of(body, rows=1))
    writer.put(page_of(body, rows=1, number=2, encoding="gzip"))
    writer.finish(fetched({NATION: 1}, rows=2), contract)
    assert store.get("raw/aed/egen/2026-11-19/7/page-00001") == body
    assert gzip.decompress(store.get("raw/aed/egen/2026-11-19/7/page-00002.gz")) == body
    manifest = orjson.loads(store.get("raw/aed/egen/2026-11-19/7/manifest.json"))
    assert (manifest["source"], manifest["contract_version"], manifest["rows"]) == ("egen", contract.version, 2)


def path_of(store: ObjectStore, key: str) -> Path:
    return Path(store.url.removeprefix("file://")) / key
