"""Find out whether a job names a subject, by an id or by a quoted text, in any of its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: Custom ids shorter than this are not searched for inside texts: "1" occurs in half of them.
LEAST_PART = 8
#: Texts shorter than this ("yes") are common: a job that has one as a value is listed in the receipt, not emptied.
LEAST_TEXT = 16

#: Every UUID in a text, with hyphens or without, inside longer words too.
_uuid = re.compile(r"(?=([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}))")
_whole_uuid = re.compile(r"[0-9a-f]{32}")


class Names:
    """The names of a subject.

    Args:
        ids: Its ids; each matches a whole value, in upper or lower case, with or without hyphens.
        inside: The ids that also match inside a text.
        said: The texts of its messages and learnings; each matches a whole value.
    """

    def __init__(self, ids: Iterable[str], inside: Iterable[str], said: Iterable[str]) -> None:
        self._ids = frozenset(ids)
        self._plain = frozenset(_plain(id) for id in self._ids if len(_plain(id)) >= LEAST_PART)
        self._uuids = frozenset(plain for plain in self._plain if _whole_uuid.fullmatch(plain))
        texts = frozenset(said)
        self._texts = frozenset(text for text in texts if len(text) >= LEAST_TEXT)
        self._short = texts - self._texts
        spelled = {form for id in inside if len(id) >= LEAST_PART for form in (id.lower(), _plain(id))}
        self._parts = sorted(form for form in spelled if len(form) >= LEAST_PART and _plain(form) not in self._uuids)
        self._alone = [re.compile(rf"(?<![\w-]){re.escape(part)}(?![\w-])") for part in self._parts]

    def looked_for(self) -> dict[str, int]:
        """The number of names of each kind, for the receipt: whole ids, ids inside texts, whole texts, short texts."""
        inside = len(self._uuids) + len({_plain(part) for part in self._parts})
        return {
            "ids": len(self._ids),
            "ids_inside_texts": inside,
            "texts": len(self._texts),
            "short_texts": len(self._short),
        }

    def named_in(self, values: Iterable[str]) -> bool | None:
        """Whether any of the texts names the subject; None: perhaps, and a person should check.

        Perhaps means a short text as a value, or a custom id inside a longer word ("user-0001" is in
        "user-00010", which may be someone else).
        """
        found: bool | None = False
        for value in values:
            if value in self._ids or value in self._texts or _plain(value) in self._plain:
                return True
            if value in self._short:
                found = None
            low = value.lower()
            if self._uuids and any(_plain(uuid[1]) in self._uuids for uuid in _uuid.finditer(low)):
                return True
            for part, alone in zip(self._parts, self._alone, strict=True):
                if part in low:
                    if alone.search(low):
                        return True
                    found = None
        return found


def texts_in(value: object) -> Iterator[str]:
    """The texts in a JSON value, including its keys and whole numbers."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from texts_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_in(part)


def _plain(id: str) -> str:
    return id.lower().replace("-", "")
