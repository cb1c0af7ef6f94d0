"""Evaluations against the values published with the supplied tests: 45 specimens of 42CrMoS4, a film, a raw logger.

`pytest -m conformance -s` shows the differences and the elastic window of every specimen.
"""

import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from meva_pipelines.domain.tensile.evaluation.evaluator import evaluate
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Flag, Symbol, Value
from meva_pipelines.domain.tensile.recording import Recording
from meva_pipelines.resources import machine_files

pytestmark = pytest.mark.conformance

BESIDE_THE_PROJECT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("MEVA_REFERENCE_DATA") or BESIDE_THE_PROJECT)
STEEL = FOLDER / "pmd_42crmos4"
FILM = FOLDER / "zwick_film_csvtocsvw" / "example.csv"
LOGGER = FOLDER / "instron_raw_46NTA5_csvtocsvw" / "example2.csv"

PUBLISHED = {
    Symbol.RM: "Ultimate tensile strength [MPa]",
    Symbol.RP02: "Yield stress at 0.2% plastic strain [MPa]",
    Symbol.RP10: "Yield stress at 1% plastic strain [MPa]",
    Symbol.MODULUS: "Slope of linear-elastic region [MPa]",
    Symbol.AG: "Uniform elongation [%]",
    Symbol.A: "Elongation after fracture [%]",
    Symbol.Z: "Reduction of area [%]",
}
RELATIVE = {Symbol.RM: 1e-4, Symbol.RP02: 3e-3, Symbol.RP10: 1e-3, Symbol.MODULUS: 0.04}
ABSOLUTE = {Symbol.AG: 0.05, Symbol.A: 0.25, Symbol.Z: 1e-9}  # A is rounded to 0.5 %


@cache
def published() -> dict[str, dict[str, str]]:
    with (STEEL / "reference_values.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def one(path: Path) -> Recording:
    (recording,) = machine_files.read(path.read_bytes(), name=path.name).recordings
    return recording


def evaluated(path: Path, recipe: Recipe) -> Evaluation:
    recording = one(path)
    dropped = recording.repairs.rows_after_break
    return evaluate(recording.curve, recording.specimen, recipe, rows_after_break=dropped)


def number(evaluation: Evaluation, symbol: Symbol) -> float:
    found = evaluation.results[symbol]
    assert isinstance(found, Value), found
    return found.value


def names() -> list[str]:
    return sorted(path.name for path in (STEEL / "original_data").glob("*.csv"))


@pytest.mark.parametrize("name", names())
def test_a_steel_specimen_has_its_published_properties(name: str) -> None:
    evaluation = evaluated(STEEL / "original_data" / name, Recipe())
    truth = {symbol: float(published()[name][column]) for symbol, column in PUBLISHED.items()}

    differences = {symbol: number(evaluation, symbol) - value for symbol, value in truth.items()}

    slope = evaluation.results[Symbol.SLOPE]
    assert isinstance(slope, Value)
    told = ", ".join(f"{symbol} {difference:+.3g}" for symbol, difference in differences.items())
    print(f"\n{name}: {told}; window: {slope.method}")  # noqa: T201 - the statement of the window per specimen
    for symbol, difference in differences.items():
        limit = ABSOLUTE.get(symbol) or RELATIVE[symbol] * truth[symbol]
        assert abs(difference) <= limit, (symbol, difference, limit)
    assert "points from" in slope.method
    assert "10–40 % of Rp0.2" in slope.method


def test_every_supplied_specimen_is_evaluated() -> None:
    assert names() == sorted(published())
    assert len(names()) == 45


@pytest.mark.parametrize(
    ("method", "proof", "elastic"),
    [(SlopeMethod.STRAIN_BAND, 3e-3, 0.06), (SlopeMethod.RESIDUALS, 3e-3, 0.1)],
)
def test_the_other_methods_agree_on_the_proof_strength(method: SlopeMethod, proof: float, elastic: float) -> None:
    """Proof strength hardly depends on the slope where the knee is sharp; the slope depends on the window."""
    for name in names():
        evaluation = evaluated(STEEL / "original_data" / name, Recipe(slope=method))
        row = published()[name]
        assert number(evaluation, Symbol.RP02) == pytest.approx(float(row[PUBLISHED[Symbol.RP02]]), rel=proof), name
        assert number(evaluation, Symbol.MODULUS) == pytest.approx(float(row[PUBLISHED[Symbol.MODULUS]]), rel=elastic)


def test_the_stated_uncertainty_holds_the_published_modulus() -> None:
    for name in names():
        found = evaluated(STEEL / "original_data" / name, Recipe()).results[Symbol.MODULUS]
        assert isinstance(found, Value)
        assert abs(found.value - float(published()[name][PUBLISHED[Symbol.MODULUS]])) <= found.expanded_uncertainty


def test_the_film_has_its_published_modulus_and_strength_and_no_proof_strength() -> None:
    """The strain is of the crosshead: its slope is the header's modulus, and not to be compared as one."""
    evaluation = evaluated(FILM, Recipe(slope=SlopeMethod.STRAIN_BAND))

    assert number(evaluation, Symbol.SLOPE) == pytest.approx(1127.12, rel=1e-4)
    assert number(evaluation, Symbol.RM) == pytest.approx(37.9483, abs=5e-5)
    refused = {found.symbol: found.reason for found in evaluation.withheld}
    assert "crosshead" in refused[Symbol.MODULUS]
    assert "metals" in refused[Symbol.RP02]
    assert {Symbol.A, Symbol.AT, Symbol.REH, Symbol.Z} <= set(refused)
    slope = evaluation.results[Symbol.SLOPE]
    assert isinstance(slope, Value)
    assert Flag.CROSSHEAD in slope.flags


def test_the_raw_logger_has_the_strength_of_its_specimen() -> None:
    raw, edited = one(LOGGER), one(STEEL / "original_data" / "46NTA5.csv")

    evaluation = evaluate(raw.curve, edited.specimen, Recipe(), rows_after_break=raw.repairs.rows_after_break)

    assert number(evaluation, Symbol.RM) == pytest.approx(1187.9389338590, rel=1e-9)


def test_two_dialects_of_one_specimen_have_the_same_properties() -> None:
    """The logger's extensometer is moved by 0.998 µm: the toe-compensated zero takes that away."""
    raw, edited = one(LOGGER), one(STEEL / "original_data" / "46NTA5.csv")

    ours = evaluate(raw.curve, edited.specimen, Recipe(), rows_after_break=raw.repairs.rows_after_break)
    theirs = evaluate(edited.curve, edited.specimen, Recipe())

    assert {found.symbol for found in ours.values} == {found.symbol for found in theirs.values}
    for found in theirs.values:
        assert number(ours, found.symbol) == pytest.approx(found.value, rel=1e-6), found.symbol


def test_the_published_curve_follows_from_force_and_area() -> None:
    recording = one(STEEL / "original_data" / "46NT71.csv")
    evaluation = evaluate(recording.curve, recording.specimen, Recipe())

    assert evaluation.marks is not None
    assert recording.curve.strain is not None
    np.testing.assert_allclose(evaluation.marks.strain, recording.curve.strain, rtol=1e-9)
