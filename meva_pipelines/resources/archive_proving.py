"""A batch brought down and proved: its file written, read again, compared with the hot rows, judged by its meaning.

What is found stands in one staged row, so that the judge can look at it; whether hot rows may leave is decided by the
verdict and by `archive_release`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from sqlalchemy import BigInteger, Column, Text

from meva_pipelines.domain.failures import Refused, Rejected, Superseded, Unusable
from meva_pipelines.resources import archive_batches, archive_digests, archive_export, archive_reading
from meva_pipelines.resources.archive_batches import Batch, State
from meva_pipelines.resources.archive_digests import Extent
from meva_pipelines.resources.archive_invariance import Checker, Invariance
from meva_pipelines.resources.archive_reading import Reread
from meva_pipelines.resources.cold_files import ColdFiles, Manifest
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema.roles import Role

WORD: Final = "archive"
_COLUMNS: Final[Sequence[Column[Any]]] = (
    Column("part", Text),
    Column("sha256", Text),
    Column("hot_rows", BigInteger),
    Column("cold_rows", BigInteger),
    *(Column(f"{side}_{what}", Text) for what in ("digest", "min_key", "max_key") for side in ("hot", "cold")),
    Column("forbidden_nulls", BigInteger),
    Column("rows_outside", BigInteger),
    Column("differing_curves", BigInteger),
    Column("differing_comparisons", BigInteger),
)


@dataclass(frozen=True, slots=True)
class Findings:
    """A batch with its file, what the database says of its hot rows, and what the file was found to hold."""

    batch: Batch
    hot: Extent
    reread: Reread
    numbers: Invariance

    def row(self) -> Sequence[object]:
        """Return what is staged for the judge, in the order of its columns."""
        hot, cold = self.hot, self.reread.extent
        return [
            self.batch.name,
            self.reread.sha256,
            hot.rows,
            cold.rows,
            hot.digest,
            cold.digest,
            _told(hot.min_key),
            _told(cold.min_key),
            _told(hot.max_key),
            _told(cold.max_key),
            self.reread.forbidden_nulls,
            self.reread.rows_outside,
            self.numbers.differing_curves,
            self.numbers.differing_comparisons,
        ]


@dataclass(frozen=True, slots=True)
class StagedFindings:
    """The staged findings of an attempt, as a judge has to know them; the verdict speaks of the digest of the batch."""

    attempt: Attempt

    @property
    def rows(self) -> StagedRows:
        """The staging table."""
        return staging_of(self.attempt)

    @property
    def name(self) -> str:
        """The unqualified name of the table that is judged."""
        return self.rows.name

    def digest(self, connection: psycopg.Connection) -> str:
        """Return the digest of the rows that the batch holds: what the releasing transaction demands a verdict for.

        Raises:
            Superseded: a newer attempt owns the batch.
        """
        batch = archive_batches.of_attempt(connection, self.attempt)
        if batch is None:
            raise Superseded(f"a newer attempt than {self.attempt.token} owns the batch: this run changed nothing")
        return batch.digest

    def drop(self, connection: psycopg.Connection) -> None:
        """Drop the table. Idempotent. Commits."""
        self.rows.drop(connection)


def staging_of(attempt: Attempt) -> StagedRows:
    """Return where the findings of an attempt are staged."""
    return StagedRows(attempt, WORD, _COLUMNS)


def stage(postgres: Postgres, attempt: Attempt, found: Findings) -> StagedFindings:
    """Lay down what was found, for the judge."""
    staged = StagedFindings(attempt)
    with postgres.connect(Role.WRITER, work=f"stage {attempt.token}") as connection:
        staged.rows.stage(connection, [found.row()])
    return staged


def demand_in_place(files: ColdFiles, batch: Batch) -> None:
    """Refuse a batch whose file or manifest is not in its place, or whose manifest says something else than the books.

    Raises:
        Unusable: `archive_file`: one of both is not there; `archive_manifest`: it is another one, or none.
        StoreUnavailable: the store does not answer.
    """
    part = batch.part
    there = {one.key for one in files.listed(batch.table)}
    for key in (part.key, part.manifest_key):
        if key not in there:
            raise Unusable(f"{key} is not there", rule="archive_file")
    books = Manifest(
        name=batch.name,
        table=batch.table.name,
        period=batch.period.name,
        generation=batch.generation,
        schema_version=batch.schema_version or 0,
        rows=batch.rows,
        digest=batch.digest,
        sha256=batch.sha256 or "",
        size=batch.file_size or 0,
        min_key=batch.min_key,
        max_key=batch.max_key,
    )
    if files.manifest(part) != books:
        raise Unusable(f"{part.manifest_key} speaks of another file", rule="archive_manifest")


def bring_down(postgres: Postgres, files: ColdFiles, batch: Batch) -> Findings:
    """Write the file of a planned batch, or take the one that lies there, and read it again to its end.

    A file that is damaged ends its batch: the next run plans the next generation.

    Raises:
        Rejected: the hot rows changed since the plan; the batch has failed.
        Unusable: the file is not what was written; the batch has failed unless it was committed.
        Superseded, Refused, StoreUnavailable: as the steps.
    """
    if batch.state is State.PLANNED:
        batch = _written(postgres, files, batch)
    try:
        return _reread(postgres, files, batch)
    except Unusable as error:
        _fail(postgres, batch, f"the file could not be read again: {error.rule}")
        raise


def _written(postgres: Postgres, files: ColdFiles, batch: Batch) -> Batch:
    planned = Extent(batch.rows, batch.digest, batch.min_key, batch.max_key)
    try:
        written = archive_export.write(postgres, files, batch.part, planned)
    except (Rejected, Refused) as error:
        _fail(postgres, batch, f"the file could not be written: {type(error).__name__}")
        raise
    with postgres.connect(Role.ARCHIVER, work=f"note {batch.name}") as connection:
        return archive_batches.written(
            connection,
            batch,
            sha256=written.sha256,
            file_size=written.size,
            schema_version=written.schema_version,
        )


def _reread(postgres: Postgres, files: ColdFiles, batch: Batch) -> Findings:
    demand_in_place(files, batch)
    with postgres.connect(Role.ARCHIVER, work=f"prove {batch.name}") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        checker = Checker(connection, files, batch.table)
        reread = archive_reading.read(files, batch.part, sha256=batch.sha256 or "", each=checker.add)
        numbers = checker.finish()
        hot = archive_digests.hot(connection, batch.table, batch.period)
    with postgres.connect(Role.ARCHIVER, work=f"note {batch.name}") as connection:
        is_equal = (reread.extent.rows, reread.extent.digest) == (hot.rows, hot.digest)
        noted = archive_batches.verified(connection, batch) if is_equal else batch
    return Findings(noted, hot, reread, numbers)


def _fail(postgres: Postgres, batch: Batch, reason: str) -> None:
    """End a batch, so that the next run plans the next generation; of a committed one only its file is in doubt."""
    with postgres.connect(Role.ARCHIVER, work=f"give up {batch.name}") as connection:
        if batch.state is State.COMMITTED:
            archive_batches.note_read(connection, batch, is_sound=False)
        else:
            archive_batches.failed(connection, batch, reason)


def _told(key: tuple[str, ...] | None) -> str:
    return " ".join(key or ())
