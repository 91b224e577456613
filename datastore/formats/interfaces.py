"""Requests and responses of OpenAI's, Anthropic's and Gemini's interfaces, and lines of their batch files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from datastore.errors import InvalidValueError
from datastore.formats.base import Notes, hash_of, id_of, make_message, objects
from datastore.formats.blocks import parts_of
from datastore.formats.items import ROOT, ImportedConversation, ImportedMessage
from datastore.formats.turns import is_turn, read_turns

#: Requests of batch files, and pairs of a request and its response.
_WRAPPERS = ("body", "params", "request", "response", "result", "message", "data", "input")


def is_response(value: Mapping[str, Any]) -> bool:
    return (
        isinstance(value.get("choices"), list)
        or isinstance(value.get("output"), list)
        or isinstance(value.get("candidates"), list)
        or isinstance(value.get("preferred_output"), list)
        or ("input" in value and "model" in value)
        or (value.get("type") == "message" and "content" in value and "role" in value)
    )


def is_wrapped(value: Mapping[str, Any], depth: int = 0) -> bool:
    inner = [value[key] for key in _WRAPPERS if isinstance(value.get(key), dict)]
    return depth < 3 and any(
        isinstance(part.get("messages"), list) or "prompt" in part or is_response(part) or is_wrapped(part, depth + 1)
        for part in inner
    )


def read_interface(data: dict[str, Any], notes: Notes) -> ImportedConversation:
    """A request, a response, or both, of a model's interface; or a line of a batch file."""
    id = notes.field(id_of, data.get("custom_id")) or notes.field(id_of, data.get("id"))
    messages: list[ImportedMessage] = []
    metadata: dict[str, Any] = {}
    _collect(data, messages, metadata, notes)
    if not messages:
        raise InvalidValueError("messages: must be a list")
    if "custom_id" in data and not any(message.role in ("user", "system") for message in messages):
        id = f"{id}/response"[:200]  # the request has the same custom_id
    return ImportedConversation(id=id or hash_of(data), metadata=metadata, messages=tuple(messages))


def _collect(
    data: Mapping[str, Any], messages: list[ImportedMessage], metadata: dict[str, Any], notes: Notes, depth: int = 0
) -> None:
    metadata |= {
        key: data[key]
        for key in ("model", "usage", "status_code", "method", "url", "error")
        if data.get(key) not in (None, "", {})
    }
    for key in ("system", "instructions", "systemInstruction", "system_instruction"):
        if found := make_message(
            "system", parts_of(data.get(key)) if isinstance(data.get(key), str | list | dict) else []
        ):
            messages.append(found)
    for key in ("messages", "contents", "input", "prompt"):
        value = data.get(key)
        if isinstance(value, str):
            value = [{"role": "user", "content": value}]
        if isinstance(value, list):
            messages += read_turns(value, notes, key)
    if isinstance(data.get("completion"), str):
        messages += read_turns([{"role": "assistant", "content": data["completion"]}], notes, "completion")
    if data.get("type") == "message" or (depth and is_turn(data)):
        messages += read_turns([{key: data[key] for key in ("id", "role", "content") if key in data}], notes, "message")
    for key in _WRAPPERS:
        if isinstance(value := data.get(key), dict) and depth < 4:
            _collect(value, messages, metadata, notes, depth + 1)
    messages[:] = answered(messages, data, notes)


def answered(messages: Sequence[ImportedMessage], data: Mapping[str, Any], notes: Notes) -> list[ImportedMessage]:
    """The messages and what the model answered; of several answers to one question, each but the first is a branch."""
    found = list(messages)
    if isinstance(output := data.get("output"), list):
        found += read_turns(output, notes, "output")
    choices = [
        choice.get("message", choice.get("content"))
        for key in ("choices", "candidates")
        for choice in objects(data.get(key))
    ]
    texts = [choice.get("text") for choice in objects(data.get("choices")) if isinstance(choice.get("text"), str)]
    choices = [choice for choice in choices if choice is not None] + [
        {"role": "assistant", "content": text} for text in texts
    ]
    preferred = [data.get("preferred_output"), data.get("non_preferred_output")]
    alternatives = [[{"role": "assistant", **choice}] for choice in choices if isinstance(choice, dict)]
    alternatives += [value for value in preferred if isinstance(value, list)]
    if len(alternatives) > 1:  # a fork needs the id of the message before it
        found = [attrs.evolve(turn, id=turn.id or f"message {number}") for number, turn in enumerate(found, 1)]
    parent = found[-1].id if found else ROOT
    for number, alternative in enumerate(alternatives):
        turns = read_turns(alternative, notes, "choices")
        found += [attrs.evolve(turns[0], parent=parent), *turns[1:]] if number and turns else turns
    return found
