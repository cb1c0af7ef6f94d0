"""The registers of the laboratory: read where they lie, judged as a whole, published, and what then follows."""

import dagster as dg

from meva_pipelines_tests.fixtures.laboratory import LABORATORY, STEEL_4140, Shop, checks, metadata, sound

STANDARDS = LABORATORY.registers()["standard_properties.csv"]
MACHINES = LABORATORY.registers()["testing_machines.csv"]


def test_registers_are_published_and_every_table_of_them_tells_its_rows(shop: Shop) -> None:
    shop.lay_registers()
    result = shop.job("tensile_registers")
    assert result.success
    assert checks(result)["standard_values_are_sound"].passed
    for table in ("standard_property", "material", "testing_machine", "machine_calibration"):
        (count,) = shop.location.rows(f"SELECT count(*) FROM meva.{table}")
        assert metadata(result, "meva", table)["dagster/row_count"] == count[0] > 0
    assert metadata(result, "tensile", "registers")["calibrations"] == MACHINES.count("\n") - 1
    assert (shop.folder("registers") / "testing_machines.csv").read_text(encoding="utf-8") == MACHINES


def test_the_same_registers_again_change_nothing(shop: Shop) -> None:
    shop.lay_registers()
    for _ in range(2):
        assert shop.job("tensile_registers").success
    (run,) = shop.location.rows(
        "SELECT inserted_rows, updated_rows FROM ops.sync_runs WHERE subject = 'meva.standard_property'"
        " ORDER BY token DESC LIMIT 1"
    )
    assert run == (0, 0)
    assert shop.location.rows("SELECT count(*) FROM meva.standard_property_history") == [(0,)]


def test_a_register_with_one_unusable_row_is_refused_whole_and_the_one_before_stays(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    before = shop.location.rows("SELECT * FROM meva.standard_property ORDER BY std_id")
    shop.lay_registers(standards=STANDARDS + "Steel,,25,-1,250,400,25,0.3,7850,Book,Someone,A\n")
    result = shop.job("tensile_registers")
    assert not result.success
    assert "standard_properties.csv, row" in shop.said(result)
    assert shop.location.rows("SELECT * FROM meva.standard_property ORDER BY std_id") == before


def test_what_the_parser_lets_through_and_no_solid_has_is_stopped_by_the_gate(shop: Shop) -> None:
    shop.lay_registers(standards=STANDARDS + "Steel_X,,25,205,900,400,25,0.29,7850,Book,Someone,A\n")
    result = shop.job("tensile_registers")
    assert not result.success
    assert not checks(result)["standard_values_are_sound"].passed
    assert "yield_is_below_tensile_strength" in shop.said(result)
    assert shop.location.rows("SELECT count(*) FROM meva.standard_property") == [(0,)]


def test_publication_alone_takes_the_judged_batch_of_the_day_and_refuses_where_none_waits(shop: Shop) -> None:
    shop.lay_registers()
    tables = ("standard_property", "material", "testing_machine", "machine_calibration")
    published = [dg.AssetKey(["meva", table]) for table in tables]
    alone = shop.location.job("tensile_registers", assets=published)
    assert not alone.success
    assert "materialise tensile/registers" in shop.said(alone)
    assert shop.location.job("tensile_registers", assets=[dg.AssetKey(["tensile", "registers"])]).success
    assert shop.location.job("tensile_registers", assets=published).success
    assert shop.location.rows("SELECT count(*) > 0 FROM meva.standard_property") == [(True,)]


def test_a_refreshed_standard_value_moves_the_comparisons_in_the_same_run(shop: Shop) -> None:
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    shop.intake(sound(STEEL_4140))
    assert shop.job("tensile_comparison").success
    strength = "SELECT outcome, standard FROM meva.standard_comparison WHERE property = 'tensile_strength_mpa'"
    assert shop.location.rows(strength) == [("passed", 655)]
    shop.lay_registers(standards=STANDARDS.replace("655", "755"))
    assert shop.job("tensile_registers").success
    assert shop.location.rows(strength) == [("failed", 755)]
