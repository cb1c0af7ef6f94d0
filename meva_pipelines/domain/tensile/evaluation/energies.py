"""Areas under the curve: toughness and resilience in MPa, which is MJ/m³. Beyond ISO 6892-1, common in laboratories."""

import numpy as np

from meva_pipelines.domain.tensile.evaluation import elongations, uncertainty
from meva_pipelines.domain.tensile.evaluation.fitted import OF_THE_FRAME, Fitted
from meva_pipelines.domain.tensile.evaluation.values import Symbol, Value, Withheld


def toughness(test: Fitted) -> Value | Withheld:
    """W in MPa: the area under stress over strain up to the break, the toe replaced by the elastic line."""
    reason = elongations.why_not_at_fracture(test)
    if reason is not None:
        return Withheld(Symbol.TOUGHNESS, reason)
    begin = test.line.start
    stress, strain = test.record.stress_mpa[begin:], test.strain[begin:]
    area = float(np.trapezoid(stress, strain) + 0.5 * stress[0] ** 2 / test.line.slope_mpa)
    step = float(stress[-1] * (strain[-1] - strain[-2]))
    return uncertainty.value(
        Symbol.TOUGHNESS,
        area,
        "MPa",
        method="area under the curve to the break",
        clause="none (integral of R over e)",
        budget=(
            *test.equipment.stress(area),
            *test.equipment.strain(area, test.total(test.strain.size - 1)),
            uncertainty.rectangular("moment of the break between two points", step),
        ),
        flags=test.flags,
    )


def resilience(test: Fitted, yield_strength: Value | Withheld) -> Value | Withheld:
    """Ur in MPa: the elastic energy at the yield strength (ReH, or Rp0.2), R² / (2 mE)."""
    if test.record.is_of_crosshead:
        return Withheld(Symbol.RESILIENCE, OF_THE_FRAME)
    if isinstance(yield_strength, Withheld):
        return Withheld(Symbol.RESILIENCE, f"no yield strength: {yield_strength.reason}")
    slope, stress = test.line.slope_mpa, yield_strength.value
    energy = 0.5 * stress**2 / slope
    rest = [one for one in yield_strength.budget if one.source not in {"force", "cross-section"}]
    moved = [uncertainty.normal(one.source, one.standard_uncertainty * stress / slope) for one in rest]
    return uncertainty.value(
        Symbol.RESILIENCE,
        energy,
        "MPa",
        method=f"{yield_strength.symbol}² / (2 mE)",
        clause="none (elastic energy)",
        budget=(
            *test.equipment.stress(energy),
            *test.equipment.strain(energy, test.line.strain_band[1] - test.line.strain_band[0]),
            uncertainty.normal("regression", energy * test.line.relative_error),
            *moved,
        ),
        flags=test.flags,
    )
