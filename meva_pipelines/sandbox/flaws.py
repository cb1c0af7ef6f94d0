"""Which devices carry which flaw of a real registry: closed forms over the device number, nothing else.

Amounts follow the quality table observed on 2025-09-15 (80,766 rows). What a flaw does to a device is said
in `device`; faults of the service (as opposed to flaws of its data) are in `faults`.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Flaw(StrEnum):
    """A flaw of the data, as real registries have them in small amounts."""

    SHIP_OUTSIDE_KOREA = "ship_outside_korea"
    SHIP_AT_SEA = "ship_at_sea"
    NO_COORDINATES = "no_coordinates"
    NO_PLACE = "no_place"
    MADE_AFTER_INSTALLED = "made_after_installed"
    SHARED_SERIAL_NUMBER = "shared_serial_number"
    PLACEHOLDER_SERIAL_NUMBER = "placeholder_serial_number"
    BATTERY_EXPIRED = "battery_expired"
    PADS_EXPIRED = "pads_expired"
    NEVER_INSPECTED = "never_inspected"
    DOUBTFUL_CATEGORY = "doubtful_category"
    NO_TELEPHONE_NUMBER = "no_telephone_number"
    LONG_SIDO_LABEL = "long_sido_label"
    OTHER_JURISDICTION = "other_jurisdiction"
    HOURS_BEYOND_MIDNIGHT = "hours_beyond_midnight"


@dataclass(frozen=True, slots=True)
class Share:
    """The numbers n with `first <= (n * factor) % modulus < first + width`."""

    modulus: int
    first: int
    width: int = 1
    factor: int = 1


# The count beside each is that of 80,766 observed rows, or of 81,464 rows where it was not observed.
SHARES: dict[Flaw, Share] = {
    Flaw.SHIP_OUTSIDE_KOREA: Share(20_011, 17),  # 3
    Flaw.SHIP_AT_SEA: Share(20_011, 18),  # a few
    Flaw.NO_COORDINATES: Share(1_000, 0, 46, 619),  # 4.6 %
    Flaw.NO_PLACE: Share(2_081, 29),  # 39
    Flaw.MADE_AFTER_INSTALLED: Share(3_011, 31),  # 27
    Flaw.SHARED_SERIAL_NUMBER: Share(9_973, 41),  # 8 groups
    Flaw.PLACEHOLDER_SERIAL_NUMBER: Share(1_009, 11),
    Flaw.BATTERY_EXPIRED: Share(1_000, 0, 61, 383),  # 4,922
    Flaw.PADS_EXPIRED: Share(1_000, 0, 76, 271),  # 6,145
    Flaw.NEVER_INSPECTED: Share(1_000, 0, 65, 757),  # 5,263
    Flaw.DOUBTFUL_CATEGORY: Share(216, 5),  # 374
    Flaw.NO_TELEPHONE_NUMBER: Share(1_283, 7),  # 63
    Flaw.LONG_SIDO_LABEL: Share(5_003, 101),  # 3 rows of 경기
    Flaw.OTHER_JURISDICTION: Share(101, 3),
    Flaw.HOURS_BEYOND_MIDNIGHT: Share(2_003, 13),
}


_NONE: frozenset[Flaw] = frozenset()


def of(numbers: NDArray[np.int64]) -> list[frozenset[Flaw]]:
    """Return for each device number the flaws that its number gives it, in the order of the numbers."""
    masks = {flaw: _mask(numbers, share) for flaw, share in SHARES.items()}
    masks[Flaw.NO_COORDINATES] &= ~(masks[Flaw.SHIP_OUTSIDE_KOREA] | masks[Flaw.SHIP_AT_SEA])
    masks[Flaw.SHARED_SERIAL_NUMBER] &= ~masks[Flaw.PLACEHOLDER_SERIAL_NUMBER]
    found: dict[int, set[Flaw]] = {}
    for flaw, mask in masks.items():
        for index in np.flatnonzero(mask).tolist():
            found.setdefault(index, set()).add(flaw)
    return [frozenset(found[i]) if i in found else _NONE for i in range(len(numbers))]


def _mask(numbers: NDArray[np.int64], share: Share) -> NDArray[np.bool_]:
    residues = numbers * share.factor % share.modulus
    return (residues >= share.first) & (residues < share.first + share.width)
