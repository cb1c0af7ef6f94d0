"""PostgreSQL's own programs, run for backups: which ones, how they log in, how their output streams.

An address never stands in a command line: host, port and user go by environment, the password by a file that only
this account reads. What a program says on its error stream goes into the error.
"""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import postgres_binaries
from meva_pipelines.resources.postgres import parts_of

OLDEST_SERVER = 15
PIPE_BYTES = 1 << 20
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one installation."""

    bindir: Path
    major: int

    def run(self, name: str, *arguments: str, address: Mapping[str, str], timeout_s: float) -> str:
        """Run a program to its end and return what it printed.

        Raises:
            Unavailable: it failed or took longer than `timeout_s` seconds; says what it said.
        """
        try:
            done = subprocess.run(
                [str(self.bindir / name), *arguments],
                env=_environment(address),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=timeout_s,
                cwd="/",
            )
        except subprocess.TimeoutExpired as late:
            raise Unavailable(f"{name} did not end within {timeout_s:g} s") from late
        if done.returncode:
            raise Unavailable(f"{name} failed: {_last_lines(done.stderr)}")
        return done.stdout.decode(errors="replace")

    @contextmanager
    def streaming(self, name: str, *arguments: str, address: Mapping[str, str]) -> Iterator[IO[bytes]]:
        """Lend what a program prints as a stream; the program is ended when the body raises.

        Raises:
            Unavailable: it failed; says what it said.
        """
        with self._started(name, arguments, address, stdout=subprocess.PIPE) as process:
            yield _widened(process.stdout)

    @contextmanager
    def feeding(self, name: str, *arguments: str, address: Mapping[str, str]) -> Iterator[IO[bytes]]:
        """Lend the input of a program as a stream; the program is ended when the body raises.

        Raises:
            Unavailable: it failed; says what it said.
        """
        with self._started(name, arguments, address, stdin=subprocess.PIPE) as process:
            yield _widened(process.stdin)

    @contextmanager
    def _started(
        self,
        name: str,
        arguments: tuple[str, ...],
        address: Mapping[str, str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> Iterator[subprocess.Popen[bytes]]:
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [str(self.bindir / name), *arguments],
                env=_environment(address),
                stdin=stdin,
                stdout=stdout,
                stderr=said,
                cwd="/",
            )
            try:
                yield process
            except BrokenPipeError:  # the program has ended before it was given everything: it says why
                _close(process)
            except BaseException:
                process.kill()
                _close(process)
                process.wait()
                raise
            _close(process)
            if process.wait():
                said.seek(0)
                raise Unavailable(f"{name} failed: {_last_lines(said.read())}")


def of_server(version: int) -> Programs:
    """Return programs that fit a server: of its own version, or newer ones for servers that have none here.

    Raises:
        Refused: there are none.
    """
    try:
        found = postgres_binaries.find(version // 10_000, oldest=OLDEST_SERVER)
    except Refused:
        found = postgres_binaries.find(oldest=OLDEST_SERVER)
    return Programs(found.bindir, found.major)


@contextmanager
def login(dsn: str) -> Iterator[dict[str, str]]:
    """Lend the environment with which libpq programs reach an address; the password lies in a file for that long."""
    parts = parts_of(dsn)
    address = {_VARIABLES[name]: value for name, value in parts.items() if name in _VARIABLES}
    with tempfile.TemporaryDirectory(prefix="meva-login-") as folder:
        if "password" in parts:
            passfile = Path(folder, "passfile")
            escaped = parts["password"].replace("\\", "\\\\").replace(":", "\\:")
            with os.fdopen(os.open(passfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"*:*:*:*:{escaped}\n")
            address["PGPASSFILE"] = str(passfile)
        yield address


def _widened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise Unavailable("a program was started without a pipe")
    with suppress(OSError):  # the kernel may refuse: then the pipe stays at its default of 64 kB
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return stream


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


def _environment(address: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGCONNECT_TIMEOUT": "10", **address}


def _last_lines(said: bytes, lines: int = 4) -> str:
    return " / ".join(said.decode(errors="replace").strip().splitlines()[-lines:]) or "it said nothing"
