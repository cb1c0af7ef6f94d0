"""What the HTTP libraries may log: nothing below a warning, for their lines hold whole addresses with their secrets."""

import logging


class _Quiet(logging.Filter):
    """Lets warnings and worse pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


_QUIET = _Quiet()


def keep_addresses_out() -> None:
    """Keep the addresses of requests out of every log of this process. Idempotent."""
    logging.getLogger("httpx").addFilter(_QUIET)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
