"""The demo's season of firings: two model versions compared with every firing, the worse one kept from answering."""

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from meva_pipelines.domain.days import SEOUL
from meva_pipelines.local.telling import Demo, demand, step
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import GOOD_MODEL, WORSE_MODEL, Season

_SEASON = Season(orders=4, repeats=4)
_SETTLED_S = 120


def tell(demo: Demo) -> None:
    """Drop simulations and firings, compare them, and try to activate both models.

    Raises:
        SystemExit: a step did not end as it should.
    """
    today = datetime.now(SEOUL).date()
    landing = demo.prepared.home / "landing"
    with step(f"a season of {_SEASON.orders} work orders: two models simulate, every order is fired") as say:
        drop(firing_files.simulation_files(_SEASON), landing / "simulations")
        demand(demo.job("simulation_intake", day=today), "the intake of simulations failed")
        demand(_activate(demo, GOOD_MODEL), f"{GOOD_MODEL} was not activated")
        drop(firing_files.firing_files(_SEASON), landing / "firings")
        demand(demo.job("firing_intake", day=today), "the intake of firings failed")
        simulations, firings, points, comparisons = demo.ask(_COUNTS)
        say(f"{simulations} simulations and {firings} firings with {points:,} measured points published")
        say(f"{comparisons} comparisons: peak, RMSE, correlation, ISO/TS 18571, Sprague–Geers, area, Fréchet")
        for model, rating, peak in demo.rows(_RATED):
            say(f"{model}: ISO/TS 18571 rating {rating}, peak pressure off by {peak} MPa in the median")
    with step(f"{WORSE_MODEL} asks to answer in place of {GOOD_MODEL}") as say:
        demand(not _activate(demo, WORSE_MODEL), f"{WORSE_MODEL} was activated although it is worse")
        for version, verdict, reason in demo.rows(_DECIDED):
            say(f"{version}: {verdict}: {reason}")


def drop(files: Iterator[tuple[str, bytes]], folder: Path) -> None:
    """Write files as if they had lain there for a while: what still changes is not taken."""
    folder.mkdir(parents=True, exist_ok=True)
    firing_files.write(files, folder)
    settled = time.time() - _SETTLED_S
    for path in folder.iterdir():
        if path.is_file():
            os.utime(path, (settled, settled))


def _activate(demo: Demo, version: str) -> bool:
    config = {"ops": {"switch_model": {"config": {"version": version, "dry_run": False}}}}
    return demo.job("activate_model", run_config=json.dumps(config))


_COUNTS = (
    "SELECT (SELECT count(*) FROM mgg.forward_simulations), (SELECT count(*) FROM mgg.test_results),"
    " (SELECT count(*) FROM mgg.test_time_series), (SELECT count(*) FROM mgg.pt_comparisons WHERE is_comparable)"
)
_RATED = (
    "SELECT s.model_version, round((percentile_cont(0.5) WITHIN GROUP (ORDER BY c.iso18571_overall))::numeric, 3),"
    " round((percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(c.peak_pressure_diff)))::numeric, 2)"
    " FROM mgg.pt_comparisons AS c JOIN mgg.forward_simulations AS s ON s.id = c.simulation_id"
    " WHERE c.is_comparable AND c.alignment = 'ignition' GROUP BY 1 ORDER BY 1"
)
_DECIDED = (
    "SELECT m.version_name, d.verdict, coalesce(d.reasons->>0, '') FROM mgg.model_decisions AS d"
    " JOIN mgg.model_versions AS m ON m.id = d.model_version_id ORDER BY d.id DESC LIMIT 1"
)
