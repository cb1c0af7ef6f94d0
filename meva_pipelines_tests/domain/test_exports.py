"""Headers of export files are found, matched through their spellings, and refused with candidates."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain import contract as contracts
from meva_pipelines.domain import exports
from meva_pipelines.domain.contract import TableContract
from meva_pipelines.domain.failures import Rejected, Unavailable
from meva_pipelines.resources import reference
from meva_pipelines.sandbox.exports import HEADERS
from meva_pipelines.schema.aed import SOURCED_COLUMNS

SMALL = contracts.parse_table(
    {
        "name": "small",
        "version": 1,
        "key": "장비연번",
        "key_length": 50,
        "answer": {"wire": "table"},
        "fields": [
            {"source": "장비연번", "column": "equipment_serial", "type": "text", "required": True, "meaning": "Key"},
            {"source": "시_도", "column": "sido", "type": "text", "required": True, "meaning": "Where"},
            {
                "source": "제조일자",
                "alternates": ["제조일"],
                "column": "manufacturing_date",
                "type": "date",
                "meaning": "When",
            },
        ],
        "ignored": ["순번"],
    }
)
EXPORT = reference.table("nemc_export")


def test_the_contract_of_the_export_names_the_headers_that_the_portal_writes() -> None:
    assert {field.source: field.column for field in EXPORT.fields} == dict(HEADERS)
    assert {field.column for field in EXPORT.fields} == set(SOURCED_COLUMNS) - {
        "access_control",
        "postal_code",
        "source_modified_at",
    }
    assert (EXPORT.key, EXPORT.modified) == ("장비연번", None)


@pytest.mark.parametrize(
    ("alternate", "column"),
    [
        ("제조일", "manufacturing_date"),
        ("개설자", "establisher"),
        ("구매기관", "purchase_institution"),
        ("운영상태", "operation_status"),
        ("국고지원여부", "government_support"),
        ("교체_예정일", "replacement_date"),
        ("새올_삭제여부", "saeum_deletion_status"),
    ],
)
def test_an_alternate_feeds_the_same_column(alternate: str, column: str) -> None:
    field = next(field for field in EXPORT.fields if field.column == column)
    headers = [alternate if name == field.source else name for name in HEADERS]
    _, header = exports.find_header([headers], EXPORT)
    assert next(fed for fed in header.fed if fed.column == column).written == alternate
    assert header.missing == ()


@pytest.mark.parametrize(
    "written", ["시_도", "시도", "시 / 도", "시.도\n", "\ufeff시_도", unicodedata.normalize("NFD", "시_도")]
)
def test_punctuation_white_space_and_composition_do_not_count(written: str) -> None:
    _, header = exports.find_header([["장비 연번", written]], SMALL)
    assert header.fields == ("장비연번", "시_도")


def test_titles_above_the_header_are_passed_over() -> None:
    rows: list[list[str | None]] = [
        ["AED 등록현황", None, None],
        ["2026-11-20", None, None],
        ["순번", "장비연번", "시_도"],
        ["1", "12-1", "서울"],
    ]
    position, header = exports.find_header(rows, SMALL)
    assert position == 2
    assert header.values(rows[3]) == ["12-1", "서울"]
    assert (header.unknown, header.missing) == ((), ("제조일자",))


def test_unknown_headers_are_shown_and_short_rows_end_in_nothing() -> None:
    _, header = exports.find_header([["색깔", "장비연번", "시_도", "제조일"]], SMALL)
    assert header.unknown == ("색깔",)
    assert header.values(["빨강", "12-1"]) == ["12-1", None, None]


def test_two_columns_that_claim_one_field_are_named() -> None:
    with pytest.raises(Rejected, match=r"ambiguous.*제조일자: 제조일자, 제조일"):
        exports.find_header([["장비연번", "시_도", "제조일자", "제조일"]], SMALL)


def test_a_missing_key_names_its_candidates() -> None:
    with pytest.raises(Rejected, match=r"headed 장비연번 \(candidates in the file: 장비 번호\); .* row 2 with 2 of 3"):
        exports.find_header([["AED"], ["장비 번호", "시도", "제조일"]], SMALL)


def test_a_missing_required_column_names_its_candidates() -> None:
    with pytest.raises(Rejected, match=r"required columns are missing: 시_도 \(candidates in the file: 시도명\)"):
        exports.find_header([["장비연번", "시도명"]], SMALL)


def test_a_table_without_a_header_is_refused_without_quoting_its_cells() -> None:
    with pytest.raises(Rejected) as refused:
        exports.find_header([["12-0000001", "김철수", "010-0000-1234"]], SMALL)
    assert not any(word in str(refused.value) for word in ("김철수", "010-0000-1234", "12-0000001"))
    with pytest.raises(Rejected, match="table is empty"):
        exports.find_header([], SMALL)


def test_a_spelling_that_stands_for_two_fields_is_a_wrong_contract() -> None:
    clashing = tuple(replace(field, alternates=("장비_연번",)) for field in SMALL.fields)
    with pytest.raises(ValueError, match="stands for two fields"):
        exports.vocabulary(replace(SMALL, fields=clashing))
    with pytest.raises(ValueError, match="is used and ignored"):
        exports.vocabulary(replace(SMALL, ignored=("시 도",)))


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"answer": {"wire": "csv"}}, "contract.answer.wire: table"),
        ({"answer": {"wire": "table", "items": "rows"}}, "unknown entries items"),
        ({"endpoint": {}}, "unknown entries endpoint"),
        ({"fields": []}, "contract.fields"),
    ],
)
def test_a_wrong_entry_of_a_table_contract_is_named(entries: dict[str, object], named: str) -> None:
    values: dict[str, object] = {
        "name": "small",
        "version": 1,
        "key": "a",
        "key_length": 5,
        "answer": {"wire": "table"},
        "fields": [{"source": "a", "column": "sido", "type": "text", "meaning": "A"}],
    }
    with pytest.raises(ValueError, match=named):
        contracts.parse_table(values | entries)


CELL = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=20))
def test_a_page_gives_back_what_was_put_in(rows: list[list[str | None]]) -> None:
    header = header_of(SMALL)
    records = exports.decode_page(exports.encode_page(header, rows))
    assert [list(record.values()) for record in records] == rows
    assert all(tuple(record) == header.fields for record in records)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(Rejected, match="lone surrogate"):
        exports.encode_page(header_of(SMALL), [["\ud800", None, None]])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"fields":["a"],"rows":[[1,2]]}', b'{"fields":1,"rows":[[1]]}'])
def test_a_page_that_is_not_ours_is_not_read(body: bytes) -> None:
    with pytest.raises(Unavailable):
        exports.decode_page(body)


def header_of(contract: TableContract) -> exports.Header:
    return exports.find_header([[field.source for field in contract.fields]], contract)[1]
