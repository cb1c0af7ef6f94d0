"""The report says of every material how it scatters, which test stands apart, and how the machines compare."""

from statistics import mean, stdev

import pytest

from meva_pipelines_tests.fixtures.laboratory import (
    ALUMINIUM,
    STEEL_4140,
    STEEL_4140_THREE,
    STEEL_4140_TOO,
    Shop,
    metadata,
    sound,
)

REPORT = ("tensile", "report")


def cells(table: str, *, material: str, column: str) -> list[str]:
    """The cells of one row of a markdown table."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    (found,) = (row for row in rows if material in row[0] and column in row[1])
    return found


def test_scatter_is_that_of_the_published_numbers(shop: Shop) -> None:
    shop.intake(*map(sound, (STEEL_4140, STEEL_4140_TOO, STEEL_4140_THREE, ALUMINIUM)))
    assert shop.job("tensile_comparison").success
    result = shop.job("tensile_comparison")
    shown = metadata(result, *REPORT)
    assert (shown["materials"], shown["tests"]) == (2, 4)
    values = [
        value
        for (value,) in shop.location.rows(
            "SELECT tensile_strength_mpa FROM meva.simulation_result JOIN meva.tensile_test USING (test_id)"
            " JOIN meva.material AS m USING (material_id) WHERE m.name = 'Steel_AISI4140'"
        )
    ]
    row = cells(shown["scatter"], material="Steel_AISI4140", column="tensile_strength_mpa")
    assert row[2] == "3"
    assert float(row[3]) == pytest.approx(mean(values), abs=0.005)
    assert float(row[4]) == pytest.approx(stdev(values), abs=0.005)


def test_machines_and_a_representative_curve_are_shown(shop: Shop) -> None:
    shop.intake(*map(sound, (STEEL_4140, STEEL_4140_TOO, STEEL_4140_THREE)))
    shown = metadata(shop.job("tensile_comparison"), *REPORT)
    assert "KDU teaching frame" in shown["machines"]
    assert sound(STEEL_4140).stem[:6] in shown["representative"]
    assert shown["median_curves"].startswith("![median curves](data:image/png;base64,")


def test_a_laboratory_without_a_test_has_an_empty_report(shop: Shop) -> None:
    shown = metadata(shop.job("tensile_comparison"), *REPORT)
    assert (shown["materials"], shown["tests"]) == (0, 0)
