"""What the programs of this folder do to a store, and the ledger of what they were told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

from datastore import Datastore
from datastore.errors import DatastoreError


class Refused(Exception):
    """What a program raises itself, so that its transaction is rolled back."""


def database() -> str:
    """The path or URL of the database, which the test gives."""
    return os.environ["DATASTORE_DATABASE"]


def open_store(**options: Any) -> Datastore:
    """The store; relaxed, because no test here cuts the power."""
    return Datastore.open(database(), **{"durability": "relaxed", "timeout": 20.0, "pool_size": 8} | options)


def add(store: Datastore, key: str) -> None:
    """A conversation and its message: two statements, which a transaction around them makes one."""
    conversation = store.conversations.add(sanitization_version="1", session_id=key)
    store.messages.append(conversation.id, role="user", content=key)


def add_together(store: Datastore, key: str, *, fail: bool = False) -> None:
    """The same in a transaction of its own, which *fail* has rolled back."""
    with store.transaction():
        add(store, key)
        if fail:
            raise Refused


class Ledger:
    """What was acknowledged and what was refused; printed at the end for the test."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acknowledged: list[str] = []
        #: The key of a call that failed, and the error's class.
        self.refused: dict[str, str] = {}
        #: Errors that are not of this library.
        self.untyped: list[str] = []
        #: What else the test wants to know.
        self.facts: dict[str, Any] = {}

    def attempt(self, key: str, call: Callable[[], Any]) -> bool:
        """Call it, and note what came of it under its key; whether it returned."""
        try:
            call()
        except (DatastoreError, Refused) as error:
            with self._lock:
                self.refused[key] = type(error).__name__
                said = self.facts.setdefault("messages", {}).setdefault(type(error).__name__, [])
                if str(error) not in said:
                    said.append(str(error))
        except Exception as error:
            with self._lock:
                self.refused[key] = type(error).__name__
                self.untyped.append(f"{type(error).__name__}: {error}")
        else:
            with self._lock:
                self.acknowledged.append(key)
            return True
        return False

    def report(self) -> None:
        """Print it as the last line."""
        with self._lock:
            text = json.dumps(
                {
                    "acknowledged": self.acknowledged,
                    "refused": self.refused,
                    "untyped": self.untyped,
                    "facts": self.facts,
                }
            )
        print(text, flush=True)
