"""What may be on a disk after the power goes: the images that a record of file operations allows.

The model: a sync of a file makes everything durable that was written to *this* file before it. Of what was written
since, any part may be there: none, all, some in any order, one of them torn (cut at a sector or at any byte). A new
file may be missing, and one that was deleted may be back, until something later is durable. Files are independent.

Not modelled: sectors that a drive damages outside of what was written, and drives that lie about syncs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.acid.shim import OPEN, SYNC, TRUNCATE, UNLINK, WRITE, Operation

SECTOR = 512


@attrs.define
class File:
    """One file: what is durable, and what was done to it since."""

    durable: bytes | None
    pending: list[Operation] = attrs.field(factory=list)
    #: Deleted, but the deletion may not be durable.
    deleted: bool = False


class Disk:
    """The files of a folder, as a record of operations goes on."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {name: File(durable=data) for name, data in files.items()}

    def apply(self, operation: Operation) -> None:
        """One more operation was done."""
        file = self.files.setdefault(operation.file, File(durable=None))
        if operation.kind in (WRITE, TRUNCATE):
            file.pending.append(operation)
        elif operation.kind == SYNC:
            file.durable = play(file.durable, file.pending)
            file.pending = []
        elif operation.kind == UNLINK:
            file.deleted = True
        elif operation.kind == OPEN and file.deleted:
            self.files[operation.file] = File(durable=None)

    def images(self, chance: random.Random, count: int) -> Iterator[tuple[str, dict[str, bytes]]]:
        """What the power cut may leave: nothing un-synced, all of it, and *count* random ones."""
        yield "un-synced writes lost", self._image(lambda pending: [])
        yield "un-synced writes kept", self._image(lambda pending: pending)
        for _ in range(count):
            yield "writes lost, torn and reordered", self._image(lambda pending: _some(pending, chance), chance)

    def _image(self, choose: object, chance: random.Random | None = None) -> dict[str, bytes]:
        image = {}
        for name, file in self.files.items():
            if file.deleted and (chance is None or chance.random() < 0.5):
                continue
            data = play(file.durable, choose(file.pending))  # type: ignore[operator]
            if data is not None:
                image[name] = data
        return image


def play(data: bytes | None, operations: list[Operation]) -> bytes | None:
    """*data* after some operations; None is a file that is not there."""
    if not operations:
        return data
    buffer = bytearray(data or b"")
    for operation in operations:
        if operation.kind == TRUNCATE:
            del buffer[operation.offset :]
            buffer.extend(bytes(operation.offset - len(buffer)))
            continue
        buffer.extend(bytes(max(0, operation.offset - len(buffer))))
        buffer[operation.offset : operation.offset + len(operation.data)] = operation.data
    return bytes(buffer)


def _some(pending: list[Operation], chance: random.Random) -> list[Operation]:
    """Some of *pending*: a beginning, or any part of it in any order; some of them torn."""
    if not pending:
        return []
    if chance.random() < 0.4:
        chosen = pending[: chance.randrange(len(pending) + 1)]
        return [*chosen[:-1], _torn(chosen[-1], chance)] if chosen else []
    keep = chance.choice((0.2, 0.5, 0.9))
    chosen = [operation for operation in pending if chance.random() < keep]
    if chance.random() < 0.3:
        chosen = [_torn(operation, chance) if chance.random() < 0.3 else operation for operation in chosen]
    return chosen


def _torn(operation: Operation, chance: random.Random) -> Operation:
    if operation.kind != WRITE or len(operation.data) < 2:
        return operation
    step = SECTOR if len(operation.data) > SECTOR and chance.random() < 0.7 else 1
    cut = chance.randrange(0, len(operation.data), step)
    if chance.random() < 0.5:
        return attrs.evolve(operation, data=operation.data[:cut])
    return attrs.evolve(operation, offset=operation.offset + cut, data=operation.data[cut:])


def write_image(folder: Path, image: dict[str, bytes]) -> None:
    """Make the files of an image, and no others, in *folder*."""
    for path in folder.iterdir():
        path.unlink()
    for name, data in image.items():
        (folder / name).write_bytes(data)
