"""The truths of the laboratory's materials are what a dense curve shows to someone who evaluates it by hand."""

import numpy as np
import pytest

from meva_pipelines.domain.tensile.evaluation.values import Symbol
from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.sandbox.laboratory_laws import Film, Hollomon, Law, Smooth, YieldDrop
from meva_pipelines.sandbox.laboratory_materials import MATERIALS, Material

LAWS = {name: material.law for name, material in MATERIALS.items()}
METALS = {name: law for name, law in LAWS.items() if not isinstance(law, Film)}
DENSE = 400_001

every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
every_metal = pytest.mark.parametrize("law", METALS.values(), ids=METALS)


def dense(law: Law) -> tuple[Series, Series]:
    extension = np.linspace(0.0, law.break_extension, DENSE)
    return extension, law.stress_mpa(extension)


def crossing(extension: Series, stress: Series, modulus: float, offset: float) -> float:
    """Stress at the first crossing of the offset line with the sampled curve, by linear interpolation."""
    above = stress - modulus * (extension - offset)
    row = int(np.argmax((above[1:] <= 0) & (extension[1:] > offset))) + 1
    share = above[row - 1] / (above[row - 1] - above[row])
    return float(stress[row - 1] + share * (stress[row] - stress[row - 1]))


@every_law
def test_the_curve_begins_as_a_straight_line_with_the_true_modulus(law: Law) -> None:
    extension, stress = dense(law)
    first = (extension > 0) & (stress < 0.3 * law.truth().get(Symbol.RP02, 15.0))
    slopes = stress[first][: int(np.argmax(~first[1:]))] / extension[first][: int(np.argmax(~first[1:]))]
    assert slopes == pytest.approx(law.modulus_mpa, rel=1e-12)
    assert law.truth()[Symbol.MODULUS] == law.modulus_mpa


@every_metal
@pytest.mark.parametrize(("symbol", "offset"), [(Symbol.RP01, 0.001), (Symbol.RP02, 0.002), (Symbol.RP10, 0.01)])
def test_proof_strengths_lie_where_the_offset_line_crosses_the_curve(law: Law, symbol: Symbol, offset: float) -> None:
    extension, stress = dense(law)
    assert crossing(extension, stress, law.modulus_mpa, offset) == pytest.approx(law.truth()[symbol], rel=1e-6)


@every_law
def test_strength_and_elongations_are_those_of_the_dense_curve(law: Law) -> None:
    extension, stress = dense(law)
    truth, top = law.truth(), int(stress.argmax())
    assert stress[top] == pytest.approx(truth[Symbol.RM], rel=1e-9)
    assert 100 * extension[top] == pytest.approx(truth[Symbol.AGT], abs=2e-3)
    assert 100 * (extension[top] - stress[top] / law.modulus_mpa) == pytest.approx(truth[Symbol.AG], abs=2e-3)
    assert 100 * extension[-1] == pytest.approx(truth[Symbol.AT], rel=1e-12)
    assert 100 * (extension[-1] - stress[-1] / law.modulus_mpa) == pytest.approx(truth[Symbol.A], rel=1e-9)


@every_metal
def test_the_stress_at_half_a_percent_of_extension_is_read_from_the_curve(law: Law) -> None:
    extension, stress = dense(law)
    assert np.interp(0.005, extension, stress) == pytest.approx(law.truth()[Symbol.RT05], rel=1e-6)


def test_a_yield_drop_shows_both_yield_strengths_and_its_extension() -> None:
    law = LAWS["Steel_AISI1020"]
    extension, stress = dense(law)
    truth = law.truth()
    peak = int(np.argmax(np.diff(stress) < 0))
    assert stress[peak] == pytest.approx(truth[Symbol.REH], rel=1e-4)
    lowest = peak + int(np.argmin(stress[peak : DENSE // 10]))
    assert stress[lowest] < truth[Symbol.REL]
    plateau = np.flatnonzero(np.abs(stress - truth[Symbol.REL]) < 1e-9)
    assert 100 * (extension[plateau[-1]] - extension[peak]) == pytest.approx(truth[Symbol.AE], abs=1e-3)
    assert (stress[plateau[-1] + 1 : int(stress.argmax())] > truth[Symbol.REL]).all()


def test_a_film_has_no_proof_strength() -> None:
    assert not {Symbol.RP01, Symbol.RP02, Symbol.RP10, Symbol.REH} & set(LAWS["Film_LDPE"].truth())


def test_hollomons_law_is_a_straight_line_in_the_logarithms_of_true_values() -> None:
    law = Hollomon(70_000, 300, exponent=0.1, fracture=0.15)
    extension = np.linspace(1.01 * law.limit_extension, law.break_extension, 1_000)
    true_strain, true_stress = np.log1p(extension), law.stress_mpa(extension) * (1 + extension)
    slope, intercept = np.polyfit(np.log(true_strain), np.log(true_stress), 1)
    assert slope == pytest.approx(0.1, rel=1e-10)
    assert np.exp(intercept) == pytest.approx(law.coefficient_mpa, rel=1e-10)


@every_law
def test_another_specimen_has_its_modulus_and_its_stresses_multiplied(law: Law) -> None:
    before, after = law.truth(), law.scaled(1.0, 1.1).truth()
    assert after[Symbol.RM] == pytest.approx(1.1 * before[Symbol.RM])
    assert after[Symbol.MODULUS] == before[Symbol.MODULUS]
    assert law.scaled(1.02, 1.0).modulus_mpa == pytest.approx(1.02 * law.modulus_mpa)


def test_a_stress_that_falls_faster_than_the_specimen_unloads_is_no_law() -> None:
    steep = YieldDrop(200_000, 300, 200, 250, 400, plateau=0.01, uniform=0.2, elongation=0.3, break_mpa=300, drop=1e-4)
    with pytest.raises(ValueError, match="falls faster"):
        steep.stress_mpa(np.array([0.01]))


def differences(material: Material) -> dict[str, float]:
    """Differences of a material from its handbook in percent."""
    book, truth = material.handbook, material.law.truth()
    assert book is not None
    pairs = {
        "modulus": (truth[Symbol.MODULUS] / 1e3, book.young_modulus_gpa),
        "yield": (truth.get(Symbol.REH, truth[Symbol.RP02]), book.yield_strength_mpa),
        "tensile": (truth[Symbol.RM], book.tensile_strength_mpa),
        "elongation": (truth[Symbol.A], book.elongation_pct),
    }
    return {name: 100 * (found / wanted - 1) for name, (found, wanted) in pairs.items()}


@pytest.mark.parametrize("material", [each for each in MATERIALS.values() if each.handbook], ids=lambda each: each.name)
def test_a_material_keeps_to_its_handbook_unless_it_is_marked_as_off(material: Material) -> None:
    tolerances = {"modulus": 5.0, "yield": 3.0, "tensile": 3.0, "elongation": 5.0}
    missed = [name for name, difference in differences(material).items() if abs(difference) > tolerances[name]]
    assert bool(missed) is material.is_off


def test_a_smooth_metal_reaches_its_proof_strength_exactly() -> None:
    assert Smooth(205e3, 300, 415, 655, 0.16, 0.25, 480).truth()[Symbol.RP02] == pytest.approx(415, rel=1e-14)
