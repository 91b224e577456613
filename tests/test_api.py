"""The public API has one grammar: what is exported, how a list, a batch and an option are called."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

import datastore
from datastore import errors, records, repositories
from datastore.cli.commands import cli
from datastore.copy import copy
from datastore.migrations import rollback
from datastore.retention.policies import Retention
from datastore.upkeep.backups import Backups
from datastore.upkeep.health import Thresholds
from datastore.upkeep.maintenance import Maintenance
from datastore.upkeep.vectors import Vectors

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: The parts of a store, by what they are called on it.
PARTS: dict[str, type[Any]] = {
    "conversations": repositories.ConversationRepository,
    "branches": repositories.BranchRepository,
    "messages": repositories.MessageRepository,
    "learnings": repositories.LearningRepository,
    "jobs": repositories.JobQueueRepository,
    "schedules": repositories.ScheduleRepository,
    "uploads": repositories.UploadRepository,
    "redactions": repositories.RedactionRepository,
    "audit": repositories.AuditRepository,
    "holds": repositories.LegalHoldRepository,
    "retention": Retention,
    "retention.policies": repositories.RetentionPolicyRepository,
    "retention.receipts": repositories.ReceiptRepository,
    "backups": Backups,
    "maintenance": Maintenance,
    "vectors": Vectors,
}

#: Records of statements that only this library reads.
INTERNAL = {"FoundLearning", "FoundMessage", "MessageKey", "Segment", "ErasureKey", "Tombstone", "VectorSettings"}


def methods(part: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    yield from (pair for pair in inspect.getmembers(part, inspect.isfunction) if not pair[0].startswith("_"))


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function; keyword arguments that a TypedDict names are parameters of their own."""
    found: dict[str, inspect.Parameter] = {}
    for name, one in inspect.signature(function).parameters.items():
        if one.kind is inspect.Parameter.VAR_KEYWORD:
            typed = re.fullmatch(r"Unpack\[(\w+)\]", str(one.annotation))
            assert typed, f"{function.__qualname__}: the keyword arguments have no names"
            keys = typing.get_type_hints(getattr(datastore, typed[1])).keys()
            found |= {key: inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None) for key in keys}
        elif name != "self":
            found[name] = one
    return found


@functools.cache
def names() -> dict[str, Any]:
    """What an annotation may name: imports for type checkers alone are read from the modules' text."""
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "datastore").rglob("*.py")):
        if path.is_relative_to(ROOT / "datastore/contract") or path.is_relative_to(ROOT / "datastore/cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and not node.module.startswith("datastore.statements.typed")
            ):
                try:
                    module = __import__(node.module, fromlist=["x"])
                except ImportError:
                    continue
                found |= {alias.asname or alias.name: getattr(module, alias.name, None) for alias in node.names}
    return found


def classes_in(hint: Any) -> Iterator[type[Any]]:
    if isinstance(hint, type) and hint.__module__.startswith("datastore"):
        yield hint
    for part in typing.get_args(hint):
        yield from classes_in(part)
    if (origin := typing.get_origin(hint)) is not None and isinstance(origin, type):
        yield from classes_in(origin)


def public_classes() -> dict[str, str]:
    """Every class of this package that a caller hands in or gets, with where it is met."""
    found: dict[str, str] = {}
    functions = [("Datastore." + name, one) for name, one in methods(datastore.Datastore)]
    functions += [(f"Datastore.{name}", getattr(datastore.Datastore, name)) for name in ("open", "restore")]
    functions += [(f"Worker.{name}", one) for name, one in methods(datastore.Worker)]
    functions += [("import_file", datastore.import_file), ("export", datastore.export)]
    functions += [(f"{part}.{name}", one) for part, of in PARTS.items() for name, one in methods(of)]
    for where, function in functions:
        function = inspect.unwrap(getattr(function, "__func__", function))
        hints = typing.get_type_hints(function, {**names(), **function.__globals__})
        for hint in hints.values():
            found.update((one.__name__, where) for one in classes_in(hint))
    return found


def test_everything_that_a_caller_meets_is_exported() -> None:
    met = public_classes()
    assert {"Page", "Message", "ImportReport", "Upkeep", "SubjectData", "NewJob"} <= set(met)
    # What `bind` gives has the application's own Protocol.
    lacking = {name: where for name, where in met.items() if name not in datastore.__all__}
    assert set(lacking) <= {"Statements"}, lacking


def test_every_error_and_record_is_exported() -> None:
    of_errors = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)}
    assert of_errors | (set(records.__all__) - INTERNAL) <= set(datastore.__all__)
    assert not INTERNAL & set(datastore.__all__)
    for name in datastore.__all__:
        assert getattr(datastore, name) is not None


def test_the_parts_of_a_store_are_these(store: datastore.Datastore) -> None:
    of = type(store)
    properties = {name for name, one in vars(of).items() if isinstance(one, property)}
    parts = {name for name in {*vars(store), *properties} if not name.startswith("_")} - {"engine"}
    assert parts == {name for name in PARTS if "." not in name}
    (sentence,) = re.findall(r"A store has ten repositories (.*?)\. One grammar", README, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == parts
    for name, part in PARTS.items():
        assert type(functools.reduce(getattr, name.split("."), store)) is part


LISTS = [
    (f"{part}.{name}", of, name)
    for part, of in PARTS.items()
    for name, _ in methods(of)
    if name == "list" or name.startswith("list_")
]


@pytest.mark.parametrize(("of", "name"), [one[1:] for one in LISTS], ids=[one[0] for one in LISTS])
def test_a_list_is_a_page_and_can_be_walked_with_the_same_filters(of: type[Any], name: str) -> None:
    listed = getattr(of, name)
    assert str(inspect.signature(listed).return_annotation).startswith("Page[")
    assert {"after", "max_rows"} <= set(parameters(listed))
    assert name in ("list", "list_partial") or name.startswith("list_by_")
    walked = getattr(of, name.replace("list", "iterate", 1))
    wanted = {one: p for one, p in parameters(listed).items() if one not in ("after", "before", "last", "max_rows")}
    assert {one: (p.kind, p.default) for one, p in parameters(walked).items()} == {
        one: (p.kind, p.default) for one, p in wanted.items()
    }
    assert str(inspect.signature(walked).return_annotation).startswith("Iterator[")


def test_there_are_lists() -> None:
    assert len(LISTS) >= 13


#: What one takes, and what many of them are made of.
BATCHES: dict[str, tuple[Callable[..., Any], Callable[..., Any], type[Any]]] = {
    "conversations": (PARTS["conversations"].add, PARTS["conversations"].add_many, datastore.NewConversation),
    "messages": (PARTS["messages"].append, PARTS["messages"].append_many, datastore.NewMessage),
    "learnings": (PARTS["learnings"].add, PARTS["learnings"].add_many, datastore.NewLearning),
    "jobs": (PARTS["jobs"].enqueue, PARTS["jobs"].enqueue_many, datastore.NewJob),
    "uploads": (PARTS["uploads"].add, PARTS["uploads"].add_many, datastore.NewUpload),
    "redactions": (PARTS["redactions"].add, PARTS["redactions"].add_many, datastore.NewRedaction),
}


@pytest.mark.parametrize("noun", BATCHES)
def test_a_batch_takes_records_of_what_a_single_call_takes(noun: str) -> None:
    one, many, new = BATCHES[noun]
    fields = {field.name: field.default for field in attrs.fields(new)}
    taken = {
        name: attrs.NOTHING if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in parameters(one).items()
    }
    if noun == "messages":  # one conversation and one branch for the whole batch
        del taken["conversation_id"], taken["branch"]
        assert fields.pop("partial") is False  # `begin` appends one
    assert fields == taken
    assert f"Iterable[{new.__name__}]" in str(inspect.signature(many))


def test_every_batch_of_new_records_is_named() -> None:
    batches = {
        f"{part}.{name}"
        for part, of in PARTS.items()
        for name, function in methods(of)
        if "Iterable[New" in str(inspect.signature(function))
    }
    assert batches == {f"{noun}.{many.__name__}" for noun, (_, many, _) in BATCHES.items()}


def test_an_id_is_called_by_what_it_is_of() -> None:
    """A method's own id is *id*; the id of anything else is NOUN_id. (A *job* is a claimed one, with its lease.)"""
    nouns = {"conversation", "session", "correlation", "learning", "message", "upload", "erasure"}
    wrong = [
        f"{part}.{name}({parameter})"
        for part, of in {**PARTS, "store": datastore.Datastore, "worker": datastore.Worker}.items()
        for name, function in methods(of)
        for parameter in parameters(function)
        if parameter in nouns
    ]
    assert wrong == []


def test_no_class_with_a_list_names_the_type_in_its_body() -> None:
    """In a class body, `list` is the method from its definition on: type checkers would take `list[X]` for it."""
    wrong = []
    for path in sorted((ROOT / "datastore").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        if "contract" not in path.parts and ("builtins.list" in text or "import builtins" in text):
            wrong.append(f"{path.name}: builtins")
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(getattr(one, "name", "") == "list" for one in node.body):
                annotations = [
                    hint
                    for one in ast.walk(node)
                    if isinstance(one, ast.FunctionDef)
                    for hint in (
                        one.returns,
                        *(argument.annotation for argument in one.args.args + one.args.kwonlyargs),
                    )
                    if hint is not None
                ]
                wrong += [
                    f"{path.name}: {node.name}: {ast.unparse(hint)}"
                    for hint in annotations
                    if any(isinstance(part, ast.Name) and part.id == "list" for part in ast.walk(hint))
                ]
    assert wrong == []


#: What the options of a command are the arguments of.
CALLS: dict[str, list[Callable[..., Any]]] = {
    "import": [datastore.import_file],
    "export": [datastore.export, datastore.Datastore.disclose],
    "copy": [copy],
    "search": [PARTS["learnings"].search, PARTS["messages"].search],
    "show": [PARTS["conversations"].get, PARTS["messages"].iterate],
    "jobs": [],
    "jobs list": [PARTS["jobs"].list],
    "jobs show": [PARTS["jobs"].get],
    "jobs retry": [PARTS["jobs"].retry],
    "jobs cancel": [PARTS["jobs"].cancel],
    "jobs requeue": [PARTS["jobs"].requeue, PARTS["jobs"].list],
    "jobs pause": [PARTS["jobs"].pause],
    "jobs resume": [PARTS["jobs"].resume],
    "jobs prune": [PARTS["jobs"].prune],
    "worker": [datastore.Worker, datastore.Worker.run, PARTS["jobs"].claim],
    "stats": [],
    "status": [Thresholds],
    "metrics": [],
    "verify": [datastore.Datastore.verify],
    "backup": [Backups.create],
    "backups": [Backups.list],
    "restore": [datastore.Datastore.restore],
    "migrations": [],
    "migrate": [datastore.Datastore.open],
    "rollback": [rollback],
    "purge": [PARTS["conversations"].purge],
    "erase": [datastore.Datastore.erase],
    "erasures": [PARTS["retention.receipts"].list],
    "retention": [],
    "retention list": [PARTS["retention.policies"].list],
    "retention set": [PARTS["retention.policies"].set],
    "retention delete": [PARTS["retention.policies"].delete],
    "retention preview": [Retention.preview],
    "retention apply": [Retention.apply],
    "hold": [PARTS["holds"].place],
    "release": [PARTS["holds"].release],
    "holds": [PARTS["holds"].list],
    "maintain": [Maintenance.run, Maintenance.due],
    "vacuum": [Maintenance.vacuum],
    "reindex": [datastore.Datastore.reindex],
    "embed": [Vectors.embed, datastore.Datastore.open],
}

#: Options that choose what is called, or are about printing: no function has a parameter for them.
MODES: dict[str, set[str]] = {
    "migrate": {"dry_run"},
    "export": {"output", "everything"},
    "search": {"messages", "facets"},
    "jobs requeue": {"quarantined"},
    "backups": {"register"},
    "verify": {"mark", "backup"},
    "embed": {"change_model"},
    "erase": {"resume"},
    "rollback": {"migrations"},
    "status": {"check"},
    "maintain": {"watch", "every"},
    "vacuum": {"full"},
}


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in cli.commands.items():
        if name in ("init", "check", "generate", "diff", "catalog"):  # of a project, not of a store
            continue
        found[name] = command
        for inner, one in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = one
    return found


def option_names(command: click.Command) -> set[str]:
    """The long names of its options as Python would write them."""
    return {
        option.opts[-1].removeprefix("--").replace("-", "_")
        for option in command.params
        if isinstance(option, click.Option)
    } - {"database", "json", "help"}


def test_every_command_is_compared() -> None:
    assert set(commands()) == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_options_have_the_names_of_the_parameters(name: str) -> None:
    taken = {one for function in CALLS[name] for one in parameters(function)}
    assert option_names(commands()[name]) - taken == MODES.get(name, set())


def test_each_way_to_delete_has_one_word() -> None:
    """delete: one, by its id; purge: by age; prune: finished work; erase: with proof."""
    words = {
        f"{part}.{name}"
        for part, of in {**PARTS, "store": datastore.Datastore}.items()
        for name, _ in methods(of)
        if any(word in name for word in ("delete", "purge", "prune", "erase", "remove", "forget", "drop", "destroy"))
    }
    assert words == {
        "branches.delete",
        "conversations.delete",
        "conversations.purge",
        "conversations.purge_many",
        "conversations.soft_delete",
        "conversations.soft_delete_many",
        "messages.delete",
        "learnings.delete",
        "learnings.delete_many",
        "jobs.delete",
        "jobs.prune",
        "schedules.delete",
        "uploads.delete",
        "retention.policies.delete",
        "store.erase",
    }
