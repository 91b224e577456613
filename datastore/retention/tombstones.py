"""Tombstones of erased subjects, which must not come back: keyed hashes, in the database and in a file next to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from datastore.files import give_rights
from datastore.records.erasures import ErasureKey, SubjectKind, Tombstone
from datastore.values import decode_timestamp, encode_timestamp

if TYPE_CHECKING:
    from datastore.repositories import ErasureRepository


_SUFFIX = ".tombstones"


@attrs.frozen
class Tombstones:
    """Keys and tombstones of one database, in the form in which they are transferred to another copy of it."""

    keys: tuple[ErasureKey, ...] = ()
    stones: tuple[Tombstone, ...] = ()


class Engine(Protocol):
    """The part of an engine that a register needs."""

    @property
    def path(self) -> Path | None: ...
    def transaction(self) -> AbstractContextManager[None]: ...


class Register:
    """The tombstones of a database: look them up, add them, transfer them."""

    def __init__(self, repository: ErasureRepository, engine: Engine) -> None:
        self._repository = repository
        self._engine = engine
        database = engine.path
        #: None: the database is not a file, and has no file of tombstones.
        self._beside = None if database is None else beside(database)

    def hash(self, id: str) -> str:
        """The hash of a subject's id with the first key, which is created if there is none."""
        keys = self._repository.keys()
        if not keys:
            self._repository.add_key(secrets.token_hex(32))
            keys = self._repository.keys()
        return keyed_hash(keys[0], id)

    def keys(self) -> list[ErasureKey]:
        """The keys of the hashes; empty if nothing was ever erased."""
        return self._repository.keys()

    def find(self, kind: SubjectKind, id: str, keys: list[ErasureKey] | None = None) -> Tombstone | None:
        """The tombstone of a subject that is in force."""
        for key in self._repository.keys() if keys is None else keys:
            stone = self._repository.find_tombstone(kind, keyed_hash(key, id))
            if stone is not None and stone.lifted_at is None:
                return stone
        return None

    def lift(self, kind: SubjectKind, id: str) -> None:
        """Allow a subject to be added again."""
        for key in self.keys():
            self._repository.lift(kind, keyed_hash(key, id))

    def carried(self) -> Tombstones:
        """All keys and tombstones, to transfer to another copy."""
        return Tombstones(tuple(self._repository.keys()), tuple(self._repository.tombstones()))

    def bury(self, kind: SubjectKind, id: str, erasure_id: str, now: datetime) -> None:
        """Record that a subject is erased, always with a later time than an earlier tombstone, whatever the clock says."""
        subject_hash = self.hash(id)
        earlier = self._repository.find_tombstone(kind, subject_hash)
        after = now if earlier is None else max(now, earlier.created_at + timedelta(microseconds=1))
        self._repository.add_tombstone(
            Tombstone(kind=kind, subject_hash=subject_hash, erasure_id=erasure_id, created_at=after, lifted_at=None)
        )

    def take_in(self, carried: Tombstones) -> list[Tombstone]:
        """Add another copy's tombstones; the later one of a subject wins. Return the ones in force that are new here."""
        here = {(stone.kind, stone.subject_hash): stone.created_at for stone in self._repository.tombstones()}
        for key in carried.keys:
            self._repository.add_key(key.secret, id=key.id, created_at=key.created_at)
        for stone in carried.stones:
            self._repository.add_tombstone(stone)
        return [
            stone
            for stone in self._repository.tombstones()
            if stone.lifted_at is None and here.get((stone.kind, stone.subject_hash)) != stone.created_at
        ]

    def save(self) -> None:
        """Write all keys and tombstones to a file next to the database, in case the database itself becomes unreadable.

        It holds the database's write lock, so that of two concurrent writers neither loses the other's tombstones.
        """
        if self._beside is not None:
            with self._engine.transaction():
                write_beside(self._beside, together([read_beside(self._beside), self.carried()]))


def keyed_hash(key: ErasureKey, id: str) -> str:
    """HMAC-SHA-256 in lower-case hex: without the key, it reveals nothing about the id."""
    return hmac.new(bytes.fromhex(key.secret), id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def beside(database: Path) -> Path:
    """The file with the second copy of a database's tombstones."""
    return Path(f"{database}{_SUFFIX}")


def write_beside(path: Path, carried: Tombstones) -> None:
    """Write a file of tombstones atomically, for those who may write the database. One call at a time: see `Register.save`."""
    lines = [_line("key", attrs.asdict(key)) for key in carried.keys]
    lines += [_line("tombstone", attrs.asdict(stone)) for stone in carried.stones]
    draft = path.with_name(f"{path.name}.unfinished")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with suppress(FileNotFoundError):
        give_rights(descriptor, Path(str(path).removesuffix(_SUFFIX)).stat(), to_writers=True)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_beside(path: Path) -> Tombstones:
    """Read what `write_beside` wrote; empty if there is no such file. Lines in another format are skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return Tombstones()
    keys: list[ErasureKey] = []
    stones: list[Tombstone] = []
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            value = json.loads(line)
            fields = {name: _value(name, part) for name, part in value["value"].items()}
            if value["kind"] == "key":
                keys.append(ErasureKey(**fields))
            else:
                stones.append(Tombstone(**fields))
    return Tombstones(tuple(keys), tuple(stones))


def together(several: Iterable[Tombstones]) -> Tombstones:
    """Merge several sets: of two tombstones of a subject, the later one wins."""
    keys: dict[str, ErasureKey] = {}
    stones: dict[tuple[str, str], Tombstone] = {}
    for one in several:
        keys |= {key.id: key for key in one.keys}
        for stone in one.stones:
            known = stones.setdefault((stone.kind, stone.subject_hash), stone)
            if stone.created_at >= known.created_at:
                stones[stone.kind, stone.subject_hash] = stone
    return Tombstones(tuple(keys.values()), tuple(stones.values()))


def _line(kind: str, fields: dict[str, Any]) -> str:
    shown = {
        name: encode_timestamp(value) if name.endswith("_at") and value else value for name, value in fields.items()
    }
    return json.dumps({"kind": kind, "value": shown}) + "\n"


def _value(name: str, value: Any) -> Any:
    return decode_timestamp(value) if name.endswith("_at") and value else value
