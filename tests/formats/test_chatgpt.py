"""ChatGPT exports: the visible branch, bad elements, and streaming."""

from __future__ import annotations

import io
import json
import tracemalloc
from datetime import datetime, timezone
from typing import Any

import pytest
from datastore.formats.elements import array_elements
from hypothesis import given
from hypothesis import strategies as st

from datastore.formats import BadLine, ImportedConversation, elements, read_chatgpt


def node(
    id: str, parent: str | None, role: str = "user", *parts: Any, children: tuple[str, ...] = (), **keys: Any
) -> Any:
    message = {
        "id": id,
        "author": {"role": role},
        "create_time": 1700000000.25,
        "content": {"content_type": "text", "parts": list(parts)},
        "metadata": {},
        **keys,
    }
    return {"id": id, "message": message if parts or keys else None, "parent": parent, "children": list(children)}


def conversation(*nodes: Any, current: str | None = None, **keys: Any) -> dict[str, Any]:
    mapping = {part["id"]: part for part in nodes}
    return {"id": "c", "title": "T", "create_time": 1.5, "mapping": mapping, "current_node": current, **keys}


def read(*conversations: Any, chunk: int = 64) -> list[tuple[int, ImportedConversation | BadLine]]:
    return list(read_chatgpt(io.StringIO(json.dumps(list(conversations))), "f.json", chunk))


TREE = (
    node("root", None, children=("s",)),
    node("s", "root", "system", "", children=("h",)),
    node("h", "s", "system", "hidden", children=("u",), metadata={"is_visually_hidden_from_conversation": True}),
    node("u", "h", "user", "Hello", {"content_type": "image_asset_pointer"}, "there", children=("old", "new")),
    node("old", "u", "assistant", "No", create_time=1700000002),
    node("new", "u", "assistant", "Yes", children=("code",), metadata={"model_slug": "m-1"}, create_time=1700000001),
    node("code", "new", "tool", content={"content_type": "execution_output", "text": "42"}),
)


def test_the_branch_that_the_user_saw_last() -> None:
    [(number, found)] = read(conversation(*TREE, current="code"))
    assert number == 1
    assert isinstance(found, ImportedConversation)
    assert [(part.id, part.role, part.content) for part in found.messages] == [
        ("u", "user", "Hello\nthere"),
        ("new", "assistant", "Yes"),
        ("code", "tool", "42"),
    ]
    assert found.messages[0].created_at == datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=timezone.utc)
    assert found.messages[1].metadata == {"model": "m-1"}
    assert (found.id, found.title, found.source) == ("c", "T", "chatgpt")


def test_without_current_node_the_newest_leaf_counts() -> None:
    [(_, found)] = read(conversation(*TREE))
    assert isinstance(found, ImportedConversation)
    assert [part.id for part in found.messages] == ["u", "old"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (5, "expected a JSON object"),
        ({"id": "c"}, "mapping: must be a JSON object"),
        (conversation(node("a", "a", "user", "x"), current="a"), "not a tree"),
        (conversation(node("a", None, "robot", "x"), current="a"), "role"),
        (conversation(node("a", None, "user", "x\0"), current="a"), "NUL"),
        (conversation(node("a", None, "user", "x\ud800"), current="a"), "lone surrogate"),
        (conversation(node("a", None, "user", "x" * 1_048_577), current="a"), "1048577 bytes"),
        (conversation(node("a", None, "user", "x", create_time="now"), current="a"), "create_time"),
        (conversation(create_time=1e300), "outside years"),
        (conversation(create_time=10**400), "outside years"),
        (conversation(id=None), "id: is missing"),
    ],
)
def test_a_bad_element_hides_no_other(bad: Any, reason: str) -> None:
    good = conversation(node("a", None, "user", "x"), current="a")
    (_, first), (_, second), (_, third) = read(good, bad, good, chunk=1000)
    assert first == third
    assert isinstance(second, BadLine)
    assert second.file == "f.json"
    assert reason in second.reason
    assert "conversation 2" in second.reason


def test_invalid_json_in_one_element_and_an_end_in_the_middle() -> None:
    good = json.dumps(conversation())
    found = list(read_chatgpt(io.StringIO(f'[\n{good},\n{{"a": tru}},\n{good},\n{{"id": '), "f"))
    assert [type(item) for _, item in found] == [ImportedConversation, BadLine, ImportedConversation, BadLine]
    assert [number for number, _ in found][:3] == [2, 3, 4]
    assert isinstance(found[3][1], BadLine)
    assert "ends in the middle" in found[3][1].reason


def test_an_element_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_ELEMENT", 100)
    found = [part.text for part in array_elements(io.StringIO(json.dumps(["a", "b" * 200, "c"])), 7)]
    assert found == ['"a"', None, '"c"']


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\[]{},\n\u2028é'), max_size=12),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=4), part, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_streaming_gives_what_json_loads_gives(data: list[Any], chunk: int, indent: int | None, ascii: bool) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii)
    found = [json.loads(part.text or "") for part in array_elements(io.StringIO(f" \ufeff{text}\n"), chunk)]
    assert found == data


def test_lines_are_counted() -> None:
    text = '\n[\n\n1,\n{"a":\n2}\n,\n\n"x"\n]'
    for chunk in range(1, 30):
        assert [(part.line, part.text) for part in array_elements(io.StringIO(text), chunk)] == [
            (4, "1"),
            (5, '{"a":\n2}'),
            (9, '"x"'),
        ]


class Generated:
    """An array of *size* characters that is nowhere as a whole."""

    def __init__(self, size: int) -> None:
        self.element = json.dumps(conversation(node("a", None, "user", "word " * 100), current="a")) + ","
        self.left = size // len(self.element)
        self.rest = "["

    def read(self, size: int, /) -> str:
        while len(self.rest) < size and self.left:
            self.rest += self.element
            self.left -= 1
            if not self.left:
                self.rest = self.rest[:-1] + "]"
        text, self.rest = self.rest[:size], self.rest[size:]
        return text


@pytest.mark.long
def test_memory_stays_bounded() -> None:
    source = Generated(50_000_000)
    expected = source.left
    tracemalloc.start()
    try:
        found = sum(isinstance(item, ImportedConversation) for _, item in read_chatgpt(source))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == expected
    assert peak < 8_000_000
