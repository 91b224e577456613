"""Whether erased text is still in a database's files: looked for in their bytes, kept nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from datastore.engines.sqlite.pages import Pages, read_whole
from datastore.search.analysis import FORM, Analyzer

#: A piece of text of so many bytes is found wherever 2 * WINDOW - 1 of its bytes are left.
WINDOW = 12
#: Of each text so many bytes are looked for, and of all texts together: beginnings first.
TEXT_BYTES = 64 * 1024
ALL_BYTES = 512 * 1024
#: So many words are looked for in the full-text indexes' bytes, the longest ones.
TERMS = 16
#: Of a word, the bytes behind the second character: the index shares beginnings between neighbours.
_FRAGMENT = slice(2, 9)
_SHORTEST_TERM = 8
#: With more pieces than this, nothing more is told apart: they count as left.
_MOST_PIECES = 400
#: Bytes that belong to nothing are looked through so many at a time.
_TOGETHER = 4 * 1024 * 1024

#: What a tree holds.
ROWS, FULL_TEXT, OTHER = 1, 2, 3
_row_tables = frozenset({"conversations", "messages", "learnings", "learning_tags", "learning_messages"})


@attrs.frozen(kw_only=True)
class Residue:
    """What one scan found. Numbers only: the text is nowhere in it."""

    #: By file ("db", "wal", "shm", "journal"): how many bytes were read.
    files: dict[str, int]
    #: Bytes of text and words that were looked for.
    text_bytes: int
    terms: int
    #: Pieces and words found where only what was erased can have put them: in bytes that belong to nothing, in
    #: full-text pages, in the WAL or a journal.
    hits: int
    #: Pieces of texts found in the rows of other tables: copies that this library does not know of.
    elsewhere: int


class Needles:
    """What is looked for: the erased texts and their words. Lives in memory only, and shows nothing of itself."""

    def __init__(self, texts: Iterable[str], analyzer: Analyzer) -> None:
        kept: list[bytes] = []
        stems: set[str] = set()
        total = 0
        #: Whether something of the texts is not looked for.
        self.sampled = False
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            room = min(TEXT_BYTES, ALL_BYTES - total)
            self.sampled = self.sampled or len(data) > room
            kept.append(data[:room].lower())
            total += len(kept[-1])
            made = analyzer.document(text[:TEXT_BYTES])
            stems.update(
                token for token in f"{made.content} {made.forms}".split() if len(token.lstrip(FORM)) >= _SHORTEST_TERM
            )
        self.text = b"\x00".join(piece for piece in kept if piece)
        #: Words of the texts as the index has them; those that other rows have too are taken out by `only`.
        self.stems = sorted(stems, key=lambda stem: (-len(stem), stem))
        self.windows = {
            window
            for at in range(len(self.text) - WINDOW + 1)
            if len(set(window := self.text[at : at + WINDOW])) >= 4 and 0 not in window
        }

    def __repr__(self) -> str:
        return f"<Needles: {len(self.text)} bytes, {len(self.stems)} words>"

    def only(self, known: set[str]) -> None:
        """Leave out the words that other rows have too."""
        self.stems = [stem for stem in self.stems if stem not in known]

    def fragments(self) -> list[bytes]:
        """What is looked for of each word, the longest words first."""
        return list(dict.fromkeys(stem.lstrip(FORM).encode("utf-8", "surrogatepass")[_FRAGMENT] for stem in self.stems))

    def pieces_in(self, data: bytes, stride: int = WINDOW) -> set[bytes]:
        """The longest pieces of the texts that stand in *data*; each of stride + WINDOW - 1 bytes or more is found."""
        low = data.lower()
        found: set[bytes] = set()
        end = 0
        for at in range(0, len(low) - WINDOW + 1, stride):
            if at >= end and low[at : at + WINDOW] in self.windows:
                piece, end = self._grown(low, at)
                found.add(piece)
        return found

    def _grown(self, low: bytes, at: int) -> tuple[bytes, int]:
        text, place = self.text, self.text.find(low[at : at + WINDOW])
        first, end, last = at, at + WINDOW, place + WINDOW
        while end < len(low) and last < len(text) and low[end] == text[last] != 0:
            end, last = end + 1, last + 1
        while first > 0 and place > 0 and low[first - 1] == text[place - 1] != 0:
            first, place = first - 1, place - 1
        return low[first:end], end


def tree_kinds(trees: Sequence[tuple[str, int]], full_text: Sequence[str]) -> list[tuple[int, int]]:
    """Each tree's first page and its kind."""
    return [(1, OTHER)] + [(root, _kind(table, full_text)) for table, root in trees]


def _kind(table: str, full_text: Sequence[str]) -> int:
    if any(table.startswith(f"{name}_") for name in full_text):
        return FULL_TEXT
    return ROWS if table in _row_tables else OTHER


def scan(path: Path, trees: Sequence[tuple[int, int]], needles: Needles) -> Residue:
    """Look for *needles* in a database and the files beside it; nothing is changed, nothing is kept.

    A piece or word that the rows of other conversations have too (a common phrase) is no residue.

    Args:
        path: The database, which a snapshot of the caller's keeps from being written over meanwhile.
        trees: What `tree_kinds` gives.
        needles: What is looked for.
    """
    pages = Pages(path, trees)
    fragments = needles.fragments()
    pieces: set[bytes] = set()
    hit: set[bytes] = set()
    elsewhere: set[bytes] = set()
    beside = {name: read_whole(Path(f"{path}-{name}")) for name in ("wal", "shm", "journal")}
    nothings = list(beside.values())
    waiting = sum(map(len, nothings))

    def look() -> None:
        low = b"\x00".join(nothings).lower()
        pieces.update(needles.pieces_in(low))
        hit.update(fragment for fragment in fragments if fragment in low)
        nothings.clear()

    for part in pages.parts():
        if part.kind is None:
            nothings.append(part.data)
            waiting += len(part.data)
            if waiting >= _TOGETHER:
                look()
                waiting = 0
        elif part.kind == FULL_TEXT:
            hit.update(fragment for fragment in fragments[:TERMS] if fragment in part.data)
        elif part.kind == OTHER:
            found = needles.pieces_in(part.data, 4 * WINDOW)
            elsewhere |= {piece for piece in found if len(piece) >= 5 * WINDOW}
    look()
    suspects = pieces | hit | elsewhere
    shared = _in_rows(Pages(path, trees), suspects) if 0 < len(suspects) <= _MOST_PIECES else set()
    return Residue(
        files={"db": pages.count * pages.size, **{name: len(data) for name, data in beside.items()}},
        text_bytes=len(needles.text),
        terms=len(needles.stems),
        hits=len((pieces | hit) - shared),
        elsewhere=len(elsewhere - shared),
    )


def found_in(draft: Path, needles: Needles) -> bool:
    """Whether a whole piece of *needles* is in a file that another command is writing: a copy of the database, most likely."""
    rest, whole = b"", set(needles.text.split(b"\x00"))
    try:
        with draft.open("rb") as file:
            while data := file.read(_TOGETHER):
                if any(len(piece) >= 5 * WINDOW or piece in whole for piece in needles.pieces_in(rest + data)):
                    return True
                rest = data[-10 * WINDOW :]
    except FileNotFoundError:
        pass  # finished, or given up
    return False


def _in_rows(pages: Pages, suspects: set[bytes]) -> set[bytes]:
    """Those of *suspects* that rows of conversations, messages and learnings have."""
    left, found = set(suspects), set()
    for part in pages.parts():
        if part.kind == ROWS and left:
            low = part.data.lower()
            now = {suspect for suspect in left if suspect in low}
            found |= now
            left -= now
    return found
