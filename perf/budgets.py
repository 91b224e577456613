"""What each statement may take, as a multiple of a reference statement of the same run: perf/budgets.toml.

    python perf/budgets.py draft [sqlite|postgresql]      from perf/results: twice what was measured, for a DBA to cut down
    python perf/budgets.py                                compares the results that are there; exits 1 where one is broken

A ratio to a statement that the same process ran minutes before is the same on a slow machine and on a fast one.
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from measuring import read

FILE = Path(__file__).resolve().parent / "budgets.toml"
RESULTS = {"sqlite": "statement-times", "postgresql": "statement-times-postgresql"}
REFERENCE = "get_message"
SIZES = (10_000, 1_000_000)

HEAD = f"""# What every statement may take at p50, in its slowest choice of optional lines: how many times {REFERENCE}
# of the same run and size, on {SIZES[0]:,} and on {SIZES[1]:,} messages. perf/statement_times.py holds them.
# Drafted by `python perf/budgets.py draft` at twice the measured ratio; lower one when its statement gets faster.

reference = "{REFERENCE}"
rows = {list(SIZES)}
"""


@attrs.frozen
class Budgets:
    """The budgets of one engine."""

    reference: str
    rows: tuple[int, ...]
    #: Statement to the ratio that it may have at each of *rows*.
    ratios: Mapping[str, tuple[float, ...]]


def read_budgets(engine: str, file: Path = FILE) -> Budgets:
    document = tomllib.loads(file.read_text("utf-8"))
    ratios = {name: tuple(map(float, pair)) for name, pair in document.get(engine, {}).items()}
    return Budgets(document["reference"], tuple(document["rows"]), ratios)


def slowest(choices: Mapping[str, Mapping[str, Any]], rows: int) -> float | None:
    """The p50 of a statement's slowest choice, in microseconds; None where none was timed at this size."""
    return max((sizes[str(rows)][0] for sizes in choices.values() if str(rows) in sizes), default=None)


def ratios(statements: Mapping[str, Any], reference: str, rows: int) -> Iterator[tuple[str, float]]:
    """(statement, how many times the reference it took) at one size."""
    unit = slowest(statements.get(reference, {}), rows)
    if unit is None:
        return
    for name, choices in sorted(statements.items()):
        if (took := slowest(choices, rows)) is not None:
            yield name, took / unit


def broken(budgets: Budgets, statements: Mapping[str, Any]) -> dict[str, str]:
    """The statements that are over their budget, or have none, and how."""
    said: dict[str, str] = {}
    for place, rows in enumerate(budgets.rows):
        for name, ratio in ratios(statements, budgets.reference, rows):
            if name not in budgets.ratios:
                said[name] = f"{name} has no budget in perf/budgets.toml"
            elif ratio > budgets.ratios[name][place]:
                allowed = budgets.ratios[name][place]
                said[name] = f"{name} on {rows:,} rows: {ratio:.1f} x {budgets.reference}, its budget is {allowed:g}"
    return said


def draft(engines: list[str]) -> str:
    """The file: drafts for *engines*, and what it says of the others."""
    text = HEAD
    for engine in RESULTS:
        if engine in engines and (result := read(RESULTS[engine])):
            found = [dict(ratios(result["statements"], REFERENCE, rows)) for rows in SIZES]
            names = sorted(set().union(*found))
            pairs = {name: [_round(2 * some.get(name, found[0].get(name, 0))) for some in found] for name in names}
        elif FILE.exists():
            pairs = {name: list(pair) for name, pair in read_budgets(engine).ratios.items()}
        else:
            continue
        text += f"\n[{engine}]\n" + "".join(
            f"{name} = [{', '.join(f'{x:g}' for x in pair)}]\n" for name, pair in pairs.items()
        )
    return text


def _round(ratio: float) -> float:
    """Up to two digits, and 3 at least: below that the clock decides."""
    if ratio <= 3:
        return 3
    unit = 10 ** (math.floor(math.log10(ratio)) - 1)
    return math.ceil(ratio / unit) * unit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["draft"])
    parser.add_argument("engine", nargs="*", choices=[*RESULTS, []], default=[])
    arguments = parser.parse_args()
    if arguments.what == "draft":
        FILE.write_text(draft(arguments.engine or list(RESULTS)), encoding="utf-8")
        print(f"written: {FILE}")
        return 0
    said = [
        line
        for engine, name in RESULTS.items()
        if (result := read(name))
        for line in broken(read_budgets(engine), result["statements"]).values()
    ]
    print("\n".join(said) or "every statement keeps its budget", file=sys.stderr if said else sys.stdout)
    return int(bool(said))


if __name__ == "__main__":
    raise SystemExit(main())
