"""The compliance of a frame from reference tests."""

import pytest

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.tensile.evaluation.compliance import ReferenceTest, fit_compliance
from meva_pipelines.domain.tensile.recording import DisplacementSource
from meva_pipelines_tests.domain.tensile.evaluation.curves import Setup, recorded, smooth

FRAME = 2.5e-5
MODULUS = 70_000.0


def reference(
    seed: int, *, noise_mpa: float = 0.0, length_mm: float = 50.0, modulus_mpa: float = MODULUS
) -> ReferenceTest:
    how = Setup(
        points=1_500,
        noise_mpa=noise_mpa,
        length_mm=length_mm,
        compliance_mm_per_n=FRAME,
        source=DisplacementSource.CROSSHEAD,
    )
    return ReferenceTest(*recorded(smooth(), how, seed), modulus_mpa)


def test_three_clean_tests_of_different_length_give_the_frame() -> None:
    found = fit_compliance([reference(seed, length_mm=length) for seed, length in enumerate((40.0, 50.0, 80.0))])

    assert found.mm_per_n == pytest.approx(FRAME, rel=1e-3)
    assert found.uncertainty_mm_per_n < 1e-3 * FRAME
    assert len(found.each) == 3


def test_noise_is_covered_by_the_stated_uncertainty() -> None:
    inside = 0
    for run in range(60):
        found = fit_compliance([reference(100 * run + seed, noise_mpa=0.3) for seed in range(4)])
        inside += abs(found.mm_per_n - FRAME) <= 2 * found.uncertainty_mm_per_n

    assert inside >= 0.88 * 60


def test_a_doubtful_modulus_is_part_of_the_uncertainty() -> None:
    tests = [reference(seed) for seed in range(3)]
    doubted = [ReferenceTest(test.curve, test.specimen, MODULUS, 0.01 * MODULUS) for test in tests]

    own = 50.0 / (MODULUS * 20.0)
    assert fit_compliance(doubted).uncertainty_mm_per_n == pytest.approx(0.01 * own, rel=1e-3)


def test_two_tests_are_too_few() -> None:
    with pytest.raises(Rejected, match="at least 3"):
        fit_compliance([reference(0), reference(1)])


def test_an_extensometer_does_not_see_the_frame() -> None:
    curve, specimen = recorded(smooth(), Setup(points=800))

    with pytest.raises(Rejected, match="extensometer"):
        fit_compliance([ReferenceTest(curve, specimen, MODULUS)] * 3)


def test_a_frame_cannot_be_stiffer_than_rigid() -> None:
    with pytest.raises(Rejected, match="wrong"):
        fit_compliance([reference(seed, modulus_mpa=20_000.0) for seed in range(3)])


def test_a_test_without_a_length_is_named() -> None:
    good = reference(0)
    nameless = ReferenceTest(good.curve, type(good.specimen)("blank", area_mm2=20.0), MODULUS)

    with pytest.raises(Rejected, match="blank"):
        fit_compliance([good, good, nameless])
