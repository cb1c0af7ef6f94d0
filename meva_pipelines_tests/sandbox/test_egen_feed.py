"""The egen dialect on the wire: fields, paging, increments and the two ways to be let in."""

from datetime import datetime, timedelta

import httpx
import pytest

from meva_pipelines.resources import reference
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.server import Running
from meva_pipelines_tests.sandbox.calls import feed
from meva_pipelines_tests.sandbox.conftest import DAY

# The fields agreed for the provisional feed; the contract of the source must name the same.
FIELDS = {
    "access_control", "battery_expiry_date", "category_1", "category_2", "category_3", "display_allowed",
    "equipment_serial", "establisher", "external_display", "external_non_display_reason",
    "first_installation_date", "government_support", "gugun", "installation_address", "installation_date",
    "installation_institution", "installation_location_address", "installation_method",
    "installation_position", "institution_contact", "jurisdiction_health_center", "last_inspection_date",
    "last_modified", "last_use_date", "latitude", "longitude", "management_number", "manager",
    "manufacturer", "manufacturing_country", "manufacturing_date", "model_name", "operation_status",
    "patch_available", "patch_expiry_date", "postal_code", "purchase_institution", "registration_date",
    "remarks", "replacement_date", "report_date", "saeum_deletion_status", "serial_number", "sido",
}  # fmt: skip


def test_an_item_has_all_fields_with_explicit_nulls(sandbox: Running, client: httpx.Client) -> None:
    response = feed(client, sandbox, size=500)
    items = response.json()["items"]
    assert {frozenset(item) for item in items} == {frozenset(FIELDS)}
    assert any(item["latitude"] is None for item in items)
    assert all(isinstance(item["latitude"], float | None) for item in items)
    assert 1_800 < len(response.content) / len(items) < 2_300


def test_the_fields_are_those_of_the_contract() -> None:
    named = {name for field in reference.contract("egen").fields for name in (field.inputs or (field.source,))}
    assert named <= FIELDS


def test_pages_cover_the_registry_once(sandbox: Running, client: httpx.Client) -> None:
    total = sandbox.registry.count(DAY)
    pages = [feed(client, sandbox, page=n, size=400).json() for n in range(1, total // 400 + 3)]
    assert {(page["size"], page["total"]) for page in pages} == {(400, total)}
    assert [len(page["items"]) for page in pages[-2:]] == [total % 400, 0]
    serials = [item["equipment_serial"] for page in pages for item in page["items"]]
    assert len(serials) == total
    assert set(serials) == sandbox.registry.present_on(DAY).equipment_serials
    assert {page["as_of"] for page in pages} == {"2026-11-19T23:59:59+09:00"}


def test_an_increment_holds_what_was_modified_at_or_after(sandbox: Running, client: httpx.Client) -> None:
    page = feed(client, sandbox, size=5_000, last_modified_after="2026-11-18T15:00:00Z").json()
    serials = {item["equipment_serial"] for item in page["items"]}
    yesterday = DAY - timedelta(days=1)
    changed = sandbox.registry.changed_between(yesterday, DAY).equipment_serials
    born = sandbox.registry.born_on(DAY).equipment_serials
    assert page["total"] == len(serials) < sandbox.registry.count(DAY)
    assert changed | born <= serials
    assert serials - changed - born <= sandbox.registry.reappeared_on(DAY).equipment_serials
    assert all(item["last_modified"].startswith("2026-11-19T") for item in page["items"])
    moment = max(datetime.fromisoformat(item["last_modified"]) for item in page["items"])
    last = feed(client, sandbox, last_modified_after=moment.isoformat()).json()
    assert {item["last_modified"] for item in last["items"]} == {moment.isoformat()}


def test_a_feed_without_increments_says_so(sandbox: Running, client: httpx.Client) -> None:
    sandbox.world.set(supports_incremental=False)
    response = feed(client, sandbox, last_modified_after="2026-11-18T15:00:00Z")
    assert response.status_code == 400
    assert response.json() == {"error": "unsupported_parameter", "parameter": "last_modified_after"}
    assert feed(client, sandbox).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("page", "0"), ("size", "x"), ("size", "10001"), ("last_modified_after", "2026-11-18T15:00:00")],
)
def test_bad_parameters_are_named(sandbox: Running, client: httpx.Client, name: str, value: str) -> None:
    response = feed(client, sandbox, **{name: value})
    assert response.status_code == 400
    assert response.json() == {"error": "invalid_parameter", "parameter": name}


def test_bad_days_show_here_too(sandbox: Running, client: httpx.Client) -> None:
    sandbox.world.set(mutation=Mutation.ALL_COORDINATES_NULL)
    items = feed(client, sandbox, size=5_000).json()["items"]
    assert {item["longitude"] for item in items} == {None}


def test_the_key_or_a_token_opens_the_feed(sandbox: Running, client: httpx.Client) -> None:
    url = sandbox.egen_url + "/v1/aeds"
    assert client.get(url).status_code == 401
    assert client.get(url, headers={"X-API-Key": "unknown"}).json() == {"error": "unauthorized"}
    answer = client.post(
        sandbox.egen_url + "/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(sandbox.client_id, sandbox.client_secret),
    ).json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3_600
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert client.get(url, headers=bearer).status_code == 200
    sandbox.world.set(key_expired=True)
    assert client.get(url, headers=bearer).status_code == 401
    assert feed(client, sandbox).status_code == 401


def test_tokens_expire_and_wrong_credentials_get_none(sandbox: Running, client: httpx.Client) -> None:
    url, data = sandbox.egen_url + "/oauth/token", {"grant_type": "client_credentials"}
    assert client.post(url, data=data, auth=("sandbox", "wrong")).status_code == 401
    assert client.post(url, data=data, headers={"Authorization": "Basic %%"}).status_code == 401
    assert client.post(url, data={}, auth=(sandbox.client_id, sandbox.client_secret)).status_code == 400
    sandbox.world.set(token_lifetime_s=0.0)
    token = client.post(url, data=data, auth=(sandbox.client_id, sandbox.client_secret)).json()["access_token"]
    response = client.get(sandbox.egen_url + "/v1/aeds", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
