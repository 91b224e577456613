"""The data of a subject: everything that the database stores about a conversation, session, correlation or learning.

Disclosure and erasure both use this module, so exactly the disclosed data is erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from datastore.errors import InvalidValueError, NotFoundError
from datastore.records import Branch, Conversation, Job, Learning, LegalHold, Message, Redaction, Schedule, Upload
from datastore.records.erasures import SubjectKind
from datastore.records.own_rows import OwnRows
from datastore.records.parts import encode_parts
from datastore.records.vectors import StoredVector
from datastore.retention.names import Names, texts_in

if TYPE_CHECKING:
    from datastore.repositories import Repositories


@attrs.frozen
class Subject:
    """A subject: one conversation, all of a session, the one with a correlation id, or one learning."""

    kind: SubjectKind
    id: str

    @classmethod
    def of(
        cls,
        *,
        conversation_id: str | None = None,
        session_id: str | None = None,
        correlation_id: str | None = None,
        learning_id: str | None = None,
    ) -> Subject:
        """Create the subject from the one argument that is given.

        Raises:
            InvalidValueError: No argument is given, or several, or an empty one.
        """
        given: dict[SubjectKind, str | None] = {
            "conversation": conversation_id,
            "session": session_id,
            "correlation": correlation_id,
            "learning": learning_id,
        }
        named = [cls(kind, id) for kind, id in given.items() if id is not None]
        if len(named) != 1 or not named[0].id:
            raise InvalidValueError("give one of conversation_id, session_id, correlation_id and learning_id")
        return named[0]


@attrs.frozen(kw_only=True)
class SubjectData:
    """All data of a subject, each kind in its list order. It is held in memory; its repr shows no content."""

    conversations: tuple[Conversation, ...] = attrs.field(repr=False)
    #: The branches of conversations with a fork.
    branches: tuple[Branch, ...] = attrs.field(repr=False)
    #: Those of every branch.
    messages: tuple[Message, ...] = attrs.field(repr=False)
    #: Those of its conversations, and those of other conversations derived from its messages.
    learnings: tuple[Learning, ...] = attrs.field(repr=False)
    uploads: tuple[Upload, ...] = attrs.field(repr=False)
    redactions: tuple[Redaction, ...] = attrs.field(repr=False)
    #: The vectors of its messages and learnings.
    vectors: tuple[StoredVector, ...] = attrs.field(repr=False)
    #: Jobs that name it or quote a whole text of it.
    jobs: tuple[Job, ...] = attrs.field(repr=False)
    #: Schedules whose jobs would name it.
    schedules: tuple[Schedule, ...] = attrs.field(repr=False, default=())
    #: The ids of jobs that may name it: `datastore.retention.names.Names.named_in`.
    perhaps_jobs: tuple[int, ...] = ()
    #: Holds that prevent its erasure.
    holds: tuple[LegalHold, ...] = attrs.field(repr=False)
    #: Rows of the application's own tables that are deleted with it or unlinked from it.
    own_tables: tuple[OwnRows, ...] = attrs.field(repr=False)

    def counts(self) -> dict[str, int]:
        """The number of records of each kind."""
        names = ("conversations", "messages", "learnings", "uploads", "redactions", "vectors", "jobs", "schedules")
        return {name: len(getattr(self, name)) for name in names}

    def own_counts(self) -> dict[str, dict[str, int]]:
        """The number of rows of each own table that are deleted, and that are unlinked."""
        counts: dict[str, dict[str, int]] = {}
        for own in self.own_tables:
            counts.setdefault(own.table, {})[own.fate] = len(own.rows)
        return counts

    def ids(self) -> list[str]:
        """The ids by which it is known."""
        own = [conversation.id for conversation in self.conversations]
        own += [message.id for message in self.messages]
        own += [learning.id for learning in self.learnings]
        return own + [conversation.correlation_id for conversation in self.conversations if conversation.correlation_id]

    def texts(self) -> Iterator[str]:
        """All of its texts: titles and labels first, then contents from the shortest to the longest, then parts and metadata."""
        for conversation in self.conversations:
            yield conversation.title or ""
        for branch in self.branches:
            yield branch.label or ""
        for learning in self.learnings:
            yield learning.title
        yield from sorted(self.said(), key=len)
        metadata: list[Any] = [conversation.metadata for conversation in self.conversations]
        metadata += [message.metadata for message in self.messages]
        metadata += [encode_parts(message.parts) for message in self.messages if message.parts]
        metadata += [learning.metadata for learning in self.learnings]
        metadata += [(upload.metadata, upload.receipt, upload.last_error) for upload in self.uploads]
        yield from strings_in(metadata)
        yield from strings_in([own.rows for own in self.own_tables if own.fate == "deleted"])

    def vector_bytes(self) -> Iterator[bytes]:
        """Its vectors as they are stored."""
        for vector in self.vectors:
            yield bytes(number % 256 for number in vector.vector)

    def said(self) -> list[str]:
        """The contents of its messages and learnings."""
        return [message.content for message in self.messages] + [learning.content for learning in self.learnings]


def strings_in(value: object) -> Iterator[str]:
    """The texts in a JSON value, without its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings_in(part)


def subject_data(parts: Repositories, subject: Subject, *, jobs: bool = True) -> SubjectData:
    """All data of *subject*, as the caller's snapshot or transaction sees it.

    Args:
        parts: The repositories.
        subject: The subject.
        jobs: Whether to find the jobs that name it, which reads every job.

    Raises:
        NotFoundError: There is no such subject.
    """
    mine = find_subject_data(parts, subject, jobs=jobs)
    if not mine.conversations and not mine.learnings:
        raise NotFoundError(subject.kind)
    return mine


def find_subject_data(
    parts: Repositories, subject: Subject, *, jobs: bool = True, also: Sequence[str] = ()
) -> SubjectData:
    """As `subject_data`, but empty if there is no such subject. Jobs are also matched by the ids in *also*."""
    conversations = tuple(_conversations(parts, subject))
    learnings: dict[str, Learning] = {}
    #: The conversations that contain it, and that may be on hold.
    places: dict[str, None] = {}
    for conversation in conversations:
        places[conversation.id] = None
        for learning in _learnings(parts, conversation.id):
            # A learning may be derived from two conversations of one session.
            places[learnings.setdefault(learning.id, learning).conversation_id] = None
    if subject.kind == "learning" and (one := parts.learnings.find(subject.id)) is not None:
        learnings[one.id] = one
        places[one.conversation_id] = None
    messages = tuple(message for one in conversations for message in parts.import_export.messages(one.id))
    mine = SubjectData(
        conversations=conversations,
        branches=tuple(branch for one in conversations if one.last_branch for branch in parts.branches.iterate(one.id)),
        messages=messages,
        learnings=tuple(learnings.values()),
        uploads=tuple(upload for id in learnings for upload in parts.uploads.iterate_by_learning(id)),
        redactions=tuple(
            redaction for one in conversations for redaction in parts.redactions.iterate_by_conversation(one.id)
        ),
        vectors=(
            *parts.vectors.stored("messages", [message.id for message in messages]),
            *parts.vectors.stored("learnings", list(learnings)),
        ),
        jobs=(),
        holds=tuple(hold for place in places if (hold := parts.holds.find(place)) is not None),
        own_tables=parts.own_tables.dependents(
            {"conversations": [one.id for one in conversations], "learnings": list(learnings)}
        ),
    )
    return _with_jobs(parts, mine, names_of(subject, mine, also)) if jobs else mine


def names_of(subject: Subject, mine: SubjectData, also: Sequence[str] = ()) -> Names:
    """The names by which a job may refer to a subject."""
    # Custom message ids are numerous and rarely occur inside texts, so only message ids that are UUIDs are searched for there.
    inside = [subject.id, *also, *(learning.id for learning in mine.learnings), *(one.id for one in mine.conversations)]
    return Names([subject.id, *also, *mine.ids()], inside, mine.said())


def _with_jobs(parts: Repositories, mine: SubjectData, names: Names) -> SubjectData:
    named: dict[int, bool | None] = {}
    for row in parts.erasures.job_texts():
        keys = (row.dedupe_key, row.limit_key, row.sequence_key, row.batch_id, row.after_batch)
        own = (row.type, row.worker, *keys, row.last_error)
        named[row.id] = names.named_in([*filter(None, own), *texts_in([row.payload, row.progress, row.result])])
    for attempt in parts.erasures.attempt_texts():
        if not named.get(attempt.job_id):
            found = names.named_in(filter(None, (attempt.worker, attempt.error)))
            named[attempt.job_id] = named.get(attempt.job_id) if found is False else found
    jobs = (parts.jobs.find(id) for id, found in sorted(named.items()) if found)
    perhaps = tuple(id for id, found in sorted(named.items()) if found is None)
    schedules = tuple(
        schedule
        for schedule in parts.schedules.iterate()
        if names.named_in([schedule.name, schedule.type, *texts_in(schedule.payload)])
    )
    found_jobs = tuple(job for job in jobs if job is not None)
    return attrs.evolve(mine, jobs=found_jobs, schedules=schedules, perhaps_jobs=perhaps)


def _conversations(parts: Repositories, subject: Subject) -> Iterator[Conversation]:
    find, id = parts.conversations, subject.id
    if subject.kind == "session":
        for deleted in (False, True):
            yield from find.iterate(session_id=id, deleted=deleted)
    elif subject.kind != "learning":
        one = find.find(id) if subject.kind == "conversation" else find.find(correlation_id=id)
        if one is not None:
            yield one


def _learnings(parts: Repositories, conversation_id: str) -> Iterator[Learning]:
    for learning, _ in parts.import_export.learnings(conversation_id):
        yield learning
    yield from parts.erasures.derived_learnings(conversation_id)
