"""What belongs to whom: everything that the database holds of a conversation, session, correlation or learning.

Export of a subject and erasure read this one map, so that what is erased is what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from datastore.errors import InvalidValueError, NotFoundError
from datastore.records import Conversation, Job, Learning, LegalHold, Message, Redaction, Upload
from datastore.records.erasures import SubjectKind
from datastore.records.own_rows import OwnRows
from datastore.records.pages import every

if TYPE_CHECKING:
    from datastore.repositories import (
        AuditRepository,
        ConversationRepository,
        ErasureRepository,
        JobQueueRepository,
        LearningRepository,
        LegalHoldRepository,
        MessageRepository,
        OwnTableRepository,
        TransferRepository,
        UploadRepository,
    )

#: What was said counts as a name of its subject (in a job's payload, say) from so many characters, up to so many.
_SAID = range(16, 100_000)


class Holder(Protocol):
    """What holds the subjects: a store."""

    conversations: ConversationRepository
    messages: MessageRepository
    learnings: LearningRepository
    jobs: JobQueueRepository
    uploads: UploadRepository
    audit: AuditRepository
    transfer: TransferRepository
    erasures: ErasureRepository
    holds: LegalHoldRepository
    own_tables: OwnTableRepository


@attrs.frozen
class Subject:
    """Whose data: one conversation, all of a session, the one with a correlation id, or one learning."""

    kind: SubjectKind
    id: str

    @classmethod
    def of(
        cls, conversation: str | None, session: str | None, correlation: str | None, learning: str | None
    ) -> Subject:
        """The one that is given.

        Raises:
            InvalidValueError: None is given, or several, or an empty one.
        """
        given = {"conversation": conversation, "session": session, "correlation": correlation, "learning": learning}
        named = [(kind, id) for kind, id in given.items() if id is not None]
        if len(named) != 1 or not named[0][1]:
            raise InvalidValueError("give one of conversation, session, correlation and learning")
        kind: Any = named[0][0]
        return cls(kind, named[0][1])


@attrs.frozen(kw_only=True)
class Belongings:
    """Everything of a subject, each kind in the order of its list. Held in memory, and meant for nobody's log."""

    conversations: tuple[Conversation, ...] = attrs.field(repr=False)
    messages: tuple[Message, ...] = attrs.field(repr=False)
    #: Of its conversations, and those of others that one of its messages is a source of.
    learnings: tuple[Learning, ...] = attrs.field(repr=False)
    uploads: tuple[Upload, ...] = attrs.field(repr=False)
    redactions: tuple[Redaction, ...] = attrs.field(repr=False)
    #: Those that name it, or quote it whole.
    jobs: tuple[Job, ...] = attrs.field(repr=False)
    #: What keeps it from being erased.
    holds: tuple[LegalHold, ...] = attrs.field(repr=False)
    #: Rows of the application's own tables that go with it, or are unlinked.
    own_tables: tuple[OwnRows, ...] = attrs.field(repr=False)

    def counts(self) -> dict[str, int]:
        """How many of each."""
        names = ("conversations", "messages", "learnings", "uploads", "redactions", "jobs")
        return {name: len(getattr(self, name)) for name in names}

    def own_counts(self) -> dict[str, dict[str, int]]:
        """How many rows of each own table go with it, and how many are unlinked."""
        counts: dict[str, dict[str, int]] = {}
        for own in self.own_tables:
            counts.setdefault(own.table, {})[own.fate] = len(own.rows)
        return counts

    def ids(self) -> list[str]:
        """The ids that it is known by."""
        own = [conversation.id for conversation in self.conversations]
        own += [message.id for message in self.messages]
        own += [learning.id for learning in self.learnings]
        return own + [conversation.correlation_id for conversation in self.conversations if conversation.correlation_id]

    def texts(self) -> Iterator[str]:
        """Everything that was said, titles first, then the longest."""
        for conversation in self.conversations:
            yield conversation.title or ""
        for learning in self.learnings:
            yield learning.title
        yield from sorted(self.said(), key=len)
        metadata: list[Any] = [conversation.metadata for conversation in self.conversations]
        metadata += [message.metadata for message in self.messages]
        metadata += [learning.metadata for learning in self.learnings]
        metadata += [(upload.metadata, upload.receipt, upload.last_error) for upload in self.uploads]
        yield from strings_in(metadata)
        yield from strings_in([own.rows for own in self.own_tables if own.fate == "deleted"])

    def said(self) -> list[str]:
        """What its messages and learnings say."""
        return [message.content for message in self.messages] + [learning.content for learning in self.learnings]


def strings_in(value: Any) -> Iterator[str]:
    """The texts in a JSON value, without its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings_in(part)


def belongings(holder: Holder, subject: Subject, *, jobs: bool = True) -> Belongings:
    """Everything of *subject*, as the caller's snapshot or transaction sees it.

    Args:
        holder: The store.
        subject: Whose.
        jobs: Whether the jobs that name it are looked for, which reads every job.

    Raises:
        NotFoundError: There is no such subject.
    """
    mine = find_belongings(holder, subject, jobs=jobs)
    if not mine.conversations and not mine.learnings:
        raise NotFoundError(subject.kind)
    return mine


def find_belongings(holder: Holder, subject: Subject, *, jobs: bool = True) -> Belongings:
    """As `belongings`; empty where there is nothing."""
    conversations = tuple(_conversations(holder, subject))
    learnings: dict[str, Learning] = {}
    #: The conversations that it is in, which a hold may be on.
    places: dict[str, None] = {}
    for conversation in conversations:
        places[conversation.id] = None
        for learning in _learnings(holder, conversation.id):
            # One may be derived from two conversations of one session.
            places[learnings.setdefault(learning.id, learning).conversation_id] = None
    if subject.kind == "learning" and (one := holder.learnings.find(subject.id)) is not None:
        learnings[one.id] = one
        places[one.conversation_id] = None
    mine = Belongings(
        conversations=conversations,
        messages=tuple(
            message for one in conversations for message in every(holder.messages.list, one.id, max_rows=1000)
        ),
        learnings=tuple(learnings.values()),
        uploads=tuple(upload for id in learnings for upload in every(holder.uploads.by_learning, id, max_rows=1000)),
        redactions=tuple(
            redaction for one in conversations for redaction in every(holder.audit.redactions, one.id, max_rows=1000)
        ),
        jobs=(),
        holds=tuple(hold for place in places if (hold := holder.holds.find(place)) is not None),
        own_tables=holder.own_tables.dependents(
            {"conversations": [one.id for one in conversations], "learnings": list(learnings)}
        ),
    )
    return attrs.evolve(mine, jobs=_jobs(holder, subject, mine)) if jobs else mine


def _jobs(holder: Holder, subject: Subject, mine: Belongings) -> tuple[Job, ...]:
    ids = list(dict.fromkeys([subject.id, *mine.ids()]))
    said = [text for text in mine.said() if len(text) in _SAID]
    # A message's own id stands in texts less often than there are messages.
    loose = {subject.id, *(learning.id for learning in mine.learnings)}
    loose |= {conversation.id for conversation in mine.conversations}
    return tuple(holder.jobs.get(id) for id in holder.erasures.naming_jobs([*ids, *said], sorted(loose)))


def _conversations(holder: Holder, subject: Subject) -> Iterator[Conversation]:
    find, id = holder.conversations, subject.id
    if subject.kind == "session":
        for deleted in (False, True):
            yield from every(find.list, session_id=id, deleted=deleted, max_rows=1000)
    elif subject.kind != "learning":
        one = find.find(id) if subject.kind == "conversation" else find.find(correlation_id=id)
        if one is not None:
            yield one


def _learnings(holder: Holder, conversation_id: str) -> Iterator[Learning]:
    for learning, _ in holder.transfer.learnings(conversation_id):
        yield learning
    yield from holder.erasures.derived_learnings(conversation_id)
