"""The cache in front of a real Redis: whole sets, lives of a day, messages, and no older publication over a newer."""

import json

import pytest
from redis import Redis

from meva_pipelines.domain.failures import Refused, Superseded, Unavailable
from meva_pipelines.resources.cache import CHANNEL, LIFE_S, Cache
from meva_pipelines_tests.fixtures.redis import PASSWORD

STEEL = {"young_modulus_gpa": 205.0, "material": "강 42CrMoS4"}


@pytest.fixture
def cache(redis_url: str) -> Cache:
    return Cache(url=redis_url)


def test_what_was_written_is_read_back_in_any_alphabet(cache: Cache) -> None:
    cache.replace("standards", {"강": STEEL}, token=1)
    assert cache.get("standards", "강") == STEEL


def test_a_namespace_holds_exactly_what_was_published_last(cache: Cache) -> None:
    cache.replace("standards", {"a": 1, "b": 2}, token=1)
    replaced = cache.replace("standards", {"b": 3}, token=2)
    assert (replaced.written, replaced.removed) == (1, 1)
    assert cache.get("standards", "a") is None
    assert cache.get("standards", "b") == 3


def test_namespaces_do_not_touch_each_other(cache: Cache) -> None:
    cache.replace("standards", {"a": 1}, token=1)
    cache.replace("results", {}, token=5)
    assert cache.get("standards", "a") == 1


def test_no_key_lives_longer_than_a_day(cache: Cache) -> None:
    cache.replace("standards", {"a": 1}, token=1)
    lives = cache.lives()
    assert lives.keys == 3
    assert lives.endless == 0
    assert 0 < lives.longest_s <= LIFE_S


def test_a_key_without_an_end_is_found(cache: Cache, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.set("meva:standards:entry:left-behind", "1")
    assert cache.lives().endless == 1


def test_subscribers_are_told_after_each_replacement(cache: Cache, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis, redis.pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.subscribe(CHANNEL)
        subscriber.get_message(timeout=60)
        assert cache.replace("standards", {"a": 1}, token=7).subscribers == 1
        message = subscriber.get_message(timeout=60)
    assert message is not None
    assert json.loads(message["data"]) == {"namespace": "standards", "token": 7}


def test_an_older_publication_that_comes_late_changes_nothing(cache: Cache) -> None:
    cache.replace("standards", {"a": "new"}, token=9)
    with pytest.raises(Superseded, match="publication 9"):
        cache.replace("standards", {"a": "old"}, token=8)
    assert cache.get("standards", "a") == "new"


def test_the_same_publication_may_be_written_again(cache: Cache) -> None:
    cache.replace("standards", {"a": 1}, token=3)
    assert cache.replace("standards", {"a": 1}, token=3).written == 1


def test_a_server_that_is_not_there_is_unavailable(tmp_path: object) -> None:
    with pytest.raises(Unavailable) as told:
        Cache(url=f"unix://:{PASSWORD}@{tmp_path}/nobody.sock").lives()
    assert PASSWORD not in str(told.value)


def test_a_wrong_password_is_refused_and_not_shown(redis_url: str) -> None:
    with pytest.raises(Refused) as told:
        Cache(url=redis_url.replace(PASSWORD, "wrong-one")).lives()
    assert "wrong-one" not in str(told.value)


def test_without_a_url_there_is_no_cache() -> None:
    assert not Cache().is_configured
    with pytest.raises(Refused, match="MEVA_REDIS_URL"):
        Cache().lives()
