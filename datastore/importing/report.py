"""What an import did, line by line and in total."""

from __future__ import annotations

from collections import Counter

import attrs

from datastore.formats import BadLine

#: A report keeps at most this many bad lines and differences; the others are only counted.
MAX_KEPT = 1_000


@attrs.define(kw_only=True)
class ImportReport:
    """What an import did. Everything counted here is committed."""

    #: Stored now.
    conversations: int = 0
    messages: int = 0
    learnings: int = 0
    #: Conversations, messages and learnings that were stored already, as they are in the file.
    unchanged: int = 0
    #: Stored already under the same id with other content; left as they are.
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
        """Count what *other* counted."""
        for name in ("conversations", "messages", "learnings", "unchanged", "differing", "bad_lines"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.update(other.skipped)
        self.bad.extend(other.bad[: MAX_KEPT - len(self.bad)])
        self.differences.extend(other.differences[: MAX_KEPT - len(self.differences)])
