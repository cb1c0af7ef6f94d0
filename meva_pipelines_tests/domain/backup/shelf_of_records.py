"""Made-up records of backups for the tests of this folder: one moment, one sequence, one server."""

from datetime import UTC, datetime, timedelta

from meva_pipelines.domain.backup import wal
from meva_pipelines.domain.backup.records import Backup, Part, Server, identifier
from meva_pipelines.domain.backup.vocabulary import Extent, Method, Trigger

START = datetime(2026, 11, 2, 17, tzinfo=UTC)
SEGMENT_BYTES = 16 << 20
SYSTEM = "7710606798399331923"


def part(name: str = "base.tar") -> Part:
    return Part(name=name, data_bytes=1_000, stored_bytes=200, sha256="ab" * 32, md5="cd" * 16)


def made(
    sequence: int,
    *,
    at: datetime | None = None,
    method: Method = Method.PHYSICAL,
    parent: Backup | None = None,
    segment: int | None = None,
    trigger: Trigger = Trigger.SCHEDULED,
) -> Backup:
    """Return a backup of a minute that ends at its moment; one of the log holds the segment of that number."""
    moment = at or START + timedelta(days=sequence)
    number = sequence if segment is None else segment
    name = wal.Segment(1, number).name(SEGMENT_BYTES)
    return Backup(
        id=identifier(at=moment, sequence=sequence, mark=f"{sequence:08x}"),
        sequence=sequence,
        method=method,
        extent=Extent.INCREMENTAL if parent else Extent.FULL,
        trigger=trigger,
        created_at=moment - timedelta(minutes=1),
        completed_at=moment,
        covers_until=moment,
        parts=(part(name if method is Method.WAL else "base.tar"),),
        key_id="0" * 16,
        subject=SYSTEM,
        server=Server(
            system_id=SYSTEM,
            version=180006,
            segment_bytes=SEGMENT_BYTES,
            timeline=1,
            start_lsn=wal.spelled(number * SEGMENT_BYTES),
            end_lsn=wal.spelled((number + 1) * SEGMENT_BYTES),
        ),
        parent_id=parent.id if parent else None,
        parent_digest=parent.digest if parent else None,
    )
