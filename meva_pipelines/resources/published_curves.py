"""Published curves as they are compared, wherever they lie: in the hot tables, or in a committed cold part.

A curve is taken for the published one by its fingerprint alone. One that lies hot only in part, because some of its
rows were brought back, is therefore looked for in the cold. Nothing is written or compared here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, LiteralString

import numpy as np
import psycopg
import pyarrow as pa

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.filters import Condition, Operator
from meva_pipelines.domain.failures import Refused, Rejected, StoreUnavailable, Unusable
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources import archive_arrays, archive_batches, cold_rows
from meva_pipelines.resources import simulation_series as hot
from meva_pipelines.resources.archive_batches import Batch
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.cold_rows import PartEffort, Wanted

KEPT: Final = 64
"""Curves of each kind that are kept, the last ones that were asked for: pairs share them."""

UNREADABLE: Final = (Refused, Rejected, StoreUnavailable)
"""What is raised for a curve that cannot be read."""

_SIMULATED, _MEASURED = TABLES["simulation_time_series"], TABLES["test_time_series"]
_POINT = ("time_point", "pressure")
_FINGERPRINT = "SELECT curve_sha256 FROM mgg.forward_simulations WHERE id = %s AND curve_sha256 IS NOT NULL"
_FINGERPRINTS = (
    "SELECT curve_sha256 FROM mgg.test_result_files WHERE test_result_id = %s AND curve_sha256 IS NOT NULL"
    " ORDER BY position"
)


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprinted:
    """A curve as it is compared, or why it cannot be, and the fingerprint of what is stored of it."""

    trace: Trace | str
    sha256: str


class Curves:
    """Curves by the number of their simulation or firing; the last ones that were asked for are kept.

    A cold part that could not be read is not opened a second time.
    """

    def __init__(self, connection: psycopg.Connection, files: ColdFiles) -> None:
        """Read on a connection and from the files of the archive."""
        self._connection, self._files = connection, files
        self._unread: dict[int, Rejected | StoreUnavailable] = {}
        self.simulated = lru_cache(maxsize=KEPT)(self._simulated)
        self.measured = lru_cache(maxsize=KEPT)(self._measured)

    def _simulated(self, simulation_id: int, sha256: str | None = None) -> Fingerprinted:
        """Return the curve of a simulation: the one with this fingerprint, or the one that was published.

        Raises:
            Refused: it has none, or it is neither hot nor cold.
            Rejected: a cold part is damaged.
            StoreUnavailable: the file of a cold part is not there, or the store does not answer.
        """
        what = f"simulation {simulation_id}"
        wanted = self._published(_FINGERPRINT, simulation_id, what) if sha256 is None else sha256
        curve = hot.simulated(self._connection, simulation_id)
        return self._found(_SIMULATED, simulation_id, wanted, () if curve is None else (curve,), what)

    def _measured(self, test_result_id: int, sha256: str | None = None) -> Fingerprinted:
        """Return the curves of a firing, in the order of its files, as they are compared; raises as `_simulated`."""
        what = f"firing {test_result_id}"
        wanted = self._published(_FINGERPRINTS, test_result_id, what) if sha256 is None else sha256
        several = hot.measured(self._connection, test_result_id)
        return self._found(_MEASURED, test_result_id, wanted, several, what)

    def _published(self, query: LiteralString, parent: int, what: str) -> str:
        found = [row[0] for row in self._connection.execute(query, [parent])]
        if not found:
            raise Refused(f"{what} has no curve")
        return curves.together(found)

    def _found(
        self, table: Archived, parent: int, sha256: str, several: tuple[StoredCurve, ...], what: str
    ) -> Fingerprinted:
        if several and (found := fingerprinted(several)).sha256 == sha256:
            return found
        for held in self.held(table, parent):
            found = fingerprinted(tuple(held.values()))
            if found.sha256 == sha256:
                return found
        raise Refused(
            f"the curve of {what} lies neither in mgg.{table.name} nor in the archive as it was published; the runbook"
            " archive_corrupted says how to bring it back"
        )

    def held(self, table: Archived, parent: int) -> Iterator[dict[int, StoredCurve]]:
        """Yield the curves of one parent as each cold part holds them, by their ids in the order of their files.

        The newest part comes first; one that holds none is passed over. Raises Rejected and StoreUnavailable as
        `simulated`.
        """
        wanted = Wanted(table, (*table.curve, *_POINT), Condition(table.curve[0], Operator.EQ, parent))
        for batch in reversed(archive_batches.parts(self._connection, table)):
            if not cold_rows.why_left_out(batch, wanted.filter) and (rows := self._cold(batch, wanted)):
                yield self._curves(table, parent, rows)

    def _cold(self, batch: Batch, wanted: Wanted) -> list[pa.RecordBatch]:
        if known := self._unread.get(batch.id):
            raise known
        try:
            return list(cold_rows.read(self._files, batch, wanted, PartEffort(batch)))
        except (Rejected, StoreUnavailable) as error:
            self._unread[batch.id] = error
            raise

    def _curves(self, table: Archived, parent: int, rows: Sequence[pa.RecordBatch]) -> dict[int, StoredCurve]:
        ids = np.concatenate([archive_arrays.whole(batch.column(table.curve[-1])) for batch in rows])
        points = [np.concatenate([archive_arrays.units(batch.column(name)) for batch in rows]) for name in _POINT]
        order = [parent] if table is _SIMULATED else self._files_of(parent)
        return {one: StoredCurve(*(column[ids == one] for column in points)) for one in order if (ids == one).any()}

    def _files_of(self, test_result_id: int) -> list[int]:
        rows = self._connection.execute(
            "SELECT id FROM mgg.test_result_files WHERE test_result_id = %s ORDER BY position", [test_result_id]
        ).fetchall()
        return [int(row[0]) for row in rows]


def fingerprinted(several: tuple[StoredCurve, ...]) -> Fingerprinted:
    """Return the curve of a simulation, or those of a firing in the order of its files, as it is compared."""
    return Fingerprinted(_traced(lambda: curves.mean(several)), curves.together([curve.sha256 for curve in several]))


def _traced(read: Callable[[], Trace]) -> Trace | str:
    try:
        return read()
    except Unusable as error:
        return str(error)
