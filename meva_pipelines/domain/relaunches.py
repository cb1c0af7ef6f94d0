"""Whether and when a fetch that failed is launched again, within one hour. Waiting and fetching are elsewhere.

The quick retries of single requests belong to the client; these are the slow ones (seed 001 §5.2, scenario 2).
"""

from datetime import timedelta

from meva_pipelines.domain.failures import Incomplete, MevaError, QuotaExhausted, Refused, StoreUnavailable, Unavailable

WINDOW = timedelta(hours=1)
"""All launches of a fetch end within this time of the first (seed 001 §5.2: waiting at most one hour)."""

SHORTEST_FETCH = timedelta(minutes=5)
"""A launch that would have less than this left of the window is not worth it."""

STAYS = "What was published before stays; run the sync of this day again when the source answers."


def wait(error: MevaError, *, done: int, at_most: int, elapsed: timedelta, first: timedelta) -> timedelta | None:
    """Return how long to wait before the next launch, or None where no further one helps.

    `done` launches of at most `at_most` were made after the first, which began `elapsed` ago. Waits double; a source
    that asks for a longer pause gets it. A used-up quota does not come back within the window.
    """
    if not isinstance(error, Unavailable) or isinstance(error, QuotaExhausted) or done >= at_most:
        return None
    pause = max(first * 2**done, timedelta(seconds=error.retry_after_s or 0.0))
    return pause if elapsed + pause + SHORTEST_FETCH <= WINDOW else None


def left(elapsed: timedelta) -> timedelta:
    """Return how much of the window a launch has that begins `elapsed` after the first one."""
    return max(WINDOW - elapsed, timedelta(seconds=1))


def final(error: Unavailable | Refused, *, done: int) -> Unavailable | Refused:
    """Return the error of the last launch with what it means and what to do."""
    if isinstance(error, Refused):
        return Refused(f"{error}. What was published before stays; run the sync of this day again when that is mended.")
    if isinstance(error, QuotaExhausted):
        return QuotaExhausted(f"{error}. {STAYS}", resets_at=error.resets_at)
    launched = f" It was fetched {done + 1} times within the hour." if done else ""
    kind = type(error) if isinstance(error, Incomplete | StoreUnavailable) else Unavailable
    return kind(f"{error}.{launched} {STAYS}", retry_after_s=error.retry_after_s)
