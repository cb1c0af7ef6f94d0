"""An answer as a file that spreadsheets, pandas or DuckDB open: CSV or Parquet, written row after row as it comes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from pyarrow import csv, parquet

from meva_pipelines.domain.failures import Refused, StoreUnavailable
from meva_pipelines.resources import copied_batches
from meva_pipelines.resources.hot_and_cold import Answer


class Form(StrEnum):
    """How an answer is written."""

    CSV = "csv"
    PARQUET = "parquet"


def write(answer: Answer, form: Form, sink: BinaryIO) -> int:
    """Write all rows and return how many they are. In CSV, NULL is empty, an empty text is quoted, bytes are hex."""
    rows = 0
    match form:
        case Form.CSV:
            with csv.CSVWriter(sink, copied_batches.spelled_schema(answer.schema)) as lines:
                for batch in answer.batches:
                    lines.write_batch(copied_batches.spelled(batch))
                    rows += batch.num_rows
        case Form.PARQUET:
            with parquet.ParquetWriter(sink, answer.schema, compression="zstd", write_page_checksum=True) as file:
                for batch in answer.batches:
                    file.write_batch(batch)
                    rows += batch.num_rows
    return rows


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Lend a file that appears under its name when the body has ended well, and whole.

    Raises:
        Refused: a file of that name is there, or its folder is not.
        StoreUnavailable: the disk is full, or nobody may write there.
    """
    if path.exists() or not path.parent.is_dir():
        raise Refused(f"{path} is there already, or its folder is not: nothing was written")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        raise Refused(f"{path} appeared meanwhile: it was left as it is") from None
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
