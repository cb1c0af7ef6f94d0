"""An evaluation as it is stored: plain values that JSON can hold, and back. Curves and pictures are not stored."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from meva_pipelines.domain.tensile.evaluation.values import (
    Contribution,
    Evaluation,
    Flag,
    Symbol,
    Value,
    Withheld,
)

_WITHHELD = "withheld"


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything that was computed and why, unrounded; `results` reads the properties back.

    What is no number is None: JSON has neither infinity nor NaN.
    """
    written: dict[str, Any] = _finite(
        {
            "evaluator": evaluation.evaluator_version,
            "recipe": evaluation.recipe,
            "is_metal": evaluation.is_metal,
            "is_discontinuous": evaluation.is_discontinuous,
            "assumptions": list(evaluation.assumptions),
            "line": None if evaluation.line is None else asdict(evaluation.line),
            "quality": None if evaluation.quality is None else asdict(evaluation.quality),
            "properties": {str(symbol): _written(result) for symbol, result in evaluation.results.items()},
        }
    )
    return written


def results(stored: Mapping[str, Any]) -> dict[Symbol, Value | Withheld]:
    """Return the properties of a stored evaluation.

    Raises:
        KeyError, ValueError: it was not written by `document`.
    """
    return {Symbol(name): _read(Symbol(name), entry) for name, entry in stored["properties"].items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(result: Value | Withheld) -> dict[str, Any]:
    if isinstance(result, Withheld):
        return {_WITHHELD: result.reason}
    return {name: value for name, value in asdict(result).items() if name != "symbol"}


def _read(symbol: Symbol, entry: Mapping[str, Any]) -> Value | Withheld:
    if _WITHHELD in entry:
        return Withheld(symbol, entry[_WITHHELD])
    budget = tuple(Contribution(**line) for line in entry["budget"])
    flags = tuple(Flag(flag) for flag in entry["flags"])
    return Value(symbol, **{**entry, "budget": budget, "flags": flags})
