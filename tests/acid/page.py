"""Runs every suite and writes docs/acid.md: ``python -m tests.acid.page [FILE ...]``, which is what `make acid` does.

The page has this run's figures, also where a suite failed or was skipped; the exit code is pytest's.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.acid.child import ROOT
from tests.acid.matrix import EVIDENCE
from tests.acid.mutants import MUTANTS, Sql
from tests.acid.report import ANOMALIES

PAGE = ROOT / "docs/acid.md"
FOLDER = Path(__file__).parent

#: What is known of each file, for a page of which only a part is run again.
STATE = ROOT / ".acid/known.json"

#: Files whose figures are times: nothing else runs beside their tests.
ALONE = frozenset({"test_concurrency", "test_fairness"})


class Outcomes:
    """Collects pytest's outcomes."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self.skips: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.skipped or report.failed:
            self.counts[report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skips.append(f"{report.nodeid.split('::')[-1]}: {report.longrepr[2]}")


def main(names: list[str]) -> int:
    """Run the suites (or some files of them, keeping what is known of the others), print and write."""
    known: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8")) if names and STATE.exists() else {}
    worst = 0
    for file in names or sorted(path.stem for path in FOLDER.glob("test_*.py")):
        outcomes, began = Outcomes(), time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            evidence = Path(folder) / "evidence.jsonl"
            evidence.touch()
            os.environ[EVIDENCE] = str(evidence)
            workers = "0" if file in ALONE else "2"
            arguments = ["-q", "-n", workers, "-m", "long or not long", f"tests/acid/{file}.py"]
            code = pytest.main(arguments, plugins=[outcomes])
            lines = [json.loads(line) for line in evidence.read_text(encoding="utf-8").splitlines()]
        worst = max(worst, int(code))
        known[file] = {
            "counts": outcomes.counts,
            "skips": outcomes.skips,
            "lines": lines,
            "seconds": round(time.monotonic() - began),
            "commit": _commit(),
        }
        STATE.parent.mkdir(exist_ok=True)
        STATE.write_text(json.dumps(known), encoding="utf-8")
        PAGE.write_text(page(known), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
    return worst


def page(known: dict[str, Any]) -> str:
    """The page as Markdown, of each file's newest run."""
    from tests.acid import test_isolation

    lines = [line for run in known.values() for line in run["lines"]]
    seconds = sum(run["seconds"] for run in known.values())

    return (
        HEAD.format(
            sqlite=sqlite3.sqlite_version,
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            minutes=round(seconds / 60, 1),
        )
        + _results(known)
        + "\n## What was run\n\n"
        + _suites([line for line in lines if line["kind"] == "suite"])
        + ISOLATION
        + test_isolation.table()
        + "\n"
        + "".join(f"- {case.name}: {case.meaning}\n" for case in test_isolation.CASES)
        + MATRIX
        + _matrix([line for line in lines if line["kind"] == "red"])
        + "\n## The mutants, word for word\n\n"
        + mutants_in_words()
        + "\n## The classes of anomalies\n\n"
        + "".join(f"- *{name}*: {meaning}\n" for name, meaning in sorted(ANOMALIES.items()))
        + LIMITS
    )


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _results(known: dict[str, Any]) -> str:
    rows = ["| file | passed | failed | skipped | seconds | at commit |", "|---|---:|---:|---:|---:|---|"]
    for file in sorted(path.stem for path in FOLDER.glob("test_*.py")):
        link = f"[{file}.py](../tests/acid/{file}.py)"
        if file not in known:
            rows.append(f"| {link} | not run | | | | |")
            continue
        run = known[file]
        counts = " | ".join(str(run["counts"].get(name, 0)) for name in ("passed", "failed", "skipped"))
        rows.append(f"| {link} | {counts} | {run['seconds']} | {run['commit']} |")
    skips = [line for run in known.values() for line in run["skips"]]
    return "\n".join(rows) + "\n" + "".join(f"\nSkipped, which is not a pass: {line}\n" for line in skips)


def _suites(lines: list[dict[str, Any]]) -> str:
    total: dict[str, dict[str, Any]] = {}
    for line in lines:
        suite = total.setdefault(line["suite"], {"seeds": 0, "counts": defaultdict(int), "figures": {}, "found": 0})
        suite["seeds"] += line["seeds"]
        suite["found"] += len(line["anomalies"])
        for name, count in line["counts"].items():
            suite["counts"][name] += count
        suite["figures"] |= {name: value for name, value in line["figures"].items() if name not in ("seconds", "row")}
    rows = ["| suite | seeds | what was looked at | anomalies |", "|---|---:|---|---:|"]
    for name, suite in sorted(total.items()):
        looked = [f"{count:,} {what}" for what, count in suite["counts"].items() if count]
        looked += [f"{what}: {value}" for what, value in suite["figures"].items()]
        rows.append(f"| {name} | {suite['seeds']} | {'; '.join(looked)} | {suite['found']} |")
    return "\n".join(rows) + "\n"


def _matrix(lines: list[dict[str, Any]]) -> str:
    rows = ["| mutant | layer | suite | has to be seen as | seen in |", "|---|---|---|---|---:|"]
    for line in sorted(lines, key=lambda line: (line["mutant"], line["suite"])):
        mutant = MUTANTS.get(line["mutant"])
        rows.append(
            f"| {line['mutant']} | {mutant.layer if mutant else 'by hand'} | {line['suite']} | {line['anomaly']} |"
            f" {line['hits']} of {line['seeds']} |"
        )
    return "\n".join(rows) + "\n"


def mutants_in_words() -> str:
    """Each mutant's changes, as a diff."""
    parts = []
    for mutant in MUTANTS.values():
        lines = [f"**{mutant.name}**\n\n```diff"]
        for edit in mutant.edits:
            lines.append(f"# {edit.name if isinstance(edit, Sql) else edit.file}")
            lines += [f"-{line}" for line in edit.old.rstrip("\n").split("\n")]
            lines += [f"+{line}" for line in edit.new.rstrip("\n").split("\n")]
        parts.append("\n".join(lines) + "\n```\n")
    return "\n".join(parts)


HEAD = """<!-- Written by `make acid`. Do not edit: change tests/acid/ and run it again. -->
# ACID: the evidence

`make acid` runs every suite of `tests/acid/` and writes this page; `python -m tests.acid.page test_kill` runs one file
again and keeps the known results of the others. The results below were obtained on SQLite {sqlite}, Python {python}, {system}, in
{minutes} minutes in total. `make test` runs the quick tier of the same suites.

A suite runs the same test on the library, where it must find nothing, and on mutants of the library, where it must find the
anomaly that the mutation allows. A mutant changes a few words in a copy of the source. The matrix below proves that the suites
can fail.

## Outcome

"""

ISOLATION = """
## Isolation, case by case

Hermitage's cases. P: prevented. B: somebody had to wait. E: a transaction was refused. A: the anomaly happened. The
first row is the library: transactions begin with BEGIN IMMEDIATE after entering the write gate, and readers have a snapshot. The
other rows are mutants, which show that the cases can detect anomalies.

"""

MATRIX = """
## The mutation matrix

If chance is involved, a mutant is run with ten seeds and has to be detected with at least nine of them.

"""

LIMITS = """
## The limits

- *Tests show the presence of faults, not their absence.* The numbers above say how much was tested; they are not a proof.
- *kill -9 does not test power failures*: the page cache survives it, and synchronous = OFF passes it too. Only the crash
  images test durability, within their model: a sync makes everything durable that was written to that file before it, files are
  independent, an un-synced write may be lost, torn or reordered. The model does not cover a drive that acknowledges syncs
  falsely, or damages sectors that were not being written.
- *Relaxed durability* loses the newest commits in a power failure, as documented; the images show how many here.
- *Crash images come from one small workload*, one process, one page size and one version of SQLite; random images are samples
  of the possible states of a disk.
- *`datastore verify` does not detect everything*: a bit flip in text produces another text (the counts above say how many
  flips were found), and a flip in the WAL silently ends the log there, which looks like an older database. Whoever can
  write the file can also rewrite the newest audit entries; keep the last hash elsewhere.
- *The gate orders this library's processes on one machine.* Other programs compete for SQLite's own lock; the gate does not
  prevent an affected SQLite's automatic checkpoint in their process. Network file systems are out of scope.
- *Fairness is a measurement* on the machine above, with writers whose transactions take 2 ms each.
- *Ctrl-C at the first instruction of a transaction's exit* leaves the transaction open until its traceback is released, which in
  CPython is the end of the `except` block; calls to the store inside that block may be rolled back with it.
- *The guard against copying live files* belongs to the tests: it sees copies made by Python in this process, not `cp`.
- *PostgreSQL* has the isolation rows above, histories judged by the same checker, kill -9 of the server, and promotion of a
  standby (tests/engines/test_postgresql_*.py, each with a weaker setting that is seen to fail). The state machine runs on it,
  the matrix does not.
- The WAL-reset schedule needs gdb and SQLite's symbols; if they are missing, the outcome says "skipped".
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
