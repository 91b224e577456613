"""What the database should hold, kept in plain dictionaries by somebody who knows no SQL."""

from __future__ import annotations

import copy
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs


@attrs.define
class ModelJob:
    """A job as the model has it."""

    type: str
    priority: int
    run_at: datetime
    max_attempts: int
    status: str = "queued"
    attempts: int = 0
    token: int = 0
    lease_until: datetime | None = None
    key: str | None = None
    #: Somebody asked its worker to stop.
    cancel: bool = False
    finished: datetime | None = None


@attrs.define
class Model:
    """The whole state; every method does what the repository's method of that name promises."""

    conversations: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    #: Conversation, position, content, branch.
    messages: dict[str, tuple[str, int, str, int]] = attrs.field(factory=dict)
    #: By conversation and number: parent, fork, last position.
    branches: dict[tuple[str, int], list[int]] = attrs.field(factory=dict)
    #: Messages that are still being written.
    partial: set[str] = attrs.field(factory=set)
    learnings: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    sources: set[tuple[str, str]] = attrs.field(factory=set)
    jobs: dict[int, ModelJob] = attrs.field(factory=dict)
    paused: set[str] = attrs.field(factory=set)
    uploads: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    #: The conversations on legal hold.
    held: set[str] = attrs.field(factory=set)
    #: What was erased: kind and id.
    erased: set[tuple[str, str]] = attrs.field(factory=set)
    audit: list[tuple[str, str, str]] = attrs.field(factory=list)

    def copy(self) -> Model:
        """For the way back from a transaction."""
        return copy.deepcopy(self)

    def shown(self) -> list[str]:
        """The conversations that are not hidden."""
        return sorted(id for id, row in self.conversations.items() if row["hidden"] is None)

    def hidden(self) -> list[str]:
        """The others."""
        return sorted(id for id, row in self.conversations.items() if row["hidden"] is not None)

    def shown_learnings(self) -> list[str]:
        """The learnings that lists and search show."""
        return sorted(id for id, row in self.learnings.items() if row["conversation"] in self.shown())

    def shown_messages(self) -> list[str]:
        """The messages that search shows."""
        shown = set(self.shown())
        return sorted(id for id, row in self.messages.items() if row[0] in shown and id not in self.partial)

    def append(self, conversation: str, id: str, content: str, branch: int | None = None) -> None:
        """A message at the end of a branch."""
        row = self.conversations[conversation]
        branch = row["active"] if branch is None else branch
        if branch:
            own = self.branches[conversation, branch]
            own[2] += 1
            position = own[2]
        else:
            row["last"] += 1
            position = row["last"]
        self.messages[id] = (conversation, position, content, branch)

    def numbers(self, conversation: str) -> list[int]:
        """The branches of a conversation."""
        return [0, *sorted(number for owner, number in self.branches if owner == conversation)]

    def path(self, conversation: str, branch: int) -> list[str]:
        """The ids of the messages of a branch, in their order."""
        parts: list[str] = []
        end = 10**9
        while True:
            own = sorted(
                (row[1], id)
                for id, row in self.messages.items()
                if (row[0], row[3]) == (conversation, branch) and row[1] <= end
            )
            parts = [id for _, id in own] + parts
            if not branch:
                return parts
            branch, end, _ = self.branches[conversation, branch]

    def last(self, conversation: str, branch: int) -> int:
        """The last position of a branch."""
        return self.branches[conversation, branch][2] if branch else self.conversations[conversation]["last"]

    def fork(self, conversation: str, position: int, branch: int) -> int:
        """A branch of the one that owns the position."""
        while branch and position <= self.branches[conversation, branch][1]:
            branch = self.branches[conversation, branch][0]
        row = self.conversations[conversation]
        row["number"] += 1
        self.branches[conversation, row["number"]] = [branch if position else 0, position, position]
        return int(row["number"])

    def delete_branch(self, conversation: str, branch: int) -> int:
        """Its own messages go with it."""
        del self.branches[conversation, branch]
        gone = [id for id, row in self.messages.items() if (row[0], row[3]) == (conversation, branch)]
        for id in gone:
            self._forget_message(id)
        self.audit.append(("delete", "branch", conversation))
        return len(gone)

    def _forget_message(self, id: str) -> None:
        del self.messages[id]
        self.partial.discard(id)
        self.sources = {pair for pair in self.sources if pair[1] != id}

    def delete_message(self, id: str) -> None:
        """Its position stays unused."""
        self._forget_message(id)
        self.audit.append(("delete", "message", id))

    def delete_learning(self, id: str, *, audited: bool = True) -> None:
        """Its uploads and its sources go with it."""
        del self.learnings[id]
        self.sources = {pair for pair in self.sources if pair[0] != id}
        self.uploads = {key: row for key, row in self.uploads.items() if row["learning"] != id}
        if audited:
            self.audit.append(("delete", "learning", id))

    def delete_conversation(self, id: str, action: str) -> None:
        """All that is its own goes with it."""
        for learning in [key for key, row in self.learnings.items() if row["conversation"] == id]:
            self.delete_learning(learning, audited=False)
        self.messages = {key: row for key, row in self.messages.items() if row[0] != id}
        self.partial &= self.messages.keys()
        self.branches = {key: row for key, row in self.branches.items() if key[0] != id}
        del self.conversations[id]
        self.held.discard(id)
        self.audit.append((action, "conversation", id))

    def hide(self, id: str, now: datetime) -> None:
        """It is shown no more, and what was learned from it neither."""
        self.conversations[id]["hidden"] = now
        self.audit.append(("soft_delete", "conversation", id))

    def purge(self, before: datetime, source: str | None = None) -> int:
        """What was hidden before an instant, longest hidden first; what is held stays."""
        old = sorted((self.conversations[id]["hidden"], id) for id in self.hidden() if id not in self.held)
        gone = [id for at, id in old if at < before and source in (None, self.conversations[id]["source"])]
        for id in gone:
            self.delete_conversation(id, "purge")
        return len(gone)

    def erase(self, id: str, now: datetime) -> None:
        """It goes, and its name and its learnings' are noted."""
        learnings = [key for key, row in self.learnings.items() if row["conversation"] == id]
        self.erased |= {("conversation", id), *(("learning", key) for key in learnings)}
        if self.conversations[id]["hidden"] is None:
            self.hide(id, now)
        self.delete_conversation(id, "delete")

    def expired(self, now: datetime) -> list[int]:
        """The running jobs whose lease is over."""
        return [id for id, job in self.jobs.items() if job.lease_until is not None and job.lease_until <= now]

    def finish(self, id: int, status: str, now: datetime) -> None:
        """It has ended."""
        job = self.jobs[id]
        job.status, job.lease_until, job.finished = status, None, now

    def end_attempt(self, id: int, run_at: datetime, now: datetime, *, permanent: bool = False) -> None:
        """A failure: tried again, or quarantined; cancelled, if that was asked for."""
        job = self.jobs[id]
        if job.cancel or permanent or job.attempts >= job.max_attempts:
            self.finish(id, "cancelled" if job.cancel else "quarantined", now)
        else:
            job.status, job.lease_until, job.run_at = "queued", None, run_at

    def release(self, id: int, now: datetime, run_at: datetime | None) -> None:
        """Given back, at its place or for later, without spending the attempt."""
        job = self.jobs[id]
        if job.cancel:
            self.finish(id, "cancelled", now)
        else:
            job.status, job.lease_until, job.attempts = "queued", None, job.attempts - 1
            job.run_at = run_at or job.run_at

    def requeue(self, id: int, now: datetime) -> None:
        """From the beginning; its history stays."""
        job = self.jobs[id]
        job.status, job.attempts, job.run_at, job.cancel, job.finished = "queued", 0, now, False, None

    def live_job(self, key: str | None) -> int | None:
        """The queued or running job that has a key."""
        live = [id for id, job in self.jobs.items() if job.key == key and job.status in ("queued", "running")]
        return live[0] if live and key is not None else None

    def purge_jobs(self, before: datetime) -> int:
        """What ended before an instant."""
        gone = sorted(id for id, job in self.jobs.items() if job.finished is not None and job.finished < before)
        for id in gone:
            del self.jobs[id]
            self.audit.append(("prune", "job", str(id)))
        return len(gone)

    def next_jobs(self, now: datetime, types: Sequence[str]) -> list[int]:
        """Which jobs a claim has to give, the first one first."""
        due = [
            (-job.priority, job.run_at, id)
            for id, job in self.jobs.items()
            if job.status == "queued" and job.run_at <= now and job.type in types and job.type not in self.paused
        ]
        return [id for *_, id in sorted(due)]

    def claim(self, id: int, now: datetime, seconds: float) -> None:
        """A lease."""
        job = self.jobs[id]
        job.status = "running"
        job.attempts += 1
        job.token += 1
        job.cancel = False
        job.lease_until = now + timedelta(seconds=seconds)

    def holds(self, id: int, token: int, now: datetime) -> bool:
        """Whether a lease is still good."""
        job = self.jobs.get(id)
        return job is not None and job.lease_until is not None and job.token == token and job.lease_until > now

    def dump(self) -> dict[str, list[Any]]:
        """In the form of `observe`."""
        counts = {id: sum(row[0] == id for row in self.messages.values()) for id in self.conversations}
        return {
            "conversations": sorted(
                (id, row["title"], row["hidden"] is not None, counts[id], row["last"], row["active"], row["number"])
                for id, row in self.conversations.items()
            ),
            "branches": sorted((*key, *row) for key, row in self.branches.items()),
            "messages": sorted((id, *row, int(id in self.partial)) for id, row in self.messages.items()),
            "learnings": sorted(
                (id, row["conversation"], row["title"], row["content"]) for id, row in self.learnings.items()
            ),
            "tags": sorted((id, tag) for id in self.shown_learnings() for tag in self.learnings[id]["tags"]),
            "sources": sorted(self.sources),
            "jobs": sorted(
                (id, job.type, job.status, job.attempts, job.token, job.key or "", int(job.cancel))
                for id, job in self.jobs.items()
            ),
            "paused": sorted((type,) for type in self.paused),
            "uploads": sorted(
                (id, row["learning"], row["destination"], row["status"], row["attempts"])
                for id, row in self.uploads.items()
            ),
            "holds": sorted((id,) for id in self.held),
            "tombstones": sorted(Counter(kind for kind, _ in self.erased).items()),
            "audit": list(self.audit),
        }


QUERIES = {
    "conversations": (
        "SELECT id, title, deleted_at IS NOT NULL, message_count, last_position, active_branch, last_branch FROM conversations"
    ),
    "branches": "SELECT conversation_id, branch, parent_branch, fork_position, last_position FROM branches",
    "messages": "SELECT id, conversation_id, position, content, branch, partial FROM messages",
    "learnings": "SELECT id, conversation_id, title, content FROM learnings",
    "tags": "SELECT learning_id, tag FROM learning_tags",
    "sources": "SELECT learning_id, message_id FROM learning_messages",
    "jobs": (
        "SELECT id, type, status, attempts, lease_token, coalesce(dedupe_key, ''), cancel_requested FROM job_queue"
    ),
    "paused": "SELECT type FROM job_pauses",
    "uploads": "SELECT id, learning_id, destination, status, attempts FROM uploads",
    "holds": "SELECT conversation_id FROM legal_holds WHERE released_at IS NULL",
    "tombstones": "SELECT kind, count(*) FROM tombstones GROUP BY kind",
    "audit": "SELECT action, subject_type, subject_id FROM audit_log ORDER BY id",
}


def observe(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """What an outsider's connection sees, in one read transaction."""
    connection.execute("BEGIN")
    try:
        return rows_of(connection)
    finally:
        connection.execute("ROLLBACK")


def rows_of(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """Every row that this connection sees, in the form of `Model.dump`."""
    rows = {name: connection.execute(query).fetchall() for name, query in QUERIES.items()}
    return {name: found if name == "audit" else sorted(found) for name, found in rows.items()}
