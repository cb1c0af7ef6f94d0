"""The object store on a real S3: what holds on a disk holds there, and no credential is ever told."""

import itertools

import pytest
from pyarrow import fs

from meva_pipelines.domain.failures import Refused, StoreUnavailable
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location
from meva_pipelines_tests.fixtures.object_gateway import Gateway

pytestmark = pytest.mark.debian
_NUMBERS = itertools.count(1)


@pytest.fixture
def remote(gateway: Gateway) -> ObjectStore:
    """A store in a bucket of this test."""
    bucket = f"meva-{next(_NUMBERS)}"
    filesystem, _ = fs.FileSystem.from_uri(gateway.url(bucket) + "&allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    return ObjectStore(url=gateway.url(bucket).replace("?", "/prefix?"))


@pytest.mark.parametrize("content", [b"", b"x", b"page" * 3_000_000], ids=["empty", "one byte", "12 MB"])
def test_what_was_put_is_what_is_got(remote: ObjectStore, content: bytes) -> None:
    remote.put("raw/aed/페이지 1", content)
    assert remote.get("raw/aed/페이지 1") == content


def test_an_object_is_written_once(remote: ObjectStore) -> None:
    remote.put("raw/page", b"first")
    remote.put("raw/page", b"first")
    with pytest.raises(Refused, match="never overwritten"):
        remote.put("raw/page", b"second")
    assert remote.get("raw/page") == b"first"


def test_what_is_not_there_is_unavailable_and_named(remote: ObjectStore) -> None:
    with pytest.raises(StoreUnavailable, match="cannot read object raw/nothing"):
        remote.get("raw/nothing")
    assert remote.discard_partials("raw") == 0


def test_a_store_that_refuses_the_key_names_no_credential(remote: ObjectStore, gateway: Gateway) -> None:
    stranger = ObjectStore(url=remote.url.replace(gateway.secret_key, "wrong-secret-canary"))
    with pytest.raises(StoreUnavailable) as refused:
        stranger.put("raw/page", b"x")
    told = f"{refused.value} {refused.value!r} {stranger!r} {stranger.uri('raw/page')}"
    for secret in (gateway.access_key, gateway.secret_key, "wrong-secret-canary"):
        assert secret not in told


def test_a_store_that_is_away_is_unavailable(remote: ObjectStore, gateway: Gateway) -> None:
    away = ObjectStore(url=remote.url.replace(f":{gateway.port}", ":9"))
    with pytest.raises(StoreUnavailable, match="cannot write object raw/page"):
        away.put("raw/page", b"x")


def test_a_night_on_s3_is_published_and_can_be_replayed(location: Location, remote: ObjectStore) -> None:
    here = Location(location.postgres, remote, location.egen, location.sandbox, location.instance)
    here.sandbox.world.set(day=FIRST_DAY)
    config = {"aed__raw_records": {"config": {"mode": "full", "relaunches": 0}}}
    assert here.job("aed_full_sync", day=FIRST_DAY, config=config).success
    live = here.rows("SELECT count(*) FROM aed.aed_data")
    replay = here.job("aed_replay_quarantine", day=FIRST_DAY)
    assert replay.success
    assert here.rows("SELECT count(*) FROM aed.aed_data") == live
    assert here.rows("SELECT DISTINCT outcome FROM ops.ingest_ledger") == [("published",)]
