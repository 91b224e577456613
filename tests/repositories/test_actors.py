"""Who acts: the store's actor, and that of a block."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from datastore import Datastore
from datastore.errors import InvalidValueError, TransactionError

BOTH_ENGINES = True


def actors(store: Datastore) -> list[str]:
    return [entry.actor for entry in store.audit.iterate()][::-1]


def delete_one(store: Datastore) -> None:
    conversation = store.conversations.add(source="s", sanitization_version="1")
    store.conversations.soft_delete(conversation.id)


def test_a_block_names_who_acts(store: Datastore) -> None:
    delete_one(store)
    with store.acting_as("alice"):
        delete_one(store)
        with store.acting_as("bob"):
            delete_one(store)
        delete_one(store)
    delete_one(store)
    usual = actors(store)[0]
    assert actors(store) == [usual, "alice", "bob", "alice", usual]
    assert not any(store.verify().values())


def test_holds_and_receipts_name_who_acts(store: Datastore) -> None:
    conversation = store.conversations.add(source="s", sanitization_version="1")
    with store.acting_as("alice"):
        assert store.holds.place(conversation.id, reason="r").placed_by == "alice"
    with store.acting_as("bob"):
        store.holds.release(conversation.id)
        assert store.erase(conversation_id=conversation.id).actor == "bob"
    assert "bob" in actors(store)


def test_threads_and_tasks_have_their_own(store: Datastore) -> None:
    async def act(name: str, entered: asyncio.Event, other: asyncio.Event) -> None:
        with store.acting_as(name):
            entered.set()
            await other.wait()
            delete_one(store)

    async def both() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        await asyncio.gather(act("alice", first, second), act("bob", second, first))

    asyncio.run(both())
    assert sorted(actors(store)) == ["alice", "bob"]
    with store.acting_as("carol"):
        thread = threading.Thread(target=delete_one, args=(store,))
        thread.start()
        thread.join()
    assert "carol" not in actors(store)


def test_an_error_ends_the_block(store: Datastore) -> None:
    with pytest.raises(ZeroDivisionError), store.acting_as("alice"):
        raise ZeroDivisionError
    delete_one(store)
    assert "alice" not in actors(store)


def test_a_block_that_is_left_in_another_context_says_so(store: Datastore) -> None:
    block = store.acting_as("alice")
    contextvars.copy_context().run(block.__enter__)
    with pytest.raises(TransactionError, match="another name"):
        block.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["", "x" * 201, "nul\0", 3])
def test_bad_names_are_refused(store: Datastore, name: str) -> None:
    with pytest.raises(InvalidValueError, match="actor"):
        store.acting_as(name)


def test_two_stores_have_their_own(store: Datastore, tmp_path: object) -> None:
    with Datastore.open(f"{tmp_path}/other.db", migrate=True, actor="other") as other:
        with store.acting_as("alice"):
            delete_one(store)
            delete_one(other)
        assert actors(store) == ["alice"]
        assert actors(other) == ["other"]
