"""Every file of a run is told what became of it; content is kept before it is read, and taken up until it is done."""

import os
import time
from datetime import date
from pathlib import Path

import pytest

from meva_pipelines.resources import landing_ledger, ledger, tensile_desk, tensile_intake
from meva_pipelines.resources.landing import Arrival, Landing
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_desk import FOLDER, SIDECAR, Fate, Sighting
from meva_pipelines.resources.tensile_intake import FILES
from meva_pipelines.schema.roles import Role

LONG_AGO = 1_700_000_000


class Counter:
    """The counter at which files are sorted; each run is an attempt of its own."""

    def __init__(self, postgres: Postgres, store: ObjectStore, home: Path) -> None:
        """Keep the parts; the landing zone is below `home`."""
        self.postgres, self.store = postgres, store
        self.landing = Landing(url=(home / "landing").as_uri(), max_file_mb=1)
        self.folder = Path(self.landing.place(FOLDER))
        self.folder.mkdir(parents=True)

    def drop(self, name: str, content: bytes = b"x", *, at: float = LONG_AGO) -> None:
        """Drop a file that was changed at a moment."""
        (self.folder / name).write_bytes(content)
        os.utime(self.folder / name, (at, at))

    def run(self, *names: str, outcome: str | None = None) -> tuple[Attempt, list[Sighting]]:
        """Sort files and enter them; with an outcome the run also ends well, otherwise it dies."""
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject="meva.tensile_test",
                source="landing",
                mode=Mode.INCREMENTAL,
                day=date(2026, 11, 3),
                dagster_run_id="test",
            )
            sightings = tensile_desk.sort(connection, attempt, self.landing, self.store, names)
            tensile_desk.enter(connection, attempt, sightings)
            manifests = [sighting.upload.manifest for sighting in sightings if sighting.upload]
            if outcome:
                landing_ledger.finish(connection, manifests, files=FILES, outcome=outcome, token=attempt.token)
                ledger.record(
                    connection, attempt.token, status=ledger.Status.PUBLISHED, finished_at=ledger.now(connection)
                )
        return attempt, sightings

    def fates(self, *names: str, outcome: str | None = None) -> list[tuple[str, Fate]]:
        """Sort files and return what became of each."""
        return [(sighting.name, sighting.fate) for sighting in self.run(*names, outcome=outcome)[1]]


@pytest.fixture
def counter(postgres: Postgres, store: ObjectStore, tmp_path: Path) -> Counter:
    return Counter(postgres, store, tmp_path)


def test_a_file_is_kept_byte_for_byte_with_its_sidecar(counter: Counter) -> None:
    counter.drop("a.csv", b"time,load")
    counter.drop(f"a.csv{SIDECAR}", b"test: A-1", at=LONG_AGO + 60)
    _, (seen,) = counter.run("a.csv", f"a.csv{SIDECAR}")
    assert seen.upload is not None
    assert (seen.fate, seen.told, len(seen.arrivals)) == (Fate.TAKEN, "with a sidecar", 2)
    upload, original = tensile_intake.found(counter.store, seen.upload.manifest)
    assert (original.content, original.sidecar) == (b"time,load", b"test: A-1")
    assert upload.modified_at.timestamp() == LONG_AGO + 60


def test_the_same_content_twice_in_a_run_is_taken_once(counter: Counter) -> None:
    counter.drop("a.csv", b"same")
    counter.drop("b.csv", b"same")
    assert counter.fates("a.csv", "b.csv") == [("a.csv", Fate.TAKEN), ("b.csv", Fate.TWICE)]


def test_what_was_published_is_not_taken_again_whatever_its_name(counter: Counter) -> None:
    counter.drop("a.csv", b"same")
    token = counter.run("a.csv", outcome="published")[0].token
    counter.drop("other.csv", b"same")
    _, (seen,) = counter.run("other.csv")
    assert (seen.fate, seen.told) == (Fate.PUBLISHED_BEFORE, f"the same content was published by attempt {token}")


def test_what_was_rejected_may_be_tried_again(counter: Counter) -> None:
    counter.drop("a.csv")
    assert counter.fates("a.csv", outcome="rejected") == [("a.csv", Fate.TAKEN)]
    assert counter.fates("a.csv") == [("a.csv", Fate.TAKEN)]


def test_an_upload_of_a_run_that_died_is_taken_up_first_and_once(counter: Counter) -> None:
    counter.drop("dead.csv", b"dead")
    assert counter.fates("dead.csv") == [("dead.csv", Fate.TAKEN)]
    counter.drop("a.csv", b"new")
    assert counter.fates("a.csv", "dead.csv", outcome="published") == [
        ("dead.csv", Fate.RESUMED),
        ("a.csv", Fate.TAKEN),
        ("dead.csv", Fate.TWICE),
    ]
    assert counter.fates("gone.csv") == [("gone.csv", Fate.GONE)]


def test_a_file_that_breaks_a_limit_is_refused_and_the_others_go_on(counter: Counter) -> None:
    counter.drop("huge.csv", b"x" * 1_000_001)
    counter.drop("a.csv")
    _, (huge, good) = counter.run("huge.csv", "a.csv")
    assert (huge.fate, huge.upload) == (Fate.REFUSED, None)
    assert "at most 1 MB are read" in huge.told
    assert good.fate is Fate.TAKEN


def test_a_sidecar_for_a_file_that_nobody_took_is_refused(counter: Counter) -> None:
    counter.drop(f"a.csv{SIDECAR}", b"test: A-1")
    _, (seen,) = counter.run(f"a.csv{SIDECAR}")
    assert (seen.name, seen.fate) == ("a.csv", Fate.REFUSED)
    assert seen.told == "a sidecar for a.csv, and no file of that name was taken"


def test_files_are_moved_out_of_the_way_with_the_reason_of_those_refused(counter: Counter) -> None:
    for name, content in (
        ("good.csv", b"g"),
        ("bad.csv", b"b"),
        (f"bad.csv{SIDECAR}", b"s"),
        ("big.csv", b"x" * 10**6),
    ):
        counter.drop(name, content)
    counter.drop("huge.csv", b"x" * 1_000_001)
    attempt, sightings = counter.run("good.csv", "bad.csv", "huge.csv")
    (bad,) = (s.upload.content_id for s in sightings if s.name == "bad.csv" and s.upload)
    tensile_desk.clear(counter.landing, attempt, sightings, {bad: "no unit of force"})
    assert {path.name for path in counter.folder.iterdir() if path.is_file()} == {"big.csv"}
    refused = {path.name: path.read_text(encoding="utf-8") for path in (counter.folder / "refused").glob("*.txt")}
    assert refused[f"{attempt.token} bad.csv.reason.txt"] == "no unit of force\n"
    assert refused[f"{attempt.token} bad.csv{SIDECAR}.reason.txt"] == "no unit of force\n"
    assert "MB are read" in refused[f"{attempt.token} huge.csv.reason.txt"]
    assert [path.name.partition(" ")[2] for path in (counter.folder / "taken").iterdir()] == ["good.csv"]


def test_a_file_and_its_sidecar_are_ready_together(counter: Counter) -> None:
    """A sidecar that was still being written was read half, or moved away from under its writer."""
    counter.drop("a.csv")
    counter.drop(f"a.csv{SIDECAR}", at=time.time())
    counter.drop(f"b.csv{SIDECAR}")
    counter.drop("b.csv", at=time.time())
    counter.drop("c.csv")

    def ready() -> tuple[Arrival, ...]:
        return tensile_desk.ready(counter.landing.arrived(FOLDER))

    assert [arrival.name for arrival in ready()] == ["c.csv"]
    os.utime(counter.folder / f"a.csv{SIDECAR}", (LONG_AGO, LONG_AGO))
    assert [arrival.name for arrival in ready()] == ["a.csv", f"a.csv{SIDECAR}", "c.csv"]


def test_a_replay_takes_up_what_waits_because_of_one_rule(counter: Counter) -> None:
    counter.drop("a.csv", b"a")
    counter.drop("b.csv", b"b")
    attempt, sightings = counter.run("a.csv", "b.csv", outcome="rejected")
    with counter.postgres.connect(Role.WRITER, work="test") as connection:
        for sighting, rule in zip(sightings, ("unit_is_known", "time_increases"), strict=True):
            assert sighting.upload is not None
            connection.execute(
                "INSERT INTO meva.quarantine (content_id, file_name, specimen, rule, reason, original, first_token,"
                " last_token) VALUES (%s, %s, '', %s, '', %s, %s, %s)",
                [
                    sighting.upload.content_id,
                    sighting.name,
                    rule,
                    sighting.upload.original,
                    attempt.token,
                    attempt.token,
                ],
            )
        assert tensile_desk.replay(connection, attempt, rule="no_such_rule") == 0
        assert tensile_desk.replay(connection, attempt, rule="unit_is_known") == 1
    assert counter.fates() == [("a.csv", Fate.RESUMED)]
