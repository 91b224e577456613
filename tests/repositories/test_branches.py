"""Branches: forks share messages; lists, counts and appends know their branch."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from datastore import (
    CheckError,
    CursorError,
    Datastore,
    InvalidValueError,
    LegalHoldError,
    Message,
    NewMessage,
    NotFoundError,
    TransitionError,
    UniqueError,
)

BOTH_ENGINES = True


@pytest.fixture
def conversation(store: Datastore) -> str:
    """A conversation with the messages 1 to 5 on branch 0."""
    id = store.conversations.add(id="c", sanitization_version="v1").id
    store.messages.append_many(id, [NewMessage(role="user", content=str(number)) for number in range(1, 6)])
    return id


def say(store: Datastore, *texts: str, branch: int | None = None) -> None:
    store.messages.append_many("c", [NewMessage(role="user", content=text) for text in texts], branch=branch)


def texts(messages: Sequence[Message]) -> str:
    return " ".join(message.content for message in messages)


def read(store: Datastore, branch: int | None = None) -> str:
    return texts(list(store.messages.iterate("c", branch=branch)))


def test_a_fork_shares_what_is_before_it(store: Datastore, conversation: str) -> None:
    branch = store.branches.fork(conversation, position=3, label="again")
    assert (branch.branch, branch.parent_branch, branch.fork_position, branch.last_position) == (1, 0, 3, 3)
    assert (branch.conversation_id, branch.label) == ("c", "again")
    say(store, "4b", "5b", "6b")
    assert read(store) == "1 2 3 4b 5b 6b"
    assert read(store, 0) == "1 2 3 4 5"
    say(store, "6", branch=0)
    assert (read(store, 0), read(store, 1)) == ("1 2 3 4 5 6", "1 2 3 4b 5b 6b")
    assert [(m.branch, m.position) for m in store.messages.list("c")] == [
        (0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (1, 6)
    ]  # fmt: skip
    assert store.branches.get("c", 1).last_position == 6
    found = store.conversations.get("c")
    assert (found.message_count, found.last_position, found.active_branch, found.last_branch) == (9, 6, 1, 1)


def test_append_knows_its_branch(store: Datastore, conversation: str) -> None:
    store.branches.fork(conversation, position=2, switch=False)
    assert store.messages.append("c", role="user", content="6").branch == 0
    on_branch = store.messages.append("c", role="user", content="3b", branch=1)
    assert (on_branch.branch, on_branch.position) == (1, 3)
    assert on_branch == store.messages.get(on_branch.id)
    store.branches.switch("c", 1)
    assert store.messages.append("c", role="user", content="4b").position == 4
    assert (read(store), read(store, 0)) == ("1 2 3b 4b", "1 2 3 4 5 6")
    with pytest.raises(NotFoundError):
        store.messages.append("c", role="user", content="x", branch=2)
    with pytest.raises(NotFoundError):
        store.messages.append_many("c", [NewMessage(role="user", content="x")], branch=2)


def test_a_fork_before_the_fork_of_its_branch_belongs_to_the_ancestor(store: Datastore, conversation: str) -> None:
    store.branches.fork("c", position=4)
    say(store, "5b", "6b")
    early = store.branches.fork("c", position=2)
    late = store.branches.fork("c", position=5, branch=1)
    none = store.branches.fork("c", position=0, branch=1)
    assert [(one.parent_branch, one.fork_position) for one in (early, late, none)] == [(0, 2), (1, 5), (0, 0)]
    say(store, "x", branch=early.branch)
    say(store, "y", branch=late.branch)
    say(store, "z", branch=none.branch)
    assert [read(store, number) for number in range(5)] == [
        "1 2 3 4 5", "1 2 3 4 5b 6b", "1 2 x", "1 2 3 4 5b y", "z"
    ]  # fmt: skip


def test_a_fork_needs_its_position_and_its_branch(store: Datastore, conversation: str) -> None:
    for position in (-1, 6):
        with pytest.raises(InvalidValueError, match="position"):
            store.branches.fork("c", position=position)
    with pytest.raises(NotFoundError):
        store.branches.fork("c", position=1, branch=1)
    with pytest.raises(NotFoundError):
        store.branches.fork("no", position=0)
    with pytest.raises(CheckError):
        store.branches.fork("c", position=1, label="")
    store.conversations.soft_delete("c")
    with pytest.raises(NotFoundError):
        store.branches.fork("c", position=1)
    with pytest.raises(NotFoundError):
        store.branches.switch("c", 0)
    assert len(store.branches.list("c")) == 1


def test_lists_page_over_forks_in_both_directions(store: Datastore, conversation: str) -> None:
    chance = random.Random(7)
    expected = {0: ["1", "2", "3", "4", "5"]}
    for number in range(1, 9):
        parent = chance.randrange(number)
        position = chance.randrange(len(expected[parent]) + 1)
        assert store.branches.fork("c", position=position, branch=parent).branch == number
        new = [f"{number}.{place}" for place in range(chance.randrange(4))]
        say(store, *new, branch=number) if new else None
        expected[number] = expected[parent][:position] + new
    for number, contents in expected.items():
        store.branches.switch("c", number)
        assert store.messages.count("c") == store.messages.count("c", branch=number) == len(contents)
        for branch in (None, number):
            for size in (1, 2, 3, 100):
                forwards: list[str] = []
                after = None
                while True:
                    page = store.messages.list("c", branch=branch, after=after, max_rows=size)
                    forwards += [message.content for message in page]
                    if (after := page.next) is None:
                        break
                assert forwards == contents
                page = store.messages.list("c", branch=branch, last=True, max_rows=size)
                backwards = [message.content for message in page]
                while page.items and page.previous:
                    page = store.messages.list("c", branch=branch, before=page.previous, max_rows=size)
                    backwards = [message.content for message in page] + backwards
                assert backwards == contents
            assert texts(store.messages.latest("c", max_tokens=10**6, branch=branch)) == " ".join(contents)
            assert texts(store.messages.latest("c", max_tokens=3, branch=branch)) == " ".join(contents[-3:])
            by_time = list(store.messages.iterate_by_time("c", branch=branch))
            assert sorted(message.content for message in by_time) == sorted(contents)
            page = store.messages.list_by_time("c", branch=branch, max_rows=2)
            assert [m.content for m in page] == [m.content for m in by_time[:2]]


def test_a_deleted_message_leaves_a_gap_on_its_branches(store: Datastore, conversation: str) -> None:
    store.branches.fork("c", position=3)
    store.messages.delete(store.messages.list("c").items[2].id)
    assert (read(store, 1), read(store, 0)) == ("1 2", "1 2 4 5")
    last = store.messages.append("c", role="user", content="4b")
    store.messages.delete(last.id)
    assert store.messages.append("c", role="user", content="5b").position == 5
    assert read(store) == "1 2 5b"
    assert store.messages.count("c") == 3


def test_a_cursor_stays_on_its_branch(store: Datastore, conversation: str) -> None:
    page = store.messages.list("c", max_rows=3)
    store.branches.fork("c", position=2)
    say(store, "3b", "4b")
    assert texts(store.messages.list("c", after=page.next, max_rows=3).items) == "4 5"
    with pytest.raises(CursorError):
        store.messages.list("c", branch=1, after=page.next, max_rows=3)
    page = store.messages.list("c", max_rows=3)
    store.branches.switch("c", 0)
    assert texts(store.messages.list("c", after=page.next, max_rows=3).items) == "4b"


def test_unknown_branches_are_not_found(store: Datastore, conversation: str) -> None:
    for call in (store.messages.list, store.messages.count):
        with pytest.raises(NotFoundError):
            call("c", branch=1)
    with pytest.raises(NotFoundError):
        store.messages.latest("c", max_tokens=1, branch=1)
    for branch in (1, -1):
        with pytest.raises(NotFoundError):
            store.branches.get("c", branch)
        with pytest.raises(NotFoundError):
            store.branches.switch("c", branch)
        with pytest.raises(NotFoundError):
            store.branches.update("c", branch, label="x")
        with pytest.raises(NotFoundError):
            store.branches.delete("c", branch)
    with pytest.raises(NotFoundError):
        store.branches.delete("c", 0)
    assert list(store.branches.list("no")) == []
    assert list(store.messages.list("no")) == []
    with pytest.raises(InvalidValueError):
        store.branches.switch("c", "1")  # type: ignore[arg-type]


def test_branches_are_listed_and_labelled(store: Datastore, conversation: str) -> None:
    for position in range(5):
        store.branches.fork("c", position=position, branch=0)
    page = store.branches.list("c", max_rows=4)
    rest = store.branches.list("c", after=page.next, max_rows=4)
    assert (
        [one.branch for one in (*page, *rest)]
        == [0, 1, 2, 3, 4, 5]
        == [one.branch for one in store.branches.iterate("c")]
    )
    assert (rest.next, page.items[0].parent_branch, page.items[0].last_position) == (None, None, 5)
    assert store.branches.update("c", 2, label="tried").label == "tried"
    assert store.branches.get("c", 2).label == "tried"
    assert store.branches.update("c", 2, label=None).label is None
    with pytest.raises(CheckError):
        store.branches.update("c", 2, label="x" * 201)


def test_a_deleted_branch_takes_its_own_messages(store: Datastore, conversation: str) -> None:
    store.branches.fork("c", position=3)
    say(store, "4b", "5b")
    store.branches.fork("c", position=4)
    say(store, "5c")
    with pytest.raises(TransitionError, match="active"):
        store.branches.delete("c", 2)
    with pytest.raises(TransitionError, match="fork"):
        store.branches.delete("c", 1)
    store.branches.switch("c", 1)
    assert store.branches.delete("c", 2, reason="tried") == 1
    store.branches.switch("c", 0)
    assert store.branches.delete("c", 1) == 2
    assert (read(store), store.conversations.get("c").message_count) == ("1 2 3 4 5", 5)
    assert store.branches.fork("c", position=5).branch == 3  # no number is reused
    entries = [one for one in store.audit.list() if one.subject_type == "branch"]
    assert [(one.subject_id, one.reason, one.details) for one in entries] == [
        ("c", "tried", {"branch": 2, "messages": 1}),
        ("c", None, {"branch": 1, "messages": 2}),
    ]
    assert not any(store.verify().values())
    store.conversations.delete("c")
    assert list(store.branches.list("c")) == []


def test_a_hold_keeps_branches(store: Datastore, conversation: str) -> None:
    store.branches.fork("c", position=3)
    store.holds.place("c", reason="case")
    store.branches.fork("c", position=2, label="allowed")
    say(store, "new")
    store.branches.switch("c", 0)
    for branch in (1, 2):
        with pytest.raises(LegalHoldError):
            store.branches.delete("c", branch)
        with pytest.raises(LegalHoldError):
            store.branches.update("c", branch, label="x")


def test_a_source_id_is_unique_on_its_branch(store: Datastore, conversation: str) -> None:
    first = store.messages.append("c", role="user", content="a", source_id="s")
    assert first.source_id == "s" == store.messages.get(first.id).source_id
    with pytest.raises(UniqueError):
        store.messages.append("c", role="user", content="a", source_id="s")
    store.branches.fork("c", position=5)
    (second,) = store.messages.append_many("c", [NewMessage(role="user", content="b", source_id="s")])
    assert store.messages.find_by_source("c", "s") == first
    assert store.messages.find_by_source("c", "s", branch=1) == second
    assert store.messages.find_by_source("c", "t") is None
    other = store.conversations.add(sanitization_version="v1").id
    assert store.messages.append(other, role="user", content="a", source_id="s").source_id == "s"
