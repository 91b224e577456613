"""The report of an import."""

from __future__ import annotations

from collections import Counter

import attrs

from datastore.formats import BadLine

#: Maximum number of bad lines, and of differences, kept in a report; the rest are only counted.
MAX_KEPT = 1_000


@attrs.define(kw_only=True)
class ImportReport:
    """The result of an import. Everything counted here is committed."""

    #: Stored by this import.
    conversations: int = 0
    messages: int = 0
    learnings: int = 0
    #: Conversations, messages and learnings that were already stored with the same content.
    unchanged: int = 0
    #: Already stored under the same id with different content; left unchanged.
    differing: int = 0
    #: Left out on purpose, by reason.
    skipped: Counter[str] = attrs.field(factory=Counter)
    #: Lines that could not be stored.
    bad_lines: int = 0
    #: The first 1,000 of them.
    bad: list[BadLine] = attrs.field(factory=list)
    #: The first 1,000 differences, as "FILE:LINE: what".
    differences: list[str] = attrs.field(factory=list)

    def add(self, other: ImportReport) -> None:
        """Add the counts of *other*."""
        for name in ("conversations", "messages", "learnings", "unchanged", "differing", "bad_lines"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.update(other.skipped)
        self.bad.extend(other.bad[: MAX_KEPT - len(self.bad)])
        self.differences.extend(other.differences[: MAX_KEPT - len(self.differences)])
