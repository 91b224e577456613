import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from datastore import Datastore

app = Celery("tasks")


@worker_process_init.connect
def begin(**arguments: Any) -> None:
    """Called in each worker process after its fork."""
    global store
    store = Datastore.open(os.environ["DATASTORE_DATABASE"])


@worker_process_shutdown.connect
def end(**arguments: Any) -> None:
    store.close()


@app.task
def start(session: str) -> str:
    with store.transaction():
        conversation = store.conversations.add(sanitization_version="1", session_id=session)
        store.messages.append(conversation.id, role="user", content="Hello")
    return session
