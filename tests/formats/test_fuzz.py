"""Whatever JSON is in a file: items and bad lines, never another exception; and the records around it are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore.formats import BadLine, ImportedConversation, ImportedLearning
from datastore.formats.reading import FORMATS
from tests.formats.samples import SAMPLES, bad, items

KEYS = [
    "id", "messages", "role", "content", "metadata", "created_at", "position", "branch", "parts", "tool_calls", "learnings",
    "title", "category", "tags", "mapping", "current_node", "message", "author", "content_type", "parent", "children",
    "create_time", "text", "type", "uuid", "sessionId", "parentUuid", "timestamp", "name", "attachment", "payload",
    "chat_messages", "sender", "conversations", "from", "value", "data", "kwargs", "lc", "prompt", "replies", "projectHash",
    "message_tree_id", "message_id", "source", "input", "output", "custom_id", "body", "choices", "$set", "$rewindTo",
]  # fmt: skip
WORDS = [
    "user", "assistant", "tool", "human", "ai", "", "a", "2026-01-06T09:14:05Z", "tool_result", "tool_use", "text", "image",
    "\ud800", "response_item", "event_msg", "session_meta", "function_call", "queued_command", "enqueue", "multimodal_text",
]  # fmt: skip

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


def changed(value: Any, places: list[int], by: Any) -> Any:
    """*value* with something else at one place in it."""
    if not places:
        return by
    if isinstance(value, dict) and value:
        key = sorted(value)[places[0] % len(value)]
        return {**value, key: changed(value[key], places[1:], by)}
    if isinstance(value, list) and value:
        index = places[0] % len(value)
        return [*value[:index], changed(value[index], places[1:], by), *value[index + 1 :]]
    return by


def values_of(name: str) -> list[Any]:
    text = SAMPLES[name]
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]
    return whole if isinstance(whole, list) else [whole]


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.integers(0, 50), min_size=1, max_size=8), by=json_values, number=st.integers(0, 9))
def test_any_json_in_any_place(name: str, places: list[int], by: Any, number: int) -> None:
    values = values_of(name)
    number %= len(values)
    values[number] = changed(values[number], places, by)
    items(json.dumps(values), name)
    items("\n".join(map(json.dumps, values)), name)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"llm"}))
@settings(max_examples=30, deadline=None)
@given(value=json_values)
def test_any_json_for_any_format(name: str, value: Any) -> None:
    items(json.dumps(value), name)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("depth", [100, 400, 900, 990, 5000])
def test_any_depth_costs_only_its_record(name: str, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    values = [json.dumps(value) for value in values_of(name)]
    before = items("\n".join(values), name)
    for place in range(len(values)):
        broken = values[place][:-1] + f', "content": {deep}, "metadata": {deep}, "message": {{"content": {deep}}}}}'
        found = items("\n".join([*values[:place], broken, *values[place:]]), name)
        kinds = (ImportedConversation, ImportedLearning)
        assert sum(isinstance(item, kinds) for _, item in found) >= sum(isinstance(item, kinds) for _, item in before)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_file_cut_off_anywhere(name: str, data: st.DataObject) -> None:
    text = SAMPLES[name]
    end = data.draw(st.integers(1, len(text) - 1))
    found = items(text[:end], name)
    rest = [item for _, item in found if isinstance(item, BadLine)]
    assert rest or text[end:].strip("\n ]}") == "" or text[end - 1] == "\n" or text[end] == "\n"


@pytest.mark.parametrize("name", SAMPLES)
def test_garbage_between_records_costs_only_itself(name: str) -> None:
    values = [json.dumps(value) for value in values_of(name)]
    whole = [item for _, item in items("\n".join(values), name) if not isinstance(item, BadLine)]
    for garbage in ("{", "nonsense", '{"a": "b', '{"a": [1, 2', "]", '"x', "{bad}", '{"a": NaN}', "\0\0\0", "\udcff"):
        mixed = "\n".join(f"{garbage}\n{value}" for value in values)
        found = items(mixed.encode("utf-8", "surrogateescape"), name)
        assert len([item for _, item in found if not isinstance(item, BadLine)]) == len(whole), garbage
        assert len(bad(mixed.encode("utf-8", "surrogateescape"), name)) >= 1
