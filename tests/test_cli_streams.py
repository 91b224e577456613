"""What the command line prints to, and what it shows: pipes, devices, closed streams, links, escapes, colours."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datastore import Datastore
from datastore.cli.output import clean

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "datastore.cli"]

#: What acts on a terminal, or changes how others are shown.
UNSAFE = [
    "\x1b[31m",
    "\x07",
    "\x9b31m",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u2028",
    "\ufeff",
    "\U000e0041",
    "\udcff",
    "\r",
]


def run(
    *arguments: str | bytes, database: Path, redirect: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The command in a shell, with redirections."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *COMMAND, *arguments],
        cwd=database.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATASTORE_DATABASE": str(database), **(environment or {})},
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def filling(empty_database: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with more than a pipe takes at once, as bytes."""
    path = tmp_path_factory.mktemp("filled") / "app.db"
    path.write_bytes(empty_database)
    with Datastore.open(path, durability="relaxed") as store:
        for number in range(30):
            one = store.conversations.add(id=f"c{number}", sanitization_version="1", title="t" * 900)
            store.messages.append(one.id, role="user", content="said " * 2000)
        store.learnings.add(conversation_id=one.id, category="c", title="word " * 50, content="word " * 20_000, id="l")
        store.retention.policies.set("p", "conversations", age_days=1, since="activity", scope="all")
    return path.read_bytes()


@pytest.fixture
def filled(filling: bytes, tmp_path: Path) -> Path:
    """The file of a database with more than a pipe takes at once."""
    path = tmp_path / "app.db"
    path.write_bytes(filling)
    return path


READERS = [
    ["export"], ["show", "l"], ["search", "word"], ["status", "--json"], ["verify"], ["retention", "list"], ["search", "--help"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_reader_that_is_gone_ends_the_command_quietly(filled: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, "DATASTORE_DATABASE": str(filled)},
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    _, errors = program.communicate(timeout=60)
    assert b"Traceback" not in errors
    assert b"Exception" not in errors
    assert errors in (b"", b"no jobs\n", b"no backups\n", b"no erasures\n", b"no holds\n")
    assert program.returncode in (0, 1)


@pytest.mark.parametrize(
    "arguments", [["export"], ["show", "c1"], ["status", "--json"], ["stats"], ["--help"]], ids=" ".join
)
@pytest.mark.parametrize("redirect", [">&-", ">&- <&-", ">&- 2>&-", ">/dev/full"])
def test_output_that_goes_nowhere_is_one_line(filled: Path, arguments: list[str], redirect: str) -> None:
    before = filled.read_bytes()
    done = run(*arguments, database=filled, redirect=redirect)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == (0 if "2>&-" in redirect else 1), done.stderr
    assert filled.read_bytes() == before


def test_what_prints_nothing_needs_no_output(filled: Path, tmp_path: Path) -> None:
    assert run("export", "--output", "out.jsonl", database=filled, redirect=">&-").returncode == 0
    assert (tmp_path / "out.jsonl").stat().st_size > 100_000


# Where an export goes.


def lines(data: bytes) -> int:
    return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).count(b"\n")


def test_an_export_to_a_pipe_is_written_into_it(filled: Path, tmp_path: Path) -> None:
    for name in ("pipe", "pipe.gz"):
        pipe = tmp_path / name
        os.mkfifo(pipe)
        read: list[bytes] = []
        reader = threading.Thread(target=lambda pipe=pipe, read=read: read.append(pipe.read_bytes()))
        reader.start()
        assert run("export", "--output", name, database=filled).returncode == 0
        reader.join()
        assert pipe.is_fifo()
        assert lines(read[0]) == 30


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("redirect", ["", ">out.txt", ">>out.txt"])
def test_an_export_to_standard_output_by_name(filled: Path, tmp_path: Path, name: str, redirect: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "out.txt").write_text("before\n" if redirect == ">>out.txt" else "")
    done = run("export", "--output", name, database=filled, redirect=redirect)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "out.txt").read_bytes() if redirect else done.stdout
    assert lines(written) == 30 + (redirect == ">>out.txt" and b"before" in written)
    assert Path("/dev/stdout").is_symlink()
    assert (tmp_path / "link").is_symlink()


def test_an_export_to_dev_null_leaves_it(filled: Path) -> None:
    assert run("export", "--output", "/dev/null", database=filled).returncode == 0
    assert Path("/dev/null").is_char_device()


def test_an_export_through_a_link_writes_what_it_leads_to(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    real = tmp_path / "place" / "real.jsonl"
    (tmp_path / "link.jsonl").symlink_to(real)
    for mode in (None, 0o640):
        if mode:
            real.chmod(mode)
        assert run("export", "--output", "link.jsonl", database=filled).returncode == 0
        assert (tmp_path / "link.jsonl").is_symlink()
        assert lines(real.read_bytes()) == 30
        assert mode is None or real.stat().st_mode & 0o777 == mode
    assert os.listdir(real.parent) == ["real.jsonl"]


def test_a_link_planted_under_the_unfinished_name_is_not_followed(filled: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("out.jsonl.unfinished", "out.jsonl.part"):
        (tmp_path / name).symlink_to(victim)
    assert run("export", "--output", "out.jsonl", database=filled).returncode == 0
    assert victim.read_text() == "precious"
    assert lines((tmp_path / "out.jsonl").read_bytes()) == 30


def test_an_export_is_as_private_as_its_database(filled: Path, tmp_path: Path) -> None:
    filled.chmod(0o600)
    assert run("export", "--output", "out.jsonl", database=filled).returncode == 0
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


# What is shown.


@pytest.mark.parametrize("unsafe", UNSAFE, ids=ascii)
def test_clean_leaves_nothing_that_acts_on_a_terminal(unsafe: str) -> None:
    shown = clean(f"a{unsafe}b")
    assert unsafe[0] not in shown
    assert "\\" in shown
    shown.encode()


def test_clean_leaves_writing_as_it_is() -> None:
    text = "क्‍ष 👩‍👧 می‌خواهم é\nשלום Größe"
    assert clean(text) == text
    assert clean("a\r\nb\tc") == "a\nb    c"


#: Runs the commands that its arguments name, each up to a ";", in one process: their start is another test's matter.
EACH = """
import os, sys
from datastore.cli import main
commands, one = [], []
for part in sys.argv[1:]:
    if part == ";":
        commands.append(one)
        one = []
    else:
        one.append(part)
for command in commands:
    sys.argv = ["datastore", *command]
    try:
        main()
    except SystemExit:
        pass
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, b"--- end of a command\\n")
"""


def test_stored_text_names_and_errors_reach_the_terminal_escaped(store: Datastore, path: Path, tmp_path: Path) -> None:
    bad = "".join(text for text in UNSAFE if text != "\udcff")
    one = store.conversations.add(id="c", sanitization_version="1", title=bad, source=f"s{bad}")
    store.messages.append(one.id, role="user", content=f"word {bad}")
    store.learnings.add(
        id="l", conversation_id="c", category=f"c{bad}", title=f"word {bad}", content=bad, tags=[f"t{bad}"]
    )
    store.jobs.enqueue(f"type{bad}")
    store.retention.policies.set(f"p{bad}"[:20], "conversations", age_days=1, since="activity", scope="all")
    store.close()
    name = f"in{bad}.jsonl"
    (tmp_path / name).write_text("nonsense\n")
    commands: list[list[str | bytes]] = [
        ["show", "c"], ["show", "l"], ["search", "word"], ["search", "--messages", "word"], ["jobs"], ["jobs", "list"],
        ["stats"], ["retention", "list"], ["show", bad], ["import", name, "--sanitization-version", "1", "--format", "chat"],
        ["import", name, "--sanitization-version", "1"], ["import", f"no{bad}", "--sanitization-version", "1"],
        ["import", os.fsencode("no\udcff"), "--sanitization-version", "1"], ["stats", "--database", f"no{bad}.db"],
        ["stats", "--database", os.fsencode("no\udcff.db")], [f"no{bad}"], ["search", f"--no{bad}"], ["verify", "--mark", f"/no{bad}/x"],
        ["export", "--output", f"/no{bad}/x"], ["restore", f"no{bad}"], ["backup", f"/no{bad}/x"],
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", EACH, *(part for command in commands for part in (*command, ";"))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATASTORE_DATABASE": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=True,
    )
    parts = done.stdout.split(b"--- end of a command\n")
    assert len(parts) == len(commands) + 1
    for command, part in zip(commands, parts, strict=False):
        shown = part.decode()
        assert shown, command
        assert "Traceback" not in shown, (command, shown)
        assert not {text[0] for text in UNSAFE} & set(shown), (command, shown)


@pytest.mark.parametrize("name", [b"in\xff.jsonl", b"in\xff.jsonl.gz"])
def test_a_file_whose_name_is_not_utf8_is_imported(path: Path, tmp_path: Path, name: bytes) -> None:
    line = b'{"title": "t", "content": "c", "category": "k"}\n'
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
        file.write(gzip.compress(line) if name.endswith(b"gz") else line)
    done = run("import", name, "--sanitization-version", "1", database=path)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    assert b"1 learnings" in done.stdout


def on_terminal(*arguments: str, database: Path, environment: dict[str, str]) -> bytes:
    """What a command shows on a terminal."""
    ours, its = pty.openpty()
    program = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "DATASTORE_DATABASE": str(database), **environment},
        stdout=its,
        stderr=its,
        stdin=its,
    )
    os.close(its)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    program.wait(timeout=60)
    os.close(ours)
    return shown


@pytest.mark.parametrize("arguments", [["show", "l"], ["search", "word"], ["retention", "list"]], ids=" ".join)
def test_no_color(filled: Path, arguments: list[str]) -> None:
    colored = on_terminal(*arguments, database=filled, environment={"NO_COLOR": ""})
    plain = on_terminal(*arguments, database=filled, environment={"NO_COLOR": "1"})
    assert b"\x1b[" in colored
    assert b"\x1b[" not in plain
    assert plain


def test_import_from_a_pipe(path: Path, tmp_path: Path) -> None:
    line = '{"id": "a", "messages": [{"role": "user", "content": "x"}]}'
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' '{line}' | {' '.join(COMMAND)} import /dev/stdin --sanitization-version 1"],
        cwd=ROOT,
        env={**os.environ, "DATASTORE_DATABASE": str(path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 conversations" in done.stdout
