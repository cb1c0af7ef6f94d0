"""Units in which curves come, and their factors to ms and MPa. A unit is read where it is written and never guessed."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_TIME: Final = MappingProxyType({"ms": 1.0, "msec": 1.0, "毫秒": 1.0, "s": 1e3, "sec": 1e3, "秒": 1e3, "us": 1e-3})
_PRESSURE: Final = MappingProxyType(
    {"mpa": 1.0, "兆帕": 1.0, "kpa": 1e-3, "千帕": 1e-3, "pa": 1e-6, "bar": 0.1, "psi": 6.894757293168361e-3}
)
_BRACKETS: Final = "[](){}（）【】［］ \t"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as it is written, whether it is one of time, and what a value is multiplied by to be ms or MPa."""

    written: str
    is_time: bool
    factor: float


def unit(text: str) -> Unit | None:
    """Return the unit that a cell names, or None; brackets and letter case do not matter."""
    key = text.strip(_BRACKETS).casefold().replace("µ", "u").replace("μ", "u")
    if key in _TIME:
        return Unit(text.strip(), is_time=True, factor=_TIME[key])
    if key in _PRESSURE:
        return Unit(text.strip(), is_time=False, factor=_PRESSURE[key])
    return None
