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
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from datastore.errors import ImportFileError, InvalidValueError
from datastore.formats import (
    BadLine,
    Context,
    Format,
    Ignored,
    ImportedConversation,
    ImportedLearning,
    NoSource,
    detect,
    fields,
    open_sources,
    open_text,
    read_items,
    reading,
    records,
    sources,
)
from tests.formats.samples import SAMPLES, items, lines

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
        ('{"type": "summary", "summary": "s"}\n' * 60 + CODE, "claude-code"),
        (EXPORT, "chatgpt"),
        ("\n [ ]", "chat"),
        (f"[{CHAT}]", "chat"),
        (f"[{CHAT}]\n[{CHAT}]", "chat"),
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
    with pytest.raises(ImportFileError, match="unknown format"):
        list(read_items(path))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", Path("nul\0")):
        with pytest.raises(ImportFileError, match="cannot be read"):
            list(read_items(path))


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
        list(read_items(path))


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
        good = [item for item in found if isinstance(item, ImportedConversation)]
        assert len(good) == max(1, data.count(line))
        assert all("NUL characters" in item.reason for item in found if isinstance(item, BadLine))
        assert len(found) > len(good)
        with open_text(path, replace_invalid=True) as source:
            assert {type(item) for _, item in read_items(source)} == {ImportedConversation}
            assert source.replaced >= padding
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
    monkeypatch.setattr(records, "CHUNK", 50)
    path = tmp_path / "file"
    many = json.dumps({"id": "m", "messages": [], "metadata": {"a": [[]] * 30}})
    text = json.dumps({"id": "t", "messages": [{"role": "user", "content": 'a,[{"\\' * 100}]})
    path.write_text(f"{many}\n{text}\n{CHAT}\n")
    found = [item for _, item in read_items(path)]
    [reason] = [item.reason for item in found if isinstance(item, BadLine)]
    assert (len(found), reason) == (3, "too many values")


def test_a_file_of_blanks_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_BLANK", 4 * records.CHUNK)
    path = tmp_path / "file"
    for data in (bytes(6 * records.CHUNK), b"\n" * (6 * records.CHUNK)):
        path.write_bytes(data)
        with pytest.raises(ImportFileError, match="without a record"):
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
    assert sorted(number for number, _ in found) == [1, 2, 4, 5]
    bad = [(item.line, item.reason) for _, item in found if isinstance(item, BadLine)]
    assert bad[0] == (2, "bytes that are not text at character 9; --replace-invalid replaces them")
    assert bad[1][0] == 4
    assert bad[1][1].startswith("not JSON")


def test_an_overlong_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD", 2_000)
    monkeypatch.setattr(records, "CHUNK", 500)
    path = tmp_path / "file"
    long = json.dumps({"id": "x" * 5000, "messages": []})
    for text in (f"{CHAT}\n{long}\n{CHAT}\n", f"[{CHAT},{long},{CHAT}]", f"{CHAT}{long}{CHAT}"):
        path.write_text(text)
        found = sorted(type(item).__name__ for _, item in read_items(path))
        assert found == ["BadLine", "ImportedConversation", "ImportedConversation"]


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
    assert sum(isinstance(item, BadLine) for item in found) <= 3
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
    found = sorted(type(item).__name__ for _, item in read_items(path))
    assert found == ["BadLine", "ImportedConversation", "ImportedConversation"]


@pytest.mark.parametrize("packed", [False, True])
def test_the_place_in_the_file(tmp_path: Path, packed: bool) -> None:
    text = f"{CHAT}\n" * 5000
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(text.encode(), 0) if packed else text.encode())
    with open_text(path) as source:
        places = [source.position for _ in read_items(source)]
        assert source.total == path.stat().st_size
        assert places == sorted(places)
        assert 0 < places[0] <= source.total
        assert source.position == source.total
    assert source.position == source.total


def test_skipped_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"type": "summary", "summary": "s"}\n' + CODE)
    skipped: Counter[str] = Counter()
    assert len(list(read_items(path, skipped=skipped))) == 1
    assert skipped == {"summary (in the metadata)": 1}


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


# Encodings.


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", SAMPLES)
def test_encodings(name: str, encoding: str) -> None:
    assert items(SAMPLES[name].encode(encoding)) == items(SAMPLES[name])


def test_what_is_not_text_is_refused_or_replaced() -> None:
    text = (
        '{"id": "c", "messages": [{"role": "user", "content": "a\\u0000b \\ud800"}, {"role": "user", "content": "c"}]}'
    )
    [conversation], reasons = split(items(text))
    assert [message.content for message in conversation.messages] == ["c"]
    assert "NUL" in reasons[0]
    [conversation], reasons = split(items(text, replace_invalid=True))
    assert [message.content for message in conversation.messages] == ["a\ufffdb \ufffd", "c"]
    assert reasons == []
    raw = CHAT.encode().replace("é".encode(), b"\xff\xfe\0")
    assert split(items(raw, "chat"))[0] == []
    [conversation], reasons = split(items(raw, replace_invalid=True))
    assert reasons == []
    assert conversation.messages[0].content == "\ufffd\ufffd\ufffd"


def split(found: list[tuple[int, object]]) -> tuple[list[ImportedConversation], list[str]]:
    good = [item for _, item in found if isinstance(item, ImportedConversation)]
    return good, [item.reason for _, item in found if isinstance(item, BadLine)]


# Archives and directories.


def kinds(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source in open_sources(path):
        name = source.name.removeprefix(str(path))
        try:
            read = [item for _, item in reading.read_source(source)[1]]
        except ImportFileError:
            found[name] = ["unknown"]
        else:
            found[name] = [item.kind if isinstance(item, Ignored) else type(item).__name__ for item in read]
    return found


def archive(path: Path, **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as made:  # type: ignore[arg-type]  # the compression
        made.writestr("conversations-000.json", SAMPLES["chatgpt"])
        made.writestr("conversations-001.json", SAMPLES["chatgpt"].replace('"g"', '"g2"'))
        made.writestr("user.json", "{}")
        made.writestr("chat.html", "<html>")
        made.writestr("folder/other.json", '{"a": 1}')
        made.writestr("folder/packed.jsonl.gz", gzip.compress(CHAT.encode()))
    return path


EXPECTED = {
    "/chat.html": ["file that ends in .html"],
    "/conversations-000.json": ["ImportedConversation"],
    "/conversations-001.json": ["ImportedConversation"],
    "/folder/other.json": ["unknown"],
    "/folder/packed.jsonl.gz": ["ImportedConversation"],
    "/user.json": ["user.json"],
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive(tmp_path: Path, compression: int) -> None:
    assert kinds(archive(tmp_path / "export.zip", compression=compression)) == EXPECTED


def test_an_archive_through_a_pipe(tmp_path: Path) -> None:
    data = archive(tmp_path / "export.zip").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = fed(pipe, data, late=False)
    assert kinds(pipe) == EXPECTED
    thread.join()


def test_a_directory(tmp_path: Path) -> None:
    with zipfile.ZipFile(archive(tmp_path / "export.zip")) as made:
        made.extractall(tmp_path / "folder")
    expected = {**EXPECTED, "/user.json": ["unknown"]}
    assert kinds(tmp_path / "folder") == expected
    os.mkfifo(tmp_path / "folder" / "pipe.json")
    assert kinds(tmp_path / "folder")["/pipe.json"] == ["BadLine"]


def test_damaged_archives(tmp_path: Path) -> None:
    path = archive(tmp_path / "export.zip", compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    with pytest.raises(ImportFileError, match="no complete ZIP"):
        list(open_sources(path))
    path.write_bytes(data.replace(b'"title"', b'"tixle"', 1))  # its checksum is wrong
    assert "BadLine" in kinds(path)["/conversations-000.json"]
    assert kinds(path)["/conversations-001.json"] == ["ImportedConversation"]


def test_a_file_is_not_read_and_says_so() -> None:
    found, items = reading.read_source(NoSource("x", reason="is encrypted"))
    assert (found.format, [type(item) for _, item in items]) == ("none", [BadLine])


# Formats of other packages.


class _Entry:
    def __init__(self, name: str, value: object) -> None:
        self.name = name
        self.value = value

    def load(self) -> object:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def diary() -> Format:
    def read(records: object, context: Context) -> object:
        for record in records:  # type: ignore[attr-defined]
            yield record.line, ImportedConversation(id=record.value["day"])

    return Format("diary", lambda value: "it has a day" if isinstance(value, dict) and "day" in value else None, read)  # type: ignore[arg-type]


def test_a_format_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        reading, "entry_points", lambda group: [_Entry("diary", diary())] if group == "datastore.formats" else []
    )
    assert "diary" in reading.format_names()
    text = lines({"day": "1"}, {"day": "2"})
    for format in ("auto", "diary"):
        [first, second], reasons = split(items(text + "{", format))
        assert (first.id, second.id, len(reasons)) == ("1", "2", 1)


@pytest.mark.parametrize(
    "value", [ImportError("x"), "no format", Format("chat", lambda value: None, lambda records, context: iter(()))]
)
def test_a_format_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.setattr(reading, "entry_points", lambda group: [_Entry("bad", value)])
    with pytest.raises(ImportFileError, match="another package"):
        items(CHAT)
