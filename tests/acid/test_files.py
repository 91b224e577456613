"""What is around the database: names, links, unfinished files, backups, cursors, imports, what is shown.

Proves: no connection string becomes a file or is shown; a database has one name; a database that is lost is not made anew over its
WAL; what a killed command leaves is private, and no erasure says "verified" while the text is in it; a backup that is not what was
registered is not restored; a backup needs no room beside its source; forged cursors, padded lines and escapes are harmless.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from datastore import Datastore
from datastore.cli.output import clean
from datastore.errors import (
    BackupError,
    CorruptDatabaseError,
    CursorError,
    DatastoreError,
    DiskFullError,
    InvalidValueError,
)
from datastore.formats import ImportedConversation, read_items
from datastore.records import pages
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database

HERE = "tests.acid.test_files"
TEXT = "a sentence that only this conversation has, and that is erased"

KILLED = """
import os, signal, sys
from datastore import Datastore
Datastore.verify = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
os.umask(0)
Datastore.restore(sys.argv[1], sys.argv[2])
"""


def around(*, seed: int, folder: Path) -> Report:
    """Each of them once."""
    report = Report()
    for check in (_names, _links, _lost, _killed, _changed, _full, _cursors, _padding, _shown):
        place = folder / check.__name__
        place.mkdir()
        try:
            check(place, report)
        except DatastoreError as error:
            report.found("model mismatch", f"{check.__name__}: {type(error).__name__}: {error}")
        except Exception as error:
            report.found("untyped error", f"{check.__name__}: {type(error).__name__}: {error}")
        report.counts["checks"] += 1
    return report


def _names(folder: Path, report: Report) -> None:
    os.chdir(folder)
    for text in ("host=h dbname=d password=swordfish", "u:swordfish@h/x"):
        try:
            Datastore.open(text, migrate=True).close()
        except InvalidValueError as error:
            if "swordfish" in str(error):
                report.found("leak", "a password is shown")
        except DatastoreError as error:
            report.found("leak", f"a connection string was taken for a path: {type(error).__name__}")
    if os.listdir(folder):
        report.found("leak", "a connection string became a file")


def _links(folder: Path, report: Report) -> None:
    path, link = new_database(folder), folder / "link.db"
    link.symlink_to(path)
    with Datastore.open(link) as store:
        one = store.conversations.add(sanitization_version="1")
        store.erase(conversation_id=one.id)
    if list(folder.glob("link.db?*")):
        report.found("model mismatch", "a database has files under two names")


def _lost(folder: Path, report: Report) -> None:
    path = new_database(folder)
    store = Datastore.open(path)
    store.conversations.add(sanitization_version="1")
    wal = Path(f"{path}-wal").read_bytes()
    lost = folder / "lost.db"
    lost.touch()
    Path(f"{lost}-wal").write_bytes(wal)
    try:
        Datastore.open(lost, migrate=True).close()
        report.found("lost commit", "a WAL was deleted, and an empty database made")
    except CorruptDatabaseError:
        pass
    store.close()


def _filled(folder: Path) -> tuple[Path, str, str]:
    """A database with a backup: its path, the backup's, and a conversation."""
    path = new_database(folder)
    with Datastore.open(path) as store:
        one = store.conversations.add(sanitization_version="1")
        store.messages.append(one.id, role="user", content=TEXT)
        made = store.backups.create(folder / "copy.db")
    return path, made.path, one.id


def _killed(folder: Path, report: Report) -> None:
    path, backup, id = _filled(folder)
    done = subprocess.run([sys.executable, "-c", KILLED, backup, str(path)], check=False, timeout=60)
    left = list(folder.glob("*.unfinished*"))
    if done.returncode != -signal.SIGKILL or not left:
        report.found("model mismatch", "nothing was left to look for")
    if any(file.stat().st_mode & 0o077 for file in left if not file.name.endswith(".gate")):
        report.found("leak", "an unfinished file is readable by others")
    with Datastore.open(path) as store:
        receipt = store.erase(conversation_id=id)
    left = list(folder.glob("*.unfinished*"))
    if receipt.status == "verified" and any(TEXT.encode() in file.read_bytes() for file in left):
        report.found("leak", "erased text is in an unfinished file, and the receipt says verified")


def _changed(folder: Path, report: Report) -> None:
    path, backup, _ = _filled(folder)
    with closing(sqlite3.connect(backup)) as connection:
        connection.execute("UPDATE conversations SET title = 'forged'")
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    try:
        Datastore.restore(backup, path)
        report.found("undetected damage", "a backup that is not as it was registered was restored")
    except BackupError:
        pass


def _full(folder: Path, report: Report) -> None:
    with Datastore.open(new_database(folder)) as store:

        def full(path: str) -> str:
            raise DiskFullError("no room left")

        store._parts.backups.add = full  # type: ignore[method-assign]
        if store.backups.create(folder / "copy.db").status != "unregistered":
            report.found("model mismatch", "a copy was registered where there is no room")


def _cursors(folder: Path, report: Report) -> None:
    with Datastore.open(new_database(folder)) as store:
        scopes: list[str] = []
        seal = pages._seal
        pages._seal = lambda scope, body: (scopes.append(scope), seal(scope, body))[1]
        for key in ('["yesterday", "x"]', "[" * 100_000, '["2026-01-01T00:00:00.000000Z", "\\ud800"]'):
            for body in (b"x", key.encode()):
                forged = base64.urlsafe_b64encode(seal(scopes[-1] if scopes else "", body) + body).decode()
                try:
                    store.conversations.list(after=forged)
                except CursorError:
                    continue
                except DatastoreError as error:
                    report.found("model mismatch", f"{key[:20]}: {type(error).__name__}")


def _padding(folder: Path, report: Report) -> None:
    file = folder / "file.jsonl"
    line = json.dumps({"id": "c", "messages": [{"role": "user", "content": "x"}]}).encode()
    file.write_bytes(line + bytes(5000) + b"\n" + bytes(7) + line + bytes(3))
    found = [item for _, item in read_items(file, "chat") if isinstance(item, ImportedConversation)]
    if len(found) != 2:  # the padding itself is reported
        report.found("lost rows", "a line with padding was not read")


def _shown(folder: Path, report: Report) -> None:
    if any(text in clean(f"a{text}b") for text in ("\x1b", "\u202e", "\x9b", "\udcff")):
        report.found("leak", "stored text acts on the terminal")


def test_what_is_around_the_database() -> None:
    assert_healthy("files around the database", f"{HERE}:around")


@reds(
    Red("a connection string is a path", "leak"),
    Red("links are not resolved", "model mismatch"),
    Red("a lost database is made anew", "lost commit"),
    Red("unfinished files for everybody", "leak"),
    Red("nobody sweeps", "leak"),
    Red("restore without the registered SHA-256", "undetected damage"),
    Red("a backup needs its register", "model mismatch"),
    Red("a cursor's parts are believed", "untyped error"),
    Red("padding is a part of a line", "lost rows"),
    Red("stored text as it is", "leak"),
)
def test_mutants_around_the_database(red: Red) -> None:
    assert_red("files around the database", f"{HERE}:around", red)
