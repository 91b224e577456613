"""The order of imports, no SQL in Python, and what `import datastore` loads."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "datastore"

#: A module imports from layers below its own, and from its own package. "" is datastore/__init__.py.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("values", "events"),
    ("records", "resources", "files"),
    ("search",),
    ("address",),
    ("statements",),
    ("engines",),
    ("repositories",),
    ("formats", "migrations", "upkeep"),
    ("retention",),
    ("opening",),
    ("store",),
    ("aio",),
    ("copy", "importing", "exporting", "worker", "observing"),
    ("contract", "testing"),
    ("",),
    ("pytest_plugin",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: A repository imports helpers of its folder (base, ...) and none of these.
REPOSITORIES = {
    "conversations",
    "messages",
    "learnings",
    "job_queue",
    "uploads",
    "audit",
    "derived",
    "import_export",
    "redactions",
    "own_tables",
    "backups",
    "maintenance",
    "erasures",
    "legal_holds",
    "retention_policies",
}

#: The only files with PRAGMAs, BEGIN, COMMIT, ROLLBACK, savepoints and EXPLAIN: the engines, for the store, for yoyo
#: and for the check of the statements.
ENGINES = (
    "datastore/engines/postgresql/engine.py",
    "datastore/engines/postgresql/explain.py",
    "datastore/engines/postgresql/session.py",
    "datastore/engines/sqlite/engine.py",
    "datastore/engines/sqlite/explain.py",
    "datastore/engines/sqlite/files.py",
    "datastore/engines/sqlite/session.py",
    "datastore/migrations/sqlite.py",
)

#: What copies whole tables, and looks rows up in them, whatever they are called and whatever their columns are.
ANY_TABLE = (
    "datastore/copy/postgresql.py",
    "datastore/copy/sides.py",
    "datastore/copy/sqlite.py",
    "datastore/engines/own_rows.py",
)

#: What makes a database for a check or a test and drops it: no statement has a parameter for a name.
SCRATCH = "datastore/engines/postgresql/scratch.py"

#: What checks SQL names its keywords and shows examples of it, and runs none but from files.
CHECKS = "datastore/contract/"

SQL_WORD = r"SELECT|INSERT|REPLACE|UPDATE|DELETE|CREATE|DROP|ALTER|WITH|VALUES"
# Upper case: the keyword alone decides. Any case: the shape of a statement does, so that prose passes.
SQL = re.compile(rf"\s*(?:--[^\n]*\n\s*)*(?:{SQL_WORD})(?:\s|$)")
SQL_SHAPE = re.compile(
    r"""\s*(?:--[^\n]*\n\s*)*(?:
        select\s.*\sfrom\s | (?:insert|replace)\s+(?:or\s+\w+\s+)?into\s | update\s+(?:or\s+\w+\s+)?\S+\s+set\s
        | delete\s+from\s | drop\s+(?:table|index|view|trigger)\s | alter\s+table\s
        | create\s+(?:temp\w*\s+|unique\s+|virtual\s+)*(?:table|index|view|trigger)\s
        | with\s+(?:recursive\s+)?\w+\s*(?:\([^)]*\)\s*)?as\s*(?:(?:not\s+)?materialized\s*)?\(
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
CONTROL = re.compile(
    r"\s*(?:PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|VACUUM|ATTACH|DETACH|REINDEX|EXPLAIN|ANALYZE)(?:\s|;|$)"
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings of a module with their lines; an f-string as one, with {} for its values; no docstrings."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inside | docstrings:
            if isinstance(node.value, bytes):
                yield node.lineno, node.value.decode("latin-1")
            elif isinstance(node.value, str):
                yield node.lineno, node.value


def sql_in(source: str, file: str) -> list[str]:
    """The places of a module with SQL in them that it may not have."""
    if file in ANY_TABLE:
        return []
    if file.startswith(CHECKS):
        return executed(ast.parse(source), file)
    return [
        f"{file}:{line}: {' '.join(text.split())[:60]}"
        for line, text in strings(ast.parse(source))
        if not (file == SCRATCH and re.match(r"(?:CREATE|DROP) DATABASE\s", text))
        if SQL.match(text) or SQL_SHAPE.match(text) or (file not in ENGINES and CONTROL.match(text))
    ]


def executed(tree: ast.AST, file: str) -> list[str]:
    """The places where text that stands in the module is handed to a database."""
    return [
        f"{file}:{node.lineno}: {ast.unparse(node)[:60]}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith("execute")
        and any(isinstance(part, ast.JoinedStr | ast.BinOp | ast.Constant) for part in node.args[:1])
    ]


def imports(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """What a module imports of datastore, by full name; imports inside functions and TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "datastore")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "datastore":
                # `from datastore import errors` is the module, `from datastore import Datastore` the package.
                known = {path.stem for path in PACKAGE.iterdir()}
                yield from (
                    (node.lineno, f"datastore.{alias.name}" if alias.name in known else "datastore")
                    for alias in node.names
                )
            elif module.split(".")[0] == "datastore":
                if module == "datastore.repositories":
                    yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
                else:
                    yield node.lineno, module


def layer(module: str) -> str:
    """The layer of a module, from its name without "datastore."."""
    return module.partition(".")[0]


def against_the_order(source: str, file: str) -> list[str]:
    """The imports of a module that go up, sideways, or from one repository to another."""
    parts = list(Path(file).with_suffix("").parts)
    package, name = parts[:-1], parts[1:]
    own = "" if name == ["__init__"] else layer(".".join(name))
    if own not in RANK:
        return [f"{file}: {own!r} has no place in LAYERS yet; give it one"]
    wrong = []
    for line, imported in imports(ast.parse(source), package):
        _, _, inner = imported.partition(".")
        other = layer(inner)
        if other != own and RANK.get(other, len(LAYERS)) >= RANK[own]:
            wrong.append(f"{file}:{line}: {own or 'datastore'} imports {imported}")
        target = inner.partition(".")[2].partition(".")[0]
        is_other = target in REPOSITORIES - {name[-1]} or target.endswith("Repository")
        if own == other == "repositories" and name[-1] != "__init__" and is_other:
            wrong.append(f"{file}:{line}: a repository imports {imported}")
    return wrong


def test_no_sql_in_the_package() -> None:
    found = [place for path in modules() for place in sql_in(path.read_text(), str(path.relative_to(ROOT)))]
    assert not found, "SQL belongs into sql/: \n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        'x = "SELECT 1"',
        'x = "select id from messages where id = 1"',
        'x = """\n    -- why\n    UPDATE messages SET id = 1"""',
        'x = f"DELETE FROM {table}"',
        'x = f"update {table} set a = 1"',
        'x = ("INSERT " "INTO a VALUES (1)")',
        'def f():\n    """Text."""\n    return b"insert or ignore into a values (1)"',
        'x = {"a": ["create unique index a on b (c)"]}',
        'x = "WITH a AS (SELECT 1) SELECT * FROM a"',
        'x = "with recursive a (b) as (select 1) select b from a"',
        'x = "DROP TABLE a"',
        'x = "ALTER TABLE a RENAME TO b"',
        'x = "PRAGMA user_version"',
        'x = "BEGIN IMMEDIATE"',
        'x = "COMMIT"',
        'x = f"SAVEPOINT s{depth}"',
        'x = "ROLLBACK TO a"',
        'x = "RELEASE a"',
        'x = f"EXPLAIN QUERY PLAN {sql}"',
    ],
)
def test_planted_sql_is_caught(source: str) -> None:
    assert sql_in(source, "datastore/store.py")


@pytest.mark.parametrize(
    "source",
    [
        '"""SELECT in a docstring."""',
        'x = "update or delete a conversation"',
        'x = "with a name"',
        'x = "create the database first"',
        'x = "commit"',
        'x = "delete"',
    ],
)
def test_prose_is_no_sql(source: str) -> None:
    assert not sql_in(source, "datastore/store.py")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_may_begin_and_commit_but_has_no_other_sql(engine: str) -> None:
    assert not sql_in('x = "BEGIN IMMEDIATE"\ny = f"PRAGMA {name}"\nz = f"EXPLAIN {sql}"', engine)
    assert sql_in('x = "SELECT 1"', engine)
    assert (ROOT / engine).is_file()


def test_what_checks_sql_names_it_and_runs_it_from_files() -> None:
    file = f"{CHECKS}plans.py"
    assert not sql_in('VERBS = {"SELECT"}\nhint = f"CREATE INDEX {name}"\nconnection.execute(statement.sql)', file)
    for call in ('execute("SELECT 1")', 'execute(f"SELECT {name}")', 'executescript("DROP TABLE " + name)'):
        assert sql_in(f"connection.{call}", file)


def test_imports_go_one_way() -> None:
    found = [place for path in modules() for place in against_the_order(path.read_text(), str(path.relative_to(ROOT)))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("datastore/errors.py", "import datastore.values"),
        ("datastore/records/messages.py", "from datastore.statements.loader import bind"),
        ("datastore/engines/sqlite/engine.py", "from datastore.store import Datastore"),
        ("datastore/engines/sqlite/engine.py", "from datastore import Datastore"),
        ("datastore/engines/sqlite/engine.py", "def f():\n    from ...store import Datastore"),
        ("datastore/repositories/messages.py", "from datastore.repositories.learnings import LearningRepository"),
        ("datastore/repositories/messages.py", "from .learnings import LearningRepository"),
        ("datastore/repositories/messages.py", "from datastore.repositories import LearningRepository"),
        ("datastore/engines/sqlite/engine.py", "from datastore.migrations.sqlite import DatastoreBackend"),
        ("datastore/repositories/messages.py", "import datastore.migrations"),
        ("datastore/repositories/base.py", "import datastore.repositories.messages"),
        ("datastore/formats/chat.py", "import datastore.store"),
        ("datastore/store.py", "if TYPE_CHECKING:\n    import datastore.cli"),
        ("datastore/novelty.py", ""),
    ],
)
def test_a_planted_import_against_the_order_is_caught(file: str, source: str) -> None:
    assert against_the_order(source, file)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("datastore/repositories/messages.py", "from datastore.repositories.base import Repository"),
        ("datastore/repositories/messages.py", "from .base import Repository\nfrom datastore import errors"),
        ("datastore/repositories/job_queue.py", "from datastore.repositories.backoff import retry_delay"),
        ("datastore/repositories/__init__.py", "from datastore.repositories.messages import MessageRepository"),
        ("datastore/records/messages.py", "from datastore.records.pages import Page"),
        (
            "datastore/migrations/sqlite.py",
            "from datastore import migrations\nfrom datastore.engines.sqlite import gate",
        ),
        ("datastore/cli/main.py", "from datastore import Datastore\nfrom datastore.store import Datastore"),
    ],
)
def test_an_import_in_the_order_passes(file: str, source: str) -> None:
    assert not against_the_order(source, file)


def graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which modules each module imports, those under TYPE_CHECKING and inside functions too."""

    def module(name: str) -> str:
        while name and name not in sources:
            name = name.rpartition(".")[0]
        return name

    found: dict[str, set[str]] = {name: set() for name in sources}
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[name] |= {module(f"{node.module}.{alias.name}") for alias in node.names}
            elif isinstance(node, ast.Import):
                found[name] |= {module(alias.name) for alias in node.names}
        found[name] -= {"", name}
    return found


def circles(imported: dict[str, set[str]]) -> list[str]:
    """The modules that import themselves through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            new = imported[left.pop()] - seen
            seen |= new
            left += new
        return seen

    return sorted(name for name in imported if name in reached(name))


def test_no_module_imports_itself_through_others() -> None:
    sources = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
        for path in modules()
    }
    assert not circles(graph(sources))


@pytest.mark.parametrize("source", ["import datastore.a", "if TYPE_CHECKING:\n    from datastore.a import A"])
def test_a_planted_circle_is_caught(source: str) -> None:
    sources = {
        "datastore.a": "from datastore import b",
        "datastore.b": f"def f():\n    from datastore import c\n{source}",
    }
    assert circles(graph(sources | {"datastore.c": ""})) == ["datastore.a", "datastore.b"]


@pytest.mark.parametrize(
    ("statement", "third_party"),
    [
        ("import datastore", set()),
        ("from datastore import Datastore", set()),
        ("from datastore import Conversation, BusyError, Page", {"attr", "attrs"}),
        ("from datastore import *", {"attr", "attrs", "aiosql"}),
    ],
)
def test_import_loads_other_packages_when_they_are_needed(statement: str, third_party: set[str]) -> None:
    program = (
        f"import sys, json; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(ran.stdout))
    assert "datastore" in loaded
    assert loaded - sys.stdlib_module_names - {"datastore"} == third_party


def test_every_name_and_module_of_the_package_is_there_when_it_is_asked_for() -> None:
    import datastore

    assert set(datastore.__all__) <= set(dir(datastore))
    for name in dir(datastore):
        assert getattr(datastore, name) is not None
    assert datastore.errors.DatastoreError is datastore.DatastoreError
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = datastore.nothing


def test_the_modules_are_there_without_an_import_of_their_own() -> None:
    """In a process of its own: here they are loaded already."""
    names = ("engines", "errors", "migrations", "records", "resources", "store", "values", "worker")
    program = f"import datastore; print(*(getattr(datastore, name).__name__ for name in {names}))"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.split() == [f"datastore.{name}" for name in names]
