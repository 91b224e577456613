import multiprocessing
import sys

from datastore import Datastore


def begin(database: str) -> None:
    """Called once in each child process."""
    global store
    store = Datastore.open(database)


def start(session: str) -> str:
    with store.transaction():
        conversation = store.conversations.add(sanitization_version="1", session_id=session)
        store.messages.append(conversation.id, role="user", content="Hello")
    return session


if __name__ == "__main__":
    database, *sessions = sys.argv[1:]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2, initializer=begin, initargs=(database,)) as pool:
        for session in pool.imap_unordered(start, sessions):
            print(session)
