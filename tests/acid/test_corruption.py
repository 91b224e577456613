"""Damage and the error surface: what opening says to everything that is not a sound database, and what verify finds.

Proves: nothing but the library's own errors comes out, nothing is created by accident, and `datastore verify` finds
what it promises to find, one planted damage per promise. Random bit flips are counted, not passed: text that is changed
into other text is damage that no check of the file's structure can see.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from datastore import Datastore
from datastore.cli.commands import cli
from datastore.errors import (
    BusyError,
    CorruptDatabaseError,
    DatabaseError,
    DatabaseMissingError,
    DatastoreError,
    NotADatastoreError,
    ReadOnlyDatabaseError,
)
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.work import new_database, write_unit

HERE = "tests.acid.test_corruption"


# --- opening what is no sound database -------------------------------------------------------------------------------


def _missing(path: Path) -> None: ...


def _no_folder(path: Path) -> None:
    path.parent.rmdir()


def _folder(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("dear diary, " * 1000)


def _others(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")


def _marked(path: Path) -> None:
    new_database(path.parent)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")


def _half(path: Path) -> None:
    new_database(path.parent)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _no_header(path: Path) -> None:
    new_database(path.parent)
    data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])


#: How a path is made, and what opening it has to raise.
SURFACE: dict[str, tuple[Callable[[Path], None], type[DatastoreError]]] = {
    "a missing file": (_missing, DatabaseMissingError),
    "a missing folder": (_no_folder, DatabaseMissingError),
    "a folder": (_folder, NotADatastoreError),
    "an empty file": (_empty, NotADatastoreError),
    "a text file": (_text, NotADatastoreError),
    "another program's database": (_others, NotADatastoreError),
    "a database marked as another program's": (_marked, NotADatastoreError),
    "the first half of a database": (_half, DatabaseError),
    "a database without its header": (_no_header, NotADatastoreError),
}


def surface(*, seed: int, folder: Path) -> Report:
    """Open each of them; the error is the promised one, and the folder is as it was."""
    report = Report()
    for number, (name, (make, kind)) in enumerate(SURFACE.items()):
        path = folder / str(number) / "app.db"
        path.parent.mkdir()
        make(path)
        before = _contents(path.parent)
        try:
            with Datastore.open(path) as store:
                store.conversations.list()
        except kind:
            pass
        except DatastoreError as error:
            report.found("undetected damage", f"{name}: {type(error).__name__}, not {kind.__name__}")
        except Exception as error:
            report.found("untyped error", f"{name}: {type(error).__name__}: {error}")
        else:
            report.found("undetected damage", f"{name} was opened")
        if _contents(path.parent) != before and name != "the first half of a database":
            report.found("undetected damage", f"{name}: the folder was changed")
        report.counts["cases"] += 1
    _locked(folder, report)
    _unwritable(folder, report)
    return report


def _contents(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _locked(folder: Path, report: Report) -> None:
    path = new_database(folder, "locked.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder, Datastore.open(path, timeout=0.2) as store:
        holder.execute("BEGIN IMMEDIATE")
        try:
            write_unit(store, "u1")
        except BusyError:
            report.counts["cases"] += 1
        else:
            report.found("undetected damage", "a lock was ignored")
        holder.execute("ROLLBACK")


def _unwritable(folder: Path, report: Report) -> None:
    # As somebody who may read only: an administrator may write anywhere.
    place = folder / "unwritable"
    place.mkdir()
    path = new_database(place)
    place.chmod(0o555)
    path.chmod(0o444)
    for part in (folder, folder.parent):
        part.chmod(0o755)
    child = os.fork()
    if not child:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            Datastore.open(path)
        except ReadOnlyDatabaseError:
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        report.found("untyped error", "a database that cannot be written to gave another error")
    place.chmod(0o755)
    report.counts["cases"] += 1


# --- what verify promises --------------------------------------------------------------------------------------------


def _break_index(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages_id_key'").fetchone()
    data = bytearray(path.read_bytes())
    data[page * size - 200 : page * size] = bytes(200)
    path.write_bytes(data)


def _sql(*statements: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                connection.execute(statement)

    return run


#: Which check has to find what.
PROMISES: dict[str, Callable[[Path], None]] = {
    "integrity": _break_index,
    "foreign keys": _sql("INSERT INTO learning_messages (learning_id, message_id) VALUES ('none', 'none')"),
    "full-text index": _sql(
        "UPDATE learnings_fts_content SET c0 = 'other tokens' WHERE id = (SELECT min(id) FROM learnings_fts_content)"
    ),
    "searchable rows": _sql("DELETE FROM learnings_fts WHERE rowid = (SELECT min(seq) FROM learnings)"),
    "audit chain": _sql(
        "DROP TRIGGER audit_log_append_only_update", "UPDATE audit_log SET actor = 'nobody' WHERE id = 2"
    ),
    "content hashes": _sql("UPDATE messages SET content_hash = 'a' || substr(content_hash, 2) WHERE seq = 2"),
    "message counts": _sql("UPDATE conversations SET message_count = message_count + 1 WHERE id = 'u1'"),
    "job counts": _sql("UPDATE job_counts SET job_count = job_count + 1"),
    "tags": _sql("DELETE FROM learning_tags WHERE tag = (SELECT min(tag) FROM learning_tags)"),
}


def filled(folder: Path) -> Path:
    """A database with some units, closed."""
    path = new_database(folder, "filled.db")
    with Datastore.open(path) as store:
        for number in range(6):
            write_unit(store, f"u{number}")
    return path


def verify(path: Path) -> tuple[int, dict[str, list[str]], BaseException | None]:
    """What ``datastore verify --json`` says: exit code, problems by check, and what came out of it otherwise."""
    done = CliRunner().invoke(cli, ["verify", "--json", "--database", str(path)])
    stray = done.exception if not isinstance(done.exception, SystemExit) else None
    checks = json.loads(done.stdout)["checks"] if done.stdout.startswith("{") else {}
    return done.exit_code, checks, stray


def promises(*, seed: int, folder: Path) -> Report:
    """One damage per promise."""
    report, path = Report(), filled(folder)
    if (code := verify(path)[0]) != 0:
        report.found("undetected damage", f"verify says {code} of a sound database")
    for name, damage in PROMISES.items():
        copy = folder / "damaged.db"
        shutil.copy(path, copy)
        damage(copy)
        code, checks, stray = verify(copy)
        report.counts["damages"] += 1
        if stray is not None:
            report.found("untyped error", f"{name}: {type(stray).__name__}: {stray}")
        elif code != 4 or not checks.get(name):
            report.found("undetected damage", f"{name}: exit code {code}, {checks}")
        for suffix in ("-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
    return report


def flips(*, seed: int, folder: Path, count: int) -> Report:
    """Random bit flips in the file: verify finds them or does not, but nothing untyped comes out of anything."""
    report, chance = Report(), random.Random(seed)
    path = filled(folder)
    data = path.read_bytes()
    for _ in range(count):
        bit = chance.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        copy = folder / "flipped.db"
        for suffix in ("", "-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
        copy.write_bytes(flipped)
        code, _, stray = verify(copy)
        report.counts["bit flips"] += 1
        report.counts["bit flips found by verify"] += code in (1, 4)
        if stray is not None:
            report.found("untyped error", f"verify, bit {bit}: {type(stray).__name__}: {stray}")
        try:
            with Datastore.open(copy, timeout=1) as store:
                write_unit(store, "u-more")
                store.learnings.search("word")
                store.conversations.list()
        except (CorruptDatabaseError, DatastoreError):
            pass
        except Exception as error:
            report.found("untyped error", f"bit {bit}: {type(error).__name__}: {error}")
    return report


def test_the_error_surface() -> None:
    assert_healthy("error surface", f"{HERE}:surface")


def test_verify_finds_what_it_promises() -> None:
    assert_healthy("verify's promises", f"{HERE}:promises")


def test_some_bit_flips() -> None:
    assert_healthy("bit flips", f"{HERE}:flips", count=20)


@pytest.mark.long
def test_many_bit_flips() -> None:
    assert_healthy("bit flips", f"{HERE}:flips", seeds=(1, 2), count=150)


@reds(
    Red("a missing file is made", "undetected damage"),
    Red("foreign files not refused", "undetected damage"),
    slow=True,
)
def test_mutants_of_opening(red: Red) -> None:
    assert_red("error surface", f"{HERE}:surface", red)


@reds(
    Red("verify without integrity check", "undetected damage"),
    Red("verify without foreign keys", "undetected damage"),
    Red("verify without full-text index", "undetected damage"),
    Red("verify without audit chain", "undetected damage"),
    Red("verify without content hashes", "undetected damage"),
    Red("verify without message counts", "undetected damage"),
    Red("verify without job counts", "undetected damage"),
    Red("verify without tags", "undetected damage"),
    slow=True,
)
def test_mutants_of_verify(red: Red) -> None:
    assert_red("verify's promises", f"{HERE}:promises", red)
