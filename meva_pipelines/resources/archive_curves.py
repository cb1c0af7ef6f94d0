"""Curves wherever they lie: in the hot tables, or in a committed cold part. Only to be compared, never published.

A curve is asked for with the fingerprint that it had; one that lies hot only in part, because some of its rows were
brought back, is therefore looked for in the cold.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import LiteralString

import numpy as np
import psycopg
import pyarrow as pa

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.filters import Condition, Operator
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources import archive_arrays, archive_batches, cold_rows, simulation_comparisons
from meva_pipelines.resources import simulation_series as hot
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.cold_rows import PartEffort, Wanted
from meva_pipelines.resources.simulation_comparisons import Curves, Fingerprinted

_SIMULATED, _MEASURED = TABLES["simulation_time_series"], TABLES["test_time_series"]
_POINT = ("time_point", "pressure")
_FINGERPRINT = "SELECT curve_sha256 FROM mgg.forward_simulations WHERE id = %s"
_FINGERPRINTS = "SELECT curve_sha256 FROM mgg.test_result_files WHERE test_result_id = %s ORDER BY position"


class HotAndCold:
    """Curves by their parent; the last ones that were asked for are kept, because pairs share them."""

    def __init__(self, connection: psycopg.Connection, files: ColdFiles) -> None:
        """Read on a connection and from the files of the archive."""
        self._connection, self._files = connection, files
        self.simulated = lru_cache(maxsize=64)(self._simulated)
        self.measured = lru_cache(maxsize=64)(self._measured)

    def _simulated(self, simulation_id: int, sha256: str) -> Fingerprinted | None:
        """Return the curve of a simulation with this fingerprint; None where there is none.

        Raises:
            Rejected: a cold part is damaged.
            StoreUnavailable: the store does not answer.
        """
        curve = hot.simulated(self._connection, simulation_id)
        found = None if curve is None else simulation_comparisons.fingerprinted((curve,))
        return found if found and found.sha256 == sha256 else self._cold(_SIMULATED, simulation_id, sha256)

    def _measured(self, test_result_id: int, sha256: str) -> Fingerprinted | None:
        """Return the curves of a firing as they are compared; otherwise as `_simulated`."""
        several = hot.measured(self._connection, test_result_id)
        found = simulation_comparisons.fingerprinted(several) if several else None
        return found if found and found.sha256 == sha256 else self._cold(_MEASURED, test_result_id, sha256)

    def _cold(self, table: Archived, parent: int, sha256: str) -> Fingerprinted | None:
        for held in self.held(table, parent):
            found = simulation_comparisons.fingerprinted(tuple(held.values()))
            if found.sha256 == sha256:
                return found
        return None

    def held(self, table: Archived, parent: int) -> Iterator[dict[int, StoredCurve]]:
        """Yield the curves of one parent as each cold part holds them, by their ids in the order of their files.

        The newest part comes first; one that holds none is passed over. Raises as `simulated`.
        """
        wanted = Wanted(table, (*table.curve, *_POINT), Condition(table.curve[0], Operator.EQ, parent))
        for batch in reversed(archive_batches.parts(self._connection, table)):
            if cold_rows.why_left_out(batch, wanted.filter):
                continue
            rows = list(cold_rows.read(self._files, batch, wanted, PartEffort(batch)))
            if rows:
                yield self._curves(table, parent, rows)

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


class Published(Curves):
    """Curves as they were published, by their parent alone: those that aged are read from the archive."""

    def __init__(self, connection: psycopg.Connection, files: ColdFiles) -> None:
        """Read on a connection and from the files of the archive."""
        super().__init__(connection)
        self._anywhere = HotAndCold(connection, files)

    def _simulated(self, simulation_id: int) -> Fingerprinted:
        sha256 = self._published(_FINGERPRINT, simulation_id)
        found = self._anywhere.simulated(simulation_id, sha256) if sha256 else None
        return found or super()._simulated(simulation_id)

    def _measured(self, test_result_id: int) -> Fingerprinted:
        sha256 = self._published(_FINGERPRINTS, test_result_id)
        found = self._anywhere.measured(test_result_id, sha256) if sha256 else None
        return found or super()._measured(test_result_id)

    def _published(self, query: LiteralString, parent: int) -> str | None:
        """Return the fingerprint of the curves of a parent; None where one was not published."""
        found = [row[0] for row in self._connection.execute(query, [parent])]
        return curves.together(found) if found and all(found) else None
