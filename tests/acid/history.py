"""The history checker: what clients saw and did, on lists that are only ever appended to.

A transaction reads lists and appends values that nobody else appends. So the final lists tell the order of the writers,
and each read tells which of them it saw. From that follow dependencies between transactions: ww (appended behind it),
wr (read what it appended), rw (read before it appended), and real time (ended before it began). A cycle means that no
serial order explains the history. After Kingsbury and Alvaro, "Elle" (VLDB 2020).
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

Edges = dict[Any, dict[Any, str]]


@attrs.frozen(eq=False)
class Transaction:
    """One transaction, as its client knows it."""

    name: str
    #: "ok", "failed" (rolled back) or "unknown" (killed on the way).
    outcome: str
    #: Seconds on one clock; *ended* is None where nobody knows.
    began: float
    ended: float | None
    #: Key to the list as it was read.
    reads: dict[str, list[int]]
    #: Key and value.
    appends: list[tuple[str, int]]
    #: Whether its process was killed right behind it.
    died: bool = False


def check(history: list[Transaction], final: dict[str, list[int]]) -> Iterator[tuple[str, str]]:
    """The anomalies of a history; *final* is what the lists were when everybody had ended."""
    writers = {(key, value): run for run in history for key, value in run.appends}
    yield from _values(history, final, writers)
    committed = [
        run
        for run in history
        if run.outcome == "ok"
        or (run.outcome == "unknown" and any(value in final.get(key, []) for key, value in run.appends))
    ]
    edges = _dependencies(committed, final, writers)
    for component in _cycles(edges):
        kinds = Counter(kind for a in component for b, kind in edges[a].items() if b in component)
        single = any(not run.appends for run in component)
        yield ("non-repeatable read" if single else "not serializable"), f"cycle of {_names(component)}: {dict(kinds)}"
        return
    _add_real_time(edges, committed)
    for component in _cycles(edges):
        yield "stale read", f"cycle with real time of {_names(component)}"
        return


def _values(history: list[Transaction], final: dict[str, list[int]], writers: Any) -> Iterator[tuple[str, str]]:
    """What single values tell: twice, of a failed transaction, half of one, gone."""
    for key, values in final.items():
        for value, count in Counter(values).items():
            if count > 1:
                yield "duplicate", f"{value} stands {count} times in {key}"
            if writers[key, value].outcome == "failed":
                yield "aborted read", f"{value} of a transaction that was rolled back stays in {key}"
    for run in history:
        there = [value in final[key] for key, value in run.appends]
        if any(there) and not all(there):
            yield "partial transaction", f"{run.name} is there in part"
        if run.outcome == "ok" and there and not all(there):
            yield from _gone(run, final, writers)
        for key, values in run.reads.items():
            for value in values:
                if writers[key, value].outcome == "failed":
                    yield "aborted read", f"{run.name} saw {value} in {key}, which was rolled back"


def _gone(run: Transaction, final: dict[str, list[int]], writers: Any) -> Iterator[tuple[str, str]]:
    # Somebody overwrote it, or it never was durable. If the one who stands in its place ran beside it, it is the former;
    # but not where the process was killed right behind its acknowledgement.
    for key, value in run.appends:
        if value not in final[key]:
            place = len(run.reads[key])
            heir = writers[key, final[key][place]] if place < len(final[key]) else None
            overlapped = heir is not None and run.ended is not None and heir.began < run.ended and not run.died
            yield ("lost update" if overlapped else "lost commit"), f"{value} of {run.name} is not in {key}"


def _dependencies(runs: list[Transaction], final: dict[str, list[int]], writers: Any) -> Edges:
    edges: Edges = {run: {} for run in runs}

    def add(a: Transaction | None, b: Transaction | None, kind: str) -> None:
        if a is not None and b is not None and a is not b and a in edges and b in edges:
            edges[a].setdefault(b, kind)

    for key, values in final.items():
        for one, two in itertools.pairwise(values):
            add(writers[key, one], writers[key, two], "ww")
    for run in runs:
        for key, seen in run.reads.items():
            if seen:
                add(writers[key, seen[-1]], run, "wr")
            later = final[key][len(seen)] if len(seen) < len(final[key]) else None
            if later is not None:
                add(run, writers[key, later], "rw")
    return edges


def _add_real_time(edges: Edges, runs: list[Transaction]) -> None:
    # A chain of instants: who ended before an instant comes before it, who began after it comes behind.
    events = [(run.began, 1, run) for run in runs]
    events += [(run.ended, 0, run) for run in runs if run.ended is not None]
    instant = None
    for at, is_begin, run in sorted(events, key=lambda event: event[:2]):
        if is_begin:
            if instant is not None:
                edges[instant][run] = "time"
            continue
        following = ("instant", at, run.name)
        edges[following] = {}
        if instant is not None:
            edges[instant][following] = "time"
        edges[run][following] = "time"
        instant = following


def _cycles(edges: Edges) -> Iterator[list[Any]]:
    """The transactions of each strongly connected component that has a cycle (Kosaraju)."""
    order: list[Any] = []
    _visit(edges, edges, order)
    back: Edges = {node: {} for node in edges}
    for node, targets in edges.items():
        for target in targets:
            back[target][node] = ""
    seen: set[Any] = set()
    for node in reversed(order):
        component: list[Any] = []
        waiting = deque([node] if node not in seen else [])
        seen.update(waiting)
        while waiting:
            here = waiting.popleft()
            component.append(here)
            fresh = [other for other in back[here] if other not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        if len(component) > 1:
            yield [part for part in component if isinstance(part, Transaction)]


def _visit(edges: Edges, nodes: Iterable[Any], order: list[Any]) -> None:
    seen: set[Any] = set()
    for root in nodes:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(edges[root]))]
        while stack:
            node, targets = stack[-1]
            target = next((target for target in targets if target not in seen), None)
            if target is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(edges[target])))


def _names(component: list[Any]) -> str:
    return ", ".join(run.name for run in component[:4])
