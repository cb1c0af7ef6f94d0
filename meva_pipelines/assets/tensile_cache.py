"""Copies of what readers ask for all the time, in Redis: standard values and the newest results. Off without a URL."""

from collections.abc import Iterator, Mapping

import dagster as dg

from meva_pipelines.assets import tables, tensile_registers, tensile_results
from meva_pipelines.assets.tensile import POOL
from meva_pipelines.resources import published_runs, tensile_standards
from meva_pipelines.resources import tensile_results as results
from meva_pipelines.resources.cache import LIFE_S, Cache
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

_LIVES = "no_entry_lives_longer_than_a_day"
_OFF = "there is no cache: set MEVA_REDIS_URL"
_RECENT = 1_000
STANDARDS_KEY = dg.AssetKey(["cache", "standard_properties"])
RECENT_KEY = dg.AssetKey(["cache", "recent_results"])


def _check(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        _LIVES, asset=asset, description="Every key of the project in Redis expires within 24 h (seed 000 §3.3)."
    )


@dg.asset(
    key=STANDARDS_KEY,
    deps=[tensile_registers.STANDARD_PROPERTY],
    group_name="tensile",
    kinds={"redis"},
    owners=[tables.OWNER],
    check_specs=[_check(STANDARDS_KEY)],
    pool=POOL,
)
def standard_properties(postgres: Postgres, cache: Cache) -> Iterator[dg.MaterializeResult[None]]:
    """Approved standard values, one entry per material, condition and temperature, for 24 hours.

    Subscribers of the channel `meva:invalidations` are told after each replacement.
    """
    with postgres.connect(Role.READER, work="read standard values") as connection:
        approved = tensile_standards.approved(connection)
        token = published_runs.newest(connection, subject=tensile_registers.SUBJECT)
    entries = {
        f"{each.material}|{each.condition or ''}|{each.temperature_c:g}": {
            "material": each.material,
            "condition": each.condition,
            "temperature_c": each.temperature_c,
            "source": each.source,
            **{str(item): value for item, value in each.values.items()},
        }
        for each in approved
    }
    yield _replace(cache, "standard_properties", entries, token)


@dg.asset(
    key=RECENT_KEY,
    deps=[tensile_results.SIMULATION_RESULT, tensile_results.STANDARD_COMPARISON],
    group_name="tensile",
    kinds={"redis"},
    owners=[tables.OWNER],
    check_specs=[_check(RECENT_KEY)],
    pool=POOL,
)
def recent_results(postgres: Postgres, cache: Cache) -> Iterator[dg.MaterializeResult[None]]:
    """The newest results, one entry per test, for 24 hours; subscribers are told as for the standard values."""
    with postgres.connect(Role.READER, work="read newest results") as connection:
        entries = results.newest(connection, limit=_RECENT)
        token = published_runs.newest(connection, subject=results.SUBJECT)
    yield _replace(cache, "recent_results", entries, token)


def _replace(cache: Cache, namespace: str, entries: Mapping[str, object], token: int) -> dg.MaterializeResult[None]:
    if not cache.is_configured:
        return dg.MaterializeResult(
            metadata={"state": _OFF, "entries": 0},
            check_results=[dg.AssetCheckResult(check_name=_LIVES, passed=True, description=_OFF)],
        )
    replaced = cache.replace(namespace, entries, token=token)
    lives = cache.lives()
    return dg.MaterializeResult(
        metadata={
            "state": "replaced",
            "entries": replaced.written,
            "removed_entries": replaced.removed,
            "subscribers_told": replaced.subscribers,
            "publication": token,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=_LIVES,
                passed=lives.endless == 0 and lives.longest_s <= LIFE_S,
                metadata={"keys": lives.keys, "longest_s": lives.longest_s, "endless_keys": lives.endless},
            )
        ],
    )
