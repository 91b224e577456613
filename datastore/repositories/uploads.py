"""Uploads of learnings to destinations, as a state machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import attrs

from datastore.errors import InvalidValueError, TransitionError
from datastore.records.pages import Page, every
from datastore.records.uploads import NewUpload, Upload, UploadStatus
from datastore.repositories.base import DEFAULT_ROWS, Cursor, Repository, TimePager, found
from datastore.values import TIME_MAX, TIME_MIN, check_text, encode_timestamp

if TYPE_CHECKING:
    from datastore.statements.typed.uploads import UploadsStatements

_statuses: tuple[UploadStatus, ...] = get_args(UploadStatus)


class UploadRepository(Repository):
    """The table *uploads*: pending -> uploading -> uploaded -> confirmed, or failed and retried.

    Each step is one UPDATE that requires the expected status, so of two concurrent callers one succeeds
    and the other gets a `TransitionError`.
    """

    _statements: UploadsStatements

    def add(
        self,
        learning_id: str,
        destination: str,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Upload:
        """Plan the upload of a learning to a destination; if it already exists, return it in its current state.

        Args:
            learning_id: The learning.
            destination: 1 to 200 characters.
            metadata: A JSON object, at most 1 MiB.
            id: The caller's own, 1 to 200 characters; None: a time-ordered UUID is generated.

        Raises:
            ForeignKeyError: The learning does not exist.
            UniqueError: Another upload has this id.
            CheckError: A value is outside its range.
            InvalidValueError: A value cannot be stored.
        """
        check_text(destination, "destination")
        return self._statements.add_upload(
            id=self._new_id() if id is None else check_text(id, "id"),
            learning_id=learning_id,
            destination=destination,
            metadata={} if metadata is None else metadata,
            now=self._now(),
        )

    def add_many(self, uploads: Iterable[NewUpload]) -> Sequence[Upload]:
        """Plan several uploads in order, or none of them if one is refused; see `add`."""
        with self._engine.transaction():
            return [self.add(**attrs.asdict(new, recurse=False)) for new in uploads]

    def get(self, id: str) -> Upload:
        """Return one upload.

        Raises:
            NotFoundError: The upload does not exist.
        """
        return found(self._statements.get_upload(id=id), "upload")

    def find(self, *, learning_id: str, destination: str) -> Upload | None:
        """Return the upload of a learning to a destination; None if there is none."""
        return self._statements.find_upload_by_destination(learning_id=learning_id, destination=destination)

    def list(
        self,
        *,
        status: UploadStatus | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        after: str | None = None,
        max_rows: int = DEFAULT_ROWS,
    ) -> Page[Upload]:
        """One page, oldest first (by *created_at*, then by id).

        Args:
            status: Only uploads in this status.
            created_from: The earliest *created_at*, inclusive.
            created_before: The latest *created_at*, exclusive.
            after: The *next* of the previous page.
            max_rows: 1 to 1000.

        Raises:
            CursorError: *after* is damaged or belongs to a list with other filters.
            InvalidValueError: *status* is unknown.
        """
        if status is not None and status not in _statuses:
            raise InvalidValueError(f"status: must be one of {', '.join(_statuses)}")
        low, high = created_from or TIME_MIN, created_before or TIME_MAX
        filters = [status, encode_timestamp(low), encode_timestamp(high)]
        pager = TimePager("uploads", filters, after=after, max_rows=max_rows)
        at, id = pager.place(low)
        uploads = self._statements.list_uploads(
            status=status, after_created_at=at, after_id=id, created_before=high, max_rows=pager.max_rows
        )
        return pager.page_by_time(uploads)

    def iterate(
        self,
        *,
        status: UploadStatus | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[Upload]:
        """Iterate over all of them, oldest first, page by page; takes the filters of `list`."""
        return every(self.list, status=status, created_from=created_from, created_before=created_before)

    def list_by_learning(
        self, learning_id: str, *, after: str | None = None, max_rows: int = DEFAULT_ROWS
    ) -> Page[Upload]:
        """One page of a learning's uploads, by destination.

        Raises:
            CursorError: *after* is damaged or belongs to another list.
        """
        pager = Cursor("uploads by learning", [learning_id], (str,), after=after, max_rows=max_rows)
        rows = self._statements.list_uploads_by_learning(
            learning_id=learning_id,
            after_destination="" if pager.start is None else pager.start[0],
            max_rows=pager.max_rows,
        )
        return pager.page(rows, lambda record: (record.destination,))

    def iterate_by_learning(self, learning_id: str) -> Iterator[Upload]:
        """Iterate over each upload of a learning, by destination, page by page."""
        return every(self.list_by_learning, learning_id)

    def counts(self) -> dict[str, int]:
        """Count uploads per status; every status has an entry."""
        counts: dict[str, int] = dict.fromkeys(_statuses, 0)
        return counts | dict(self._statements.count_uploads())

    def start(self, id: str) -> Upload:
        """Start or restart the upload: pending or failed -> uploading; increments *attempts*.

        Raises:
            NotFoundError: The upload does not exist.
            TransitionError: It is in another status.
        """
        return self._step("start", id, lambda: self._statements.start_upload(id=id, now=self._now()))

    def finish(self, id: str, *, remote_id: str, receipt: Any = None) -> Upload:
        """Record that the destination accepted it: uploading -> uploaded.

        Args:
            id: The upload.
            remote_id: The destination's key for the learning.
            receipt: Any JSON value: the destination's response.

        Raises:
            NotFoundError: The upload does not exist.
            TransitionError: It is in another status.
        """
        check_text(remote_id, "remote_id")
        finish = self._statements.finish_upload
        return self._step("finish", id, lambda: finish(id=id, remote_id=remote_id, receipt=receipt, now=self._now()))

    def confirm(self, id: str, receipt: Any = None) -> Upload:
        """Record that the destination has it: uploaded -> confirmed. *receipt* None keeps the stored receipt.

        Raises:
            NotFoundError: The upload does not exist.
            TransitionError: It is in another status.
        """
        confirm = self._statements.confirm_upload
        return self._step("confirm", id, lambda: confirm(id=id, receipt=receipt, now=self._now()))

    def fail(self, id: str, error: str) -> Upload:
        """Record that the destination refused or lost it: uploading or uploaded -> failed.

        Raises:
            NotFoundError: The upload does not exist.
            TransitionError: It is in another status.
        """
        check_text(error, "error")
        fail = self._statements.fail_upload
        return self._step("fail", id, lambda: fail(id=id, last_error=error, now=self._now()))

    def retry(self, id: str) -> Upload:
        """Queue it again: failed -> pending; its attempts and its last error stay.

        Raises:
            NotFoundError: The upload does not exist.
            TransitionError: It is in another status.
        """
        return self._step("retry", id, lambda: self._statements.retry_upload(id=id, now=self._now()))

    def release(self, id: str) -> Upload:
        """Release it unfinished (its worker has died): uploading -> pending; the attempt still counts.

        Raises:
            NotFoundError: The upload does not exist.
            TransitionError: It is in another status.
        """
        return self._step("release", id, lambda: self._statements.release_upload(id=id, now=self._now()))

    def delete(self, id: str, *, reason: str | None = None) -> None:
        """Permanently delete the row; the copy at the destination stays.

        Raises:
            NotFoundError: The upload does not exist.
        """
        with self._engine.transaction():
            status = found(self._statements.delete_upload(id=id), "upload")
            self._audit("delete", "upload", id, reason, status=status)

    def _step(self, action: str, id: str, change: Callable[[], Upload | None]) -> Upload:
        # If refused, try once more with the row locked, so that the error names the status that caused the refusal.
        if (upload := change()) is not None:
            return upload
        with self._engine.transaction():
            status = found(self._statements.lock_upload(id=id), "upload")
            if (upload := change()) is not None:
                return upload
        raise TransitionError(
            f"{action}: not allowed for this upload, which is {status}; nothing was changed",
            "uploads_status_transition",
        )
