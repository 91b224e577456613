"""Store a conversation that this library exported exactly as it was: its branches, positions and gaps."""

from __future__ import annotations

from datastore.errors import InvalidValueError
from datastore.formats import ImportedConversation, ImportedMessage
from datastore.importing.target import Target
from datastore.records import NewMessage


def store_exported(target: Target, item: ImportedConversation) -> None:
    """Add the branches and messages of a conversation that was just added.

    Raises:
        InvalidValueError: The branches and positions contradict each other.
        UniqueError: An id is in use.
    """
    last = {0: 0}
    for branch in sorted(item.branches, key=lambda branch: branch.branch):
        if branch.parent_branch not in last:
            raise InvalidValueError("branches: a branch comes before its parent")
        target.more.add_branch(
            item.id,
            branch=branch.branch,
            parent_branch=branch.parent_branch,
            fork_position=branch.fork_position,
            created_at=branch.created_at or item.created_at,
            label=branch.label,
        )
        target.batch.branches += 1
        last[branch.branch] = branch.fork_position
    run: list[NewMessage] = []
    at = 0
    for message in item.messages:
        branch_of = message.branch or 0
        if branch_of not in last:
            raise InvalidValueError("messages: a message is on a branch that the conversation does not have")
        position = last[branch_of] + 1 if message.position is None else message.position
        if branch_of != at or position != last[branch_of] + 1:
            _flush(target, item, at, run)
            at = branch_of
            if position != last[branch_of] + 1:
                target.more.skip_positions(item.id, position - 1, branch=branch_of)
        run.append(_new(item, message, position))
        last[branch_of] = position
    _flush(target, item, at, run)
    target.batch.messages += len(item.messages)
    if item.last_position:
        target.more.skip_positions(item.id, item.last_position)
    for branch in item.branches:
        if branch.last_position:
            target.more.skip_positions(item.id, branch.last_position, branch=branch.branch)
    if item.active_branch or item.last_branch:
        target.more.set_branches(item.id, active_branch=item.active_branch or 0, last_branch=item.last_branch or 0)


def _flush(target: Target, item: ImportedConversation, branch: int, run: list[NewMessage]) -> None:
    if run:
        target.store.messages.append_many(item.id, run, branch=branch)
        run.clear()


def _new(item: ImportedConversation, message: ImportedMessage, position: int) -> NewMessage:
    place = f"{message.branch}." if message.branch else ""
    return NewMessage(
        role=message.role,
        content=None if message.parts else message.content,
        parts=message.parts or None,
        id=message.id or f"{item.id}:{place}{position}"[:200],
        source_id=message.source_id,
        token_count=message.token_count,
        metadata=message.metadata,
        created_at=message.created_at or item.created_at,
        partial=message.partial,
    )
