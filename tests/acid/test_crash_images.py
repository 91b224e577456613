"""Power cuts at every system call: what a disk may hold after each, and what the library makes of it.

A shim records every write, truncation, sync and deletion of a small run, with a mark where each transaction was
acknowledged. Every place of the record is then a power cut, and every image that the disk model (disk.py) allows there
is opened and looked at.

Proves: at durability "full" no acknowledged transaction is ever lost; at "relaxed" a power cut undoes the newest
transactions only, none from before the last checkpoint, and never leaves a part of one. The images of synchronous OFF
and of a rollback journal that is off have to be broken, or the model would be too kind.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from datastore import Datastore
from tests.acid.disk import Disk, write_image
from tests.acid.matrix import Red, assert_healthy, assert_red, reds
from tests.acid.report import Report
from tests.acid.shim import MARK, Operation, Shim, library
from tests.acid.work import check_units, new_database, write_unit

BODY = "tests.acid.test_crash_images:explore"

#: Marks from here on say that a checkpoint came to its end.
CHECKPOINTED = 10_000


def explore(*, seed: int, folder: Path, durability: Any, units: int, each: int, every: int = 1) -> Report:
    """Write *units*, then look at *each* random images after every *every*-th operation (and two more)."""
    report, chance = Report(), random.Random(seed)
    path = new_database(folder)
    base = {path.name: path.read_bytes()}
    operations = record(path, durability, units)
    place = folder / "image"
    place.mkdir()
    disk, acknowledged, safe, seen = Disk(base), -1, -1, set()
    report.counts["operations"] = len(operations)
    for number, operation in enumerate(operations):
        if operation.kind == MARK:
            acknowledged = max(acknowledged, operation.offset % CHECKPOINTED)
            if operation.offset >= CHECKPOINTED or durability == "full":
                safe = acknowledged
        else:
            disk.apply(operation)
        if number % every:
            continue
        for kind, image in disk.images(chance, each):
            key = (hashlib.blake2b(b"".join(image[name] for name in sorted(image))).digest(), safe)
            if key in seen:
                continue
            seen.add(key)
            write_image(place, image)
            report.counts["images"] += 1
            _look(place / path.name, safe, acknowledged, report, f"operation {number}, {kind}: ")
        if len(report.anomalies) > 20:
            break
    return report


def record(path: Path, durability: Any, units: int) -> list[Operation]:
    """The operations of a run: units, a checkpoint now and then, and the close."""
    shim = Shim()
    shim.watch(path.parent)
    with Datastore.open(path, durability=durability) as store:
        for number in range(units):
            write_unit(store, f"u{number}", lambda number=number: shim.mark(number), size=1 + number % 3 * 40)
            if number % 5 == 4 and store.engine.checkpoint():
                shim.mark(CHECKPOINTED + number)
    operations = list(shim.operations())
    shim.stop()
    return operations


def _look(path: Path, safe: int, acknowledged: int, report: Report, where: str) -> None:
    if not path.exists():
        report.found("lost commit", f"{where}the file is gone")
        return
    anomalies, whole = check_units(path, {f"u{number}" for number in range(safe + 1)})
    report.extend(anomalies, where)
    if whole != {f"u{number}" for number in range(len(whole))}:
        report.found("lost commit", f"{where}a transaction is gone, and a later one is there")
    report.figures["most lost"] = max(report.figures.get("most lost", 0), acknowledged + 1 - len(whole))


def test_full_loses_nothing() -> None:
    report = assert_healthy("crash images, full", BODY, preload=library(), durability="full", units=6, each=1, every=13)
    assert report.counts["images"] > 30


def test_relaxed_loses_the_newest_only() -> None:
    report = assert_healthy(
        "crash images, relaxed", BODY, preload=library(), durability="relaxed", units=8, each=1, every=13
    )
    assert report.figures["most lost"] > 0, "a model that loses nothing here is too kind"


@pytest.mark.long
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_every_operation(durability: str) -> None:
    assert_healthy(
        f"crash images, {durability}",
        BODY,
        seeds=(1, 2),
        timeout=240,
        preload=library(),
        durability=durability,
        units=8,
        each=1,
    )


@reds(
    Red("acknowledged before COMMIT", "lost commit"),
    Red("synchronous NORMAL where FULL was asked", "lost commit"),
    Red("commit between statements", "partial transaction"),
    slow=True,
)
def test_mutants(red: Red) -> None:
    assert_red("crash images, full", BODY, red, preload=library(), durability="full", units=6, each=1, every=3)


@reds(
    Red("synchronous OFF", "corrupt file", seeds=10),
    Red("journal OFF", "corrupt file", seeds=10),
    slow=True,
)
def test_settings_that_must_break_the_file(red: Red) -> None:
    assert_red("crash images, relaxed", BODY, red, preload=library(), durability="relaxed", units=6, each=2, every=3)
