"""Every alert has its page, every page its alert, and what a page tells people to type exists."""

import re
from pathlib import Path

import pytest

from meva_pipelines import definitions
from meva_pipelines.domain import alarms, alert_messages
from meva_pipelines.domain.alarms import Alarm
from meva_pipelines.domain.alerts import Kind
from meva_pipelines.domain.digests import Concern
from meva_pipelines.schema import ops

PROJECT = Path(__file__).parent.parent
ALERTS: list[Kind | Concern | Alarm] = [*Kind, *Concern, *Alarm]
PAGES = sorted((PROJECT / "docs" / "runbook").glob("*.md"))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_alerts_and_pages_are_in_step() -> None:
    assert [page.stem for page in PAGES] == sorted(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_path_in_a_message_leads_to_its_page(alert: Kind | Concern | Alarm) -> None:
    page = alarms.page(alert) if isinstance(alert, Alarm) else alert_messages.page(alert)
    assert (PROJECT / page).is_file()


@every_page
def test_a_page_says_what_it_means_what_to_do_and_how_to_verify(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What it means", "What to do", "How to verify"]
    kind = "critical, at once" if page.stem in {*Kind, *Alarm} else "warning, in the daily digest"
    assert f"`{page.stem}` · {kind}" in text


@every_page
def test_a_page_names_only_what_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    location = definitions.defs()
    jobs = {job.name for job in location.resolve_all_job_defs()}
    named = {word for word in re.findall(r"`(aed_[a-z_]+)`", text) if word.endswith("_sync")}
    assert named <= jobs
    assets = {spec.key.to_user_string() for spec in location.resolve_all_asset_specs()}
    assert set(re.findall(r"`([a-z]+/[a-z_]+)`", text)) <= assets
    assert set(re.findall(r"`(\w+_at)`", text)) <= {*ops.SYNC_RUNS.columns.keys(), "released_at"}
    assert all((page.parent / link).is_file() for link in re.findall(r"\]\(([a-z_]+\.md)\)", text))
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets
