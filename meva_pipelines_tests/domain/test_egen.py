"""Answers of the registry are decoded exactly or refused; nothing malformed becomes an empty set."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meva_pipelines.domain import egen
from meva_pipelines.domain.failures import Incomplete, Unavailable
from meva_pipelines.resources import reference

OPEN_API = reference.contract("data_go_kr")
FEED = reference.contract("egen")

ITEM = (
    "<item><buildAddress>종로3길 17, D타워 &lt;10층&gt;</buildAddress><org>지멘스(주)</org><rnum>1</rnum>"
    "<serialSeq>031-150316-007123</serialSeq><wgs84Lat>37.389140527799974</wgs84Lat>"
    "<zipcode1>031</zipcode1><zipcode2>05</zipcode2></item>"
)
FIELDS = {
    "buildAddress": "종로3길 17, D타워 <10층>",
    "org": "지멘스(주)",
    "rnum": "1",
    "serialSeq": "031-150316-007123",
    "wgs84Lat": "37.389140527799974",
    "zipcode1": "031",
    "zipcode2": "05",
}


def xml(items: str = ITEM, *, page: str = "2", size: str = "10", total: str = "11", extra: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><header><resultCode>00</resultCode>'
        f"<resultMsg>NORMAL SERVICE.</resultMsg></header><body><items>{items}</items>"
        f"<numOfRows>{size}</numOfRows><pageNo>{page}</pageNo><totalCount>{total}</totalCount>{extra}</body></response>"
    ).encode()


def gateway_json(items: object) -> bytes:
    body = {"items": items, "numOfRows": 10, "pageNo": 1, "totalCount": 3}
    return orjson.dumps({"response": {"header": {"resultCode": "00"}, "body": body}})


def feed(items: object, **changes: object) -> bytes:
    answer = {"page": 1, "size": 1000, "total": 1, "as_of": "2026-11-19T04:00:00+09:00", "items": items}
    return orjson.dumps(answer | changes)


def test_an_xml_page_is_decoded_with_its_envelope() -> None:
    answer = egen.decode(xml(ITEM * 2), OPEN_API)

    assert (answer.page, answer.size, answer.total, answer.notes) == (2, 10, 11, ())
    assert list(answer.items) == [FIELDS, FIELDS]


def test_the_cheap_look_agrees_with_the_decoding() -> None:
    for body in (xml(), xml(""), xml(ITEM * 3), xml("\n" + ITEM + "\n")):
        look, answer = egen.envelope(body, OPEN_API.shape), egen.decode(body, OPEN_API)
        assert (look.page, look.size, look.total, look.rows) == (
            answer.page,
            answer.size,
            answer.total,
            len(answer.items),
        )


def test_null_fields_are_absent_or_none() -> None:
    answer = egen.decode(xml("<item><org/><model></model><mfg>x</mfg></item>"), OPEN_API)

    assert list(answer.items) == [{"org": None, "model": None, "mfg": "x"}]


def test_a_byte_order_mark_is_tolerated_and_reported() -> None:
    body = b"\xef\xbb\xbf" + xml()

    assert egen.envelope(body, OPEN_API.shape).notes == (egen.BOM_NOTE,)
    assert list(egen.decode(body, OPEN_API).items) == [FIELDS]
    assert egen.decode(b"\xef\xbb\xbf" + feed([]), FEED).notes == (egen.BOM_NOTE,)


def test_an_unknown_field_that_holds_elements_keeps_its_text() -> None:
    answer = egen.decode(xml("<item><org>a</org><geo><x>1</x><y>2</y></geo></item>"), OPEN_API)

    assert list(answer.items) == [{"org": "a", "geo": "12"}]
    assert answer.notes


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (xml()[:-20], "cut off|not well-formed"),
        (xml(ITEM[:-7]), "opens 1 items and closes 0|not well-formed"),
        (xml().replace(b"response>", b"answer>"), "root element"),
        (xml().decode().encode("cp949"), "CP949"),
        (xml().decode().encode("utf-16"), "no known encoding|CP949"),
        (b"", "root element|not well-formed"),
        (b"<html><body>login</body></html>", "root element"),
    ],
)
def test_a_body_that_is_not_whole_is_unavailable(body: bytes, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        egen.envelope(body, OPEN_API.shape)
    with pytest.raises(Unavailable, match=message):
        egen.decode(body, OPEN_API)


@pytest.mark.parametrize(
    "body",
    [
        xml(page=""),
        xml(total="many"),
        xml(size="-1"),
        xml().replace(b"<totalCount>11</totalCount>", b""),
    ],
)
def test_an_answer_without_its_numbers_is_incomplete(body: bytes) -> None:
    with pytest.raises(Incomplete, match="does not say its"):
        egen.envelope(body, OPEN_API.shape)
    with pytest.raises(Incomplete, match="does not say its"):
        egen.decode(body, OPEN_API)


def test_entities_and_document_types_are_refused() -> None:
    bomb = b'<!DOCTYPE response [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    declared = xml().replace(b"<response>", bomb + b"<response>", 1).replace(b"<org>", b"<org>&b;")

    with pytest.raises(Unavailable, match="document type"):
        egen.decode(declared, OPEN_API)


def test_a_field_of_many_megabytes_is_refused() -> None:
    with pytest.raises(Unavailable, match="too large"):
        egen.decode(xml(f"<item><org>{'x' * 11_000_000}</org></item>"), OPEN_API)


@pytest.mark.parametrize(
    ("items", "rows"),
    [
        ("", []),
        ({}, []),
        ({"item": {"serialSeq": "a"}}, [{"serialSeq": "a"}]),
        ({"item": [{"serialSeq": "a"}, {"serialSeq": "b"}]}, [{"serialSeq": "a"}, {"serialSeq": "b"}]),
    ],
)
def test_json_of_the_gateway_comes_in_three_shapes(items: object, rows: list[dict[str, str]]) -> None:
    answer = egen.decode_json(gateway_json(items), OPEN_API)

    assert (list(answer.items), answer.page, answer.size, answer.total) == (rows, 1, 10, 3)


def test_numbers_made_by_the_gateway_become_text_with_their_leading_zeros() -> None:
    coerced = {
        "zipcode1": 43,
        "zipcode2": 5,
        "monSttTme": "0900",
        "monEndTme": 1800,
        "holSttTme": 0,
        "clerkTel": 1012345678,
        "wgs84Lat": 37.5709958592,
        "mfg": 119,
        "model": None,
    }

    [row] = egen.decode_json(gateway_json({"item": coerced}), OPEN_API).items

    assert row == {
        "zipcode1": "043",
        "zipcode2": "05",
        "monSttTme": "0900",
        "monEndTme": "1800",
        "holSttTme": "0000",
        "clerkTel": "1012345678",
        "wgs84Lat": "37.5709958592",
        "mfg": "119",
        "model": None,
    }


def test_the_json_feed_keeps_its_scalars_and_its_time() -> None:
    row = {"equipment_serial": "12-0000397", "latitude": 37.5, "manager": None, "last_use_date": 3}

    answer = egen.decode(feed([row]), FEED)

    assert list(answer.items) == [row]
    assert answer.as_of is not None
    assert answer.as_of.isoformat() == "2026-11-19T04:00:00+09:00"
    assert egen.envelope(feed([row]), FEED.shape).rows == 1


@pytest.mark.parametrize("as_of", [None, "yesterday", "2026-11-19T04:00:00", 5])
def test_a_source_time_without_zone_is_no_time(as_of: object) -> None:
    assert egen.decode(feed([], as_of=as_of), FEED).as_of is None


def test_a_nested_value_of_the_feed_becomes_json_text() -> None:
    answer = egen.decode(feed([{"equipment_serial": "{[", "geo": {"x": [1]}}]), FEED)

    assert list(answer.items) == [{"equipment_serial": "{[", "geo": '{"x":[1]}'}]
    assert answer.notes
    assert egen.decode(feed([{"equipment_serial": "{["}]), FEED).notes == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (feed([])[:-1], "not strict JSON"),
        (b'{"page": 1, "size": 1, "total": 1, "items": [{"latitude": NaN}]}', "not strict JSON"),
        (b'{"page": 1, "size": 1, "total": 1, "items": [{"latitude": Infinity}]}', "not strict JSON"),
        (b'{"page": 1, "size": 1, "total": 1, "items": [{"latitude": 1e999}]}', "not strict JSON"),
        (b"[]", "not an object"),
        (b'{"page": 1, "size": 1, "total": 0}', "has no items"),
        (feed(None), "has no items"),
        (feed(["text"]), "no objects"),
        (feed([], total=None), "does not say its total"),
        (feed([], page=True), "does not say its page"),
        (feed([], size=1.5), "does not say its size"),
        (feed([{"sido": "서울"}]).decode().encode("cp949"), "CP949"),
    ],
)
def test_a_json_body_that_is_not_right_is_unavailable(body: bytes, message: str) -> None:
    for read in (lambda: egen.decode(body, FEED), lambda: egen.envelope(body, FEED.shape)):
        with pytest.raises(Unavailable, match=message):
            read()


def test_a_huge_integer_does_not_break_a_page() -> None:
    body = feed([{"management_number": "big"}]).replace(b'"big"', b"1" + b"0" * 30)

    [row] = egen.decode(body, FEED).items

    assert row["management_number"] == pytest.approx(1e30)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(str.strip)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"serialSeq": TEXT}, optional={"org": TEXT, "model": TEXT}), max_size=5))
def test_whatever_text_is_sent_comes_back(rows: list[dict[str, str]]) -> None:
    items = "".join(
        "<item>" + "".join(f"<{name}>{escaped(text)}</{name}>" for name, text in row.items()) + "</item>"
        for row in rows
    )

    assert list(egen.decode(xml(items), OPEN_API).items) == rows
    assert list(egen.decode_json(gateway_json({"item": rows}), OPEN_API).items) == rows


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 400))
def test_no_prefix_of_a_page_passes_for_a_page(cut: int) -> None:
    for body, contract in ((xml(), OPEN_API), (feed([{"sido": "서울"}]), FEED)):
        with pytest.raises(Unavailable):
            egen.envelope(body[: -min(cut, len(body))], contract.shape)
