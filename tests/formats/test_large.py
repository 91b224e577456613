"""Large files: an array and an archive of a gigabyte are imported with flat memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.formats.samples import gpt, gpt_node

ROOT = Path(__file__).resolve().parents[2]

IMPORT = r"""
import re, sys
from pathlib import Path
from datastore import Datastore, import_file
with Datastore.open(sys.argv[1], migrate=True, durability="relaxed") as store:
    report = import_file(store, sys.argv[2], sanitization_version="1")
# Not getrusage: its peak begins with that of the process that started this one.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
print(report.conversations, report.bad_lines, peak >> 10)
"""


def array(size: int) -> Iterator[bytes]:
    """An array of conversations with long messages, about *size* bytes."""
    text = "some words of a long message " * 1_000
    sign = b"["
    number = written = 0
    while written < size:
        nodes = [gpt_node("r", None), gpt_node("u", "r", text=text), gpt_node("a", "u", "assistant", text)]
        part = sign + json.dumps(gpt(*nodes, id=f"t{number}")).encode()
        yield part
        sign, number, written = b",\n", number + 1, written + len(part)
    yield b"]"


def imported(folder: Path, kind: str, size: int) -> tuple[int, int]:
    """The number of conversations, and the peak of memory in MiB."""
    path = folder / f"export.{kind}"
    if kind == "zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
            made.open("conversations.json", "w", force_zip64=True) as file,
        ):
            for part in array(size):
                file.write(part)
    else:
        os.mkfifo(path)

        def write() -> None:
            with path.open("wb") as pipe:
                for part in array(size):
                    pipe.write(part)

        threading.Thread(target=write, daemon=True).start()
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(folder / f"{kind}.db"), str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=3600,
        check=True,
    )
    conversations, bad, peak = map(int, done.stdout.split())
    assert bad == 0
    return conversations, peak


@pytest.mark.parametrize("kind", ["json", "zip"])
@pytest.mark.parametrize("size", [pytest.param(20_000_000), pytest.param(1_000_000_000, marks=pytest.mark.long)])
def test_memory_is_flat(tmp_path: Path, kind: str, size: int) -> None:
    conversations, peak = imported(tmp_path, kind, size)
    print(f"{kind} of {size >> 20} MiB: {conversations} conversations, peak {peak} MiB")
    assert conversations > size // 70_000
    assert peak < 160
