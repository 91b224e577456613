"""Files: detection, gzip, undecodable and overlong lines, progress, and the real data sets."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import threading
import time
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
    fields,
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
    with pytest.raises(ImportFileError, match="unknown format"):
        read_items(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("nul\0")):
        with pytest.raises(ImportFileError, match="cannot be read"):
            read_items(path)


# What is no file.


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_refused(device: str) -> None:
    for use in (lambda: detect(device), lambda: list(read_items(device, "chat"))):
        with pytest.raises(ImportFileError, match="a device"):
            use()


def test_a_pipe_that_nobody_writes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PIPE_WAIT", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ImportFileError, match="no writer"):
        read_items(path)


def fed(path: Path, data: bytes, *, late: bool) -> threading.Thread:
    """A thread that writes to a pipe, a little at a time."""

    def write() -> None:
        if late:
            time.sleep(0.3)
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
            time.sleep(0.2)
            for start in range(0, len(data), 70_000):
                pipe.write(data[start : start + 70_000])

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("text", [CHAT, f"{CHAT}\n" * 3000, EXPORT, "", LEARNING])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_pipe_with_a_writer_is_read_as_a_file_is(tmp_path: Path, text: str, packed: bool, late: bool) -> None:
    data = gzip.compress(text.encode()) if packed else text.encode()
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(data)
    os.mkfifo(pipe)
    if not data:
        return  # a writer that writes nothing is not told from none
    thread = fed(pipe, data, late=late)
    with open_text(pipe) as source:
        format = detect(source)
        assert format == detect(file)
        assert list(read_items(source, format)) == list(read_items(file))
        assert source.position == len(data)
    thread.join()


# Padding.


@pytest.mark.parametrize("padding", [1, 100, sources.PIECE - 1, sources.PIECE, 3 * sources.PIECE + 7])
def test_nul_padding_loses_no_line(tmp_path: Path, padding: int) -> None:
    """A crash, or a program that makes room beforehand, leaves NUL characters behind the last line, or before the next one."""
    path = tmp_path / "file"
    line, nuls = CHAT.encode(), bytes(padding)
    for data in (
        line + nuls,
        line + b"\n" + nuls,
        line + nuls + b"\n" + line,
        line + b"\n" + nuls + line,
        nuls + line + b"\n" + line,
        line + nuls + b"\n" + nuls + b"\n" + nuls,
        gzip.compress(line + nuls),
    ):
        path.write_bytes(data)
        found = [item for _, item in read_items(path)]
        assert {type(item) for item in found} == {ImportedConversation}
        assert len(found) == max(1, data.count(line))
    path.write_bytes(line[:20] + nuls + line[20:])
    assert [type(item) for _, item in read_items(path, "chat")] == [BadLine]


# Bounds.

PEAK = """
import sys
from datastore.errors import DatastoreError
from datastore.formats import read_items
try:
    print(sorted({type(item).__name__ for _, item in read_items(sys.argv[1], sys.argv[2])}))
except DatastoreError as error:
    print(type(error).__name__)
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""

BOMBS: dict[str, tuple[bytes, str]] = {
    "many small objects": (b'{"id": "c", "messages": [' + b"{}," * 8_000_000 + b"{}]}", "chat"),
    "many small lists": (b'{"id": "c", "messages": [], "metadata": {"a": [' + b"[]," * 8_000_000 + b"[]]}}", "chat"),
    "many numbers": (b'{"id": "c", "x": [' + b"1," * 12_000_000 + b"1]}", "chat"),
    "NUL characters": (bytes(1 << 28), "chat"),
    "blanks": (b" " * (1 << 28), "chat"),
    "one letter": (b"x" * (1 << 28), "chat"),
    "one string": (b'{"id": "' + b"x" * 60_000_000 + b'"}', "chat"),
    "one string in four bytes a character": (b'{"id": "' + "\U0001f600".encode() + b"x" * 60_000_000 + b'"}', "chat"),
    "line ends": (b"\n" * (1 << 22), "chat"),
    "an array of one element": (b'[{"mapping": {' + b'"a":[],' * 6_000_000 + b'"a":[]}}]', "chatgpt"),
    "an array of blanks": (b"[" + b" " * (1 << 28), "chatgpt"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("detected", [False, True])
def test_a_small_file_that_unpacks_to_much_takes_little_memory(tmp_path: Path, name: str, detected: bool) -> None:
    data, format = BOMBS[name]
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(data, 6))
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), "auto" if detected else format],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    *_, peak = ran.stdout.split()
    assert int(peak) < 700_000, f"{int(peak) >> 10} MiB"


def test_a_line_with_too_many_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "MAX_VALUES", 20)
    path = tmp_path / "file"
    many = json.dumps({"id": "m", "messages": [], "metadata": {"a": [[]] * 30}})
    text = json.dumps({"id": "t", "messages": [{"role": "user", "content": 'a,[{"\\' * 100}]})
    path.write_text(f"{many}\n{text}\n{CHAT}\n")
    found = [item for _, item in read_items(path)]
    assert [type(item) for item in found] == [BadLine, ImportedConversation, ImportedConversation]
    assert isinstance(found[0], BadLine)
    assert "20 values" in found[0].reason


def test_a_file_without_line_ends_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_LINE", 1000)
    monkeypatch.setattr(sources, "MAX_SKIPPED", 4 * sources.PIECE)
    path = tmp_path / "file"
    for data in (b"x" * (5 * sources.PIECE), bytes(5 * sources.PIECE), b"\n" * (5 * sources.PIECE)):
        path.write_bytes(data)
        with pytest.raises(ImportFileError, match="without a line of text"):
            list(read_items(path, "chat"))


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
        BadLine(str(path), 2, "invalid UTF-8 at byte 9 of the line"),
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
