"""The files and processes of one private PostgreSQL cluster: made, configured, launched, stopped.

Whether it should run, on which port, and who may decide that is `embedded_postgres`; here are only the acts.
All of them are done under that module's lock.

    <folder>/data        the cluster, owned by the account that runs it; server log in data/log
    <folder>/in_use      locked by every process of the cluster for as long as it lives
    <folder>/draft-*     an initdb that has not finished

Every process that touches the data inherits a descriptor of `in_use` with its lock, so the kernel itself
answers whether any of them is alive. The pid file is not asked: a reboot or a reused pid makes it lie.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources.postgres_binaries import Account

HOST = "127.0.0.1"
SUPERUSER = "meva"
POLL_S = 0.03
DEFAULTS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "wal_level": "replica",
    "summarize_wal": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    # Details and statements quote rows, and rows name people.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_INCLUDE = "\n# Written by meva_pipelines at every start.\ninclude 'meva.conf'\n"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster in `folder`, run by `account`."""

    folder: Path
    account: Account

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def exists(self) -> bool:
        """Whether a finished cluster is here; an initdb that was cut off does not count."""
        return self.data.is_dir()

    def major(self) -> int:
        """The major version of PostgreSQL that the data belong to."""
        return int((self.data / "PG_VERSION").read_text())

    def in_use(self) -> bool:
        """Whether any process of this cluster lives, be it the server, an orphan of it or an initdb."""
        descriptor = _open_lock(self._in_use)
        try:
            return not _lock(descriptor)
        finally:
            os.close(descriptor)

    def create(self, bindir: Path, *, password: str, timeout_s: float) -> None:
        """Make the cluster beside its place and rename it when it is complete.

        Raises Unavailable, with what initdb said, when it fails or takes longer than `timeout_s` seconds.
        """
        draft = self.folder / f"draft-{secrets.token_hex(4)}"
        passfile = draft.with_suffix(".password")
        try:
            draft.mkdir(mode=0o700)
            self.account.take(draft)
            write_private(passfile, password, keeper=self.account)
            with self._claimed() as descriptor:
                done = self.account.run(
                    [
                        str(bindir / "initdb"),
                        f"--pgdata={draft}",
                        f"--username={SUPERUSER}",
                        f"--pwfile={passfile}",
                        "--auth=scram-sha-256",
                        "--data-checksums",
                        "--locale-provider=builtin",
                        "--locale=C.UTF-8",
                        "--encoding=UTF8",
                    ],
                    timeout_s=timeout_s,
                    keep_fds=[descriptor],
                )
            if done.returncode:
                raise Unavailable(f"initdb for {self.data} failed: {_last_lines(done.stderr)}")
            _append(draft / "postgresql.conf", _INCLUDE)
            draft.rename(self.data)
            sync_folder(self.folder)
        finally:
            passfile.unlink(missing_ok=True)
            shutil.rmtree(draft, ignore_errors=True)

    def discard_drafts(self) -> None:
        """Remove what an interrupted `create` left behind."""
        for left in self.folder.glob("draft-*"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()

    def configure(self, *, port: int, settings: Mapping[str, str]) -> None:
        """Write the server's settings; address, port and password method are not the caller's to choose."""
        ours = {
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
        }
        if wrong := [name for name in settings if name in ours or not name.replace("_", "").isalnum()]:
            raise Refused(f"these PostgreSQL settings cannot be set here: {', '.join(sorted(wrong))}")
        merged = {**DEFAULTS, **settings, **ours}
        lines = (f"{name} = {_quoted(value)}\n" for name, value in merged.items())
        write_private(self.data / "meva.conf", "".join(lines), keeper=self.account)

    def launch(self, bindir: Path) -> None:
        """Start the server and return at once; raises Unavailable when anything of this cluster is alive."""
        with self._claimed() as descriptor:
            if not self._startup_log.parent.exists():
                self._startup_log.parent.mkdir(mode=0o700)
                self.account.take(self._startup_log.parent)
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._startup_log.unlink(missing_ok=True)
            server = [str(bindir / "postgres"), "-D", str(self.data)]
            self.account.launch(server, log=self._startup_log, keep_fds=[descriptor])

    def stop(self, bindir: Path, *, timeout_s: float) -> None:
        """Fast shutdown: clients are disconnected, data are flushed; returns when every process has ended.

        Raises Unavailable when that takes longer than `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        seconds = str(max(1, int(timeout_s)))
        words = [str(bindir / "pg_ctl"), "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", seconds]
        done = self.account.run(words, timeout_s=timeout_s + 5)
        while self.in_use():
            if time.monotonic() > deadline:
                said = _last_lines(done.stderr)
                raise Unavailable(
                    f"PostgreSQL in {self.data} did not stop within {timeout_s:g} s. {said}\n{self.log()}"
                )
            time.sleep(POLL_S)

    def announced_port(self) -> int | None:
        """The port that the server wrote beside its pid, which may be long dead."""
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[3])
        except (OSError, ValueError, IndexError):
            return None

    def log(self, lines: int = 15) -> str:
        """The name of the log that was written last, and its last lines."""
        logs = [path for path in self.data.glob("log/*.log") if path.stat().st_size]
        # Once the log collector runs, the start-up log holds nothing but a pointer to the collector's.
        rank = sorted(logs, key=lambda path: (path.stat().st_mtime, path != self._startup_log))
        if not rank:
            return f"No log was written in {self._startup_log.parent}."
        newest = rank[-1]
        if newest == self._startup_log and len(rank) > 1 and "redirecting log output" in newest.read_text():
            newest = rank[-2]
        return f"See {newest}; its last lines:\n{_last_lines(newest.read_text(errors='replace'), lines)}"

    @property
    def _startup_log(self) -> Path:
        return self.data / "log" / "startup.log"

    @property
    def _in_use(self) -> Path:
        return self.folder / "in_use"

    @contextmanager
    def _claimed(self) -> Iterator[int]:
        """Lend a locked descriptor of `in_use`; a process that inherits it keeps the lock after us."""
        descriptor = _open_lock(self._in_use)
        try:
            if not _lock(descriptor):
                raise Unavailable(f"processes of an earlier server in {self.data} are still alive")
            yield descriptor
        finally:
            os.close(descriptor)


def owner(folder: Path) -> Account:
    """The account that a folder belongs to."""
    found = folder.stat()
    return Account(found.st_uid, found.st_gid)


@contextmanager
def locked(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold a lock file against every other process and thread; the kernel drops it if we die.

    Raises Unavailable when somebody else holds it for longer than `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    descriptor = _open_lock(path)
    try:
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise Unavailable(f"another process has held {path} for more than {timeout_s:g} s")
            time.sleep(POLL_S)
        yield
    finally:
        # Closing alone would leave the lock to a child that was forked meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(path: Path) -> int:
    """Open a file to lock, made if need be; root leaves it to the owner of the folder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        keeper = owner(path.parent)
        os.fchown(descriptor, keeper.uid, keeper.gid)
    return descriptor


def write_private(path: Path, text: str, *, keeper: Account | None = None) -> None:
    """Write a file of mode 0600, whole or not at all, and durably."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if keeper is not None and keeper.uid != os.geteuid():
            os.fchown(file.fileno(), keeper.uid, keeper.gid)
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _last_lines(text: str, lines: int = 6) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
