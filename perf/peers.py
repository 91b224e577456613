"""What a user would take instead of this library to keep messages, each behind the same five calls on one SQLite file.

All but the last work on the schema that the migrations make (including its constraints, indexes and triggers), with the same
journal, the same durability and the same duties (foreign keys, secure_delete). Hand-written sqlite3 also writes the words of each
message into the full-text index, as this library does; the others do not. openai-agents' session makes its own two tables.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, Protocol

from datastore import Datastore, Message, NewMessage
from datastore.search.analysis import analyzer
from datastore.search.filters import message_facets
from datastore.search.matching import Indexed, Words
from datastore.values import encode_timestamp, new_id

Durability = Literal["full", "relaxed"]
SYNCHRONOUS = {"full": "FULL", "relaxed": "NORMAL"}
FIELDS = (
    "id",
    "conversation_id",
    "position",
    "role",
    "content",
    "content_hash",
    "token_count",
    "metadata",
    "created_at",
)
COLUMNS = ", ".join(FIELDS)
CONTENT = (
    "The test fails on the second run only: the fixture keeps its folder, and the file of the first is there. " * 3
)
#: Messages that are there, the size of a page, and the messages of one bulk insert.
MESSAGES, PAGE, BULK = 1000, 100, 1000


class Side(Protocol):
    """One way to keep messages. *n* numbers the calls."""

    #: What it does less than the others.
    less: str

    def __init__(self, path: Path, durability: Durability) -> None: ...
    def get(self, n: int) -> Any: ...
    def page(self, n: int) -> Any: ...
    def last(self, n: int) -> Any: ...
    def append(self, n: int) -> Any: ...
    def bulk(self, n: int) -> Any: ...
    def close(self) -> None: ...


def make_database(path: Path, durability: Durability) -> Datastore:
    """A database with one conversation of 1,000 messages; the same content each time."""
    store = Datastore.open(path, migrate=True, durability=durability)
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    store.conversations.add(id="c", sanitization_version="1", created_at=at)
    metadata = ({}, {"model": "m", "n": 1})
    messages = [
        NewMessage(role="user", content=f"{n} {CONTENT}", id=f"m{n}", metadata=metadata[n % 2], created_at=at)
        for n in range(MESSAGES)
    ]
    store.messages.append_many("c", messages)
    return store


def pragmas(connection: Any, durability: Durability) -> None:
    """The durability and the duties of the layer; SQLite's own checkpoints."""
    for pragma in ("foreign_keys = ON", "secure_delete = ON", f"synchronous = {SYNCHRONOUS[durability]}"):
        connection.execute(f"PRAGMA {pragma}")


class Layer:
    """This library: checks what it is given, gives typed records, waits its turn at the gate."""

    less = ""

    def __init__(self, path: Path, durability: Durability) -> None:
        self.store = make_database(path, durability)
        self.messages = self.store.messages

    def get(self, n: int) -> Message:
        return self.messages.get(f"m{n % MESSAGES}")

    def page(self, n: int) -> list[Message]:
        return list(self.messages.list("c", max_rows=PAGE).items)

    def last(self, n: int) -> list[Message]:
        return list(self.messages.list("c", max_rows=PAGE, last=True).items)

    def append(self, n: int) -> Message:
        return self.messages.append("c", role="user", content=CONTENT)

    def bulk(self, n: int) -> Any:
        return self.messages.append_many("c", [NewMessage(role="user", content=CONTENT) for _ in range(BULK)])

    def close(self) -> None:
        self.store.close()


class Peer:
    """A side that brings its own ids, positions, hashes and times."""

    less = ""
    #: Messages of one bulk insert.
    many = BULK

    def __init__(self, path: Path, durability: Durability) -> None:
        make_database(path, durability).close()
        self.path, self.durability = path, durability
        self.positions = itertools.count(MESSAGES + 1)
        self.connect()

    def connect(self) -> None:
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """A new message's columns, as they are stored."""
        return {
            "id": new_id(),
            "conversation_id": "c",
            "position": next(self.positions),
            "role": "user",
            "content": CONTENT,
            "content_hash": hashlib.sha256(CONTENT.encode()).hexdigest(),
            "token_count": (len(CONTENT) + 3) // 4,
            "metadata": "{}",
            "created_at": encode_timestamp(datetime.now(timezone.utc)),
        }


class ByHand(Peer):
    """The floor: sqlite3 with prepared values, and the same records made by position."""

    less = "values and words are made before and not timed; nothing is checked in Python"
    GET = f"SELECT {COLUMNS} FROM messages WHERE id = :id"
    LIST = (
        f"SELECT {COLUMNS} FROM messages WHERE conversation_id = :conversation_id AND position > :after_position"
        " ORDER BY position LIMIT :max_rows"
    )
    LAST = f"SELECT {COLUMNS} FROM messages WHERE conversation_id = ? ORDER BY position DESC LIMIT ?"
    INSERT = f"INSERT INTO new_messages ({COLUMNS}, words, facets) VALUES ({', '.join('?' * len(FIELDS))}, ?, ?)"

    def connect(self) -> None:
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        pragmas(self.connection, self.durability)
        self.ready: list[tuple[Any, ...]] = []
        (self.source,) = self.connection.execute("SELECT source FROM conversations WHERE id = 'c'").fetchone()
        self.ids = [f"m{n}" for n in range(MESSAGES)]

    def prepare(self, calls: int) -> None:
        """Make the values of the next *calls* messages, and their words."""
        document = analyzer("english").document(CONTENT)
        facets = message_facets("c", "user", datetime.now(timezone.utc))
        row = Indexed(document, facets).of(self.source, None)
        self.ready = [(*self.values().values(), str(Words(row.document)), row.facets) for _ in range(calls)][::-1]

    @staticmethod
    def record(row: tuple[Any, ...]) -> Message:
        """The record as a person writes it by hand, with the same conversions."""
        id, conversation_id, position, role, content, content_hash, token_count, metadata, created_at = row
        return Message(
            id=id,
            conversation_id=conversation_id,
            position=position,
            role=role,
            content=content,
            content_hash=content_hash,
            token_count=token_count,
            metadata={} if metadata == "{}" else json.loads(metadata),
            created_at=datetime.fromisoformat(created_at),
        )

    def get(self, n: int) -> Message:
        row = self.connection.execute(self.GET, {"id": self.ids[n % MESSAGES]}).fetchone()
        if row is None:
            raise LookupError(n)
        return self.record(row)

    def page(self, n: int) -> list[Message]:
        values = {"conversation_id": "c", "after_position": 0, "max_rows": PAGE}
        return [self.record(row) for row in self.connection.execute(self.LIST, values).fetchall()]

    def last(self, n: int) -> list[Message]:
        return [self.record(row) for row in self.connection.execute(self.LAST, ("c", PAGE)).fetchall()][::-1]

    def append(self, n: int) -> Any:
        self.connection.execute(self.INSERT, self.ready.pop())

    def bulk(self, n: int) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self.INSERT, [self.ready.pop() for _ in range(BULK)])
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


class _Alchemy(Peer):
    """What SQLAlchemy's two sides share, on either engine: the connections and the table."""

    def connect(self) -> None:
        import sqlalchemy as sa

        class Instant(sa.types.TypeDecorator[datetime]):
            impl = sa.Text
            cache_ok = True

            def process_bind_param(self, value: Any, dialect: Any) -> Any:
                return encode_timestamp(value) if isinstance(value, datetime) else value

            def process_result_value(self, value: Any, dialect: Any) -> Any:
                return datetime.fromisoformat(value)

        self.describe(f"sqlite:///{self.path}", Instant)
        sa.event.listen(self.engine, "connect", lambda connection, _: pragmas(connection, self.durability))

    def describe(self, url: str, instant: Any) -> None:
        """Where the messages are, and the type of their instants."""
        import sqlalchemy as sa

        self.sa = sa
        self.engine = sa.create_engine(url)
        self.metadata = sa.MetaData()
        types = {"position": sa.Integer, "token_count": sa.Integer, "metadata": sa.JSON, "created_at": instant}
        self.table = sa.Table(
            "messages",
            self.metadata,
            *(sa.Column(name, types.get(name, sa.Text), primary_key=name == "id") for name in FIELDS),
        )
        self.begun()

    def begun(self) -> None:
        """What a side adds."""

    def values(self) -> dict[str, Any]:
        return {**super().values(), "metadata": {}}

    def close(self) -> None:
        self.engine.dispose()


class Core(_Alchemy):
    """SQLAlchemy Core: rows, with the instant and the JSON converted."""

    less = "rows instead of records; nothing is checked in Python; its messages are not indexed for search"

    def begun(self) -> None:
        table = self.table.c
        self.one = self.sa.select(self.table).where(table.id == self.sa.bindparam("key"))
        whole = self.sa.select(self.table).where(table.conversation_id == "c")
        self.forward = whole.where(table.position > 0).order_by(table.position).limit(PAGE)
        self.backward = whole.order_by(table.position.desc()).limit(PAGE)

    def get(self, n: int) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(self.one, {"key": f"m{n % MESSAGES}"}).one()

    def page(self, n: int) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(self.forward).all())

    def last(self, n: int) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(self.backward).all())[::-1]

    def append(self, n: int) -> Any:
        with self.engine.begin() as connection:
            connection.execute(self.table.insert(), self.values())

    def bulk(self, n: int) -> Any:
        with self.engine.begin() as connection:
            connection.execute(self.table.insert(), [self.values() for _ in range(self.many)])


class Orm(_Alchemy):
    """SQLAlchemy's ORM: mapped objects, a session a call, as a web application has."""

    less = "nothing is checked in Python; its messages are not indexed for search"

    def begun(self) -> None:
        from sqlalchemy.orm import Session, registry

        class Mapped:
            pass

        columns = {"metadata_": self.table.c.metadata}
        registry(metadata=self.metadata).map_imperatively(Mapped, self.table, properties=columns)
        self.Mapped: Any = Mapped
        self.Session = Session
        whole = self.sa.select(Mapped).where(self.Mapped.conversation_id == "c")
        self.forward = whole.where(self.Mapped.position > 0).order_by(self.Mapped.position).limit(PAGE)
        self.backward = whole.order_by(self.Mapped.position.desc()).limit(PAGE)

    def get(self, n: int) -> Any:
        with self.Session(self.engine) as session:
            return session.get_one(self.Mapped, f"m{n % MESSAGES}")

    def page(self, n: int) -> list[Any]:
        with self.Session(self.engine) as session:
            return list(session.scalars(self.forward).all())

    def last(self, n: int) -> list[Any]:
        with self.Session(self.engine) as session:
            return list(session.scalars(self.backward).all())[::-1]

    def made(self) -> Any:
        values = self.values()
        values["metadata_"] = values.pop("metadata")
        values["created_at"] = datetime.now(timezone.utc)
        one = self.Mapped()
        for name, value in values.items():
            setattr(one, name, value)
        return one

    def append(self, n: int) -> Any:
        with self.Session(self.engine) as session, session.begin():
            session.add(self.made())

    def bulk(self, n: int) -> Any:
        with self.Session(self.engine) as session, session.begin():
            session.add_all([self.made() for _ in range(self.many)])


class Peewee(Peer):
    """peewee: model objects."""

    less = "nothing is checked in Python; its messages are not indexed for search"

    def connect(self) -> None:
        import peewee

        self.database = peewee.SqliteDatabase(
            str(self.path),
            pragmas={"foreign_keys": 1, "secure_delete": 1, "synchronous": SYNCHRONOUS[self.durability]},
        )

        class Instant(peewee.TextField):
            def db_value(self, value: Any) -> Any:
                return encode_timestamp(value) if isinstance(value, datetime) else value

            def python_value(self, value: Any) -> Any:
                return datetime.fromisoformat(value)

        class Json(peewee.TextField):
            def db_value(self, value: Any) -> Any:
                return json.dumps(value)

            def python_value(self, value: Any) -> Any:
                return json.loads(value)

        class Model(peewee.Model):
            id = peewee.TextField(primary_key=True)
            conversation_id = peewee.TextField()
            position = peewee.IntegerField()
            role = peewee.TextField()
            content = peewee.TextField()
            content_hash = peewee.TextField()
            token_count = peewee.IntegerField()
            metadata = Json()
            created_at = Instant()

            class Meta:
                database = self.database
                table_name = "messages"

        self.Model: Any = Model

    def values(self) -> dict[str, Any]:
        return {**super().values(), "metadata": {}, "created_at": datetime.now(timezone.utc)}

    def get(self, n: int) -> Any:
        return self.Model.get_by_id(f"m{n % MESSAGES}")

    def page(self, n: int) -> list[Any]:
        model = self.Model
        where = (model.conversation_id == "c") & (model.position > 0)
        return list(model.select().where(where).order_by(model.position).limit(PAGE))

    def last(self, n: int) -> list[Any]:
        model = self.Model
        return list(model.select().where(model.conversation_id == "c").order_by(model.position.desc()).limit(PAGE))[
            ::-1
        ]

    def append(self, n: int) -> Any:
        return self.Model.create(**self.values())

    def bulk(self, n: int) -> Any:
        with self.database.atomic():
            for first in range(0, BULK, 100):
                self.Model.insert_many([self.values() for _ in range(first, first + 100)]).execute()

    def close(self) -> None:
        self.database.close()


class SqliteUtils(Peer):
    """sqlite-utils: dictionaries of what the file holds."""

    less = "dictionaries; instants and JSON stay text; its messages are not indexed for search"

    def connect(self) -> None:
        import sqlite_utils

        connection = sqlite3.connect(self.path)
        pragmas(connection, self.durability)
        self.database = sqlite_utils.Database(connection)
        self.table: Any = self.database["messages"]

    def get(self, n: int) -> Any:
        return next(self.table.rows_where("id = ?", [f"m{n % MESSAGES}"], limit=1))

    def page(self, n: int) -> list[Any]:
        where = "conversation_id = ? and position > ?"
        return list(self.table.rows_where(where, ["c", 0], order_by="position", limit=PAGE))

    def last(self, n: int) -> list[Any]:
        return list(self.table.rows_where("conversation_id = ?", ["c"], order_by="position desc", limit=PAGE))[::-1]

    def append(self, n: int) -> Any:
        return self.table.insert(self.values())

    def bulk(self, n: int) -> Any:
        return self.table.insert_all([self.values() for _ in range(BULK)], batch_size=BULK)

    def close(self) -> None:
        self.database.conn.close()


class AgentsSession:
    """openai-agents' SQLiteSession: one JSON text a message in a table of its own. It has no look-up by id."""

    less = "dictionaries of role and content; no ids, times, hashes, constraints or search"

    def __init__(self, path: Path, durability: Durability) -> None:
        from agents import SQLiteSession

        if durability != "full":
            raise LookupError("SQLiteSession has SQLite's default durability, FULL")
        self.loop = asyncio.new_event_loop()
        self.session = SQLiteSession("c", path)
        self.run(self.session.add_items([self.item(n) for n in range(MESSAGES)]))

    @staticmethod
    def item(n: int) -> Any:
        return {"role": "user", "content": f"{n} {CONTENT}"}

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def last(self, n: int) -> list[Any]:
        return list(self.run(self.session.get_items(limit=PAGE)))

    def append(self, n: int) -> Any:
        return self.run(self.session.add_items([self.item(n)]))

    def bulk(self, n: int) -> Any:
        return self.run(self.session.add_items([self.item(n) for n in range(BULK)]))

    def close(self) -> None:
        self.session.close()
        self.loop.close()


SIDES: dict[str, type[Any]] = {
    "datastore": Layer,
    "sqlite3 by hand": ByHand,
    "SQLAlchemy Core": Core,
    "SQLAlchemy ORM": Orm,
    "peewee": Peewee,
    "sqlite-utils": SqliteUtils,
    "openai-agents session": AgentsSession,
}
