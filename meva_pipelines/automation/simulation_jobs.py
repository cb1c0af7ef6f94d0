"""What can be started for simulations and firings: intake, comparisons, activation, takeover."""

import dagster as dg

from meva_pipelines.assets import simulation, tables
from meva_pipelines.assets.simulation import FIRINGS, SIMULATIONS, Flow


def _intake(flow: Flow) -> dg.AssetSelection:
    return dg.AssetSelection.assets(flow.uploads, *map(tables.key, flow.published))


simulation_intake = dg.define_asset_job(
    "simulation_intake",
    selection=_intake(SIMULATIONS),
    partitions_def=simulation.DAYS,
    description="Take results of simulations, model versions and registers from the landing zone and publish them.",
)

firing_intake = dg.define_asset_job(
    "firing_intake",
    selection=_intake(FIRINGS),
    partitions_def=simulation.DAYS,
    description="Take firings with their workbooks from the landing zone and publish them.",
)

JOBS = (simulation_intake, firing_intake)
