"""What mypy and pyright see of the generated code: every planted mistake, and nothing in the code without one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.test_own_tables import INIT, ROOT, datastore

#: A mistake and the line of a method that has it; `statements` is a NotesStatements.
MISTAKES = {
    "an argument that is not there": 'statements.add_note(id="n", conversation_id="c", stars=1, txt="x", now=utc_now())',
    "an argument too many": 'statements.rate_conversation(conversation_id="c", max_rows=1)',
    "a missing argument": 'statements.add_note(id="n", conversation_id="c", stars=1, text="x")',
    "an argument of another type": 'statements.add_note(id="n", conversation_id="c", stars="1", text="x", now=utc_now())',
    "a time as text": 'statements.add_note(id="n", conversation_id="c", stars=1, text="x", now="2026-01-01")',
    "None where NULL is not meant": 'statements.add_note(id="n", conversation_id=None, stars=1, text="x", now=utc_now())',
    "an argument by position": 'statements.rate_conversation("c")',
    "a query that does not exist": 'statements.get_note(id="n")',
    "a field that does not exist": 'statements.list_notes(conversation_id="c", max_rows=1)[0].title',
    "a row class's field that does not exist": 'statements.rate_conversation(conversation_id="c").stars',
    "a None that is not handled": 'round(statements.rate_conversation(conversation_id="c").average_stars)',
    "a record's None that is not handled": 'statements.list_notes(conversation_id="c", max_rows=1)[0].stars + 1',
    "a list taken for a record": 'statements.list_notes(conversation_id="c", max_rows=1).text',
    "a field of another type": 'statements.list_notes(conversation_id="c", max_rows=1)[0].created_at.upper()',
    "a result of another type": 'wants_int(statements.rate_conversation(conversation_id="c").average_stars or 0.5)',
    "an optional filter of another type": 'statements.list_notes(conversation_id="c", max_rows=1, min_stars="2")',
    "a record that is changed": "setattr_of(statements).stars = 3",
}

#: The same where the statements are awaited: `statements` is an AsyncNotesStatements, and `store` an AsyncDatastore.
ASYNC_MISTAKES = {
    "an awaited query that does not exist": 'await statements.get_note(id="n")',
    "an awaited argument of another type": "await statements.rate_conversation(conversation_id=1)",
    "a coroutine taken for a row": 'statements.rate_conversation(conversation_id="c").note_count',
    "an awaited None that is not handled": 'round((await statements.rate_conversation(conversation_id="c")).average_stars)',
    "a part that does not exist": "await store.message.count()",
    "a method that does not exist": 'await store.messages.add("c")',
    "a part's argument of another type": "await store.messages.get(1)",
    "a part's missing argument": 'await store.messages.append("c", content="x")',
    "a part's argument that is not there": 'await store.messages.append("c", role="user", content="x", text="y")',
    "a role that does not exist": 'await store.messages.append("c", role="robot", content="x")',
    "a filter that does not exist": 'await store.messages.search("x", colour="red")',
    "a coroutine taken for a record": 'store.messages.get("m").content',
    "a None that find gives": '(await store.messages.find("m")).content',
    "an asynchronous iterator in a plain loop": 'list(store.messages.iterate("c"))',
    "an awaited iterator": 'await store.messages.iterate("c")',
    "a transaction in a plain with": "store.transaction().__enter__()",
    "work that takes nothing": "await store.run(lambda: 1)",
}

HEAD = """\
from __future__ import annotations

from datastore.values import utc_now
from notebook.queries.notes import NotesStatements
from notebook.records import Note


def wants_int(value: int) -> None:
    utc_now()


def setattr_of(statements: NotesStatements) -> Note:
    return statements.list_notes(conversation_id="c", max_rows=1)[0]


def use(statements: NotesStatements) -> None:
"""

RIGHT = """\
    note = statements.add_note(id="n", conversation_id="c", stars=None, text="x", now=utc_now())
    for one in statements.list_notes(conversation_id="c", max_rows=1, min_stars=None):
        wants_int(one.stars or len(one.text) + note.created_at.year)
    rating = statements.rate_conversation(conversation_id="c")
    if rating.average_stars is not None:
        wants_int(round(rating.average_stars) + rating.note_count)
"""


ASYNC_HEAD = """\
from __future__ import annotations

from datastore import AsyncDatastore
from notebook.queries.notes import AsyncNotesStatements


async def use(statements: AsyncNotesStatements, store: AsyncDatastore) -> None:
"""

ASYNC_RIGHT = """\
    rating = await statements.rate_conversation(conversation_id="c")
    for note in await statements.list_notes(conversation_id="c", max_rows=rating.note_count, min_stars=None):
        round(note.stars or 0)
    async with store.transaction() as transaction, store.snapshot():
        conversation = await store.conversations.add(sanitization_version="1")
        message = await store.messages.append(conversation.id, role="user", content="x")
    if transaction.committed:
        print(message.position + 1)
    async for one in store.messages.iterate(conversation.id):
        print(one.content.upper())
    hits = await store.messages.search("x", role="user")
    print(hits.items[0].message.content, (await store.retention.policies.list()).items)
    count: int = await store.run(lambda sync: sync.messages.count(conversation.id))
    print(count + 1, (await store.verify()).keys(), await store.jobs.wait(timeout=1) is True)
"""

#: Every mistake, with the module that it is planted in.
PLANTED = {name: HEAD + f"    {line}\n" for name, line in MISTAKES.items()}
PLANTED |= {name: ASYNC_HEAD + f"    {line}\n" for name, line in ASYNC_MISTAKES.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook of docs/own-tables.md, with a module for each mistake and one without any."""
    folder = tmp_path_factory.mktemp("mistakes")
    datastore(folder, *INIT)
    settings = folder / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.datastore]\n", "[tool.datastore]\nasynchronous = true\n"))
    datastore(folder, "generate")
    (folder / "planted").mkdir()
    for number, text in enumerate(PLANTED.values()):
        (folder / "planted" / f"mistake_{number}.py").write_text(text)
    (folder / "planted" / "right.py").write_text(HEAD + RIGHT)
    (folder / "planted" / "right_async.py").write_text(ASYNC_HEAD + ASYNC_RIGHT)
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def caught(errors: list[str]) -> set[str]:
    """The mistakes in whose module, at their line, a checker found something; nothing else may be found."""
    names, texts = list(PLANTED), list(PLANTED.values())
    places = {
        f"planted/mistake_{number}.py:{len(text.splitlines())}": names[number] for number, text in enumerate(texts)
    }
    assert not set(errors) - set(places), set(errors) - set(places)
    return {places[error] for error in errors}


def test_mypy_sees_every_planted_mistake(project: Path) -> None:
    command = ["-m", "mypy", "--strict", "--no-error-summary", "--show-absolute-path", "planted", "notebook"]
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, timeout=300, env=environment()
    )
    found = re.findall(rf"(?m)^{re.escape(str(project))}/(\S+?:\d+): error:", done.stdout)
    assert found, done.stdout + done.stderr
    assert caught(found) == set(PLANTED)


@pytest.mark.long
def test_pyright_sees_every_planted_mistake(project: Path) -> None:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    assert pyright is not None, "pyright is not installed: make test-all does it, or pip install 'pyright[nodejs]'"
    settings = {"pythonPath": sys.executable, "extraPaths": [str(ROOT)], "include": ["planted", "notebook"]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [pyright, "--outputjson", "--pythonpath", sys.executable],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )
    report = json.loads(done.stdout)
    found = [
        f"{Path(one['file']).relative_to(project).as_posix()}:{one['range']['start']['line'] + 1}"
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    assert caught(found) == set(PLANTED)
