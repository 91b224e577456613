"""A small invented file of each format, and a helper that reads text as items."""

from __future__ import annotations

import io
import json
from typing import Any

from datastore.formats import BadLine, Ignored, ImportedConversation, Item, TextSource, read_source


def source(data: str | bytes, name: str = "file", **options: Any) -> TextSource:
    """A file with this content."""
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return TextSource(io.BufferedReader(io.BytesIO(content)), name, None, **options)  # type: ignore[arg-type]  # BytesIO is raw enough


def items(data: str | bytes, format: str = "auto", name: str = "file", **options: Any) -> list[tuple[int, Item]]:
    """The items of a text, with their lines."""
    return list(read_source(source(data, name, **options), format)[1])


def conversations(data: str | bytes, format: str = "auto", **options: Any) -> list[ImportedConversation]:
    """The conversations of a text."""
    return [item for _, item in items(data, format, **options) if isinstance(item, ImportedConversation)]


def bad(data: str | bytes, format: str = "auto", **options: Any) -> list[BadLine]:
    """The bad lines of a text."""
    return [item for _, item in items(data, format, **options) if isinstance(item, BadLine)]


def ignored(data: str | bytes, format: str = "auto", **options: Any) -> list[str]:
    """The kinds of the ignored records of a text."""
    return [item.kind for _, item in items(data, format, **options) if isinstance(item, Ignored)]


def lines(*values: Any) -> str:
    """Values as JSON lines."""
    return "".join(json.dumps(value) + "\n" for value in values)


def gpt_node(id: str, parent: str | None, role: str = "user", text: str | None = None, **keys: Any) -> dict[str, Any]:
    """A node of ChatGPT's tree."""
    message = None
    if text is not None or "content" in keys:
        content = keys.pop("content", {"content_type": "text", "parts": [text]})
        message = {
            "id": id,
            "author": {"role": role},
            "create_time": 1700000000.5,
            "content": content,
            "metadata": {},
            **keys,
        }
    return {"id": id, "parent": parent, "children": [], "message": message}


def gpt(*nodes: dict[str, Any], id: str = "g", **keys: Any) -> dict[str, Any]:
    """A conversation of ChatGPT."""
    mapping = {node["id"]: node for node in nodes}
    for node in nodes:
        if node["parent"] in mapping:
            mapping[node["parent"]]["children"].append(node["id"])
    return {
        "title": "T",
        "create_time": 1.7e9,
        "mapping": mapping,
        "current_node": nodes[-1]["id"],
        "conversation_id": id,
        **keys,
    }


def code(
    kind: str, uuid: str | None = None, content: Any = None, parent: str | None = None, **keys: Any
) -> dict[str, Any]:
    """A record of Claude Code."""
    record: dict[str, Any] = {
        "type": kind,
        "sessionId": "s",
        "cwd": "/p",
        "gitBranch": "main",
        "timestamp": "2026-01-02T03:04:05.000Z",
    }
    if uuid is not None:
        record |= {"uuid": uuid, "parentUuid": parent}
    if content is not None:
        record["message"] = {"role": kind, "content": content}
    return {**record, **keys}


def codex(kind: str, **payload: Any) -> dict[str, Any]:
    """A record of Codex."""
    return {"timestamp": "2026-01-02T03:04:05.000Z", "type": kind, "payload": payload}


def codex_said(role: str, text: str) -> dict[str, Any]:
    """A message of Codex."""
    return codex("response_item", type="message", role=role, content=[{"type": "input_text", "text": text}])


#: One file of each format, in the shapes that the tools write.
SAMPLES: dict[str, str] = {
    "chatgpt": json.dumps([gpt(gpt_node("r", None), gpt_node("u", "r", text="hi"), gpt_node("a", "u", "assistant", "yes"))]),
    "claude-ai": json.dumps(
        [
            {
                "uuid": "k", "name": "N", "created_at": "2026-01-01T00:00:00Z", "account": {"uuid": "x"},
                "chat_messages": [
                    {"uuid": "1", "sender": "human", "text": "hi", "content": [{"type": "text", "text": "hi"}],
                     "attachments": [{"file_name": "a.txt", "file_size": 4, "file_type": "txt", "extracted_content": "text of it"}],
                     "files": [{"file_name": "p.png"}]},
                    {"uuid": "2", "sender": "assistant", "text": "yes", "content": []},
                ],
            }
        ]
    ),
    "claude-code": lines(
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
        code("user", "1", "hi"),
        code("assistant", "2", [{"type": "text", "text": "yes"}], "1"),
    ),
    "codex": lines(
        codex("session_meta", id="x", cwd="/p", cli_version="1", git={"branch": "main"}),
        codex("turn_context", model="m", cwd="/p"),
        codex_said("user", "hi"),
        codex("response_item", type="reasoning", summary=[{"type": "summary_text", "text": "hm"}], encrypted_content="e"),
        codex("response_item", type="function_call", name="shell", arguments='{"command": ["ls"]}', call_id="c"),
        codex("response_item", type="function_call_output", call_id="c", output='{"output": "a.txt"}'),
        codex_said("assistant", "yes"),
        codex("event_msg", type="agent_message", message="yes"),
    ),
    "gemini-cli": json.dumps(
        {
            "sessionId": "e", "projectHash": "h", "startTime": "2026-01-01T00:00:00Z",
            "messages": [
                {"id": "1", "timestamp": "2026-01-01T00:00:01Z", "type": "user", "content": "hi"},
                {"id": "2", "timestamp": "2026-01-01T00:00:02Z", "type": "gemini", "content": "yes", "model": "m",
                 "thoughts": [{"subject": "S", "description": "hm"}],
                 "toolCalls": [{"id": "c", "name": "f", "args": {"a": 1}, "status": "success",
                                "result": [{"functionResponse": {"id": "c", "name": "f", "response": {"output": "out"}}}]}]},
            ],
        },
        indent=2,
    ),
    "oasst": lines(
        {
            "message_tree_id": "t", "tree_state": "ready_for_export",
            "prompt": {"message_id": "1", "text": "hi", "role": "prompter", "replies": [
                {"message_id": "2", "text": "yes", "role": "assistant", "rank": 1, "replies": []},
                {"message_id": "3", "text": "no", "role": "assistant", "rank": 0, "replies": []},
            ]},
        }
    ),
    "langchain": json.dumps(
        [
            {"type": "human", "data": {"content": "hi", "additional_kwargs": {}, "type": "human", "id": None}},
            {"type": "ai", "data": {"content": "", "type": "ai", "tool_calls": [{"name": "f", "args": {"a": 1}, "id": "c"}]}},
            {"type": "tool", "data": {"content": "out", "type": "tool", "tool_call_id": "c", "status": "success"}},
        ]
    ),
    "wildchat": lines({"conversation_hash": "w", "model": "m", "hashed_ip": "x", "conversation": [
        {"content": "hi", "role": "user", "language": "English"}, {"content": "yes", "role": "assistant"}]}),
    "sharegpt": lines({"id": "q", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]}),
    "chat": lines({"id": "c", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}),
    "learnings": lines({"title": "t", "content": "c", "category": "k"}),
}  # fmt: skip
