"""A user may choose any name: no name in generated code can be the same, and a value is never anything but a value."""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Conversation, Datastore
from datastore.errors import InvalidValueError, StatementError
from datastore.statements.loader import read_statements
from datastore.values import MAX_JSON_BYTES, encode_json, encode_timestamp
from tests.acid.names import HARM, generated_functions, in_scopes, is_accepted, misunderstood, own_names, statement

BOTH_ENGINES = True

NAMES = in_scopes()

#: By type: a value, and the text of it that the database is given.
VALUES: dict[str, tuple[Any, str]] = {
    "text": (HARM, HARM),
    "json": ([HARM], encode_json([HARM])),
    "rows": ([[HARM]], encode_json([[HARM]])),
    "timestamp": ((now := datetime(2026, 1, 1, tzinfo=timezone.utc)), encode_timestamp(now)),
}


def test_the_names_that_were_once_broken_are_among_them() -> None:
    assert {"class", "def", "from", "None", "len", "list", "rows", "str", "self"} <= set(NAMES)


def test_no_name_of_a_generated_function_can_be_a_users() -> None:
    for function in generated_functions():
        assert not {name for name in own_names(function) if is_accepted(name)}, function


def test_every_name_is_a_value_or_is_refused_when_it_is_loaded(
    store: Datastore, tmp_path: Path, conversation: Conversation
) -> None:
    assert list(misunderstood(store, tmp_path)) == []
    assert store.conversations.get(conversation.id) == conversation


@pytest.mark.parametrize("place", ["statement", "parameter", "file"])
def test_a_name_that_python_cannot_take_is_refused_with_a_reason(tmp_path: Path, place: str) -> None:
    for name in [name for name in NAMES if not is_accepted(name)]:
        other = {"statement": "get", "parameter": "given", "file": "notes", place: name}
        path = tmp_path / f"{other['file']}.sql"
        path.write_text(
            statement(other["statement"], f"SELECT :{other['parameter']} AS a", [(other["parameter"], "text")])
        )
        with pytest.raises(StatementError, match=f"{name!r} is (a Python keyword; choose|not a valid name; begin)"):
            read_statements(tmp_path, "sqlite")
        path.unlink()


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, str, dict[str, Any], list[tuple[str | None, ...]], type[Any] | None]:
    """The text of a statement, its name, its arguments, the rows that it has to give, and their class."""
    name = draw(st.sampled_from(NAMES))
    kinds = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    optional = draw(st.sets(st.sampled_from(sorted(kinds)), max_size=2)) if draw(st.booleans()) else set()
    missing = draw(st.sets(st.sampled_from(sorted(optional)))) if optional else set()
    null = draw(st.sets(st.sampled_from(sorted(kinds)))) - optional
    shown = [one for one in kinds if one not in optional]
    lines = [f'    CAST(:{one} AS TEXT) AS "{one}"' for one in shown] or ["    'x' AS x"]
    lines += [f'    CAST(:{one} AS TEXT) AS "again_{one}"' for one in shown[:1] if draw(st.booleans())]
    filters = [f"    AND CAST(:{one} AS TEXT) = CAST(:{one} AS TEXT) -- if: {one}" for one in sorted(optional)]
    where = "\nWHERE\n    1 = 1\n" + "\n".join(filters) + "\n" if filters else ""
    parameters = [(one, kind + "?" * (one in null)) for one, kind in kinds.items()]
    text = statement(name, "SELECT\n" + ",\n".join(lines) + where, parameters)
    arguments = {one: None if one in null else VALUES[kind][0] for one, kind in kinds.items() if one not in missing}
    values = [None if one in null else VALUES[kinds[one]][1] for one in shown] or ["x"]
    row = (*values, *values[: len(lines) - len(values)])
    record = NamedTuple("record", [(f"field_{n}", str) for n in range(len(row))]) if draw(st.booleans()) else None  # type: ignore[misc]
    return text, name, arguments, [row], record


@given(drawn=statements())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_in_any_combination_are_values(store: Datastore, conversation: Conversation, drawn: Any) -> None:
    text, name, arguments, rows, record = drawn
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "drawn.sql").write_text(text)
        try:
            bound = store.bind(folder, {} if record is None else {name: record})
        except StatementError:
            assert not all(map(is_accepted, (name, *read_names(text))))
            return
    found = getattr(bound, name)(**arguments)
    assert [tuple(row) for row in found] == rows
    assert record is None or all(type(row) is record for row in found)
    assert store.conversations.get(conversation.id) == conversation


def read_names(text: str) -> list[str]:
    """The parameters of a statement's first line."""
    return text.partition("(")[2].partition(")")[0].split(", ")


def test_the_name_of_a_json_parameter_means_nothing(store: Datastore, tmp_path: Path) -> None:
    names = ["rows", "value"]
    (tmp_path / "json.sql").write_text(
        "".join(
            statement(f"get_{kind}_{name}", f"SELECT LENGTH(CAST(:{name} AS TEXT)) AS size", [(name, kind)], "$", "1")
            for kind in ("json", "rows")
            for name in names
        )
    )
    bound: Any = store.bind(tmp_path)
    long = ["x" * MAX_JSON_BYTES]
    for name in names:
        assert getattr(bound, f"get_rows_{name}")(**{name: long}) == MAX_JSON_BYTES + 4
        with pytest.raises(InvalidValueError, match="at most"):
            getattr(bound, f"get_json_{name}")(**{name: long})


def test_the_rest_of_a_file_is_read_by_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "notes.sql").write_text(statement("get", "SELECT '-- name: x()' AS a", []))
    with pytest.raises(StatementError, match=r"notes\.sql"):
        read_statements(tmp_path, "sqlite")
    (tmp_path / "notes.sql").write_text(
        statement("get", "SELECT 1 AS a", []).replace("Rows: any", "Rows: any\n-- Record: dict")
    )
    with pytest.raises(StatementError, match="Record: 'dict' is not the name of a class"):
        read_statements(tmp_path, "sqlite")
