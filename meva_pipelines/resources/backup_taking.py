"""The one way in which a backup is taken: alone, on a target that answers, entered before and after.

What is taken is in `backup_physical`, `backup_wal`, `backup_logical` and `backup_files`. A `Vault` is the targets and
the catalogue together, as the resource that assets take.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.domain.backup import chains, preflight, records
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent, Method, Trigger
from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources import backup_catalog, backup_keys, backup_server, backup_shelves, backup_targets
from meva_pipelines.resources.backup_catalog import Draft
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Why a backup is taken: what made somebody ask, in which words, under which labels; and by which run."""

    trigger: Trigger = Trigger.MANUAL_REQUEST
    description: str = ""
    tags: tuple[str, ...] = ()
    run_id: str = ""


class Vault(dg.ConfigurableResource["Vault"]):
    """Where backups go, and with which keys they are sealed."""

    url: str = Field(
        repr=False,
        description="Targets in order of preference: one URL (file:///… or s3://…), or name=URL separated by commas",
    )
    key: str = Field(
        default="",
        repr=False,
        description="Keys, 32 bytes in base64, separated by commas; the first seals. Empty: backups are not encrypted",
        json_schema_extra={"dagster__is_secret": True},
    )
    home: str = Field(description="State folder: what was fetched and is not on a target yet; restores under way")
    sources: str = Field(default="", description="Folders of file backups: name=file:///… separated by commas")

    patience_s: float = Field(default=600.0, ge=0, description="Seconds that a backup waits for another to end")

    def shelves(self) -> tuple[Shelf, ...]:
        """Return the targets in order of preference.

        Raises:
            Refused: there is none, a name comes twice, or a URL or key cannot be used.
        """
        ring = backup_keys.keyring(self.key)
        named = _named(self.url)
        if not named:
            raise Refused("MEVA_BACKUP_URL names no target")
        return tuple(Shelf(backup_targets.target(name, url), ring) for name, url in named.items())

    def shelf(self, name: str) -> Shelf:
        """Return a target by its name, or the first for an empty one.

        Raises:
            Refused: there is no such target.
        """
        shelves = self.shelves()
        for shelf in shelves:
            if name in {"", shelf.target.name}:
                return shelf
        known = ", ".join(shelf.target.name for shelf in shelves)
        raise Refused(f"there is no backup target {name}; there are: {known}")

    def source_folders(self) -> dict[str, Path]:
        """Return the folders that file backups hold, by name.

        Raises:
            Refused: something is no name=file:///… pair.
        """
        found: dict[str, Path] = {}
        for name, url in _pairs(self.sources):
            if not name.isidentifier() or urlsplit(url).scheme != "file" or name in found:
                raise Refused(f"a source of file backups is not name=file:///folder: {name[:40]!r}")
            found[name] = Path(url2pathname(urlsplit(url).path))
        return found

    @property
    def is_encrypting(self) -> bool:
        """Whether what is written from now on is encrypted."""
        return bool(self.key)

    def folder(self, name: str) -> Path:
        """Return a private folder of backups under the state folder, made if need be."""
        folder = Path(self.home).expanduser().absolute() / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder


def _named(setting: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, url in _pairs(setting):
        name = given or LOCAL
        if name in found or not name.isidentifier():
            raise Refused(f"backup targets need names of their own, in letters: {name[:40]!r}")
        found[name] = url
    return found


def _pairs(setting: str) -> Iterator[tuple[str, str]]:
    """Yield name and URL of each item; a URL alone has no name, though it may hold a sign of equality."""
    for word in filter(None, (word.strip() for word in setting.split(","))):
        name, sign, url = word.partition("=")
        yield ("", word) if not sign or "://" in name else (name, url)


def parent(connection: psycopg.Connection, vault: Vault, *, method: Method, subject: str) -> tuple[Shelf, Backup]:
    """Return what an increment is made on, and where it lies: the newest backup whose whole line is there and sound.

    Called under the lock of backups, so that it cannot expire meanwhile.

    Raises:
        Refused: there is none on the targets that answer.
    """
    found: list[tuple[Shelf, Backup]] = []
    for shelf in vault.shelves():
        try:
            everything = shelf.inventory().backups.values()
        except Unavailable:
            continue
        family = [backup for backup in everything if (backup.method, backup.subject) == (method, subject)]
        bad = backup_catalog.corrupted(connection, shelf.target.name)
        found += [(shelf, backup) for backup in chains.sound(family, bad)]
    if not found:
        raise Refused(f"there is no sound {method} backup to make an increment on: take a full one first")
    return max(found, key=lambda pair: pair[1].sequence)


@contextmanager
def taking(
    postgres: Postgres,
    vault: Vault,
    request: Request,
    *,
    method: Method,
    extent: Extent,
    subject: str,
    data_bytes: int = 0,
) -> Iterator[tuple[Draft, Shelf]]:
    """Lend the draft of a backup and the target for it; the body writes the parts and the record.

    The body runs alone on this server. When it raises, the catalogue says so and the target is tidied up.

    Raises:
        Unavailable: no target answers or has room, or another backup is under way.
    """
    with (
        postgres.connect(Role.WRITER, work="backup lock", autocommit=True) as connection,
        backup_server.exclusively(connection, patience_s=vault.patience_s),
    ):
        shelves = vault.shelves()
        shelf = backup_shelves.first_reachable(shelves, lambda shelf: _is_fit(connection, shelf, data_bytes))
        draft = _draft(connection, shelves, request, method=method, extent=extent, subject=subject)
        with connection.transaction():
            backup_catalog.begin(connection, draft, run_id=request.run_id)
        try:
            yield draft, shelf
        except Exception as error:
            _give_up(postgres, shelf, draft, str(error) if isinstance(error, MevaError) else type(error).__name__)
            raise
        _enter(postgres, shelf, draft)


def _is_fit(connection: psycopg.Connection, shelf: Shelf, data_bytes: int) -> bool:
    """Whether a target is there and has room for data of a size.

    Raises:
        Unavailable: it is not; says what is missing.
    """
    backup_catalog.demand_mounted(connection, shelf.target)
    finding = preflight.space(data_bytes=data_bytes, free_bytes=shelf.target.free_bytes())
    if not finding.is_met:
        raise Unavailable(f"target {shelf.target.name} has no room: {finding.said}.")
    return True


def _draft(
    connection: psycopg.Connection,
    shelves: Iterable[Shelf],
    request: Request,
    *,
    method: Method,
    extent: Extent,
    subject: str,
) -> Draft:
    now = backup_server.clock(connection)
    sequence = backup_shelves.next_sequence(shelves, known=backup_catalog.highest_sequence(connection))
    return Draft(
        id=records.identifier(at=now, sequence=sequence, mark=secrets.token_hex(4)),
        sequence=sequence,
        method=method,
        extent=extent,
        trigger=request.trigger,
        subject=subject,
        created_at=now,
        description=request.description,
        tags=request.tags,
    )


def _enter(postgres: Postgres, shelf: Shelf, draft: Draft) -> None:
    record = shelf.record(draft.id)
    with postgres.connect(Role.WRITER, work="enter backup") as writer:
        backup_catalog.enter(writer, record, target=shelf.target.name, place=shelf.target.place)


def _give_up(postgres: Postgres, shelf: Shelf, draft: Draft, error: str) -> None:
    """Say in the catalogue that a backup was not taken, and remove what lies of it; what fails here waits.

    A backup whose record was written exists, whatever failed afterwards: the log may already be kept nowhere else.
    """
    with suppress(MevaError, psycopg.Error):
        if backup_shelves.RECORD in shelf.target.names(f"{backup_shelves.ROOT}/{draft.id}"):
            _enter(postgres, shelf, draft)
            return
    with suppress(MevaError, psycopg.Error), postgres.connect(Role.WRITER, work="fail backup") as connection:
        backup_catalog.fail(connection, draft.id, error)
    with suppress(MevaError):
        shelf.remove(draft.id)
