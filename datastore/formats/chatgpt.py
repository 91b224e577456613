"""ChatGPT exports: ``conversations.json``, an array of conversations, each a tree of messages.

From each tree, the branch that the user saw last is read: from *current_node* up to the root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datastore import values
from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats.elements import CHUNK, MAX_ELEMENT, Element, Reader, array_elements
from datastore.formats.items import BadLine, ImportedConversation, ImportedMessage
from datastore.records import Role

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "tool": "tool"}

#: The model's reasoning and user instructions: not part of the conversation.
_UNSEEN = ("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context")


def read_chatgpt(
    stream: Reader, file: str = "", chunk: int = CHUNK
) -> Iterator[tuple[int, ImportedConversation | BadLine]]:
    """Read the conversations of an export one at a time, each with its first line number.

    An invalid element becomes a `BadLine`, and so does a truncated end; all other elements are read.

    Args:
        stream: A text stream, read *chunk* characters at a time.
        file: The file name for a `BadLine`.
        chunk: At least 1.
    """
    number, line = 0, 1
    try:
        for number, element in enumerate(array_elements(stream, chunk), 1):
            line = element.line
            try:
                yield line, _conversation(element)
            except InvalidValueError as error:
                yield line, BadLine(file, line, f"conversation {number} of the array: {error}")
    except InvalidValueError as error:
        yield line, BadLine(file, line, f"after conversation {number} of the array: {error}")


def _conversation(element: Element) -> ImportedConversation:
    if element.text is None:
        raise InvalidValueError(f"longer than {MAX_ELEMENT} characters")
    data = read.parse_object(element.text)
    mapping = data.get("mapping")
    if not isinstance(mapping, dict):
        raise InvalidValueError("mapping: must be a JSON object")
    key = "conversation_id" if data.get("conversation_id") else "id"
    return ImportedConversation(
        id=read.required_text(data, key, longest=200),
        source="chatgpt",
        title=read.optional_text(data, "title", longest=1000, may_be_empty=True),
        created_at=read.optional_unix_time(data, "create_time"),
        updated_at=read.optional_unix_time(data, "update_time"),
        messages=tuple(_branch_messages(mapping, data.get("current_node"))),
    )


def _branch_messages(mapping: Mapping[str, Any], current: Any) -> Iterator[ImportedMessage]:
    for node in _branch(mapping, current):
        message = node.get("message")
        if isinstance(message, dict):
            found = _message(message, node.get("id"))
            if found is not None:
                yield found


def _branch(mapping: Mapping[str, Any], current: Any) -> list[Mapping[str, Any]]:
    place = current if isinstance(current, str) and current in mapping else _newest_leaf(mapping)
    branch: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    while isinstance(place, str) and place in mapping:
        node = mapping[place]
        if place in seen or not isinstance(node, dict):
            raise InvalidValueError("mapping: is not a tree of messages")
        seen.add(place)
        branch.append(node)
        place = node.get("parent")
    return branch[::-1]


def _newest_leaf(mapping: Mapping[str, Any]) -> str | None:
    def made(place: str) -> float:
        message = mapping[place].get("message")
        time = message.get("create_time") if isinstance(message, dict) else None
        return float(time) if isinstance(time, int | float) and abs(time) < 1e15 else 0.0

    leaves = [place for place, node in mapping.items() if isinstance(node, dict) and not node.get("children")]
    return max(leaves, key=made, default=None)


def _message(data: Mapping[str, Any], node_id: Any) -> ImportedMessage | None:
    extra = data.get("metadata")
    extra = extra if isinstance(extra, dict) else {}
    author = data.get("author")
    author = author if isinstance(author, dict) else {}
    content = _content(data.get("content"))
    if not content or extra.get("is_visually_hidden_from_conversation") is True:
        return None
    role = author.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidValueError(f"mapping: a message's role must be one of {', '.join(_ROLES)}")
    metadata = {"model": extra.get("model_slug"), "name": author.get("name")}
    metadata = {key: value for key, value in metadata.items() if isinstance(value, str) and value}
    values.encode_json(metadata)
    return ImportedMessage(
        role=_ROLES[role],
        content=read.check_content(content, "mapping: a message's content"),
        id=read.optional_text(data if data.get("id") else {"id": node_id}, "id", "mapping: a message's ", 200),
        metadata=metadata,
        created_at=read.optional_unix_time(data, "create_time", "mapping: a message's "),
    )


def _content(content: Any) -> str:
    if not isinstance(content, dict) or content.get("content_type") in _UNSEEN:
        return ""
    parts = content.get("parts")
    if not isinstance(parts, list):
        parts = [content.get("text") or content.get("result")]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str) and text)
