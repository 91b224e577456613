import os

from flask import Flask, request

from datastore import Datastore

app = Flask(__name__)
store: Datastore


def open_store() -> Datastore:
    global store
    store = Datastore.open(os.environ["DATASTORE_DATABASE"])
    return store


@app.post("/start")
def start() -> str:
    with store.transaction():
        conversation = store.conversations.add(sanitization_version="1", session_id=request.args["session"])
        store.messages.append(conversation.id, role="user", content="Hello")
    return conversation.id


if __name__ == "__main__":
    with open_store():
        app.run(port=int(os.environ["PORT"]), threaded=True)
