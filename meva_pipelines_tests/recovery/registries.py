"""The registries that the sandbox serves to these tests: a small lively one, and three that are wrong in known ways."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from meva_pipelines.sandbox.device import Device, Site
from meva_pipelines.sandbox.registry import Numbers, Registry

FIRST_DAY = date(2026, 11, 2)
WORLD: Mapping[str, int] = {"size": 400, "births": 4, "change_cycle": 10, "vanish_cycle": 101}
"""A registry in which every day brings 40 changes, four births and four disappearances."""


class BetrayedRegistry(Registry):
    """A registry that sends, against its habit, names and numbers unmasked: those that a test searches for."""

    __slots__ = ()
    manager = "강철수카나리아"
    telephone = "010-4821-7739"
    shifted = 22
    """The device in which, after the first day, they stand in the wrong fields besides."""

    def chosen(self, numbers: Numbers, day: date) -> Iterator[Device]:
        for device in super().chosen(numbers, day):
            contact = replace(device.contact, manager=self.manager, clerk_tel=self.telephone)
            site = device.site
            if day > self.epoch and device.number == self.shifted:
                site = replace(site, latitude=self.telephone, street=self.manager * 100, zipcode1=self.telephone)
            papers = replace(device.papers, remarks=f"{self.manager} {self.telephone}")
            yield replace(device, contact=contact, papers=papers, site=site)


class FlawedRegistry(Registry):
    """A registry in which, from the second day on, each of eight devices is wrong in a way of its own."""

    __slots__ = ()

    def chosen(self, numbers: Numbers, day: date) -> Iterator[Device]:
        for device in super().chosen(numbers, day):
            flaw = _FLAWS.get(device.number) if day > self.epoch else None
            yield replace(device, site=flaw(device.site)) if flaw else device


class BloatedRegistry(Registry):
    """A registry in which three devices are described in 7.5 MB of text each that no compression makes small."""

    __slots__ = ()
    bloated, characters = frozenset({21, 22, 23}), 2_500_000

    def chosen(self, numbers: Numbers, day: date) -> Iterator[Device]:
        for device in super().chosen(numbers, day):
            yield replace(device, place=_noise(self.characters)) if device.number in self.bloated else device


@functools.cache
def _noise(characters: int) -> str:
    draws = np.random.default_rng(1).integers(0xAC00, 0xD7A4, characters)
    return draws.astype("<u2").tobytes().decode("utf-16-le")


_FLAWS: Mapping[int, Callable[[Site], Site]] = {
    11: lambda site: replace(site, street="가" * 1_000),
    12: lambda site: replace(site, district=replace(site.district, gugun_before="없는구", gugun_after="없는구")),
    13: lambda site: replace(site, latitude="0.0", longitude="0.0"),
    14: lambda site: replace(site, latitude=site.longitude, longitude=site.latitude),
    15: lambda site: replace(site, latitude="48.8566", longitude="2.3522"),
    16: lambda site: replace(site, latitude=None),
    19: lambda site: replace(site, latitude="nan", longitude="inf"),
    18: lambda site: replace(site, latitude="37°33'", longitude="126°58'"),
}


CHARACTERS: Mapping[str, type[Registry]] = {
    "": Registry,
    "betrayed": BetrayedRegistry,
    "flawed": FlawedRegistry,
    "bloated": BloatedRegistry,
}


def world(character: str = "") -> Registry:
    """The registry that is served, with its known answers."""
    return CHARACTERS[character](epoch=FIRST_DAY, **WORLD)
