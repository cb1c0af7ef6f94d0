"""A private PostgreSQL that every process of one home shares: found if it runs, started if it does not.

Here is the decision: who may start it, where it lives, on which port, and what counts as running. A server
runs when a real login succeeds and it says that its data directory is ours; a pid proves nothing. How
programs are found and files are made is `postgres_binaries` and `postgres_cluster`.

    <home>/postgres/lock             held while a process starts or stops the server
    <home>/postgres/location         only if the cluster had to live elsewhere: that folder
    <home>/postgres/password         of the superuser `meva`, mode 0600
    <home>/postgres/connection.json  the port, rewritten whenever it changes
    <home>/postgres/data             the cluster (see `postgres_cluster`)
"""

import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import postgres_binaries
from meva_pipelines.resources.postgres_binaries import Account
from meva_pipelines.resources.postgres_cluster import (
    HOST,
    POLL_S,
    SUPERUSER,
    Cluster,
    locked,
    owner,
    write_private,
)

DEFAULT_HOME = Path(__file__).parents[2] / ".meva"
"""State folder where `MEVA_HOME` names no other."""

SYSTEM_STATE = Path("/var/lib")
_MAINTENANCE = "postgres"
_PORTS_TO_TRY = 4
_LOGIN_TIMEOUT_S = 2


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and how to log in to it. `bindir` holds the programs of the same major version."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    bindir: Path

    def url(self, database: str) -> str:
        """The address of one database for libpq: `postgresql://user:password@127.0.0.1:port/database`."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may differ between servers: databases made at the first start, server settings, patience."""

    databases: tuple[str, ...] = ("meva", "dagster")
    server: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """The private PostgreSQL of one home folder; any number of processes may hold one of these."""

    home: Path
    settings: Settings = field(default_factory=Settings)

    def ensure_running(self) -> Server:
        """The running server, started by whichever process comes first.

        Raises Unavailable when it does not answer in time (the message ends with its log), and Refused when
        no programs fit, the account lacks a permission, or the password file is gone.
        """
        if (server := self._find()) is not None:
            return server
        with self._exclusively():
            return self._find() or self._start(self._place())

    def is_running(self) -> bool:
        """Whether the server accepts our login at this moment."""
        return self._find() is not None

    def stop(self) -> None:
        """Stop the server if it runs, and wait until all of its processes have ended.

        Raises Unavailable when that takes longer than `stop_timeout_s`.
        """
        if not self._folder.is_dir():
            return
        with self._exclusively():
            cluster = self._place()
            if not cluster.exists() or (self._find() is None and not cluster.in_use()):
                return
            binaries = postgres_binaries.find(cluster.major())
            bindir = binaries.for_account(cluster.account, copies=cluster.folder)
            cluster.stop(bindir, timeout_s=self.settings.stop_timeout_s)

    @property
    def _folder(self) -> Path:
        return self.home.expanduser().resolve() / "postgres"

    @property
    def _located(self) -> Path:
        """Where the cluster is, or would be if nothing speaks against its home."""
        elsewhere = _read(self._folder / "location")
        return Path(elsewhere.strip()) if elsewhere else self._folder

    def _find(self) -> Server | None:
        """The server at the port of the connection file, if it is ours."""
        folder = self._located
        port = _known_port(folder)
        password = _read(folder / "password") if port else None
        answer = _ask(port, password, folder / "data") if port and password else ""
        return answer if isinstance(answer, Server) else None

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Hold the lock of this home, made if need be; never is the mode of a parent changed."""
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
            patience = self.settings.start_timeout_s + self.settings.stop_timeout_s
            with locked(self._folder / "lock", timeout_s=patience):
                yield
        except PermissionError as denied:
            message = f"{denied.filename} is denied to uid {os.geteuid()}; the owner of {self.home} may use it"
            raise Refused(message) from denied

    def _place(self) -> Cluster:
        """The cluster's folder and account; decided once, when there is no cluster yet."""
        folder = self._located
        if os.geteuid() != 0:
            data = folder / "data"
            if data.exists() and data.stat().st_uid != os.geteuid():
                raise Refused(f"{data} belongs to uid {data.stat().st_uid}: start its server as that user or as root")
            return Cluster(folder, Account.caller())
        account = Account.unprivileged(owner_of=folder / "data")
        if (folder / "data").exists() or folder != self._folder:
            if not account.reaches(folder):
                raise Refused(f"{folder} is out of reach for uid {account.uid}, the account of its PostgreSQL")
            return Cluster(folder, account)
        if account.can_own_in(folder):
            return Cluster(folder, account)
        mark = hashlib.sha256(os.fsencode(self._folder.parent)).hexdigest()[:16]
        elsewhere = SYSTEM_STATE / f"meva-{mark}"
        elsewhere.mkdir(parents=True, exist_ok=True)
        if elsewhere.is_symlink() or elsewhere.stat().st_uid != 0:
            raise Refused(f"{elsewhere} should belong to root and does not; remove it")
        elsewhere.chmod(0o711)
        write_private(self._folder / "location", f"{elsewhere}\n", keeper=owner(self._folder))
        return Cluster(elsewhere, Account.unprivileged(owner_of=elsewhere / "data"))

    def _start(self, cluster: Cluster) -> Server:
        """Start what does not answer, under the lock; the connection file is written last."""
        deadline = time.monotonic() + self.settings.start_timeout_s
        password = _read(cluster.folder / "password")
        if password is None:
            if cluster.exists():
                lost = cluster.folder / "password"
                raise Refused(f"{lost} is missing: put it back, or move {cluster.data} away to begin anew")
            password = secrets.token_urlsafe(24)
            write_private(cluster.folder / "password", password, keeper=owner(cluster.folder))
        server = _await_quiet(cluster, password, deadline=deadline)
        if server is None:
            binaries = postgres_binaries.find(cluster.major() if cluster.exists() else None)
            bindir = binaries.for_account(cluster.account, copies=cluster.folder)
            cluster.discard_drafts()
            if not cluster.exists():
                cluster.create(bindir, password=password, timeout_s=self.settings.start_timeout_s)
            server = self._launch(cluster, bindir, password, deadline=deadline)
        _make_databases(server, self.settings.databases)
        connection = {"host": server.host, "port": server.port, "user": server.user}
        text = json.dumps(connection) + "\n"
        write_private(cluster.folder / "connection.json", text, keeper=owner(cluster.folder))
        return server

    def _launch(self, cluster: Cluster, bindir: Path, password: str, *, deadline: float) -> Server:
        """Start the server on the port it had, or on another if somebody took that one."""
        port = _free_port(_known_port(cluster.folder))
        for _ in range(_PORTS_TO_TRY):
            cluster.configure(port=port, settings=self.settings.server)
            cluster.launch(bindir)
            server = _await_ready(cluster, port, password, deadline=deadline)
            if server is not None:
                return server
            if "Address already in use" not in cluster.log():
                break
            port = _free_port(None)
        raise Unavailable(f"PostgreSQL in {cluster.data} did not start. {cluster.log()}")


def _await_quiet(cluster: Cluster, password: str, *, deadline: float) -> Server | None:
    """Wait until nothing of the cluster is alive; or the server, if something is and turns out to answer."""
    while True:
        port = cluster.announced_port()
        answer = _ask(port, password, cluster.data) if port else "It has not announced a port."
        if isinstance(answer, Server):
            return answer
        if not cluster.in_use():
            return None
        if time.monotonic() > deadline:
            message = f"processes of PostgreSQL in {cluster.data} are alive and do not answer. {answer}"
            raise Unavailable(f"{message}\n{cluster.log()}")
        time.sleep(POLL_S)


def _await_ready(cluster: Cluster, port: int, password: str, *, deadline: float) -> Server | None:
    """Wait until the server that was just launched lets us in; None when it ended instead."""
    while True:
        is_alive = cluster.in_use()
        answer = _ask(port, password, cluster.data)
        if isinstance(answer, Server):
            return answer
        if not is_alive:
            return None
        if time.monotonic() > deadline:
            message = f"PostgreSQL in {cluster.data} was started and does not answer in time. {answer}"
            raise Unavailable(f"{message}\n{cluster.log()}")
        time.sleep(POLL_S)


def _ask(port: int, password: str, data: Path) -> Server | str:
    """Log in and ask for the data directory: the server if it is ours, else the reason why it is not."""
    try:
        with _login(port, password) as connection:
            row = connection.execute("SELECT current_setting('data_directory')").fetchone()
            major = connection.info.server_version // 10_000
    except psycopg.Error as failure:
        return str(failure).strip()
    if row is None or row[0] != str(data):
        return f"Another server answers at port {port}."
    bindir = postgres_binaries.find(major).bindir
    return Server(host=HOST, port=port, user=SUPERUSER, password=password, bindir=bindir)


def _login(port: int, password: str) -> psycopg.Connection[tuple[object, ...]]:
    """Connect to the maintenance database whatever PG* variables say.

    SCRAM proves either side to the other, so a stranger at our port learns no password.
    """
    return psycopg.connect(
        host=HOST,
        hostaddr=HOST,
        port=port,
        user=SUPERUSER,
        password=password,
        dbname=_MAINTENANCE,
        sslmode="disable",
        gssencmode="disable",
        channel_binding="disable",
        connect_timeout=_LOGIN_TIMEOUT_S,
        application_name="meva embedded postgres",
        options="-c statement_timeout=60000",
        autocommit=True,
        require_auth="scram-sha-256" if psycopg.pq.version() >= 160_000 else None,
    )


def _make_databases(server: Server, names: tuple[str, ...]) -> None:
    try:
        with _login(server.port, server.password) as connection:
            known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in known:
                    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
                    connection.execute(create.format(sql.Identifier(name)))
    except psycopg.Error as failure:
        wanted = ", ".join(names)
        raise Unavailable(f"the databases {wanted} could not be made: {str(failure).strip()}") from failure


def _known_port(folder: Path) -> int | None:
    """The port in the connection file; None if there is no such file or it is damaged."""
    try:
        return int(json.loads(_read(folder / "connection.json") or "")["port"])
    except (ValueError, KeyError, TypeError):
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except PermissionError as denied:
        raise Refused(f"{path} cannot be read by uid {os.geteuid()}; only its owner uses this server") from denied


def _free_port(wish: int | None) -> int:
    """The wished port if nobody has it, else one that the kernel picks."""
    for port in (wish or 0, 0):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return int(candidate.getsockname()[1])
    raise Unavailable("no TCP port is free on 127.0.0.1")
