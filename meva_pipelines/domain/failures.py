"""The errors of the project, drawn as one tree; each branch knows whether trying again helps.

    MevaError
    ├── Unavailable          trying again helps: the outside world did not answer properly
    │   ├── StoreUnavailable ... and it was a store of our own: objects or the warehouse
    │   ├── QuotaExhausted   ... but only after the daily quota is reset
    │   └── Incomplete       ... an answer came, and it is provably not the whole answer
    ├── Refused              trying again does not help: key, address, permission or a bug of ours
    ├── Rejected             the data did not pass: an audit, a reconciliation or a guard said no
    │   └── Unusable         ... a file cannot be taken at all; names the rule, the field and the row
    └── Superseded           another, newer attempt owns the subject: this one may not write

A message says what was tried, what answered and what to do next. It never carries a URL with its query,
a password, a person's name or a telephone number.
"""

from datetime import datetime


class MevaError(Exception):
    """Root of every error that this project raises on purpose."""


class Unavailable(MevaError):
    """The outside world did not answer properly; trying again helps."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable):
    """A store of our own did not answer or is full, objects or the warehouse: no source is to blame."""


class QuotaExhausted(Unavailable):
    """The daily quota of the source is used up; it is reset at `resets_at`."""

    def __init__(self, message: str, *, resets_at: datetime) -> None:
        super().__init__(message)
        self.resets_at = resets_at


class Incomplete(Unavailable):
    """An answer came and is provably not the whole answer: no absence may be inferred from it."""


class Refused(MevaError):
    """Trying again does not help: the key, the address, a permission or our own request is wrong."""


class Rejected(MevaError):
    """The data did not pass its audit, its reconciliation or a guard; nothing was published."""


class Unusable(Rejected):
    """A file cannot be taken: `rule` is the stable name of what it breaks, `field` and `row` where it does."""

    def __init__(self, message: str, *, rule: str, field: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.rule, self.field, self.row = rule, field, row


class Superseded(MevaError):
    """A newer attempt owns the subject; this attempt may not write any more."""
