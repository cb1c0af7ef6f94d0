"""Reading the answers of the registry: a cheap look while downloading, the whole decoding while staging.

Both are pure functions of the decoded body and the contract. What an error answer means is judged in
`domain/egen_verdicts.py`, whether a set of pages is whole in `domain/paging.py`; rows keep the field names of
the wire here and become columns elsewhere. Everything malformed is Unavailable: never an empty set.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from lxml import etree

from meva_pipelines.domain.contract import Contract, Shape, Wire
from meva_pipelines.domain.egen_verdicts import BOM, root_of
from meva_pipelines.domain.failures import Incomplete, Unavailable

Scalar = str | int | float | bool | None
"""A field value: text or None where the contract says `all_text`, JSON scalars otherwise."""

BOM_NOTE = "the answer begins with a byte order mark"
_PROLOG_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Envelope:
    """The outside of one page: number and size as echoed, total of the set, rows counted, source time."""

    page: int
    size: int
    total: int
    rows: int
    as_of: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One page decoded; `items` hold the fields under their wire names, absent ones are not there."""

    page: int
    size: int
    total: int
    items: Sequence[Mapping[str, Scalar]]
    as_of: datetime | None = None
    notes: tuple[str, ...] = ()


def envelope(body: bytes, shape: Shape) -> Envelope:
    """Look at one decoded body of a page without building its rows.

    XML is scanned for its paging elements, its items and its closing root tag; JSON is parsed, which costs
    less than scanning. Raises Unavailable when the body is not whole or not UTF-8, Incomplete when it does
    not say which page of how many rows it is.
    """
    if shape.wire is Wire.JSON:
        document, notes = _load_json(body)
        rows = len(_rows(document, shape))
        page, size, total = _numbers(shape, functools.partial(_at, document))
        return Envelope(page, size, total, rows, _as_of(document, shape), notes)
    content, notes = _without_bom(body)
    _readable(content)
    _root_is(root_of(content[:_PROLOG_BYTES]), shape)
    if not content.rstrip().endswith(b"</%b>" % shape.items[0].encode()):
        raise Unavailable(f"the XML answer ends before </{shape.items[0]}>: it was cut off; fetch it again")
    item = shape.items[-1].encode()
    opening, closing = content.count(b"<%b>" % item), content.count(b"</%b>" % item)
    if opening != closing:
        raise Unavailable(f"the XML answer opens {opening} items and closes {closing}; fetch it again")
    outside = (
        content[: content.find(b"<%b>" % item)] + content[content.rfind(b"</%b>" % item) :] if opening else content
    )
    page, size, total = _numbers(shape, functools.partial(_scanned, outside))
    return Envelope(page, size, total, opening, None, notes)


def decode(body: bytes, contract: Contract) -> Answer:
    """Decode one whole page as its contract describes; raises Unavailable or Incomplete."""
    return decode_json(body, contract) if contract.shape.wire is Wire.JSON else decode_xml(body, contract)


def decode_xml(body: bytes, contract: Contract) -> Answer:
    """Decode an XML page: no DTD, no entities, no network, nothing huge. Raises Unavailable or Incomplete."""
    shape = contract.shape
    content, notes = _without_bom(body)
    if b"<!DOCTYPE" in content[:_PROLOG_BYTES].upper():
        raise Unavailable("the XML answer carries a document type, which is not accepted; look with the probe")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        _readable(content)
        message = f"the XML answer is not well-formed or too large (line {error.lineno}); fetch it again"
        raise Unavailable(message) from None
    _root_is(root.tag, shape)
    elements = root.findall("/".join(shape.items[1:]))
    if root.xpath(f"boolean(/{'/'.join(shape.items)}/*/*)"):
        items = [{cell.tag: "".join(map(str, cell.itertext())) or None for cell in element} for element in elements]
        notes += ("a field holds elements of its own: their texts were joined",)
    else:
        items = [{cell.tag: cell.text for cell in element} for element in elements]
    page, size, total = _numbers(shape, lambda path: root.findtext("/".join(path[1:])))
    return Answer(page, size, total, items, None, notes)


def decode_json(body: bytes, contract: Contract) -> Answer:
    """Decode a JSON page; NaN and Infinity are refused. Raises Unavailable or Incomplete.

    Where the contract says that all fields are text, numbers become text again and lost leading zeros come
    back for the fields whose number of digits is known; those of telephones cannot.
    """
    shape = contract.shape
    document, notes = _load_json(body)
    rows = _rows(document, shape)
    items: Sequence[Mapping[str, Scalar]]
    if shape.is_text:
        items = [{name: _text(value, contract.widths.get(name)) for name, value in row.items()} for row in rows]
    elif any(isinstance(value, (dict, list)) for row in _suspects(body, rows) for value in row.values()):
        items = [{name: _scalar(value) for name, value in row.items()} for row in rows]
        notes += ("a field holds an object or a list: it was kept as JSON text",)
    else:
        items = rows
    page, size, total = _numbers(shape, functools.partial(_at, document))
    return Answer(page, size, total, items, _as_of(document, shape), notes)


def _without_bom(body: bytes) -> tuple[bytes, tuple[str, ...]]:
    content = body.removeprefix(BOM)
    return content, (BOM_NOTE,) if len(content) < len(body) else ()


def _readable(content: bytes) -> None:
    """Raise Unavailable, naming CP949 where it fits, unless the body is UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return
    try:
        content.decode("cp949")
        encoding = "in CP949 (EUC-KR)"
    except UnicodeDecodeError:
        encoding = "in no known encoding"
    raise Unavailable(f"the answer is {encoding}, not in UTF-8: it is not guessed at; fetch it again")


def _root_is(found: str | None, shape: Shape) -> None:
    if found != shape.items[0]:
        raise Unavailable(f"the XML answer does not have the root element <{shape.items[0]}>; look with the probe")


def _scanned(outside: bytes, path: Sequence[str]) -> str | None:
    tag = path[-1].encode()
    found = re.search(rb"<%b>\s*([^<]*?)\s*</%b>" % (tag, tag), outside)
    return found[1].decode() if found else None


def _numbers(shape: Shape, read: Callable[[Sequence[str]], object]) -> tuple[int, int, int]:
    """Page, size and total of an answer, each read at its path."""
    page, size, total = (_number(read(path), path[-1]) for path in (shape.page, shape.size, shape.total))
    return page, size, total


def _number(value: object, name: str) -> int:
    """A count of the envelope, sent as number or as digits."""
    text = "" if isinstance(value, bool) else str(value).strip()
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Incomplete(f"the answer does not say its {name}: it cannot be proved whole; look with the probe")
    return int(text)


def _load_json(body: bytes) -> tuple[Mapping[str, object], tuple[str, ...]]:
    content, notes = _without_bom(body)
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        _readable(content)
        where = f"line {error.lineno}, column {error.colno}"
        raise Unavailable(f"the JSON answer is cut off or not strict JSON ({where}); fetch it again") from None
    if not isinstance(document, dict):
        raise Unavailable("the JSON answer is not an object; look with the probe")
    return document, notes


def _at(document: object, path: Sequence[str]) -> object:
    """The member at a path; None where it ends early."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def _rows(document: Mapping[str, object], shape: Shape) -> list[dict[str, Scalar]]:
    """Rows of a page: none where the gateway sends an empty text, one as an object, several as a list."""
    found = _at(document, shape.items)
    if found is None or found == "":
        if len(shape.items) > 1 and _at(document, shape.items[:-1]) is not None:
            return []
        raise Unavailable(f"the JSON answer has no {'.'.join(shape.items)}; look with the probe")
    rows = found if isinstance(found, list) else [found]
    objects = [row for row in rows if isinstance(row, dict)]
    if len(objects) < len(rows):
        raise Unavailable(f"the JSON answer holds rows that are no objects in {'.'.join(shape.items)}")
    return objects


def _suspects(body: bytes, rows: list[dict[str, Scalar]]) -> list[dict[str, Scalar]]:
    """Rows to search for nested values: none if the body has just the brackets that flat rows need."""
    is_flat = body.count(b"{") == len(rows) + 1 and body.count(b"[") == 1
    return [] if is_flat else rows


def _scalar(value: object) -> Scalar:
    return value if value is None or isinstance(value, (str, int, float)) else orjson.dumps(value).decode()


def _text(value: object, width: int | None) -> str | None:
    """A field as text; a number gets back the leading zeros that its number of digits demands."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).zfill(width or 0)
    return orjson.dumps(value).decode()


def _as_of(document: Mapping[str, object], shape: Shape) -> datetime | None:
    """The time for which the source vouches; None if it gives none that has a time zone."""
    value = _at(document, shape.as_of) if shape.as_of else None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
