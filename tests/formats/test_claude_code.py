"""Claude Code transcripts: blocks, pieces, bad lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from datastore.formats import BadLine, ImportedConversation, claude_code, read_claude_code


def turn(uuid: str, content: Any, type: str = "user", **keys: Any) -> str:
    data = {"type": type, "message": {"role": type, "content": content}, "uuid": uuid, "sessionId": "s"}
    return json.dumps({"timestamp": "2026-01-06T09:14:05.140Z", **data, **keys})


def read(lines: Iterable[str], skipped: Counter[str] | None = None) -> list[tuple[int, ImportedConversation | BadLine]]:
    return list(read_claude_code(enumerate(lines, 1), "f.jsonl", skipped))


def test_blocks_become_messages() -> None:
    skipped: Counter[str] = Counter()
    call = {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "a.py"}],
        "is_error": True,
    }
    [(number, found)] = read(
        [
            json.dumps({"type": "summary", "summary": "S", "leafUuid": "x"}),
            turn("1", "Hello"),
            turn("2", [{"type": "thinking", "thinking": "hm"}], "assistant"),
            turn("3", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look."}, call], "assistant"),
            turn("4", [result, {"type": "text", "text": "And?"}]),
            turn("5", "noise", isMeta=True),
            json.dumps({"type": "file-history-snapshot", "snapshot": {}}),
        ],
        skipped,
    )
    assert number == 2
    assert isinstance(found, ImportedConversation)
    assert (found.id, found.session_id, found.source, found.continued) == ("s", "s", "claude-code", False)
    assert [(part.id, part.role, part.content, part.metadata) for part in found.messages] == [
        ("1", "user", "Hello", {}),
        ("3", "assistant", 'I look.\n{"id":"t","name":"Bash","input":{"command":"ls"}}', {"tool_calls": True}),
        ("4", "tool", "a.py", {"tool_call_id": "t", "is_error": True}),
        ("4:2", "user", "And?", {}),
    ]
    assert skipped == {"summary": 1, "assistant": 1, "user": 1, "file-history-snapshot": 1}


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1203])
def test_a_long_session_comes_in_pieces(count: int) -> None:
    found = [item for _, item in read(turn(str(number), "x") for number in range(count))]
    pieces = [item for item in found if isinstance(item, ImportedConversation)]
    assert [part.id for piece in pieces for part in piece.messages] == [str(number) for number in range(count)]
    assert {piece.id for piece in pieces} == {"s"}
    assert max(len(piece.messages) for piece in pieces) <= claude_code.PIECE
    assert [piece.continued for piece in pieces] == [False] + [True] * (len(pieces) - 1)


def test_many_blocks_in_one_line_are_cut_too() -> None:
    blocks = [{"type": "tool_result", "tool_use_id": "t", "content": "x"}] * 1100
    found = [item for _, item in read([turn("u", blocks)])]
    assert [len(item.messages) for item in found if isinstance(item, ImportedConversation)] == [500, 500, 100]


def test_a_sub_agent_is_a_conversation_of_its_own() -> None:
    lines = [turn("1", "a"), turn("2", "b", isSidechain=True, agentId="k"), turn("3", "c")]
    found = [item for _, item in read(lines)]
    pieces = [item for item in found if isinstance(item, ImportedConversation)]
    assert [(piece.id, piece.session_id, piece.continued) for piece in pieces] == [
        ("s", "s", False),
        ("s/k", "s", False),
        ("s", "s", True),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not JSON"),
        ('{"type": "user"}', "message: must be a JSON object"),
        (turn("2", 5), "text or a list of blocks"),
        (turn("2", [5]), "text or a list of blocks"),
        (turn("2", [{"type": "text", "text": 5}]), "must be a string"),
        (turn("2", [{"type": "tool_result", "content": 5}]), "a tool result must be text"),
        (turn("2", "a\0"), "NUL"),
        (turn("2", "\ud800"), "lone surrogate"),
        (turn("2", "x" * 1_048_577), "1048577 bytes"),
        (turn("", "x"), "uuid: must not be empty"),
        (turn("2", "x", sessionId=None), "sessionId: is missing"),
        (turn("2", "x", timestamp="2026-01-06T09:14:05"), "no offset"),
    ],
)
def test_a_bad_line_hides_no_other(bad: str, reason: str) -> None:
    (number, wrong), (_, found) = read([turn("1", "a"), bad, turn("3", "c")])
    assert isinstance(wrong, BadLine)
    assert (number, wrong.file, wrong.line) == (2, "f.jsonl", 2)
    assert reason in wrong.reason
    assert isinstance(found, ImportedConversation)
    assert [part.id for part in found.messages] == ["1", "3"]
