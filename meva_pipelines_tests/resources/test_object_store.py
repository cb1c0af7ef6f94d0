"""The object store on a real file system: objects are immutable, whole or absent, private, and below the root."""

import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources import object_store
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.resources.object_store import ObjectStore

_WRITERS = 8
_SEGMENT = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
_HOSTILE = st.sampled_from(["..", ".", "", "~", "a", "..\\..", "C:", "\0", "%2e%2e", "．．", "a\0b", "/", "..."])
_ROOM = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

_PUT_IN_A_PROCESS = """
import os, resource, signal, sys
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.resources.object_store import ObjectStore
url, limit, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = ObjectStore(url=url)
store.put("warm/up", b"x")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    store.put("raw/page", os.urandom(size))
except MevaError as error:
    print(type(error).__name__, error, end="")
"""


def root_of(store: ObjectStore) -> Path:
    return Path(store.url.removeprefix("file://"))


def files(store: ObjectStore) -> set[str]:
    """Return every file below the root, hidden ones and leftovers included."""
    root = root_of(store)
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def put_in_a_process(store: ObjectStore, *, limit: int, size: int, failpoints: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", _PUT_IN_A_PROCESS, store.url, str(limit), str(size)],
        env={"PYTHONPATH": str(Path(object_store.__file__).parents[2]), "MEVA_FAILPOINTS": failpoints},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


@_ROOM
@given(content=st.binary(max_size=4096))
def test_what_was_put_is_what_is_got(store: ObjectStore, content: bytes) -> None:
    key = f"any/{len(files(store))}.gz"
    assert store.put(key, content) == store.uri(key)
    assert store.get(key) == content


def test_the_same_content_again_is_a_no_op(store: ObjectStore) -> None:
    store.put("raw/page", b"content")
    before = (root_of(store) / "raw/page").stat()
    assert store.put("raw/page", b"content") == store.uri("raw/page")
    after = (root_of(store) / "raw/page").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_other_content_is_refused_and_changes_nothing(store: ObjectStore) -> None:
    store.put("raw/page", b"first")
    for other in (b"second", b"", b"firs", b"first "):
        with pytest.raises(Refused, match="never overwritten"):
            store.put("raw/page", other)
    assert store.get("raw/page") == b"first"
    assert files(store) == {"raw/page"}


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("raw/empty", b"")
    assert store.get("raw/empty") == b""
    with pytest.raises(Refused):
        store.put("raw/empty", b"content")


def test_racing_writers_of_the_same_content_all_succeed(store: ObjectStore) -> None:
    start, content = threading.Barrier(_WRITERS), os.urandom(200_000)

    def write() -> str:
        start.wait(timeout=120)
        return store.put("raw/deep/page", content)

    with ThreadPoolExecutor(_WRITERS) as pool:
        uris = {writer.result(timeout=300) for writer in [pool.submit(write) for _ in range(_WRITERS)]}
    assert uris == {store.uri("raw/deep/page")}
    assert store.get("raw/deep/page") == content
    assert files(store) == {"raw/deep/page"}


def test_of_racing_writers_of_different_content_one_wins_whole(store: ObjectStore) -> None:
    """Threads of one process once shared the partial file, so that one could publish half of another's content."""
    start, contents = threading.Barrier(_WRITERS), [bytes([n]) * 200_000 for n in range(_WRITERS)]

    def write(content: bytes) -> bool:
        start.wait(timeout=120)
        try:
            store.put("raw/page", content)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(_WRITERS) as pool:
        won = [writer.result(timeout=300) for writer in [pool.submit(write, content) for content in contents]]
    assert [content for content, has_won in zip(contents, won, strict=True) if has_won] == [store.get("raw/page")]
    assert files(store) == {"raw/page"}


@_ROOM
@given(key=st.lists(_HOSTILE | _SEGMENT, max_size=5).map("/".join))
def test_a_key_is_refused_or_stays_below_the_root(store: ObjectStore, key: str) -> None:
    outside = root_of(store).parent
    try:
        store.put(key, b"content")
    except MevaError:
        pass
    else:
        assert not set(key.split("/")) & {"", ".", ".."}
        assert store.get(key) == b"content"
    assert [path.name for path in outside.iterdir() if path != root_of(store)] == []


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "a//b", "a/", "./a", "a/./b", "a\0b"]
)
def test_a_key_that_leaves_the_root_or_is_no_name_is_refused_for_reading_and_writing(
    store: ObjectStore, key: str
) -> None:
    with pytest.raises(Refused):
        store.put(key, b"content")
    with pytest.raises(Refused):
        store.get(key)
    assert not root_of(store).exists() or files(store) == set()


@_ROOM
@given(keys=st.lists(_SEGMENT, min_size=2, max_size=2, unique=True))
def test_different_keys_are_different_objects(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    assume(not {".", ".."} & set(keys))
    store = ObjectStore(url=tmp_path_factory.mktemp("store").as_uri())
    for key in keys:
        store.put(key, key.encode())
    assert [store.get(key) for key in keys] == [key.encode() for key in keys]


def test_a_missing_object_is_unavailable_and_named(store: ObjectStore) -> None:
    with pytest.raises(Unavailable, match="raw/none"):
        store.get("raw/none")


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put("raw/page", b"content")
    with pytest.raises(Unavailable):
        store.get("raw")
    with pytest.raises(Unavailable):
        store.put("raw", b"content")
    assert files(store) == {"raw/page"}


def test_an_object_is_invisible_until_it_is_whole(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = ",".join(f"{Point.OBJECT_BEFORE_RENAME.value}:raise@{n}" for n in range(1, 1000))
    with monkeypatch.context() as patched:
        patched.setenv("MEVA_FAILPOINTS", requested)
        with pytest.raises(Injected):
            store.put("raw/page", b"content")
    assert files(store) == set()
    with pytest.raises(Unavailable):
        store.get("raw/page")
    store.put("raw/page", b"content")
    assert store.get("raw/page") == b"content"


def test_a_writer_that_was_killed_leaves_nothing_under_the_name(store: ObjectStore) -> None:
    killed = f"{Point.OBJECT_BEFORE_RENAME.value}:kill@2"
    code, _ = put_in_a_process(store, limit=1_000_000, size=100, failpoints=killed)
    assert code == -signal.SIGKILL
    with pytest.raises(Unavailable):
        store.get("raw/page")
    left = files(store) - {"warm/up"}
    assert all(name.rpartition("/")[2].startswith(".") and name.endswith(".partial") for name in left)
    store.put("raw/page", b"content")
    assert store.get("raw/page") == b"content"


def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(store: ObjectStore) -> None:
    code, said = put_in_a_process(store, limit=16_384, size=100_000)
    assert code == 0
    assert said.startswith("StoreUnavailable cannot write object raw/page: File too large")
    assert files(store) == {"warm/up"}
    with pytest.raises(Unavailable):
        store.get("raw/page")


def test_objects_and_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    root.mkdir(mode=0o755)
    store = ObjectStore(url=root.as_uri())
    previous = os.umask(0)
    try:
        store.put("raw/aed/day/page", b"content")
    finally:
        os.umask(previous)
    for path in root.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_root_is_made_private(store: ObjectStore) -> None:
    store.put("page", b"content")
    assert stat.S_IMODE(root_of(store).stat().st_mode) == 0o700


def test_a_root_with_blanks_and_korean_letters_works(tmp_path: Path) -> None:
    store = ObjectStore(url=(tmp_path / "저장소 100%").as_uri())
    store.put("시도/서울", "내용".encode())
    assert (tmp_path / "저장소 100%" / "시도" / "서울").read_text(encoding="utf-8") == "내용"


def test_an_address_shows_no_credentials_and_no_options() -> None:
    store = ObjectStore(url="s3://AKIAEXAMPLE:geheim@bucket/prefix/?region=ap-northeast-2&secret_key=geheim")
    assert store.uri("raw/page") == "s3://bucket/prefix/raw/page"
    assert "geheim" not in f"{store!r} {store}"


def test_what_nobody_refers_to_is_removed_below_a_prefix_and_nothing_beside_it(store: ObjectStore) -> None:
    for key in ("staged/1/a", "staged/1/b", "staged/10/a"):
        store.put(key, b"x")
    for _ in range(2):
        store.discard("staged/1")
    assert store.get("staged/10/a") == b"x"
    with pytest.raises(Unavailable):
        store.get("staged/1/a")
    with pytest.raises(Refused):
        store.discard("../elsewhere")
