"""A database brought back: bases laid one over the other, the log beside them, a server that recovers to a moment.

Everything is taken from one target, and nothing but new folders is written. Bringing the result into a live server
is `backup_return`.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from meva_pipelines.domain.backup import chains, preflight
from meva_pipelines.domain.backup.chains import Route
from meva_pipelines.domain.backup.members import Limits
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.resources import backup_programs, backup_scratch, backup_wal, failpoints
from meva_pipelines.resources.backup_extraction import extract, write_new
from meva_pipelines.resources.backup_physical import BASE
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_scratch import Scratch
from meva_pipelines.resources.backup_shelves import Inventory, Shelf
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres_binaries import Account
from meva_pipelines.resources.postgres_cluster import sync_folder

_TOOL_TIMEOUT_S = 3_600.0
_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What to come back to: a moment, a restore point, the end of a backup, or (nothing said) as late as can be.

    `without` names backups that must not be used, because they are known to be bad.
    """

    at: datetime | None = None
    restore_point: str | None = None
    backup_id: str | None = None
    without: tuple[str, ...] = ()


def moment(text: str) -> datetime | None:
    """Return a moment that a person wrote, None for nothing.

    Raises:
        Refused: it is no moment, or has no offset from UTC.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text[:40]!r} is no moment; write it 2026-11-19T14:59:59+09:00") from None
    if found.tzinfo is None:
        raise Refused("the moment has no offset from UTC; write it 2026-11-19T14:59:59+09:00")
    return found


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored copy that answers. `reached` is the moment that it stands at; seconds from nothing to an answer."""

    scratch: Scratch
    programs: Programs
    route: Route
    reached: datetime
    seconds: float


def plan(shelf: Shelf, goal: Goal, *, system_id: str = "") -> Route:
    """Return what has to be taken from a target, and how far its log carries. Writes nothing.

    Raises:
        Refused: it cannot be reached; says what can.
        Unavailable: the target does not answer.
    """
    inventory = shelf.inventory()
    found = [
        backup
        for backup in inventory.backups.values()
        if backup.method in {Method.PHYSICAL, Method.WAL} and system_id in {"", backup.subject}
    ]
    segments = {backup.id: backup_wal.segments(backup) for backup in found if backup.method is Method.WAL}
    named = _named(found, goal)
    servers = sorted({backup.subject for backup in found})
    if len(servers) > 1 and named is None:
        raise Refused(f"the target holds backups of several servers, say which: {', '.join(servers)}")
    if goal.backup_id is not None and named is not None:
        return Route(chains.lineage(found, named), (), named.covers_until)
    try:
        return chains.route(found, segments, until=goal.at, within=named, without=goal.without)
    except Refused as error:
        raise Refused(f"target {shelf.target.name} at {shelf.target.place}: {error}{_told(inventory)}") from None


def _told(inventory: Inventory) -> str:
    """Return what else there is to say of a target from which nothing can be restored."""
    if inventory.unreadable:
        return f". {len(inventory.unreadable)} records there cannot be read: {', '.join(inventory.unreadable[:5])}"
    return "" if inventory.backups else ". It holds no backup at all: is its disk mounted, and the address right?"


@contextmanager
def restored(vault: Vault, shelf: Shelf, goal: Goal, *, system_id: str = "") -> Iterator[Restored]:
    """Lend a server on a restored copy; it is ended and removed afterwards.

    Raises:
        Refused: the goal cannot be reached.
        Unusable: something on the target is not what was written.
        Unavailable: the target does not answer, or the copy does not start.
    """
    started = perf_counter()
    route = plan(shelf, goal, system_id=system_id)
    programs = _programs(route)
    with backup_scratch.scratch(vault, programs) as place:
        _demand_room(route, place.folder)
        with _with_another_way():
            lay(shelf, route, place.folder, account=place.account, programs=programs)
        failpoints.reach(Point.BACKUP_RESTORE_EXTRACTED)
        place.start(programs, recovery(goal, route))
        reached = goal.at or route.covers_until
        yield Restored(place, programs, route, reached, perf_counter() - started)


def into_folder(shelf: Shelf, goal: Goal, folder: Path, *, system_id: str = "") -> Route:
    """Lay a server that recovers to a goal when it is started into a new folder, and return what it was made of.

    Its own configuration is kept; nothing but the recovery is added. Who starts it is the caller's business. The
    folder appears when everything is in it.

    Raises:
        Refused: the goal cannot be reached, or the folder is there.
        Unusable: something on the target is not what was written.
        Unavailable: the target does not answer, or the disk is full.
    """
    route = plan(shelf, goal, system_id=system_id)
    programs = _programs(route)
    if folder.exists() or folder.is_symlink():
        raise Refused(f"{folder} is there: name a new folder")
    draft = folder.with_name(f".{folder.name}.restoring-{secrets.token_hex(4)}")
    try:
        for made in (draft, draft / "data", draft / "wal"):
            made.mkdir(mode=0o700, parents=True)
        _demand_room(route, draft)
        with _with_another_way():
            lay(shelf, route, draft, account=Account.caller(), programs=programs)
        _prepare(draft / "data", recovery(goal, route))
        os.sync()
        draft.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return route


@contextmanager
def _with_another_way() -> Iterator[None]:
    """Let what is wrong with a backup say how to come by it."""
    try:
        yield
    except Unusable as error:
        error.args = (f"{error}. Another way: restore from another target, or `without` this backup",)
        raise


def _prepare(data: Path, settings: Mapping[str, str]) -> None:
    """Let a server that is started on this folder recover first."""
    lines = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.writelines(lines)
    (data / "recovery.signal").touch(mode=0o600)


def _demand_room(route: Route, folder: Path) -> None:
    """Refuse to fill the disk, on which a live server may lie as well.

    Raises:
        Unavailable: there is no room; says how much is wanted.
    """
    size = sum(backup.file_size for backup in (*route.bases, *route.log))
    finding = preflight.space(data_bytes=size, free_bytes=shutil.disk_usage(folder).free)
    if not finding.is_met:
        raise Unavailable(f"there is no room for the restored copy in {folder.parent}: {finding.said}")


def lay(shelf: Shelf, route: Route, folder: Path, *, account: Account, programs: Programs) -> None:
    """Lay a verified cluster into `folder/data` and the log for it into `folder/wal`.

    Both exist and are empty. What was laid is compared with the manifest that the server wrote.
    """
    data = folder / "data"
    if len(route.bases) == 1:
        _extract(shelf, route.bases[0], data, account)
    else:
        layers = []
        for number, base in enumerate(route.bases):
            layer = folder / f"layer-{number}"
            layer.mkdir(mode=0o700)
            _extract(shelf, base, layer, account)
            layers.append(layer)
        data.rmdir()
        words = ["--no-sync", *(["--link"] if programs.major >= 18 else []), f"--output={data}"]
        programs.run("pg_combinebackup", *words, *map(str, layers), address={}, timeout_s=_TOOL_TIMEOUT_S)
        for layer in layers:
            shutil.rmtree(layer)
        for path in (data, *data.rglob("*")):
            account.take(path)
    programs.run("pg_verifybackup", "--no-parse-wal", "--quiet", str(data), address={}, timeout_s=_TOOL_TIMEOUT_S)
    for backup in route.log:
        for part in backup.parts:
            path = folder / "wal" / part.name
            path.unlink(missing_ok=True)  # a segment that two runs fetched is the same segment
            with shelf.open(backup, part.name) as content:
                write_new(path, content, mode=0o600, owner=account)


def recovery(goal: Goal, route: Route) -> dict[str, str]:
    """Return the settings with which a server recovers to a goal and then opens for writing."""
    settings = {"restore_command": 'cp "../wal/%f" "%p"', "recovery_target_action": "promote"}
    if goal.backup_id is not None or not route.log:
        return {**settings, "recovery_target": "immediate"}
    if goal.restore_point is not None:
        return {**settings, "recovery_target_name": goal.restore_point}
    if goal.at is not None:
        return {**settings, "recovery_target_time": goal.at.astimezone(UTC).isoformat(sep=" ")}
    return settings


def _extract(shelf: Shelf, base: Backup, folder: Path, account: Account) -> None:
    with shelf.open(base, BASE) as stream:
        extract(stream, folder, account=account, limits=_LIMITS)


def _named(found: list[Backup], goal: Goal) -> Backup | None:
    name = goal.backup_id or goal.restore_point
    if name is None:
        return None
    for backup in found:
        if backup.method is Method.PHYSICAL and name in {backup.id, backup.restore_point}:
            return backup
    raise Refused(f"the target holds no physical backup {name[:80]}")


def _programs(route: Route) -> Programs:
    server = route.bases[-1].server
    if server is None:
        raise Refused("the backup does not say of which server it is")
    programs = backup_programs.of_server(server.version)
    if programs.major != server.version // 10_000:
        raise Refused(
            f"a copy of PostgreSQL {server.version // 10_000} needs its programs, and only those of {programs.major} "
            "are here"
        )
    return programs
