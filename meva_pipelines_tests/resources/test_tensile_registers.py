"""Registers are taken whole or not at all, published like everything else, and speak only where two sources agree."""

from pathlib import Path

import pytest

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.comparison import Property
from meva_pipelines.resources import ledger, publishing, tensile_registers, tensile_standards
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_standards import Batch, Published
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.tensile_desk import DAY, Desk, recording

STANDARDS = (
    "material,condition,temperature_c,source,publisher,grade,young_modulus_gpa,yield_strength_mpa,tensile_strength_mpa,"
    "elongation_pct,poisson_ratio,density_kg_m3\n"
)
MACHINES = "machine,maker,capacity_n,calibrated_on,valid_until,class,certificate\n"
Z100 = "Z100,Zwick,100000,2026-01-10,2027-01-09,0.5,K-77\n"


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(url=(tmp_path / "landing").as_uri(), settle_s=0)


def lay(landing: Landing, name: str, text: str) -> None:
    (Path(landing.place("registers")) / name).parent.mkdir(parents=True, exist_ok=True)
    (Path(landing.place("registers")) / name).write_text(text, encoding="utf-8")


def publish(postgres: Postgres, landing: Landing) -> Published:
    with postgres.connect(Role.WRITER, work="stage registers") as connection:
        batch = Batch(
            ledger.open_attempt(
                connection,
                subject="meva.standard_property",
                source="registers",
                mode=Mode.FULL,
                day=DAY,
                dagster_run_id="test",
            )
        )
        tensile_standards.stage(connection, batch, tensile_registers.read(landing))
        ledger.store_verdict(
            connection,
            batch.attempt.token,
            suite="registers_are_sound",
            digest=tensile_standards.digest(connection, batch),
            is_passed=True,
            results=[],
            duration_s=0,
        )
    with publishing.publication(
        postgres,
        batch.attempt,
        digest=lambda connection: tensile_standards.digest(connection, batch),
        suites=("registers_are_sound",),
    ) as connection:
        published = tensile_standards.publish(connection, batch, now=ledger.now(connection))
    with postgres.connect(Role.WRITER, work="drop registers") as connection:
        tensile_standards.drop(connection, batch)
    return published


def test_the_package_brings_the_sample_values_and_none_of_them_is_approved_alone(landing: Landing) -> None:
    found = tensile_registers.read(landing)
    assert found.machines == ()
    values = {each.material: dict(each.statement.values) for each in found.standards}
    assert len(values) == 11
    assert values["철"] == {
        "young_modulus_gpa": 210,
        "yield_strength_mpa": 250,
        "tensile_strength_mpa": 400,
        "elongation_pct": 25,
        "density_kg_m3": 7850,
    }
    assert values["Titanium_Ti6Al4V"]["poisson_ratio"] == 0.32


def test_a_second_source_approves_what_it_agrees_on(postgres: Postgres, landing: Landing) -> None:
    lay(landing, "standard_properties.csv", STANDARDS + "Steel AISI1020,,25,ASM Handbook,ASM,B,203,260,402,25,,\n")
    published = publish(postgres, landing)
    assert (published.inserted_rows, published.approved_rows) == (12, 2)
    with postgres.connect(Role.READER, work="compare") as connection:
        (standard,) = tensile_standards.approved(connection)
    assert (standard.material, standard.condition, standard.source) == ("Steel_AISI1020", None, "ASM Handbook")
    assert standard.values == {Property.YOUNG_MODULUS: 203, Property.TENSILE_STRENGTH: 402}


def test_publishing_the_same_again_changes_nothing(postgres: Postgres, store: ObjectStore, landing: Landing) -> None:
    lay(landing, "testing_machines.csv", MACHINES + Z100)
    desk = Desk(postgres, store)
    assert publish(postgres, landing).calibrations == 1
    before = desk.rows("SELECT * FROM meva.standard_property ORDER BY 1")
    again = publish(postgres, landing)
    assert (again.inserted_rows, again.updated_rows, again.vanished_rows, again.calibrations) == (0, 0, 0, 0)
    assert desk.rows("SELECT * FROM meva.standard_property ORDER BY 1") == before
    assert desk.rows("SELECT count(*) FROM meva.standard_property_history") == [(0,)]


def test_a_changed_value_leaves_its_before_image(postgres: Postgres, store: ObjectStore, landing: Landing) -> None:
    desk = Desk(postgres, store)
    lay(landing, "standard_properties.csv", STANDARDS + "Brass_C360,,25,EN 12164,CEN,A,97,160,338,,,\n")
    publish(postgres, landing)
    lay(landing, "standard_properties.csv", STANDARDS + "Brass_C360,,25,EN 12164,CEN,A,97,170,338,,,\n")
    published = publish(postgres, landing)
    assert (published.updated_rows, published.inserted_rows) == (1, 0)
    assert desk.rows("SELECT source, yield_strength_mpa, agreeing FROM meva.standard_property_history") == [
        ("EN 12164", 160, ["tensile_strength_mpa", "young_modulus_gpa"])
    ]


def test_a_source_that_left_the_register_stays_and_speaks_no_more(
    postgres: Postgres, store: ObjectStore, landing: Landing
) -> None:
    desk = Desk(postgres, store)
    lay(landing, "standard_properties.csv", STANDARDS + "Brass_C360,,25,EN 12164,CEN,A,97,170,338,,,\n")
    assert publish(postgres, landing).approved_rows == 2
    lay(landing, "standard_properties.csv", STANDARDS)
    published = publish(postgres, landing)
    assert (published.vanished_rows, published.approved_rows) == (1, 0)
    assert desk.rows("SELECT count(*) FROM meva.standard_property WHERE source = 'EN 12164'") == [(1,)]


def test_a_machine_known_from_a_file_is_registered_later(
    postgres: Postgres, store: ObjectStore, landing: Landing
) -> None:
    desk = Desk(postgres, store)
    desk.deliver(recording(machine="z 100"))
    lay(landing, "testing_machines.csv", MACHINES + Z100 + "Z100,Zwick,100000,2025-01-10,2026-01-09,1,K-12\n")
    publish(postgres, landing)
    assert desk.rows("SELECT name, maker, capacity_n, is_registered FROM meva.testing_machine") == [
        ("z 100", "Zwick", 100_000, True)
    ]
    assert desk.rows("SELECT class FROM meva.machine_calibration ORDER BY calibrated_on") == [("1",), ("0.5",)]


def test_files_stay_where_they_lie(postgres: Postgres, landing: Landing) -> None:
    lay(landing, "testing_machines.csv", MACHINES + Z100)
    publish(postgres, landing)
    assert (Path(landing.place("registers")) / "testing_machines.csv").exists()


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("Z1,,x,2026-01-01,2027-01-01,1,", "capacity_n"),
        ("Z1,,nan,2026-01-01,2027-01-01,1,", "capacity_n"),
        ("Z1,,-5,2026-01-01,2027-01-01,1,", "capacity_n"),
        (",,5,2026-01-01,2027-01-01,1,", "machine"),
        ("Z1,,5,01.02.2026,2027-01-01,1,", "calibrated_on"),
        ("Z1,,5,2026-01-01,2025-01-01,1,", "valid_until"),
        ("Z1,,5,2026-01-01,2027-01-01,4,", "class"),
        ("Z1,,5,2026-01-01", None),
        ("Z1,,5,2026-01-01,2027-01-01,1,,more", None),
        (Z100.strip(), None),
    ],
)
def test_an_unusable_row_names_file_row_and_field(landing: Landing, row: str, field: str | None) -> None:
    lay(landing, "testing_machines.csv", f"{MACHINES}{Z100}{row}\n")
    with pytest.raises(Unusable, match=r"testing_machines\.csv, row 3") as caught:
        tensile_registers.read(landing)
    assert (caught.value.rule, caught.value.field, caught.value.row) == ("register_row_is_valid", field, 3)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("S235,,25,x,y,E,210,,,,,", "grade"),
        ("S235,,25,x,y,A,,,,,,", None),
        ("S235,,25,x,y,A,210000,,,,,", "young_modulus_gpa"),
        ("S235,,-300,x,y,A,210,,,,,", "temperature_c"),
        ("S235,,25,x,y,A,,,,,0.7,", "poisson_ratio"),
        ("S235,,25,,y,A,210,,,,,", "source"),
    ],
)
def test_an_impossible_standard_value_is_refused(landing: Landing, row: str, field: str | None) -> None:
    lay(landing, "standard_properties.csv", f"{STANDARDS}{row}\n")
    with pytest.raises(Unusable) as caught:
        tensile_registers.read(landing)
    assert (caught.value.field, caught.value.row) == (field, 2)


def test_a_register_that_is_no_text_is_refused(landing: Landing) -> None:
    lay(landing, "testing_machines.csv", "")
    (Path(landing.place("registers")) / "testing_machines.csv").write_bytes(b"machine\xff\xfe")
    with pytest.raises(Unusable, match="not UTF-8"):
        tensile_registers.read(landing)
