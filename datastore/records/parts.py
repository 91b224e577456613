"""The parts of a message: text, thinking, tool calls and results, images, files, refusals.

A message of plain text has no parts. Any other is stored as a JSON list, one object per part: its *type*, and its fields
that are not None, in the order of the class (`encode_parts`). No other field is stored, and no bytes of a file: an image
or a file is its name, media type, size, hash and address.

The *content* of a message with parts is derived from them (`text_of`), so that people can read it and search finds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import attrs

from datastore.errors import InvalidValueError


@attrs.frozen(kw_only=True)
class TextPart:
    """What somebody says."""

    type: Literal["text"] = attrs.field(default="text", init=False)
    text: str


@attrs.frozen(kw_only=True)
class ThinkingPart:
    """What a model thinks before it answers."""

    type: Literal["thinking"] = attrs.field(default="thinking", init=False)
    text: str
    #: The provider's signature or encrypted form, which it wants back.
    signature: str | None = None


@attrs.frozen(kw_only=True)
class ToolCallPart:
    """A tool that the model calls."""

    type: Literal["tool_call"] = attrs.field(default="tool_call", init=False)
    name: str
    #: Any JSON value: usually an object, or the text that the model wrote where that is not JSON.
    arguments: Any = None
    #: The id that the result refers to.
    call_id: str | None = None


@attrs.frozen(kw_only=True)
class ToolResultPart:
    """What a tool returned."""

    type: Literal["tool_result"] = attrs.field(default="tool_result", init=False)
    text: str
    #: The id of the call.
    call_id: str | None = None
    #: The name of the tool.
    name: str | None = None
    #: True if the tool failed; None if it is not known.
    is_error: bool | None = None


@attrs.frozen(kw_only=True)
class ImagePart:
    """An image, without its bytes."""

    type: Literal["image"] = attrs.field(default="image", init=False)
    name: str | None = None
    #: For example "image/png".
    media_type: str | None = None
    #: In bytes.
    size: int | None = None
    #: Lower-case hex.
    sha256: str | None = None
    #: Where it is: a URL, or a provider's key.
    url: str | None = None


@attrs.frozen(kw_only=True)
class FilePart:
    """A file of any other kind (a document, sound, a video), without its bytes."""

    type: Literal["file"] = attrs.field(default="file", init=False)
    name: str | None = None
    #: For example "application/pdf".
    media_type: str | None = None
    #: In bytes.
    size: int | None = None
    #: Lower-case hex.
    sha256: str | None = None
    #: Where it is: a URL, or a provider's key.
    url: str | None = None
    #: Its text, if it was extracted.
    text: str | None = None


@attrs.frozen(kw_only=True)
class RefusalPart:
    """The text with which a model refuses to answer."""

    type: Literal["refusal"] = attrs.field(default="refusal", init=False)
    text: str


@attrs.frozen(kw_only=True)
class OtherPart:
    """A part of a kind that this library does not know, as it came."""

    type: Literal["other"] = attrs.field(default="other", init=False)
    #: What its source calls the kind.
    kind: str
    #: Any JSON value.
    data: Any = None
    #: Its text, if it has one.
    text: str | None = None


Part = TextPart | ThinkingPart | ToolCallPart | ToolResultPart | ImagePart | FilePart | RefusalPart | OtherPart

_CLASSES: dict[str, type[Part]] = {
    attrs.fields(kind).type.default: kind
    for kind in (TextPart, ThinkingPart, ToolCallPart, ToolResultPart, ImagePart, FilePart, RefusalPart, OtherPart)
}

#: Fields of any JSON value; all other fields are of the types below.
_JSON_FIELDS = frozenset({"arguments", "data"})
_TYPES: dict[str, type] = {"size": int, "is_error": bool}


def text_of(parts: Iterable[Part]) -> str:
    """The content of a message with these parts: the text of each, in order, with an empty line between two.

    The text of a tool call is its name and its arguments as compact JSON; that of an image is its name, and that of a
    file its name and its text. A part without text adds nothing.
    """
    return "\n\n".join(filter(None, map(_text, parts)))


def _text(part: Part) -> str:
    if isinstance(part, ToolCallPart):
        arguments = part.arguments
        if arguments is None or isinstance(arguments, str):
            return " ".join(filter(None, (part.name, arguments)))
        return f"{part.name} {_dumps(arguments)}"
    if isinstance(part, ImagePart):
        return part.name or ""
    if isinstance(part, FilePart):
        return "\n".join(filter(None, (part.name, part.text)))
    return part.text or ""


_dumps: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def hash_of(content: str, parts: str | None) -> str:
    """The *content_hash* of a message: SHA-256 of its content, or of the content, a NUL and the stored text of its parts.

    Raises:
        InvalidValueError: *content* is not text, or contains a lone surrogate.
    """
    try:
        data = content.encode() if parts is None else f"{content}\0{parts}".encode()
    except UnicodeEncodeError:
        raise InvalidValueError("content: contains a lone surrogate, which UTF-8 cannot encode; remove it") from None
    except AttributeError:
        raise InvalidValueError(f"content: expected text, not {type(content).__name__}") from None
    return hashlib.sha256(data).hexdigest()


def encode_parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The parts as JSON objects: what is stored and exported.

    Raises:
        InvalidValueError: A part is of another class, or a field has another type.
    """
    return [_encode(part) for part in parts]


def _encode(part: Part) -> dict[str, Any]:
    kind = type(part)
    if kind not in _CLASSES.values():
        raise InvalidValueError(f"parts: expected {', '.join(one.__name__ for one in _CLASSES.values())}")
    values = {name: value for name in _names(kind) if (value := getattr(part, name)) is not None}
    return {"type": part.type, **values}


def _names(kind: type[Part]) -> Sequence[str]:
    return [field.name for field in attrs.fields(kind) if field.init]


def decode_parts(values: Any) -> tuple[Part, ...]:
    """The parts of a JSON list, which may come from a file.

    Raises:
        InvalidValueError: The form is another: an unknown type or field, a missing field, a value of another type.
    """
    if not isinstance(values, list):
        raise InvalidValueError("parts: expected a list of objects")
    return tuple(map(_decode, values))


def _decode(value: Any) -> Part:
    kind = _CLASSES.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None:
        raise InvalidValueError(f'parts: each is an object with a "type" of: {", ".join(_CLASSES)}')
    fields = {name: one for name, one in value.items() if name != "type"}
    known = _names(kind)
    for name, one in fields.items():
        if name not in known:
            raise InvalidValueError(f"parts: a {value['type']} part has these fields: {', '.join(known)}")
        if name not in _JSON_FIELDS and one is not None and type(one) is not _TYPES.get(name, str):
            raise InvalidValueError(f"parts: {name} of a {value['type']} part has another type")
    for field in attrs.fields(kind):
        if field.default is attrs.NOTHING and fields.get(field.name) is None:
            raise InvalidValueError(f"parts: a {value['type']} part needs {field.name}")
    return kind(**fields)
