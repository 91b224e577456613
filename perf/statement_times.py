"""Times every named statement, with each choice of its optional lines, and holds it against its budget.

    python perf/statement_times.py [--rows 10000 1000000]                 SQLite
    python perf/statement_times.py --engine postgresql [--rows 10000]     PostgreSQL: $DATASTORE_TEST_POSTGRES_URL, or its own

Writes perf/results/statement-times.json, which `datastore catalog` shows, or statement-times-postgresql.json. A statement
is timed as the store runs it, on one connection with the store's settings, in memory or in the page cache: from execute to
the last row. What writes does so in a transaction that is rolled back; the commit is not in the figure. A statement for
which no arguments can be made, or that fails, is named in the file under not_timed.

Its budget (perf/budgets.toml) is how many times the reference statement of the same run it may take, so that a slow
machine breaks none. Exits 1 where one is broken, after that statement was timed once more.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import attrs
from budgets import RESULTS, Budgets, broken, read_budgets
from measuring import ROOT, finish, folder, origin, percentiles
from sample_arguments import Arguments, NoSample, Sampler
from sample_database import seeded

from datastore.contract.facts import ProjectFacts, StatementFacts, read_facts
from datastore.contract.project import find_project
from datastore.contract.touches import Touch, read_touches
from datastore.search.matching import Match, Matches, Rows, Words
from datastore.statements.binding import Encoder
from datastore.statements.loader import Statement

#: What empties the table that a statement fills: it runs before, in the same transaction, and is not timed.
BEFORE = {"add_job_groups": "clear_job_groups"}
#: Calls of each choice: so many, or as many as there is time for, but never fewer than the second figure.
CALLS, LEAST, SECONDS = 200, 5, 0.15
#: Seconds after which even fewer are enough: the check of a whole full-text index.
LONGEST = 3
#: How many arguments are tried to find some that find rows, and for how many seconds.
TRIED, SAMPLING = 240, 0.3
COMMAND = "python perf/statement_times.py"


class Engine(Protocol):
    """Where statements are timed."""

    #: What a statement may refuse its arguments with: others may do.
    refused: type[Exception]
    #: Any error of it.
    error: type[Exception]
    #: A statement that runs before each call.
    before: str

    def texts(self, one: StatementFacts) -> Iterator[tuple[str, Any]]:
        """Each choice of a statement's optional lines, by name, and what `call` takes; nothing where it has no such."""

    def call(self, text: Any, arguments: Arguments) -> tuple[float, int]:
        """Microseconds of one call, and how many rows it gave or changed; what it wrote is taken back."""

    def plan(self, text: Any, arguments: Arguments) -> list[str]:
        """The lines of its plan, on these rows."""


class Sqlite:
    """A connection with the store's pragmas (datastore/engines/sqlite/engine.py)."""

    refused: type[Exception] = sqlite3.IntegrityError
    error: type[Exception] = sqlite3.Error
    before = ""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "wal_autocheckpoint = 0", "secure_delete = ON",
                       "temp_store = MEMORY"):  # fmt: skip
            self.connection.execute(f"PRAGMA {pragma}").fetchall()

    def texts(self, one: StatementFacts) -> Iterator[tuple[str, Any]]:
        for variant in one.variants:
            yield variant.which or "always", variant.sql

    def call(self, text: Any, arguments: Arguments) -> tuple[float, int]:
        return timed(self.connection, text, self.written(arguments), self.before)

    def plan(self, text: Any, arguments: Arguments) -> list[str]:
        return [row[3] for row in self.connection.execute(f"EXPLAIN QUERY PLAN {text}", self.written(arguments))]

    @staticmethod
    def written(arguments: Arguments) -> Arguments:
        """The arguments with queries and rows in FTS5's syntax."""
        return {
            name: str(value) if isinstance(value, Match | Matches | Rows | Words) else value
            for name, value in arguments.items()
        }

    def close(self) -> None:
        self.connection.close()


class Postgresql:
    """A session as the engine sets it up, on a database with the same rows."""

    before = ""

    def __init__(self, url: str) -> None:
        import psycopg

        from datastore.engines.postgresql.engine import DIALECT
        from datastore.engines.postgresql.settings import set_up
        from datastore.resources import sql_folder
        from datastore.statements.loader import read_statements

        self.connection = psycopg.connect(url, autocommit=True)
        set_up(self.connection, synchronous_commit="on", lock_timeout=5.0, read_only=False)
        self.refused: type[Exception] = psycopg.DatabaseError  # what a trigger raises is no IntegrityError
        self.error: type[Exception] = psycopg.Error
        self.statements = read_statements(sql_folder(), "postgresql")
        self.dialect = DIALECT

    def texts(self, one: StatementFacts) -> Iterator[tuple[str, Any]]:
        other = self.statements.get(one.statement.name)
        if other is None:
            return
        for given, text in other.variants():
            which = ", ".join(name for name in one.statement.optional if name in given)
            yield which or "always", (self.dialect.text(text), self.encoders(other))

    def encoders(self, statement: Statement) -> dict[str, Encoder]:
        """How the values of its parameters are written, for those that psycopg does not write itself."""
        every = self.dialect.encoders
        return {one.name: every[one.type] for one in statement.header.parameters if one.type in every}

    def call(self, text: Any, arguments: Arguments) -> tuple[float, int]:
        return timed(self.connection, text[0], self.written(text, arguments), self.before)

    def plan(self, text: Any, arguments: Arguments) -> list[str]:
        explain = f"EXPLAIN (COSTS OFF) {text[0]}".encode()
        return [row[0] for row in self.connection.execute(explain, self.written(text, arguments))]

    def written(self, text: Any, arguments: Arguments) -> Arguments:
        """The arguments with queries in PostgreSQL's syntax, and marked blobs."""
        return {**arguments, **{name: encode(arguments[name]) for name, encode in text[1].items()}}

    def close(self) -> None:
        self.connection.close()


def timed(connection: Any, text: str, arguments: Arguments, first: str) -> tuple[float, int]:
    connection.execute("BEGIN")
    try:
        if first:
            connection.execute(first)
        before = time.perf_counter_ns()
        cursor = connection.execute(text, arguments)
        rows = cursor.fetchall() if cursor.description else ()
        took = (time.perf_counter_ns() - before) / 1000
        return took, len(rows) or max(0, cursor.rowcount)
    finally:
        connection.execute("ROLLBACK")


@attrs.frozen
class Found:
    """What was measured of a statement."""

    #: p50, p95 and p99 in microseconds, by the choice of optional lines.
    times: Mapping[str, list[float]]
    #: The plan, by the same.
    plans: Mapping[str, list[str]] = attrs.field(factory=dict)
    #: Why there are none.
    why: str = ""
    #: Whether a sample found a row.
    hit: bool = False


def times(
    engine: Engine, connection: sqlite3.Connection, facts: ProjectFacts, names: Sequence[str] = ()
) -> Iterator[tuple[str, Found]]:
    """Every statement, or those of *names*, and what was measured; arguments come from the rows of *connection*."""
    sampler = Sampler(connection)
    touches = read_touches(facts).statements
    for name in names or sorted(facts.statements):
        one = facts.statements[name]
        texts = dict(engine.texts(one))
        engine.before = facts.statements[BEFORE[name]].variants[0].sql if name in BEFORE else ""
        if not texts:
            continue
        try:
            every, hit = samples(engine, sampler, one, touches[name], list(texts.values())[-1])
            found = {which: measure(engine, text, every) for which, text in texts.items()}
            yield name, Found(found, {which: engine.plan(text, every[0]) for which, text in texts.items()}, hit=hit)
        except NoSample as error:
            yield name, Found({}, why=str(error))
        except engine.error as error:
            yield name, Found({}, why=f"{type(error).__name__}: {error}")


def samples(
    engine: Engine, sampler: Sampler, one: StatementFacts, touches: tuple[Touch, ...], text: Any
) -> tuple[list[Arguments], bool]:
    """Arguments for a statement: those that find something, where some do."""
    hits, misses = [], []
    last: Exception | None = None
    deadline = time.perf_counter() + SAMPLING
    for number in range(TRIED):
        arguments = sampler.arguments(one, touches, number)
        try:
            _, rows = engine.call(text, arguments)
        except engine.refused as error:
            last = error  # these arguments break a rule; others may not
            continue
        (hits if rows else misses).append(arguments)
        if len(hits) >= 60 or (time.perf_counter() > deadline and hits + misses):
            break
    if not hits and not misses:
        raise last or NoSample("no arguments were made")
    return hits or misses, bool(hits)


def measure(engine: Engine, text: Any, every: list[Arguments]) -> list[float]:
    """p50, p95 and p99 in microseconds."""
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    for number in range(CALLS):
        try:
            found.append(engine.call(text, every[number % len(every)])[0])
        except engine.refused:
            continue
        late = time.perf_counter() - end
        if late > 0 and (len(found) >= LEAST or late > LONGEST):
            break
    if not found:
        raise NoSample("every sample broke a constraint")
    return percentiles(found)


def run(engine: Engine, connection: sqlite3.Connection, rows: int, facts: ProjectFacts, result: dict[str, Any]) -> None:
    """Time every statement at one size, and put it into the result."""
    before = time.perf_counter()
    for name, found in times(engine, connection, facts):
        put(result, name, found, rows)
        result["plans"][name] = found.plans  # of the largest size in the end
        if found.why:
            result["not_timed"][name] = found.why
        elif not found.hit and name not in result["found_nothing"]:
            result["found_nothing"].append(name)
    print(f"{rows:,} rows: timed in {time.perf_counter() - before:.0f} s", file=sys.stderr)


def put(result: dict[str, Any], name: str, found: Found, rows: int) -> None:
    for which, figures in found.times.items():
        result["statements"].setdefault(name, {}).setdefault(which, {})[str(rows)] = figures


def again(
    engine: Engine,
    connection: sqlite3.Connection,
    rows: int,
    facts: ProjectFacts,
    result: dict[str, Any],
    budgets: Budgets,
) -> None:
    """Time what is over its budget at this size, and the reference, once more: the better figure counts."""
    names = [name for name in broken(attrs.evolve(budgets, rows=(rows,), ratios=at(budgets, rows)), result["statements"])
             if name in budgets.ratios]  # fmt: skip
    for name, found in times(engine, connection, facts, names) if names else ():
        for which, figures in found.times.items():
            sizes = result["statements"][name][which]
            sizes[str(rows)] = min(sizes[str(rows)], figures)


def at(budgets: Budgets, rows: int) -> dict[str, tuple[float, ...]]:
    """The budgets of one size."""
    place = budgets.rows.index(rows) if rows in budgets.rows else None
    return {} if place is None else {name: (pair[place],) for name, pair in budgets.ratios.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=list(RESULTS), default="sqlite")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--stores", type=Path, help="a folder with ROWS.db files that sample_database filled before")
    arguments = parser.parse_args()
    budgets = read_budgets(arguments.engine)
    command = COMMAND + (f" --engine {arguments.engine}" if arguments.engine != "sqlite" else "")
    result: dict[str, Any] = {
        **origin(command), "rows": arguments.rows, "statements": {}, "plans": {}, "found_nothing": [], "not_timed": {},
    }  # fmt: skip
    with ExitStack() as stack:
        facts = stack.enter_context(read_facts(find_project(ROOT)))
        for rows in arguments.rows:
            with ExitStack() as size:
                path = (arguments.stores or size.enter_context(folder())) / f"{rows}.db"
                print(f"{rows:,} rows: {seeded(path, rows)}", file=sys.stderr)
                connection = size.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
                engine = size.enter_context(closing(open_engine(arguments.engine, path, size, result)))
                run(engine, connection, rows, facts, result)
                again(engine, connection, rows, facts, result, budgets)
    result["statements"] = dict(sorted(result["statements"].items()))
    result["missed"] = sorted(broken(budgets, result["statements"]).values())
    print(f"found nothing: {', '.join(result['found_nothing']) or 'none'}")
    for name, why in result["not_timed"].items():
        print(f"not timed: {name}: {why}", file=sys.stderr)
    return finish(RESULTS[arguments.engine], result, "statements", "plans")


def open_engine(name: str, path: Path, stack: ExitStack, result: dict[str, Any]) -> Any:
    """The engine with the rows of a filled SQLite file: that file, or a database that they are copied to."""
    if name == "sqlite":
        return Sqlite(path)
    from postgresql import server

    from datastore.copy import copy

    url = stack.enter_context(server())
    copy(str(path), url)
    engine = Postgresql(url)
    engine.connection.execute("VACUUM ANALYZE")
    (version,) = engine.connection.execute("SHOW server_version").fetchone() or ("",)
    result["versions"]["PostgreSQL"] = version.split()[0]
    return engine


if __name__ == "__main__":
    raise SystemExit(main())
