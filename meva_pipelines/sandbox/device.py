"""One device of the sandbox: its parts, and how they follow from (seed, number, day of its last change).

Nothing here knows which devices exist on which day (`registry`), how they are spelled on the wire
(`wire_data_go_kr`, `wire_egen`), a socket or the clock.
"""

import hashlib
import struct
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from meva_pipelines.sandbox import vocabulary
from meva_pipelines.sandbox.districts import SIDO, District
from meva_pipelines.sandbox.flaws import Flaw
from meva_pipelines.sandbox.vocabulary import Hours

KST = timezone(timedelta(hours=9), "KST")
_SHIP_OUTSIDE = ("34.8213570246", "137.2519864375")
_SHIP_AT_SEA = ("36.9741258963", "125.6903571482")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a device stands. Coordinates are decimal degrees as text; `street` has no sido and gugun."""

    district: District
    org: str
    street: str
    zipcode1: str
    zipcode2: str
    latitude: str | None
    longitude: str | None
    hours: Hours


@dataclass(frozen=True, slots=True)
class Kit:
    """The defibrillator itself."""

    manufacturer: str
    model: str
    country: str
    serial_number: str
    made_on: date
    battery_expires_on: date
    pads_expire_on: date


@dataclass(frozen=True, slots=True)
class Contact:
    """Masked manager and synthetic telephone numbers; no real person and no assigned exchange."""

    clerk_tel: str
    manager: str
    manager_tel: str


@dataclass(frozen=True, slots=True)
class Papers:
    """What only the registry's own export knows."""

    management_number: str
    registered_on: date
    installed_on: date
    inspected_on: date | None
    last_use: str | None
    health_center: str
    categories: tuple[str, str, str]
    sido_label: str | None
    operation_status: str
    display_allowed: str
    remarks: str


@dataclass(frozen=True, slots=True)
class Device:
    """One registered device as of a day. `serial_seq` and `equipment_serial` are unique and stable."""

    number: int
    serial_seq: str
    equipment_serial: str
    site: Site
    place: str | None
    kit: Kit
    contact: Contact
    papers: Papers
    modified_at: datetime
    flaws: frozenset[Flaw]


@dataclass(frozen=True, slots=True)
class Origin:
    """What decides a device: the world's seed, its number, its place, its days and its flaws.

    `site` are the draws of its location. Days are proleptic ordinals: `born` is the day of its birth or None
    for a device of the epoch, which was registered up to 15 years before; `changed` is its last change.
    """

    seed: int
    number: int
    site: tuple[int, ...]
    district: District
    epoch: int
    born: int | None
    changed: int
    revision: int
    flaws: frozenset[Flaw]


def draws(seed: int, stream: str, number: int) -> tuple[int, ...]:
    """Return 16 reproducible integers below 2**32 for one subject (BLAKE2b of seed, stream and number)."""
    digest = hashlib.blake2b(f"{seed}:{stream}:{number}".encode(), digest_size=64).digest()
    return struct.unpack("<16I", digest)


def make(origin: Origin) -> Device:
    """Return the device that follows from its origin; equal origins give equal devices."""
    own = draws(origin.seed, "device", origin.number)
    site = _site(origin)
    day = origin.born or origin.epoch - 60 - (own[14] ^ own[15]) % 5_300
    registered = date.fromordinal(day)
    return Device(
        number=origin.number,
        serial_seq=f"{site.zipcode1}-{registered:%y%m%d}-{origin.number:06d}",
        equipment_serial=f"{site.district.sido.code:02d}-{origin.number:07d}",
        site=site,
        place=_place(origin, own),
        kit=_kit(origin, own, day),
        contact=_contact(origin, own),
        papers=_papers(origin, own, registered),
        modified_at=modified_at(origin.number, origin.changed),
        flaws=origin.flaws,
    )


def modified_at(number: int, ordinal: int) -> datetime:
    """Return the moment of a change on that day, in KST; every 977th device changes exactly at midnight."""
    midnight = datetime.combine(date.fromordinal(ordinal), datetime.min.time(), KST)
    return midnight + timedelta(seconds=second_of_day(number))


def second_of_day(number: int) -> int:
    """Return the second of the Korean day at which a device is modified, 0 to 86,399."""
    return 0 if number % 977 == 0 else number * 7_919 % 86_400


def _site(origin: Origin) -> Site:
    draw = origin.site
    sido = origin.district.sido
    gugun = origin.district.gugun_before.split()[-1] if origin.district.gugun_before else sido.short
    first, last = sido.zipcodes
    street = vocabulary.STREETS[draw[0] % len(vocabulary.STREETS)]
    building = vocabulary.BUILDINGS[draw[1] % len(vocabulary.BUILDINGS)]
    latitude, longitude = _coordinates(origin, sido.box)
    hours = vocabulary.HOURS[draw[2] % len(vocabulary.HOURS)]
    if Flaw.HOURS_BEYOND_MIDNIGHT in origin.flaws:
        hours = vocabulary.BEYOND_MIDNIGHT
    return Site(
        district=origin.district,
        org=vocabulary.ORGS[draw[3] % len(vocabulary.ORGS)].format(gugun),
        street=f"{street} {1 + draw[4] % 480} {building}".rstrip(),
        zipcode1=f"{first + draw[5] % (last - first + 1):03d}",
        zipcode2=f"{draw[6] % 100:02d}",
        latitude=latitude,
        longitude=longitude,
        hours=hours,
    )


def _coordinates(origin: Origin, box: tuple[float, float, float, float]) -> tuple[str | None, str | None]:
    if Flaw.SHIP_OUTSIDE_KOREA in origin.flaws:
        return _SHIP_OUTSIDE
    if Flaw.SHIP_AT_SEA in origin.flaws:
        return _SHIP_AT_SEA
    if Flaw.NO_COORDINATES in origin.flaws:
        return None, None
    draw = origin.site
    south, north, west, east = box
    latitude = south + (north - south) * draw[7] / 2**32
    longitude = west + (east - west) * draw[8] / 2**32
    decimals = 10 + draw[9] % 6
    return f"{latitude:.{decimals}f}", f"{longitude:.{decimals}f}"


def _place(origin: Origin, own: tuple[int, ...]) -> str | None:
    if Flaw.NO_PLACE in origin.flaws:
        return None
    return vocabulary.PLACES[own[0] % len(vocabulary.PLACES)].format(1 + (own[1] + origin.revision) % 9)


def _kit(origin: Origin, own: tuple[int, ...], registered: int) -> Kit:
    number = origin.number
    replaced = origin.revision if Flaw.NO_PLACE in origin.flaws else 0  # its change must show somewhere
    maker, model = vocabulary.MAKERS[(own[2] + replaced) % len(vocabulary.MAKERS)]
    serial_number = f"{own[3] % 10**6:06d}{number:06d}"
    if Flaw.PLACEHOLDER_SERIAL_NUMBER in origin.flaws:
        serial_number = "-" if number % 2 else "0"
    elif Flaw.SHARED_SERIAL_NUMBER in origin.flaws:
        serial_number = f"{draws(origin.seed, 'device', number - 1)[3] % 10**6:06d}{number - 1:06d}"
    made = registered - 30 - own[4] % 400
    if Flaw.MADE_AFTER_INSTALLED in origin.flaws:
        made = registered + 40
    battery = origin.changed + 100 + own[5] % 1_400
    if Flaw.BATTERY_EXPIRED in origin.flaws:
        battery = registered + origin.revision % 7
    pads = origin.changed + 60 + own[6] % 700
    if Flaw.PADS_EXPIRED in origin.flaws:
        pads = registered - 1 - own[6] % 30
    return Kit(
        manufacturer=maker,
        model=model,
        country=vocabulary.COUNTRIES[own[7] % len(vocabulary.COUNTRIES)],
        serial_number=serial_number,
        made_on=date.fromordinal(made),
        battery_expires_on=date.fromordinal(battery),
        pads_expire_on=date.fromordinal(pads),
    )


def _contact(origin: Origin, own: tuple[int, ...]) -> Contact:
    area = origin.district.sido.area_code
    last = f"{(own[8] + origin.revision) % 10_000:04d}"
    forms = (
        f"{area}-000-{last}",
        f"{area}-000-{last}",
        f"{area}000{last}",
        f"000-{last}",
        f"010-0000-{last}",
    )
    clerk_tel = forms[own[9] % len(forms)]
    if Flaw.NO_TELEPHONE_NUMBER in origin.flaws:
        clerk_tel = vocabulary.NO_TELEPHONE[own[9] % len(vocabulary.NO_TELEPHONE)]
    manager = vocabulary.SURNAMES[own[10] % len(vocabulary.SURNAMES)] + "**"
    return Contact(clerk_tel, manager, f"{area}-******" if own[11] % 2 else "010********")


def _papers(origin: Origin, own: tuple[int, ...], registered: date) -> Papers:
    number, district = origin.number, origin.district
    categories = vocabulary.CATEGORIES[own[12] % len(vocabulary.CATEGORIES)]
    if Flaw.DOUBTFUL_CATEGORY in origin.flaws:
        categories = vocabulary.DOUBTFUL_CATEGORY
    inspected = date.fromordinal(max(registered.toordinal(), origin.changed - own[13] % 60))
    sentences = [vocabulary.REMARKS[(own[14] + i) % len(vocabulary.REMARKS)] for i in range(4)]
    return Papers(
        management_number=f"{district.sido.short}-{registered.year}-{number:06d}",
        registered_on=registered,
        installed_on=registered,
        inspected_on=None if Flaw.NEVER_INSPECTED in origin.flaws else inspected,
        last_use=str(own[15] % 5) if own[15] % 40 == 0 else None,
        health_center=_health_center(origin, own),
        categories=categories,
        sido_label=district.sido.name if Flaw.LONG_SIDO_LABEL in origin.flaws else None,
        operation_status=vocabulary.STATUSES[own[1] % len(vocabulary.STATUSES)],
        display_allowed=vocabulary.DISPLAY[own[2] % len(vocabulary.DISPLAY)],
        remarks=" ".join(sentences),
    )


def _health_center(origin: Origin, own: tuple[int, ...]) -> str:
    district = origin.district
    if Flaw.OTHER_JURISDICTION in origin.flaws:
        return f"{SIDO[own[3] % len(SIDO)].short} 중앙보건소"
    pattern = vocabulary.HEALTH_CENTERS[own[4] % len(vocabulary.HEALTH_CENTERS)]
    return pattern.format(district.sido.short, district.gugun_before or district.sido.short)
