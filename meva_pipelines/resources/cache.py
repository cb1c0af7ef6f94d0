"""The cache: copies of published rows in Redis, for readers who cannot wait for PostgreSQL. Never a source of truth.

A namespace is replaced whole, in one transaction that also tells the subscribers of its channel; whoever lists or
reads a namespace sees the old set or the new one. Every key expires.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import Field

from meva_pipelines.domain.failures import Refused, Superseded, Unavailable

if TYPE_CHECKING:
    from redis import Redis

LIFE_S: Final = 24 * 3_600
"""How long an entry lives at most (seed 000 §3.3)."""

CHANNEL: Final = "meva:invalidations"
_PREFIX: Final = "meva"
_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of a namespace: entries written, entries removed, and who was told."""

    written: int
    removed: int
    subscribers: int


@dataclass(frozen=True, slots=True)
class Lives:
    """How long the keys of the project still live: the longest in seconds, and how many would live for ever."""

    keys: int
    longest_s: int
    endless: int


class Cache(dg.ConfigurableResource["Cache"]):
    """Redis, or nothing where no URL is given: the caller asks `is_configured` first and says so."""

    url: str = Field(
        default="",
        repr=False,
        description="redis://[user:password@]host:port/database; empty: no cache",
        json_schema_extra={"dagster__is_secret": True},
    )

    @property
    def is_configured(self) -> bool:
        """Whether there is a cache at all."""
        return bool(self.url)

    def replace(self, namespace: str, entries: Mapping[str, object], *, token: int) -> Replaced:
        """Make a namespace hold exactly `entries` (JSON by name) and tell the subscribers of `CHANNEL`.

        `token` grows with every publication: an older one that comes late changes nothing.

        Raises:
            Superseded: a newer publication is in the cache already.
            Unavailable: Redis does not answer, or another writer was quicker.
            Refused: Redis refuses the user, or an entry is no JSON.
        """
        from redis.exceptions import WatchError  # noqa: PLC0415 - only for those who use the cache

        texts = {_key(namespace, name): json.dumps(value, ensure_ascii=False) for name, value in entries.items()}
        names, fence = f"{_PREFIX}:{namespace}", f"{_PREFIX}:{namespace}:token"
        with self._open() as redis, redis.pipeline(transaction=True) as pipeline:
            pipeline.watch(names, fence)  # type: ignore[no-untyped-call]
            newest = int(pipeline.get(fence) or 0)
            if newest > token:
                raise Superseded(f"the cache {namespace} holds publication {newest}: {token} is older, nothing changed")
            stale = {str(member) for member in pipeline.smembers(names)} - texts.keys()
            pipeline.multi()
            for key, text in texts.items():
                pipeline.set(key, text, ex=LIFE_S)
            pipeline.delete(names, *stale)
            if texts:
                pipeline.sadd(names, *texts)
                pipeline.expire(names, LIFE_S)
            pipeline.set(fence, token, ex=LIFE_S)
            pipeline.publish(CHANNEL, json.dumps({"namespace": namespace, "token": token}))
            try:
                told = int(pipeline.execute()[-1])
            except WatchError:
                raise Unavailable(f"the cache {namespace} was changed by another run meanwhile; try again") from None
        return Replaced(written=len(texts), removed=len(stale), subscribers=told)

    def get(self, namespace: str, name: str) -> object | None:
        """Return an entry, or None when it is not there or has expired.

        Raises:
            Unavailable, Refused: as `replace`.
        """
        with self._open() as redis:
            text = redis.get(_key(namespace, name))
        return None if text is None else json.loads(text)

    def lives(self) -> Lives:
        """Look at how long every key of the project still lives.

        Raises:
            Unavailable, Refused: as `replace`.
        """
        with self._open() as redis:
            keys = list(redis.scan_iter(match=f"{_PREFIX}:*", count=1_000))
            with redis.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.ttl(key)
                seconds = [int(left) for left in pipeline.execute()]
        return Lives(len(keys), max(seconds, default=0), sum(left == -1 for left in seconds))

    @contextmanager
    def _open(self) -> "Iterator[Redis]":
        from redis import Redis, exceptions  # noqa: PLC0415 - only for those who use the cache

        if not self.url:
            raise Refused("there is no cache: set MEVA_REDIS_URL")
        try:
            redis = Redis.from_url(
                self.url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, decode_responses=True
            )
        except ValueError:
            raise Refused("MEVA_REDIS_URL cannot be read: write redis://user:password@host:port/database") from None
        try:
            yield redis
        except (exceptions.AuthenticationError, exceptions.NoPermissionError):
            raise Refused("Redis refuses the user or the password: check MEVA_REDIS_URL") from None
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            raise Unavailable(f"Redis does not answer: {type(error).__name__}") from None
        finally:
            redis.close()


def _key(namespace: str, name: str) -> str:
    return f"{_PREFIX}:{namespace}:entry:{name}"
