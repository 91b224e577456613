"""Export conversations as chat JSON lines, which an import restores unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from datastore.formats import write_chat

if TYPE_CHECKING:
    from datastore.store import Datastore


def export(
    store: Datastore,
    stream: TextIO,
    *,
    session_id: str | None = None,
    source: str | None = None,
    include_deleted: bool = False,
) -> int:
    """Write conversations as chat JSON lines, newest first, as they were at one instant.

    Args:
        store: The store to read.
        stream: The text stream to write to, in UTF-8.
        session_id: Only conversations of this session.
        source: Only conversations of this source.
        include_deleted: Include soft-deleted conversations, with their *deleted_at*.

    Returns:
        The number of conversations written.
    """
    sources = store._parts.import_export
    count = 0
    with store.engine.events.operation("export") as counts, store.snapshot():
        for deleted in (False, True) if include_deleted else (False,):
            for conversation in store.conversations.iterate(session_id=session_id, source=source, deleted=deleted):
                branches = store.branches.iterate(conversation.id) if conversation.last_branch else ()
                stream.write(
                    write_chat(
                        conversation,
                        sources.messages(conversation.id),
                        sources.learnings(conversation.id),
                        branches,
                    )
                    + "\n"
                )
                count += 1
                counts["conversations"] = count
    return count
