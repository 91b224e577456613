"""Whatever JSON stands in a file: an item or a bad line, never another exception."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.errors import InvalidValueError
from datastore.formats import read_chat, read_chatgpt, read_claude_code, read_learning

# fmt: off
KEYS = [
    "id", "messages", "role", "content", "metadata", "created_at", "position", "token_count", "tool_calls", "learnings",
    "title", "category", "tags", "confidence", "message_ids", "message_positions", "mapping", "current_node", "message",
    "author", "parts", "content_type", "parent", "children", "create_time", "text", "type", "uuid", "sessionId",
    "timestamp", "name", "a",
]
# fmt: on
WORDS = [
    "user",
    "assistant",
    "tool",
    "",
    "a",
    "id",
    "2026-01-06T09:14:05Z",
    "tool_result",
    "tool_use",
    "text",
    "\ud800",
]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from([*WORDS, 10**400, -(10**400), 1e300])
)
json_values = st.recursive(
    leaves, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(KEYS), part, max_size=8)
)


def read_all(data: Any) -> None:
    text = json.dumps(data)
    for read in (read_chat, read_learning):
        with contextlib.suppress(InvalidValueError):
            read(text)
    list(read_chatgpt(io.StringIO(f"[{text}]")))
    list(read_claude_code([(1, text)]))


@given(json_values, json_values)
def test_any_json(inner: Any, outer: Any) -> None:
    read_all(outer)
    read_all({"messages": [{"role": "user", "content": "a", "metadata": outer}, inner], "learnings": [outer]})
    read_all({"messages": [], "id": inner, "created_at": outer, "metadata": inner})
    read_all({"title": inner, "content": "c", "category": "k", "tags": outer, "confidence": inner})
    read_all(
        {"id": "c", "mapping": {"a": {"message": {"author": inner, "content": outer}, "parent": inner}, "b": outer}}
    )
    read_all({"id": "c", "mapping": {"a": {"message": {"content": {"parts": ["x"]}, "author": {"role": "user"}, "a": 1,
                                                       "id": inner, "create_time": outer, "metadata": inner}}}})  # fmt: skip
    read_all({"type": "user", "uuid": "u", "sessionId": "s", "message": {"content": inner, "model": outer}})
    read_all({"type": "user", "uuid": inner, "sessionId": outer, "timestamp": inner, "message": {"content": "x"}})


@pytest.mark.parametrize("depth", [*range(300, 1000, 10), 5000])
def test_any_depth(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for text in (
        f'{{"messages": [], "a": {deep}}}',
        f'{{"messages": [{{"role": "user", "tool_calls": {deep}}}], "id": "c"}}',
        f'{{"title": "t", "content": "c", "category": "k", "a": {deep}}}',
    ):
        for read in (read_chat, read_learning):
            with contextlib.suppress(InvalidValueError):
                read(text)
    block = f'{{"type": "tool_use", "input": {deep}}}'
    text = f'{{"type": "assistant", "uuid": "u", "sessionId": "s", "message": {{"content": [{block}]}}}}'
    list(read_claude_code([(1, text)]))
    list(read_chatgpt(io.StringIO(f'[{{"id": "c", "mapping": {{}}, "a": {deep}}}]')))
