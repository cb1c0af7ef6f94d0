"""Materials and testing machines as the warehouse knows them, found by any spelling of their names."""

from dataclasses import dataclass, field
from datetime import date

import psycopg

from meva_pipelines.domain.tensile import calibration
from meva_pipelines.domain.tensile.calibration import Calibration, State
from meva_pipelines.domain.tensile.comparison import name_key


@dataclass(slots=True)
class Register:
    """Names by what their spellings have in common, and the calibrations of machines.

    A name that is new is known from then on, so that two spellings in one batch become one entry.
    """

    materials: dict[str, str] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    calibrations: dict[str, list[Calibration]] = field(default_factory=dict)

    def material(self, stated: str | None) -> str | None:
        """Return the name under which a material is known; None where none is stated."""
        return _known(self.materials, stated)

    def machine(self, stated: str | None) -> str | None:
        """Return the name under which a machine is known; None where none is stated."""
        return _known(self.machines, stated)

    def calibration_state(self, machine: str | None, *, tested_on: date) -> State:
        """Return whether a machine was calibrated on the day of a test."""
        key = name_key(machine)
        return calibration.state(key, self.calibrations.get(key or "", ()), tested_on=tested_on)


def _known(names: dict[str, str], stated: str | None) -> str | None:
    key = name_key(stated)
    return None if key is None or stated is None else names.setdefault(key, stated)


def known(connection: psycopg.Connection) -> Register:
    """Read what the warehouse knows. Of two spellings of one name the older entry counts."""
    register = Register()
    for (name,) in connection.execute("SELECT name FROM meva.material ORDER BY material_id"):
        register.material(name)
    for (name,) in connection.execute("SELECT name FROM meva.testing_machine ORDER BY machine_id"):
        register.machine(name)
    for name, calibrated_on, valid_until in connection.execute(
        "SELECT m.name, c.calibrated_on, c.valid_until FROM meva.machine_calibration AS c"
        " JOIN meva.testing_machine AS m USING (machine_id) ORDER BY m.machine_id, c.calibrated_on"
    ):
        register.calibrations.setdefault(name_key(name) or "", []).append(Calibration(calibrated_on, valid_until))
    return register


def enter(connection: psycopg.Connection, *, materials: list[str], machines: list[str]) -> None:
    """Enter names that are new; a machine known from a file only has no calibration on record."""
    connection.execute(
        "INSERT INTO meva.material (name) SELECT DISTINCT name FROM unnest(%s::text[]) AS name ORDER BY 1"
        " ON CONFLICT (name) DO NOTHING",
        [materials],
    )
    connection.execute(
        "INSERT INTO meva.testing_machine (name, is_registered) SELECT DISTINCT name, false"
        " FROM unnest(%s::text[]) AS name ORDER BY 1 ON CONFLICT (name) DO NOTHING",
        [machines],
    )
