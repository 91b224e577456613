"""A suite's body runs here, in a process of its own: ``python -m tests.acid.child MODULE:FUNCTION ARGUMENTS``.

The process is started in a source tree, the repository or a copy of it with one change (tests/acid/mutants.py), and
imports that tree's `datastore` and that tree's suite. One line of JSON per seed goes to standard output.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.acid.report import Report

ROOT = Path(__file__).resolve().parents[2]

#: The folder of the migrated, empty databases that the processes of one run share.
TEMPLATES = "DATASTORE_ACID_TEMPLATES"

#: Where bodies work: in memory where that is possible, for the machine's disk is no part of what they prove.
MEMORY = Path("/dev/shm")


@contextmanager
def started(tree: Path, arguments: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A Python process in *tree*, in a group of its own; the whole group is killed at the end."""
    environment = {**os.environ, "PYTHONPATH": str(tree), **options.pop("env", {})}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=tree, env=environment, text=True, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run_body(
    body: str,
    *,
    tree: Path = ROOT,
    seeds: Sequence[int] = (0,),
    timeout: float = 120.0,
    preload: str = "",
    disk: bool = False,
    alone: bool = False,
    **given: Any,
) -> list[Report]:
    """One report a seed, of a body that ran in *tree*.

    Args:
        body: "tests.acid.MODULE:FUNCTION"; it is called with ``seed``, ``folder`` (an empty one) and *given*.
        tree: The source tree.
        seeds: Each is one call.
        timeout: For all of them, in seconds; what then runs is killed, and that is an error.
        preload: A shared library for LD_PRELOAD.
        disk: Work on a disk and not in memory.
        alone: One seed at a time; otherwise two processes share the seeds.
        given: More arguments, JSON values.
    """
    environment = {"LD_PRELOAD": preload} if preload else {}
    environment[TEMPLATES] = _templates()
    where = MEMORY if not disk and os.access(MEMORY, os.W_OK) else None
    parts = [list(seeds)] if alone or len(seeds) < 2 else [list(seeds[::2]), list(seeds[1::2])]
    with (
        tempfile.TemporaryDirectory(prefix="acid-", dir=where, ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(len(parts)) as pool,
    ):
        environment["TMPDIR"] = folder
        runs = [pool.submit(_run, body, tree, part, timeout, environment, given) for part in parts]
        return [report for run in runs for report in run.result()]


@functools.cache
def _templates() -> str:
    folder = tempfile.mkdtemp(prefix="acid-templates-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _run(
    body: str, tree: Path, seeds: list[int], timeout: float, environment: dict[str, str], given: dict[str, Any]
) -> list[Report]:
    arguments = ["-m", "tests.acid.child", body, json.dumps({"seeds": seeds, "given": given})]
    with started(tree, arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{body} took longer than {timeout:g} s") from None
    lines = [line for line in out.splitlines() if line.startswith("{")]
    assert process.returncode == 0, (
        f"{body}: the body itself broke (exit {process.returncode})\n{out[-2000:]}{err[-4000:]}"
    )
    assert len(lines) == len(seeds), f"{body}: {len(lines)} reports for {len(seeds)} seeds\n{err[-4000:]}"
    return [Report.from_json(json.loads(line)) for line in lines]


def main() -> int:
    """Run the body that the command line names."""
    body, text = sys.argv[1:3]
    module, _, function = body.partition(":")
    call = getattr(importlib.import_module(module), function)
    request = json.loads(text)
    for seed in request["seeds"]:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="acid-", ignore_cleanup_errors=True) as folder:
            report: Report = call(seed=seed, folder=Path(folder), **request["given"])
        report.figures["seconds"] = round(time.monotonic() - begun, 2)
        print(json.dumps(report.as_json()), flush=True)
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # no clean-up can hang: threads and connections of a mutant end here
