"""Store the conversations of a file: new ones, and the messages that stored ones lack."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs

from datastore.errors import InvalidValueError, UniqueError
from datastore.formats import ImportedConversation, ImportedMessage
from datastore.importing.exported import store_exported
from datastore.importing.learnings import LearningImport
from datastore.importing.target import Target
from datastore.importing.tree import Place, Tree
from datastore.records import Conversation

if TYPE_CHECKING:
    from datastore.records.erasures import SubjectKind

#: Conversations of a file whose place is remembered; a transcript's sub-agents take turns with it.
_REMEMBERED = 100

#: What a file says of a conversation, and what may be filled in if a stored one lacks it.
_FIELDS = ("session_id", "correlation_id", "source", "title", "created_at")


class ConversationImport:
    """The conversations of one file, with their learnings."""

    def __init__(self, target: Target, learnings: LearningImport) -> None:
        self._target = target
        self._learnings = learnings
        #: Where the file is in each conversation that it may continue.
        self._places: OrderedDict[str, Place] = OrderedDict()
        #: The conversations that this file has created: what it says of them later counts.
        self._created: set[str] = set()

    def store(self, line: int, item: ImportedConversation, *, careful: bool) -> None:
        """Add a conversation, or the messages that a stored one lacks.

        Args:
            line: Its line in the file.
            item: The conversation.
            careful: Store each message separately, and give a new id to one whose id is in use, instead of failing.
        """
        is_there = self._target.store.conversations.lock([item.id])  # nobody appends after the comparison
        stored = self._target.store.conversations.get(item.id) if is_there else None
        if stored is None:
            names: dict[SubjectKind, str | None] = {
                "conversation": item.id,
                "session": item.session_id,
                "correlation": item.correlation_id,
            }
            if self._target.is_erased(names):
                self._target.batch.skip("conversation that was erased", 1, self._target.place(line))
                return
            stored = self._add_conversation(item)
        new = stored is None
        conversation = stored or self._target.store.conversations.get(item.id)
        if not new:
            self._compare(line, item, conversation)
        tree = self._messages(line, item, conversation, new=new, careful=careful)
        for learning in item.learnings:
            ids = tuple(tree.ids.get(id, id) for id in learning.message_ids) if tree else learning.message_ids
            self._learnings.store(line, attrs.evolve(learning, message_ids=ids), item.id)
        # Last, because everything above changes updated_at, and nothing can be added to a deleted conversation.
        if new and (item.updated_at is not None or item.deleted_at is not None):
            self._target.more.set_conversation_times(item.id, updated_at=item.updated_at, deleted_at=item.deleted_at)

    def _messages(
        self, line: int, item: ImportedConversation, conversation: Conversation, *, new: bool, careful: bool
    ) -> Tree | None:
        exported = any(message.position is not None for message in item.messages)
        if new and exported and not careful:
            store_exported(self._target, item)
            return None
        place = self._place(item) if item.continued else Place()
        if self._target.kind in ("claude-code", "codex", "oasst") or item.continued:
            self._places[item.id] = place
            self._places.move_to_end(item.id)
            if len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)
        tree = Tree(self._target, conversation, place, line, careful=careful, keep_ids=exported)
        tree.add_all(linked(item) if exported else item.messages)
        if tree.added:
            at = place.links.get(item.current or "") or place.at
            before = self._target.store.conversations.get(item.id)
            if at is not None and at[0] != before.active_branch:
                self._target.store.branches.switch(item.id, at[0])
                self._target.more.set_conversation_times(item.id, updated_at=before.updated_at)
        return tree

    def _place(self, item: ImportedConversation) -> Place:
        return self._places.get(item.id) or Place()

    def marks(self) -> tuple[dict[str, Place], set[str]]:
        """The state to restore if a batch fails."""
        return {id: attrs.evolve(place, links=place.links.copy()) for id, place in self._places.items()}, set(
            self._created
        )

    def go_back(self, marks: tuple[dict[str, Place], set[str]]) -> None:
        """Restore a state."""
        self._places, self._created = OrderedDict(marks[0]), marks[1]

    def _add_conversation(self, item: ImportedConversation) -> Conversation | None:
        """Add it and return None; return the stored one if another process has added it since the lookup."""
        created = item.created_at
        if created is None:
            created = next((message.created_at for message in item.messages if message.created_at is not None), None)
        conversations = self._target.store.conversations
        try:
            conversations.add(
                id=item.id,
                session_id=item.session_id,
                correlation_id=item.correlation_id,
                source=item.source or self._target.kind,
                title=item.title,
                sanitization_version=item.sanitization_version or self._target.sanitization_version,
                metadata=item.metadata,
                created_at=created,
                updated_at=item.updated_at,
                completed_at=item.completed_at,
            )
        except UniqueError as error:
            if conversations.lock([item.id]):
                return conversations.get(item.id)
            if "correlation" in error.constraint:
                raise
            return self._add_conversation(item)  # it was added and deleted again by another process
        self._target.batch.conversations += 1
        self._created.add(item.id)
        return None

    def _compare(self, line: int, item: ImportedConversation, stored: Conversation) -> None:
        """Count a conversation that is stored, and fill in what its row lacks."""
        mine = stored.id in self._created
        given = {name: getattr(item, name) for name in _FIELDS if getattr(item, name) is not None}
        news: dict[str, Any] = {name: value for name, value in given.items() if getattr(stored, name) is None}
        metadata = {key: value for key, value in item.metadata.items() if mine or key not in stored.metadata}
        if mine:
            news |= {"title": item.title} if item.title and item.title != stored.title else {}
        differing = [
            name for name, value in given.items() if getattr(stored, name) not in (None, value) and name not in news
        ]
        changed = [key for key, value in item.metadata.items() if key not in metadata and stored.metadata[key] != value]
        if stored.deleted_at is None and (
            news or any(stored.metadata.get(key) != value for key, value in metadata.items())
        ):
            self._target.store.conversations.update(stored.id, **news, metadata={**stored.metadata, **metadata})
            self._target.more.set_conversation_times(stored.id, updated_at=stored.updated_at)
        if item.continued:
            return
        if differing or changed:
            what = ", ".join([*differing, *(["metadata"] if changed else [])])
            self._target.differs(line, f"a conversation is stored with another {what}")
        else:
            self._target.batch.unchanged += 1


def linked(item: ImportedConversation) -> tuple[ImportedMessage, ...]:
    """The messages of an export, with the parents that their branches and positions say."""
    return _Links(item).messages()


class _Links:
    def __init__(self, item: ImportedConversation) -> None:
        self._item = item
        self._forks = {branch.branch: (branch.parent_branch, branch.fork_position) for branch in item.branches}
        self._ids: dict[int, list[tuple[int, str]]] = {}

    def messages(self) -> tuple[ImportedMessage, ...]:
        found = []
        for number, message in enumerate(self._item.messages, 1):
            branch = message.branch or 0
            last = self._ids.setdefault(branch, [])
            position = message.position or (last[-1][0] if last else self._forks.get(branch, (0, 0))[1]) + 1
            id = message.id or f"message {number}"
            found.append(attrs.evolve(message, id=id, parent=self._before(branch, position)))
            last.append((position, id))
        return tuple(found)

    def _before(self, branch: int, position: int) -> str:
        for _ in range(len(self._forks) + 1):
            own = [id for at, id in self._ids.get(branch, []) if at < position]
            if own:
                return own[-1]
            if branch not in self._forks:
                return ""
            branch, fork = self._forks[branch]
            position = min(position, fork + 1)
        raise InvalidValueError("branches: they fork from each other")
