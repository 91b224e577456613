"""What the project's files were at a git ref, read by git itself."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from datastore.errors import ProjectError


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
