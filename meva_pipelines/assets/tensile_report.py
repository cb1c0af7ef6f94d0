"""What the laboratory looks at: every material with its scatter, outliers, machines and its representative curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import psycopg

from meva_pipelines.assets import tables, tensile_pictures, tensile_results
from meva_pipelines.domain.tensile import population
from meva_pipelines.domain.tensile.population import Representative
from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.resources import tensile_results as results
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_results import Material
from meva_pipelines.schema.roles import Role

REPORT = dg.AssetKey(["tensile", "report"])
_CURVES = 12
_MATERIALS_DRAWN = 4
_MATERIALS_SHOWN = 30
_POINTS = 400


@dg.asset(
    key=REPORT,
    deps=[tensile_results.SIMULATION_RESULT, tensile_results.STANDARD_COMPARISON],
    group_name="tensile",
    kinds={"python"},
    owners=[tables.OWNER],
)
def report(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Scatter, outliers, trends of machines and the representative curve of every material.

    Robust figures: spread is 1.4826 · MAD, an outlier lies beyond 3.5 of it, a trend is the Theil–Sen slope.
    """
    with postgres.connect(Role.READER, work="report materials") as connection:
        found = results.materials(connection, curves=_CURVES)
        drawn = {
            material.name: curve
            for material in found[:_MATERIALS_DRAWN]
            if (curve := population.representative(_curves(connection, material))) is not None
        }
    shown = found[:_MATERIALS_SHOWN]
    metadata: dict[str, Any] = {
        "materials": len(found),
        "tests": sum(max((len(s) for s in material.samples.values()), default=0) for material in found),
        "scatter": dg.MetadataValue.md(tables.markdown([row for material in shown for row in _scatter(material)])),
        "machines": dg.MetadataValue.md(tables.markdown([row for material in shown for row in _machines(material)])),
        "representative": dg.MetadataValue.md(tables.markdown(_representatives(drawn))),
    }
    if drawn:
        metadata["median_curves"] = tensile_pictures.materials(drawn)
    return dg.MaterializeResult(metadata=metadata)


def _curves(connection: psycopg.Connection, material: Material) -> dict[str, tuple[Series, Series]]:
    """Read curves as (strain, stress in MPa) up to the maximum, thinned out, strains increasing."""
    curves = {}
    for test in material.tests:
        curve = results.curve(connection, test)
        area, length = test.specimen.area_mm2, test.specimen.gauge_length_mm
        if not area or not length:
            continue
        top = int(curve.load_n.argmax()) + 1
        step = max(1, top // _POINTS)
        strain = np.maximum.accumulate(curve.displacement_mm[:top:step] / length)
        curves[test.specimen.name] = (strain, curve.load_n[:top:step] / area)
    return curves


def _scatter(material: Material) -> list[dict[str, Any]]:
    rows = []
    for column, samples in material.samples.items():
        if not samples:
            continue
        found = population.scatter(samples)
        rows.append(
            {
                "material": material.name,
                "property": column,
                "tests": found.tests,
                "mean": round(found.mean, 2),
                "deviation": None if found.deviation is None else round(found.deviation, 2),
                "variation, %": None if found.variation_pct is None else round(found.variation_pct, 2),
                "median": round(found.median, 2),
                "least": round(found.least, 2),
                "greatest": round(found.greatest, 2),
                "outliers": ", ".join(found.outliers),
            }
        )
    return rows


def _machines(material: Material) -> list[dict[str, Any]]:
    """Compare machines by the tensile strength: it needs neither extensometer nor gauge length."""
    return [
        {
            "material": material.name,
            "machine": trend.machine,
            "tests": trend.tests,
            "median Rm, MPa": round(trend.median, 2),
            "offset from the others, MPa": None if trend.offset is None else round(trend.offset, 2),
            "trend, MPa a year": None if trend.per_year is None else round(trend.per_year, 2),
        }
        for trend in population.trends(material.samples["tensile_strength_mpa"])
    ]


def _representatives(found: Mapping[str, Representative]) -> Sequence[dict[str, Any]]:
    return [
        {"material": material, "representative test": curve.test, "rmse to the median, MPa": round(curve.rmse_mpa, 2)}
        for material, curve in found.items()
    ]
