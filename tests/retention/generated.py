"""Generated stores with a marker in each conversation, and a search of their files' bytes that shares nothing with the library's."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import attrs

from datastore import Datastore, NewMessage
from datastore.search.analysis import analyzer
from tests.conftest import Clock

PROFILES = ("append", "random", "long", "churn")
ADOPTED = ("ON", "OFF", "FAST")

_letters = "bcdfghjklmnpqrstvwxz"


@attrs.frozen
class Generated:
    """A store's file and the marker of each of its conversations."""

    path: Path
    markers: dict[str, str]


def marker_of(chance: random.Random) -> str:
    """A word that nothing else has: the stemmer changes its end."""
    return "".join(chance.choices(_letters, k=13)) + "ing"


def generate(path: Path, seed: int, *, conversations: int = 12, messages: int = 20) -> Generated:
    """A store, the same one each time for a seed: its profile and the secure_delete that it was filled with are the seed's."""
    chance = random.Random(seed)
    profile, setting = PROFILES[seed % len(PROFILES)], ADOPTED[seed // len(PROFILES) % len(ADOPTED)]
    numbers = itertools.count(1)
    with open_generated(path, f"s{seed}", numbers) as store:
        # What a program with other settings left behind, before this library had the file.
        store.engine.pragma(f"secure_delete = {setting}")
        words = ["".join(chance.choices(_letters, k=chance.randint(2, 7))) for _ in range(200)]
        ids = [
            store.conversations.add(sanitization_version="1", source="test", session_id=f"session-{number % 3}").id
            for number in range(conversations)
        ]
        markers = {id: marker_of(chance) for id in ids}
        order = [id for id in ids for _ in range(messages)]
        if profile != "append":
            chance.shuffle(order)
        for id in order:
            count = chance.choice((3, 20, 80, 300)) if profile != "long" else chance.choice((60, 900, 1500))
            text = " ".join(chance.choices(words, k=count))
            at = chance.randrange(len(text))
            store.messages.append(id, role="user", content=f"{text[:at]} {markers[id].title()} {text[at:]}")
        for id in ids:
            said = store.messages.list(id, max_rows=2).items
            learning = store.learnings.add(
                conversation_id=id,
                category="test",
                title=f"On {markers[id]}",
                content=f"{markers[id].upper()} {' '.join(chance.choices(words, k=40))}",
                tags=[markers[id]],
                message_ids=[message.id for message in said],
            )
            store.uploads.add(learning.id, "remote", metadata={"about": markers[id]})
            store.jobs.enqueue("extract", payload={"conversation_id": id, "hint": markers[id]})
        if profile == "churn":
            for id in ids:
                for message in store.messages.list(id, max_rows=1000).items[::3]:
                    store.messages.delete(message.id)
                    store.messages.append_many(id, [NewMessage(role="tool", content=f"again {markers[id]}")])
    return Generated(path, markers)


def open_generated(path: Path, name: str, numbers: itertools.count[int]) -> Datastore:
    """A store whose ids and times are the same each time."""
    return Datastore.open(
        path,
        migrate=not path.exists(),
        durability="relaxed",
        clock=Clock(),
        ids=lambda: f"{name}-{next(numbers):08d}",
    )


def traces(folder: Path, marker: str) -> list[str]:
    """In which files of a folder a marker is: as it was written, in lower case, stemmed, or a part of it."""
    lower = marker.lower()
    forms = {
        marker,
        marker.title(),
        lower,
        marker.upper(),
        analyzer("english").document(lower).content.split()[0],
        lower[2:9],
    }
    needles = [form.encode() for form in forms]
    return [
        f"{file.name}: {needle.decode()}"
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        for needle in needles
        if needle in file.read_bytes()
    ]
