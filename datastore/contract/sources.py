"""The statements of a project, each with its place in its file; a file that breaks a rule is read on."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import attrs

from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.text import Token, did_you_mean, parameters, tokens
from datastore.errors import StatementError
from datastore.statements.headers import LABELS, PARAMETER_TYPES, check_name
from datastore.statements.loader import Statement, read_file, read_sql

_name_line = re.compile(r"--\s*name\s*:\s*(?P<name>[\w-]+)[\^$!*<#]*(?:\((?P<parameters>[^)]*)\))?")
_where = re.compile(r"^\S+?:(?:\d+:)? (?:statement \w+: )?")


@attrs.define(slots=False)
class Source:
    """One statement as its file has it."""

    name: str
    #: Relative to the project's folder.
    file: str
    #: The line of its ``name:`` comment, from 1.
    line: int
    #: Its lines, from the ``name:`` comment to the next one.
    lines: list[str]
    #: ``None`` where the loader refused it.
    statement: Statement | None = None
    #: The rule by which it refused it.
    refused: str = ""

    def place(self, line: int, column: int, length: int) -> Place:
        """A place in it; *line* counts from its ``name:`` comment, 0."""
        text = self.lines[line]
        length = max(1, min(length, len(text) - column + 1))
        return Place(self.file, self.line + line, column, length, text, self.name)

    @property
    def name_place(self) -> Place:
        found = _name_line.match(self.lines[0])
        assert found
        return self.place(0, found.start("name") + 1, len(self.name))

    def header_place(self, word: str, line: int = 0) -> Place | None:
        """The first place of a word in its header, from *line* on."""
        for number, text in enumerate(self.header[line:], line):
            if found := re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
                return self.place(number, found.start() + 1, len(word))
        return None

    def label_place(self, label: str, word: str = "") -> Place:
        """The text of a label, or a word in it; its name where it has no such label."""
        start = len(f"-- {label}: ")
        for number, text in enumerate(self.header):
            if text.startswith(f"-- {label}: "):
                place = self.header_place(word, number) if word else None
                return place or self.place(number, start + 1, len(text.rstrip()) - start)
        return self.name_place

    @cached_property
    def header(self) -> list[str]:
        """The comment lines at its top."""
        return list(itertools.takewhile(lambda text: text.startswith("--"), self.lines))

    @cached_property
    def body(self) -> str:
        """Its SQL as the file has it."""
        return "\n".join(self.lines[len(self.header) :])

    def at(self, start: int, length: int) -> Place:
        """A place in `body`, by offset."""
        row, begun = self.body.count("\n", 0, start), self.body.rfind("\n", 0, start) + 1
        return self.place(len(self.header) + row, start - begun + 1, length)

    def at_token(self, token: Token) -> Place:
        return self.at(token.start, token.end - token.start)


@attrs.frozen
class Variant:
    """One text that a statement stands for: with some of its optional lines."""

    source: Source
    #: Which optional parameters are given.
    given: frozenset[str]
    sql: str

    @property
    def name(self) -> str:
        return f"{self.source.name}{f' [{self.which}]' if self.given else ''}"

    @property
    def which(self) -> str:
        return ", ".join(sorted(self.given))


def variants(source: Source) -> list[Variant]:
    """Every text that a statement stands for; what the loader refused is taken as the file has it."""
    if source.statement is None:
        return [Variant(source, frozenset(), source.body)]
    return [Variant(source, given, sql) for given, sql in source.statement.variants()]


def read_sources(project: Project) -> tuple[list[Source], list[Problem]]:
    """Every statement of a project, and what is wrong with the files."""
    sources: list[Source] = []
    problems: list[Problem] = []
    folder = project.statements_folder
    before: dict[str, Source] = {}
    for path in [*sorted(folder.glob("*.sql")), *sorted((folder / project.engine).glob("*.sql"))]:
        for source in _read_file(project, path, problems):
            if first := before.get(source.name):
                message = f'"{source.name}" is already defined in {first.file}:{first.line}'
                hint = "define a name once, in the folder or in each engine's; aiosql would let the last one win"
                problems.append(Problem("duplicate-name", source.name_place, message, hint))
            before.setdefault(source.name, source)
            sources.append(source)
    if not sources and not problems:
        place = Place(file=project.show(folder))
        problems.append(Problem("configuration", place, "there is no statement in this folder"))
    return sources, problems


def _read_file(project: Project, path: Path, problems: list[Problem]) -> list[Source]:
    shown = project.show(path)
    file = path.relative_to(project.statements_folder).as_posix()
    try:
        check_name(path.stem, "file name", shown)
        text = read_sql(path, shown)
        sources = list(split(text, shown))
        if not sources:
            list(read_file(path, shown))  # SQL without a name
            raise StatementError(f"{shown}: there is no statement in this file")
    except StatementError as error:
        problems.append(of_file(path, shown, str(error)))
        return []
    try:
        statements = list(read_file(path, file))
    except StatementError:
        # One by one, so that one mistake does not hide the others.
        for source in sources:
            read_alone(source, file, problems)
        return sources
    for source, statement in zip(sources, statements, strict=True):
        source.statement = statement
    return sources


def of_file(path: Path, shown: str, message: str) -> Problem:
    """What is wrong with a file as a whole, or with one line of it: *message* begins ``shown:`` or ``shown:line:``."""
    where, line = re.match(r"(?:[^:]*:(?:(\d+):)? )?", message), ""
    number = int(where[1]) if where and where[1] else 0
    if number:
        line = path.read_bytes().decode("utf-8", errors="replace").split("\n")[number - 1].rstrip("\r")
    message, _, hint = message[where.end() if where else 0 :].partition("; ")
    return Problem("file", Place(shown, number, 1, max(1, len(line)), line), message, hint or None)


def split(text: str, file: str) -> Iterator[Source]:
    # Not splitlines(): that ends a line at U+2028 too, which is a character of a text like any other.
    lines = text.split("\n")
    starts = [(number, found["name"]) for number, line in enumerate(lines) if (found := _name_line.match(line))]
    for (start, name), (end, _) in itertools.pairwise([*starts, (len(lines), "")]):
        yield Source(name.replace("-", "_"), file, start + 1, lines[start:end])


def read_alone(source: Source, file: str, problems: list[Problem]) -> None:
    """Have the loader read one statement by itself; *file* is its name in messages."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "alone.sql"
        path.write_text("\n".join([*[""] * (source.line - 1), *source.lines]), encoding="utf-8")
        try:
            (source.statement,) = read_file(path, file)
        except StatementError as error:
            found = _why(source, _where.sub("", str(error)))
            source.refused = found[0].rule
            problems += found


def _why(source: Source, message: str) -> list[Problem]:
    if odd := re.match(r"U\+([0-9A-F]+)", message):
        message, _, hint = message.partition("; ")
        at = source.body.find(chr(int(odd[1], 16)))
        return [Problem("header", source.at(at, 1) if at >= 0 else source.name_place, message, hint)]
    if "no SQL below" in message:
        return [_refused(source, message)]
    if place := _comment_place(source):
        hint = "put it above the SQL, on a line of its own: aiosql looks for parameters in it"
        message = "a comment is after or inside the SQL"
        return [Problem("comment", place, message, hint)]
    # Parameters that disagree are told by name, each at its place.
    return _parameters(source) or [_refused(source, message)]


def _parameters(source: Source) -> list[Problem]:
    """Where the ``name:`` line, the header's lines and the SQL have different parameters."""
    lines = (re.match(r"--   (\w+) +\w+\?? {2,}\S", line) for line in source.header)
    described = {found[1]: number for number, found in enumerate(lines) if found}
    used = parameters(source.body)
    found = _name_line.match(source.lines[0])
    declared = [part.strip() for part in (found["parameters"] or "").split(",") if part.strip()] if found else []
    out: list[tuple[Place, str, str | None]] = []
    for name in (name for name in used if name not in declared):
        hint = did_you_mean(name, set(declared) - set(used)) or "name it in the parentheses of the name line"
        message = f'the SQL uses ":{name}", which the name line does not declare'
        out.append((source.at_token(used[name]), message, hint))
    others = [token for token in tokens(source.body) if token.kind == "other"]
    if others and {*declared} - {*used}:
        return [odd_parameter(source, others[0])]
    for name in declared:
        place = source.header_place(name) or source.name_place
        if name not in used:
            out.append((place, f'parameter "{name}" is declared, and the SQL does not use it', None))
        elif name not in described:
            added = f'add the line "--   {name}  text  what it is"'
            hint = did_you_mean(name, set(described) - set(declared)) or added
            out.append((place, f'parameter "{name}" has no line in the header', hint))
    for name in (name for name in described if name not in declared):
        place = source.place(described[name], source.lines[described[name]].index(name) + 1, len(name))
        message = f'the header describes "{name}", which the name line does not declare'
        out.append((place, message, did_you_mean(name, set(declared) - set(described))))
    return [Problem("parameters", place, message, hint) for place, message, hint in out]


def odd_parameter(source: Source, token: Token) -> Problem:
    message = f'"{token.text}" is a parameter that no call can give'
    return Problem("parameters", source.at_token(token), message, "parameters are written :name")


#: What the loader's messages are about, by a part of them; all others are about the header.
_ABOUT = {
    "operators <!": "operator",
    "returns no rows": "operator",
    "returns rows, which !": "operator",
    "more than one statement": "many-statements",
}


def _refused(source: Source, message: str) -> Problem:
    rule = next((rule for part, rule in _ABOUT.items() if part in message), "header")
    words = reversed(re.findall(r"'([^']+)'", message.partition("; known")[0]))
    places = (source.header_place(word.strip()) for word in words)
    hint = None
    if missing := re.search(r"no '(\w+)' line", message):
        example = {"Index": "the index that the plan uses, or: none (why)", "Rows": "0 to max_rows"}
        hint = f'add the line "-- {missing[1]}: {example.get(missing[1], "...")}"'
    elif unknown := re.search(r"header line '(\w+)'", message):
        hint = did_you_mean(unknown[1], LABELS)
    elif kind := re.search(r"has type '(\w+)'", message):
        hint = did_you_mean(kind[1], PARAMETER_TYPES)
    return Problem(rule, next(filter(None, places), source.name_place), message, hint)


def _comment_place(source: Source) -> Place | None:
    for number, text in enumerate(source.lines[len(source.header) :], len(source.header)):
        bare = re.sub(r"'(?:''|[^'])*'", lambda found: "x" * len(found[0]), text)
        found = re.search(r"--(?! if: ).*|/\*.*", bare)
        if found and not text.lstrip().startswith("--"):
            return source.place(number, found.start() + 1, len(found[0]))
    return None
