"""The plots of docs/query-times.md, from perf/results: each as SVG for a light and for a dark page.

    python perf/plots.py        writes docs/plots/*.svg

Narrow and with large letters, so that they can be read on a telephone. The same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from measuring import ROOT, read

FOLDER = ROOT / "docs/plots"

#: Line colours that are told apart by colour-blind people too (Okabe and Ito), without its black and yellow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
MARKS = "osD^vPX"


@attrs.frozen
class Theme:
    name: str
    ink: str
    paper: str
    grid: str


THEMES = (Theme("light", "#1f2328", "#ffffff", "#d1d9e0"), Theme("dark", "#f0f6fc", "#0d1117", "#3d444d"))

READS = (
    "messages.get", "messages.list, page in the middle (50)", "conversations.list, one session",
    "learnings.list, one tag", "search, a usual word", "messages.count, all",
)  # fmt: skip
WRITES = ("messages.append", "learnings.add", "jobs.enqueue", "jobs.claim", "jobs.succeed", "conversations.soft_delete")


def growth() -> Iterator[tuple[str, Callable[[], None]]]:
    """p50 against rows, on logarithmic axes."""
    found = read("operations")
    for name, which in (("reads", READS), ("writes", WRITES)):
        if found:
            yield name, lambda which=which: _growth(found, which)


def _growth(found: dict[str, Any], names: tuple[str, ...]) -> None:
    _, axes = plt.subplots(figsize=(6.4, 5.2))
    for colour, mark, name in zip(COLOURS, MARKS, names, strict=False):
        sizes = found["milliseconds"][name]
        points = [figures[0] for figures in sizes.values()]
        axes.plot(
            [int(size) for size in sizes],
            points,
            color=colour,
            marker=mark,
            label=name.replace("conversations.", "conv. "),
        )
    axes.set(xscale="log", yscale="log", xlabel="messages in the store", ylabel="milliseconds (p50)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=1, frameon=False)
    axes.grid(which="major")


def peers() -> Iterator[tuple[str, Callable[[], None]]]:
    if found := read("records"):
        yield "peers", lambda: _peers(found)


def _peers(found: dict[str, Any]) -> None:
    """Each side's time, as a multiple of sqlite3 by hand."""
    lines = found["lines"]
    _, every = plt.subplots(len(lines), 1, figsize=(6.4, 1.9 * len(lines)))
    for axes, (name, line) in zip(every, lines.items(), strict=True):
        times = line["microseconds"]
        floor = times["sqlite3 by hand"][0]
        names = [side for side in times if side != "sqlite3 by hand"][::-1]
        ratios = [times[side][0] / floor for side in names]
        bars = axes.barh(names, ratios, color=[COLOURS[1] if side == "datastore" else COLOURS[5] for side in names])
        axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=3)
        axes.axvline(1, color="#7f7f7f", linewidth=1)
        axes.set_title(f"{name} (by hand: {floor:,.0f} µs)", loc="left", fontsize=11)
        axes.set_xlim(0, max(ratios) * 1.15)
        axes.tick_params(axis="x", labelbottom=False, length=0)
    plt.tight_layout()


def soak() -> Iterator[tuple[str, Callable[[], None]]]:
    if found := read("soak"):
        yield "soak", lambda: _soak(found)


def _soak(found: dict[str, Any]) -> None:
    seconds = {int(second) / 60: line for second, line in found["seconds"].items()}
    _, (times, sizes) = plt.subplots(2, 1, figsize=(6.4, 6.4), sharex=True)
    for colour, (kind, name) in zip(
        COLOURS, (("read", "reads"), ("write", "writes"), ("worker", "the worker")), strict=False
    ):
        points = {minute: line[kind][2] for minute, line in seconds.items() if kind in line}
        times.plot(list(points), list(points.values()), color=colour, label=name)
    times.axhline(found["idle_read"][2], color="#7f7f7f", linestyle=":", label="reads, idle")
    times.set(yscale="log", ylabel="milliseconds (p99)")
    for colour, (key, name) in zip(COLOURS[3:], (("wal_bytes", "WAL"), ("file_bytes", "file")), strict=False):
        points = {minute: line[key] / 1e6 for minute, line in seconds.items() if key in line}
        sizes.plot(list(points), list(points.values()), color=colour, label=name)
    sizes.set(yscale="log", ylabel="MB", xlabel="minutes")
    for axes in (times, sizes):
        axes.legend(frameon=False, ncol=2)
        axes.grid()


def draw() -> list[str]:
    """Draw what there are results for; the names, without the theme."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    names = []
    for source in (growth, peers, soak):
        for name, plot in source():
            names.append(name)
            for theme in THEMES:
                with mpl.rc_context(_settings(theme)):
                    plot()
                    plt.savefig(FOLDER / f"{name}-{theme.name}.svg", bbox_inches="tight", metadata={"Date": None})
                    plt.close("all")
    return names


def _settings(theme: Theme) -> dict[str, Any]:
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), theme.ink)
    paper = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), theme.paper)
    rest = {"grid.color": theme.grid, "font.size": 11, "svg.hashsalt": "datastore", "axes.spines.top": False,
            "axes.spines.right": False, "lines.linewidth": 2, "svg.fonttype": "none"}  # fmt: skip
    return {**ink, **paper, **rest}


if __name__ == "__main__":
    print(*draw(), sep="\n")
