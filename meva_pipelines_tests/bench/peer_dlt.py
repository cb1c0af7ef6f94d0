"""One load by dlt, run by the interpreter that dlt is installed for: JSON lines, merge with the strategy `upsert`.

`peer_dlt.py URL FOLDER FILE` prints the seconds of `pipeline.run`, imports excluded.
"""

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHUNK = 5_000


def _rows(path: Path) -> Iterator[list[dict[str, Any]]]:
    chunk = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            chunk.append(json.loads(line))
            if len(chunk) == _CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def main(url: str, folder: str, file: str) -> None:
    """Load a file of rows into `peer_dlt.aed_data`."""
    dlt: Any = importlib.import_module("dlt")  # lives in an environment of its own
    pipeline = dlt.pipeline(
        pipeline_name="aed",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(url),
        dataset_name="peer_dlt",
    )
    resource = dlt.resource(
        _rows(Path(file)),
        name="aed_data",
        primary_key="source_id",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    started = time.perf_counter()
    pipeline.run(resource).raise_on_failed_jobs()
    sys.stdout.write(f"{time.perf_counter() - started:.3f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
