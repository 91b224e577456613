"""Where a project keeps its statements and migrations: the table ``[tool.datastore]`` of its pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs

from datastore.contract.text import did_you_mean
from datastore.errors import ProjectError
from datastore.resources import migrations_folder
from datastore.values import JsonObject

FILE = "pyproject.toml"
ENGINES = ("sqlite",)

#: In the list of migrations: the steps of this library, which the project's own come after.
LIBRARY = "datastore"


@attrs.frozen(kw_only=True)
class Project:
    """One project's folders. Paths are relative to *root*; what is not given is this library's own layout."""

    root: Path
    #: Which engine the statements are checked on.
    engine: str = "sqlite"
    #: Folder of the statements: its .sql files, and those of its subfolder *engine*.
    statements: str = "sql"
    #: Folders of the migrations, in the order of their steps; "datastore" is this library's own.
    migrations: tuple[str, ...] = ("migrations/sqlite",)
    #: The same for PostgreSQL (`datastore check --server`); "datastore" is this library's own.
    server_migrations: tuple[str, ...] = ("migrations/postgresql",)
    #: Where `datastore generate` writes.
    output: str = "datastore/statements/typed"
    #: Whether `datastore generate` also writes the Protocols of statements that are awaited, for `AsyncDatastore.bind`.
    asynchronous: bool = False
    #: The module that the names in ``Record:`` lines are looked up in.
    records: str = "datastore.records"
    #: The folder (a package) whose code calls the statements.
    repositories: str = "datastore"
    #: Folder of the plan snapshots.
    plans: str = "tests/plans"
    #: The file that `datastore generate` keeps what each statement takes and gives in.
    lock: str = "sql/contract.lock.json"
    #: Where `datastore catalog` writes schema.md, statements/ and catalog/index.html.
    catalog: str = "docs"
    #: The file of measured times that the catalogue shows where it is there (perf/statement_times.py writes this one).
    times: str = "perf/results/statement-times.json"
    #: A git ref, or a pattern of tags of which the newest counts ("v*"); "" for none.
    release: str = ""
    #: "rule subject" to the reason why it may be broken there.
    allow: Mapping[str, str] = attrs.field(factory=dict)
    #: Table to what the catalogue says of it in addition to the migrations' comments (`code` in backticks).
    notes: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def statements_folder(self) -> Path:
        return self.root / self.statements

    @property
    def own_migrations(self) -> list[Path]:
        return [self.root / name for name in self.migrations if not self._is_library(name)]

    @property
    def locked_folders(self) -> list[Path]:
        """The project's own folders of both engines, whose steps have checksums."""
        names = [*self.migrations, *self.server_migrations]
        return [self.root / name for name in names if not self._is_library(name) and (self.root / name).is_dir()]

    @property
    def migration_folders(self) -> list[Path]:
        """Every folder of migrations, this library's too where the project builds on it."""
        return [migrations_folder() if self._is_library(name) else self.root / name for name in self.migrations]

    @property
    def own_server_migrations(self) -> list[Path]:
        return [self.root / name for name in self.server_migrations if not self._is_library(name)]

    @property
    def server_migration_folders(self) -> list[Path]:
        library = migrations_folder("postgresql")
        return [library if self._is_library(name) else self.root / name for name in self.server_migrations]

    def _is_library(self, name: str) -> bool:
        return name == LIBRARY and not list((self.root / name).glob("*.sql"))

    def show(self, path: Path) -> str:
        """A path as messages name it: relative to the project's folder where it lies in it."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


_TABLES = {"allow": '"rule subject" = "reason"', "notes": 'table = "what to say of it"'}
_SETTINGS = {field.name for field in attrs.fields(Project)} - {"root"}


def find_project(start: Path) -> Project:
    """The project whose folder is *start* or the nearest one above it that has ``[tool.datastore]``.

    Raises:
        ProjectError: There is none, or its table is wrong: an unknown setting, a folder that is not there.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / FILE
        if not path.is_file():
            continue
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ProjectError(f"{path}: {error}") from error
        table = document.get("tool", {}).get("datastore")
        if table is not None:
            return _read(folder, table)
    raise ProjectError(
        f"no {FILE} with a table [tool.datastore] in {start} or above it; add one that names the folders, for example:"
        ' statements = "sql", migrations = "migrations"'
    )


def _read(root: Path, table: object) -> Project:
    where = f"{root / FILE}: [tool.datastore]"
    if not isinstance(table, dict):
        raise ProjectError(f"{where} is no table")
    for name in table:
        if name not in _SETTINGS:
            hint = did_you_mean(name, _SETTINGS) or f"known are {', '.join(sorted(_SETTINGS))}"
            raise ProjectError(f'{where}: unknown setting "{name}"; {hint}')
    values = _checked(table, where)
    project = Project(root=root, **values)
    if project.engine not in ENGINES:
        raise ProjectError(f'{where}: engine "{project.engine}" is not known; known are {", ".join(ENGINES)}')
    if not project.migrations:
        raise ProjectError(f"{where}: migrations names no folder")
    folders = [("statements", project.statements_folder), *(("migrations", one) for one in project.migration_folders)]
    for name, folder in folders:
        if not folder.is_dir():
            raise ProjectError(f"{where}: {name}: there is no folder {folder}")
    return project


def _checked(table: Mapping[str, object], where: str) -> JsonObject:
    values: JsonObject = dict(table)
    for name, shape in _TABLES.items():
        texts = values.get(name, {})
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise ProjectError(f"{where}: {name} is a table of {shape}")
    if not isinstance(values.get("asynchronous", False), bool):
        raise ProjectError(f"{where}: asynchronous is true or false")
    for name in {*values} - {*_TABLES, "asynchronous"}:
        is_list = name in ("migrations", "server_migrations")
        texts = values[name] if is_list and isinstance(values[name], list) else [values[name]]
        if not all(isinstance(text, str) for text in texts):
            raise ProjectError(f"{where}: {name} is a text{', or a list of them' * is_list}")
        values[name] = tuple(texts) if is_list else values[name]
    return values
