"""Import and export: again changes nothing, a bad line costs itself, a round trip loses nothing."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Conversation, Datastore, Message, NewMessage
from datastore.errors import ImportFileError, InvalidValueError
from datastore.exporting import export
from datastore.formats import BadLine
from datastore.importing import MAX_KEPT, ImportReport, import_file
from datastore.records.parts import ImagePart, ThinkingPart
from datastore.resources import sample_folder
from tests.formats.samples import gpt, gpt_node

#: Each test of a store runs on SQLite and on PostgreSQL.
BOTH_ENGINES = True


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def chat(id: str, *contents: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "messages": [{"role": "user", "content": content} for content in contents], **more}


def dump(store: Datastore) -> list[str]:
    stream = io.StringIO()
    export(store, stream, include_deleted=True)
    return stream.getvalue().split("\n")[:-1]


def numbers(report: ImportReport) -> tuple[int, int, int]:
    return report.conversations, report.messages, report.learnings


def test_the_sample_twice(store: Datastore) -> None:
    files = [sample_folder() / "conversations.jsonl", sample_folder() / "learnings.jsonl"]
    first = [import_file(store, file, sanitization_version="1") for file in files]
    before = dump(store)
    again = [import_file(store, file, sanitization_version="2") for file in files]
    assert [report.bad_lines for report in first + again] == [0, 0, 0, 0]
    assert first[0].conversations >= 50
    assert first[1].learnings >= 50
    assert [numbers(report) for report in again] == [(0, 0, 0), (0, 0, 0)]
    assert again[0].unchanged == first[0].conversations + first[0].messages
    assert [report.differing for report in again] == [0, 0]
    assert dump(store) == before


def test_a_bad_line_costs_only_itself(store: Datastore, tmp_path: Path) -> None:
    lines = [chat("a", "one"), "{no json", chat("b", "two"), {"id": "c", "messages": 7}, chat("d", "three")]
    file = write(tmp_path / "chats.jsonl", *lines)
    told: list[BadLine] = []
    report = import_file(store, file, sanitization_version="1", format="chat", on_bad=told.append)
    assert numbers(report) == (3, 3, 0)
    assert report.bad_lines == 2
    assert [(bad.file, bad.line) for bad in report.bad] == [(str(file), 2), (str(file), 4)]
    assert told == report.bad


def test_a_line_that_the_database_refuses_costs_only_itself(store: Datastore, tmp_path: Path) -> None:
    file = write(
        tmp_path / "chats.jsonl",
        chat("a", "one", correlation_id="k"),
        chat("b", "two", correlation_id="k"),
        chat("c", "three"),
    )
    report = import_file(store, file, sanitization_version="1")
    assert numbers(report) == (2, 2, 0)
    assert [bad.line for bad in report.bad] == [2]
    assert store.conversations.find("b") is None


def test_later_messages_are_appended(store: Datastore, tmp_path: Path) -> None:
    import_file(store, write(tmp_path / "1.jsonl", chat("a", "one")), sanitization_version="1")
    report = import_file(store, write(tmp_path / "2.jsonl", chat("a", "one", "two", "three")), sanitization_version="1")
    assert (numbers(report), report.unchanged) == ((0, 2, 0), 2)
    assert [(message.id, message.position) for message in list(store.messages.iterate("a"))] == [
        ("a:1", 1),
        ("a:2", 2),
        ("a:3", 3),
    ]


def history(store: Datastore, id: str) -> dict[int, list[str]]:
    """What is said on each branch."""
    branches = store.branches.iterate(id)
    return {one.branch: [m.content for m in store.messages.iterate(id, branch=one.branch)] for one in branches}


def test_other_content_becomes_a_branch(store: Datastore, tmp_path: Path) -> None:
    import_file(store, write(tmp_path / "1.jsonl", chat("a", "one", "two", title="A")), sanitization_version="1")
    other = write(tmp_path / "2.jsonl", chat("a", "one", "other", "more", title="B"))
    for expected in ((0, 2, 0), (0, 0, 0)):
        report = import_file(store, other, sanitization_version="1")
        assert (numbers(report), report.differing) == (expected, 1)
        assert report.differences == [f"{other}:1: a conversation is stored with another title; left as it is stored"]
    assert store.conversations.get("a").title == "A"
    assert history(store, "a") == {0: ["one", "two"], 1: ["one", "other", "more"]}
    assert store.conversations.get("a").active_branch == 1
    # The first file again: nothing changes, and nothing is lost.
    assert numbers(import_file(store, tmp_path / "1.jsonl", sanitization_version="1")) == (0, 0, 0)
    assert store.conversations.get("a").active_branch == 1
    longer = write(tmp_path / "3.jsonl", chat("a", "one", "two", "three"))
    assert numbers(import_file(store, longer, sanitization_version="1")) == (0, 1, 0)
    assert history(store, "a") == {0: ["one", "two", "three"], 1: ["one", "other", "more"]}
    assert store.conversations.get("a").active_branch == 0


def test_another_beginning_is_a_branch_that_shares_nothing(store: Datastore, tmp_path: Path) -> None:
    import_file(store, write(tmp_path / "1.jsonl", chat("a", "one", "two")), sanitization_version="1")
    report = import_file(store, write(tmp_path / "2.jsonl", chat("a", "other", "two")), sanitization_version="1")
    assert (report.messages, report.branches) == (2, 1)
    assert history(store, "a") == {0: ["one", "two"], 1: ["other", "two"]}


def test_ids_of_a_file_are_scoped_to_their_conversation(store: Datastore, tmp_path: Path) -> None:
    def both(id: str) -> dict[str, Any]:
        return {"id": id, "messages": [{"id": "m1", "role": "user", "content": "x"}, {"role": "user", "content": "y"}]}

    file = write(tmp_path / "1.jsonl", both("a"), both("b"))
    for expected in ((2, 4, 0), (0, 0, 0)):
        report = import_file(store, file, sanitization_version="1")
        assert (numbers(report), report.differing, report.bad_lines) == (expected, 0, 0)
    assert history(store, "a") == history(store, "b") == {0: ["x", "y"]}


def test_an_export_under_another_id_is_whole(store: Datastore, tmp_path: Path) -> None:
    store.conversations.add(id="a", sanitization_version="1")
    said = store.messages.append("a", role="user", content="x")
    store.learnings.add(conversation_id="a", category="c", title="t", content="x", message_ids=[said.id], id="l")
    line = json.loads(dump(store)[0])
    copy = {**line, "id": "b", "learnings": [{**line["learnings"][0], "id": "l2"}]}
    for expected in ((1, 1, 1), (0, 0, 0)):
        report = import_file(store, write(tmp_path / "1.jsonl", copy), sanitization_version="1")
        assert (numbers(report), report.bad_lines) == (expected, 0), report.bad
    [copied] = store.messages.iterate("b")
    assert (copied.content, copied.id != said.id) == ("x", True)
    assert [message.id for message in store.messages.iterate_by_learning("l2")] == [copied.id]


def test_what_was_deleted_stays_deleted(store: Datastore, tmp_path: Path) -> None:
    file = write(tmp_path / "1.jsonl", chat("a", "one", "two", "three"), chat("b", "four"))
    import_file(store, file, sanitization_version="1")
    store.messages.delete("a:2")
    store.conversations.soft_delete("b")
    longer = write(tmp_path / "1.jsonl", chat("a", "one", "two", "three"), chat("b", "four", "five"))
    report = import_file(store, longer, sanitization_version="1")
    assert numbers(report) == (0, 0, 0)
    assert sum(report.skipped.values()) == 2
    assert [message.position for message in list(store.messages.iterate("a"))] == [1, 3]


def test_learnings_with_mapped_fields(store: Datastore, tmp_path: Path) -> None:
    file = tmp_path / "til.jsonl.gz"
    with gzip.open(file, "wt") as stream:
        stream.write('{"title": "A", "content": "B", "topic": "git", "path": "git/a.md"}\n')
    for expected in ((1, 0, 1), (0, 0, 0)):
        report = import_file(store, file, sanitization_version="7", fields={"category": "topic"})
        assert numbers(report) == expected
    hit = store.learnings.search("A", category="git")[0].learning
    assert hit.conversation_id == "learnings:til.jsonl.gz"
    conversation = store.conversations.get(hit.conversation_id)
    assert (conversation.source, conversation.sanitization_version) == ("learnings", "7")


def test_learnings_of_a_named_conversation(store: Datastore, conversation: Conversation, tmp_path: Path) -> None:
    store.messages.append(conversation.id, role="user", content="x", id="m")
    good = {"title": "A", "content": "B", "category": "c", "message_positions": [1]}
    file = write(
        tmp_path / "l.jsonl", good, {**good, "title": "C", "message_positions": [9]}, {**good, "conversation_id": "no"}
    )
    report = import_file(store, file, sanitization_version="1", conversation_id=conversation.id)
    assert numbers(report) == (0, 0, 1)
    assert [bad.line for bad in report.bad] == [2, 3]
    ((_, sources),) = store._parts.import_export.learnings(conversation.id)
    assert sources == ["m"]


def test_progress_reaches_the_end(store: Datastore, tmp_path: Path) -> None:
    file = write(tmp_path / "1.jsonl", *(chat(str(number), "x") for number in range(500)))
    seen: list[tuple[int, int, int]] = []
    import_file(
        store,
        file,
        sanitization_version="1",
        on_progress=lambda position, total, report: seen.append((position, total, report.conversations)),
    )
    assert [stored for _, _, stored in seen] == [200, 400, 500]
    assert seen[-1][0] == seen[-1][1] == file.stat().st_size


def test_an_interrupted_import_keeps_whole_batches(store: Datastore, tmp_path: Path) -> None:
    file = write(tmp_path / "1.jsonl", *(chat(str(number), "x") for number in range(500)))

    def interrupt(position: int, total: int, report: ImportReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(store, file, sanitization_version="1", on_progress=interrupt)
    assert store.conversations.count() == 200
    assert numbers(import_file(store, file, sanitization_version="1")) == (300, 300, 0)


def test_a_report_keeps_a_bounded_number_of_bad_lines(store: Datastore, tmp_path: Path) -> None:
    file = write(tmp_path / "1.jsonl", *["{"] * (MAX_KEPT + 50))
    report = import_file(store, file, sanitization_version="1", format="chat")
    assert (report.bad_lines, len(report.bad)) == (MAX_KEPT + 50, MAX_KEPT)


def test_wrong_arguments(store: Datastore, tmp_path: Path) -> None:
    file = write(tmp_path / "1.jsonl", chat("a", "one"))
    with pytest.raises(InvalidValueError):
        import_file(store, file, sanitization_version="")
    with pytest.raises(ImportFileError):
        import_file(store, tmp_path / "missing", sanitization_version="1")
    assert store.conversations.count() == 0


def test_export_filters(store: Datastore) -> None:
    for session, source in (("s", "web"), ("s", "ide"), ("t", "web")):
        store.conversations.add(sanitization_version="1", session_id=session, source=source)
    deleted = store.conversations.add(sanitization_version="1", session_id="s", source="web")
    store.conversations.soft_delete(deleted.id)
    assert export(store, io.StringIO()) == 3
    assert export(store, io.StringIO(), session_id="s", source="web") == 1
    assert export(store, io.StringIO(), session_id="s", source="web", include_deleted=True) == 2


EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)
times = st.integers(0, 10**12).map(lambda number: EPOCH + timedelta(microseconds=number))
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, lambda part: st.lists(part, max_size=2)
)
objects = st.dictionaries(texts, values, max_size=3)
messages = st.builds(
    NewMessage,
    role=st.sampled_from(["user", "assistant", "system", "tool"]),
    content=texts,
    token_count=st.none() | st.integers(0, 10**6),
    metadata=objects,
    created_at=times,
)
conversations = st.fixed_dictionaries(
    {
        "session_id": st.none() | texts,
        "source": texts,
        "title": st.none() | texts,
        "metadata": objects,
        "created_at": times,
        "completed_at": st.none() | times,
        "sanitization_version": st.sampled_from(["1", "2"]),
    }
)
learnings = st.fixed_dictionaries(
    {
        "category": texts,
        "title": texts,
        "content": texts,
        "confidence": st.floats(0, 1),
        "tags": st.lists(texts, max_size=3),
        "metadata": objects,
        "created_at": times,
    }
)
cases = st.lists(
    st.tuples(
        conversations,
        st.lists(messages, max_size=5),
        st.lists(learnings, max_size=2),
        st.sets(st.integers(0, 3)),
        st.booleans(),
    ),
    max_size=3,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=cases)
def test_an_export_imported_into_another_store_is_the_same(path: Path, cases: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = []
        for name in ("one.db", "two.db"):
            copy = shutil.copy(path, Path(folder) / name)
            stores.append(Datastore.open(copy, durability="relaxed"))
        one, two = stores
        with one, two:
            for number, (fields, said, learned, dropped, hidden) in enumerate(cases):
                id = one.conversations.add(**fields, correlation_id=f"k{number}").id
                stored = one.messages.append_many(id, said)
                for learning in learned:
                    first = one.learnings.add(
                        conversation_id=id, message_ids=[message.id for message in stored[:2]], **learning
                    )
                    one.learnings.update(first.id, confidence=0.5)
                # The last one stays: a file does not say that positions behind the last message were used.
                for index in sorted(dropped):
                    if index < len(stored) - 1:
                        one.messages.delete(stored[index].id)
                if hidden:
                    one.conversations.soft_delete(id)
            file = Path(folder) / "export.jsonl"
            with file.open("w", encoding="utf-8", newline="\n") as stream:
                export(one, stream, include_deleted=True)
            report = import_file(two, file, sanitization_version="other", format="chat")
            assert (report.bad, report.differing) == ([], 0)
            assert dump(two) == dump(one)
            for line in dump(one):
                id = json.loads(line)["id"]
                assert two.conversations.get(id) == one.conversations.get(id)
                assert list(two.messages.iterate(id)) == list(one.messages.iterate(id))
                assert two._parts.import_export.learnings(id) == one._parts.import_export.learnings(id)
            again = import_file(two, file, sanitization_version="other", format="chat")
            assert (numbers(again), again.differing, dict(again.skipped)) == ((0, 0, 0), 0, {})


def test_a_deleted_last_message_keeps_its_position_taken(store: Datastore, tmp_path: Path) -> None:
    conversation = store.conversations.add(sanitization_version="1")
    for content in ("one", "two"):
        last = store.messages.append(conversation.id, role="user", content=content)
    store.messages.delete(last.id)
    file = tmp_path / "chats.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        export(store, stream)
    with Datastore.open(tmp_path / "two.db", migrate=True) as other:
        import_file(other, file, sanitization_version="1")
        assert other.conversations.get(conversation.id) == store.conversations.get(conversation.id)
        assert other.messages.append(conversation.id, role="user", content="three").position == 3


# Trees, growth, edits: what a source had is on some branch, and nothing else is.


@attrs.frozen
class Said:
    """A node of a tree that a source has."""

    id: str
    parent: str
    text: str
    kind: int


def as_node(said: Said) -> dict[str, Any]:
    role = "assistant" if said.kind % 2 else "user"
    content: dict[str, Any] = {"content_type": "text", "parts": [said.text]}
    if said.kind == 2:
        content = {
            "content_type": "multimodal_text",
            "parts": [{"content_type": "image_asset_pointer", "asset_pointer": said.text}],
        }
    elif said.kind == 3:
        content = {"content_type": "thoughts", "thoughts": [{"content": said.text}]}
    elif said.kind == 4:
        role, content = "tool", {"content_type": "execution_output", "text": said.text}
    return gpt_node(said.id, said.parent or "root", role, content=content)


def as_file(nodes: list[Said]) -> str:
    return json.dumps([gpt(gpt_node("root", None), *map(as_node, nodes), id="t")])


def paths(nodes: list[Said]) -> set[tuple[tuple[str, str], ...]]:
    """From the beginning to each node: what the source had."""
    known: dict[str, tuple[tuple[str, str], ...]] = {"": ()}
    for node in nodes:
        known[node.id] = (*known[node.parent], (node.id, f"{node.kind} {node.text}"))
    return set(known.values()) - {()}


@st.composite
def versions_of_a_tree(draw: st.DrawFn) -> list[list[Said]]:
    """Files of one conversation: it grows, is cut off, edited, exported again."""
    tree: list[Said] = []
    files: list[list[Said]] = []
    for number in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(0, 4))):
            parent = (
                draw(st.sampled_from(["", *(node.id for node in tree)]))
                if draw(st.booleans())
                else (tree[-1].id if tree else "")
            )
            text = draw(st.sampled_from(["same", "x", "y é"]))
            tree.append(Said(f"n{number}-{len(tree)}", parent, text, draw(st.integers(0, 4))))
        if tree and draw(st.booleans()):  # edited in place, under the same id
            place = draw(st.integers(0, len(tree) - 1))
            tree[place] = attrs.evolve(tree[place], text=f"edited {number}")
        whole = list(tree)
        kept = whole[: draw(st.integers(1, len(whole)))] if whole and draw(st.booleans()) else whole
        if kept:
            files.append(kept)
    return [draw(st.sampled_from(files)) if files else [] for _ in range(draw(st.integers(1, 6)))] if files else []


def stored_paths(store: Datastore) -> tuple[set[tuple[tuple[str, str], ...]], list[tuple[tuple[str, str], ...]]]:
    """From the beginning to each stored message, and to the end of each branch."""
    every: set[tuple[tuple[str, str], ...]] = set()
    ends = []
    for branch in store.branches.iterate("t"):
        path: tuple[tuple[str, str], ...] = ()
        for message in store.messages.iterate("t", branch=branch.branch):
            path = (*path, (str(message.source_id), what(message)))
            every.add(path)
        ends.append(path)
    return every, ends


def what(message: Message) -> str:
    part = message.parts[0] if message.parts else None
    if isinstance(part, ImagePart):
        return f"2 {part.url}"
    kind = {"user": 0, "assistant": 1, "tool": 4}[message.role]
    return f"{3 if isinstance(part, ThinkingPart) else kind} {message.content}"


def check_trees(store: Datastore, other: Datastore, folder: Path, files: list[list[Said]]) -> None:
    file = folder / "conversations.json"
    had: set[tuple[tuple[str, str], ...]] = set()
    for nodes in files:
        file.write_text(as_file(nodes))
        had |= paths(nodes)
        report = import_file(store, file, sanitization_version="1")
        assert report.bad == []
        before = dump(store)
        again = import_file(store, file, sanitization_version="1")
        assert (numbers(again), again.branches, dump(store)) == ((0, 0, 0), 0, before)
        every, ends = stored_paths(store)
        assert every == had
        assert set(ends) <= had
        active = list(store.messages.iterate("t"))
        assert tuple((str(message.source_id), what(message)) for message in active) in ends
    exported = folder / "export.jsonl"
    exported.write_text("\n".join(dump(store)) + "\n", encoding="utf-8")
    import_file(other, exported, sanitization_version="2")
    assert dump(other) == dump(store)


def run_trees(store: Datastore, folder: Path, examples: int) -> None:
    with Datastore.open(folder / "other.db", migrate=True, durability="relaxed") as other:

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(files=versions_of_a_tree())
        def run(files: list[list[Said]]) -> None:
            for one in (store, other):
                if one.conversations.find("t") is not None:
                    one.conversations.delete("t")
            if files:
                check_trees(store, other, folder, files)

        run()
        for one in (store, other):
            assert not any(one.verify().values())


def test_any_sequence_of_imports_keeps_what_the_source_had(store: Datastore, tmp_path: Path) -> None:
    run_trees(store, tmp_path, 15)


@pytest.mark.long
def test_any_of_many_sequences_of_imports_keeps_what_the_source_had(store: Datastore, tmp_path: Path) -> None:
    # Ten thousand trees take six minutes on SQLite, and three times as long on a server.
    run_trees(store, tmp_path, 10_000 if store.engine.name == "sqlite" else 1_500)


def test_an_unfinished_message_comes_back_unfinished(store: Datastore, tmp_path: Path) -> None:
    store.conversations.add(id="a", sanitization_version="1")
    store.messages.begin("a", role="assistant")
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join(dump(store)) + "\n", encoding="utf-8")
    with Datastore.open(tmp_path / "other.db", migrate=True) as other:
        for messages in (1, 0):
            report = import_file(other, file, sanitization_version="1")
            assert (report.messages, report.bad) == (messages, [])
        assert dump(other) == dump(store)
        assert [message.partial for message in other.messages.iterate("a")] == [True]
