"""The declarative contract of a registry source: where it is asked, how it pages, what its fields mean.

A source that is asked over HTTP has a `Contract`; one whose records come in files a `TableContract`; what both
say about records is a `RecordContract`.

A contract is parsed from a YAML file beside the resources; on the day a source changes its specification the
file changes and this module does not. Asking belongs to the e-gen client, reading answers to `domain/egen.py`
and turning fields into published columns to the row rules. Nothing here opens a file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from meva_pipelines.domain.entries import Entries
from meva_pipelines.domain.transforms import TRANSFORMS

Word = TypeVar("Word", bound=StrEnum)

JOIN_PREFIX = "join_prefix"
"""The only transform of a single field: put sido and gugun in front of an address, once (`domain/aed.py`).

Stripping and the words that mean NULL are the same for all fields and need no name."""


TABLE = "table"
"""`answer.wire` of a source that is not asked: its records come in files with a header row."""


class FieldType(StrEnum):
    """What a published value is, after its transform."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"


class Wire(StrEnum):
    """Format of a successful answer."""

    XML = "xml"
    JSON = "json"


class KeyPlace(StrEnum):
    """Where the service key travels."""

    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Field:
    """One published column and where it comes from.

    `source` names the field on the wire; a derived field reads `inputs` instead and `source` joins their
    names with `+`. `length` is the longest accepted text in characters, after the transform. `alternates` are
    other headers under which files bring the same field.
    """

    source: str
    column: str
    type: FieldType
    length: int | None
    required: bool
    transform: str | None
    is_personal: bool
    meaning: str
    inputs: tuple[str, ...] = ()
    alternates: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Wire fields that this column needs, in the order its transform expects."""
        return self.inputs or (self.source,)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Paths below the base URL and the query parameters that choose what is sent.

    `district` is None where the source cannot be asked for one district; `modified_after` is None where it
    cannot be asked for changes only, and `unsupported` is the error word by which it says so at run time.
    """

    full: str
    parameters: tuple[tuple[str, str], ...]
    district: str | None
    district_parameters: tuple[str, ...]
    modified_after: str | None
    unsupported: str | None


@dataclass(frozen=True, slots=True)
class Paging:
    """Names of the paging parameters, rows per page, and how often the source may be asked."""

    page: str
    size: str
    default_size: int
    max_size: int
    calls_per_day: int | None
    calls_per_second: int | None


@dataclass(frozen=True, slots=True)
class Auth:
    """Where the service key goes; `token_path` is None where OAuth2 client credentials are not offered."""

    place: KeyPlace
    name: str
    token_path: str | None


@dataclass(frozen=True, slots=True)
class Shape:
    """Where an answer keeps its parts: element or member names from the root, outermost first.

    `is_text` says that every field is text by agreement, so that a number in JSON was made by a gateway.
    """

    wire: Wire
    is_text: bool
    items: tuple[str, ...]
    page: tuple[str, ...]
    size: tuple[str, ...]
    total: tuple[str, ...]
    as_of: tuple[str, ...] | None
    code: tuple[str, ...] | None
    text: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RecordContract:
    """What is agreed about the records of one source, however they come.

    `key` is the wire field that identifies a device for good, at most `key_length` characters; `modified` the
    wire field with the time of its last change. `ignored` fields are known and deliberately dropped.
    """

    name: str
    version: int
    key: str
    key_length: int
    modified: str | None
    fields: tuple[Field, ...]
    ignored: tuple[str, ...]

    @property
    def known(self) -> frozenset[str]:
        """Every wire field that the contract speaks of."""
        read = {name for field in self.fields for name in field.reads}
        return frozenset(read | {self.key} | ({self.modified} if self.modified else set()) | set(self.ignored))

    def unknown(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that the contract does not know, sorted."""
        return tuple(sorted(set(names) - self.known))

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Required wire fields that are not among `names`, sorted."""
        needed = {name for field in self.fields if field.required for name in field.reads} | {self.key}
        return tuple(sorted(needed - set(names)))


@dataclass(frozen=True, slots=True)
class Contract(RecordContract):
    """Everything that is agreed with a source that is asked over HTTP.

    `widths` are digit counts of fields whose leading zeros get lost where JSON makes numbers of them.
    """

    endpoint: Endpoint
    paging: Paging
    auth: Auth
    shape: Shape
    widths: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TableContract(RecordContract):
    """Everything that is agreed about tables that come in files: `source` of a field is its column header."""


def parse_source(values: object) -> Contract | TableContract:
    """Read a contract of either kind, told by its `answer.wire`; raises ValueError naming the bad entry."""
    answer = values.get("answer") if isinstance(values, Mapping) else None
    is_table = isinstance(answer, Mapping) and answer.get("wire") == TABLE
    return parse_table(values) if is_table else parse(values)


def parse_table(values: object) -> TableContract:
    """Read the contract of a source whose records come in files; raises ValueError naming the bad entry."""
    entry = Entries(values, "contract")
    answer = entry.part("answer")
    if answer.text("wire") != TABLE:
        raise ValueError(f"contract.answer.wire: {TABLE} is expected")
    answer.end()
    contract = TableContract(
        name=entry.text("name"),
        version=entry.count("version"),
        key=entry.text("key"),
        key_length=entry.count("key_length"),
        modified=entry.text_or_none("modified"),
        fields=tuple(_field(part, index) for index, part in enumerate(entry.parts("fields"))),
        ignored=entry.texts("ignored"),
    )
    entry.end()
    _refuse_contradictions(contract)
    return contract


def parse(values: object) -> Contract:
    """Read the contract of a source that is asked over HTTP; raises ValueError naming the bad entry."""
    entry = Entries(values, "contract")
    contract = Contract(
        name=entry.text("name"),
        version=entry.count("version"),
        key=entry.text("key"),
        key_length=entry.count("key_length"),
        modified=entry.text_or_none("modified"),
        endpoint=_endpoint(entry.part("endpoint")),
        paging=_paging(entry.part("paging")),
        auth=_auth(entry.part("auth")),
        shape=_shape(entry.part("answer")),
        widths=_widths(entry.rest("widths")),
        fields=tuple(_field(part, index) for index, part in enumerate(entry.parts("fields"))),
        ignored=entry.texts("ignored"),
    )
    entry.end()
    _refuse_contradictions(contract)
    return contract


def _endpoint(entry: Entries) -> Endpoint:
    parameters = entry.rest("parameters")
    endpoint = Endpoint(
        full=entry.text("full"),
        parameters=tuple((name, str(value)) for name, value in parameters.items()),
        district=entry.text_or_none("district"),
        district_parameters=entry.texts("district_parameters"),
        modified_after=entry.text_or_none("modified_after"),
        unsupported=entry.text_or_none("unsupported"),
    )
    entry.end()
    if endpoint.district is not None and len(endpoint.district_parameters) != len(("sido", "gugun")):
        raise ValueError("contract.endpoint.district_parameters: the names for sido and gugun are expected")
    return endpoint


def _paging(entry: Entries) -> Paging:
    paging = Paging(
        page=entry.text("page"),
        size=entry.text("size"),
        default_size=entry.count("default_size"),
        max_size=entry.count("max_size"),
        calls_per_day=entry.count_or_none("calls_per_day"),
        calls_per_second=entry.count_or_none("calls_per_second"),
    )
    entry.end()
    if paging.default_size > paging.max_size:
        raise ValueError("contract.paging.default_size: at most max_size is expected")
    return paging


def _auth(entry: Entries) -> Auth:
    place = _one_of(KeyPlace, entry.text("place"), "contract.auth.place")
    auth = Auth(place=place, name=entry.text("name"), token_path=entry.text_or_none("token_path"))
    entry.end()
    return auth


def _shape(entry: Entries) -> Shape:
    shape = Shape(
        wire=_one_of(Wire, entry.text("wire"), "contract.answer.wire"),
        is_text=entry.flag("all_text"),
        items=entry.path("items"),
        page=entry.path("page"),
        size=entry.path("size"),
        total=entry.path("total"),
        as_of=entry.path_or_none("as_of"),
        code=entry.path_or_none("code"),
        text=entry.path_or_none("text"),
    )
    entry.end()
    paths = (shape.items, shape.page, shape.size, shape.total)
    if shape.wire is Wire.XML and (len({path[0] for path in paths}) > 1 or len(shape.items) < len(("root", "item"))):
        raise ValueError("contract.answer: XML paths below one root element are expected")
    return shape


def _widths(values: Mapping[str, object]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"contract.widths.{name}: a number of digits is expected")
        widths[name] = value
    return widths


def _field(entry: Entries, index: int) -> Field:
    where = f"contract.fields[{index}]"
    source, inputs = entry.text_or_none("source"), entry.texts("from")
    if (source is None) == (not inputs):
        raise ValueError(f"{where}: either `source` or `from` is expected")
    field = Field(
        source=source or "+".join(inputs),
        column=entry.text("column"),
        type=_one_of(FieldType, entry.text("type"), f"{where}.type"),
        length=entry.count_or_none("length"),
        required=entry.flag("required"),
        transform=entry.text_or_none("transform"),
        is_personal=entry.flag("personal"),
        meaning=entry.text("meaning"),
        inputs=inputs,
        alternates=entry.texts("alternates"),
    )
    entry.end()
    vocabulary = frozenset(TRANSFORMS) if inputs else {JOIN_PREFIX, None}
    if field.transform not in vocabulary:
        raise ValueError(f"{where}.transform: unknown transform {field.transform!r} of {field.column}")
    return field


def _one_of(vocabulary: type[Word], value: str, where: str) -> Word:
    if value not in set(vocabulary):
        raise ValueError(f"{where}: one of {', '.join(vocabulary)} is expected, not {value!r}")
    return vocabulary(value)


def _refuse_contradictions(contract: RecordContract) -> None:
    columns = [field.column for field in contract.fields]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ValueError(f"contract.fields: columns named twice: {', '.join(twice)}")
    used = {name for field in contract.fields for name in field.reads} | {contract.key}
    both = sorted(used & set(contract.ignored))
    if both:
        raise ValueError(f"contract.ignored: fields that are also used: {', '.join(both)}")
    stray = sorted(set(contract.widths) - contract.known) if isinstance(contract, Contract) else []
    if stray:
        raise ValueError(f"contract.widths: fields that the contract does not know: {', '.join(stray)}")
