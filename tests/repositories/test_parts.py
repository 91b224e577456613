"""Parts: stored and read back as records; the content is their text."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from datastore import (
    CheckError,
    Datastore,
    FilePart,
    ImagePart,
    InvalidValueError,
    NewMessage,
    OtherPart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from datastore.cli.output import plain
from datastore.records.parts import decode_parts, encode_parts

BOTH_ENGINES = True

EVERY: list[Part] = [
    TextPart(text="Look it up."),
    ThinkingPart(text="A catalogue?", signature="sig"),
    ToolCallPart(name="find", arguments={"title": "Käfer", "many": [1, 2.5, None, True]}, call_id="1"),
    ToolCallPart(name="note", arguments="plain text"),
    ToolCallPart(name="now"),
    ToolResultPart(text="three rows", call_id="1", name="find", is_error=False),
    ToolResultPart(text=""),
    ImagePart(name="beetle.png", media_type="image/png", size=12, sha256="a" * 64, url="https://example.org/b"),
    ImagePart(),
    FilePart(name="list.pdf", text="page one"),
    RefusalPart(text="No."),
    OtherPart(kind="widget", data={"x": [1]}, text="shown"),
]
TEXT = "\n\n".join(
    [
        "Look it up.",
        "A catalogue?",
        'find {"title":"Käfer","many":[1,2.5,null,true]}',
        "note plain text",
        "now",
        "three rows",
        "beetle.png",
        "list.pdf\npage one",
        "No.",
        "shown",
    ]
)


@pytest.fixture
def conversation(store: Datastore) -> str:
    return store.conversations.add(id="c", sanitization_version="v1").id


def test_parts_are_read_back_as_they_were_stored(store: Datastore, conversation: str) -> None:
    message = store.messages.append(conversation, role="assistant", parts=EVERY)
    (other,) = store.messages.append_many(conversation, [NewMessage(role="tool", parts=EVERY)])
    assert message.parts == other.parts == tuple(EVERY)
    assert message.content == other.content == text_of(EVERY) == TEXT
    assert message.content_hash == other.content_hash
    assert store.messages.get(message.id) == message
    assert list(store.messages.list(conversation)) == [message, other]
    assert decode_parts(encode_parts(EVERY)) == tuple(EVERY)
    for word in ("catalogue", "Käfer", "rows", "list.pdf", "shown"):
        assert {hit.message.id for hit in store.messages.search(word)} == {message.id, other.id}, word
    assert not any(store.verify().values())


def test_one_text_is_plain(store: Datastore, conversation: str) -> None:
    message = store.messages.append(conversation, role="user", parts=[TextPart(text="hello")])
    plain = store.messages.append(conversation, role="user", content="hello")
    assert (message.parts, message.content, message.content_hash) == (None, "hello", plain.content_hash)


def test_a_message_without_text_needs_parts(store: Datastore, conversation: str) -> None:
    message = store.messages.append(conversation, role="user", parts=[ImagePart(url="x")])
    assert (message.content, message.token_count, store.messages.get(message.id)) == ("", 0, message)
    assert store.messages.append(conversation, role="tool", parts=[TextPart(text="")]).parts == (TextPart(text=""),)
    with pytest.raises(CheckError):
        store.messages.append(conversation, role="user", content="")
    assert not any(store.verify().values())


def test_the_hash_covers_the_parts(store: Datastore, conversation: str) -> None:
    hashes = {
        store.messages.append(
            conversation, role="user", parts=[TextPart(text="a"), ImagePart(sha256=hash)]
        ).content_hash
        for hash in ("1", "2")
    }
    hashes.add(store.messages.append(conversation, role="user", content="a").content_hash)
    assert len(hashes) == 3


def test_redaction_replaces_parts(store: Datastore, conversation: str) -> None:
    message = store.messages.append(conversation, role="tool", parts=[ToolResultPart(text="Anna lives here", name="t")])
    changed = store.messages.redact(message.id, parts=[ToolResultPart(text="[name] lives here", name="t")])
    assert (changed.content, changed.parts) == (
        "[name] lives here",
        (ToolResultPart(text="[name] lives here", name="t"),),
    )
    assert not store.messages.search("anna").items
    assert store.messages.redact(message.id, content="gone").parts is None


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"parts": []},
        {"content": "a", "parts": [TextPart(text="a")]},
        {"parts": [{"type": "text", "text": "a"}]},
        {"parts": [TextPart(text=1)]},  # type: ignore[arg-type]
        {"parts": [TextPart(text="\x00")]},
        {"parts": [TextPart(text="\ud800")]},
        {"parts": [ToolCallPart(name="a", arguments={1: 2})]},
        {"parts": [ToolCallPart(name="a", arguments=float("nan"))]},
        {"parts": [ImagePart(size=True)]},
        {"parts": [TextPart(text="x" * 1_048_577), ImagePart()]},
    ],
)
def test_bad_parts_are_refused(store: Datastore, conversation: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        store.messages.append(conversation, role="user", **arguments)
    with pytest.raises(InvalidValueError):
        store.messages.append_many(conversation, [NewMessage(role="user", **arguments)])
    assert store.messages.count(conversation) == 0


@pytest.mark.parametrize(
    "values",
    [
        None,
        {"type": "text", "text": "a"},
        ["a"],
        [{"text": "a"}],
        [{"type": "sound", "text": "a"}],
        [{"type": "text"}],
        [{"type": "text", "text": None}],
        [{"type": "text", "text": "a", "extra": 1}],
        [{"type": "image", "size": "12"}],
        [{"type": ["text"], "text": "a"}],
    ],
)
def test_the_form_is_closed(values: object) -> None:
    with pytest.raises(InvalidValueError, match="parts"):
        decode_parts(values)


def test_a_part_says_its_type_wherever_it_is_shown() -> None:
    assert [attrs.asdict(part)["type"] for part in EVERY] == [one["type"] for one in encode_parts(EVERY)]
    assert plain(TextPart(text="a")) == {"type": "text", "text": "a"}
