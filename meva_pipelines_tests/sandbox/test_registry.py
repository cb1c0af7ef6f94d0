"""The made-up registry is a pure function of its day, and its known answers are what its days show."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from meva_pipelines.domain.regions import KOREA_BOX, NameStatus
from meva_pipelines.resources import reference
from meva_pipelines.sandbox.device import KST, Device, modified_at
from meva_pipelines.sandbox.districts import DISTRICTS, SIDO, boundaries
from meva_pipelines.sandbox.flaws import Flaw
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines_tests.sandbox.conftest import DAY


def by_number(registry: Registry, day: date) -> dict[int, Device]:
    return {device.number: device for device in registry.devices(day)}


def test_equal_registries_give_equal_devices_and_another_seed_gives_others(registry: Registry) -> None:
    again = Registry(size=250, births=2, vanish_cycle=101)
    assert list(registry.devices(DAY)) == list(again.devices(DAY))
    assert list(registry.devices(DAY)) != list(replace(registry, seed=1).devices(DAY))


def test_the_first_day_has_exactly_the_asked_size_in_the_observed_shares() -> None:
    registry = Registry(size=8_143)
    devices = list(registry.devices(registry.epoch))
    counts = Counter(device.site.district.sido.short for device in devices)
    assert len(devices) == 8_143
    assert counts["경기"] == 1_524
    assert counts["서울"] == 1_405
    assert counts["세종"] == 84
    assert boundaries(81_429)[-1] == sum(sido.weight for sido in SIDO) == 81_429


def test_a_day_before_the_first_is_refused_by_name(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"begins on 2025-10-28; 2025-10-27 is before"):
        registry.count(date(2025, 10, 27))


def test_keys_have_their_form_and_are_unique_and_stable(registry: Registry) -> None:
    early, late = by_number(registry, registry.epoch), by_number(registry, DAY)
    for number, device in late.items():
        assert device.serial_seq[:3] == device.site.zipcode1
        assert device.equipment_serial[2] == "-"
        assert len(device.equipment_serial) == 10
        if number in early:
            assert device.serial_seq == early[number].serial_seq
            assert device.equipment_serial == early[number].equipment_serial
    assert len({device.serial_seq for device in late.values()}) == len(late)
    assert len({device.equipment_serial for device in late.values()}) == len(late)


@pytest.mark.parametrize("days", [1, 10, 60])
def test_changed_between_names_exactly_the_devices_whose_content_differs(registry: Registry, days: int) -> None:
    later = DAY + timedelta(days=days)
    before, after = by_number(registry, DAY), by_number(registry, later)
    differ = {number for number in before.keys() & after.keys() if before[number] != after[number]}
    assert registry.changed_between(DAY, later).numbers == differ
    assert differ


def test_a_change_shows_in_the_place_even_where_telephones_are_not_compared(registry: Registry) -> None:
    later = DAY + timedelta(days=10)
    before, after = by_number(registry, DAY), by_number(registry, later)
    for number in registry.changed_between(DAY, later).numbers:
        assert (before[number].place, before[number].kit.model) != (
            after[number].place,
            after[number].kit.model,
        )


def test_about_one_device_in_fifty_changes_on_a_day() -> None:
    registry = Registry(size=5_000, births=0, absent_days=0)
    assert len(registry.changed_between(DAY, DAY + timedelta(days=1))) == 100


def test_births_vanishings_and_returns_account_for_every_difference_between_days(
    registry: Registry,
) -> None:
    day = registry.epoch
    present = registry.present_on(day).numbers
    returned = 0
    for _ in range(120):
        day += timedelta(days=1)
        born, gone = registry.born_on(day).numbers, registry.vanished_on(day).numbers
        back = registry.reappeared_on(day).numbers
        assert len(born) == 2
        present = (present | born | back) - gone
        assert present == registry.present_on(day).numbers
        returned += len(back)
    assert returned


def test_a_vanished_device_is_away_for_ten_days(registry: Registry) -> None:
    number = min(registry.vanished_on(DAY).numbers)
    away = [number not in registry.numbers(DAY + timedelta(days=days)) for days in range(-1, 12)]
    assert away == [False] + [True] * 10 + [False, False]


def test_the_default_registry_is_born_five_a_day_and_misses_few() -> None:
    registry = Registry()
    elapsed = (DAY - registry.epoch).days
    absent = registry.size + 5 * elapsed - registry.count(DAY)
    assert registry.births_per_day == 5
    assert 190 <= absent <= 220
    assert registry.count(registry.epoch) == 81_464


def test_modification_times_agree_between_devices_and_arrays(registry: Registry) -> None:
    numbers = registry.numbers(DAY)
    seconds = registry.modified_seconds(numbers, DAY).tolist()
    assert seconds == [device.modified_at.timestamp() for device in registry.devices(DAY)]
    assert modified_at(977, DAY.toordinal()) == datetime(2026, 11, 19, tzinfo=KST)


def test_modified_since_takes_the_moment_itself(registry: Registry) -> None:
    device = max(registry.devices(DAY), key=lambda device: device.modified_at)
    found = registry.modified_since(device.modified_at, DAY).numbers
    assert device.number in found
    assert device.number not in registry.modified_since(device.modified_at + timedelta(seconds=1), DAY).numbers


FLAW_SHOWS: dict[Flaw, Callable[[Device], bool]] = {
    Flaw.NO_COORDINATES: lambda device: device.site.latitude is None and device.site.longitude is None,
    Flaw.SHIP_OUTSIDE_KOREA: lambda device: device.site.longitude == "137.2519864375",
    Flaw.NO_PLACE: lambda device: device.place is None,
    Flaw.MADE_AFTER_INSTALLED: lambda device: device.kit.made_on > device.papers.installed_on,
    Flaw.PLACEHOLDER_SERIAL_NUMBER: lambda device: device.kit.serial_number in {"-", "0"},
    Flaw.BATTERY_EXPIRED: lambda device: device.kit.battery_expires_on < DAY,
    Flaw.PADS_EXPIRED: lambda device: device.kit.pads_expire_on < DAY,
    Flaw.NEVER_INSPECTED: lambda device: device.papers.inspected_on is None,
    Flaw.LONG_SIDO_LABEL: lambda device: device.papers.sido_label == "경기도",
    Flaw.HOURS_BEYOND_MIDNIGHT: lambda device: device.site.hours.summary == "04:00-25:00",
}


def test_flaws_name_exactly_the_devices_that_show_them() -> None:
    registry = Registry(size=9_000, births=1)
    devices = list(registry.devices(DAY))
    flaws = registry.flaws(DAY)
    assert set(flaws) == set(Flaw)
    for flaw, shows in FLAW_SHOWS.items():
        assert flaws[flaw].numbers == {device.number for device in devices if shows(device)}, flaw


def test_devices_stand_in_korea_but_for_the_ships(registry: Registry) -> None:
    for device in registry.devices(DAY):
        site = device.site
        if site.latitude is None or site.longitude is None:
            continue
        is_inside = KOREA_BOX.contains(latitude=float(site.latitude), longitude=float(site.longitude))
        assert is_inside is (Flaw.SHIP_OUTSIDE_KOREA not in device.flaws)
        assert 10 <= len(site.latitude.partition(".")[2]) <= 15


@pytest.mark.parametrize(("day", "is_reformed"), [(date(2026, 6, 30), False), (date(2026, 7, 1), True)])
def test_every_district_bears_a_name_of_its_day(day: date, *, is_reformed: bool) -> None:
    regions = reference.regions()
    for district in (district for districts in DISTRICTS for district in districts):
        names = district.sido_name(is_reformed=is_reformed), district.gugun(is_reformed=is_reformed)
        assert regions.resolve(*names, day).status is NameStatus.CURRENT, names


def test_the_reform_is_a_rename_and_no_change(registry: Registry) -> None:
    eve, day = date(2026, 6, 30), date(2026, 7, 1)
    renamed = registry.renamed_between(eve, day).numbers
    both = set(registry.numbers(eve).tolist()) & set(registry.numbers(day).tolist())
    expected = {n for n, d in by_number(registry, day).items() if n in both and d.site.district.is_renamed}
    assert renamed == expected
    assert renamed - registry.changed_between(eve, day).numbers
    assert not registry.renamed_between(day, DAY)


def test_many_devices_share_their_location_as_in_reality() -> None:
    registry = Registry(size=2_000)
    points = Counter(
        (device.site.latitude, device.site.longitude, device.site.org)
        for device in registry.devices(registry.epoch)
        if device.site.latitude
    )
    assert sum(count for count in points.values() if count > 1) > 500


def test_the_whole_country_has_more_than_eighty_thousand_devices() -> None:
    assert sum(1 for _ in Registry().devices(DAY)) == Registry().count(DAY) > 80_000


def test_numbers_come_in_order(registry: Registry) -> None:
    assert np.all(np.diff(registry.numbers(DAY)) > 0)
