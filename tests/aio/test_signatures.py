"""What an asynchronous store has is what the synchronous one has, awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

from datastore import AsyncDatastore, Datastore, UnsupportedError

#: Methods of a store that are entered or called, not awaited.
PLAIN = {"transaction", "snapshot", "observe", "acting_as"}


def parameters(function: Any) -> dict[str, tuple[Any, Any, Any]]:
    found = inspect.signature(function).parameters
    return {name: (one.kind, one.default, one.annotation) for name, one in found.items() if name != "self"}


def public(part: object) -> Iterator[str]:
    yield from (name for name in dir(part) if not name.startswith("_"))


def compare(asynchronous: Any, synchronous: Any, where: str) -> Iterator[str]:
    """What differs between two parts, and between the parts in them."""
    for name in public(synchronous):
        place = f"{where}.{name}"
        if place in ("store.engine", "store.jobs.waiting"):
            continue
        try:
            ours, theirs = getattr(asynchronous, name, None), getattr(synchronous, name)
        except UnsupportedError:
            continue
        if ours is None:
            yield f"{place} is missing"
        elif not callable(theirs):
            yield from compare(ours, theirs, place)
        elif place in ("store.open", "store.run"):  # they have more, or give the synchronous store
            if set(parameters(theirs)) - set(parameters(ours)):
                yield f"{place} has not the same parameters"
        elif parameters(ours) != parameters(theirs):
            yield f"{place} has not the same parameters"
        elif name.startswith("iterate"):
            if not str(inspect.signature(ours).return_annotation).startswith("AsyncIterator["):
                yield f"{place} is no asynchronous iterator"
        elif inspect.iscoroutinefunction(ours) == (place.removeprefix("store.") in PLAIN):
            yield f"{place} is awaited, or is not"


def test_an_asynchronous_store_has_everything(store: Datastore) -> None:
    async def main() -> list[str]:
        return list(compare(AsyncDatastore(store), store, "store"))

    assert asyncio.run(main()) == []


def test_a_part_that_differs_is_noticed(store: Datastore) -> None:
    class Part:
        def get(self, id: str) -> str:
            return id

        def find(self) -> None: ...

    class AsyncPart:
        async def get(self, id: int) -> str:
            return str(id)

    assert list(compare(AsyncPart(), Part(), "part")) == [
        "part.find is missing",
        "part.get has not the same parameters",
    ]


def test_the_representation_names_the_database(store: Datastore) -> None:
    async def main() -> str:
        return repr(AsyncDatastore(store))

    assert asyncio.run(main()) == repr(store).replace("Datastore(", "AsyncDatastore(")
