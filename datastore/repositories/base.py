"""The base of every repository: statements, the transaction's time, pages, the audit log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from datastore.engines.base import Engine
from datastore.errors import InvalidValueError, NotFoundError
from datastore.records.pages import Page, decode_cursor, encode_cursor

Record = TypeVar("Record")

#: Maximum number of records per page.
MAX_ROWS = 1000

#: Default number of records per page.
DEFAULT_ROWS = 50

#: Default of an update's optional arguments: None would mean "set it to NULL".
UNCHANGED: Any = type("Unchanged", (), {"__repr__": lambda self: "UNCHANGED"})()


class Timed(Protocol):
    """A record of a list that is ordered by time."""

    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...


TimedRecord = TypeVar("TimedRecord", bound=Timed)


class AuditWriter(Protocol):
    """Writes one audit entry; the store passes `AuditRepository.record`."""

    def __call__(
        self,
        action: str,
        *,
        subject_type: str,
        subject_id: str,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> object: ...


def found(record: Record | None, noun: str) -> Record:
    """Return *record* if it is not None.

    Raises:
        NotFoundError: It is None.
    """
    if record is None:
        raise NotFoundError(noun)
    return record


class Repository:
    """Base of the repositories."""

    #: A subclass narrows it to the statements that it calls: the generated Protocol of its .sql files.
    _statements: Any

    def __init__(
        self, statements: Any, engine: Engine, *, new_id: Callable[[], str], audit: AuditWriter | None = None
    ) -> None:
        self._statements = statements
        self._engine = engine
        self._now = engine.now
        self._new_id = new_id
        self._record = audit

    def _audit(self, action: str, noun: str, subject_id: str, reason: str | None, **details: Any) -> None:
        assert self._record is not None
        self._record(action, subject_type=noun, subject_id=subject_id, reason=reason, details=details)


def check_max_rows(max_rows: int) -> int:
    """Return *max_rows* if a page can have that many records.

    Raises:
        InvalidValueError: It is not 1 to 1000.
    """
    given: object = max_rows
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_ROWS:
        raise InvalidValueError(f"max_rows: must be 1 to {MAX_ROWS}")
    return max_rows


def bounds(value: str | None, low: str, high: str) -> tuple[str, str]:
    """A range that contains only *value*, or everything if it is None."""
    return (low, high) if value is None else (value, value)


class Cursor:
    """One list with one set of filters: reads cursors, requests one extra row, builds pages.

    Args:
        name: The list's name; a cursor belongs to one name and one set of *filters*.
        filters: The filters' values.
        shape: The types of the sort key's parts.
        after: Return rows after this cursor, or None.
        before: Return rows before this cursor, or None.
        max_rows: The page's size.

    Raises:
        CursorError: A cursor is damaged or belongs to another list.
        InvalidValueError: *max_rows* is out of range, or both cursors are given.
    """

    def __init__(
        self,
        name: str,
        filters: Sequence[Any],
        shape: tuple[type, ...],
        *,
        after: str | None = None,
        before: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> None:
        if after is not None and before is not None:
            raise InvalidValueError("give after or before, not both")
        self._scope = json.dumps([name, *filters], default=str)
        self._size = check_max_rows(max_rows)
        #: Whether the page comes before the cursor, so that rows arrive in reverse order.
        self.backwards = before is not None
        cursor = before if before is not None else after
        #: The sort key to start from, or None for the first page.
        self.start = None if cursor is None else decode_cursor(self._scope, cursor, shape)
        #: One more row than the page, to detect whether more rows follow.
        self.max_rows = self._size + 1

    def page(self, records: list[Record], key: Callable[[Record], tuple[Any, ...]]) -> Page[Record]:
        """Build the page of *records*, which are in the order that the statement returned."""
        more = len(records) > self._size
        items = records[: self._size]
        if self.backwards:
            items.reverse()
        # A page before a cursor always has a next item: the one that the cursor points to.
        has_next = bool(items) and (self.start is not None if self.backwards else more)
        return Page(
            items=tuple(items),
            next=encode_cursor(self._scope, key(items[-1])) if has_next else None,
            previous=encode_cursor(self._scope, key(items[0])) if items else None,
        )


class TimePager(Cursor):
    """A `Cursor` for a list that is ordered by *created_at*, then by id."""

    def __init__(
        self,
        name: str,
        filters: Sequence[Any],
        *,
        after: str | None = None,
        before: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> None:
        super().__init__(name, filters, (datetime, str), after=after, before=before, max_rows=max_rows)

    def place(self, first: datetime) -> tuple[datetime, str]:
        """The page's starting point: the cursor's time and id, or *first* and no id for the first page."""
        return (first, "") if self.start is None else (self.start[0], self.start[1])

    def page_by_time(self, records: list[TimedRecord]) -> Page[TimedRecord]:
        """Build the page of *records*, which are in the order that the statement returned."""
        return self.page(records, lambda record: (record.created_at, record.id))
