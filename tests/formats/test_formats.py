"""Each format on a small invented file in the shape that its tool writes: who says what, in which parts, on which branches."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from datastore.formats import (
    ROOT,
    BadLine,
    Context,
    ImportedConversation,
    ImportedMessage,
    Record,
    detect,
    open_sources,
    read_source,
)
from tests.formats.samples import (
    SAMPLES,
    bad,
    code,
    codex,
    codex_said,
    conversations,
    gpt,
    gpt_node,
    ignored,
    lines,
    source,
)


def said(messages: tuple[ImportedMessage, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


def kinds(message: ImportedMessage) -> list[str]:
    return [part.type for part in message.parts or ()]


def one(text: str, format: str = "auto", **options: Any) -> ImportedConversation:
    [found] = conversations(text, format, **options)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_found_and_says_why(name: str) -> None:
    found, items = read_source(source(SAMPLES[name]))
    assert found.format == name
    assert "line" in found.reason
    assert list(items)
    assert bad(SAMPLES[name]) == []


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"learnings", "chat"}))
def test_each_sample_is_one_conversation(name: str) -> None:
    found = one(SAMPLES[name])
    words = " ".join(content for _, content in said(found.messages))
    assert "hi" in words
    assert found.source in (name, None)


# ChatGPT.


def test_chatgpt_keeps_every_branch_and_the_one_seen_last() -> None:
    nodes = [
        gpt_node("r", None), gpt_node("u", "r", text="hi"), gpt_node("a", "u", "assistant", "no"),
        gpt_node("b", "u", "assistant", "yes"), gpt_node("v", "r", text="edited"),
    ]  # fmt: skip
    found = one(json.dumps(gpt(*nodes, current_node="b")))
    assert [(m.id, m.parent) for m in found.messages] == [("u", ROOT), ("a", "u"), ("b", "u"), ("v", ROOT)]
    assert found.current == "b"


def test_chatgpt_one_bad_message_costs_only_itself() -> None:
    text = json.dumps(
        gpt(
            gpt_node("r", None),
            gpt_node("u", "r", text="hi"),
            gpt_node("x", "u", "robot", "?"),
            gpt_node("a", "x", "assistant", "yes"),
        )
    )
    assert [(m.id, m.parent) for m in one(text).messages] == [("u", ROOT), ("a", "u")]
    assert len(bad(text)) == 1


def test_chatgpt_a_tree_without_children_times_and_current_node() -> None:
    node = gpt_node("u", None, text="hi")
    del node["children"], node["message"]["create_time"]
    found = one(
        json.dumps(
            {
                "id": "g",
                "mapping": {
                    "u": node,
                    "a": {"id": "a", "parent": "u", "message": gpt_node("a", "u", "assistant", "yes")["message"]},
                },
            }
        )
    )
    assert said(found.messages) == [("user", "hi"), ("assistant", "yes")]


CONTENTS: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("user", {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "p"}, "look"]}, "look", ["image", "text"]),
    ("user", {"content_type": "multimodal_text", "parts": [{"content_type": "audio_transcription", "text": "spoken"}]}, "spoken", []),
    ("assistant", {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "deep"}]}, "s\ndeep", ["thinking"]),
    ("tool", {"content_type": "execution_output", "text": "42"}, "42", ["tool_result"]),
    ("tool", {"content_type": "tether_quote", "url": "u", "title": "T", "text": "quoted"}, "T\nquoted\n\nT", ["tool_result", "file"]),
    ("tool", {"content_type": "something_new", "output_str": "words"}, "words", ["tool_result"]),
]  # fmt: skip


@pytest.mark.parametrize(("role", "content", "text", "parts"), CONTENTS)
def test_chatgpt_content_types(role: str, content: dict[str, Any], text: str, parts: list[str]) -> None:
    [message] = one(json.dumps(gpt(gpt_node("u", None, role, content=content)))).messages
    assert (message.content, kinds(message)) == (text, parts)


def test_chatgpt_calls_of_tools_and_attachments() -> None:
    call = gpt_node(
        "a", None, "assistant", content={"content_type": "code", "text": '{"x": 1}'}, recipient="canmore.create"
    )
    file = gpt_node(
        "u",
        "a",
        text="see",
        metadata={"attachments": [{"id": "f", "name": "a.pdf", "mime_type": "application/pdf", "size": 3}]},
    )
    first, second = one(json.dumps(gpt(call, file))).messages
    assert (first.content, kinds(first)) == ('canmore.create {"x":1}', ["tool_call"])
    assert (second.content, kinds(second)) == ("see\n\na.pdf", ["text", "file"])


def test_chatgpt_shared_link() -> None:
    shared = {
        "share_id": "l",
        "title": "T",
        "linear_conversation": [gpt_node("u", None, text="hi"), {**gpt_node("a", "u", "assistant", "yes")}],
    }
    assert said(one(json.dumps(shared)).messages) == [("user", "hi"), ("assistant", "yes")]


# Claude.ai.


def test_claude_ai_attachments_are_searchable_and_files_named() -> None:
    first, second = one(SAMPLES["claude-ai"]).messages
    assert first.content == "hi\n\na.txt\ntext of it\n\np.png"
    assert second.content == "yes"


# Claude Code.


def test_claude_code_keeps_about_the_session() -> None:
    text = lines(
        {"type": "summary", "summary": "S", "leafUuid": "x"},
        code("user", "1", "hi"),
        {"type": "custom-title", "customTitle": "Mine", "sessionId": "s"},
    )
    found = one(text)
    assert (found.title, found.session_id) == ("Mine", "s")
    assert found.metadata == {"summary": "S", "cwd": "/p", "git_branch": "main", "custom_title": "Mine"}


def test_claude_code_queued_prompts_are_kept_once() -> None:
    attachment = {"type": "queued_command", "prompt": "later", "commandMode": "prompt"}
    text = lines(
        code("user", "1", "hi"),
        {**code("queue-operation", operation="enqueue"), "content": "later"},
        code("queue-operation", operation="remove"),
        code("attachment", "2", parent="1", attachment=attachment),
        code("assistant", "3", [{"type": "text", "text": "yes"}], "2"),
        code("attachment", "4", parent="3", attachment={**attachment, "prompt": "only here"}),
    )
    found = one(text)
    assert said(found.messages) == [("user", "hi"), ("user", "later"), ("assistant", "yes"), ("user", "only here")]
    assert [m.parent for m in found.messages][2:] == [None, None]


def test_claude_code_what_the_program_says_is_not_the_persons() -> None:
    text = lines(
        code("user", "1", "a summary", isCompactSummary=True),
        code("user", "2", "caveat", "1", isMeta=True),
        {**code("system", "3", parent="2", subtype="local_command"), "content": "/model"},
    )
    assert [(m.role, m.metadata) for m in one(text).messages] == [
        ("system", {"compact_summary": True}), ("system", {"meta": True}), ("system", {"kind": "local_command"})
    ]  # fmt: skip


def test_claude_code_rewinds_are_branches_and_parallel_calls_are_not() -> None:
    def call(uuid: str, parent: str, id: str) -> dict[str, Any]:
        record = code("assistant", uuid, [{"type": "tool_use", "id": id, "name": "f", "input": {}}], parent)
        record["message"]["id"] = "api"
        return record

    text = lines(
        code("user", "1", "hi"), call("2", "1", "c1"), call("3", "2", "c2"),
        code("user", "4", [{"type": "tool_result", "tool_use_id": "c1", "content": "r1"}], "2"),
        code("user", "5", [{"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "r2"}]}], "3"),
        code("progress", "6", parent="5"),
        code("assistant", "7", [{"type": "text", "text": "done"}], "4"),
        code("user", "8", "again", "1"),
    )  # fmt: skip
    found = one(text)
    assert [(m.id, m.parent) for m in found.messages] == [
        ("1", None), ("2", None), ("3", None), ("4", None), ("5", None), ("7", None), ("8", "1")
    ]  # fmt: skip
    assert ignored(text) == ["progress"]


def test_claude_code_sidechains_forks_and_unknown_records() -> None:
    text = lines(
        code("user", "1", "hi", forkedFrom={"sessionId": "o", "messageUuid": "1"}),
        code("user", "2", "task", isSidechain=True, agentId="a"),
        code("new-type-with-words", "3", words="?"),
        code("assistant", "4", [{"type": "text", "text": "yes"}], "1"),
    )
    assert [(c.id, said(c.messages)) for c in conversations(text)] == [
        ("s", [("user", "hi")]), ("s/a", [("user", "task")]), ("s", [("assistant", "yes")])
    ]  # fmt: skip
    assert conversations(text)[0].metadata["forked_from"] == "o"
    assert [item.line for item in bad(text)] == [3]


def test_claude_code_stream_json() -> None:
    text = lines(
        {"type": "system", "subtype": "init", "session_id": "s", "tools": []},
        {
            "type": "assistant",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
            "session_id": "s",
        },
        {"type": "result", "subtype": "success", "result": "yes", "session_id": "s"},
    )
    assert said(one(text).messages) == [("assistant", "yes")]


def test_claude_code_blocks() -> None:
    blocks = [
        {"type": "redacted_thinking", "data": "x"},
        {
            "type": "document",
            "title": "d.txt",
            "source": {"type": "text", "media_type": "text/plain", "data": "inside"},
        },
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "block_of_tomorrow", "words": "kept"},
    ]
    [message] = one(lines(code("user", "1", blocks))).messages
    assert kinds(message) == ["thinking", "file", "image", "other"]
    assert message.content == "d.txt\ninside\n\nkept"
    assert message.parts is not None
    assert message.parts[2].size == 2  # type: ignore[union-attr]  # it is an image


# Codex CLI.


def test_codex() -> None:
    found = one(SAMPLES["codex"])
    assert (found.id, found.metadata["git_branch"], found.metadata["model"]) == ("x", "main", "m")
    assert [(m.role, kinds(m)) for m in found.messages] == [
        ("user", []), ("assistant", ["thinking"]), ("assistant", ["tool_call"]), ("tool", ["tool_result"]), ("assistant", [])
    ]  # fmt: skip


def test_codex_turns_taken_back_are_a_branch_and_injected_words_are_not_the_persons() -> None:
    text = lines(
        codex("session_meta", id="x"), codex_said("user", "<environment_context>e</environment_context>"),
        codex_said("user", "first"), codex_said("assistant", "one"), codex_said("user", "wrong"), codex_said("assistant", "two"),
        codex("event_msg", type="thread_rolled_back", num_turns=1), codex_said("user", "right"),
        codex("compacted", message="summary"), codex("event_msg", type="user_message", message="only an event"),
    )  # fmt: skip
    found = one(text)
    assert [(m.id, m.parent, m.role) for m in found.messages][-3:] == [
        ("8", "4", "user"),
        ("9", None, "system"),
        ("10", None, "user"),
    ]
    assert found.messages[0].role == "system"


def test_codex_before_september_2025() -> None:
    text = lines(
        {"id": "x", "timestamp": "2025-08-01T00:00:00Z", "instructions": None},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"record_type": "state"},
    )
    assert said(one(text).messages) == [("user", "hi")]


# Gemini CLI.


def test_gemini() -> None:
    user, model, tool = one(SAMPLES["gemini-cli"]).messages
    assert (kinds(model), model.content) == (["thinking", "text", "tool_call"], 'S\nhm\n\nyes\n\nf {"a":1}')
    assert (user.content, tool.role, tool.content) == ("hi", "tool", "out")


def test_gemini_lines_with_rewinds() -> None:
    text = lines(
        {"sessionId": "e", "projectHash": "h", "startTime": "2026-01-01T00:00:00Z"},
        {"id": "1", "type": "user", "content": "hi"}, {"id": "2", "type": "gemini", "content": "no"},
        {"$rewindTo": "2"}, {"id": "3", "type": "gemini", "content": [{"text": "yes"}]}, {"$set": {"summary": "S"}},
    )  # fmt: skip
    found = one(text)
    assert [(m.id, m.parent) for m in found.messages] == [("1", ROOT), ("2", "1"), ("3", "1")]
    assert (found.current, found.title) == ("3", "S")


# Open Assistant, WildChat, ShareGPT, LangChain.


def test_oasst_trees_and_flat_messages_are_the_same_tree() -> None:
    tree = one(SAMPLES["oasst"])
    assert [(m.id, m.parent) for m in tree.messages] == [("1", ROOT), ("2", "1"), ("3", "1")]
    assert tree.current == "3"
    flat = lines(
        {"message_tree_id": "t", "message_id": "3", "parent_id": "1", "text": "no", "role": "assistant", "rank": 0},
        {"message_tree_id": "t", "message_id": "1", "parent_id": None, "text": "hi", "role": "prompter"},
        {"message_tree_id": "t", "message_id": "2", "parent_id": "1", "text": "yes", "role": "assistant", "rank": 1},
    )
    assert {(m.id, m.parent) for m in one(flat).messages} == {(m.id, m.parent) for m in tree.messages}


def test_wildchat_keeps_what_describes_and_not_what_identifies() -> None:
    assert one(SAMPLES["wildchat"]).metadata == {"model": "m"}
    battle = {
        "question_id": "q",
        "model_a": "A",
        "model_b": "B",
        "conversation_a": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}],
        "conversation_b": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "b"}],
    }
    assert [(m.content, m.parent) for m in one(lines(battle)).messages] == [
        ("hi", ROOT),
        ("a", None),
        ("hi", ROOT),
        ("b", None),
    ]


def test_sharegpt_roles() -> None:
    turns = [
        ("system", "s"),
        ("human", "hi"),
        ("function_call", '{"name": "f", "arguments": {"a": 1}}'),
        ("observation", "out"),
        ("gpt", "yes"),
    ]
    text = lines({"conversations": [{"from": who, "value": value} for who, value in turns]})
    assert said(one(text).messages) == [
        ("system", "s"),
        ("user", "hi"),
        ("assistant", 'f {"a":1}'),
        ("tool", "out"),
        ("assistant", "yes"),
    ]


def test_langchain_dumps() -> None:
    dumped = [{"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": {"content": text, "type": kind}}
              for name, text, kind in (("HumanMessage", "hi", "human"), ("AIMessage", "yes", "ai"))]  # fmt: skip
    for text in (json.dumps(dumped), lines(dumped), lines({"messages": dumped})):
        assert said(one(text).messages) == [("user", "hi"), ("assistant", "yes")]
    rows = [
        {"session_id": "a", "message": json.dumps({"type": "human", "data": {"content": "hi"}})},
        {"session_id": "b", "message": {"type": "ai", "data": {"content": "yes"}}},
    ]
    assert [(c.id, said(c.messages)) for c in conversations(lines(*rows))] == [
        ("a", [("user", "hi")]),
        ("b", [("assistant", "yes")]),
    ]


# Requests and responses.


INTERFACES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"custom_id": "r", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "hi"}]}}, [("user", "hi")]),
    ({"custom_id": "r", "params": {"system": "s", "messages": [{"role": "user", "content": "hi"}]}}, [("system", "s"), ("user", "hi")]),
    ({"custom_id": "r", "response": {"body": {"choices": [{"message": {"role": "assistant", "content": "yes"}}]}}}, [("assistant", "yes")]),
    ({"custom_id": "r", "result": {"type": "succeeded", "message": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "yes"}]}}}, [("assistant", "yes")]),
    ({"id": "resp", "object": "response", "instructions": "s", "input": "hi", "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}]}, [("system", "s"), ("user", "hi"), ("assistant", "yes")]),
    ({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}}]}, [("user", "hi"), ("assistant", "yes")]),
    ({"prompt": "hi", "completion": "yes"}, [("user", "hi"), ("assistant", "yes")]),
    ({"system": [{"type": "text", "text": "s"}], "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}, {"type": "text", "text": "go"}]}]}, [("system", "s"), ("tool", "r"), ("user", "go")]),
]  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), INTERFACES)
def test_requests_and_responses(record: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    for text in (lines(record), json.dumps([record]), json.dumps(record, indent=1)):
        assert said(one(text).messages) == expected


def test_several_answers_are_branches() -> None:
    choices = [{"message": {"role": "assistant", "content": text}} for text in ("one", "two")]
    found = one(
        lines(
            {"id": "c", "request": {"messages": [{"role": "user", "content": "hi"}]}, "response": {"choices": choices}}
        )
    )
    assert [(m.content, m.parent) for m in found.messages] == [("hi", None), ("one", None), ("two", "message 1")]


def test_arrays_of_chats_and_chats_that_are_arrays() -> None:
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    for text in (
        json.dumps([{"messages": chat}]),
        json.dumps(chat),
        json.dumps([chat]),
        lines(chat),
        lines(*chat),
        json.dumps({"data": [{"messages": chat}]}),
    ):
        assert said(one(text).messages) == [("user", "hi"), ("assistant", "yes")], text
    assert len(conversations(json.dumps(chat) + json.dumps(chat))) == 2


# llm.


def test_llm_logs(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            """
            CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
            CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT,
                response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT);
            INSERT INTO conversations VALUES ('c', 'N', 'm');
            INSERT INTO responses VALUES ('1', 'm', 'hi', 's', NULL, '{"temperature": 1}', 'yes', NULL, 'c', 5, '2026-01-01T00:00:00');
            INSERT INTO responses VALUES ('2', 'm', 'more', 's', NULL, NULL, 'ok', NULL, 'c', 5, '2026-01-01T00:01:00');
            INSERT INTO conversations VALUES ('t', 'also a thread', 'm');
            INSERT INTO responses VALUES ('3', 'm', 'old form', NULL, NULL, NULL, 'ok', NULL, 't', 5, '2026-01-01T00:01:00');
            CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT);
            CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT, text TEXT, payload TEXT);
            CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
            CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT,
                options_json TEXT, input_tokens INTEGER, datetime_utc TEXT);
            INSERT INTO messages VALUES ('h1', NULL, 'user', NULL), ('h2', 'h1', 'assistant', NULL), ('h3', 'h1', 'assistant', NULL);
            INSERT INTO parts VALUES (1, 'h1', 0, 'text', NULL, 'hi', NULL), (2, 'h2', 0, 'tool_call', 'f', NULL,
                '{"name": "f", "arguments": {"a": 1}, "tool_call_id": "x"}'), (3, 'h3', 0, 'text', NULL, 'regenerated', NULL);
            INSERT INTO threads VALUES ('t', 'T', 'h3', NULL, '2026-01-01T00:00:00');
            INSERT INTO turns VALUES ('1', 't', NULL, 'h2', 'm', NULL, 1, '2026-01-01T00:00:00'), ('2', 't', NULL, 'h3', 'm', NULL, 1, '2026-01-01T00:01:00');
            """
        )
    database.close()
    [opened] = open_sources(path)
    assert detect(path) == "llm"
    found = [item for _, item in read_source(opened)[1] if isinstance(item, ImportedConversation)]
    assert [conversation.title for conversation in found] == ["T", "N"]
    assert [(m.content, m.parent) for m in found[0].messages] == [
        ("hi", ROOT),
        ('f {"a":1}', "h1"),
        ("regenerated", "h1"),
    ]
    assert found[0].current == "h3"
    assert said(found[1].messages) == [
        ("system", "s"),
        ("user", "hi"),
        ("assistant", "yes"),
        ("user", "more"),
        ("assistant", "ok"),
    ]


def test_the_format_of_the_documentation() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
    program = text.partition("```python\n")[2].partition("```")[0]
    assert len(program.splitlines()) <= 30
    names: dict[str, Any] = {}
    exec(compile(program, "diaries.py", "exec"), names)
    diary = names["DIARY"]
    value = {"day": "monday", "entries": ["rain", 7, "sun"]}
    assert diary.recognize(value)
    found = [item for _, item in diary.read(iter([Record(3, value)]), Context("f"))]
    assert isinstance(found[0], ImportedConversation)
    assert said(found[0].messages) == [("user", "rain"), ("user", "sun")]
    assert found[1] == BadLine("f", 3, "entry 2: must be text")
