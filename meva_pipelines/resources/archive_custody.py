"""What becomes of cold parts: read again night by night, and what no batch refers to collected after its grace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.domain.failures import Refused, Unusable
from meva_pipelines.resources import (
    archive_batches,
    archive_chain,
    archive_proving,
    archive_reading,
    deletions,
    failpoints,
    hot_and_cold,
    ledger,
)
from meva_pipelines.resources.archive_batches import Batch
from meva_pipelines.resources.archive_chain import Chain, Log
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.deletions import Deletion
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import Listed
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

_SUBJECT: Final = "archive.orphans"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read tonight: parts, bytes, and by the name of a part what is wrong with it."""

    parts: int
    size: int
    damaged: dict[str, str]


def verify(postgres: Postgres, files: ColdFiles, parts: Sequence[Batch]) -> Verified:
    """Read committed parts to their end, every byte, compare them with their batches, and note what was found.

    A part that is damaged is read again every night until it is sound.

    Raises:
        StoreUnavailable: the store does not answer; what was read until then is noted.
    """
    size, damaged = 0, {}
    for batch in parts:
        try:
            size += _sound(files, batch)
        except Unusable as error:
            damaged[batch.name] = str(error)
        with postgres.connect(Role.ARCHIVER, work=f"note {batch.name}") as connection:
            archive_batches.note_read(connection, batch, is_sound=batch.name not in damaged)
    return Verified(len(parts), size, damaged)


def _sound(files: ColdFiles, batch: Batch) -> int:
    """Return the size of a part that is what its batch says."""
    archive_proving.demand_in_place(files, batch)
    found = archive_reading.read(files, batch.part, sha256=batch.sha256 or "")
    if (found.extent.rows, found.extent.digest) != (batch.rows, batch.digest):
        raise Unusable(f"{batch.file_key} holds other rows than its batch", rule="archive_digest")
    return found.size


def chain(postgres: Postgres, files: ColdFiles) -> Chain:
    """Recompute the hash chain of the operation logs over hot and cold rows, up to where it ended before.

    Raises:
        Rejected, Unavailable: as `hot_and_cold.answer`.
    """
    with postgres.connect(Role.ARCHIVER, work="look for the end of the chain") as connection:
        head = archive_chain.head(connection)
    table = TABLES["operation_logs"]
    asked = Query(table, columns=archive_chain.COLUMNS, sort=(Sort("chain_position"),))
    with hot_and_cold.answer(postgres, files, asked, role=Role.ARCHIVER) as found:
        logs = (Log(**row) for batch in found.batches for row in batch.to_pylist())
        return archive_chain.verify((log for log in logs if log.chain_position <= head.position), head=head)


@dataclass(frozen=True, slots=True)
class Collected:
    """Objects that no batch refers to any more, and how many half-written ones went with them."""

    orphans: tuple[Listed, ...]
    partials: int

    @property
    def size(self) -> int:
        """Their size in bytes."""
        return sum(one.size for one in self.orphans)


def orphans(postgres: Postgres, files: ColdFiles) -> Collected:
    """Return what would be collected now: objects older than their grace that only failed batches, or none, name."""
    with postgres.connect(Role.ARCHIVER, work="look for orphans") as connection:
        found = files.orphans(archive_batches.file_keys(connection), now=ledger.now(connection))
    return Collected(found, 0)


def collect(postgres: Postgres, files: ColdFiles, *, ceiling: int, approved_by: str) -> Collected:
    """Remove what nobody refers to, through the deletion ledger: planned, decided again, removed, noted.

    Raises:
        Refused: more objects than `ceiling`; nothing was removed.
        StoreUnavailable: the store does not answer.
    """
    found = orphans(postgres, files).orphans
    if len(found) > ceiling:
        raise Refused(
            f"{len(found)} objects would be collected and {ceiling} are approved: nothing was removed. "
            "Look at the list, then approve a higher ceiling."
        )
    if found:
        with postgres.connect(Role.ARCHIVER, work="plan collection") as connection:
            plan_id = deletions.enter(
                connection,
                Deletion(
                    subject=_SUBJECT,
                    kind="purge",
                    plan={"objects": [_told(one) for one in found]},
                    rows=len(found),
                    proof={"no_batch_refers_to_them": True},
                    ceiling=ceiling,
                    approved_by=approved_by,
                ),
            )
        failpoints.reach(Point.ARCHIVE_COLLECTION_PLANNED)
        with postgres.connect(Role.ARCHIVER, work="collect orphans") as connection:
            files.remove(found, archive_batches.file_keys(connection))
            deletions.executed(connection, plan_id, rows=len(found))
    return Collected(found, files.discard_partials())


def _told(one: Listed) -> dict[str, object]:
    return {"key": one.key, "bytes": one.size, "written": one.modified_at.isoformat()}
