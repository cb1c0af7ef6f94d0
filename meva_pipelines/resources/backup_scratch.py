"""A server for one restored copy: no port, a socket in a private folder, ended and removed afterwards.

Nothing of the copied server's configuration is used: its settings, its access rules and its archive command stay in
the backup. A scratch server whose process died without a word is ended by the next one.

    <restore>/scratch-<random>/lock    held while its process lives
    <restore>/scratch-<random>/data    the restored cluster
    <restore>/scratch-<random>/wal     segments of the log for it
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from meva_pipelines.domain.failures import MevaError, Unavailable
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.postgres_binaries import Account

PREFIX = "scratch-"
LARGE_TEMPORARY = Path("/var/tmp")  # noqa: S108 - a folder with a name of its own in it, checked to be root's
START_TIMEOUT_S = 3_600.0
_STOP_TIMEOUT_S = 60.0
_PORT = "5432"
_SETTINGS = {
    "listen_addresses": "",
    "port": _PORT,
    "hot_standby": "off",
    "archive_mode": "off",
    "shared_preload_libraries": "",
    "fsync": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "20",
    "max_locks_per_transaction": "1024",
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "summarize_wal": "off",
    "ssl": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_NOT_OPEN_YET = ("not accepting connections", "not yet accepting", "starting up", "in recovery mode")
_POLL_S = 0.02
_ONLY_SINCE_17 = {"summarize_wal"}


@dataclass(frozen=True, slots=True)
class Scratch:
    """A place for a restored cluster; `account` runs its server."""

    folder: Path
    sockets: Path
    account: Account

    @property
    def data(self) -> Path:
        """Data directory."""
        return self.folder / "data"

    @property
    def wal(self) -> Path:
        """Segments of the log that recovery asks for."""
        return self.folder / "wal"

    def dsn(self, *, user: str, database: str) -> str:
        """Return the address of a database; it is open to whoever reaches the private folder of the socket."""
        where = f"host={quote(str(self.sockets), safe='')}&port={_PORT}&user={quote(user, safe='')}"
        return f"postgresql:///{quote(database, safe='')}?{where}"

    def start(self, programs: Programs, recovery: dict[str, str]) -> None:
        """Start the server, let it recover to its target and wait until it answers.

        Raises:
            Unavailable: it did not come up; ends with its log.
        """
        settings = {
            name: value for name, value in _SETTINGS.items() if programs.major >= 17 or name not in _ONLY_SINCE_17
        }
        settings |= {"unix_socket_directories": str(self.sockets), **recovery}
        lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
        self._write("postgresql.conf", "".join(lines))
        self._write("postgresql.auto.conf", "")
        self._write("pg_hba.conf", "local all all trust\n")
        self._write("pg_ident.conf", "")
        self._write("recovery.signal", "")
        words = ["start", "-D", str(self.data), "-l", str(self._log), "-w", "-t", str(int(START_TIMEOUT_S))]
        done = self.account.run([str(programs.bindir / "pg_ctl"), *words], timeout_s=START_TIMEOUT_S + 10)
        if done.returncode:
            raise Unavailable(f"the restored copy did not start: {self.log()}")
        self._await_open()

    def stop(self, bindir: Path) -> None:
        """End the server at once; what it holds is thrown away."""
        if (self.data / "postmaster.pid").exists():
            words = ["stop", "-D", str(self.data), "-m", "immediate", "-w", "-t", str(int(_STOP_TIMEOUT_S))]
            self.account.run([str(bindir / "pg_ctl"), *words], timeout_s=_STOP_TIMEOUT_S + 10)

    def log(self, lines: int = 6) -> str:
        """Return the last lines of the server's log."""
        with suppress(OSError):
            return " / ".join(self._log.read_text(errors="replace").strip().splitlines()[-lines:])
        return "it wrote no log"

    def _await_open(self) -> None:
        """Wait until recovery has ended; pg_ctl is content with a server that still replays its log."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                # Nobody needs to exist yet: who is refused by name has been let in by the server.
                psycopg.connect(self.dsn(user="nobody", database="template1"), connect_timeout=10).close()
            except psycopg.OperationalError as error:
                if not any(sign in str(error) for sign in _NOT_OPEN_YET):
                    break
                time.sleep(_POLL_S)
            else:
                break
        if not (self.data / "postmaster.pid").exists():
            raise Unavailable(f"the restored copy did not reach its goal: {self.log()}")

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _write(self, name: str, text: str) -> None:
        path = self.data / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        self.account.take(path)


@contextmanager
def scratch(vault: Vault, programs: Programs) -> Iterator[Scratch]:
    """Lend a scratch place; its server is ended and everything of it removed afterwards, whatever happens."""
    base, account = root(vault)
    sweep(base, account, programs.bindir)
    folder = base / f"{PREFIX}{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    account.take(folder)
    with _locked(folder / "lock"), tempfile.TemporaryDirectory(prefix="meva-") as sockets:
        Path(sockets).chmod(0o700)
        account.take(Path(sockets))
        place = Scratch(folder, Path(sockets), account)
        for made in (place.data, place.wal):
            made.mkdir(mode=0o700)
            account.take(made)
        try:
            yield place
        finally:
            place.stop(programs.bindir)
            shutil.rmtree(folder, ignore_errors=True)
            if base.parent == LARGE_TEMPORARY:
                with suppress(OSError):  # somebody else restores there
                    base.rmdir()


def sweep(base: Path, account: Account, bindir: Path) -> int:
    """End and remove scratch servers whose process died. Returns how many."""
    swept = 0
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError, MevaError), _locked(folder / "lock"):
            Scratch(folder, folder, account).stop(bindir)
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def root(vault: Vault) -> tuple[Path, Account]:
    """Return where copies are restored, and the account of their servers.

    Root lets an unprivileged account run them, which has to reach the folder: where the state folder is closed to
    it, the system's folder for large temporary files is taken.
    """
    base = vault.folder("restore")
    if os.geteuid() != 0:
        return base, Account.caller()
    base.chmod(0o711)
    account = Account.unprivileged(owner_of=base / "nobody")
    if account.reaches(base):
        return base, account
    mark = hashlib.sha256(os.fsencode(base)).hexdigest()[:16]
    elsewhere = LARGE_TEMPORARY / f"meva-restore-{mark}"
    elsewhere.mkdir(mode=0o711, exist_ok=True)
    if elsewhere.is_symlink() or elsewhere.stat().st_uid != 0:
        raise Unavailable(f"{elsewhere} should belong to root and does not; remove it")
    return elsewhere, account


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file; the kernel drops it when the process dies.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
