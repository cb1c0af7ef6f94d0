"""The sandbox's registry: which devices exist on which day, and the known answers that tests compare with.

Everything is a closed form of (seed, size, epoch, day): no state, no clock, no files. The content of one
device is made in `device`; what a broken service does to it is in `mutations` and `faults`.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from math import gcd

import numpy as np
from numpy.typing import NDArray

from meva_pipelines.sandbox import device as devices_module
from meva_pipelines.sandbox import flaws
from meva_pipelines.sandbox.device import Device, Origin
from meva_pipelines.sandbox.districts import DISTRICTS, REFORM_DAY, District, boundaries
from meva_pipelines.sandbox.flaws import Flaw

Numbers = NDArray[np.int64]
_GYEONGGI_ONLY = frozenset({Flaw.LONG_SIDO_LABEL})


@dataclass(frozen=True, slots=True)
class Identities:
    """A set of devices by their number, with the two name spaces of keys that the dialects use."""

    numbers: frozenset[int]
    serial_seqs: frozenset[str]
    equipment_serials: frozenset[str]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Registry:
    """A deterministic registry of about `size` devices that lives from `epoch` (a Korean day) onwards.

    On the epoch exactly the devices 1 to `size` exist. On each later day `births_per_day` devices are new
    (default `size // 16000`). Device n changes on days whose ordinal o has `(o + n) % change_cycle == 0`,
    and is absent for `absent_days` days from each later day with `o % vanish_cycle == n % vanish_cycle`
    that lies after its first day. A day before the epoch raises ValueError.
    """

    size: int = 81_464
    seed: int = 20_251_028
    epoch: date = date(2025, 10, 28)
    births: int | None = None
    change_cycle: int = 50
    vanish_cycle: int = 4_001
    absent_days: int = 10

    def __post_init__(self) -> None:
        if self.size < 1 or self.change_cycle < 1 or not 0 <= self.absent_days < self.vanish_cycle:
            raise ValueError("a registry needs size and change_cycle >= 1 and absent_days < vanish_cycle")

    @property
    def births_per_day(self) -> int:
        """How many devices are new on each day after the epoch."""
        return self.size // 16_000 if self.births is None else self.births

    def numbers(self, day: date) -> Numbers:
        """Return the ascending numbers of the devices present on a day."""
        elapsed = self._elapsed(day)
        numbers = np.arange(1, self.size + elapsed * self.births_per_day + 1, dtype=np.int64)
        since = (day.toordinal() - numbers) % self.vanish_cycle
        is_absent = (since < self.absent_days) & (day.toordinal() - since > self._first_days(numbers))
        return numbers[~is_absent]

    def count(self, day: date) -> int:
        """Return how many devices are present on a day."""
        return len(self.numbers(day))

    def devices(self, day: date) -> Iterator[Device]:
        """Yield the devices present on a day in the order of their numbers."""
        return self.chosen(self.numbers(day), day)

    def chosen(self, numbers: Numbers, day: date) -> Iterator[Device]:
        """Yield the named devices as they are on a day, in the order given."""
        changed = self._changed_days(numbers, day).tolist()
        first = self._first_days(numbers).tolist()
        ends, multiplier = boundaries(self.size), self._multiplier()
        every = zip(numbers.tolist(), changed, first, flaws.of(numbers), strict=True)
        for number, changed_day, first_day, found in every:
            site, district = self._place(number, ends, multiplier)
            yield devices_module.make(
                Origin(
                    seed=self.seed,
                    number=number,
                    site=site,
                    district=district,
                    epoch=self.epoch.toordinal(),
                    born=first_day if number > self.size else None,
                    changed=changed_day,
                    revision=(changed_day + number) // self.change_cycle,
                    flaws=found - _GYEONGGI_ONLY if found and district.sido.short != "경기" else found,
                )
            )

    def device(self, number: int, day: date) -> Device:
        """Return one device as it is on a day, whether or not it is present."""
        return next(self.chosen(np.array([number], dtype=np.int64), day))

    def districts(self, numbers: Numbers) -> list[District]:
        """Return the district of each device, which never changes."""
        ends, multiplier = boundaries(self.size), self._multiplier()
        return [self._place(number, ends, multiplier)[1] for number in numbers.tolist()]

    def modified_seconds(self, numbers: Numbers, day: date) -> Numbers:
        """Return for each device the moment of its last change, in seconds since 1970 UTC."""
        midnight = date(1970, 1, 1).toordinal()
        seconds = np.where(numbers % 977 == 0, 0, numbers * 7_919 % 86_400)
        return (self._changed_days(numbers, day) - midnight) * 86_400 + seconds - 9 * 3_600

    # ---- known answers

    def identities(self, numbers: Numbers, day: date) -> Identities:
        """Return the keys of the named devices; keys never change, `day` only has to know them."""
        return _identities(list(self.chosen(numbers, day)))

    def present_on(self, day: date) -> Identities:
        """Return the devices present on a day."""
        return self.identities(self.numbers(day), day)

    def changed_between(self, day_a: date, day_b: date) -> Identities:
        """Return the devices present on both days whose content changed after `day_a` and up to `day_b`.

        The reform of 2026-07-01 is no change of content: see `renamed_between`.
        """
        before, after = self.numbers(day_a), self.numbers(day_b)
        both = np.intersect1d(before, after, assume_unique=True)
        changed = both[self._changed_days(both, day_b) > day_a.toordinal()]
        return self.identities(changed, day_b)

    def born_on(self, day: date) -> Identities:
        """Return the devices whose first day this is; on the epoch, all of them."""
        numbers = self.numbers(day)
        return self.identities(numbers[self._first_days(numbers) == day.toordinal()], day)

    def vanished_on(self, day: date) -> Identities:
        """Return the devices present on the day before and absent on this day; none on the epoch."""
        if day == self.epoch:
            return _identities([])
        yesterday = date.fromordinal(day.toordinal() - 1)
        gone = np.setdiff1d(self.numbers(yesterday), self.numbers(day), assume_unique=True)
        return self.identities(gone, day)

    def reappeared_on(self, day: date) -> Identities:
        """Return the devices absent on the day before, present on this day and not new."""
        if day == self.epoch:
            return _identities([])
        yesterday = date.fromordinal(day.toordinal() - 1)
        back = np.setdiff1d(self.numbers(day), self.numbers(yesterday), assume_unique=True)
        return self.identities(back[self._first_days(back) < day.toordinal()], day)

    def modified_since(self, moment: datetime, day: date) -> Identities:
        """Return the devices present on a day whose last change is at or after an aware moment."""
        numbers = self.numbers(day)
        is_modified = self.modified_seconds(numbers, day) >= moment.timestamp()
        return self.identities(numbers[is_modified], day)

    def renamed_between(self, day_a: date, day_b: date) -> Identities:
        """Return the devices present on both days whose sido or gugun the reform renamed between them."""
        if not day_a < REFORM_DAY <= day_b:
            return _identities([])
        both = np.intersect1d(self.numbers(day_a), self.numbers(day_b), assume_unique=True)
        is_renamed = np.array([district.is_renamed for district in self.districts(both)], dtype=bool)
        return self.identities(both[is_renamed], day_b)

    def flaws(self, day: date) -> dict[Flaw, Identities]:
        """Return for each flaw the present devices that carry it."""
        present = list(self.devices(day))
        return {flaw: _identities([d for d in present if flaw in d.flaws]) for flaw in Flaw}

    # ---- closed forms

    def _elapsed(self, day: date) -> int:
        elapsed = day.toordinal() - self.epoch.toordinal()
        if elapsed < 0:
            raise ValueError(f"the sandbox registry begins on {self.epoch}; {day} is before that day")
        return elapsed

    def _first_days(self, numbers: Numbers) -> Numbers:
        epoch = self.epoch.toordinal()
        if self.births_per_day == 0:
            return np.full(len(numbers), epoch, dtype=np.int64)
        births = epoch + 1 + (numbers - self.size - 1) // self.births_per_day
        return np.where(numbers <= self.size, epoch, births)

    def _changed_days(self, numbers: Numbers, day: date) -> Numbers:
        ordinal = day.toordinal()
        changed = ordinal - (ordinal + numbers) % self.change_cycle
        return np.where(numbers <= self.size, changed, np.maximum(changed, self._first_days(numbers)))

    def _multiplier(self) -> int:
        return next(m for m in range(max(1, int(self.size * 0.618)), 2 * self.size + 2) if gcd(m, self.size) == 1)

    def _place(self, number: int, ends: tuple[int, ...], multiplier: int) -> tuple[tuple[int, ...], District]:
        """Return the draws of a device's location and its district; every fifth location is shared."""
        slot = number - 1
        location = slot * multiplier % self.size
        sido = bisect_right(ends, location)
        if slot >= self.size:
            location = slot
        elif location % 5 == 0 and location > (ends[sido - 1] if sido else 0):
            location -= 1
        site = devices_module.draws(self.seed, "site", location)
        return site, DISTRICTS[sido][site[15] % len(DISTRICTS[sido])]


def _identities(devices: list[Device]) -> Identities:
    return Identities(
        frozenset(device.number for device in devices),
        frozenset(device.serial_seq for device in devices),
        frozenset(device.equipment_serial for device in devices),
    )
