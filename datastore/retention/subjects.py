"""What belongs to whom: everything that the database holds of a conversation, session, correlation or learning.

Export of a subject and erasure read this one map, so that what is erased is what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from datastore.errors import InvalidValueError, NotFoundError
from datastore.records import Conversation, Job, Learning, LegalHold, Message, Page, Redaction, Upload
from datastore.records.erasures import SubjectKind

if TYPE_CHECKING:
    from datastore.repositories import (
        AuditRepository,
        ConversationRepository,
        ErasureRepository,
        JobQueueRepository,
        LearningRepository,
        LegalHoldRepository,
        MessageRepository,
        TransferRepository,
        UploadRepository,
    )

#: What was said counts as a name of its subject (in a job's payload, say) from so many characters, up to so many.
_SAID = range(16, 100_000)

Item = TypeVar("Item")


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


@attrs.define(kw_only=True)
class Belongings:
    """Everything of a subject. Held in memory, and meant for nobody's log."""

    conversations: list[Conversation] = attrs.field(factory=list, repr=False)
    messages: list[Message] = attrs.field(factory=list, repr=False)
    #: Of its conversations, and those of others that one of its messages is a source of.
    learnings: list[Learning] = attrs.field(factory=list, repr=False)
    uploads: list[Upload] = attrs.field(factory=list, repr=False)
    redactions: list[Redaction] = attrs.field(factory=list, repr=False)
    #: Jobs that name it: (id, status, texts).
    jobs: list[tuple[int, str, str]] = attrs.field(factory=list, repr=False)
    #: What keeps it from being erased.
    holds: list[LegalHold] = attrs.field(factory=list, repr=False)
    #: The learnings' ids.
    known: set[str] = attrs.field(factory=set, repr=False)

    def counts(self) -> dict[str, int]:
        """How many of each."""
        names = ("conversations", "messages", "learnings", "uploads", "redactions", "jobs")
        return {name: len(getattr(self, name)) for name in names}

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

    def said(self) -> list[str]:
        """What its messages and learnings say."""
        return [message.content for message in self.messages] + [learning.content for learning in self.learnings]


@attrs.frozen(kw_only=True)
class Disclosure:
    """What the database holds of a subject: what `erase` would take away. In the order of their lists."""

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


def disclose(holder: Holder, subject: Subject) -> Disclosure:
    """Everything of *subject*, as the caller's snapshot sees it.

    Raises:
        NotFoundError: There is no such subject.
    """
    mine = belongings(holder, subject)
    if not mine.conversations and not mine.learnings:
        raise NotFoundError(subject.kind)
    return Disclosure(
        conversations=tuple(mine.conversations),
        messages=tuple(mine.messages),
        learnings=tuple(mine.learnings),
        uploads=tuple(mine.uploads),
        redactions=tuple(mine.redactions),
        jobs=tuple(holder.jobs.get(id) for id, _, _ in mine.jobs),
        holds=tuple(mine.holds),
    )


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
    """Everything of *subject*, as the caller's snapshot or transaction sees it; empty where there is nothing.

    Args:
        holder: The store.
        subject: Whose.
        jobs: Whether the jobs that name it are looked for, which reads every job.
    """
    mine = Belongings()
    for conversation in _conversations(holder, subject):
        _add_conversation(holder, mine, conversation)
    if subject.kind == "learning" and (learning := holder.learnings.find(subject.id)) is not None:
        _add_learning(holder, mine, learning)
    if not jobs:
        return mine
    ids = list(dict.fromkeys([subject.id, *mine.ids()]))
    said = [text for text in mine.said() if len(text) in _SAID]
    # A message's own id stands in texts less often than there are messages.
    loose = {subject.id, *(learning.id for learning in mine.learnings)}
    loose |= {conversation.id for conversation in mine.conversations}
    mine.jobs = holder.erasures.naming_jobs([*ids, *said], sorted(loose))
    return mine


def _conversations(holder: Holder, subject: Subject) -> list[Conversation]:
    find, id = holder.conversations, subject.id
    if subject.kind == "session":
        shown = _all(lambda after: find.list(session_id=id, after=after, max_rows=1000))
        return shown + _all(lambda after: find.list(session_id=id, deleted=True, after=after, max_rows=1000))
    if subject.kind == "learning":
        return []
    one = find.find(id) if subject.kind == "conversation" else find.find(correlation_id=id)
    return [] if one is None else [one]


def _add_conversation(holder: Holder, mine: Belongings, conversation: Conversation) -> None:
    id = conversation.id
    mine.conversations.append(conversation)
    mine.messages += _all(lambda after: holder.messages.list(id, after=after, max_rows=1000))
    mine.redactions += _all(lambda after: holder.audit.redactions(id, after=after, max_rows=1000))
    if (hold := holder.holds.find(id)) is not None:
        mine.holds.append(hold)
    for learning, _ in holder.transfer.learnings(id):
        _add_learning(holder, mine, learning)
    for learning in holder.erasures.derived_learnings(id):
        _add_learning(holder, mine, learning)


def _add_learning(holder: Holder, mine: Belongings, learning: Learning) -> None:
    if learning.id in mine.known:
        return  # derived from two conversations of one session
    mine.known.add(learning.id)
    mine.learnings.append(learning)
    mine.uploads += _all(lambda after: holder.uploads.by_learning(learning.id, after=after, max_rows=1000))
    known = {hold.id for hold in mine.holds}
    hold = holder.holds.find(learning.conversation_id)
    if hold is not None and hold.id not in known:
        mine.holds.append(hold)


def _all(page_after: Callable[[str | None], Page[Item]]) -> list[Item]:
    items: list[Item] = []
    after: str | None = None
    while True:
        page = page_after(after)
        items += page.items
        after = page.next
        if after is None:
            return items
