"""Partial messages: begin, extend, finish."""

from __future__ import annotations

import pytest

from datastore import CheckError, Datastore, LegalHoldError, NotFoundError, TextPart, ToolCallPart, UniqueError

BOTH_ENGINES = True


@pytest.fixture
def conversation(store: Datastore) -> str:
    return store.conversations.add(id="c", sanitization_version="v1").id


def test_a_message_is_written_piece_by_piece(store: Datastore, conversation: str) -> None:
    store.messages.append(conversation, role="user", content="Why?")
    begun = store.messages.begin(conversation, id="m", metadata={"model": "x"})
    assert (begun.position, begun.role, begun.content, begun.partial) == (2, "assistant", "", True)
    for piece in ("Because ", "of the ", "Käfer."):
        store.messages.extend("m", piece)
    assert not store.messages.search("käfer").items
    so_far = store.messages.get("m")
    assert (so_far.content, so_far.partial, so_far.content_hash) == ("Because of the Käfer.", True, "0" * 64)
    assert [message.id for message in store.messages.list_partial()] == ["m"]
    assert not any(store.verify().values())
    store.reindex()
    assert not store.messages.search("käfer").items
    done = store.messages.finish("m")
    assert done == store.messages.get("m")
    assert (done.content, done.partial, done.token_count, done.metadata) == (so_far.content, False, 6, {"model": "x"})
    plain = store.messages.append(conversation, role="assistant", content=done.content)
    assert plain.content_hash == done.content_hash
    assert "m" in [hit.message.id for hit in store.messages.search("käfer")]
    assert list(store.messages.list_partial()) == []
    assert not any(store.verify().values())


def test_finish_may_give_the_parts(store: Datastore, conversation: str) -> None:
    store.messages.begin(conversation, id="m")
    parts = [TextPart(text="I look."), ToolCallPart(name="find", arguments={"a": 1})]
    done = store.messages.finish("m", parts=parts, token_count=7, metadata={"a": 1})
    assert (done.parts, done.content, done.token_count) == (tuple(parts), 'I look.\n\nfind {"a":1}', 7)
    assert done.metadata == {"a": 1}
    store.messages.begin(conversation, id="n", content="draft")
    done = store.messages.finish("n", parts=[TextPart(text="final")])
    assert (done.parts, done.content) == (None, "final")
    assert [hit.message.id for hit in store.messages.search("final draft")] == ["n"]


def test_a_finished_message_is_not_extended(store: Datastore, conversation: str) -> None:
    store.messages.begin(conversation, id="m", content="a")
    store.messages.finish("m")
    for id in ("m", "no"):
        with pytest.raises(NotFoundError):
            store.messages.extend(id, "b")
        with pytest.raises(NotFoundError):
            store.messages.finish(id)
    assert store.messages.get("m").content == "a"


def test_what_a_partial_message_refuses(store: Datastore, conversation: str) -> None:
    store.messages.begin(conversation, id="m")
    with pytest.raises(CheckError):
        store.messages.finish("m")
    assert store.messages.get("m").partial
    with pytest.raises(UniqueError):
        store.messages.begin(conversation, id="m")
    with pytest.raises(CheckError):
        store.messages.extend("m", "x" * 1_048_577)
    store.messages.extend("m", "")
    store.messages.delete("m")
    with pytest.raises(NotFoundError):
        store.messages.begin("no")


def test_a_held_message_may_only_grow(store: Datastore, conversation: str) -> None:
    store.messages.begin(conversation, id="m", content="a")
    store.holds.place(conversation, reason="case")
    store.messages.extend("m", "b")
    with pytest.raises(LegalHoldError):
        store.messages.redact("m", content="x")
    with pytest.raises(LegalHoldError):
        store.messages.delete("m")
    assert store.messages.finish("m").content == "ab"
    with pytest.raises(LegalHoldError):
        store.messages.redact("m", content="x")
