"""The adapter is used where it is asked for, and only there."""

from __future__ import annotations

import os

from datastore import Datastore

BOTH_ENGINES = True


def test_the_store_is_the_one_that_was_asked_for(store: Datastore) -> None:
    asked = "DrivenStore" if os.environ.get("DATASTORE_TEST_ASYNC") else "Datastore"
    assert type(store).__name__ == asked
