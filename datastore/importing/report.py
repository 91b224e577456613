"""The report of an import."""

from __future__ import annotations

from collections import Counter

import attrs

from datastore.formats import BadLine

#: Maximum number of bad lines, and of differences, kept in a report; the rest are only counted.
MAX_KEPT = 1_000

_COUNTS = ("conversations", "messages", "branches", "learnings", "unchanged", "differing", "bad_lines", "replaced")


@attrs.define(kw_only=True)
class ImportReport:
    """The result of an import. Everything counted here is committed."""

    #: The format of the file, and how it was found; "" for a directory or an archive, whose files may have several.
    format: str = ""
    reason: str = ""
    #: Stored by this import.
    conversations: int = 0
    messages: int = 0
    #: Branches that were begun because the file departs from what is stored, or has several answers or edits itself.
    branches: int = 0
    learnings: int = 0
    #: Conversations, messages and learnings that were already stored with the same content.
    unchanged: int = 0
    #: Conversations and learnings that are stored under the same id with other fields; left unchanged.
    differing: int = 0
    #: Left out because of what is stored, by reason: deleted or erased before.
    skipped: Counter[str] = attrs.field(factory=Counter)
    #: Records in which nobody says anything, by kind.
    ignored: Counter[str] = attrs.field(factory=Counter)
    #: Records, or parts of them, that could not be stored.
    bad_lines: int = 0
    #: The first 1,000 of them.
    bad: list[BadLine] = attrs.field(factory=list)
    #: The first 1,000 differences, as "FILE:LINE: what".
    differences: list[str] = attrs.field(factory=list)
    #: For each reason in *skipped* and each kind in *ignored*: the first one, as "FILE:LINE".
    first: dict[str, str] = attrs.field(factory=dict)
    #: Bytes and NUL characters that were replaced by U+FFFD.
    replaced: int = 0

    def add(self, other: ImportReport) -> None:
        """Add the counts of *other*."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.update(other.skipped)
        self.ignored.update(other.ignored)
        self.bad.extend(other.bad[: MAX_KEPT - len(self.bad)])
        self.differences.extend(other.differences[: MAX_KEPT - len(self.differences)])
        self.first = {**other.first, **self.first}

    def skip(self, reason: str, count: int, place: str) -> None:
        """Count what is left out because of what is stored."""
        self.skipped[reason] += count
        self.first.setdefault(reason, place)

    def ignore(self, kind: str, place: str) -> None:
        """Count a record in which nobody says anything."""
        self.ignored[kind] += 1
        self.first.setdefault(kind, place)
