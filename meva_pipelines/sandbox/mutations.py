"""Bad days of a source: what its data look like when something upstream broke, well formed and wrong.

Pure functions over devices. A mutation belongs to a day of the world; faults of single answers are in
`faults`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import StrEnum

from meva_pipelines.sandbox.device import Device, Site
from meva_pipelines.sandbox.registry import Numbers, Registry


class Mutation(StrEnum):
    """What is wrong with the whole data set on a day."""

    NONE = "none"
    HALF_THE_ROWS = "half_the_rows"
    ALL_COORDINATES_NULL = "all_coordinates_null"
    SHIFTED_MAPPING = "shifted_mapping"
    SWAPPED_LAT_LON = "swapped_lat_lon"
    COORDINATES_0_0 = "coordinates_0_0"
    DUPLICATE_SERIALS = "duplicate_serials"


DUPLICATE_EVERY = 50
"""Under DUPLICATE_SERIALS a device whose number is a multiple of this bears its predecessor's keys."""


def kept(numbers: Numbers, mutation: Mutation) -> Numbers:
    """Return the devices that a mutated source still lists: the first half of them, or all."""
    return numbers[: len(numbers) // 2] if mutation is Mutation.HALF_THE_ROWS else numbers


def mutate(devices: Iterable[Device], mutation: Mutation, registry: Registry) -> Iterator[Device]:
    """Yield the devices as a mutated source shows them."""
    if mutation is Mutation.DUPLICATE_SERIALS:
        yield from _with_duplicates(devices, registry)
    elif mutation in {Mutation.NONE, Mutation.HALF_THE_ROWS}:
        yield from devices
    else:
        for device in devices:
            yield replace(device, site=_mutate_site(device.site, mutation))


def _mutate_site(site: Site, mutation: Mutation) -> Site:
    match mutation:
        case Mutation.ALL_COORDINATES_NULL:
            return replace(site, latitude=None, longitude=None)
        case Mutation.SHIFTED_MAPPING:
            return replace(site, org=site.street, street=site.org)
        case Mutation.SWAPPED_LAT_LON:
            return replace(site, latitude=site.longitude, longitude=site.latitude)
        case Mutation.COORDINATES_0_0:
            return replace(site, latitude="0.0", longitude="0.0")
        case _:
            return site


def _with_duplicates(devices: Iterable[Device], registry: Registry) -> Iterator[Device]:
    for device in devices:
        if device.number % DUPLICATE_EVERY:
            yield device
            continue
        twin = registry.device(device.number - 1, registry.epoch)
        yield replace(device, serial_seq=twin.serial_seq, equipment_serial=twin.equipment_serial)
