"""Open Assistant: message trees (one per line), and flat messages that name their parents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.base import BAD, Context, Format, Items, Notes, as_object, id_of, make_message, some
from datastore.formats.blocks import parts_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.records import Record
from datastore.records import Role

_ROLES: Mapping[str, Role] = {"prompter": "user", "user": "user", "assistant": "assistant", "system": "system"}

_MESSAGE = {
    name: name
    for name in (
        "lang",
        "rank",
        "review_count",
        "review_result",
        "deleted",
        "synthetic",
        "model_name",
        "emojis",
        "labels",
        "user_id",
    )
}

#: Messages of one tree that are read at once, from flat files.
PIECE = 10_000


def _recognize(value: Any) -> str | None:
    if isinstance(value, dict) and "message_tree_id" in value:
        if isinstance(value.get("prompt"), dict):
            return "it has a message_tree_id and a prompt"
        if "message_id" in value:
            return "it has a message_tree_id and a message_id"
    return None


def _read(records: Iterator[Record], context: Context) -> Items:
    flat: list[tuple[dict[str, Any], int]] = []
    begun: set[str] = set()
    for record in records:
        notes = Notes(context, record.line)
        try:
            data = as_object(record.value)
            tree = id_of(data.get("message_tree_id"))
            if tree is None:
                raise InvalidValueError("message_tree_id: is missing")
            if flat and (flat[0][0]["message_tree_id"] != data["message_tree_id"] or len(flat) == PIECE):
                yield from _flat(flat, begun, context)
                flat = []
            if isinstance(data.get("prompt"), dict):
                yield record.line, _tree(tree, data, notes)
            else:
                flat.append((data, record.line))
        except BAD as error:
            notes.bad(error)
        yield from notes.take()
    if flat:
        yield from _flat(flat, begun, context)


def _tree(id: str, data: Mapping[str, Any], notes: Notes) -> ImportedConversation:
    messages: list[ImportedMessage] = []
    todo: list[tuple[Any, str]] = [(data["prompt"], ROOT)]
    while todo:
        node, parent = todo.pop()
        if not isinstance(node, dict):
            notes.bad("replies: a reply is no JSON object")
            continue
        try:
            message = _message(node, parent, notes)
        except BAD as error:
            notes.bad(f"message {len(messages) + 1}: {error}")
            message = None
        if message is not None:
            messages.append(message)
            parent = message.id or parent
        todo += [(reply, parent) for reply in reversed(node.get("replies") or [])]
    return _conversation(id, messages, data, continued=False)


def _conversation(
    id: str, messages: list[ImportedMessage], data: Mapping[str, Any], *, continued: bool
) -> ImportedConversation:
    best = _best(messages)
    return ImportedConversation(
        id=id,
        source="oasst",
        metadata={} if continued else some(data, {"tree_state": "tree_state", "origin": "origin", "lang": "lang"}),
        messages=tuple(messages),
        current=best,
        continued=continued,
    )


def _best(messages: list[ImportedMessage]) -> str | None:
    """The end of the branch of the best ranked replies."""
    children: dict[str, list[ImportedMessage]] = {}
    for message in messages:
        children.setdefault(message.parent or "", []).append(message)
    at = messages[0].parent or "" if messages else ""
    seen: set[str] = set()
    while at in children and at not in seen:
        seen.add(at)
        at = min(children[at], key=lambda message: message.metadata.get("rank", 1 << 20)).id or ""
    return at or None


def _message(data: Mapping[str, Any], parent: str, notes: Notes) -> ImportedMessage | None:
    role = data.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidValueError(f"role: must be one of {', '.join(_ROLES)}")
    message = make_message(
        _ROLES[role],
        parts_of(data.get("text"), "text"),
        id=id_of(data.get("message_id")),
        parent=parent,
        metadata=some(data, _MESSAGE),
        created_at=notes.field(read.any_time, data, "created_date"),
        line=notes.line,
    )
    if message is None:
        notes.ignored("empty message")
    return message


def _flat(flat: list[tuple[dict[str, Any], int]], begun: set[str], context: Context) -> Items:
    """The messages of one tree, each after its parent, whatever their order in the file."""
    tree = id_of(flat[0][0]["message_tree_id"]) or ""
    children: dict[str, list[tuple[dict[str, Any], int]]] = {}
    here = {data.get("message_id") for data, _ in flat}
    for data, line in flat:
        parent = data.get("parent_id")
        children.setdefault(
            parent if isinstance(parent, str) and parent in here and parent != data.get("message_id") else ROOT, []
        ).append((data, line))
    messages: list[ImportedMessage] = []
    todo: list[tuple[dict[str, Any], int, str]] = [
        (data, line, ROOT) for data, line in reversed(children.pop(ROOT, []))
    ]
    while todo or children:
        if not todo:  # a circle
            todo = [(data, line, ROOT) for data, line in children.pop(next(iter(children)))]
        data, line, parent = todo.pop()
        notes = Notes(context, line)
        given = data.get("parent_id")
        if parent == ROOT and isinstance(given, str) and given:
            parent = given if tree in begun else ROOT
            if parent == ROOT:
                notes.bad("parent_id: there is no such message before it; it is read as the first of its tree")
        try:
            message = _message(data, parent, notes)
        except BAD as error:
            notes.bad(error)
            message = None
        if message is not None:
            messages.append(message)
        after = message.id if message is not None and message.id else parent
        todo += [(reply, at, after) for reply, at in reversed(children.pop(str(data.get("message_id")), []))]
        yield from notes.take()
    yield flat[0][1], _conversation(tree, messages, flat[0][0], continued=tree in begun)
    begun.add(tree)


OASST = Format("oasst", _recognize, _read)
