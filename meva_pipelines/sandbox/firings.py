"""A season of firings and what two model versions said of them: curves of closed form, with the scatter of repeats.

Every curve is p(t) = P·(x·e^(1−x))^n with x = (t − t₀)/τ after the ignition t₀, and nothing before it: the greatest
pressure is exactly P, at exactly t₀ + τ. Firings of one work order differ in P, τ and t₀ by a few percent and carry
noise, so that readings near zero lie on both sides of it. Equal seasons give equal bytes; files are in `firing_files`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

import numpy as np
import numpy.typing as npt

POINTS: Final = 4_000
FINE_STEP_MS, COARSE_STEP_MS = 0.01, 1.0
NOISE_MPA: Final = 0.02
SCATTER: Final = 0.015
"""Standard deviation of P and τ between repeats, as a share."""

ENGINEERS: Final = ("kim.ha-neul", "lee.seo-jun")
IGNITERS, NITROCELLULOSE, PROPELLANTS = ("IG-A", "IG-B"), ("NC-1", "NC-2"), ("GP-1", "GP-2", "GP-3")
DEVICES: Final = ("PT-01", "PT-02")
GOOD_MODEL, WORSE_MODEL = "pt-forward-1.0", "pt-forward-1.1"
REVERSE_MODEL: Final = "pt-reverse-1.0"


@dataclass(frozen=True, slots=True)
class Pulse:
    """The law of one curve: P in MPa, t₀ and τ in ms, exponent n."""

    peak_mpa: float
    ignition_ms: float
    rise_ms: float
    exponent: float

    @property
    def peak_ms(self) -> float:
        """Time of the greatest pressure."""
        return self.ignition_ms + self.rise_ms

    def pressure_mpa(self, time_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the pressures at times of any shape, in ms."""
        x = np.maximum((time_ms - self.ignition_ms) / self.rise_ms, 0.0)
        return np.asarray(self.peak_mpa * (x * np.exp(1.0 - x)) ** self.exponent, dtype=np.float64)

    def impulse_mpa_ms(self) -> float:
        """Return the area under the whole curve: P·τ·eⁿ·Γ(n+1)/n^(n+1)."""
        n = self.exponent
        return self.peak_mpa * self.rise_ms * math.exp(n) * math.gamma(n + 1) / math.pow(n, n + 1)

    def changed(self, *, peak: float = 1.0, rise: float = 1.0, delay_ms: float = 0.0) -> "Pulse":
        """Return the pulse with P and τ multiplied, and t₀ later."""
        return replace(
            self,
            peak_mpa=self.peak_mpa * peak,
            rise_ms=self.rise_ms * rise,
            ignition_ms=self.ignition_ms + delay_ms,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """A work order: a recipe, and the pulse that it really gives. `day` is that of its firings."""

    number: str
    day: date
    engineer: str
    igniter: str
    nitrocellulose: str
    nitrocellulose_mg: float
    propellant: str
    propellant_mg: float
    pulse: Pulse
    step_ms: float

    @property
    def ordered_at(self) -> datetime:
        """When it was placed."""
        return datetime.combine(self.day - timedelta(days=2), time(1, 0), tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing of an order, and the pulse that was measured."""

    order: Order
    number: int
    device: str
    pulse: Pulse

    @property
    def name(self) -> str:
        """Its name: that of the order and a number."""
        return f"{self.order.number}/F{self.number}"

    def time_ms(self, points: int = POINTS) -> npt.NDArray[np.float64]:
        """Return the times of the record, shape (points,)."""
        return np.round(np.arange(points) * self.order.step_ms, 6)

    def readings_mpa(self, points: int = POINTS) -> npt.NDArray[np.float64]:
        """Return what the device recorded, shape (points,)."""
        generator = np.random.default_rng([len(self.name), *self.name.encode()])
        return self.pulse.pressure_mpa(self.time_ms(points)) + generator.normal(0.0, NOISE_MPA, points)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a model version said of an order, at a few points in time."""

    order: Order
    model: str
    pulse: Pulse
    points: int

    @property
    def name(self) -> str:
        """Its name: that of the order and the model."""
        return f"{self.order.number}/{self.model}"

    def time_ms(self) -> npt.NDArray[np.float64]:
        """Return the time points of the model, shape (points,): they cover the record of the firing."""
        return np.round(np.linspace(0.0, (POINTS - 1) * self.order.step_ms, self.points), 6)

    def pressure_mpa(self) -> npt.NDArray[np.float64]:
        """Return the pressures, shape (points,)."""
        return self.pulse.pressure_mpa(self.time_ms())


@dataclass(frozen=True, slots=True)
class Season:
    """`orders` work orders from `first_day` on, `spacing_days` apart, with `repeats` firings each.

    Every fourth order is recorded in steps of 1 ms instead of 0.01 ms, with everything a hundred times slower. Curves
    of simulations have `simulated_points` each.
    """

    orders: int = 12
    repeats: int = 4
    first_day: date = date(2026, 1, 12)
    spacing_days: int = 14
    simulated_points: int = 120

    def work_orders(self) -> Iterator[Order]:
        """Yield the orders, oldest first."""
        for index in range(self.orders):
            random = Random(f"order {index}")  # noqa: S311 - made-up data
            day = self.first_day + timedelta(days=index * self.spacing_days)
            slowness = 100.0 if index % 4 == 3 else 1.0
            yield Order(
                number=f"WO-{day - timedelta(days=2):%Y%m%d}-100000",
                day=day,
                engineer=ENGINEERS[index % 2],
                igniter=IGNITERS[index % 2],
                nitrocellulose=NITROCELLULOSE[index // 2 % 2],
                nitrocellulose_mg=round(random.uniform(80, 160), 4),
                propellant=PROPELLANTS[index % 3],
                propellant_mg=round(random.uniform(300, 900), 4),
                pulse=Pulse(
                    peak_mpa=random.uniform(25, 60),
                    ignition_ms=random.uniform(0.8, 1.6) * slowness,
                    rise_ms=random.uniform(4.0, 9.0) * slowness,
                    exponent=random.uniform(1.6, 2.6),
                ),
                step_ms=COARSE_STEP_MS if slowness > 1 else FINE_STEP_MS,
            )

    def firings(self, order: Order) -> Iterator[Firing]:
        """Yield the repeats of an order."""
        for number in range(1, self.repeats + 1):
            random = Random(f"{order.number} {number}")  # noqa: S311 - made-up data
            pulse = order.pulse.changed(
                peak=1.0 + random.gauss(0.0, SCATTER),
                rise=1.0 + random.gauss(0.0, SCATTER),
                delay_ms=abs(random.gauss(0.0, SCATTER)) * order.pulse.ignition_ms,
            )
            yield Firing(order, number, DEVICES[number % len(DEVICES)], pulse)

    def simulations(self, order: Order) -> tuple[Simulation, Simulation]:
        """Return what the good and the worse model say: the worse one is 12 % too high and 20 % too slow."""
        return (
            Simulation(order, GOOD_MODEL, order.pulse.changed(peak=1.005, rise=0.995), self.simulated_points),
            Simulation(order, WORSE_MODEL, order.pulse.changed(peak=1.12, rise=1.20), self.simulated_points),
        )
