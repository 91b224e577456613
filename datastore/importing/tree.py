"""Follows the messages of a file through a stored conversation, and adds those that it lacks: at the end of a branch, or on a new one.

A stored conversation is a tree whose nodes are (branch, position). The next message of a file is compared with the children of
the node that it follows: the same message is passed, a deleted one stays deleted, and any other is added. So importing again
changes nothing, a longer file appends, and another history becomes a branch.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

import attrs

from datastore.errors import ConstraintError, InvalidValueError
from datastore.formats import ROOT, BadLine, ImportedMessage
from datastore.importing.target import Target
from datastore.records import Conversation, MessageKey, NewMessage
from datastore.repositories.message_body import body_of
from datastore.values import new_id

#: A message's branch and position; position 0 is the beginning of the conversation.
Node: TypeAlias = tuple[int, int]

_START: Node = (0, 0)

#: Positions of a branch that are read at once.
_WINDOW = 500

#: Ids of a conversation's messages that are remembered between its pieces; others are looked up in the store.
_REMEMBERED = 100_000


@attrs.define
class _Branch:
    parent: Node
    last: int


@attrs.define
class Place:
    """Where a file is in a conversation: what is kept between two pieces of it."""

    #: The last message; None: the file has not begun yet.
    at: Node | None = None
    #: The nodes of the file's ids.
    links: OrderedDict[str, Node] = attrs.field(factory=OrderedDict)

    def reach(self, message: ImportedMessage, node: Node) -> None:
        self.at = node
        if message.id is not None:
            self.links[message.id] = node
            if len(self.links) > _REMEMBERED:
                self.links.popitem(last=False)


class Tree:
    """One conversation, while a piece of it is stored in a transaction.

    Args:
        target: The target of the import.
        stored: The conversation's row.
        place: Where the file is.
        line: The line of the piece.
        careful: Store each message separately, and check whether its ids are free, instead of failing.
        keep_ids: Whether the file's ids are those of messages in a store: it was exported by this library.
    """

    def __init__(
        self, target: Target, stored: Conversation, place: Place, line: int, *, careful: bool, keep_ids: bool
    ) -> None:
        self._target = target
        self._stored = stored
        self._place = place
        self._line = line
        self._careful = careful
        self._keep_ids = keep_ids
        self._branches = {0: _Branch(_START, stored.last_position)}
        if stored.last_branch:
            for branch in target.store.branches.iterate(stored.id):
                if branch.branch:
                    parent = (branch.parent_branch or 0, branch.fork_position)
                    self._branches[branch.branch] = _Branch(parent, branch.last_position)
        self._forks: dict[Node, list[int]] = {}
        for number, branch_of in self._branches.items():
            if number:
                self._forks.setdefault(branch_of.parent, []).append(number)
        self._keys: dict[Node, tuple[str, str, str | None, str]] = {}
        self._windows: set[Node] = set()
        self._run: list[NewMessage] = []
        self._run_branch = 0
        #: The number of messages that were added, and the id of each in the file.
        self.added = 0
        self.ids: dict[str, str] = {}

    def add_all(self, messages: tuple[ImportedMessage, ...]) -> None:
        """Follow *messages*, and store those that are not stored."""
        for message in messages:
            self._follow(message)
        self._flush()

    def _follow(self, message: ImportedMessage) -> None:
        known = self._as_exported(message) or self._at_first(message)
        parent = known or self._parent(message)
        node = known or self._child(parent, message)
        if node is not None:
            if node in self._keys:
                self._target.batch.unchanged += 1
            else:
                self._target.batch.skip("message that was deleted", 1, self._target.place(message.line or self._line))
            self._place.reach(message, node)
        elif self._stored.deleted_at is not None:
            self._target.batch.skip(
                "message of a deleted conversation", 1, self._target.place(message.line or self._line)
            )
        else:
            self._add(parent, message)

    def _as_exported(self, message: ImportedMessage) -> Node | None:
        """The node where an export says that its message is, if the same message is there."""
        if message.position is None:
            return None
        node = (message.branch or 0, message.position)
        return node if node[0] in self._branches and self._is_at(node, message) else None

    def _at_first(self, message: ImportedMessage) -> Node | None:
        """The node of a file's first message, if the file is the later part of a conversation."""
        if self._place.at is not None or message.id is None or message.position is not None:
            return None
        if message.parent == ROOT or self._is_at((0, 1), message):
            return None
        return next((node for node in self._nodes_of(message.id) if self._is_at(node, message)), None)

    def _parent(self, message: ImportedMessage) -> Node:
        if message.parent is None:
            return self._place.at or _START
        if message.parent == ROOT:
            return _START
        if (node := self._place.links.get(message.parent)) is not None:
            return node
        found = self._nodes_of(message.parent)
        return found[-1] if found else self._place.at or _START

    def _nodes_of(self, id: str) -> list[Node]:
        """The nodes of a message of the file, by its id; those on later branches come last."""
        self._flush()
        messages = self._target.store.messages
        found = [messages.find_by_source(self._stored.id, id, branch=branch) for branch in sorted(self._branches)]
        found.append(messages.find(id))
        return [
            (key.branch, key.position) for key in found if key is not None and key.conversation_id == self._stored.id
        ]

    def _child(self, parent: Node, message: ImportedMessage) -> Node | None:
        """The child that is the same message, or a place where a message was deleted."""
        children = [(parent[0], parent[1] + 1), *((fork, parent[1] + 1) for fork in self._forks.get(parent, ()))]
        for node in children:
            if self._is_at(node, message):
                return node
        gaps = (node for node in children if node not in self._keys and node[1] <= self._branches[node[0]].last)
        return next(gaps, None)

    def _is_at(self, node: Node, message: ImportedMessage) -> bool:
        branch, position = node
        if node not in self._keys and 0 < position <= self._branches[branch].last:
            self._load(branch, position)
        if (key := self._keys.get(node)) is None:
            return False
        id, role, source_id, content_hash = key
        if message.id is not None and message.id != id and source_id is not None and source_id != message.id:
            return False
        return role == message.role and content_hash == _hash(message)

    def _load(self, branch: int, position: int) -> None:
        first = position - (position - 1) % _WINDOW
        if (branch, first) in self._windows:
            return
        self._windows.add((branch, first))
        for key in self._target.more.message_keys(self._stored.id, first, first + _WINDOW - 1, branch=branch):
            self._keys[branch, key.position] = _of(key)

    def _add(self, parent: Node, message: ImportedMessage) -> None:
        branch, position = parent
        if position < self._branches[branch].last:
            branch = self._fork(parent)
        if branch != self._run_branch:
            self._flush()
            self._run_branch = branch
        node = (branch, position + 1)
        new = self._new(message, node)
        self._run.append(new)
        if self._careful and not self._stored_alone(message):
            return
        self._branches[branch].last = position + 1
        self._keys[node] = (new.id or "", new.role, new.source_id, _hash(message))
        self._place.reach(message, node)
        self.added += 1
        if message.id is not None and message.id != new.id:
            self.ids[message.id] = new.id or ""

    def _fork(self, parent: Node) -> int:
        self._flush()
        fork = self._target.store.branches.fork(self._stored.id, position=parent[1], branch=parent[0], switch=False)
        self._branches[fork.branch] = _Branch(parent, parent[1])
        self._forks.setdefault(parent, []).append(fork.branch)
        self._target.batch.branches += 1
        return fork.branch

    def _new(self, message: ImportedMessage, node: Node) -> NewMessage:
        place = f"{node[0]}." if node[0] else ""
        id = message.id if self._keep_ids and message.id else f"{self._stored.id}:{place}{node[1]}"
        source_id = message.source_id if self._keep_ids else message.id
        if self._careful or len(id) > 200:
            if len(id) > 200 or self._target.store.messages.find(id) is not None:
                id, source_id = new_id(), source_id or message.id
            if source_id is not None and any(branch == node[0] for branch, _ in self._nodes_of(source_id)):
                source_id = None
        return NewMessage(
            role=message.role,
            content=None if message.parts else message.content,
            parts=message.parts or None,
            id=id,
            source_id=source_id,
            token_count=message.token_count,
            metadata=message.metadata,
            created_at=message.created_at or self._stored.created_at,
            partial=message.partial,
        )

    def _stored_alone(self, message: ImportedMessage) -> bool:
        try:
            with self._target.store.transaction():
                self._flush()
        except (ConstraintError, InvalidValueError) as error:
            self._run.clear()
            self._target.bad(BadLine(self._target.file, message.line or self._line, f"a message: {error}"))
            return False
        return True

    def _flush(self) -> None:
        if self._run:
            self._target.store.messages.append_many(self._stored.id, self._run, branch=self._run_branch)
            self._target.batch.messages += len(self._run)
            self._run = []


def _of(key: MessageKey) -> tuple[str, str, str | None, str]:
    return key.id, key.role, key.source_id, key.content_hash


def _hash(message: ImportedMessage) -> str:
    parts = message.parts or None
    return body_of(None if parts else message.content, parts, partial=message.partial).content_hash
