"""Reads the content of a message: text, or the blocks of OpenAI's, Anthropic's, LangChain's and Gemini's interfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from datastore.errors import InvalidValueError
from datastore.formats import fields as read
from datastore.formats import parts as make
from datastore.formats.parts import Part


def parts_of(content: object, where: str = "content") -> list[Part]:
    """The parts of a message's content: text, a block, or a list of them. An empty text is no part.

    Raises:
        InvalidValueError: It is none of these.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [make.text(content)] if content else []
    if isinstance(content, dict):
        return _block(content, where)
    if isinstance(content, list):
        return [part for block in content for part in parts_of(block, where)]
    raise InvalidValueError(f"{where}: must be text, a block or a list of blocks, not a {type(content).__name__}")


def text_of(value: object) -> str:
    """All text in a value: of blocks, or of any JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return make.content_of(parts_of(value))
    except InvalidValueError:
        return read.compact(value)


def _block(block: Mapping[str, Any], where: str) -> list[Part]:
    kind = block.get("type")
    kind = kind if isinstance(kind, str) else ""
    if found := _BLOCKS.get(kind):
        return found(block)
    if kind.endswith(("tool_result", "_output", "_result")):
        return tool_result(block)
    if kind.endswith(("tool_use", "_call")):
        return _tool_call(block)
    for key, function in _KEYS.items():
        if key in block and (not kind or key in ("text", "functionCall", "functionResponse")):
            return function(block)
    return [make.other(kind or "unknown", dict(block))]


def _text(block: Mapping[str, Any]) -> list[Part]:
    value = block.get("text", block.get("content"))
    if isinstance(value, dict):  # the Assistants interface
        value = value.get("value")
    if value is not None and not isinstance(value, str):
        raise InvalidValueError("content: the text of a block must be a string")
    sources = [source for key in ("citations", "annotations") for source in _list(block.get(key))]
    found = [make.text(value)] if value else []
    return found + [
        make.file("file", name=_str(s.get("title")), url=url) for s in sources if (url := _str(s.get("url")))
    ]


def _thinking(block: Mapping[str, Any]) -> list[Part]:
    pieces = [block.get(key) for key in ("thinking", "text", "reasoning", "summary", "content")]
    texts = [text for piece in pieces if (text := text_of(piece))]
    signature = next(
        (found for key in ("signature", "encrypted_content", "data") if (found := _str(block.get(key)))), None
    )
    return [make.thinking("\n".join(texts), signature)] if texts or signature else []


def _refusal(block: Mapping[str, Any]) -> list[Part]:
    value = text_of(block.get("refusal"))
    return [make.refusal(value)] if value else []


def _tool_call(block: Mapping[str, Any]) -> list[Part]:
    function = block.get("function", block.get("custom"))
    inner = function if isinstance(function, dict) else block
    id = next((block[key] for key in ("call_id", "id", "tool_call_id") if block.get(key) is not None), None)
    value = next(
        (inner[key] for key in ("input", "arguments", "args", "action", "queries", "code") if key in inner), None
    )
    name = _str(inner.get("name")) or _str(block.get("type"))
    return [make.tool_call(None if id is None else str(id), name, decoded(value))]


def decoded(value: object) -> Any:
    """The arguments of a call, which some interfaces encode as a text; a text that is no JSON stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return read.decoder.decode(value)
    except (ValueError, RecursionError):
        return value


def tool_result(block: Mapping[str, Any]) -> list[Part]:
    """The result in a block: its text, then its images and files."""
    content = next((block[key] for key in ("content", "output", "result", "text") if block.get(key) is not None), None)
    try:
        inner = parts_of(content)
    except InvalidValueError:
        inner = [make.text(read.compact(content))]
    files = [part for part in inner if part["type"] in ("image", "file")]
    value = make.content_of(part for part in inner if part not in files)
    id = next(
        (block[key] for key in ("tool_use_id", "tool_call_id", "call_id", "id") if block.get(key) is not None), None
    )
    is_error = (
        block["is_error"]
        if isinstance(block.get("is_error"), bool)
        else True
        if block.get("status") == "error"
        else None
    )
    result = make.tool_result(None if id is None else str(id), value, name=_str(block.get("name")), is_error=is_error)
    return [result, *files]


def _image(block: Mapping[str, Any]) -> list[Part]:
    return [_file("image", block)]


def _document(block: Mapping[str, Any]) -> list[Part]:
    source = block.get("source")
    texts = [value for key in ("context", "extracted_content") if (value := _str(block.get(key)))]
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        texts.append(text_of(source.get("data", source.get("content"))))
    return [_file("file", block, "\n".join(texts) or None)]


def _search_result(block: Mapping[str, Any]) -> list[Part]:
    url = _str(block.get("url")) or _str(block.get("source"))
    return [make.file("file", name=_str(block.get("title")), url=url, text=text_of(block.get("content")))]


def _file(kind: str, block: Mapping[str, Any], text: str | None = None) -> Part:
    """A file's description: interfaces disagree on where they write its name, type, address and content."""
    places: list[Mapping[str, Any]] = [block]
    for key in (
        "source",
        "file",
        "image_url",
        "input_audio",
        "image_file",
        "video_url",
        "audio",
        "inlineData",
        "fileData",
    ):
        value = block.get(key)
        if isinstance(value, dict):
            places.append(value)
        elif isinstance(value, str):
            places.append({"url": value})

    def first(*keys: str) -> str | None:
        return next(
            (value for place in places for key in keys if isinstance(value := place.get(key), str) and value), None
        )

    plain = isinstance(source := block.get("source"), dict) and source.get("type") in ("text", "content")
    return make.file(
        kind,
        name=first("file_name", "filename", "name", "title"),
        media_type=first("media_type", "mime_type", "mimeType", "file_type", "format"),
        size=next(
            (size for key in ("size", "size_bytes", "file_size") if isinstance(size := block.get(key), int)), None
        ),
        url=first("url", "file_uri", "fileUri", "file_url", "uri", "file_id", "path"),
        data=None if plain else first("data", "file_data", "base64"),
        text=text,
    )


def _function_call(block: Mapping[str, Any]) -> list[Part]:
    call = block["functionCall"]
    return _tool_call(call if isinstance(call, dict) else {"input": call})


def _function_response(block: Mapping[str, Any]) -> list[Part]:
    response = block["functionResponse"]
    if not isinstance(response, dict):
        return [make.tool_result(None, text_of(response))]
    inner = response.get("response")
    output = (
        next((inner[key] for key in ("output", "error") if key in inner), inner) if isinstance(inner, dict) else inner
    )
    return tool_result({"id": response.get("id"), "name": response.get("name"), "content": output})


def _text_or_thought(block: Mapping[str, Any]) -> list[Part]:
    return _thinking({"text": block.get("text")}) if block.get("thought") is True else _text(block)


def _nothing(block: Mapping[str, Any]) -> list[Part]:
    return []


_BLOCKS: Mapping[str, Callable[[Mapping[str, Any]], list[Part]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text", "reasoning_text", "plaintext"), _text),
    **dict.fromkeys(("thinking", "reasoning", "redacted_thinking"), _thinking),
    "refusal": _refusal,
    **dict.fromkeys(("tool_use", "tool_call", "function_call", "function"), _tool_call),
    **dict.fromkeys(("tool_result", "function_call_output", "custom_tool_call_output"), tool_result),
    **dict.fromkeys(("image", "image_url", "input_image", "image_file"), _image),
    **dict.fromkeys(
        ("document", "file", "input_file", "audio", "input_audio", "video", "video_url", "media", "container_upload"),
        _document,
    ),
    **dict.fromkeys(("search_result", "web_search_result"), _search_result),
    **dict.fromkeys(("token_budget", "flag", "cache_control"), _nothing),
}

#: Blocks without a type: Gemini's parts.
_KEYS: Mapping[str, Callable[[Mapping[str, Any]], list[Part]]] = {
    "functionCall": _function_call,
    "functionResponse": _function_response,
    "inlineData": _document,
    "fileData": _document,
    "text": _text_or_thought,
    "content": _text,
}


def _list(value: object) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _str(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
