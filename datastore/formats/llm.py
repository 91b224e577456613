"""The tool llm: its ``logs.db``, with responses (until version 0.31) and with threads, turns and messages (since then)."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from datastore.errors import ImportFileError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.base import BAD, Context, Items, Notes, id_of, make_message, some, title_of
from datastore.formats.blocks import decoded
from datastore.formats.items import ROOT, BadLine, ImportedConversation, ImportedMessage
from datastore.formats.parts import Part
from datastore.records import Role

Row = Mapping[str, Any]

_USAGE = {"input_tokens": "input_tokens", "output_tokens": "output_tokens", "token_details": "token_details"}

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "tool": "tool"}

_statement = re.compile(r"^-- name: (\w+)\n(.*?);$", re.MULTILINE | re.DOTALL)


@functools.cache
def _statements() -> Mapping[str, str]:
    text = Path(__file__).with_name("llm.sql").read_text(encoding="utf-8")
    return dict(_statement.findall(text))


class _Logs:
    """The statements of llm.sql on one database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        self._connection = connection
        self.tables = {row["name"] for row in self.rows("tables")}

    def rows(self, statement: str, id: Any = None) -> list[dict[str, Any]]:
        return list(self.iterate(statement, id))

    def iterate(self, statement: str, id: Any = None) -> Iterator[dict[str, Any]]:
        yield from map(dict, self._connection.execute(_statements()[statement], {"id": id}))

    def optional(self, statement: str, id: Any, table: str | None = None) -> list[dict[str, Any]]:
        """The rows, if this version of llm has the table."""
        return self.rows(statement, id) if (table or statement) in self.tables else []


def read_llm(path: Path, context: Context) -> Items:
    """Read the conversations of a logs.db; the line of each is its number.

    Raises:
        ImportFileError: It is no database of llm, or it cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            logs = _Logs(connection)
            if "responses" not in logs.tables and "threads" not in logs.tables:
                raise ImportFileError(f"{context.file}: unknown format: a SQLite database that llm did not write")
            yield from _conversations(logs, context)
    except sqlite3.Error as error:
        raise ImportFileError(f"{context.file}: cannot be read: {type(error).__name__}") from error


def _conversations(logs: _Logs, context: Context) -> Items:
    number = 0
    threads: set[str] = set()
    for thread in logs.iterate("threads") if "threads" in logs.tables else ():
        number += 1
        threads.add(str(thread["id"]))
        yield from _of(functools.partial(_thread, logs, thread), number, context)
    rows: list[dict[str, Any]] = []
    for row in logs.iterate("responses") if "responses" in logs.tables else ():
        if rows and (rows[0]["conversation_id"] != row["conversation_id"] or row["conversation_id"] is None):
            number += 1
            yield from _of(functools.partial(_responses, logs, rows, threads), number, context)
            rows = []
        rows.append(row)
    if rows:
        yield from _of(functools.partial(_responses, logs, rows, threads), number + 1, context)


def _of(convert: Any, number: int, context: Context) -> Items:
    notes = Notes(context, number)
    try:
        found = convert(notes)
    except BAD as error:
        yield number, BadLine(context.file, number, str(error))
    else:
        if found is not None:
            yield number, found
    yield from notes.take()


def _responses(logs: _Logs, rows: list[dict[str, Any]], threads: set[str], notes: Notes) -> ImportedConversation | None:
    conversation_id = rows[0]["conversation_id"]
    if conversation_id in threads:
        for _ in rows:
            notes.ignored("response that is also a turn of a thread")
        return None
    about: dict[str, Any] = next(iter(logs.optional("conversations", conversation_id)), {})
    messages: list[ImportedMessage] = []
    system: str | None = None
    for row in rows:
        found, system = _response(logs, row, system, notes)
        messages += found
    metadata = some(about, {"model": "model"})
    return ImportedConversation(
        id=id_of(conversation_id) or id_of(rows[0]["id"]) or "llm",
        source="llm",
        title=notes.field(title_of, about.get("name"), metadata),
        metadata=metadata,
        messages=tuple(messages),
    )


def _response(
    logs: _Logs, row: dict[str, Any], system: str | None, notes: Notes
) -> tuple[list[ImportedMessage], str | None]:
    id = id_of(row["id"], 180)
    made = notes.field(read.any_time, row, "datetime_utc")
    told = "\n".join(
        filter(None, [*(f["content"] for f in logs.optional("system_fragments", row["id"])), row.get("system")])
    )
    asked = [make.text(f["content"]) for f in logs.optional("prompt_fragments", row["id"]) if f["content"]]
    asked += [make.text(row["prompt"])] if row.get("prompt") else []
    asked += [_attachment(file) for file in logs.optional("prompt_attachments", row["id"])]
    answer = [make.thinking(row["reasoning"])] if row.get("reasoning") else []
    answer += [make.text(row["response"])] if row.get("response") else []
    answer += [
        make.tool_call(_str(call.get("tool_call_id")), call.get("name"), decoded(call.get("arguments")))
        for call in logs.optional("tool_calls", row["id"])
    ]
    usage = some(row, _USAGE)
    metadata = {
        "model": row.get("resolved_model") or row.get("model"), "usage": usage, "options": _options(row), "duration_ms": row.get("duration_ms")
    }  # fmt: skip
    pieces: list[tuple[str, Role, list[Part], dict[str, Any]]] = []
    if told and told != system:
        pieces.append(("system", "system", [make.text(told)], {}))
    for number, result in enumerate(logs.optional("tool_results", row["id"]), 1):
        failed = True if result.get("exception") else None
        value = result.get("output") or result.get("exception") or ""
        part = make.tool_result(_str(result.get("tool_call_id")), value, name=_str(result.get("name")), is_error=failed)
        pieces.append((f"result:{number}", "tool", [part], {}))
    pieces += [("prompt", "user", asked, {}), ("response", "assistant", answer, metadata)]
    messages = []
    for name, role, parts, about in pieces:
        try:
            message = make_message(role, parts, id=f"{id}:{name}", metadata=about, created_at=made)
        except BAD as error:
            notes.bad(f"{name} of a response: {error}")
            continue
        if message is None:
            notes.ignored(f"empty {name}")
        else:
            messages.append(message)
    return messages, told or system


def _options(row: Row) -> Any:
    options = decoded(row.get("options_json"))
    return options if isinstance(options, dict) else None


def _attachment(row: Row) -> Part:
    kind = "image" if str(row.get("type") or "").startswith("image/") else "file"
    name = _str(row.get("path"))
    url = _str(row.get("url")) or _str(row.get("id"))
    return make.file(kind, name=name, media_type=_str(row.get("type")), size=row.get("size"), url=url)


def _thread(logs: _Logs, thread: dict[str, Any], notes: Notes) -> ImportedConversation:
    messages: dict[str, ImportedMessage] = {}
    follows: dict[str, str] = {}
    turns = logs.rows("turns", thread["id"])
    for turn in [*turns, {"tip_message_hash": thread.get("tip_message_hash")}]:
        made = notes.field(read.any_time, turn, "datetime_utc")
        for row in logs.rows("chain", turn.get("tip_message_hash")):
            if row["hash"] not in follows:
                parent = follows.get(row["parent_hash"], ROOT)
                message = _message(logs, row, parent, made, notes)
                follows[row["hash"]] = parent if message is None else row["hash"]
                if message is not None:
                    messages[row["hash"]] = message
        _about(messages.get(str(turn.get("tip_message_hash"))), turn)
    metadata = some(thread, {"forked_from": "forked_from"})
    return ImportedConversation(
        id=id_of(thread["id"]) or "llm",
        source="llm",
        title=notes.field(title_of, thread.get("name"), metadata),
        metadata=metadata,
        created_at=notes.field(read.any_time, thread, "datetime_utc"),
        messages=tuple(messages.values()),
        current=follows.get(str(thread.get("tip_message_hash"))) or None,
    )


def _about(message: ImportedMessage | None, turn: Row) -> None:
    """Say in the answer's metadata which model gave it."""
    if message is not None and message.role == "assistant":
        usage = some(turn, _USAGE)
        about = {"model": turn.get("resolved_model") or turn.get("model"), "usage": usage, "options": _options(turn)}
        message.metadata.update({key: value for key, value in about.items() if value})


def _message(logs: _Logs, row: Row, parent: str, made: Any, notes: Notes) -> ImportedMessage | None:
    role = _ROLES.get(str(row["role"]))
    if role is None:
        notes.bad("role: must be one of user, assistant, system, tool")
        return None
    try:
        parts = [part for part_row in logs.rows("parts", row["hash"]) for part in _parts(logs, part_row)]
        message = make_message(role, parts, id=id_of(row["hash"]), parent=parent, created_at=made)
    except BAD as error:
        notes.bad(f"a message: {error}")
        return None
    if message is None:
        notes.ignored("empty message")
    return message


def _parts(logs: _Logs, row: Row) -> list[Part]:
    payload = decoded(row.get("payload"))
    payload = payload if isinstance(payload, dict) else {}
    text = row.get("text")
    if isinstance(pieces := payload.get("text_ref"), list):
        text = "".join(_piece(logs, piece) for piece in pieces if isinstance(piece, dict))
    files = [_attachment(file) for file in logs.optional("part_attachments", row["id"])]
    kind = row["type"]
    if kind == "text":
        return [make.text(text)] if text else []
    if kind == "reasoning":
        return [make.thinking(text)] if text else []
    if kind == "tool_call":
        return [make.tool_call(_str(payload.get("tool_call_id")), _str(payload.get("name")), payload.get("arguments"))]
    if kind == "tool_result":
        value = payload.get("output") or payload.get("exception") or ""
        failed = True if payload.get("exception") else None
        name = _str(payload.get("name"))
        return [make.tool_result(_str(payload.get("tool_call_id")), str(value), name=name, is_error=failed), *files]
    if kind == "attachment":
        return files
    return [make.other(str(kind), {**payload, **({"text": text} if text else {})})]


def _piece(logs: _Logs, piece: Row) -> str:
    if "literal" in piece:
        return str(piece["literal"])
    return "".join(row["content"] or "" for row in logs.rows("fragments", piece.get("fragment")))


def _str(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
