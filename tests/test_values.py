"""Ids, times, JSON, text and numbers on their way into the database and back."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.errors import InvalidValueError
from datastore.values import (
    MAX_JSON_BYTES,
    check_number,
    check_text,
    decode_json,
    decode_timestamp,
    distinct_tags,
    encode_json,
    encode_timestamp,
    new_id,
)

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)
plain_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=12,
)


def test_an_id_is_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    id = uuid.UUID(new_id())
    assert (id.version, id.variant) == (7, uuid.RFC_4122)
    assert before <= id.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_made_later_sort_later() -> None:
    ids = []
    for _ in range(200):
        ids.append(new_id())
        end = time.time_ns() + 1000  # steps are of 244 ns
        while time.time_ns() < end:
            pass
    assert ids == sorted(ids)
    assert len({new_id() for _ in range(10_000)}) == 10_000


@given(instants)
def test_an_instant_comes_back(instant: datetime) -> None:
    text = encode_timestamp(instant)
    assert len(text) == 27
    assert decode_timestamp(text) == instant
    assert decode_timestamp(text).utcoffset() == timedelta(0)


@given(instants, instants)
def test_the_order_of_texts_is_the_order_of_time(one: datetime, other: datetime) -> None:
    assert (encode_timestamp(one) < encode_timestamp(other)) == (one < other)


@pytest.mark.parametrize(
    "value", [datetime(2026, 1, 1), "2026-01-01", None, 0, datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))]
)
def test_what_is_no_instant_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValueError):
        encode_timestamp(value)


@given(json_values)
def test_json_comes_back(value: Any) -> None:
    assert decode_json(encode_json(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        {"a": [math.inf]},
        {"a": "\x00"},
        {"\x00": 1},
        {"a": "\\\\\x00"},
        {"a": "\ud800"},
        {1: "a"},
        {"a": {None: 1}},
        [{True: 1}],
        {"a": object()},
        {"a": {1, 2}},
        {"a": "x" * MAX_JSON_BYTES},
    ],
)
def test_what_json_cannot_keep_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValueError):
        encode_json(value)


def test_a_loop_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidValueError):
        encode_json(loop)


def test_the_words_for_a_nul_are_no_nul() -> None:
    assert decode_json(encode_json({"a": "\\u0000"})) == {"a": "\\u0000"}


def test_json_of_exactly_the_limit_is_kept() -> None:
    assert len(encode_json("x" * (MAX_JSON_BYTES - 2))) == MAX_JSON_BYTES


@given(plain_text)
def test_text_is_kept(text: str) -> None:
    assert check_text(text, "title") == text
    assert json.loads(encode_json(text)) == text


@pytest.mark.parametrize("value", ["a\x00b", "\udfff", b"bytes", None, 1])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="title"):
        check_text(value, "title")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", None])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="confidence"):
        check_number(value, "confidence")


def test_tags_are_distinct_and_sorted() -> None:
    assert distinct_tags(["b", "a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("tags", ["one", [""], ["x" * 101], [1], ["\x00"], ["\ud800"]])
def test_what_is_no_tag_is_refused(tags: Any) -> None:
    with pytest.raises(InvalidValueError, match="tags"):
        distinct_tags(tags)


def test_a_forked_child_makes_ids_of_its_own() -> None:
    code = (
        "import os, time\n"
        "from datastore import values\n"
        "values.time.time_ns = lambda: 10**18\n"
        "reading, writing = os.pipe()\n"
        "child = os.fork()\n"
        "made = '\\n'.join(values.new_id() for _ in range(50))\n"
        "if child == 0:\n"
        "    os.write(writing, made.encode())\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "other = os.read(reading, 65536).decode()\n"
        "assert len(set(made.split()) | set(other.split())) == 100\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
