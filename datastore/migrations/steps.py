"""The files of migration steps: list them, and check them before any of them runs.

A step is ``NAME.sql`` (or ``NAME.py``) with its ``NAME.rollback.sql``; its name is its id. All problems with the files are found
here, before anything is created.
"""

from __future__ import annotations

import difflib
import graphlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datastore.errors import InvalidValueError, RollbackRefusedError, StatementError

if TYPE_CHECKING:
    from yoyo.migrations import Migration

ROLLBACK = ".rollback.sql"

#: The names of this library's steps; those of an application begin with a word.
_library_id = re.compile(r"\d{4}\.")

#: Statements that begin with one of these words end a transaction or begin another.
_CONTROL = frozenset({"abort", "begin", "commit", "end", "release", "rollback", "savepoint", "start"})
#: Objects that may have a body of statements, from "begin" to an "end" that follows a semicolon.
_WITH_BODY = frozenset({"trigger", "function", "procedure"})

#: Comments, strings, quoted names and dollar quotes (which are skipped), words, and the end of a statement.
_tokens = re.compile(
    r"""--[^\n]* | /\*.*?(?:\*/|\Z)
    | \b[eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | `(?:``|[^`])*` | \[[A-Za-z_][^\]]*\]
    | \$\$.*?(?:\$\$|\Z) | \$(?P<tag>[A-Za-z_]\w*)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?P<word>[^\W\d]\w*) | (?P<end>;)""",
    re.VERBOSE | re.DOTALL,
)


def step_files(folder: Path) -> list[Path]:
    """The steps of *folder*, without their rollbacks, in the order of their ids."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix in (".sql", ".py")
        and not path.name.endswith(ROLLBACK)
        and not path.name.startswith("post-apply")
    ]
    return sorted(found, key=lambda path: path.stem)


def is_library_id(name: str) -> bool:
    """Whether a step is named like this library's own: ``0007.name``."""
    return _library_id.match(name) is not None


def own_folders(given: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The folders of an application's own steps, each checked to have some.

    Raises:
        InvalidValueError: *given* is not a list of folders; or a folder is missing, is a file, or has no step of an application.
    """
    if isinstance(given, str | bytes | os.PathLike):
        raise InvalidValueError(f"migrations must be a list of folders: [{given!r}], not {given!r}")
    try:
        folders = [Path(folder).expanduser() for folder in given]
    except (TypeError, RuntimeError) as error:
        raise InvalidValueError(f"migrations must be a list of folders, each a path: {error}") from error
    check_folders(folders)
    for folder in folders:
        for path in step_files(folder):
            if is_library_id(path.stem):
                raise InvalidValueError(
                    f"{path} is named like a step of this library; begin the names of your own steps with a word:"
                    f" app-{path.name}"
                )
    return folders


def check_folders(folders: Sequence[Path]) -> None:
    """Refuse folders that have no steps, or the same step twice.

    Raises:
        InvalidValueError: A folder is missing, is a file, or has no steps.
        StatementError: Two files have the same id.
    """
    seen: dict[str, Path] = {}
    for folder in folders:
        if not folder.exists():
            raise InvalidValueError(f"there is no folder {folder.absolute()} with migrations; give one that exists")
        if not folder.is_dir():
            raise InvalidValueError(f"{folder.absolute()} is a file; give the folder of the migrations that it is in")
        steps = step_files(folder)
        if not steps:
            inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and step_files(path))
            hint = f"; give a folder inside it: {', '.join(inner)}" if inner else ""
            raise InvalidValueError(f"{folder.absolute()} has no migrations (NAME.sql and NAME{ROLLBACK}){hint}")
        for path in steps:
            if before := seen.get(path.stem):
                raise StatementError(f"migration {path.stem} exists twice, {before} and {path}; rename one")
            seen[path.stem] = path


def check_steps(steps: Iterable[Migration], *, complete: bool) -> None:
    """Refuse steps that cannot be run one after the other, each as a whole.

    Args:
        steps: yoyo's migrations; this function loads them.
        complete: Whether these are all steps; then every dependency must be one of them.

    Raises:
        StatementError: A step cannot be read, depends on a missing one or on itself, or begins or ends a transaction.
    """
    graph = {}
    for step in steps:
        load(step)
        graph[step.id] = {other.id for other in step.depends}
    for name, others in graph.items():
        for other in sorted(others - set(graph)) if complete else ():
            raise _unknown(name, other, graph)
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        raise StatementError(
            f"these migrations depend on each other in a circle: {' -> '.join(error.args[1])}; correct their depends lines"
        ) from error
    for step in steps:
        for file, text in _texts(step):
            for word in transaction_control(text):
                raise StatementError(
                    f"migration {file} has {word} in it: a step is already one transaction, or none with"
                    ' "-- transactional: false"; remove it'
                )


def check_rollbacks(steps: Iterable[Migration]) -> None:
    """Refuse to roll back steps of which one has nothing that undoes it: yoyo would only forget that it was applied.

    Raises:
        RollbackRefusedError: A step has no rollback; nothing was rolled back.
    """
    for step in steps:
        load(step)
        if step.is_raw_sql():
            undone = _rollback_file(step).is_file()
        else:
            undone = all(rollback is not None for _, rollback in _parts(step))
        if not undone:
            raise RollbackRefusedError(
                f"migration {step.id} has no rollback, so it would only be marked as not applied; nothing was rolled back."
                f" Write {step.id}{ROLLBACK}"
            )


def find_loss(step: Migration) -> str:
    """The line of a rollback file that says which data it loses; "" if it loses none."""
    path = _rollback_file(step)
    if not step.is_raw_sql() or not path.is_file():
        return ""
    first = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("- ").strip()
    return first if first.startswith("LOSES DATA") else ""


def _rollback_file(step: Migration) -> Path:
    return Path(step.path).with_name(f"{step.id}{ROLLBACK}")


def load(step: Migration) -> None:
    """Make yoyo read the text of a step.

    Raises:
        StatementError: It cannot be read.
    """
    from yoyo.exceptions import BadMigration

    name = Path(step.path).name
    try:
        step.load()
    except UnicodeDecodeError as error:
        raise StatementError(f"migration {name} is not UTF-8: {error.reason} at byte {error.start}") from error
    except KeyError as error:
        raise StatementError(f'migration {name}: write "-- transactional: false" or no such line') from error
    except (BadMigration, SyntaxError) as error:
        if step.is_raw_sql():
            raise _unknown(step.id, _missing(step), known_ids()) from error
        raise StatementError(f"migration {name} cannot be loaded: {error}") from error


def known_ids() -> set[str]:
    """The ids of all steps read in this process: yoyo keeps them in one dictionary."""
    from yoyo.migrations import Migration

    return set(Migration._Migration__all_migrations)


def _missing(step: Migration) -> str:
    """A dependency of a step that was never read."""
    from yoyo.migrations import read_sql_migration

    directives, _, _ = read_sql_migration(step.path)
    return next((name for name in directives.get("depends", "").split() if name not in known_ids()), "an unknown step")


def _unknown(step: str, other: str, known: Iterable[str]) -> StatementError:
    close = difflib.get_close_matches(other, [name for name in known if name != step], 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return StatementError(
        f"migration {step} depends on {other}, which is in none of the folders{meant};"
        " correct its depends line, or also give the folder that has it"
    )


def _texts(step: Migration) -> Iterator[tuple[str, str]]:
    """The SQL of a step and of its rollback, each with the name of its file."""
    path = Path(step.path)
    if step.is_raw_sql():
        for file in (path, _rollback_file(step)):
            if file.is_file():
                yield file.name, file.read_text(encoding="utf-8")
        return
    for texts in _parts(step):
        yield from ((path.name, text) for text in texts if isinstance(text, str))


def _parts(step: Migration) -> Iterator[tuple[object, object]]:
    """What each part of a step in Python applies and what it rolls back: SQL, a function, or None."""
    waiting = list(step.steps)
    while waiting:
        part = waiting.pop(0)
        waiting += [part.step] if hasattr(part, "step") else list(getattr(part, "steps", ()))
        if hasattr(part, "_apply"):
            yield part._apply, part._rollback


def transaction_control(text: str) -> Iterator[str]:
    """The words in a script that begin or end a transaction or a savepoint, except those inside triggers and functions."""
    statement: list[str] = []  # the words of the statement so far
    body, last = False, ""
    for match in _tokens.finditer(text):
        if match["end"]:
            if not body:
                statement = []
            last = ";"
        elif match["word"]:
            word = match["word"].lower()
            if not statement and (word in _CONTROL or (word == "prepare" and _says_transaction(text, match.end()))):
                yield word.upper()
            if statement[:1] == ["create"] and _WITH_BODY & set(statement):
                if word == "begin":
                    body = True
                elif word == "end" and last in (";", "begin", "atomic"):
                    body = False
            statement.append(word)
            last = word


def _says_transaction(text: str, place: int) -> bool:
    return re.match(r"\s+TRANSACTION\b", text[place:], re.IGNORECASE) is not None
