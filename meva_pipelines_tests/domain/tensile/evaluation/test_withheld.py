"""What a record cannot support is withheld with a reason, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from meva_pipelines.domain.tensile.evaluation.evaluator import evaluate
from meva_pipelines.domain.tensile.evaluation.recipe import MaterialClass, Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Flag, Symbol, Value
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Specimen
from meva_pipelines_tests.domain.tensile.evaluation.curves import Setup, recorded, smooth

METAL = smooth()
NO_YIELD_POINT = {Symbol.REH, Symbol.REL, Symbol.AE}


def withheld(evaluation: Evaluation) -> set[Symbol]:
    return {found.symbol for found in evaluation.withheld}


def reason(evaluation: Evaluation, symbol: Symbol) -> str:
    return next(found.reason for found in evaluation.withheld if found.symbol is symbol)


def test_a_full_record_withholds_only_what_the_metal_does_not_have() -> None:
    curve, specimen = recorded(METAL)
    whole = replace(specimen, final_area_mm2=12.0)

    assert withheld(evaluate(curve, whole, Recipe())) == NO_YIELD_POINT


def test_without_a_fracture_there_is_no_elongation() -> None:
    evaluation = evaluate(*recorded(METAL, Setup(breaks=False)), Recipe())

    assert withheld(evaluation) == NO_YIELD_POINT | {Symbol.A, Symbol.AT, Symbol.TOUGHNESS, Symbol.Z}
    assert "no fracture" in reason(evaluation, Symbol.A)


def test_rows_that_the_reader_dropped_after_the_break_prove_it() -> None:
    curve, specimen = recorded(METAL, Setup(breaks=False))

    evaluation = evaluate(curve, specimen, Recipe(), rows_after_break=1)

    assert Symbol.A not in withheld(evaluation)


def test_lengths_measured_by_hand_stand_before_the_curve() -> None:
    curve, specimen = recorded(METAL)

    agreed = evaluate(curve, replace(specimen, final_gauge_length_mm=60.0), Recipe()).results[Symbol.A]
    disputed = evaluate(curve, replace(specimen, final_gauge_length_mm=65.0), Recipe()).results[Symbol.A]

    assert isinstance(agreed, Value)
    assert isinstance(disputed, Value)
    assert agreed.value == pytest.approx(20.0)
    assert agreed.flags == (Flag.BY_HAND,)
    assert disputed.value == pytest.approx(30.0)
    assert disputed.flags == (Flag.BY_HAND, Flag.DISAGREES)


def test_a_neck_outside_of_the_gauge_length_is_no_elongation() -> None:
    """Behind the maximum the gauge length only springs back while the specimen necks and breaks elsewhere."""
    curve, specimen = recorded(METAL)
    top = int(curve.load_n.argmax())
    strain = curve.displacement_mm / 50.0
    strain[top:] = (
        strain[top] - (curve.load_n[top] - curve.load_n[top:]) / 20.0 / 70_000.0 - 1e-4 * (strain[top:] > 0.15)
    )

    evaluation = evaluate(replace(curve, displacement_mm=50.0 * strain), specimen, Recipe())

    assert withheld(evaluation) == NO_YIELD_POINT | {Symbol.A, Symbol.AT, Symbol.TOUGHNESS, Symbol.Z}
    assert "outside" in reason(evaluation, Symbol.A)


def test_the_crosshead_gives_strengths_but_no_modulus_and_no_elongation() -> None:
    curve, specimen = recorded(METAL, Setup(source=DisplacementSource.CROSSHEAD, compliance_mm_per_n=2e-5))

    evaluation = evaluate(curve, specimen, Recipe())

    of_the_frame = {Symbol.MODULUS, Symbol.RT05, Symbol.AGT, Symbol.RESILIENCE}
    at_the_break = {Symbol.A, Symbol.AT, Symbol.TOUGHNESS}
    assert withheld(evaluation) == NO_YIELD_POINT | of_the_frame | at_the_break | {Symbol.Z}
    assert "crosshead" in reason(evaluation, Symbol.MODULUS)
    proof = evaluation.results[Symbol.RP02]
    assert isinstance(proof, Value)
    assert proof.value == pytest.approx(METAL.stress(0.002), rel=1e-3)
    assert Flag.CROSSHEAD in proof.flags


def test_a_known_compliance_gives_the_modulus_back() -> None:
    curve, specimen = recorded(METAL, Setup(source=DisplacementSource.CROSSHEAD, compliance_mm_per_n=2e-5))

    evaluation = evaluate(curve, specimen, Recipe(compliance_mm_per_n=2e-5, compliance_uncertainty_mm_per_n=1e-6))

    modulus = evaluation.results[Symbol.MODULUS]
    assert isinstance(modulus, Value)
    assert modulus.value == pytest.approx(70_000.0, rel=1e-3)
    assert Flag.COMPLIANCE in modulus.flags
    assert "compliance of the frame" in {one.source for one in modulus.budget}
    assert withheld(evaluation) == NO_YIELD_POINT | {Symbol.A, Symbol.AT, Symbol.TOUGHNESS, Symbol.Z}


def test_a_compliance_moves_nothing_that_an_extensometer_measured() -> None:
    curve, specimen = recorded(METAL)

    plain, corrected = (evaluate(curve, specimen, Recipe(compliance_mm_per_n=each)) for each in (None, 2e-5))

    assert corrected.results == plain.results


def test_a_polymer_has_no_proof_strength() -> None:
    """A film as soft as polyethylene, by extensometer: a line, a strength, an extension, and nothing of metals."""
    polymer = smooth(modulus_mpa=1_100.0, first_mpa=12.0, greatest_mpa=30.0)
    how = Setup(elastic_end=0.02)

    evaluation = evaluate(*recorded(polymer, how), Recipe(slope=SlopeMethod.STRAIN_BAND))
    declared = evaluate(*recorded(METAL), Recipe(material_class=MaterialClass.OTHER))
    insisted = evaluate(*recorded(polymer, how), Recipe(material_class=MaterialClass.METAL))

    of_metals = {Symbol.RP01, Symbol.RP02, Symbol.RP10, Symbol.RT05, Symbol.N, Symbol.K, Symbol.RESILIENCE}
    assert withheld(evaluation) == withheld(declared) == NO_YIELD_POINT | of_metals | {Symbol.Z}
    assert "1.10 GPa" in reason(evaluation, Symbol.RP02)
    assert Symbol.RP02 not in withheld(insisted)


def test_a_greatest_force_before_the_offset_is_no_proof_strength() -> None:
    curve, specimen = recorded(METAL)
    until = int(np.argmax(curve.load_n > 0.995 * 20.0 * METAL.stress(0.002)))
    short = replace(curve, load_n=curve.load_n[:until], displacement_mm=curve.displacement_mm[:until], elapsed_s=None)

    evaluation = evaluate(short, specimen, Recipe())

    assert {Symbol.RP02, Symbol.RP10} <= withheld(evaluation)
    assert Symbol.RP01 not in withheld(evaluation)
    assert "0.2 % plastic extension" in reason(evaluation, Symbol.RP02)


def test_too_few_points_make_no_slope() -> None:
    evaluation = evaluate(*recorded(METAL, Setup(points=60)), Recipe())

    assert withheld(evaluation) == set(Symbol) - {Symbol.RM}
    assert "too few points" in reason(evaluation, Symbol.SLOPE)


def test_a_curve_without_a_straight_part_has_no_slope() -> None:
    """A rubber: stress rises with the cube of strain."""
    strain = np.linspace(0.0, 1.0, 2_000)
    curve = Curve(10.0 * strain**3, 50.0 * strain, DisplacementSource.EXTENSOMETER)
    specimen = Specimen("rubber", area_mm2=1.0, gauge_length_mm=50.0)

    evaluation = evaluate(curve, specimen, Recipe())

    assert "no straight part" in reason(evaluation, Symbol.SLOPE)
    assert withheld(evaluation) == set(Symbol) - {Symbol.RM}


def test_a_record_that_begins_too_late_has_no_slope() -> None:
    curve, specimen = recorded(METAL)
    late = curve.load_n > 20.0 * 60.0
    cut = replace(curve, load_n=curve.load_n[late], displacement_mm=curve.displacement_mm[late], elapsed_s=None)

    evaluation = evaluate(cut, specimen, Recipe())

    assert "begins inside the elastic window" in reason(evaluation, Symbol.SLOPE)


@pytest.mark.parametrize(
    ("specimen", "kept", "words"),
    [
        (Specimen("no area", gauge_length_mm=50.0), set(), "no cross-section S0"),
        (Specimen("no length", area_mm2=20.0, final_area_mm2=12.0), {Symbol.RM, Symbol.Z}, "no strain"),
        (Specimen("by hand", gauge_length_mm=50.0, final_gauge_length_mm=60.0), {Symbol.A}, "no cross-section S0"),
    ],
    ids=lambda value: value.name if isinstance(value, Specimen) else None,
)
def test_what_is_not_stated_is_not_made_up(specimen: Specimen, kept: set[Symbol], words: str) -> None:
    curve, _ = recorded(METAL)

    evaluation = evaluate(curve, specimen, Recipe())

    assert set(Symbol) - withheld(evaluation) == kept
    assert words in reason(evaluation, Symbol.RP02)


@pytest.mark.parametrize(
    "load", [[0.0] * 50, [-float(force) for force in range(50)], [1.0, 2.0]], ids=["flat", "push", "two"]
)
def test_what_is_no_tensile_test_has_no_properties(load: list[float]) -> None:
    curve = Curve(np.array(load), np.linspace(0.0, 1.0, len(load)), DisplacementSource.EXTENSOMETER)

    evaluation = evaluate(curve, Specimen("none", area_mm2=20.0, gauge_length_mm=50.0), Recipe())

    assert withheld(evaluation) == set(Symbol)
