"""ChatGPT: exports (an array of conversations, or one), and shared links.

A conversation is a tree of messages with a *current_node*; every branch of it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import (
    BAD,
    Format,
    Notes,
    as_object,
    id_of,
    make_message,
    objects,
    per_record,
    some,
    title_of,
)
from datastore.formats.blocks import decoded, text_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.parts import Part
from datastore.records import Role

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "tool": "tool"}

_CONVERSATION = {
    "default_model_slug": "model",
    "gizmo_id": "gizmo_id",
    "is_archived": "is_archived",
    "is_starred": "is_starred",
    "conversation_template_id": "conversation_template_id",
    "plugin_ids": "plugin_ids",
    "memory_scope": "memory_scope",
    "voice": "voice",
}

_MESSAGE = {
    "model_slug": "model",
    "finish_details": "finish_details",
    "is_visually_hidden_from_conversation": "hidden",
    "citations": "citations",
    "content_references": "content_references",
    "voice_mode_message": "voice",
    "canvas": "canvas",
}


def _recognize(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("mapping"), dict):
        return "it has a mapping of messages"
    if isinstance(value.get("linear_conversation"), list):
        return "it has a linear_conversation"
    return None


def _conversation(value: Any, notes: Notes) -> ImportedConversation:
    data = as_object(value)
    nodes = data.get("mapping")
    linear = data.get("linear_conversation")
    if not isinstance(nodes, dict):
        if not isinstance(linear, list):
            raise InvalidValueError("mapping: must be a JSON object")
        nodes = _chained(linear)
    id = next((id for key in ("conversation_id", "id", "share_id") if (id := notes.field(id_of, data.get(key)))), None)
    if id is None:
        raise InvalidValueError("conversation_id: is missing")
    metadata = some(data, _CONVERSATION)
    messages, stored = _messages(nodes, notes)
    current = data.get("current_node")
    return ImportedConversation(
        id=id,
        source="chatgpt",
        title=notes.field(title_of, data.get("title"), metadata),
        metadata=metadata,
        created_at=notes.field(read.any_time, data, "create_time"),
        updated_at=notes.field(read.any_time, data, "update_time"),
        messages=tuple(messages),
        current=stored.get(current) if isinstance(current, str) else None,
    )


def _chained(linear: list[Any]) -> dict[str, Any]:
    """The nodes of a shared link without a mapping: each follows the previous one, unless it names its parent."""
    nodes: dict[str, Any] = {}
    previous: str | None = None
    for number, node in enumerate(objects(linear), 1):
        id = node.get("id")
        id = id if isinstance(id, str) else f"node {number}"
        nodes[id] = {"parent": previous, **node}
        previous = id
    return nodes


def _messages(nodes: Mapping[str, Any], notes: Notes) -> tuple[list[ImportedMessage], dict[str, str]]:
    """The messages of a tree, each after its parent; and for each node, the id of the last message up to it."""
    messages: list[ImportedMessage] = []
    upto: dict[str, str] = {}
    ids: set[str] = set()
    for place in _ordered(nodes, notes):
        node = nodes[place]
        parent = upto.get(node["parent"], ROOT) if isinstance(node.get("parent"), str) else ROOT
        upto[place] = parent
        data = node.get("message")
        if not isinstance(data, dict):
            continue
        try:
            found = _message(data, place, parent, notes)
        except BAD as error:
            notes.bad(f"message {len(messages) + 1}: {error}")
            continue
        if found is None:
            notes.ignored("empty message")
        elif found.id in ids:
            notes.ignored("repeated message")
        else:
            messages.append(found)
            ids.add(found.id or "")
            upto[place] = found.id or ""
    return messages, upto


def _ordered(nodes: Mapping[str, Any], notes: Notes) -> Iterator[str]:
    """The places of the nodes, each after its parent, in the order of their children lists; every node once."""
    children: dict[str | None, list[str]] = {}
    for place, node in nodes.items():
        if not isinstance(node, dict):
            notes.bad("mapping: a node is no JSON object")
            continue
        parent = node.get("parent")
        children.setdefault(
            parent if isinstance(parent, str) and parent in nodes and parent != place else None, []
        ).append(place)
    for place, node in nodes.items():
        listed = node.get("children") if isinstance(node, dict) else None
        if isinstance(listed, list) and place in children:
            order = {child: number for number, child in enumerate(listed) if isinstance(child, str)}
            children[place].sort(key=functools.partial(_rank, order))
    todo = children.pop(None, [])[::-1]
    while todo or children:
        if not todo:  # a circle: it is opened anywhere
            notes.bad("mapping: messages are their own ancestors; one of them is read as the first")
            todo = [children.pop(next(iter(children))).pop()]
        place = todo.pop()
        yield place
        todo += children.pop(place, [])[::-1]


def _rank(order: Mapping[str, int], child: str) -> int:
    return order.get(child, len(order))


def _message(data: Mapping[str, Any], place: str, parent: str, notes: Notes) -> ImportedMessage | None:
    extra = data.get("metadata")
    extra = extra if isinstance(extra, dict) else {}
    author = data.get("author")
    author = author if isinstance(author, dict) else {}
    role = author.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidValueError(f"the author's role must be one of {', '.join(_ROLES)}")
    metadata = {
        **some(extra, _MESSAGE),
        "name": author.get("name"),
        "recipient": None if data.get("recipient") == "all" else data.get("recipient"),
        "channel": data.get("channel"),
        "status": None if data.get("status") == "finished_successfully" else data.get("status"),
    }
    parts = _parts(data.get("content"), _ROLES[role], author.get("name"), data.get("recipient"))
    parts += [
        _attachment(attachment, parts)
        for attachment in objects(extra.get("attachments"))
        if not _is_in(attachment, parts)
    ]
    return make_message(
        _ROLES[role],
        parts,
        id=id_of(data.get("id")) or id_of(place),
        parent=parent,
        metadata=metadata,
        created_at=notes.field(read.any_time, data, "create_time", "message "),
        line=notes.line,
    )


def _is_in(attachment: Mapping[str, Any], parts: list[Part]) -> bool:
    id = attachment.get("id")
    return isinstance(id, str) and any(str(part.get("url", "")).endswith(id) for part in parts)


def _attachment(attachment: Mapping[str, Any], parts: list[Part]) -> Part:
    media_type = attachment.get("mime_type", attachment.get("mimeType"))
    media_type = media_type if isinstance(media_type, str) else None
    return make.file(
        "image" if (media_type or "").startswith("image/") else "file",
        name=attachment.get("name") if isinstance(attachment.get("name"), str) else None,
        media_type=media_type,
        size=attachment.get("size") if isinstance(attachment.get("size"), int) else None,
        url=attachment.get("id") if isinstance(attachment.get("id"), str) else None,
    )


def _parts(content: Any, role: Role, name: Any, recipient: Any) -> list[Part]:
    """The parts of a content, whatever its type: all text in it is kept."""
    if isinstance(content, str):
        return [make.text(content)] if content else []
    if not isinstance(content, dict):
        return []
    kind = content.get("content_type")
    if kind == "thoughts":
        texts = [
            "\n".join(filter(None, (text_of(t.get("summary")), text_of(t.get("content")))))
            for t in objects(content.get("thoughts"))
        ]
        return [make.thinking(text) for text in texts if text]
    if kind == "reasoning_recap":
        return [make.thinking(text)] if (text := text_of(content.get("content"))) else []
    if kind in ("user_editable_context", "model_editable_context"):
        keys = ("user_profile", "user_instructions", "model_set_context", "repository", "repo_summary")
        return [make.text(text) for key in keys if (text := text_of(content.get(key)))]
    if kind == "code" and role == "assistant" and recipient not in (None, "all"):
        return [make.tool_call(None, str(recipient), decoded(content.get("text")))]
    found = [part for piece in _pieces(content) for part in piece]
    if role == "tool":
        words = [part["text"] for part in found if part["type"] == "text"]
        rest = [part for part in found if part["type"] != "text"]
        is_error = True if kind == "system_error" else None
        tool = name if isinstance(name, str) and name else None
        return [make.tool_result(None, "\n".join(words), name=tool, is_error=is_error), *rest] if words else rest
    return found


#: The keys of a content that have text, in the order in which people would read them.
_TEXTS = ("title", "domain", "text", "snippet", "result", "summary", "output_str", "content", "refusal", "error")


def _pieces(content: Mapping[str, Any]) -> Iterator[list[Part]]:
    if isinstance(content.get("parts"), list):
        for part in content["parts"]:
            yield (
                [make.text(part)] if isinstance(part, str) and part else _asset(part) if isinstance(part, dict) else []
            )
        return
    if content.get("content_type") in ("text", "code", "execution_output", "system_error"):
        yield [make.text(text)] if (text := text_of(content.get("text"))) else []
        return
    yield [make.text(text) for key in _TEXTS if (text := text_of(content.get(key))) and key != "domain"]
    if isinstance(url := content.get("url"), str) and url:
        title = content.get("title")
        yield [make.file("file", name=title if isinstance(title, str) and title else None, url=url)]
    for key in ("screenshot", "state"):
        if isinstance(content.get(key), dict):
            yield _asset(content[key])


def _asset(part: Mapping[str, Any]) -> list[Part]:
    """A part that is an object: a picture, a recording and its transcription, or text."""
    kind = str(part.get("content_type", ""))
    text = part.get("text")
    if isinstance(text, str):
        return [make.text(text)] if text else []
    found: list[Part] = []
    for key in ("audio_asset_pointer", "video_container_asset_pointer"):
        if isinstance(part.get(key), dict):
            found += _asset(part[key])
    for frame in objects(part.get("frames_asset_pointers")):
        found += _asset(frame)
    pointer = part.get("asset_pointer", part.get("url"))
    if isinstance(pointer, str) and pointer:
        size = part.get("size_bytes")
        name = part.get("name", part.get("title"))
        found.append(
            make.file(
                "image" if "image" in kind else "file",
                name=name if isinstance(name, str) and name else None,
                media_type=_media_type(kind),
                size=size if isinstance(size, int) else None,
                url=pointer,
            )
        )
    if not found:
        found = [make.text(text) for key in _TEXTS if (text := text_of(part.get(key)))]
    return found


def _media_type(kind: str) -> str | None:
    return next((f"{name}/*" for name in ("image", "audio", "video") if name in kind), None)


CHATGPT = Format("chatgpt", _recognize, per_record(_conversation))
