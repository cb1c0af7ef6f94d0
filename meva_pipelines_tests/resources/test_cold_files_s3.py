"""Cold files on a real S3: created under a condition, in parts when they are large, and never half."""

import itertools
import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pyarrow import fs

from meva_pipelines.domain.failures import Refused, StoreUnavailable
from meva_pipelines.resources import archive_reading, object_uploads
from meva_pipelines.resources.cold_files import ColdFiles, Part
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.object_uploads import PART_BYTES, Bucket, Upload
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.fixtures.object_gateway import Gateway
from meva_pipelines_tests.resources.archived_rows import QUARTER, SERIES
from meva_pipelines_tests.resources.test_archive_export import hot, lay_points, written

pytestmark = pytest.mark.debian
PART = Part(SERIES, QUARTER)
_NUMBERS = itertools.count(1)
LARGE = PART_BYTES + 5


@pytest.fixture
def remote(gateway: Gateway) -> ColdFiles:
    """Cold files in a bucket of this test."""
    bucket = f"cold-{next(_NUMBERS)}"
    filesystem, _ = fs.FileSystem.from_uri(gateway.url(bucket) + "&allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    return ColdFiles(ObjectStore(url=gateway.url(bucket).replace("?", "/prefix?")))


@pytest.fixture
def bucket(remote: ColdFiles) -> Iterator[Bucket]:
    """The same place, as uploads see it."""
    found = Bucket(remote.store.url)
    yield found
    found.client.close()


def put(files: ColdFiles, content: bytes) -> None:
    with files.creating(PART.key) as creation:
        creation.write(content)


def uploads(bucket: Bucket) -> int:
    return len(bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []))


def test_rows_go_to_s3_and_are_read_again(postgres: Postgres, remote: ColdFiles) -> None:
    lay_points(postgres.dsn(), 2_000, curves=10)
    found = written(postgres, remote)
    assert written(postgres, remote) == found
    assert archive_reading.read(remote, PART, sha256=found.sha256).extent == hot(postgres)
    assert remote.manifest(PART).sha256 == found.sha256
    assert [one.key for one in remote.listed()] == [PART.manifest_key, PART.key]


@pytest.mark.parametrize("size", [0, 5, LARGE], ids=["empty", "small", "in parts"])
def test_a_name_is_used_once(remote: ColdFiles, bucket: Bucket, size: int) -> None:
    content = os.urandom(size)
    put(remote, content)
    put(remote, content)
    with pytest.raises(Refused, match="never overwritten"):
        put(remote, content + b"more")
    assert remote.store.get(PART.key) == content
    assert uploads(bucket) == 0


def test_of_two_small_writers_the_second_finds_the_name_taken(bucket: Bucket) -> None:
    """The store decides, not a look beforehand: both are under way when the first one ends."""
    first, second = Upload(bucket, "a"), Upload(bucket, "a")
    first.write(b"first")
    second.write(b"second")
    assert (first.complete(), second.complete()) == (True, False)


@pytest.mark.parametrize("size", [5, LARGE], ids=["small", "in parts"])
def test_an_upload_that_breaks_off_leaves_nothing(remote: ColdFiles, bucket: Bucket, size: int) -> None:
    def break_off() -> None:
        with remote.creating(PART.key) as creation:
            creation.write(bytes(size))
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert remote.listed() == []
    assert uploads(bucket) == 0


def test_an_upload_that_fails_between_its_parts_leaves_nothing(
    remote: ColdFiles, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MEVA_FAILPOINTS", ",".join(f"{Point.OBJECT_BEFORE_LINK.value}:raise@{n}" for n in range(1, 999)))
        with pytest.raises(Injected):
            put(remote, bytes(LARGE))
    assert (remote.listed(), uploads(bucket)) == ([], 0)
    put(remote, bytes(LARGE))
    assert [one.size for one in remote.listed()] == [LARGE]


def test_an_endpoint_that_goes_away_between_parts_is_unavailable(bucket: Bucket) -> None:
    upload = Upload(bucket, "a")
    upload.write(bytes(LARGE))
    away = Bucket("s3://key:secret@bucket?scheme=http&endpoint_override=127.0.0.1:9&region=default")
    bucket.client = away.client
    with pytest.raises(StoreUnavailable, match="cannot write object a: EndpointConnectionError"):
        upload.complete()


def test_what_died_within_an_upload_is_collected(remote: ColdFiles, bucket: Bucket) -> None:
    """As after a power cut: parts are there, and nobody is left to complete or to end the upload."""
    Upload(bucket, PART.key).write(bytes(LARGE))
    assert (remote.listed(), uploads(bucket)) == ([], 1)
    assert remote.discard_partials() == 0
    assert bucket.discard_uploads("parquet_archive", older_than=timedelta(seconds=-60)) == 1
    assert uploads(bucket) == 0


def test_a_store_that_refuses_the_key_names_no_credential(remote: ColdFiles, gateway: Gateway) -> None:
    stranger = ColdFiles(ObjectStore(url=remote.store.url.replace(gateway.secret_key, "wrong-secret-canary")))
    with pytest.raises(StoreUnavailable, match=r"SignatureDoesNotMatch|403") as refused:
        put(stranger, b"x")
    for secret in (gateway.access_key, gateway.secret_key, "wrong-secret-canary"):
        assert secret not in f"{refused.value} {refused.value!r} {stranger!r}"


def test_parts_are_large_enough_for_any_store() -> None:
    assert object_uploads.PART_BYTES >= 5 * 1024 * 1024
