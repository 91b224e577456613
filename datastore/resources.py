"""Locates sql/, migrations/ and the sample data in an installed wheel, an editable install or a clone."""

from __future__ import annotations

from pathlib import Path

from datastore.errors import StatementError

_package = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    # A wheel contains the folders inside the package; a clone has them next to it.
    for folder in (_package / "_data" / name, _package.parent / name):
        if folder.is_dir():
            return folder
    raise StatementError(
        f"the {name} folder is missing from this installation of datastore; reinstall it"
        " (as a folder, not as a zip file: the migrations tool reads files)"
    )


def sql_folder() -> Path:
    """The folder of the statements."""
    return _folder("sql")


def migrations_folder(engine: str = "sqlite") -> Path:
    """The folder of an engine's migrations, in the form that the yoyo command line accepts."""
    return _folder("migrations") / engine


def sample_folder() -> Path:
    """The folder with the sample conversations and learnings that ``make demo`` imports."""
    return _package / "sample"
