"""Search a database's files, byte by byte, for remains of erased texts and vectors, which are stored nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from datastore.engines.sqlite.pages import Pages, read_whole
from datastore.search.analysis import FORM, Analyzer

#: Length in bytes of the compared pieces: text is found wherever 2 * WINDOW - 1 of its bytes are left.
WINDOW = 12
#: Bytes searched for, per text and in total, from the beginning of each text.
TEXT_BYTES = 64 * 1024
ALL_BYTES = 512 * 1024
#: Bytes searched for per vector, and of all vectors.
VECTOR_BYTES = 64
ALL_VECTOR_BYTES = 256 * 1024
#: Number of words (the longest) searched for in the full-text indexes.
TERMS = 16
#: The part of a word that is searched for: after two bytes, because the index shares prefixes between neighbouring words.
_FRAGMENT = slice(2, 9)
_SHORTEST_TERM = 8
#: If more pieces than this are found, they all count as left, without checking whether other rows have them.
_MOST_PIECES = 400
#: Bytes of free space that are searched at a time.
_TOGETHER = 4 * 1024 * 1024

#: The content of a tree.
ROWS, FULL_TEXT, OTHER = 1, 2, 3
_row_tables = frozenset(
    {"conversations", "branches", "messages", "learnings", "learning_tags", "learning_messages"}
) | {
    "learning_vectors",
    "message_vectors",
}


@attrs.frozen(kw_only=True)
class Residue:
    """The result of one scan. It has only numbers, no text."""

    #: Bytes read, by file ("db", "wal", "shm", "journal").
    files: dict[str, int]
    #: Bytes of text, and number of words, that were searched for.
    text_bytes: int
    terms: int
    #: Pieces and words found where only the erased data can have left them: in free space, in
    #: full-text pages, in the WAL or a journal.
    hits: int
    #: Pieces of texts found in the rows of other tables: copies that this library does not know about.
    elsewhere: int


class Needles:
    """The erased texts, their words and their vectors, to search for. Exists only in memory; its repr shows no text."""

    def __init__(self, texts: Iterable[str], analyzer: Analyzer, vectors: Iterable[bytes] = ()) -> None:
        kept: list[bytes] = []
        stems: set[str] = set()
        total = 0
        #: Whether a part of the texts is not searched for.
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
        # Vectors are searched for like texts; a part of each is enough.
        for vector in vectors:
            room = min(VECTOR_BYTES, ALL_VECTOR_BYTES + ALL_BYTES - total)
            self.sampled = self.sampled or room <= 0
            kept.append(vector[: max(0, room)].lower())
            total += len(kept[-1])
        self.text = b"\x00".join(piece for piece in kept if piece)
        #: Words of the texts in their indexed form; `only` removes those that other rows have too.
        self.stems = sorted(stems, key=lambda stem: (-len(stem), stem))
        self.windows = {
            window
            for at in range(len(self.text) - WINDOW + 1)
            if len(set(window := self.text[at : at + WINDOW])) >= 4 and 0 not in window
        }

    def __repr__(self) -> str:
        return f"<Needles: {len(self.text)} bytes, {len(self.stems)} words>"

    def only(self, known: set[str]) -> None:
        """Remove the words that other rows have too."""
        self.stems = [stem for stem in self.stems if stem not in known]

    def fragments(self) -> list[bytes]:
        """The part of each word that is searched for, the longest words first."""
        return list(dict.fromkeys(stem.lstrip(FORM).encode("utf-8", "surrogatepass")[_FRAGMENT] for stem in self.stems))

    def pieces_in(self, data: bytes, stride: int = WINDOW) -> set[bytes]:
        """The longest pieces of the texts in *data*; every piece of at least stride + WINDOW - 1 bytes is found."""
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
    """Each tree's root page and its kind.

    The first is the schema, which nobody's text is in: a phrase of its comments, left in a gap of its pages, is no residue.
    """
    return [(1, ROWS)] + [(root, _kind(table, full_text)) for table, root in trees]


def _kind(table: str, full_text: Sequence[str]) -> int:
    if any(table.startswith(f"{name}_") for name in full_text):
        return FULL_TEXT
    return ROWS if table in _row_tables else OTHER


def scan(path: Path, trees: Sequence[tuple[int, int]], needles: Needles) -> Residue:
    """Search a database and its companion files for *needles*; nothing is changed or stored.

    A piece or word that rows of other conversations or the schema also have (a common phrase) is not residue.

    Args:
        path: The database; the caller's snapshot prevents its pages from being overwritten during the scan.
        trees: The result of `tree_kinds`.
        needles: The texts and words to search for.
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
    """Whether a long piece or a whole text of *needles* is in a file that another command is writing, probably a backup."""
    rest, whole = b"", set(needles.text.split(b"\x00"))
    try:
        with draft.open("rb") as file:
            while data := file.read(_TOGETHER):
                if any(len(piece) >= 5 * WINDOW or piece in whole for piece in needles.pieces_in(rest + data)):
                    return True
                rest = data[-10 * WINDOW :]
    except FileNotFoundError:
        pass  # finished or abandoned
    return False


def _in_rows(pages: Pages, suspects: set[bytes]) -> set[bytes]:
    """The *suspects* that also occur in rows of conversations, messages and learnings, or in the schema."""
    left, found = set(suspects), set()
    for part in pages.parts():
        if part.kind == ROWS and left:
            low = part.data.lower()
            now = {suspect for suspect in left if suspect in low}
            found |= now
            left -= now
    return found
