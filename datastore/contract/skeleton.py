"""`datastore init`: a small project with a table of its own, which runs, passes the check and is there to be changed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jinja2

from datastore.contract.project import FILE
from datastore.errors import ProjectError
from datastore.statements.headers import check_name

_SKELETON = Path(__file__).with_name("skeleton")
_TEMPLATE = ".jinja"


def skeleton(package: str, *, postgresql: bool) -> dict[str, str]:
    """The text of each file, by its path in the project; without PostgreSQL's if that is not wanted."""
    check_name(package, "package", "--package")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)  # noqa: S701 - Python, not HTML
    texts = {}
    for path in sorted(_SKELETON.rglob("[!.]*.*")):
        name, text = path.relative_to(_SKELETON).as_posix(), path.read_text(encoding="utf-8")
        if name.endswith(_TEMPLATE):
            text = environment.from_string(text).render(package=package, postgresql=postgresql)
        if postgresql or "postgresql" not in name:
            texts[name.removesuffix(_TEMPLATE).replace("package/", f"{package}/")] = text
    return texts


def write_skeleton(folder: Path, package: str, *, postgresql: bool) -> list[Path]:
    """Write the files; the settings are added to a pyproject.toml that has none.

    Raises:
        ProjectError: A file or the settings are there already; nothing is written.
        StatementError: *package* cannot be the name of a package.
    """
    texts = skeleton(package, postgresql=postgresql)
    project = folder / FILE
    if project.is_file():
        before = project.read_text(encoding="utf-8")
        if "datastore" in tomllib.loads(before).get("tool", {}):
            raise ProjectError(f"{project} has [tool.datastore] already; nothing was written")
        texts[FILE] = f"{before.rstrip()}\n\n{texts[FILE]}"
    else:
        texts[FILE] = f'[project]\nname = "{package}"\nversion = "1"\n\n{texts[FILE]}'
    if there := [name for name in texts if name != FILE and (folder / name).exists()]:
        raise ProjectError(
            f"{folder / there[0]} is there already; nothing was written: give another folder or --package"
        )
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in sorted(texts)]
