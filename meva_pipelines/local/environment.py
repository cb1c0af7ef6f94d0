"""From settings to a running environment: servers started, schema current, every variable that Dagster needs set.

The only room that reads settings by itself: everything started from here finds them in its environment.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
from psycopg import pq
from sqlalchemy import URL, make_url

from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.embedded_postgres import DEFAULT_HOME, EmbeddedPostgres
from meva_pipelines.resources.postgres import Postgres, parts_of
from meva_pipelines.resources.postgres_cluster import write_private
from meva_pipelines.schema import migrate

PROJECT = Path(__file__).parent.parent.parent
DAGSTER_DATABASE = "dagster"
SANDBOX_PAST_DAYS = 2
REGISTRY_SIZE = 81_464
_SANDBOX_START_S = 60


@dataclass(frozen=True, slots=True)
class Environment:
    """A prepared environment: the state folder, the warehouse, and the variables for child processes."""

    home: Path
    database_url: str
    variables: dict[str, str]


def home() -> Path:
    """Return the state folder."""
    return Path(os.environ.get("MEVA_HOME") or DEFAULT_HOME).absolute()


def prepare() -> Environment:
    """Start the embedded server unless another is set, and bring schema and Dagster's storage up to date."""
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    for made in ("landing", "store"):
        (folder / made).mkdir(mode=0o700, exist_ok=True)
    warehouse, dagster = _databases(folder)
    migrate.upgrade(warehouse)
    environment = Environment(
        home=folder,
        database_url=warehouse,
        variables={
            "DAGSTER_HOME": str(PROJECT),
            "MEVA_HOME": str(folder),
            "MEVA_DAGSTER_DATABASE_URL": _with_driver(dagster, "postgresql+psycopg2"),
            "MEVA_DAGSTER_ARTIFACTS": str(folder / "dagster"),
            "MEVA_BACKUP_KEY": os.environ.get("MEVA_BACKUP_KEY") or _backup_key(folder / "backup-key"),
            "PYTHONWARNINGS": "ignore:Parameter `backfill_policy` of",  # beta in Dagster, and part of the design
        },
    )
    subprocess.run(
        [sys.executable, "-m", "dagster", "instance", "migrate"],
        cwd=PROJECT,
        env={**os.environ, **environment.variables},
        check=True,
        capture_output=True,
    )
    return environment


def vault() -> Vault:
    """Return the targets and keys of backups as they are set, without asking for a server. No key is made here."""
    folder = home()
    kept = folder / "backup-key"
    return Vault(
        url=os.environ.get("MEVA_BACKUP_URL") or (folder / "backups").as_uri(),
        key=os.environ.get("MEVA_BACKUP_KEY") or (kept.read_text(encoding="utf-8") if kept.exists() else ""),
        home=str(folder),
    )


def _backup_key(file: Path) -> str:
    """Return the key of backups on this machine, made once. Where backups leave it, a key is set that does as well."""
    if not file.exists():
        write_private(file, base64.b64encode(secrets.token_bytes(32)).decode())
    return file.read_text(encoding="utf-8")


def _databases(folder: Path) -> tuple[str, str]:
    """Return the libpq URLs of the warehouse and of Dagster's storage."""
    if given := os.environ.get("MEVA_DATABASE_URL"):
        warehouse = Postgres(url=given, home=str(folder)).dsn()
        parts_of(warehouse)
        dagster = os.environ.get("MEVA_DAGSTER_DATABASE_URL") or _sibling(warehouse, DAGSTER_DATABASE)
    else:
        server = EmbeddedPostgres(home=folder).ensure_running()
        warehouse = server.url("meva")
        dagster = os.environ.get("MEVA_DAGSTER_DATABASE_URL") or server.url(DAGSTER_DATABASE)
    return warehouse, _with_driver(dagster, "postgresql")


def _with_driver(url: str, driver: str) -> str:
    return _rendered(make_url(url).set(drivername=driver))


def _sibling(url: str, database: str) -> str:
    """Return the URL of another database on the same server, creating the database when it is not there."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if found is None:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
    return _rendered(make_url(url).set(database=database))


def _rendered(url: URL) -> str:
    """Spell a URL for libpq, which takes no blank that SQLAlchemy leaves as it is."""
    return url.render_as_string(hide_password=False).replace(" ", "%20")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox registry and the settings that point to it."""

    url: str
    variables: dict[str, str]


@contextmanager
def sandbox(folder: Path, *, size: int | None = None, dialect: str = "data_go_kr") -> Iterator[Sandbox]:
    """Lend a sandbox registry in a process of its own, for whoever has no service key.

    Size and first day are remembered in the state folder, so that it stays the same registry from start to start.

    Raises:
        Refused: the folder remembers a registry of another size.
    """
    key_file = folder / "sandbox-service-key"
    today = datetime.now(SEOUL).date()
    registry = _remembered_registry(folder / "sandbox.json", size, today)
    command = [
        sys.executable,
        "-m",
        "meva_pipelines.sandbox",
        "registry",
        "--port",
        "0",
        "--size",
        str(registry["size"]),
        "--no-limits",
        "--epoch",
        str(registry["epoch"]),
        "--day",
        today.isoformat(),
    ]
    with (folder / "sandbox.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--service-key-file", str(key_file)], cwd=PROJECT, stdout=subprocess.PIPE, stderr=log
        )
    try:
        url = _announced(process)
        path = "/B552657/AEDInfoInqireService" if dialect == "data_go_kr" else ""
        yield Sandbox(
            url,
            {
                "MEVA_EGEN_BASE_URL": url + path,
                "MEVA_EGEN_SERVICE_KEY": key_file.read_text(encoding="utf-8").strip(),
                "MEVA_EGEN_DIALECT": dialect,
                **(
                    {}
                    if os.environ.get("MEVA_ALERT_WEBHOOK_URL")
                    else {"MEVA_ALERT_WEBHOOK_URL": f"{url}/_sandbox/webhook"}
                ),
            },
        )
    finally:
        process.terminate()
        process.wait(timeout=15)
        if process.stdout is not None:
            process.stdout.close()


def _remembered_registry(file: Path, size: int | None, today: date) -> dict[str, int | str]:
    if not file.exists():
        epoch = (today - timedelta(days=SANDBOX_PAST_DAYS)).isoformat()
        file.write_text(json.dumps({"size": size or REGISTRY_SIZE, "epoch": epoch}), encoding="utf-8")
    known: dict[str, int | str] = json.loads(file.read_text(encoding="utf-8"))
    if size not in {None, known["size"]}:
        raise Refused(
            f"{file.parent} holds a sandbox registry of {known['size']} devices, not {size}: "
            "choose that size, or another state folder with MEVA_HOME"
        )
    return known


def _announced(process: subprocess.Popen[bytes]) -> str:
    stream = process.stdout
    line = stream.readline().decode() if stream else ""
    url = line.rsplit(" ", 1)[-1].strip()
    if not url.startswith("http"):
        raise RuntimeError("the sandbox registry did not start; its log is sandbox.log in the state folder")
    httpx.get(f"{url}/_sandbox/requests", timeout=_SANDBOX_START_S)
    return url


def libpq_variables(url: str) -> dict[str, str]:
    """Return the libpq environment variables of a URL: address, user and password, and how it demands TLS."""
    return {
        option.envvar.decode(): option.val.decode()
        for option in pq.Conninfo.parse(url.encode())
        if option.envvar is not None and option.val is not None
    }
