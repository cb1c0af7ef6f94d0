"""The laboratory's part of the demo: a day of machine files, flawed ones among them, evaluated and compared."""

import os
import time
from datetime import datetime
from pathlib import Path

from meva_pipelines.domain.days import SEOUL
from meva_pipelines.local.telling import Demo, demand, step
from meva_pipelines.sandbox.laboratory import Laboratory

FILES, POINTS = 24, 2_000
_SETTLED_S = 120


def tell(demo: Demo) -> None:
    """Drop the files of a day, publish the sound tests, show what became of the others, compare with standards."""
    today = datetime.now(SEOUL).date()
    landing = demo.prepared.home / "landing"
    laboratory = Laboratory(first_day=today)
    _registers(demo, laboratory, landing / "registers")
    with step(
        f"the laboratory's machines drop {FILES} sound files in all their dialects, and eight flawed ones"
    ) as say:
        _drop(laboratory, landing / "tensile")
        demand(demo.job("tensile_intake", day=today), "the intake of the laboratory failed")
        tests, points, dialects, machines = demo.ask(
            "SELECT count(*), sum(points), count(DISTINCT detection->>'dialect'), count(DISTINCT machine_id)"
            " FROM meva.tensile_test"
        )
        say(f"{tests:,} tests with {points:,} points published, from {dialects} dialects and {machines} machines")
        for specimen, rule, reason in demo.rows(_QUARANTINED):
            say(f"in quarantine: {specimen}: {rule}: {reason}")
        for name, standing, waiting, facts in demo.rows(_CONFLICTS):
            say(f"in conflict: {name}: {standing} stands, {waiting} waits; {facts} differ")
        for name, version in demo.rows("SELECT name, version FROM meva.tensile_test WHERE version > 1"):
            say(f"corrected: {name} is at version {version}, the one before is kept")
    _results(demo)


def _registers(demo: Demo, laboratory: Laboratory, folder: Path) -> None:
    with step("the laboratory's registers: machines with calibrations, standard values") as say:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in laboratory.registers().items():
            (folder / name).write_text(text, encoding="utf-8")
        demand(demo.job("tensile_registers"), "the registers were refused")
        values, approved, calibrations = demo.ask(
            "SELECT count(*), count(*) FILTER (WHERE is_approved), (SELECT count(*) FROM meva.machine_calibration)"
            " FROM meva.standard_property"
        )
        say(f"{values} standard values, {approved} approved because two publishers agree; {calibrations} calibrations")


def _drop(laboratory: Laboratory, folder: Path) -> None:
    """Write the files as if they had lain there for a while: what still changes is not taken."""
    folder.mkdir(parents=True, exist_ok=True)
    laboratory.write_day(0, folder, count=FILES, points=POINTS)
    settled = time.time() - _SETTLED_S
    for path in folder.iterdir():
        if path.is_file():
            os.utime(path, (settled, settled))


def _results(demo: Demo) -> None:
    with step("properties to ISO 6892-1, and how they compare with standard values") as say:
        demand(demo.job("tensile_comparison"), "the comparison failed")
        for name, material, modulus, proof, strength, elongation in demo.rows(_EVALUATED):
            say(f"{name}  {material:<18} E {modulus:>9}  yield {proof:>9}  Rm {strength:>9}  A {elongation:>6}")
        for name, reason in demo.rows(_WITHHELD):
            say(f"withheld: E of {name}: {reason}")
        for name, reason in demo.rows(_FAILED):
            say(f"failed: {name}: {reason}")
        passed, failed, beside = demo.ask(
            "SELECT count(*) FILTER (WHERE outcome = 'passed'), count(*) FILTER (WHERE outcome = 'failed'),"
            " count(*) FILTER (WHERE outcome = 'not comparable') FROM meva.standard_comparison"
        )
        say(f"{passed} comparisons passed, {failed} failed, {beside} not comparable, each with its reason")


_QUARANTINED = (
    "SELECT coalesce(nullif(specimen, ''), file_name), rule, reason FROM meva.quarantine WHERE released_at IS NULL"
    " ORDER BY id"
)
_CONFLICTS = (
    "SELECT name, standing_file, waiting_file, (SELECT string_agg(d->>'fact', ', ') FROM"
    " jsonb_array_elements(differences) AS d) FROM meva.data_conflict_log WHERE status = 'open' ORDER BY conflict_id"
)
_EVALUATED = (
    "SELECT DISTINCT ON (m.name) t.name, m.name,"
    " coalesce(round(r.young_modulus_gpa::numeric, 1) || ' GPa', 'withheld'),"
    " coalesce(round(r.yield_strength_mpa::numeric) || ' MPa', 'withheld'),"
    " coalesce(round(r.tensile_strength_mpa::numeric) || ' MPa', 'withheld'),"
    " coalesce(round(r.elongation_pct::numeric, 1) || ' %', 'withheld') FROM meva.simulation_result AS r"
    " JOIN meva.tensile_test AS t USING (test_id, content_sha256) JOIN meva.material AS m USING (material_id)"
    " ORDER BY m.name, r.young_modulus_gpa IS NULL, t.name"
)
_WITHHELD = (
    "SELECT t.name, r.results->'properties'->'E'->>'withheld' FROM meva.simulation_result AS r"
    " JOIN meva.tensile_test AS t USING (test_id, content_sha256)"
    " WHERE r.results->'properties'->'E' ? 'withheld' ORDER BY t.name LIMIT 1"
)
_FAILED = (
    "SELECT t.name, c.reason FROM meva.standard_comparison AS c JOIN meva.simulation_result USING (sim_id)"
    " JOIN meva.tensile_test AS t USING (test_id) WHERE c.outcome = 'failed'"
    " ORDER BY abs(c.difference_pct) DESC LIMIT 1"
)
