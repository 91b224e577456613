"""Files: detection, gzip, undecodable and overlong lines, progress, and the real data sets."""

from __future__ import annotations

import gzip
import json
import os
import random
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from datastore.errors import ImportFileError, InvalidValueError
from datastore.formats import (
    BadLine,
    ImportedConversation,
    ImportedLearning,
    detect,
    open_text,
    read_items,
    sources,
)

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DATASTORE_SHARED_DATA") or ROOT.parent / "shared" / "data")

CHAT = '{"id": "c", "messages": [{"role": "user", "content": "é"}]}'
LEARNING = '{"title": "t", "content": "c", "category": "k"}'
CODE = '{"type": "user", "message": {"content": "x"}, "uuid": "u", "sessionId": "s"}'
EXPORT = '[{"id": "c", "mapping": {}}]'


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (CHAT, "chat"),
        ("{bad\n\n" + CHAT, "chat"),
        ("\ufeff" + CHAT, "chat"),
        ("", "chat"),
        (" \n\n", "chat"),
        (LEARNING, "learnings"),
        (CODE, "claude-code"),
        ('{"type": "summary", "summary": "s"}\n' + CODE, "claude-code"),
        (EXPORT, "chatgpt"),
        ("\n [ ]", "chatgpt"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_format_is_found(tmp_path: Path, text: str, format: str, packed: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert detect(path) == format
    bad = sum(isinstance(item, BadLine) for _, item in read_items(path))
    assert bad == text.count("{bad")


@pytest.mark.parametrize("text", ["hello\n", "[1, 2]", '{"a": 1}', "[", '[{"a": 1}]'])
def test_an_unknown_format(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    if text == "[":
        assert [type(item) for _, item in read_items(path)] == [BadLine]
        return
    with pytest.raises(ImportFileError, match="no known format"):
        read_items(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("nul\0")):
        with pytest.raises(ImportFileError, match="cannot be read"):
            read_items(path)


def test_a_pipe_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError):
            path.write_text(CHAT)

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(ImportFileError, match="save it to one first"):
        read_items(path)
    writer.join()


def test_an_unknown_field_or_format(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="no field"):
        read_items(tmp_path, fields={"x": "y"})
    with pytest.raises(InvalidValueError, match="format"):
        read_items(tmp_path, format="csv")  # type: ignore[arg-type]


def test_bad_lines_have_their_number_and_hide_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\n".join([CHAT.encode(), b'{"id": "\xff"}', b"", b"{", CHAT.encode()]))
    found = list(read_items(path))
    assert [number for number, _ in found] == [1, 2, 4, 5]
    assert [item for _, item in found if isinstance(item, BadLine)] == [
        BadLine(str(path), 2, "no UTF-8 at byte 9 of the line"),
        BadLine(str(path), 4, "not JSON: Expecting property name enclosed in double quotes at character 3"),
    ]


def test_an_overlong_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_LINE", 100)
    path = tmp_path / "file"
    path.write_text(f"{CHAT}\n{'x' * 5000}\n{CHAT}\n{'y' * 101}")
    found = [(number, type(item)) for number, item in read_items(path)]
    assert found == [(1, ImportedConversation), (2, BadLine), (3, ImportedConversation), (4, BadLine)]


@pytest.mark.parametrize("format", ["chat", "chatgpt"])
def test_compressed_data_that_ends_too_early(tmp_path: Path, format: str) -> None:
    noise = random.Random(1).randbytes(30_000).hex()
    parts = [json.dumps({"id": str(n), "messages": [], "mapping": {}, "x": noise[n * 60 :][:60]}) for n in range(1000)]
    text = "\n".join(parts) if format == "chat" else f"[{','.join(parts)}]"
    packed = gzip.compress(text.encode())
    path = tmp_path / "file.gz"
    path.write_bytes(packed[: len(packed) // 2])
    found = [item for _, item in read_items(path)]
    assert len(found) > 300
    assert all(isinstance(item, ImportedConversation) for item in found[:-1])
    assert isinstance(found[-1], BadLine)
    assert found[-1].reason == "the file ends in the middle of its compressed data"


def test_damaged_compressed_data_is_a_bad_line(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(f"{CHAT}\n".encode()))
    packed[-8:-4] = b"\0\0\0\0"
    path = tmp_path / "file.gz"
    path.write_bytes(packed)
    found = [item for _, item in read_items(path, "chat")]
    assert isinstance(found[-1], BadLine)
    assert "damaged" in found[-1].reason


def test_an_undecodable_byte_of_an_array_is_one_bad_element(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'[{"id": "a", "mapping": {}}, {"id": "\xff", "mapping": {}}, {"id": "b", "mapping": {}}]')
    assert [type(item) for _, item in read_items(path)] == [ImportedConversation, BadLine, ImportedConversation]


@pytest.mark.parametrize("packed", [False, True])
def test_the_place_in_the_file(tmp_path: Path, packed: bool) -> None:
    text = f"{CHAT}\n" * 5000
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(text.encode(), 0) if packed else text.encode())
    with open_text(path) as source:
        places = [source.position for _ in read_items(source)]
        assert source.total == path.stat().st_size
        assert places == sorted(places)
        assert 0 < places[0] < source.total / 2
        assert source.position == source.total
    assert source.position == source.total


def test_skipped_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"type": "summary", "summary": "s"}\n' + CODE)
    skipped: Counter[str] = Counter()
    assert len(list(read_items(path, skipped=skipped))) == 1
    assert skipped == {"summary": 1}


@pytest.mark.parametrize(("name", "kind"), [("conversations", ImportedConversation), ("learnings", ImportedLearning)])
def test_the_sample_is_good(name: str, kind: type) -> None:
    found = [item for _, item in read_items(ROOT / "datastore" / "sample" / f"{name}.jsonl")]
    assert len(found) >= 50
    assert {type(item) for item in found} == {kind}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd.chat", ImportedConversation),
        ("taskmaster4.chat", ImportedConversation),
        ("til", ImportedLearning),
    ],
)
def test_the_real_files(name: str, kind: type) -> None:
    path = SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there; DATASTORE_SHARED_DATA names the folder")
    fields = {"category": "topic"} if kind is ImportedLearning else {}
    found = [item for _, item in read_items(path, fields=fields)]
    assert len(found) > 500
    assert [item for item in found if not isinstance(item, kind)] == []
