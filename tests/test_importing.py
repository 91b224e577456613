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

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Conversation, Datastore, NewMessage
from datastore.errors import ImportFileError, InvalidValueError
from datastore.exporting import export
from datastore.formats import BadLine
from datastore.importing import MAX_KEPT, ImportReport, import_file
from datastore.resources import sample_folder

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


def test_other_content_is_reported_and_left(store: Datastore, tmp_path: Path) -> None:
    import_file(store, write(tmp_path / "1.jsonl", chat("a", "one", title="A")), sanitization_version="1")
    report = import_file(store, write(tmp_path / "2.jsonl", chat("a", "other", title="B")), sanitization_version="1")
    assert report.differing == 2
    assert all(difference.startswith(f"{tmp_path / '2.jsonl'}:1: ") for difference in report.differences)
    assert store.conversations.get("a").title == "A"
    assert store.messages.get("a:1").content == "one"


def test_a_message_id_of_another_conversation(store: Datastore, tmp_path: Path) -> None:
    import_file(store, write(tmp_path / "1.jsonl", chat("a", "one")), sanitization_version="1")
    stolen = {"id": "b", "messages": [{"id": "a:1", "role": "user", "content": "x"}, {"role": "user", "content": "y"}]}
    for expected in ((1, 1, 0), (0, 0, 0)):
        report = import_file(store, write(tmp_path / "2.jsonl", stolen), sanitization_version="1")
        assert (numbers(report), report.differing, report.bad_lines) == (expected, 1, 0)


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
    with pytest.raises(ImportFileError):
        import_file(store, tmp_path, sanitization_version="1")
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
