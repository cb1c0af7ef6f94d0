"""Units as machines and people write them: what they measure and the factor to N, mm, s, ratio, MPa, mm² and °C.

Spelling only; which unit a column has is decided in `columns`, that of a header entry in `headers`. Factors are the
exact ones of the international yard and pound (1959) and of standard gravity, 9.80665 m/s² (CGPM 1901).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

GRAVITY = 9.80665
POUND_FORCE = 4.4482216152605
INCH_MM = 25.4
_PSI_MPA = POUND_FORCE / INCH_MM**2


class Dimension(StrEnum):
    """What a unit measures."""

    FORCE = "force"
    LENGTH = "length"
    TIME = "time"
    RATIO = "ratio"
    STRESS = "stress"
    AREA = "area"
    TEMPERATURE = "temperature"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: value in N, mm, s, ratio, MPa, mm² or °C = `factor` · number + `offset`."""

    dimension: Dimension
    factor: float
    offset: float = 0.0


def _units(dimension: Dimension, *spellings: tuple[str, float]) -> Iterable[tuple[str, Unit]]:
    for words, factor in spellings:
        for word in words.split():
            yield word, Unit(dimension, factor)


_EXACT: Mapping[str, Unit] = dict(
    [
        *_units(
            Dimension.FORCE,
            ("N Newton Newtons newton newtons 뉴턴 牛 牛顿", 1.0),
            ("kN KN kNewton 킬로뉴턴 千牛", 1e3),
            ("MN", 1e6),
            ("mN", 1e-3),
            ("daN", 10.0),
            ("cN", 0.01),
            ("kgf kp kilopond kg Kgf KGF Kg kg.f kg_f", GRAVITY),
            ("gf g p", GRAVITY / 1e3),
            ("tf tonf ton", GRAVITY * 1e3),
            ("lbf lb lbs LBF pound pounds lb.f lb_f", POUND_FORCE),
            ("klbf kip kips klb", POUND_FORCE * 1e3),
            ("ozf oz", POUND_FORCE / 16),
        ),
        *_units(
            Dimension.LENGTH,
            ("mm millimeter millimetre Millimeter 밀리미터 毫米", 1.0),
            ("cm", 10.0),
            ("m meter metre Meter", 1e3),
            ("µm μm um micron microns micrometer", 1e-3),
            ("nm", 1e-6),
            ('in inch inches in. zoll Zoll "', INCH_MM),
            ("mil mils thou", INCH_MM / 1e3),
            ("ft", INCH_MM * 12),
        ),
        *_units(
            Dimension.TIME,
            ("s S sec Sec secs seconds second Sek sek Sekunden seconde secondes s. sec. 초 秒", 1.0),
            ("ms msec milliseconds", 1e-3),
            ("µs μs us", 1e-6),
            ("min Min minutes minute 분 分", 60.0),
            ("h hr hrs hours Std 시간", 3600.0),
        ),
        *_units(
            Dimension.RATIO,
            ("- – — 1 mm/mm in/in m/m in./in. cm/cm strain ratio ε", 1.0),
            ("% percent Prozent pct %L0 퍼센트", 0.01),
            ("‰ mm/m", 1e-3),
            ("µm/m μm/m um/m microstrain µstrain ustrain µε με ue", 1e-6),
            ("µm/mm μm/mm um/mm", 1e-3),
        ),
        *_units(
            Dimension.STRESS,
            ("MPa N/mm2 MN/m2", 1.0),
            ("kPa", 1e-3),
            ("Pa N/m2", 1e-6),
            ("GPa kN/mm2", 1e3),
            ("psi lbf/in2 lb/in2", _PSI_MPA),
            ("ksi kpsi kip/in2", _PSI_MPA * 1e3),
            ("Msi Mpsi", _PSI_MPA * 1e6),
            ("kgf/mm2 kp/mm2 kg/mm2", GRAVITY),
            ("kgf/cm2 kp/cm2 kg/cm2", GRAVITY / 100),
            ("bar", 0.1),
        ),
        *_units(
            Dimension.AREA,
            ("mm2 sqmm", 1.0),
            ("cm2", 100.0),
            ("m2", 1e6),
            ("in2 sqin", INCH_MM**2),
        ),
        ("°C", Unit(Dimension.TEMPERATURE, 1.0)),
        ("Cel", Unit(Dimension.TEMPERATURE, 1.0)),
        ("degC", Unit(Dimension.TEMPERATURE, 1.0)),
        ("C", Unit(Dimension.TEMPERATURE, 1.0)),
        ("K", Unit(Dimension.TEMPERATURE, 1.0, -273.15)),
        ("°F", Unit(Dimension.TEMPERATURE, 5 / 9, -160 / 9)),
        ("degF", Unit(Dimension.TEMPERATURE, 5 / 9, -160 / 9)),
    ]
)
_CAPITALS_MATTER = {"mn", "nm", "msi", "mpsi"}
_ANY_CASE = {word.casefold(): unit for word, unit in _EXACT.items() if word.casefold() not in _CAPITALS_MATTER}
_LOST_SQUARE = re.compile(r"(?<=[cm]m)(?:�|\?|Â²)$")


def unit(text: str) -> Unit | None:
    """Return the unit that a text names, brackets around it or not; None when it is no unit that is known.

    Lost superscripts (`mm�`), `Â°C` and other traces of a wrong encoding are understood.
    """
    word = text.strip().strip("()[]{}<>").strip().replace(" ", "")
    word = _LOST_SQUARE.sub("2", word).replace("²", "2").replace("^", "").replace("Â", "").replace("℃", "°C")
    word = word.replace("㎜", "mm").replace("㎡", "m2").replace("％", "%")
    return _EXACT.get(word) or _ANY_CASE.get(word.casefold())
