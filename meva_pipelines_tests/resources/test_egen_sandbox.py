"""The client against the sandbox registry over a real wire: a fetch that returns has everything, once."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from meva_pipelines.domain import egen
from meva_pipelines.domain.contract import Wire
from meva_pipelines.domain.failures import QuotaExhausted, Refused, Unavailable
from meva_pipelines.resources import reference
from meva_pipelines.resources.egen import EgenSession, EgenSource, Fetched, Mode
from meva_pipelines.resources.egen_line import Line, Settings
from meva_pipelines.sandbox import server
from meva_pipelines.sandbox.faults import Fault
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.server import Running
from meva_pipelines.sandbox.world import World
from meva_pipelines_tests.resources.registry_script import Kept, Waits

DAY = date(2026, 11, 19)
SILENT: dict[Fault, dict[str, Any]] = {
    Fault.STALL: {"seconds": 3.0},
    Fault.SLOW_BODY: {"seconds": 0.2, "chunks": 4},
}
UNSEEN_BY_COUNTING = {Fault.DUPLICATE_ROW, Fault.SHUFFLED_ORDER, Fault.MISSING_FIELD}
"""Rows that lie about themselves: the number of rows is right, so they are found where rows are staged."""
HARMLESS = UNSEEN_BY_COUNTING | {Fault.SLOW_BODY, Fault.BOM, Fault.UNKNOWN_FIELD, Fault.CLOCK_AHEAD}
FOR_A_PERSON = {Fault.GATEWAY_CODE, Fault.BLOCKED, Fault.LOGIN_REDIRECT, Fault.HUGE_FIELD}
DIALECTS = ("data_go_kr", "egen")


@pytest.fixture(scope="module")
def _server() -> Iterator[Running]:
    with server.running(Registry(size=120, births=0, vanish_cycle=101), world=World(DAY)) as running:
        yield running


@pytest.fixture
def sandbox(_server: Running) -> Iterator[Running]:
    state = _server.world.state
    _server.world.set(rate_per_s=None)
    yield _server
    _server.world.restore(state)
    _server.faults.clear()
    _server.requests.clear()


def source(sandbox: Running, dialect: str) -> EgenSource:
    if dialect == "oauth":
        return EgenSource(
            base_url=sandbox.egen_url,
            dialect="egen",
            client_id=sandbox.client_id,
            client_secret=sandbox.client_secret,
            page_size=50,
        )
    base_url = sandbox.egen_url if dialect == "egen" else sandbox.data_go_kr_url
    return EgenSource(
        base_url=base_url, dialect=dialect, service_key=sandbox.service_key, page_size=50, read_timeout_s=1.0
    )


def fetch(asked: EgenSource, *, since: datetime | None = None) -> tuple[Fetched, list[str]]:
    """Fetch and decode: the keys of all rows of the generations that count."""
    kept = Kept()
    with asked.session(sleep=Waits()) as session:
        fetched = session.fetch(modified_after=since, store=kept)
    contract = reference.contract(asked.dialect)
    keys: list[str] = []
    for page in kept.pages:
        body = zlib.decompress(page.body, zlib.MAX_WBITS | 16) if page.encoding == "gzip" else page.body
        answer = egen.decode(body, contract)
        assert len(answer.items) == page.rows
        if page.generation == fetched.generations[page.scope]:
            keys += [str(item.get(contract.key)) for item in answer.items]
    return fetched, keys


def truth(sandbox: Running, dialect: str) -> set[str]:
    present = sandbox.registry.present_on(DAY)
    return set(present.serial_seqs if dialect == "data_go_kr" else present.equipment_serials)


@pytest.mark.parametrize("dialect", ["data_go_kr", "egen", "oauth"])
def test_the_whole_registry_arrives_compressed(sandbox: Running, dialect: str) -> None:
    fetched, keys = fetch(source(sandbox, dialect))

    assert set(keys) == truth(sandbox, dialect)
    assert len(keys) == fetched.rows == fetched.total
    assert fetched.bytes_received < fetched.bytes_decoded / 2
    assert (fetched.pages, fetched.retries, fetched.restarts) == (-(-fetched.total // 50), 0, 0)


def test_an_encoding_key_is_accepted_like_a_decoding_key(sandbox: Running) -> None:
    escaped = sandbox.service_key.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    asked = EgenSource(base_url=sandbox.data_go_kr_url, service_key=escaped)

    assert set(fetch(asked)[1]) == truth(sandbox, "data_go_kr")


def test_undocumented_json_of_the_open_api_takes_nothing_but_the_contract(sandbox: Running) -> None:
    """`_type=json` coerces numbers; with two entries of the contract changed the same rows arrive."""
    api = reference.contract("data_go_kr")
    as_json = replace(
        api,
        endpoint=replace(api.endpoint, parameters=(("_type", "json"),)),
        shape=replace(api.shape, wire=Wire.JSON),
    )
    settings = Settings(base_url=sandbox.data_go_kr_url, service_key=sandbox.service_key)
    rows = []
    for contract in (api, as_json):
        kept = Kept()
        with Line(settings, contract, sleep=Waits()) as line:
            EgenSession(line, contract, page_size=1_000).fetch(modified_after=None, store=kept)
        [page] = kept.pages
        items = egen.decode(zlib.decompress(page.body, zlib.MAX_WBITS | 16), contract).items
        rows.append({item["serialSeq"]: {name: item.get(name) for name in api.widths} for item in items})

    assert rows[0] == rows[1]
    assert set(rows[0]) == truth(sandbox, "data_go_kr")


def test_a_server_with_a_cap_on_rows_is_paged_by_its_cap(sandbox: Running) -> None:
    sandbox.world.set(max_rows=20)

    for dialect in ("data_go_kr", "egen"):
        assert set(fetch(source(sandbox, dialect))[1]) == truth(sandbox, dialect)


def test_changes_are_fetched_where_the_feed_can_tell_them(sandbox: Running) -> None:
    since = sandbox.world.state.moment - timedelta(days=3)

    fetched, keys = fetch(source(sandbox, "egen"), since=since)

    assert (fetched.mode_used, fetched.fell_back) == (Mode.INCREMENTAL, False)
    assert set(keys) == set(sandbox.registry.modified_since(since, DAY).equipment_serials)
    assert fetched.as_of == sandbox.world.state.moment
    sandbox.world.set(supports_incremental=False)
    fetched, keys = fetch(source(sandbox, "egen"), since=since)
    assert (fetched.mode_used, fetched.fell_back) == (Mode.FULL, True)
    assert set(keys) == truth(sandbox, "egen")


def test_quota_and_expired_key_are_told_apart(sandbox: Running) -> None:
    sandbox.world.set(quota=1)
    with pytest.raises(QuotaExhausted):
        fetch(source(sandbox, "data_go_kr"))
    sandbox.world.set(quota=None, key_expired=True)
    with pytest.raises(Refused, match="DEADLINE"):
        fetch(source(sandbox, "data_go_kr"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_probe_finds_the_contract_kept(sandbox: Running, dialect: str) -> None:
    found = source(sandbox, dialect).probe()

    assert (found.missing_fields, found.unknown_fields, found.total) == ((), (), len(truth(sandbox, dialect)))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", sorted(set(Fault) - FOR_A_PERSON))
def test_what_goes_wrong_once_is_overcome(sandbox: Running, fault: Fault, dialect: str) -> None:
    sandbox.faults.add(fault, page=2, times=1, **SILENT.get(fault, {}))

    fetched, keys = fetch(source(sandbox, dialect))

    assert len(keys) == fetched.total == len(truth(sandbox, dialect))
    if fault not in UNSEEN_BY_COUNTING:
        assert set(keys) == truth(sandbox, dialect)


@pytest.mark.parametrize(
    ("fault", "dialect"),
    [
        (fault, dialect)
        for fault in sorted(set(Fault) - HARMLESS)
        for dialect in DIALECTS
        if (fault, dialect) != (Fault.NAN, "data_go_kr")  # in XML it is a text, which the row rules refuse
    ],
)
def test_what_stays_wrong_is_never_taken_for_the_registry(sandbox: Running, fault: Fault, dialect: str) -> None:
    sandbox.faults.add(fault, page=2, times=None, **SILENT.get(fault, {}))

    with pytest.raises(Refused if fault in FOR_A_PERSON else Unavailable):
        fetch(source(sandbox, dialect))
