"""New objects on S3, created under the condition that none of their name is there, in parts when they are large.

Arrow's file system cannot write under a condition: boto3 does. Everything else about S3 is `object_store`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from meva_pipelines.domain.failures import StoreUnavailable

PART_BYTES: Final = 16 * 1024 * 1024
"""Size of a part; S3 takes at most 10,000 of them, so an object of up to 160 GB. A smaller object is one request."""

_CONNECT_S, _READ_S = 10, 60
_ATTEMPTS: Final = 3
_IS_THERE: Final = {"PreconditionFailed", "412"}


class Bucket:
    """A bucket and a prefix in it, by the URL that Arrow takes: s3://key:secret@bucket/prefix?region=default."""

    def __init__(self, url: str) -> None:
        """Name the place; nothing is asked of it yet."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.name = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path.strip("/")
        endpoint = options.get("endpoint_override")
        self._settings: dict[str, Any] = {
            "region_name": options.get("region"),
            "endpoint_url": f"{options.get('scheme', 'https')}://{endpoint}" if endpoint else None,
        }
        if "@" in parts.netloc:
            self._settings |= {
                "aws_access_key_id": unquote(parts.username or ""),
                "aws_secret_access_key": unquote(parts.password or ""),
            }

    @cached_property
    def client(self) -> Any:
        """The client of boto3, which ships no types."""
        # Checksums behind a body without length are what stores other than Amazon's answer with HTTP 411.
        config = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.session.Session().client("s3", config=config, **self._settings)

    def full_key(self, key: str) -> str:
        """Return the key within the bucket."""
        return f"{self._prefix}/{key}" if self._prefix else key

    def discard_uploads(self, prefix: str, *, older_than: timedelta) -> int:
        """End uploads below a prefix that were begun longer ago and never completed. Returns how many.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        before = datetime.now(UTC) - older_than
        with _explained("clean up", prefix):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.name, Prefix=self.full_key(prefix)
            )
            stale = [found for page in pages for found in page.get("Uploads", []) if found["Initiated"] < before]
            for upload in stale:
                self.client.abort_multipart_upload(Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(stale)


class Upload:
    """A new object under way: parts go off as they fill, and nothing is visible before `complete`."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        """Begin; the store hears of it with the first part."""
        self._bucket, self._key = bucket, key
        self._target = {"Bucket": bucket.name, "Key": bucket.full_key(key)}
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, object]] = []

    def write(self, data: bytes | memoryview) -> None:
        """Take more content.

        Raises:
            StoreUnavailable: a part cannot be sent.
        """
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]

    def complete(self) -> bool:
        """Let the object appear, unless one of its name is there; returns whether it did.

        A store that does not know the condition for objects in parts is asked beforehand.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        rest = bytes(self._buffer)
        try:
            with _explained("write", self._key):
                if self._upload_id is None:
                    self._bucket.client.put_object(**self._target, Body=rest, IfNoneMatch="*")
                    return True
                if rest:
                    self._send(rest)
                if self._is_there():
                    self.abort()
                    return False
                self._bucket.client.complete_multipart_upload(
                    **self._target, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}, IfNoneMatch="*"
                )
        except _NameTaken:
            self.abort()
            return False
        return True

    def abort(self) -> None:
        """Take back the parts that were sent; what cannot be taken back now is collected later."""
        if self._upload_id is not None:
            with suppress(BotoCoreError, ClientError):
                self._bucket.client.abort_multipart_upload(**self._target, UploadId=self._upload_id)

    def _send(self, part: bytes) -> None:
        with _explained("write", self._key):
            if self._upload_id is None:
                self._upload_id = str(self._bucket.client.create_multipart_upload(**self._target)["UploadId"])
            number = len(self._parts) + 1
            sent = self._bucket.client.upload_part(
                **self._target, UploadId=self._upload_id, PartNumber=number, Body=part
            )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _is_there(self) -> bool:
        try:
            self._bucket.client.head_object(**self._target)
        except ClientError as error:
            if _code(error) in {"404", "NoSuchKey", "NotFound"}:
                return False
            raise
        return True


class _NameTaken(Exception):
    """An object of the name is there."""


@contextmanager
def _explained(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) in _IS_THERE:
            raise _NameTaken from error
        raise StoreUnavailable(f"cannot {verb} object {key}: the store answers {_code(error)}") from None
    except BotoCoreError as error:
        raise StoreUnavailable(f"cannot {verb} object {key}: {type(error).__name__}") from None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "no code"))
