"""The data.go.kr dialect on the wire: envelope, paging, regions, keys and limits."""

import json
import os
import re
from datetime import date
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from meva_pipelines.sandbox.districts import MERGED_SIDO
from meva_pipelines.sandbox.flaws import Flaw
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.server import Running
from meva_pipelines.sandbox.vocabulary import ALWAYS
from meva_pipelines.sandbox.wire_data_go_kr import XML_HEAD, Prefix
from meva_pipelines.sandbox.world import GatewayStyle, Reform
from meva_pipelines_tests.sandbox.calls import (
    FULL_DOWN,
    LOCATION,
    MANAGE_INFO,
    everything,
    get,
    read,
)

PROJECT = Path(__file__).parent.parent.parent
SAMPLES = Path(os.environ.get("MEVA_REFERENCE_DATA") or PROJECT.parent / "shared" / "data") / "aed_api_live"

# The tags of an item that is always open and has every value, from the official guide v1.0 (2016-12-09).
HOURS = {f"{day}{end}Tme" for day in ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "hol"] for end in ("Stt", "End")}
SUNDAYS = {f"sun{nth}Yon" for nth in ["Frt", "Scd", "Thi", "Fur", "Fif"]}
COMMON = (
    {"serialSeq", "rnum", "org", "mfg", "model", "buildPlace", "buildAddress", "clerkTel", "manager"}
    | {"managerTel", "wgs84Lat", "wgs84Lon", "zipcode1", "zipcode2"}
    | HOURS
    | SUNDAYS
)
TAGS = {
    FULL_DOWN: COMMON | {"sido", "gugun"},
    MANAGE_INFO: COMMON,
    LOCATION: COMMON | {"cnt", "distance"},
}
SAMPLE_OF = {
    FULL_DOWN: "official_sample_getAedFullDown.xml",
    MANAGE_INFO: "getEgytAedManageInfoInqire_live_20260516.xml",
    LOCATION: "official_sample_getAedLcinfoInqire.xml",
}


def tags_of_sample(operation: str) -> set[str]:
    """The tags of the first item of the provider's own answer, or of the guide where no answer is at hand."""
    path = SAMPLES / SAMPLE_OF[operation]
    return set(read(path.read_text(encoding="utf-8")).items[0]) if path.exists() else TAGS[operation]


@pytest.mark.parametrize("operation", [FULL_DOWN, MANAGE_INFO, LOCATION])
def test_an_item_has_the_tags_of_the_providers_own_answer(
    sandbox: Running, client: httpx.Client, operation: str
) -> None:
    opening = {device.serial_seq for device in sandbox.registry.devices(sandbox.world.state.day)
               if device.site.hours is ALWAYS and device.place and device.site.latitude
               and device.site.district.gugun_before}  # fmt: skip
    items = everything(client, sandbox, operation, WGS84_LAT="37.5", WGS84_LON="127.0")
    full = next(item for item in items if item["serialSeq"] in opening)
    assert set(full) == TAGS[operation] == tags_of_sample(operation)


def test_the_envelope_is_that_of_the_live_answer(sandbox: Running, client: httpx.Client) -> None:
    response = get(client, sandbox, parameters={"pageNo": 2, "numOfRows": 5})
    body = response.text
    assert response.headers["content-type"] == "application/xml"
    assert response.headers["server"].startswith("Apache/2.2.22")
    assert body.startswith(
        XML_HEAD + "<response><header><resultCode>00</resultCode><resultMsg>NORMAL SERVICE.</resultMsg>"
        "</header><body><items><item><buildAddress>"
    )
    assert re.search(
        r"</items><numOfRows>5</numOfRows><pageNo>2</pageNo><totalCount>\d+</totalCount></body></response>$",
        body,
    )
    assert "\n" not in body
    for item in read(body).items:
        assert list(item) == sorted(item)
    assert 800 < len(response.content) / 5 < 1_300


def test_values_are_spelled_as_on_the_wire(sandbox: Running, client: httpx.Client) -> None:
    items = everything(client, sandbox)
    flaws = sandbox.registry.flaws(sandbox.world.state.day)
    without = {item["serialSeq"] for item in items if "wgs84Lat" not in item}
    assert without == flaws[Flaw.NO_COORDINATES].serial_seqs
    assert all(re.fullmatch(r".\*\*", item["manager"]) for item in items)
    assert all(re.fullmatch(r"\d{3}-\d{6}-\d{6}", item["serialSeq"]) for item in items)
    assert all(re.fullmatch(r"\d{3}", item["zipcode1"]) for item in items)
    assert any(item["zipcode1"].startswith("0") for item in items)
    assert any("&" in item["org"] for item in items)
    assert not any(value == "" for item in items for value in item.values())
    assert all(re.search(r"000|없음|담당자|^-$", item["clerkTel"]) for item in items)


def test_paging_is_positional_and_ends_properly(sandbox: Running, client: httpx.Client) -> None:
    total = sandbox.registry.count(sandbox.world.state.day)
    size = 100
    pages = [
        read(get(client, sandbox, parameters={"pageNo": n, "numOfRows": size}).text)
        for n in range(1, total // size + 3)
    ]
    assert {page.total for page in pages} == {total}
    assert [page.page for page in pages] == list(range(1, len(pages) + 1))
    assert [len(page.items) for page in pages[-2:]] == [total % size, 0]
    assert [item["rnum"] for page in pages for item in page.items] == [str(n + 1) for n in range(total)]
    serials = [serial for page in pages for serial in page.serials]
    assert set(serials) == sandbox.registry.present_on(sandbox.world.state.day).serial_seqs
    assert len(serials) == total


def test_defaults_are_page_one_of_ten_rows_and_a_cap_is_echoed(sandbox: Running, client: httpx.Client) -> None:
    page = read(get(client, sandbox).text)
    assert (page.page, page.rows, len(page.items)) == (1, 10, 10)
    sandbox.world.set(max_rows=7)
    page = read(get(client, sandbox, parameters={"numOfRows": 5_000}).text)
    assert (page.rows, len(page.items)) == (7, 7)


@pytest.mark.parametrize("parameters", [{"pageNo": "0"}, {"pageNo": "x"}, {"numOfRows": "-1"}])
def test_bad_paging_is_code_10(sandbox: Running, client: httpx.Client, parameters: dict[str, str | int]) -> None:
    assert read(get(client, sandbox, parameters=parameters).text).code == "10"


def test_gzip_only_on_request(sandbox: Running, client: httpx.Client) -> None:
    plain = get(client, sandbox, headers={"Accept-Encoding": "identity"})
    packed = get(client, sandbox, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert packed.text == plain.text


def test_json_has_the_shapes_seen(sandbox: Running, client: httpx.Client) -> None:
    def body(**query: str | int) -> dict[str, object]:
        response = get(client, sandbox, parameters={"_type": "json", **query})
        assert response.headers["content-type"].startswith("application/json")
        found: dict[str, object] = json.loads(response.text)["response"]["body"]
        return found

    none, one, many = body(pageNo=999), body(numOfRows=1), body(numOfRows=250)
    assert none["items"] == ""
    assert isinstance(one["items"], dict)
    assert isinstance(one["items"]["item"], dict)
    assert isinstance(many["items"], dict)
    items = many["items"]["item"]
    assert all(isinstance(item["zipcode1"], int) and item["rnum"] == n + 1 for n, item in enumerate(items))
    assert {type(item["monSttTme"]) for item in items if item["monSttTme"] in {"0900", 1000}} == {str, int}
    assert all(isinstance(item["wgs84Lat"], float) for item in items if "wgs84Lat" in item)


# ---- regions


def test_full_down_addresses_lack_the_region_but_for_sejong(sandbox: Running, client: httpx.Client) -> None:
    for item in everything(client, sandbox):
        is_sejong = item["sido"] == "세종특별자치시"
        assert item["buildAddress"].startswith(item["sido"]) is is_sejong
        assert ("gugun" in item) is not is_sejong


def test_districts_cover_the_nation_but_for_sejong(sandbox: Running, client: httpx.Client) -> None:
    sandbox.world.set(rate_per_s=None)
    nation = everything(client, sandbox)
    pairs = {(item["sido"], item["gugun"]) for item in nation if "gugun" in item}
    found: list[str] = []
    for sido, gugun in sorted(pairs):
        items = everything(client, sandbox, MANAGE_INFO, Q0=sido, Q1=gugun)
        assert all(item["buildAddress"].startswith(f"{sido} {gugun} ") for item in items)
        assert all("sido" not in item and "gugun" not in item for item in items)
        found += [item["serialSeq"] for item in items]
    sejong = {item["serialSeq"] for item in nation if item["sido"] == "세종특별자치시"}
    assert sejong
    assert sorted([*found, *sejong]) == sorted(item["serialSeq"] for item in nation)
    assert everything(client, sandbox, MANAGE_INFO, Q0="세종특별자치시", Q1="세종시") == []
    assert len(everything(client, sandbox, MANAGE_INFO, Q0="세종특별자치시")) == len(sejong)


def test_location_sorts_by_distance_and_needs_a_place(sandbox: Running, client: httpx.Client) -> None:
    items = everything(client, sandbox, LOCATION, WGS84_LAT="37.57", WGS84_LON="126.98", Q0="11", Q1="1101")
    distances = [float(item["distance"]) for item in items]
    assert distances == sorted(distances)
    assert distances[-1] < 60
    assert {item["cnt"] for item in items} == {str(len(items))}
    named = everything(client, sandbox, LOCATION, Q0="서울특별시")
    assert len(named) >= len(items) > 0
    assert read(get(client, sandbox, LOCATION).text).code == "11"
    nowhere: dict[str, str | int] = {"WGS84_LAT": "nan", "WGS84_LON": "1"}
    assert read(get(client, sandbox, LOCATION, parameters=nowhere).text).code == "10"


@pytest.mark.parametrize(
    ("day", "reform", "old", "new"),
    [
        (date(2026, 6, 30), Reform.BY_DATE, True, False),
        (date(2026, 7, 1), Reform.BY_DATE, False, True),
        (date(2026, 6, 30), Reform.ON, False, True),
        (date(2026, 7, 1), Reform.OFF, True, False),
        (date(2026, 7, 1), Reform.MIXED, True, True),
    ],
)
def test_the_reform_renames_by_date_or_by_order(
    sandbox: Running, client: httpx.Client, day: date, reform: Reform, *, old: bool, new: bool
) -> None:
    sandbox.world.set(day=day, reform=reform)
    items = everything(client, sandbox)
    sido = {item["sido"] for item in items}
    assert ("전라남도" in sido) is old
    assert (MERGED_SIDO in sido) is new
    incheon = {item["gugun"] for item in items if item["sido"] == "인천광역시"}
    assert bool(incheon & {"중구", "동구", "서구"}) is old
    assert bool(incheon & {"제물포구", "영종구", "서해구", "검단구"}) is new


def test_addresses_of_the_merged_region_may_carry_and_double_their_prefix(
    sandbox: Running, client: httpx.Client
) -> None:
    def forms(prefix: Prefix) -> set[tuple[int, bool]]:
        sandbox.world.set(prefix=prefix)
        merged = [item for item in everything(client, sandbox) if item["sido"] == MERGED_SIDO]
        addresses = [(item["buildAddress"], item["gugun"]) for item in merged]
        return {
            (address.count(f"{MERGED_SIDO} {gugun} "), address.startswith(("광주광역시 ", "전라남도 ")))
            for address, gugun in addresses
        }

    assert forms(Prefix.NONE) == {(0, False)}
    assert forms(Prefix.CARRIED) == {(1, False)}
    assert forms(Prefix.DOUBLED) == {(2, False)}
    assert forms(Prefix.MIXED) == {(0, False), (1, False), (2, False), (1, True)}


# ---- bad days


def test_mutations_spoil_their_day_and_no_other(sandbox: Running, client: httpx.Client) -> None:
    day = sandbox.world.state.day
    clean = {item["serialSeq"]: item for item in everything(client, sandbox)}

    def spoiled(mutation: Mutation) -> list[dict[str, str]]:
        sandbox.world.set(mutation=mutation)
        return everything(client, sandbox)

    assert len(spoiled(Mutation.HALF_THE_ROWS)) == len(clean) // 2
    assert not any("wgs84Lat" in item for item in spoiled(Mutation.ALL_COORDINATES_NULL))
    for item in spoiled(Mutation.SHIFTED_MAPPING):
        assert clean[item["serialSeq"]]["org"] in item["buildAddress"]
    for item in spoiled(Mutation.SWAPPED_LAT_LON):
        assert item.get("wgs84Lat") == clean[item["serialSeq"]].get("wgs84Lon")
    assert {item["wgs84Lat"] for item in spoiled(Mutation.COORDINATES_0_0)} == {"0.0"}
    doubled = spoiled(Mutation.DUPLICATE_SERIALS)
    assert len(doubled) == len(clean)
    assert len({item["serialSeq"] for item in doubled}) < len(clean)
    sandbox.world.set(day=date(2026, 11, 20))
    assert len({item["serialSeq"] for item in everything(client, sandbox)}) == sandbox.registry.count(
        date(2026, 11, 20)
    )
    sandbox.world.set(day=day, mutation=Mutation.NONE)
    assert {item["serialSeq"]: item for item in everything(client, sandbox)} == clean


# ---- keys and limits


def gateway_code(response: httpx.Response) -> str:
    found = re.search(r"<returnReasonCode>(\d+)</returnReasonCode>", response.text)
    return found[1] if found else ""


def test_keys_are_judged_as_the_gateway_does(sandbox: Running, client: httpx.Client) -> None:
    url = f"{sandbox.data_go_kr_url}/{FULL_DOWN}"
    key = sandbox.service_key
    once = quote(key, safe="")
    assert {"+", "/", "="} <= set(key)
    assert read(client.get(f"{url}?serviceKey={once}").text).code == "00"
    assert read(client.get(f"{url}?ServiceKey={once}").text).code == "00"
    assert gateway_code(client.get(f"{url}?serviceKey={quote(once, safe='')}")) == "30"
    assert gateway_code(client.get(f"{url}?serviceKey=unknown")) == "30"
    assert gateway_code(client.get(url)) == "20"
    sandbox.world.set(key_expired=True)
    assert gateway_code(client.get(f"{url}?serviceKey={once}")) == "31"
    assert key not in repr(sandbox)


@pytest.mark.parametrize(
    ("style", "status", "body"),
    [
        (GatewayStyle.XML_200, 200, "<OpenAPI_ServiceResponse>"),
        (GatewayStyle.XML_4XX, 401, "<OpenAPI_ServiceResponse>"),
        (GatewayStyle.TEXT, 401, "Unauthorized"),
    ],
)
def test_the_gateway_words_refusals_in_three_ways(
    sandbox: Running, client: httpx.Client, style: GatewayStyle, status: int, body: str
) -> None:
    sandbox.world.set(gateway=style)
    response = get(client, sandbox, parameters={"serviceKey": "unknown"})
    assert response.status_code == status
    assert response.text.startswith(body)


def test_the_daily_quota_is_counted_per_operation_and_day(sandbox: Running, client: httpx.Client) -> None:
    sandbox.world.set(quota=2)
    seoul: dict[str, str | int] = {"Q0": "서울특별시", "Q1": "종로구"}
    assert [gateway_code(get(client, sandbox)) for _ in range(3)] == ["", "", "22"]
    assert gateway_code(get(client, sandbox, MANAGE_INFO, parameters=seoul)) == ""
    sandbox.world.set(day=date(2026, 11, 20))
    assert gateway_code(get(client, sandbox)) == ""


def test_more_than_the_rate_is_code_23(sandbox: Running, client: httpx.Client) -> None:
    sandbox.world.set(rate_per_s=3)
    codes = [gateway_code(get(client, sandbox)) for _ in range(5)]
    assert codes == ["", "", "", "23", "23"]


def test_paths_match_in_exact_case_and_user_agents_are_required(sandbox: Running, client: httpx.Client) -> None:
    for path in ("getaedfulldown", "nothing", ""):
        response = client.get(f"{sandbox.data_go_kr_url}/{path}")
        assert (response.status_code, response.text) == (404, "API not found")
    assert client.get(sandbox.data_go_kr_url.lower() + "/" + FULL_DOWN).text == "API not found"
    request = client.build_request("GET", f"{sandbox.data_go_kr_url}/{FULL_DOWN}")
    del request.headers["user-agent"]
    response = client.send(request)
    assert response.status_code == 400
    assert "Request Blocked" in response.text
