"""The vocabulary of faults and the rules that say which request meets which fault.

Here belong names, parameters and matching. What a fault does to an answer is in `effects`; bad data of a
whole day are `mutations`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from threading import Lock
from types import MappingProxyType

Value = str | int | float | bool | None


class Fault(StrEnum):
    """Everything that can be wrong with one answer."""

    PROVIDER_CODE = "provider_code"
    GATEWAY_CODE = "gateway_code"
    GATEWAY_TEXT = "gateway_text"
    TOO_MANY_REQUESTS = "too_many_requests"
    STATUS = "status"
    STALL = "stall"
    SLOW_BODY = "slow_body"
    CUT_CONNECTION = "cut_connection"
    TRUNCATED_GZIP = "truncated_gzip"
    TRUNCATED_BODY = "truncated_body"
    HTML = "html"
    EMPTY = "empty"
    BLOCKED = "blocked"
    LOGIN_REDIRECT = "login_redirect"
    BOM = "bom"
    CP949 = "cp949"
    HUGE_FIELD = "huge_field"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    TOTAL_CHANGES = "total_changes"
    DUPLICATE_ROW = "duplicate_row"
    SHUFFLED_ORDER = "shuffled_order"
    NAN = "nan"
    MISSING_LAST_PAGE = "missing_last_page"
    SHORT_PAGE = "short_page"
    WRONG_PAGE_NUMBER = "wrong_page_number"
    CLOCK_AHEAD = "clock_ahead"


PARAMETERS: Mapping[Fault, Mapping[str, Value]] = MappingProxyType(
    {
        Fault.PROVIDER_CODE: {"code": "01", "message": ""},
        Fault.GATEWAY_CODE: {
            "code": "30",
            "message": "",
            "status": 200,
            "content_type": "text/xml;charset=UTF-8",
            "is_json": False,
        },
        Fault.GATEWAY_TEXT: {"status": 502, "text": "Error forwarding request to backend server"},
        Fault.TOO_MANY_REQUESTS: {
            "retry_after_s": 1,
            "as_http_date": False,
            "text": "API rate limit exceeded",
        },
        Fault.STATUS: {"status": 503, "retry_after_s": None},
        Fault.STALL: {"seconds": 30.0},
        Fault.SLOW_BODY: {"seconds": 5.0, "chunks": 20},
        Fault.CUT_CONNECTION: {"keep": 0.5},
        Fault.TRUNCATED_GZIP: {"keep": 0.5, "is_chunked": False},
        Fault.TRUNCATED_BODY: {"keep": 0.5},
        Fault.HTML: {"status": 200},
        Fault.EMPTY: {},
        Fault.BLOCKED: {},
        Fault.LOGIN_REDIRECT: {"location": "/login"},
        Fault.BOM: {},
        Fault.CP949: {},
        Fault.HUGE_FIELD: {"bytes": 10 * 1024 * 1024},
        Fault.UNKNOWN_FIELD: {"name": "newField", "value": "1"},
        Fault.MISSING_FIELD: {"name": "", "rows": None},
        Fault.TOTAL_CHANGES: {"by": 1},
        Fault.DUPLICATE_ROW: {},
        Fault.SHUFFLED_ORDER: {"seed": 1},
        Fault.NAN: {"rows": 1},
        Fault.MISSING_LAST_PAGE: {},
        Fault.SHORT_PAGE: {"rows": 1},
        Fault.WRONG_PAGE_NUMBER: {"by": 1},
        Fault.CLOCK_AHEAD: {"hours": 26.0},
    }
)
"""The parameters of each fault with their defaults; any other name is refused.

An empty `message` means the official name of the code; an empty `name` of MISSING_FIELD means the key of the
dialect; `rows` None means all rows; `keep` is the fraction of bytes that is sent. SHUFFLED_ORDER serves the
page from another ordering of the whole result, so rows repeat and get lost between pages. DUPLICATE_ROW
repeats the last row of the page before (on page 1 its own first row) and loses the last row of this page.
MISSING_LAST_PAGE answers the last page, and no other, with no rows.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault for the next `times` matching requests; None means any operation, any page, always."""

    fault: Fault
    operation: str | None = None
    page: int | None = None
    times: int | None = 1
    parameters: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        allowed = PARAMETERS[self.fault]
        for name, value in self.parameters.items():
            if name not in allowed:
                known = ", ".join(allowed) or "none"
                raise ValueError(f"fault {self.fault} has no parameter {name!r}; known: {known}")
            if not _fits(value, allowed[name]):
                raise ValueError(f"parameter {name!r} of fault {self.fault} cannot be {value!r}")

    def matches(self, operation: str, page: int | None) -> bool:
        """Tell whether a request for that operation and page meets this rule."""
        if self.times == 0 or self.operation not in {None, operation}:
            return False
        return self.page is None or self.page == page

    def text(self, name: str) -> str:
        """Return a parameter as text."""
        return str(self._value(name))

    def number(self, name: str) -> float:
        """Return a parameter as a number, 0 where it is None."""
        return float(self._value(name) or 0)

    def count(self, name: str, if_none: int = 0) -> int:
        """Return a parameter as a whole number."""
        value = self._value(name)
        return if_none if value is None else int(value)

    def is_set(self, name: str) -> bool:
        """Tell whether a parameter is given and true."""
        return bool(self._value(name))

    def _value(self, name: str) -> Value:
        return self.parameters.get(name, PARAMETERS[self.fault][name])


def _fits(value: Value, default: Value) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, str):
        return isinstance(value, str)
    if default is None and value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse(entry: Mapping[str, object]) -> Rule:
    """Return the rule of a JSON object {fault, operation?, page?, times?, parameters?}.

    Raises ValueError naming what is wrong. `times` defaults to 1; null means always.
    """
    unknown = set(entry) - {"fault", "operation", "page", "times", "parameters"}
    if unknown:
        raise ValueError(f"a fault rule has no {', '.join(sorted(unknown))}")
    parameters = entry.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise ValueError("the parameters of a fault rule are an object")  # noqa: TRY004 - one error for bad rules
    operation = entry.get("operation")
    return Rule(
        fault=Fault(str(entry.get("fault"))),
        operation=None if operation is None else str(operation),
        page=_whole(entry, "page", None),
        times=_whole(entry, "times", 1),
        parameters=MappingProxyType(dict(parameters)),
    )


def _whole(entry: Mapping[str, object], name: str, default: int | None) -> int | None:
    value = entry.get(name, default)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"{name} of a fault rule is a whole number or null, not {value!r}")


class FaultList:
    """The rules in force, in order; the first that matches a request is taken. Safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rules: list[Rule] = []

    def add(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        page: int | None = None,
        times: int | None = 1,
        **parameters: Value,
    ) -> None:
        """Append one rule; raises ValueError for a parameter the fault does not have."""
        rule = Rule(fault, operation, page, times, MappingProxyType(parameters))
        with self._lock:
            self._rules.append(rule)

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put these rules in force instead of all others."""
        with self._lock:
            self._rules = list(rules)

    def clear(self) -> None:
        """Remove all rules."""
        self.replace([])

    def pending(self) -> tuple[Rule, ...]:
        """Return the rules that may still match, with what is left of their `times`."""
        with self._lock:
            return tuple(rule for rule in self._rules if rule.times != 0)

    def take(self, operation: str, page: int | None) -> Rule | None:
        """Return the first matching rule and use it up once, or None."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule.matches(operation, page):
                    if rule.times is not None:
                        self._rules[index] = replace(rule, times=rule.times - 1)
                    return rule
        return None
