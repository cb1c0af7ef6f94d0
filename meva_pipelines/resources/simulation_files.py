"""Documents of the simulation system and the series beside them: JSON, CSV and Parquet as typed values.

A format is told from the content, never from the name. What the fields mean is decided in `domain/simulation`.
"""

import codecs
import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines.domain.simulation import curves, documents
from meva_pipelines.domain.simulation.documents import Document
from meva_pipelines.domain.simulation.fields import Plain

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_DOCUMENT: Final = 20_000_000
LARGEST_SERIES: Final = 50_000_000
TIME, PRESSURE = "time_ms", "pressure_mpa"

_PARQUET: Final = b"PAR1"


def document(content: bytes) -> Document:
    """Return the document of a JSON file.

    Raises:
        Unusable: `document_is_readable`, `file_is_within_limits`, or a rule of `documents.parse`.
    """
    if len(content) > LARGEST_DOCUMENT:
        raise Unusable(f"a document has at most {LARGEST_DOCUMENT:,} bytes", rule="file_is_within_limits")
    return documents.parse(plain(content))


def plain(content: bytes) -> Plain:
    """Return what a JSON file in UTF-8 holds; a mark of the byte order is passed over.

    Raises:
        Unusable: `document_is_readable`.
    """
    try:
        found: Plain = orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        raise Unusable("the document is no JSON", rule="document_is_readable") from None
    return found


def is_document(content: bytes) -> bool:
    """Whether a file looks like a JSON object."""
    return content[:64].removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n").startswith(b"{")


def series(content: bytes) -> tuple[Series, Series]:
    """Return times in ms and pressures in MPa of a CSV or Parquet file, each of shape (points,).

    Raises:
        Unusable: `series_is_readable`, `series_has_two_columns`, `rows_are_numbers`, `file_is_within_limits`.
    """
    if len(content) > LARGEST_SERIES:
        raise Unusable(f"a series has at most {LARGEST_SERIES:,} bytes", rule="file_is_within_limits")
    return _parquet(content) if content.startswith(_PARQUET) else _csv(content)


def _csv(content: bytes) -> tuple[Series, Series]:
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable("the series is neither Parquet nor text in UTF-8", rule="series_is_readable") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    times: list[float] = []
    pressures: list[float] = []
    try:
        if next(rows, None) != [TIME, PRESSURE]:
            raise Unusable(f"the series has the columns {TIME}, {PRESSURE}", rule="series_has_two_columns", row=1)
        for row in rows:
            if len(times) >= curves.MOST_POINTS:
                raise Unusable(f"the series has more than {curves.MOST_POINTS:,} rows", rule="curve_length")
            if row:
                time_ms, pressure_mpa = row
                times.append(float(time_ms))
                pressures.append(float(pressure_mpa))
    except (ValueError, csv.Error):
        raise Unusable(
            f"row {rows.line_num} of the series is no two numbers", rule="rows_are_numbers", row=rows.line_num
        ) from None
    return np.array(times, dtype=np.float64), np.array(pressures, dtype=np.float64)


def _parquet(content: bytes) -> tuple[Series, Series]:
    import pyarrow as pa  # noqa: PLC0415 - costs 40 MB: only for those who read Parquet
    from pyarrow import parquet  # noqa: PLC0415

    def explained(read: Callable[[], "pa.Table"]) -> "pa.Table":
        try:
            return read()
        except (pa.ArrowException, OSError, ValueError):
            raise Unusable("the Parquet file is damaged", rule="series_is_readable") from None

    file = explained(lambda: parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True))
    if sorted(file.schema_arrow.names) != sorted([TIME, PRESSURE]):
        raise Unusable(f"the series has the columns {TIME}, {PRESSURE}", rule="series_has_two_columns")
    if file.metadata.num_rows > curves.MOST_POINTS:
        raise Unusable(f"the series has more than {curves.MOST_POINTS:,} rows", rule="curve_length")
    if any(not (pa.types.is_floating(kind) or pa.types.is_integer(kind)) for kind in file.schema_arrow.types):
        raise Unusable("the columns of the series are no numbers", rule="rows_are_numbers")
    table = explained(file.read)
    if table.num_rows > curves.MOST_POINTS or any(column.null_count for column in table.columns):
        raise Unusable("the series has rows without a number", rule="rows_are_numbers")
    time_ms, pressure_mpa = (table.column(name).to_numpy().astype(np.float64) for name in (TIME, PRESSURE))
    return time_ms, pressure_mpa
