"""Reading a declarative mapping strictly: each entry is taken once, each complaint names its entry.

What the entries mean belongs to the reader of that file (`domain/contract.py`), opening it to the resources.
"""

from collections.abc import Mapping


class Entries:
    """One mapping, read and removed entry by entry; `end` refuses whatever nobody asked for."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise ValueError(f"{where}: a mapping is expected")  # noqa: TRY004 - a wrong file, not a wrong call
        self._values = dict(values)
        self._where = where

    def _complain(self, name: str, expected: str) -> ValueError:
        return ValueError(f"{self._where}.{name}: {expected} is expected")

    def text(self, name: str) -> str:
        """A text that must be there."""
        value = self.text_or_none(name)
        if value is None:
            raise self._complain(name, "text")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A text, or None where the entry is left out."""
        value = self._values.pop(name, None)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        raise self._complain(name, "text")

    def count(self, name: str) -> int:
        """A positive integer that must be there."""
        value = self.count_or_none(name)
        if value is None:
            raise self._complain(name, "a positive integer")
        return value

    def count_or_none(self, name: str) -> int | None:
        """A positive integer, or None where the entry is left out."""
        value = self._values.pop(name, None)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            return value
        raise self._complain(name, "a positive integer")

    def flag(self, name: str) -> bool:
        """True or false; false where the entry is left out."""
        value = self._values.pop(name, False)
        if not isinstance(value, bool):
            raise self._complain(name, "true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty where the entry is left out."""
        values = self._values.pop(name, None) or ()
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
            raise self._complain(name, "a list of texts")
        return tuple(values)

    def path(self, name: str) -> tuple[str, ...]:
        """A dotted path that must be there."""
        return tuple(self.text(name).split("."))

    def path_or_none(self, name: str) -> tuple[str, ...] | None:
        """A dotted path, or None where the entry is left out."""
        value = self.text_or_none(name)
        return tuple(value.split(".")) if value else None

    def part(self, name: str) -> "Entries":
        """A mapping that must be there."""
        return Entries(self._values.pop(name, None), f"{self._where}.{name}")

    def parts(self, name: str) -> list["Entries"]:
        """A list of mappings, at least one."""
        values = self._values.pop(name, None)
        if not isinstance(values, list) or not values:
            raise self._complain(name, "a list of mappings")
        return [Entries(value, f"{self._where}.{name}[{index}]") for index, value in enumerate(values)]

    def rest(self, name: str) -> dict[str, object]:
        """An optional mapping of free names."""
        values = self._values.pop(name, None) or {}
        if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
            raise self._complain(name, "a mapping with texts as names")
        return dict(values)

    def end(self) -> None:
        """Raise ValueError if entries are left that nobody asked for."""
        if self._values:
            raise ValueError(f"{self._where}: unknown entries {', '.join(sorted(map(str, self._values)))}")
