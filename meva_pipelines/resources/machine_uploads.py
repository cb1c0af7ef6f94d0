"""Uploads in our own JSON as tables; the schema is `docs/tensile-uploads.md`.

CSV uploads are texts like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import orjson

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import sidecar
from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.tables import Block
from meva_pipelines.resources.spreadsheets import Limits

_STATEMENTS = {field.name for field in fields(Sidecar)} - {"columns", "decimal", "separator", "encoding"}


class UploadTable:
    """The channels of one test of an upload."""

    separator, decimal, first_row, end = "JSON", ".", 1, 0
    first_cells: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()

    def __init__(
        self, stated: Sidecar, names: Sequence[str], units: Sequence[str], lists: Sequence[list[object]]
    ) -> None:
        """Take the lists of numbers, one per column."""
        self.stated = stated
        self.block = Block(tuple(names), tuple(units), (), (), 0, len(lists[0]), len(names))
        self._lists = lists

    def read(self, positions: Sequence[int], limits: Limits) -> Mapping[int, Series]:
        """Return columns, NaN for null.

        Raises:
            Unusable: `values_are_numbers` or `file_is_within_limits`.
        """
        if self.block.end > limits.rows:
            raise Unusable(f"a column has more than {limits.rows:,} values", rule="file_is_within_limits")
        return {position: self._column(position) for position in positions}

    def _column(self, position: int) -> Series:
        for number, value in enumerate(self._lists[position], start=1):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                name = self.block.names[position]
                raise Unusable(
                    f"value {number:,} of the column {name!r} is no number",
                    rule="values_are_numbers",
                    field=name,
                    row=number,
                )
        return np.array(self._lists[position], dtype=np.float64)


def found(content: bytes, limits: Limits) -> list[UploadTable]:
    """Return the tests of an upload.

    Raises:
        Unusable: `upload_is_valid`; it is no JSON, or not of the documented schema.
    """
    try:
        upload = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise Unusable(f"the JSON is damaged: {error}", rule="upload_is_valid") from None
    tests = upload.get("tests", [upload]) if isinstance(upload, dict) else upload
    if not isinstance(tests, list) or not tests or not all(isinstance(test, dict) for test in tests):
        raise Unusable("an upload is one test, or a list of `tests`", rule="upload_is_valid")
    return [_table(test, limits) for test in tests]


def _table(test: dict[str, object], limits: Limits) -> UploadTable:
    columns = test.get("columns")
    if not isinstance(columns, dict) or not columns or len(columns) > limits.columns:
        raise Unusable("a test has `columns`: lists of numbers by name", rule="upload_is_valid", field="columns")
    if unknown := sorted(set(test) - _STATEMENTS - {"columns"}):
        raise Unusable(f"a test has the unknown key {unknown[0]!r}", rule="upload_is_valid", field=unknown[0])
    stated = sidecar.parsed({key: value for key, value in test.items() if key in _STATEMENTS})  # type: ignore[misc]  # orjson gives plain values only
    units, lists = [], []
    for name, column in columns.items():
        values = column.get("values") if isinstance(column, dict) else column
        if not isinstance(values, list):
            raise Unusable(f"the column {name!r} has no list of values", rule="upload_is_valid", field=name)
        units.append(str(column.get("unit", "")) if isinstance(column, dict) else "")
        lists.append(values)
    if len({len(values) for values in lists}) > 1:
        raise Unusable("the columns of a test differ in length", rule="upload_is_valid", field="columns")
    return UploadTable(stated, list(columns), units if any(units) else (), lists)
