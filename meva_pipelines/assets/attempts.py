"""Which day a run is for, and which attempt a step goes on with: that of the run itself, or the newest of the day."""

from datetime import date

import dagster as dg
import psycopg

from meva_pipelines.domain.failures import Refused, Rejected, Superseded
from meva_pipelines.resources import ledger
from meva_pipelines.resources.ledger import Attempt, Status


def day_of(context: dg.AssetExecutionContext) -> date:
    """Return the day of the run: the last one when a range is backfilled in a single run."""
    return date.fromisoformat(context.partition_key_range.end)


def to_publish(connection: psycopg.Connection, *, subject: str, day: date, run_id: str, staged: dg.AssetKey) -> Attempt:
    """Return the attempt that this run staged, or the newest one of the day that can be or was published.

    `staged` is the asset that stages and is judged, as it is named to people.

    Raises:
        Rejected: the attempt of this run did not pass its audit.
        Superseded: the attempt of this run was overtaken.
        Refused: nothing waits for the day.
    """
    asset = staged.to_user_string()
    mine = ledger.attempt_of_run(connection, subject=subject, dagster_run_id=run_id)
    if mine is not None and mine.status in {Status.STAGED, Status.PUBLISHED}:
        return mine
    if mine is not None and mine.status is Status.REJECTED:
        raise Rejected(f"attempt {mine.token} of this run was refused; the checks of {asset} show why")
    if mine is not None and mine.status is Status.FAILED:
        raise Superseded(
            f"attempt {mine.token} of this run was overtaken by a newer one: it changed nothing. "
            "Nothing needs to be done if the newer run succeeds; otherwise run it again."
        )
    found = ledger.latest_attempt(connection, subject=subject, day=day, statuses=(Status.STAGED, Status.PUBLISHED))
    if found is None:
        raise Refused(f"no judged batch waits for {day}: materialise {asset} and look at its checks")
    return found
