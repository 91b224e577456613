"""The last release: its statements must prepare on the new schema, its migrations must not have changed.

While a new version rolls out, or when it is taken back, the old one runs on the new schema. What a file was at a git
ref is read by git itself.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.contract.schema import Schema
from datastore.contract.sources import Source, read_alone, split, variants
from datastore.contract.text import normal
from datastore.engines.sqlite import explain as sqlite_explain
from datastore.errors import ProjectError
from datastore.migrations import checksums
from datastore.migrations.steps import step_files


def run(root: Path, *arguments: str) -> bytes:
    """The output of ``git ARGUMENTS`` in the project's folder.

    Raises:
        ProjectError: git is not installed, this is no repository, or git refused.
    """
    program = shutil.which("git")
    if program is None:
        raise ProjectError("git is not installed; the check of the last release needs it")
    # git itself, with arguments of this module and a ref that --end-of-options keeps from being an option.
    done = subprocess.run([program, "-C", str(root), *arguments], capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ProjectError(f"git {arguments[0]} in {root}: {words[0] if words else f'exit code {done.returncode}'}")
    return done.stdout


def is_repository(root: Path) -> bool:
    """Whether git knows a commit of the folder: an unpacked source archive has no history."""
    try:
        run(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except ProjectError:
        return False
    return True


def resolve(root: Path, release: str) -> str:
    """The ref that *release* means: itself, or the newest tag before HEAD that matches a pattern; "" where none does.

    Raises:
        ProjectError: There is no such ref.
    """
    if not any(character in release for character in "*?["):
        try:
            run(root, "rev-parse", "--verify", "--end-of-options", f"{release}^{{commit}}")
        except ProjectError as error:
            raise ProjectError(f'the release "{release}" cannot be read: {error}') from error
        return release
    if not is_repository(root):
        return ""
    tags = run(root, "tag", "--list", release, "--merged", "HEAD", "--sort=-creatordate").decode().split()
    return tags[0] if tags else ""


def file_at(root: Path, ref: str, file: str) -> str | None:
    """A file of the project as it was at a ref; None where it was not there."""
    return files_at(root, ref, file).get(".")


def files_at(root: Path, ref: str, folder: str) -> dict[str, str]:
    """The files below a folder of the project at a ref, by path in the folder; empty where it was not there."""
    path = f"{run(root, 'rev-parse', '--show-prefix').decode().strip()}{folder}".rstrip("/")
    top = Path(run(root, "rev-parse", "--show-toplevel").decode().strip())
    if not run(top, "ls-tree", ref, "--", path):
        return {}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(run(top, "archive", "--format=tar", ref, "--", path))) as archive:
        for member in archive:
            if content := archive.extractfile(member) if member.isfile() else None:
                name = Path(member.name).relative_to(path).as_posix()
                found[name] = content.read().decode("utf-8", errors="replace").replace("\r\n", "\n")
    return found


def check_released(project: Project, ref: str, schema: Schema, now: list[Source]) -> Iterator[Problem]:
    same = {normal(source.body) for source in now}
    current = {source.name: source for source in now}
    for name, text in sorted(files_at(project.root, ref, project.statements).items()):
        if not name.endswith(".sql") or ("/" in name and not name.startswith(f"{project.engine}/")):
            continue
        for source in split(text, f"{project.statements}/{name}"):
            if normal(source.body) in same:
                continue  # checked as a statement of today
            yield from _prepares(source, ref, schema, current.get(source.name))


def _prepares(source: Source, ref: str, schema: Schema, today: Source | None) -> Iterator[Problem]:
    # With its optional lines, if today's loader still reads it; what it has against the header is no news here.
    read_alone(source, source.file, [])
    try:
        for variant in variants(source):
            sqlite_explain.prepare(schema.connection, variant.sql)
    except sqlite3.Error as error:
        place = today.name_place if today else Place(file=source.file, statement=source.name)
        message = f'"{source.name}" as it was in {ref} does not prepare on the new schema: {error}'
        hint = "keep what the last release reads for one release more, then take it away"
        notes = tuple(f"{ref}:{source.file}:{number}: {line}" for number, line in _sql_lines(source, str(error)))
        yield Problem("released", place, message, hint, notes, subject=source.name)


def _sql_lines(source: Source, message: str) -> list[tuple[int, str]]:
    """The lines of the old text that the message may be about."""
    word = message.split()[-1].strip('":').rpartition(".")[2]
    first = len(source.header)
    lines = [(source.line + first + number, line) for number, line in enumerate(source.lines[first:]) if line.strip()]
    return [(number, line) for number, line in lines if word and word in line][:1] or lines[:1]


def check_migrations_released(project: Project, ref: str) -> Iterator[Problem]:
    """The steps at *ref* whose text is another now, or that are gone."""
    for folder in project.locked_folders:
        for name, text in sorted(files_at(project.root, ref, project.show(folder)).items()):
            path = folder / name
            shown = project.show(path)
            hint = f"git checkout {ref} -- {shown}   and write a new step"
            if path.suffix == ".sql" and not path.is_file():
                message = f"this step was released in {ref} and is gone"
                yield Problem("migration-changed", Place(file=shown), message, hint)
            elif path.suffix == ".sql" and path.read_text(encoding="utf-8", errors="replace") != text:
                message = f"this step was released in {ref} and has changed"
                yield Problem("migration-changed", _first_difference(shown, path, text), message, hint)


def _first_difference(shown: str, path: Path, text: str) -> Place:
    lines, before = path.read_text(encoding="utf-8", errors="replace").splitlines(), text.splitlines()
    for number, line in enumerate(lines):
        if before[number : number + 1] != [line]:
            column = len(line) - len(line.lstrip()) + 1 if line.strip() else 1
            return Place(shown, number + 1, column, max(1, len(line.strip())), line)
    return Place(file=shown)


def check_same_steps(project: Project) -> Iterator[Problem]:
    """Steps that one engine has and the other lacks."""
    ours, theirs = (_own_steps(folders) for folders in (project.own_migrations, project.own_server_migrations))
    if not ours or not theirs:
        return
    for name in sorted({*ours} ^ {*theirs}):
        path = ours.get(name) or theirs[name]
        folders = project.own_server_migrations if name in ours else project.own_migrations
        message = f"this step is only for {'SQLite' if name in ours else 'PostgreSQL'}"
        hint = f"write {project.show(folders[-1])}/{name}.sql; if there is nothing to do, a comment says why"
        yield Problem("engines", Place(project.show(path)), message, hint, subject=name)


def _own_steps(folders: Sequence[Path]) -> dict[str, Path]:
    return {path.stem: path for folder in folders if folder.is_dir() for path in step_files(folder)}


def check_lock(project: Project) -> Iterator[Problem]:
    """The steps that are not what their folder's SHA256SUMS says; a folder without one is not checked."""
    for folder in project.locked_folders:
        lock, sums = project.show(folder / checksums.LOCK_NAME), checksums.read_lock(folder)
        steps = {path.name: path for path in folder.glob("*.sql")} if sums else {}
        for name in sorted({*steps, *sums}):
            if name not in sums:
                message, hint = f"this step is not in {lock}", "`datastore check --update` adds it"
            elif name not in steps:
                message, hint = f"this step is in {lock}, and its file is gone", "restore it"
            elif checksums.checksum(steps[name]) != sums[name]:
                message = f"this step has changed since its checksum was written to {lock}"
                hint = "restore it and write a new step; if it was never released, take its line out of the lock file"
            else:
                continue
            yield Problem("migration-changed", Place(file=project.show(folder / name)), message, hint)


def update_locks(project: Project) -> list[Path]:
    """Write the checksums of new steps; those that are in a lock file already are left as they are."""
    written = []
    for folder in project.locked_folders:
        sums = checksums.read_lock(folder)
        new = {path.name: checksums.checksum(path) for path in folder.glob("*.sql") if path.name not in sums}
        if new:
            lines = [f"{value}  {name}\n" for name, value in sorted({**sums, **new}.items())]
            lock = folder / checksums.LOCK_NAME
            lock.write_text("".join(lines), encoding="utf-8", newline="\n")
            written.append(lock)
    return written
