"""How the open API of data.go.kr spells devices, envelopes and errors: XML in one line, and `_type=json`.

Pure functions from values to bytes, after the official guide v1.0 and the live answer of 2026-05-16. Which
rows and which error are decided in `service_data_go_kr`.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

import orjson

from meva_pipelines.sandbox.device import Device
from meva_pipelines.sandbox.districts import District
from meva_pipelines.sandbox.vocabulary import Hours

Item = Mapping[str, object]

XML_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
CODES: dict[str, str] = {
    "00": "NORMAL SERVICE.",
    "01": "APPLICATION_ERROR",
    "02": "DB_ERROR",
    "03": "NODATA_ERROR",
    "04": "HTTP_ERROR",
    "05": "SERVICETIME_OUT",
    "10": "INVALID_REQUEST_PARAMETER_ERROR",
    "11": "NO_MANDATORY_REQUEST_PARAMETERS_ERROR",
    "12": "NO_OPENAPI_SERVICE_ERROR",
    "20": "SERVICE_ACCESS_DENIED_ERROR",
    "21": "TEMPORARILY_DISABLE_THE_SERVICEKEY_ERROR",
    "22": "LIMITED_NUMBER_OF_SERVICE_REQUESTS_EXCEEDS_ERROR",
    "23": "LIMITED_NUMBER_OF_SERVICE_REQUESTS_PER_SECOND_EXCEEDS_ERROR",
    "29": "BLACKLIST_IP",
    "30": "SERVICE_KEY_IS_NOT_REGISTERED_ERROR",
    "31": "DEADLINE_HAS_EXPIRED_ERROR",
    "32": "UNREGISTERED_IP_ERROR",
    "33": "UNSIGNED_CALL_ERROR",
    "99": "UNKNOWN_ERROR",
}
"""Codes of the provider and of the gateway with their names."""


class Prefix(StrEnum):
    """Whether addresses of the merged region already carry sido and gugun in `getAedFullDown`."""

    NONE = "none"
    CARRIED = "carried"
    DOUBLED = "doubled"
    MIXED = "mixed"


def full_down_item(device: Device, *, is_reformed: bool, prefix: Prefix) -> dict[str, object]:
    """Return the fields of one row of `getAedFullDown`, without `rnum`; Sejong: full address, no gugun."""
    district = device.site.district
    gugun = district.gugun(is_reformed=is_reformed)
    address = device.site.street
    if not gugun:
        address = f"{district.sido_name(is_reformed=is_reformed)} {address}"
    elif is_reformed and district.sido.is_merged:
        address = _prefixed(address, district, _form(prefix, device.number))
    item = _common(device, address)
    item["sido"] = district.sido_name(is_reformed=is_reformed)
    if gugun:
        item["gugun"] = gugun
    return item


def manage_info_item(device: Device, *, is_reformed: bool, prefix: Prefix) -> dict[str, object]:
    """Return the fields of one row of `getEgytAedManageInfoInqire`: a full address, no sido and gugun."""
    district = device.site.district
    names = (district.sido_name(is_reformed=is_reformed), district.gugun(is_reformed=is_reformed))
    address = " ".join(part for part in (*names, device.site.street) if part)
    if is_reformed and district.sido.is_merged and prefix is not Prefix.NONE:
        form = _form(prefix, device.number)
        address = _prefixed(device.site.street, district, max(form, 1))
    return _common(device, address)


def location_item(
    device: Device, *, is_reformed: bool, prefix: Prefix, count: int, distance_km: float | None
) -> dict[str, object]:
    """Return the fields of one row of `getAedLcinfoInqire`: a full address, `cnt` and `distance` in km."""
    item = manage_info_item(device, is_reformed=is_reformed, prefix=prefix)
    item["cnt"] = str(count)
    if distance_km is not None:
        item["distance"] = f"{distance_km:.1f}"
    return item


def _form(prefix: Prefix, number: int) -> int:
    """Return 0 without prefix, 1 with it, 2 with it twice, 3 with the old and the new one."""
    return {Prefix.NONE: 0, Prefix.CARRIED: 1, Prefix.DOUBLED: 2, Prefix.MIXED: number % 4}[prefix]


def _prefixed(street: str, district: District, form: int) -> str:
    gugun = district.gugun_after
    new = f"{district.sido_name(is_reformed=True)} {gugun}"
    old = f"{district.sido.name} {gugun}"
    return (street, f"{new} {street}", f"{new} {new} {street}", f"{old} {new} {street}")[form]


def _common(device: Device, address: str) -> dict[str, object]:
    site, kit, contact = device.site, device.kit, device.contact
    item: dict[str, object] = {
        "buildAddress": address,
        "clerkTel": contact.clerk_tel,
        "manager": contact.manager,
        "managerTel": contact.manager_tel,
        "mfg": kit.manufacturer,
        "model": kit.model,
        "org": site.org,
        "serialSeq": device.serial_seq,
        "zipcode1": site.zipcode1,
        "zipcode2": site.zipcode2,
    }
    item.update(_hours(site.hours))
    if device.place is not None:
        item["buildPlace"] = device.place
    if site.latitude is not None:
        item["wgs84Lat"] = site.latitude
    if site.longitude is not None:
        item["wgs84Lon"] = site.longitude
    return item


@lru_cache(maxsize=64)
def _hours(hours: Hours) -> dict[str, object]:
    named = {
        "mon": hours.weekday,
        "tue": hours.weekday,
        "wed": hours.weekday,
        "thu": hours.weekday,
        "fri": hours.weekday,
        "sat": hours.saturday,
        "sun": hours.sunday,
        "hol": hours.holiday,
    }
    fields: dict[str, object] = {}
    for day, opening in named.items():
        if opening is not None:
            fields[f"{day}SttTme"], fields[f"{day}EndTme"] = opening
    fields.update(zip(("sunFrtYon", "sunScdYon", "sunThiYon", "sunFurYon", "sunFifYon"), hours.sundays, strict=True))
    return fields


# ---- XML


def escape(text: str) -> str:
    """Return text with the three characters escaped that XML needs escaped in content."""
    if "&" in text or "<" in text or ">" in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text


def xml(items: Sequence[Item], *, page: int, rows: int, total: int) -> bytes:
    """Return a successful answer: one line, tags of an item in alphabetical order."""
    rendered = "".join([f"<item>{_xml_fields(item)}</item>" for item in items])
    return _xml_envelope(
        "00", CODES["00"], _xml_body(f"<items>{rendered}</items>" if items else "<items/>", page, rows, total)
    )


def xml_code(code: str, message: str) -> bytes:
    """Return an error of the provider: the normal envelope with another `resultCode`."""
    return _xml_envelope(code, message, "")


def xml_gateway(code: str, message: str) -> bytes:
    """Return an error of the gateway: `OpenAPI_ServiceResponse`."""
    return (
        "<OpenAPI_ServiceResponse><cmmMsgHeader><errMsg>SERVICE ERROR</errMsg>"
        f"<returnAuthMsg>{escape(message)}</returnAuthMsg><returnReasonCode>{escape(code)}</returnReasonCode>"
        "</cmmMsgHeader></OpenAPI_ServiceResponse>"
    ).encode()


def _xml_fields(item: Item) -> str:
    return "".join([f"<{name}>{escape(str(item[name]))}</{name}>" for name in sorted(item)])


def _xml_body(items: str, page: int, rows: int, total: int) -> str:
    counts = f"<numOfRows>{rows}</numOfRows><pageNo>{page}</pageNo><totalCount>{total}</totalCount>"
    return f"<body>{items}{counts}</body>"


def _xml_envelope(code: str, message: str, body: str) -> bytes:
    header = f"<header><resultCode>{escape(code)}</resultCode><resultMsg>{escape(message)}</resultMsg></header>"
    return f"{XML_HEAD}<response>{header}{body}</response>".encode()


# ---- JSON (`_type=json`, undocumented)

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


def json(items: Sequence[Item], *, page: int, rows: int, total: int) -> bytes:
    """Return a successful answer as JSON with the shapes seen: no item "", one an object, more an array."""
    coerced = [{name: coerce(name, str(item[name])) for name in sorted(item)} for item in items]
    shape: object = ""
    if coerced:
        shape = {"item": coerced[0] if len(coerced) == 1 else coerced}
    body = {"items": shape, "numOfRows": rows, "pageNo": page, "totalCount": total}
    return orjson.dumps({"response": {"header": {"resultCode": "00", "resultMsg": CODES["00"]}, "body": body}})


def json_code(code: str, message: str) -> bytes:
    """Return an error of the provider as JSON."""
    return orjson.dumps({"response": {"header": {"resultCode": code, "resultMsg": message}}})


def json_gateway(code: str, message: str) -> bytes:
    """Return the JSON twin of an error of the gateway."""
    header = {"errMsg": "SERVICE ERROR", "returnAuthMsg": message, "returnReasonCode": code}
    return orjson.dumps({"OpenAPI_ServiceResponse": {"cmmMsgHeader": header}})


def coerce(name: str, text: str) -> str | int | float:
    """Return a value as the portal's JSON shows it: numbers lose their quotes, post codes their zeros."""
    if name in {"zipcode1", "zipcode2"} and text.isdecimal():
        return int(text)
    if not _NUMBER.fullmatch(text) or len(text) > 18:
        return text
    return float(text) if "." in text else int(text)
