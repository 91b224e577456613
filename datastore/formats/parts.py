"""The parts of a message, as the formats make them, and the text that they are together."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from datastore.records.parts import decode_parts, text_of

#: One part as a JSON object, in the form of `datastore.records.parts`.
Part: TypeAlias = Mapping[str, Any]


def _some(**values: Any) -> Part:
    return {key: value for key, value in values.items() if value is not None}


def text(value: str) -> Part:
    """What was said."""
    return {"type": "text", "text": value}


def thinking(value: str, signature: str | None = None) -> Part:
    """What the model thought."""
    return _some(type="thinking", text=value, signature=signature)


def refusal(value: str) -> Part:
    """Why the model refused."""
    return {"type": "refusal", "text": value}


def tool_call(call_id: str | None, name: str | None, arguments: Any) -> Part:
    """A call of a tool."""
    return _some(type="tool_call", name=name or "", arguments=arguments, call_id=call_id)


def tool_result(call_id: str | None, value: str, *, name: str | None = None, is_error: bool | None = None) -> Part:
    """The result of a tool."""
    return _some(type="tool_result", text=value, call_id=call_id, name=name, is_error=is_error)


def other(kind: str, data: Any) -> Part:
    """A part of a kind that is not known here, as it came; its text is that of all texts in it."""
    return _some(type="other", kind=kind, data=data, text="\n".join(_texts(data)) or None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value and not value.startswith("data:"):
            yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("type", "id", "data"):
                yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def file(
    kind: str,
    *,
    name: str | None = None,
    media_type: str | None = None,
    size: int | None = None,
    url: str | None = None,
    data: str | None = None,
    text: str | None = None,
) -> Part:
    """An image or another file: its description. *data* is its content in base64, of which only size and hash are kept."""
    sha256 = None
    if url is not None and url.startswith("data:"):
        head, _, data = url.partition(",")
        media_type, url = media_type or head[5:].partition(";")[0] or None, None
    if data is not None:
        try:
            content = base64.b64decode(data)
        except (binascii.Error, ValueError):
            content = data.encode("utf-8", "surrogatepass")
        size, sha256 = len(content), hashlib.sha256(content).hexdigest()
    return _some(type=kind, name=name, media_type=media_type, size=size, sha256=sha256, url=url, text=text or None)


def content_of(parts: Iterable[Part]) -> str:
    """The text of parts."""
    return text_of(decode_parts(list(parts)))
