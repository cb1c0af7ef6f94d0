"""What a machine does to a curve is what its conditions say, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from meva_pipelines.domain.tensile.recording import Specimen
from meva_pipelines.sandbox.laboratory_materials import MATERIALS
from meva_pipelines.sandbox.laboratory_measuring import Conditions, Trial, measure

LAW = MATERIALS["Steel_AISI4140"].law
SPECIMEN = Specimen("piece", area_mm2=20.0, gauge_length_mm=25.0, parallel_length_mm=30.0)
POINTS = 2_000


def recorded(conditions: Conditions | None = None, *, points: int = POINTS, seed: int = 0) -> Trial:
    return measure(LAW, SPECIMEN, conditions or Conditions(), points=points, seed=seed)


def test_an_undisturbed_recording_is_the_law() -> None:
    measured = recorded().measured
    extension = measured.extension_mm / 25.0
    assert measured.force_n == pytest.approx(20.0 * LAW.stress_mpa(extension), rel=1e-9)
    assert measured.crosshead_mm == pytest.approx(30.0 * extension)
    assert extension[-1] == pytest.approx(LAW.break_extension)
    assert (np.diff(measured.time_s) > 0).all()
    assert measured.time_s[0] == 0


def test_the_elastic_part_is_sampled_finely_enough_to_be_evaluated() -> None:
    measured = recorded(points=5_000).measured
    elastic = measured.force_n < 20.0 * 300
    assert np.count_nonzero(elastic[: int(measured.force_n.argmax())]) > 100


def test_a_preload_is_there_from_the_first_row_with_the_extensometer_at_zero() -> None:
    measured = recorded(Conditions(preload_n=100.0)).measured
    assert measured.force_n[0] == pytest.approx(100.0)
    assert measured.extension_mm[0] == measured.crosshead_mm[0] == 0


def test_the_frame_gives_way_in_proportion_to_the_force() -> None:
    measured = recorded(Conditions(compliance_mm_per_n=1e-5)).measured
    frame = measured.crosshead_mm - measured.extension_mm * 30 / 25
    assert frame == pytest.approx(1e-5 * measured.force_n, abs=1e-12)


def test_slack_moves_the_crosshead_before_the_force_rises() -> None:
    measured = recorded(Conditions(slack_mm=0.3)).measured
    loose = measured.crosshead_mm < 0.3
    assert measured.force_n[loose] == pytest.approx(0.0, abs=1e-9)
    assert measured.extension_mm[loose] == pytest.approx(0.0, abs=1e-12)
    assert measured.crosshead_mm[-1] == pytest.approx(0.3 + 30 * LAW.break_extension)


def test_a_toe_ends_in_a_constant_shift() -> None:
    straight, bent = recorded().measured, recorded(Conditions(toe_mm=0.02, toe_n=100.0)).measured
    shift = bent.extension_mm - straight.extension_mm
    assert shift[0] == 0
    assert shift[straight.force_n > 3_000] == pytest.approx(0.02, abs=1e-12)


def test_noise_has_the_stated_deviation_and_depends_on_the_seed_alone() -> None:
    clean, noisy = recorded().measured, recorded(Conditions(noise_n=5.0, noise_mm=1e-4)).measured
    assert np.std(noisy.force_n - clean.force_n) == pytest.approx(5.0, rel=0.1)
    assert np.std(noisy.extension_mm - clean.extension_mm) == pytest.approx(1e-4, rel=0.1)
    again = recorded(Conditions(noise_n=5.0, noise_mm=1e-4)).measured
    assert (again.force_n == noisy.force_n).all()
    assert (recorded(Conditions(noise_n=5.0), seed=1).measured.force_n != noisy.force_n).any()


def test_converters_write_multiples_of_their_step() -> None:
    measured = recorded(Conditions(quantum_n=0.5, quantum_mm=1e-3)).measured
    steps = measured.force_n / 0.5
    assert steps == pytest.approx(np.round(steps))
    assert np.abs(measured.force_n - recorded().measured.force_n).max() <= 0.25 + 1e-9


def test_offsets_and_drift_are_added() -> None:
    clean = recorded().measured
    moved = recorded(Conditions(tare_n=-7, zero_mm=-0.001, drift_n_per_s=0.01, start_s=5.5)).measured
    assert moved.force_n - clean.force_n == pytest.approx(-7 + 0.01 * clean.time_s)
    assert moved.extension_mm - clean.extension_mm == pytest.approx(-0.001)
    assert moved.time_s == pytest.approx(clean.time_s + 5.5)


def test_rows_that_are_no_measurements_are_counted() -> None:
    trial = recorded(Conditions(repeated=3, tail=5, tail_n=-4.0))
    time, force, extension = trial.measured.time_s, trial.measured.force_n, trial.measured.extension_mm
    assert len(time) == POINTS
    assert (trial.repeated, trial.tail) == (3, 5)
    assert (time[:4] == 0).all()
    assert (force[-5:] == -4.0).all()
    assert extension[-5] < extension[-6]
    assert (np.diff(time[3:]) > 0).all()


def test_missing_samples_leave_the_others_as_they_were() -> None:
    trial = recorded(Conditions(missing=200))
    whole = recorded(points=POINTS + 200)
    assert len(trial.measured.time_s) == POINTS
    assert np.isin(trial.measured.force_n, whole.measured.force_n).all()


def test_another_load_cell_multiplies_what_is_in_newtons() -> None:
    conditions = Conditions(preload_n=10, noise_n=2, compliance_mm_per_n=1e-5, tail=3, tail_n=-1).scaled(0.1)
    assert conditions == Conditions(preload_n=1, toe_n=0.1, noise_n=0.2, compliance_mm_per_n=1e-5, tail=3, tail_n=-0.1)


def test_a_test_needs_dimensions_and_points() -> None:
    with pytest.raises(ValueError, match="no area, gauge length or parallel length"):
        measure(LAW, replace(SPECIMEN, area_mm2=None), Conditions(), points=POINTS)
    with pytest.raises(ValueError, match="too few"):
        recorded(Conditions(tail=60), points=100)
