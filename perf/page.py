"""docs/query-times.md and the README's performance section, from perf/results and nothing else.

python perf/page.py             writes both
python perf/page.py --check     writes nothing; exits 1 and says which is not as the results have it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from budgets import broken, read_budgets
from measuring import ROOT, given_up, read

PAGE, README = ROOT / "docs/query-times.md", ROOT / "README.md"
BEGIN, END = "<!-- performance: written by perf/page.py -->\n", "<!-- end of performance -->\n"

#: Pages, filtered lists and counts: on a million messages at most 1.5 times as slow as on ten thousand.
FLAT = ("list", "latest", "count")


def table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|---" + "|---:" * (len(heads) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def plot(name: str, words: str) -> Iterator[str]:
    if (ROOT / f"docs/plots/{name}-light.svg").exists():
        yield "<picture>"
        yield f'<source media="(prefers-color-scheme: dark)" srcset="plots/{name}-dark.svg">'
        yield f'<img alt="{words}" src="plots/{name}-light.svg">'
        yield "</picture>"
        yield ""


def number(value: float) -> str:
    """Three digits, or all in front of the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def origin(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"`{found['command']}`, {found['measured']}, commit {found['commit']}; {found['machine']}; {versions}."


def goals() -> Iterator[list[str]]:
    """[goal, what was measured, whether it is met], for the results that are there."""
    if lines := read("records").get("lines"):
        for name, line in lines.items():
            times = line["microseconds"]
            ratio = times["datastore"][0] / times["sqlite3 by hand"][0]
            if line["bar"]:
                count = line["measurements"]
                tries = f", the best of {count} measurements" if count > 1 else ""
                yield [
                    f"{name}: at most {line['bar']:.2f} x sqlite3 by hand", f"{ratio:.2f} x{tries}", met(ratio <= line["bar"]),
                ]  # fmt: skip
        one = lines["a message by id"]["microseconds"]
        orm = one["SQLAlchemy ORM"][0] / one["datastore"][0]
        yield ["a message by id: at least 8 x faster than SQLAlchemy's ORM", f"{orm:.1f} x", met(orm >= 8)]
    if (found := read("operations")) and {"10000", "1000000"} <= {str(size) for size in found["rows"]}:
        for what, names in (("pages and filtered lists", flat(counts=False)), ("counts", flat(counts=True))):
            ratios = {name: growth(found, name) for name in names}
            worst = max(ratios, key=ratios.__getitem__)
            said = f"{sum(ratio <= 1.5 for ratio in ratios.values())} of {len(ratios)}; worst: {worst}, {ratios[worst]:.1f} times slower"
            goal = f"{what}: at most 1.5 x from 10,000 to 1,000,000 messages"
            yield [goal, said, met(ratios[worst] <= 1.5, goal)]
    if found := read("importing"):
        ours, bare = found["rates"].values()
        yield ["import: at least a third of a bare executemany's rate", f"{ours / bare:.2f}", met(ours / bare >= 1 / 3)]
    if lines := read("threads").get("lines"):
        ratio = lines["8 threads, full"]["ratio"]
        group = lines["8 threads, group commit, full"]["ratio"]
        said = f"{ratio:.2f} x; with a group commit it would be {group:.2f} x"
        yield [
            "eight threads that append at FULL: at least 3 x one thread",
            said,
            met(ratio >= 3, "8 threads at FULL: "),
        ]
    yield from _asynchronous_goals()
    if found := read("start"):
        took = found["milliseconds"]["import datastore"]
        yield ["`import datastore`: at most 80 ms", f"{took} ms", met(took <= 80)]
    if lines := read("memory").get("lines"):
        for what, sizes in lines.items():
            (few, small), (many, large) = sizes.items()
            ratio = large["peak_bytes"] / small["peak_bytes"]
            said = f"{small['peak_bytes'] / 1e6:.0f} MB for {int(few):,} messages, {large['peak_bytes'] / 1e6:.0f} MB for {int(many):,}"
            yield [f"{what}: memory flat", said, met(ratio <= 1.25)]
    if found := read("soak"):
        idle, under = found["idle_read"][2], found["whole"]["read"][2]
        yield [
            "reads under mixed load: p99 at most 5 x the idle one",
            f"{under / idle:.1f} x ({under:.1f} ms)",
            met(under <= 5 * idle),
        ]
        sizes = [line["wal_bytes"] for line in found["seconds"].values() if "wal_bytes" in line]
        grew = [line for line in found["missed"] if "bytes" in line]
        yield ["nothing grows without bound meanwhile", f"WAL {max(sizes) / 1e6:.0f} MB at most", met(not grew)]


def _asynchronous_goals() -> Iterator[list[str]]:
    if found := read("asynchronous"):
        added = found["hop_microseconds"]["added_p50"]
        yield ["AsyncDatastore: the hop to a thread adds at most 120 µs (p50)", f"{added:.0f} µs", met(added <= 120)]
        late = max(line["late_milliseconds"][2] for line in found["stalls"].values() if "measurements" in line)
        yield [
            "AsyncDatastore: the event loop stalls at most 5 ms (p99), with 50 writers and while another process has the lock",
            f"{late:.1f} ms",
            met(late <= 5),
        ]
        ratio = found["appends_per_second"]["ratio"]
        yield [
            "AsyncDatastore: 50 tasks that append at FULL: at least one thread's rate",
            f"{ratio:.2f} x",
            met(ratio >= 1),
        ]


def met(fine: bool, goal: str = "") -> str:
    """The outcome; *goal* is what `measuring.GIVEN_UP` knows it by, if it does."""
    if fine:
        return "met"
    decision = given_up(goal)
    return f"given up: [{decision[:4]}](decisions/{decision}.md)" if decision else "**missed**"


def flat(*, counts: bool) -> list[str]:
    names = read("operations")["milliseconds"]
    reads = [name for name in names if not name.startswith("search") and any(f".{verb}" in name for verb in FLAT)]
    return [name for name in reads if (".count" in name) == counts]


def growth(found: Mapping[str, Any], name: str) -> float:
    """How many times longer it takes on a million messages; below 20 µs the clock decides, which counts as 20."""
    small, large = (max(0.02, found["milliseconds"][name][size][0]) for size in ("10000", "1000000"))
    return large / small


def page() -> str:
    lines = [
        *_head(),
        *_records(),
        *_operations(),
        *_queue(),
        *_search(),
        *_threads(),
        *_asynchronous(),
        *_soak(),
        *_postgresql(),
        *_statements(),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _head() -> Iterator[str]:
    yield "# Query times"
    yield ""
    yield "Generated by `make bench` (perf/page.py) from perf/results; do not edit. Figures of one machine: compare only within a"
    yield "table, where all sides took turns. `make bench` measures everything again and writes this page; `make bench-full` adds"
    yield "the longer parts (the soak test, PostgreSQL, a million learnings, retention)."
    yield ""
    yield from table(["goal", "measured", "outcome"], list(goals()))


def _records() -> Iterator[str]:
    if not (found := read("records")):
        return
    yield "## Compared with the alternatives"
    yield ""
    yield from plot(
        "peers",
        "Times of six operations compared with hand-written sqlite3, SQLAlchemy, peewee, sqlite-utils and openai-agents",
    )
    sides = list(found["less"])
    yield "Microseconds, medians of rounds in which all sides take turns; the quartiles are in perf/results/records.json."
    yield ""
    rows = []
    for name, line in found["lines"].items():
        times = line["microseconds"]
        floor = times["sqlite3 by hand"][0]
        rows.append(
            [name, *(f"{number(times[s][0])} ({times[s][0] / floor:.2f})" if s in times else "" for s in sides)]
        )
    yield from table(["", *sides], rows)
    yield "In brackets: as a multiple of hand-written sqlite3. All but openai-agents' session use this library's schema, with its"
    yield "constraints, indexes, triggers and full-text index. What each side omits:"
    yield ""
    yield from (f"- {side}: {less}" for side, less in found["less"].items() if less)
    yield ""
    yield origin(found)
    yield ""


def _operations() -> Iterator[str]:
    if not (found := read("operations")):
        return
    yield "## Operations, by the size of the store"
    yield ""
    yield from plot("reads", "Milliseconds of six reads, from a thousand to a million messages")
    yield from plot("writes", "Milliseconds of six writes, from a thousand to a million messages")
    calls = found["calls"]
    yield f"Milliseconds: p50 / p95 / p99 of up to {calls['reads']} calls (reads) and {calls['writes']} (writes) through the"
    yield 'repositories, at `durability="full"`, alone on the database. A size is the number of messages; a tenth as many learnings'
    yield "and jobs (at least 1,000), one conversation for twenty messages and one that has a fiftieth of all. The 95th percentile"
    yield "should be at most 100 ms, and 50 ms for the queue's operations."
    yield ""
    sizes = [str(size) for size in found["rows"]]
    rows = []
    for name, figures in found["milliseconds"].items():
        most = 50 if name.startswith("jobs.") else 100
        cells = [
            " / ".join(f"{ms:.2f}" for ms in figures[size]) + (" **above**" if figures[size][1] > most else "")
            for size in sizes
        ]
        rows.append([name, *cells])
    yield from table(["operation", *(f"{int(size):,}" for size in sizes)], rows)
    seeds = found["seeding"]
    if seed := seeds.get("1000000"):
        yield f"The largest of these stores has {seed['rows']:,} rows, inserted at {seed['rows'] / seed['insert_seconds']:,.0f} a second;"
        yield f"its indexes were then built in {seed['index_seconds']:.0f} s, its full-text indexes in {seed['full_text_seconds']:.0f} s."
    yield origin(found)
    yield ""


def _queue() -> Iterator[str]:
    cycle, drain = read("queue-cycle"), read("queue-drain")
    if not cycle and not drain:
        return
    yield "## The job queue"
    yield ""
    for found in (cycle, drain):
        titles = dict.fromkeys(key.rpartition(": ")[0] for key in found.get("lines", {}))
        for title in titles:
            some = {
                key.rpartition(": ")[2]: line for key, line in found["lines"].items() if key.startswith(f"{title}: ")
            }
            yield f"{title}:"
            yield ""
            heads = list(next(iter(some.values())))
            yield from table(["queue", *heads], [[name, *line.values()] for name, line in some.items()])
        if found:
            yield origin(found)
            yield ""
    yield "What the peers omit, which goals were missed and why: [perf/queue](../perf/queue/README.md)."
    yield ""


def _search() -> Iterator[str]:
    if not (found := read("search-relevance")):
        return
    yield "## Search"
    yield ""
    rows = [
        [*key.split(": "), f"{line['ndcg_at_10']:.4f}", f"{line['map_at_100']:.4f}", f"{line['ms_a_query']:.2f}"]
        for key, line in found["lines"].items()
    ]
    yield from table(["collection", "", "nDCG@10", "MAP@100", "ms a query"], rows)
    yield "This library returns a hundred whole records, marked; the peers return ids. On a million learnings: [perf](../perf/README.md#search)."
    yield origin(found)
    yield ""


def _threads() -> Iterator[str]:
    if not (found := read("threads")):
        return
    yield "## Threads"
    yield ""
    rows = [[name, f"{line['appends_per_second']:,}", f"{line['ratio']:.2f}"] for name, line in found["lines"].items()]
    yield from table(["", "appends/s", "x one thread"], rows)
    yield "The group commit is a design that was tried and is not in the library: [0013](decisions/0013-no-group-commit.md)."
    yield origin(found)
    yield ""


def _asynchronous() -> Iterator[str]:
    if not (found := read("asynchronous")):
        return
    yield "## asyncio"
    yield ""
    hops = {name: line for name, line in found["hop_microseconds"].items() if isinstance(line, list)}
    yield from table(
        ["a message by id, µs", "p50", "p95", "p99"], [[name, *map(str, line)] for name, line in hops.items()]
    )
    rows = [[name, *map(str, line["late_milliseconds"]), str(line["reads"])] for name, line in found["stalls"].items()]
    yield from table(["the event loop is late, ms", "p50", "p95", "p99", "reads meanwhile"], rows)
    if server := found["postgresql_microseconds"]:
        rows = [[name, str(line["threads"]), str(line["AsyncConnection"])] for name, line in server.items()]
        yield from table(["PostgreSQL, µs a call", "on threads", "psycopg's AsyncConnection"], rows)
    yield "Why it uses threads: [0023](decisions/0023-asyncio.md)."
    yield origin(found)
    yield ""


def _soak() -> Iterator[str]:
    if not (found := read("soak")):
        return
    yield "## Under mixed load"
    yield ""
    yield from plot(
        "soak", "p99 of reads and writes, and the size of the WAL and of the file, over the minutes of a soak test"
    )
    rows = [["a reader alone", "", *(f"{ms:.2f}" for ms in found["idle_read"])]]
    rows += [
        [kind, f"{found['calls'][kind]:,}", *(f"{ms:.2f}" for ms in figures)]
        for kind, figures in found["whole"].items()
    ]
    yield from table(["", "calls", "p50, ms", "p95", "p99"], rows)
    yield "Four writers (50 commits a second each), four readers (100 reads), a worker, purging and upkeep, each a process."
    yield origin(found)
    yield ""


def _postgresql() -> Iterator[str]:
    if not (found := read("postgresql-records")):
        return
    yield "## PostgreSQL"
    yield ""
    sides = list(dict.fromkeys(side for line in found["lines"].values() for side in line["microseconds"]))
    rows = []
    for name, line in found["lines"].items():
        floor = line["microseconds"]["psycopg by hand"][0]
        rows.append(
            [name, *(f"{number(line['microseconds'][s][0])} ({line['microseconds'][s][0] / floor:.2f})" for s in sides)]
        )
    yield from table(["microseconds", *sides], rows)
    yield origin(found)
    yield ""
    if queue := read("postgresql-queue"):
        rows = []
        for key, line in queue["lines"].items():
            rate = f"{line['jobs_per_second']:,}" if "jobs_per_second" in line else ""
            buffers = str(line["buffers"]) if "buffers" in line else ""
            rows.append([*key.rsplit(": ", 1), f"{line['microseconds'][0] / 1e3:.2f}", rate, buffers])
        yield from table(["", "queue", "ms", "jobs/s", "buffers"], rows)
        yield origin(queue)
        yield ""
    yield from _postgresql_tables()


def _postgresql_tables() -> Iterator[str]:
    """Claims, bytes a row, relevance."""
    if claim := read("postgresql-claim"):
        rows = [
            [key, f"{line['any_ms']:.2f}", f"{line['one_ms']:.2f}", str(line["buffers"])]
            for key, line in claim["lines"].items()
        ]
        yield from table(
            [
                "a claim: 90 % done, 5 % in the future with the highest priority",
                "any of 5 types, ms",
                "one type",
                "buffers",
            ],
            rows,
        )
    if sizes := read("postgresql-sizes"):
        rows = [
            [key, f"{line['rows']:,}", str(line["table_bytes_a_row"]), str(line["index_bytes_a_row"])]
            for key, line in sizes["lines"].items()
            if "table_bytes_a_row" in line
        ]
        yield from table(["table", "rows", "bytes a row", "in indexes"], rows)
        yield "`datastore copy`, compared at the end:"
        yield ""
        copies = [
            [
                name.removeprefix("datastore copy, "), f"{line['rows']:,}", f"{line['messages']:,}",
                str(line["characters_a_message"]), f"{line['rows_per_second']:,}", f"{line['back_rows_per_second']:,}",
            ]
            for name, line in sizes["lines"].items()
            if "rows_per_second" in line
        ]  # fmt: skip
        yield from table(["of", "rows", "messages", "characters each", "rows/s to PostgreSQL", "rows/s back"], copies)
        yield origin(sizes)
        yield ""


def _statements() -> Iterator[str]:
    if not (found := read("statement-times")):
        return
    yield "## Statements"
    yield ""
    other = read("statement-times-postgresql")
    yield f"p50, p95 and p99 of each of the {len(found['statements'])} statements, in every combination of its optional lines, are in the"
    yield "[catalogue](catalog/index.html) and in [statements](statements/README.md). perf/budgets.toml says how many times the reference"
    yield "statement's time in the same run each may take; the run fails if one takes more."
    # Against the budgets of today: one may have been changed since.
    over = [
        line
        for engine, results in (("sqlite", found), ("postgresql", other))
        for line in broken(read_budgets(engine), results.get("statements", {})).values()
    ]
    yield f"{'Every statement is within its budget.' if not over else '**Over budget: ' + '; '.join(over) + '.**'}"
    yield origin(found)
    if other:
        yield origin(other)


def section() -> str:
    """The README's."""
    lines = read("records")["lines"]
    rows = []
    for name, line in lines.items():
        times = {side: spread[0] for side, spread in line["microseconds"].items()}
        floor = times["sqlite3 by hand"]
        cells = [
            f"{times[side] / floor:.2f}" if side in times else "" for side in ("datastore", "SQLAlchemy ORM", "peewee")
        ]
        rows.append([name, f"{number(floor)} µs", *cells])
    text = "\n".join(table(["", "sqlite3 by hand", "datastore", "SQLAlchemy ORM", "peewee"], rows))
    found = read("records")
    every = list(goals())
    said = [f"{goal[0]}: {goal[1]}" for goal in every if "missed" in goal[2]]
    without = [f"{goal[0]}: {goal[1]}" for goal in every if "given up" in goal[2]]
    missed = f" Missed goals: {'; '.join(said)}." if said else " All current goals are met."
    if without:
        missed += f" Goals that [decisions](docs/decisions/) have given up: {'; '.join(without)}."
    return (
        f"Times as multiples of hand-written sqlite3 on the same schema, all in one run ({found['machine'].split(',')[0]}, {found['measured']},"
        f" commit {found['commit']}). Appends of the ORM and of peewee are not indexed for search; those of the other two are.\n\n{text}\n"
        "`make bench` (about twelve minutes) measures this on your machine; [docs/query-times.md](docs/query-times.md) has every"
        f" operation from a thousand to a million messages, the queue, search and PostgreSQL.{missed}\n"
    )


def readme() -> str:
    text = README.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{section()}{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, text in ((PAGE, page()), (README, readme())):
        if path.read_text("utf-8") != text:
            stale.append(path)
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(
            f"{Path(path).relative_to(ROOT)}: {'is not as perf/results have it' if check else 'written'}",
            file=sys.stderr,
        )
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
