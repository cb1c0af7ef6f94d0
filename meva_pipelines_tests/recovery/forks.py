"""The near side of the nursery: tasks go in, forks come out, and every wait has an end."""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import meva_pipelines

RUN_TIMEOUT_S = 300.0
START_TIMEOUT_S = 300.0
_NUMBERS = itertools.count(1)


class Nursery:
    """The process that forks; lent by `nursery`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended: dict[int, int] = {}
        self._buffered = b""
        settings = {name: value for name, value in os.environ.items() if not name.startswith(("MEVA_", "DAGSTER_"))}
        with (folder / "nursery.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "meva_pipelines_tests.recovery.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=settings | {"PYTHONPATH": str(Path(meva_pipelines.__file__).parents[1]), "MPLBACKEND": "Agg"},
            )
        ready = self._listen(START_TIMEOUT_S, lambda said: said["said"] == "ready")
        assert ready["threads"] == 1, "a process with threads must not fork"

    def fork(self, task: Mapping[str, object]) -> int:
        """Start a task in a fork and return its pid."""
        number = next(_NUMBERS)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**task, "id": number}).encode() + b"\n")
        self._process.stdin.flush()
        started = self._listen(START_TIMEOUT_S, lambda said: said.get("task") == number)
        return int(started["pid"])

    def limit_files(self, pid: int, size: int, folder: Path) -> None:
        """Let no file of another process grow beyond a number of bytes: what a full disk does to it."""
        task = {"kind": "limit", "folder": str(folder), "environment": {}, "pid": pid, "bytes": size}
        assert self.wait(self.fork(task)) == 0, (folder / "stderr").read_text(encoding="utf-8")

    def wait(self, pid: int, *, timeout_s: float = RUN_TIMEOUT_S) -> int:
        """Return the exit code of a fork (negative: the signal that ended it); kill it when it takes too long."""
        try:
            if pid not in self._ended:
                self._listen(timeout_s, lambda said: said["said"] == "ended" and said["pid"] == pid)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        return os.waitstatus_to_exitcode(self._ended.pop(pid))

    def is_alive(self, pid: int) -> bool:
        """Whether a fork has not ended yet."""
        with self._patience():
            self._listen(0.0, lambda _: False)
        return pid not in self._ended

    def close(self) -> None:
        """End the process; forks that still live are ended by who started them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    @contextmanager
    def _patience(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            return

    def _listen(self, timeout_s: float, is_wanted: Any) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + timeout_s
        while True:
            left = max(0.0, deadline - time.monotonic())
            if b"\n" not in self._buffered and not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError(f"no answer within {timeout_s:g} s; see {self._folder}")
            if b"\n" not in self._buffered:
                chunk = os.read(descriptor, 65_536)
                if not chunk:
                    raise RuntimeError((self._folder / "nursery.log").read_text(encoding="utf-8")[-4_000:])
                self._buffered += chunk
                continue
            line, _, self._buffered = self._buffered.partition(b"\n")
            said: dict[str, Any] = json.loads(line)
            if said["said"] == "ended":
                self._ended[said["pid"]] = said["status"]
            if is_wanted(said):
                return said
