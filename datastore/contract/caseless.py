"""A dictionary whose keys are SQL names: their case does not matter, and they keep the spelling that they were created with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import TypeVar

Value = TypeVar("Value")


class Caseless(MutableMapping[str, Value]):
    """Values by name. Looking up ignores case; going through gives the names as they were first set."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[str, Value]] = {}

    def __getitem__(self, name: str) -> Value:
        return self._items[name.lower()][1]

    def __setitem__(self, name: str, value: Value) -> None:
        self._items[name.lower()] = (self.spelled(name), value)

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def spelled(self, name: str) -> str:
        """The name as it was first set, or as it is given here if it never was."""
        return self._items[name.lower()][0] if name.lower() in self._items else name


def leading(text: str, names: Iterable[str]) -> str:
    """The name that *text* begins with: the longest of *names*, which may have blanks in them, or its first word."""
    lower = text.lower()
    fitting = [name for name in names if lower == name.lower() or lower.startswith(f"{name.lower()} ")]
    return max(fitting, key=len) if fitting else text.partition(" ")[0]


def identifier(name: str) -> str:
    """A name as SQL takes it: in double quotes unless it is a plain word."""
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
