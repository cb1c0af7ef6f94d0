"""How a record of the registry becomes a staged row: digests, types, regions. Which rows may be published is not here.

A page is turned column by column: the quick way for a column whose values are all well-formed, one value after
the other for a column that holds a bad one, so that a bad stamp costs one row and never the batch.
"""

import functools
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b

import orjson

from meva_pipelines.domain.addresses import collapse_prefixes
from meva_pipelines.domain.contract import Field, FieldType, RecordContract
from meva_pipelines.domain.regions import RegionTable
from meva_pipelines.domain.transforms import TRANSFORMS

Record = Mapping[str, object]
Reject = Callable[[int, str, str | None, str], None]
Parser = Callable[[str], object]

NULL_WORDS = frozenset({"", "-", "필요", "신규", "미정", "없음", "NaN", "nan", "None", "none", "null", "NULL"})
"""Words by which the registry says that it does not know (facts: accepted by the portal's own import)."""

MAPPING_VERSION = 1
"""Part of every row hash: a change here lets every row be looked at again."""

_SHOWN = 40
_NUL_MARK = "\ufffd"
_NUMBERS = {float, type(None)}
_CENTER_NOISE = re.compile(r"[\s()\[\]·.,_-]+")
_DATE_FORMS = (
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]00:00:00.*)?"), (1, 2, 3)),
    (re.compile(r"(\d{1,2})-(\d{1,2})-(\d{4})"), (3, 2, 1)),
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot become a row: where it stood, which rule it broke and what was expected."""

    page: int
    line: int
    source_id: str | None
    rule: str
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """The records of one page with their keys and digests; lines are counted from 0."""

    number: int
    records: Sequence[Record]
    keys: Sequence[str | None]
    digests: Sequence[bytes]
    nul_rows: frozenset[int]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Typed rows in staging order, and the records that could not be typed."""

    rows: list[tuple[object, ...]]
    rejections: list[Rejection]


def health_center_key(name: str) -> str:
    """Return the spelling-independent form of a health centre's name: white space and punctuation do not count."""
    return _CENTER_NOISE.sub("", name).removesuffix("장")


class Mapper:
    """Turns pages of one source into staged rows for one day.

    `columns` are the published columns in table order; a column that the contract does not fill stays NULL.
    """

    def __init__(self, contract: RecordContract, regions: RegionTable, *, day: date, columns: Sequence[str]) -> None:
        self._contract = contract
        self._regions = regions
        self._day = day
        self._fields = {field.column: field for field in contract.fields}
        self._columns = tuple(columns)
        reads = {name for field in contract.fields for name in field.reads} | {contract.key}
        self._reads = tuple(sorted(reads | ({contract.modified} if contract.modified else set())))
        self._read_all: Callable[[Record], tuple[object, ...]] = operator.itemgetter(*self._reads)
        self._salted = blake2b(f"{contract.name}/{contract.version}/{MAPPING_VERSION}".encode(), digest_size=16)
        self._resolve = functools.lru_cache(maxsize=4096)(self._resolved)

    def page(self, number: int, records: Sequence[Record]) -> Page:
        """Take the keys and digests of a page: cheap, and enough to tell which records changed.

        The digest is BLAKE2b-128 over the fields that the contract reads, in the order of their names, salted
        with the versions of contract and mapping. Fields that a contract ignores do not count.
        """
        key, read, salted = self._contract.key, self._read_all, self._salted
        digests, nul_rows = [], []
        for index, record in enumerate(records):
            try:
                values = read(record)
            except KeyError:
                read = self._read_present
                values = read(record)
            text = orjson.dumps(values)
            state = salted.copy()
            state.update(text)
            digests.append(state.digest())
            if b"\\" in text and b"\\u0000" in text and storable(record) != record:
                nul_rows.append(index)
        keys = [_key(record.get(key)) for record in records]
        return Page(number=number, records=records, keys=keys, digests=digests, nul_rows=frozenset(nul_rows))

    def _read_present(self, record: Record) -> tuple[object, ...]:
        return tuple(map(record.get, self._reads))

    def rows(self, page: Page, positions: Sequence[int]) -> Mapped:
        """Type the records at `positions`: (page, line, key, published columns…, region…, digest) per row."""
        records = [page.records[position] for position in positions]
        broken: dict[int, Rejection] = {}

        def reject(index: int, rule: str, field: str | None, reason: str) -> None:
            position = positions[index]
            broken.setdefault(index, Rejection(page.number, position, page.keys[position], rule, field, reason))

        for index, position in enumerate(positions):
            self._check_key(page, position, functools.partial(reject, index))
        columns = {name: self._column(name, records, reject) for name in self._columns}
        self._join_addresses(columns)
        resolutions = [self._resolve(*pair) for pair in zip(columns["sido"], columns["gugun"], strict=True)]
        table = zip(
            [page.number] * len(positions),
            positions,
            [page.keys[position] for position in positions],
            *columns.values(),
            *(zip(*resolutions, strict=True) if resolutions else ([], [], [])),
            [_center(name) for name in columns["jurisdiction_health_center"]],
            [page.digests[position] for position in positions],
            strict=True,
        )
        rows = list(table) if not broken else [row for index, row in enumerate(table) if index not in broken]
        return Mapped(rows, list(broken.values()))

    def _check_key(self, page: Page, position: int, reject: Callable[[str, str | None, str], None]) -> None:
        key = page.keys[position]
        if key is None:
            reject("key_is_given", self._contract.key, f"{self._contract.key} is missing or not a text")
        elif len(key) > self._contract.key_length:
            reject("key_fits", self._contract.key, f"{len(key)} characters, at most {self._contract.key_length}")
        if position in page.nul_rows:
            reject("text_is_storable", None, "a field holds the character NUL, which PostgreSQL cannot store")

    def _column(self, name: str, records: Sequence[Record], reject: Reject) -> list[object]:
        if name == "source_modified_at" and self._contract.modified:
            raw = [record.get(self._contract.modified) for record in records]
            return _typed(raw, _timestamp, self._contract.modified, reject)
        field = self._fields.get(name)
        if field is None:
            return [None] * len(records)
        if field.inputs and field.transform is not None:
            derive = TRANSFORMS[field.transform]
            return [
                _derived(derive, field, record, functools.partial(reject, index))
                for index, record in enumerate(records)
            ]
        raw = [record.get(field.source) for record in records]
        return _typed(raw, _PARSERS[field.type], field.source, reject)

    def _join_addresses(self, columns: dict[str, list[object]]) -> None:
        for name, field in self._fields.items():
            if field.transform == "join_prefix":
                columns[name] = [
                    self._address(address, sido, gugun)
                    for address, sido, gugun in zip(columns[name], columns["sido"], columns["gugun"], strict=True)
                ]

    def _address(self, address: object, sido: object, gugun: object) -> str | None:
        """Name the region once in front of an address, whether or not the source already does."""
        if not isinstance(address, str):
            return None
        first = address.split(" ", 1)[0]
        prefix = " ".join(str(name) for name in (sido, gugun) if name)
        if self._regions.resolve(first, None, self._day).sido_code is None:
            return f"{prefix} {address}" if prefix else address
        return collapse_prefixes(
            address if address.startswith(prefix) else f"{prefix} {address}", self._regions, self._day
        )

    def _resolved(self, sido: object, gugun: object) -> tuple[str | None, str | None, str]:
        found = self._regions.resolve(
            None if sido is None else str(sido), None if gugun is None else str(gugun), self._day
        )
        return found.code, found.sido_code, found.status.value


def _key(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).replace("\0", _NUL_MARK).strip() or None


def _typed(raw: list[object], parse: Parser | None, name: str, reject: Reject) -> list[object]:
    """Strip, drop the words that mean NULL and parse; the quick way first, value by value if that fails."""
    if parse is _decimal and {type(value) for value in raw} <= _NUMBERS:
        return raw
    try:
        texts = [None if v is None or (t := v.strip()) in NULL_WORDS else t for v in raw]  # type: ignore[attr-defined]
        return texts if parse is None else [None if t is None else parse(t) for t in texts]
    except (AttributeError, ValueError):
        return [_one(value, parse, name, functools.partial(reject, index)) for index, value in enumerate(raw)]


def _one(value: object, parse: Parser | None, name: str, reject: Callable[[str, str | None, str], None]) -> object:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        reject("field_is_a_scalar", name, f"a text or a number is expected, not a {type(value).__name__}")
        return None
    text = str(value).strip()
    if text in NULL_WORDS:
        return None
    if parse is None:
        return text
    try:
        return parse(text)
    except ValueError:
        reject("field_has_its_type", name, f"{_EXPECTED[parse]} is expected, not text like {_form(text)!r}")
        return None


def _form(text: str) -> str:
    """Return what a text looks like without what it says: a value in the wrong field may be somebody's telephone."""
    return "".join(
        "9" if c.isdecimal() else "a" if c.isascii() and c.isalpha() else "가" if c.isalpha() else c
        for c in text[:_SHOWN]
    )


def _date(text: str) -> date:
    if len(text) == len("2026-01-01") and text[4] == "-":
        return date.fromisoformat(text)
    for form, (year, month, day) in _DATE_FORMS:
        if found := form.fullmatch(text):
            return date(int(found[year]), int(found[month]), int(found[day]))
    if len(text) == len("20260101") and text.isdecimal():
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    raise ValueError("a date is expected")


def _timestamp(text: str) -> datetime:
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        raise ValueError("a time with its zone is expected")
    return stamp


def _decimal(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a finite number is expected")
    return number


_EXPECTED: Mapping[Parser, str] = {
    int: "a whole number",
    _decimal: "a finite number",
    _date: "a date",
    _timestamp: "a time with its zone",
}
_PARSERS: Mapping[FieldType, Parser | None] = {
    FieldType.TEXT: None,
    FieldType.INTEGER: int,
    FieldType.DECIMAL: _decimal,
    FieldType.DATE: _date,
    FieldType.TIMESTAMP: _timestamp,
}


def _derived(
    derive: Callable[[Mapping[str, str | None]], str | None],
    field: Field,
    record: Record,
    reject: Callable[[str, str | None, str], None],
) -> str | None:
    values = tuple(map(record.get, field.reads))
    if all(value is None or isinstance(value, str | int | float) for value in values):
        return _remembered(derive, field.reads, values)
    reject("field_is_a_scalar", field.source, "texts or numbers are expected")
    return None


@functools.lru_cache(maxsize=65_536)
def _remembered(
    derive: Callable[[Mapping[str, str | None]], str | None],
    names: tuple[str, ...],
    values: tuple[object, ...],
) -> str | None:
    texts = (None if value is None else str(value) for value in values)
    return derive(dict(zip(names, texts, strict=True)))


@functools.lru_cache(maxsize=8192)
def _center(name: object) -> str | None:
    return health_center_key(name) if isinstance(name, str) else None


def storable(record: Record) -> dict[str, object]:
    """Return a record as PostgreSQL can keep it as JSON: the character NUL becomes U+FFFD."""
    return {name.replace("\0", _NUL_MARK): _storable(value) for name, value in record.items()}


def _storable(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\0", _NUL_MARK)
    if isinstance(value, list):
        return [_storable(part) for part in value]
    return storable(value) if isinstance(value, dict) else value


def keep_newest(copies: Iterable[tuple[int, int, bytes, datetime | None]]) -> dict[tuple[int, int], str]:
    """Decide among copies of one key in one batch which records to reject, and by which rule.

    `copies` are (page, line, digest, time of last change). Equal copies: the first stays. Different copies: the
    newest stays when every copy tells its time and one is newest; otherwise none does, because nothing says
    which is right. Returns the rule for each rejected (page, line); the order of the copies does not matter.
    """
    ordered = sorted(copies, key=lambda copy: (copy[0], copy[1]))
    digests = {digest for _, _, digest, _ in ordered}
    if len(digests) == 1:
        return {(page, line): "key_occurs_once" for page, line, _, _ in ordered[1:]}
    times = [stamp for _, _, _, stamp in ordered if stamp is not None]
    newest = {digest for _, _, digest, stamp in ordered if times and stamp == max(times)}
    if len(times) < len(ordered) or len(newest) > 1:
        return {(page, line): "copies_of_a_key_agree" for page, line, _, _ in ordered}
    kept = next((page, line) for page, line, digest, _ in ordered if digest in newest)
    return {(page, line): "key_occurs_once" for page, line, _, _ in ordered if (page, line) != kept}
