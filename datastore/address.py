"""Parse the address of a database: a file, or a database on a server. Nothing is opened here.

A text that looks like a URL or a connection string is never used as a path: the name of the new file could contain a password.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from datastore.errors import InvalidValueError
from datastore.files import UNFINISHED

_FILE_SCHEMES = frozenset({"sqlite", "sqlite+datastore"})
_SERVER_SCHEMES = frozenset({"postgresql", "postgres"})

#: Schemes that are refused even without a following "//"; other file names may contain a colon.
_KNOWN_SCHEMES = _FILE_SCHEMES | _SERVER_SCHEMES | frozenset(
    {"pgsql", "psql", "sqlite3", "file", "mysql", "mariadb", "mssql", "sqlserver", "oracle", "mongodb", "redis"}
    | {"duckdb", "cockroachdb", "redshift", "snowflake", "jdbc", "odbc", "http", "https", "ftp", "s3"}
)  # fmt: skip

#: At least two letters: "C:\..." is a drive.
_scheme = re.compile(r"([a-z][a-z0-9+.-]+):(//)?", re.IGNORECASE)

#: libpq's "host=... dbname=...", in any order: the keywords for a location or a secret.
_conninfo = re.compile(
    r"(?:^|\s)(?:host|hostaddr|port|dbname|user|password|passfile|service|sslmode|options|application_name)\s*=",
    re.IGNORECASE,
)

#: "user:password@host" without a scheme.
_credentials = re.compile(r"[^/\s:@]+:[^/\s@]+@[^/\s@]")

#: The forms of an address, for messages. The given address is not shown, because it may contain a password.
FORMS = "give a path, sqlite:///path, or postgresql://user@host:port/name (the password in PGPASSWORD or ~/.pgpass)"

#: Maximum bytes of a file name, and of a database's: the longest companion file's name ends in ".tombstones.unfinished".
_LONGEST_NAME = 255
_LONGEST_DATABASE = _LONGEST_NAME - 22
#: The same for an unfinished database: the longest companion file's name ends in "-journal".
_LONGEST_UNFINISHED = _LONGEST_NAME - 8


def is_server(database: str | os.PathLike[str]) -> bool:
    """Whether this is the URL of a PostgreSQL database."""
    if not isinstance(database, str):
        return False
    found = _scheme.match(database.strip())
    return found is not None and found[2] is not None and found[1].lower() in _SERVER_SCHEMES


def server_url(url: str) -> str:
    """The URL of a PostgreSQL database as libpq accepts it: with a lower-case scheme."""
    scheme, separator, rest = url.strip().partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def database_path(database: str | os.PathLike[str]) -> Path:
    """The file that a path or an ``sqlite:`` URL names: absolute, with symbolic links resolved.

    A database's companion files are named after it, so it must have one name, whatever link it is opened through.

    Raises:
        InvalidValueError: It is empty, in memory, another kind of URL, a connection string, or an impossible file name.
    """
    text = os.fsdecode(database)
    text = _of_url(text) if isinstance(database, str) else _refuse_scheme(text)
    if not text or text == ":memory:" or "\x00" in text:
        raise InvalidValueError(
            "a database is a file: give its path (for tests, one in a temporary folder; in memory, each thread would have its own)"
        )
    return real_path(text)


def real_path(path: str | os.PathLike[str]) -> Path:
    """A path made absolute, with ``~`` and symbolic links resolved; it need not exist.

    Raises:
        InvalidValueError: No file can have this name, or SQLite cannot open it.
    """
    text = os.fsdecode(path)
    if "\x00" in text:
        raise InvalidValueError("a file name cannot contain a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"{text!a} is not UTF-8, which SQLite needs for file names; rename it, or the parent folder concerned"
        ) from None
    try:
        absolute = Path(text).expanduser().absolute()
    except RuntimeError:
        raise InvalidValueError(
            f"no home folder is known for {Path(text).parts[0]}; write the path without ~"
        ) from None
    real = Path(os.path.realpath(absolute))
    longest = _LONGEST_UNFINISHED if real.name.endswith(UNFINISHED) else _LONGEST_DATABASE
    if max([len(part.encode()) for part in real.parent.parts]) > _LONGEST_NAME or len(real.name.encode()) > longest:
        raise InvalidValueError(
            f"a name in this path is too long: a folder's may have at most {_LONGEST_NAME} bytes, a database's"
            f" {_LONGEST_DATABASE}, because files next to it have longer names; shorten it"
        )
    if real.is_symlink():
        raise InvalidValueError(f"{absolute} is a symbolic link that points to itself; remove it")
    return real


def _of_url(text: str) -> str:
    """The path in a text, which may be an ``sqlite:`` URL."""
    found = _scheme.match(text.strip())
    if found and found[2] and found[1].lower() in _FILE_SCHEMES:
        return unquote(text.strip()[found.end() :].removeprefix("/").partition("?")[0])
    _refuse_scheme(text)
    if "://" in text or _conninfo.search(text) or _credentials.search(text):
        raise InvalidValueError(f"this looks like a connection string, not like a path; {FORMS}")
    return text


def _refuse_scheme(text: str) -> str:
    found = _scheme.match(text.strip())
    if found and (found[2] or found[1].lower().partition("+")[0] in _KNOWN_SCHEMES):
        scheme = found[1].lower()
        known = scheme in _FILE_SCHEMES | _SERVER_SCHEMES
        what = "needs // after the colon, and must be a string, not a Path" if known else "unsupported URL scheme"
        raise InvalidValueError(f"{scheme}: {what}; {FORMS}")
    return text
