"""What is stored of an evaluation is JSON, and its properties come back unrounded."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from meva_pipelines.domain.tensile.evaluation import documents, evaluator
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Symbol, Value, Withheld
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Specimen


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    strain = np.linspace(0.0, 0.08, 2_000)
    stress = 205_000 * strain / (1 + (205_000 * strain / 600) ** 4) ** 0.25
    curve = Curve(20.0 * stress, 50.0 * strain, DisplacementSource.EXTENSOMETER, 100 * strain)
    return evaluator.evaluate(curve, Specimen("t", area_mm2=20.0, gauge_length_mm=50.0), Recipe())


def test_the_properties_come_back_from_json_as_they_were(evaluation: Evaluation) -> None:
    text = json.dumps(documents.document(evaluation), allow_nan=False)
    assert documents.results(json.loads(text)) == evaluation.results


def test_both_values_and_reasons_are_among_them(evaluation: Evaluation) -> None:
    results = documents.results(documents.document(evaluation))
    assert isinstance(results[Symbol.RP02], Value)
    assert isinstance(results[Symbol.A], Withheld)


def test_it_says_by_which_formulas_and_which_line(evaluation: Evaluation) -> None:
    stored = documents.document(evaluation)
    assert stored["evaluator"] == evaluator.EVALUATOR_VERSION
    assert stored["line"]["slope_mpa"] == pytest.approx(205_000, rel=1e-2)
    assert stored["is_metal"] is True


def test_something_else_is_no_evaluation() -> None:
    with pytest.raises(KeyError):
        documents.results({})


def test_what_is_no_number_is_written_as_nothing(evaluation: Evaluation) -> None:
    """PostgreSQL takes no NaN in JSON: one such value would have kept a whole batch of results back."""
    strength = evaluation.results[Symbol.RM]
    assert isinstance(strength, Value)
    endless = replace(strength, value=math.inf, expanded_uncertainty=math.nan)
    written = documents.document(replace(evaluation, results={**evaluation.results, Symbol.RM: endless}))
    assert (written["properties"]["Rm"]["value"], written["properties"]["Rm"]["expanded_uncertainty"]) == (None, None)
    assert json.dumps(written, allow_nan=False)
