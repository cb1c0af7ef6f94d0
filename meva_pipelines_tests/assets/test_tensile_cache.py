"""The caches follow each publication and tell their subscribers; without an address there is none, and no failure."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis
from redis.client import PubSub

from meva_pipelines.resources.cache import CHANNEL, Cache
from meva_pipelines_tests.fixtures.laboratory import ALUMINIUM, STEEL_4140, Shop, checks, metadata, sound
from meva_pipelines_tests.fixtures.location import Location

STANDARDS, RECENT = ("cache", "standard_properties"), ("cache", "recent_results")
LIVES = "no_entry_lives_longer_than_a_day"


@pytest.fixture
def cached(location: Location, redis_url: str) -> Shop:
    """The laboratory with a cache and its registers published."""
    shop = Shop(replace(location, cache=Cache(url=redis_url)))
    shop.lay_registers()
    assert shop.job("tensile_registers").success
    return shop


@pytest.fixture
def subscriber(redis_url: str) -> Iterator[PubSub]:
    with Redis.from_url(redis_url) as redis, redis.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(CHANNEL)
        listening.get_message(timeout=60)
        yield listening


def test_approved_values_and_newest_results_can_be_read(cached: Shop) -> None:
    cached.intake(sound(STEEL_4140))
    assert cached.job("tensile_comparison").success
    found = cached.location.cache.get("standard_properties", "Steel_AISI4140|annealed|25")
    assert isinstance(found, dict)
    assert (found["young_modulus_gpa"], found["tensile_strength_mpa"]) == (205, 655)
    stored = cached.location.cache.get("recent_results", sound(STEEL_4140).stem)
    assert isinstance(stored, dict)
    ((strength, difference),) = cached.location.rows(
        "SELECT tensile_strength_mpa, compare_to_std_pct FROM meva.simulation_result"
    )
    assert stored["tensile_strength_mpa"] == strength
    assert stored["compare_to_std_pct"] == difference is not None


def test_subscribers_are_told_after_each_publication_of_which(cached: Shop, subscriber: PubSub) -> None:
    cached.intake(sound(STEEL_4140))
    assert cached.job("tensile_comparison").success
    messages = [subscriber.get_message(timeout=60) for _ in range(2)]
    told = {entry["namespace"]: entry["token"] for entry in (json.loads(m["data"]) for m in messages if m)}
    tokens = dict(
        cached.location.rows("SELECT subject, max(token) FROM ops.sync_runs WHERE status = 'published' GROUP BY 1")
    )
    assert told == {
        "standard_properties": tokens["meva.standard_property"],
        "recent_results": tokens["meva.simulation_result"],
    }


def test_no_entry_outlives_a_day_and_one_that_would_fails_the_check(cached: Shop, redis_url: str) -> None:
    assert checks(cached.job("tensile_comparison"))[LIVES].passed
    with Redis.from_url(redis_url) as redis:
        redis.set("meva:recent_results:entry:left-behind", "{}")
    result = cached.job("tensile_comparison")
    assert not checks(result)[LIVES].passed


def test_a_test_that_was_rolled_back_leaves_the_cache(cached: Shop) -> None:
    cached.intake(sound(STEEL_4140))
    cached.intake(sound(ALUMINIUM))
    ((token,),) = cached.location.rows("SELECT max(token) FROM ops.sync_runs WHERE subject = 'meva.tensile_test'")
    assert cached.job("tensile_comparison").success
    assert cached.location.cache.get("recent_results", sound(ALUMINIUM).stem)
    assert cached.job("tensile_rollback", roll_back_tests={"token": token, "dry_run": False}).success
    assert cached.job("tensile_comparison").success
    assert cached.location.cache.get("recent_results", sound(ALUMINIUM).stem) is None
    assert cached.location.cache.get("recent_results", sound(STEEL_4140).stem)


def test_without_an_address_there_is_no_cache_and_the_run_says_so(shop: Shop) -> None:
    result = shop.job("tensile_comparison")
    assert result.success
    for key in (STANDARDS, RECENT):
        assert metadata(result, *key) == {"state": "there is no cache: set MEVA_REDIS_URL", "entries": 0}
    assert checks(result)[LIVES].passed
