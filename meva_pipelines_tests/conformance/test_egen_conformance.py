"""Decoder and contract of the open API against a live answer and the samples of the official guide."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from meva_pipelines.domain import egen, egen_verdicts
from meva_pipelines.domain.egen_verdicts import Kind
from meva_pipelines.domain.transforms import TRANSFORMS
from meva_pipelines.resources import reference

pytestmark = pytest.mark.conformance

API = reference.contract("data_go_kr")
BESIDE_THE_PROJECT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("MEVA_REFERENCE_DATA") or BESIDE_THE_PROJECT) / "aed_api_live"
LIVE = "getEgytAedManageInfoInqire_live_20260516.xml"
PAGES = {
    LIVE: (5, 5, 486),
    "official_sample_getAedFullDown.xml": (1, 1, 3941),
    "official_sample_getAedLcinfoInqire.xml": (1, 1, 3941),
    "official_sample_getEgytAedManageInfoInqire.xml": (1, 1, 60),
}


@pytest.mark.parametrize("name", PAGES)
def test_an_independent_parser_reads_the_same_rows(name: str) -> None:
    body = (FOLDER / name).read_bytes()
    expected = [{cell.tag: cell.text for cell in item} for item in ET.fromstring(body).iter("item")]  # noqa: S314 - our own samples

    answer, look = egen.decode(body, API), egen.envelope(body, API.shape)

    assert list(answer.items) == expected
    assert (look.rows, look.size, look.total, look.page) == (*PAGES[name], 1)
    assert (answer.page, answer.size, answer.total) == (look.page, look.size, look.total)


@pytest.mark.parametrize("name", PAGES)
def test_the_contract_knows_every_field_and_misses_none(name: str) -> None:
    for item in egen.decode((FOLDER / name).read_bytes(), API).items:
        assert API.unknown(item) == ()
        assert API.missing(item) == ()
        assert all(len(str(item[field])) == width for field, width in API.widths.items() if field in item)


def test_the_live_answer_is_judged_good_by_its_own_headers() -> None:
    headers = (FOLDER / LIVE.replace(".xml", ".headers.txt")).read_text()
    media_type = re.search(r"Content-Type: (\S+)", headers)

    assert media_type is not None
    found = egen_verdicts.appraise(
        status=200, media_type=media_type[1], body=(FOLDER / LIVE).read_bytes(), shape=API.shape
    )
    assert found.kind is Kind.OK


def test_derived_columns_of_the_live_answer() -> None:
    derived = {field.column: field for field in API.fields if field.inputs}
    read: dict[str, list[str | None]] = {column: [] for column in derived}
    for item in egen.decode((FOLDER / LIVE).read_bytes(), API).items:
        for column, field in derived.items():
            values = {name: None if item.get(name) is None else str(item[name]) for name in field.reads}
            read[column].append(TRANSFORMS[field.transform or ""](values))

    assert read["postal_code"] == ["03155", "03004", "03028", "03048", "03045"]
    assert read["access_control"] == [
        "24시간 연중무휴",
        "월-금 09:00-17:30",
        "월-금 08:00-18:00",
        "월-토·공휴일 09:00-18:00, 일 24시간",
        "월-일·공휴일 09:00-18:00",
    ]
