"""How the provisional e-gen feed spells devices and pages: JSON with snake_case names and explicit nulls.

Pure functions from values to bytes. Which rows are asked for is decided in `service_egen`. Names of the sido
are short here (서울), as in the registry's export, where the open API has long ones.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import orjson

from meva_pipelines.sandbox.device import Device

Item = Mapping[str, object]


def item(device: Device, *, is_reformed: bool) -> dict[str, object]:
    """Return the fields of one device, about 2 KB of JSON."""
    return (
        {"equipment_serial": device.equipment_serial}
        | _place(device, is_reformed=is_reformed)
        | _kit(device)
        | _papers(device)
        | {"last_modified": device.modified_at.isoformat()}
    )


def page(items: Sequence[Item], *, number: int, size: int, total: int, as_of: datetime) -> bytes:
    """Return one page of the feed."""
    return orjson.dumps({"page": number, "size": size, "total": total, "as_of": as_of.isoformat(), "items": items})


def error(name: str, parameter: str | None = None) -> bytes:
    """Return an error, with the parameter that was at fault where there is one."""
    return orjson.dumps({"error": name} | ({"parameter": parameter} if parameter else {}))


def _place(device: Device, *, is_reformed: bool) -> dict[str, object]:
    site, papers = device.site, device.papers
    district = site.district
    sido = papers.sido_label or district.sido_short(is_reformed=is_reformed)
    gugun = district.gugun(is_reformed=is_reformed)
    long_name = district.sido_name(is_reformed=is_reformed)
    address = " ".join(part for part in (long_name, gugun, site.street) if part)
    return {
        "sido": sido,
        "gugun": gugun or None,
        "longitude": None if site.longitude is None else float(site.longitude),
        "latitude": None if site.latitude is None else float(site.latitude),
        "installation_institution": site.org,
        "installation_address": address,
        "installation_location_address": address,
        "installation_position": device.place,
        "installation_method": "벽걸이형" if device.number % 3 else "스탠드형 보관함",
        "jurisdiction_health_center": papers.health_center,
        "postal_code": site.zipcode1 + site.zipcode2,
        "access_control": site.hours.summary,
        "manager": device.contact.manager,
        "institution_contact": device.contact.clerk_tel,
        "establisher": None,
        "purchase_institution": site.org if device.number % 4 else None,
    }


def _kit(device: Device) -> dict[str, object]:
    kit = device.kit
    return {
        "manufacturer": kit.manufacturer,
        "model_name": kit.model,
        "manufacturing_country": kit.country,
        "manufacturing_date": kit.made_on.isoformat(),
        "serial_number": kit.serial_number,
        "battery_expiry_date": kit.battery_expires_on.isoformat(),
        "patch_available": "유",
        "patch_expiry_date": kit.pads_expire_on.isoformat(),
        "replacement_date": _text(kit.made_on.replace(day=1, year=kit.made_on.year + 10)),
    }


def _papers(device: Device) -> dict[str, object]:
    papers = device.papers
    is_hidden = papers.display_allowed == "미표출"
    return {
        "management_number": papers.management_number,
        "installation_date": papers.installed_on.isoformat(),
        "first_installation_date": papers.installed_on.isoformat(),
        "registration_date": papers.registered_on.isoformat(),
        "report_date": papers.registered_on.isoformat(),
        "last_inspection_date": _text(papers.inspected_on),
        "last_use_date": papers.last_use,
        "operation_status": papers.operation_status,
        "display_allowed": papers.display_allowed,
        "external_display": "N" if is_hidden else "Y",
        "external_non_display_reason": "외부인 출입 제한" if is_hidden else None,
        "government_support": "국고지원" if device.number % 5 == 0 else "자체구입",
        "category_1": papers.categories[0],
        "category_2": papers.categories[1],
        "category_3": papers.categories[2],
        "remarks": papers.remarks,
        "saeum_deletion_status": "N",
    }


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
