"""The write gate between threads and processes."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datastore.engines.sqlite.gate import Gate
from datastore.errors import BusyError
from tests.conftest import until

#: Takes the gate, says so, and holds it until its standard input ends.
HOLD = """
import sys
from datastore.engines.sqlite.gate import Gate
gate = Gate(sys.argv[1])
gate.acquire(10)
print("held", flush=True)
sys.stdin.read()
gate.release()
"""

#: Adds one to a number in a file, again and again: read, wait, write.
COUNT = """
import sys, time
from datastore.engines.sqlite.gate import Gate
gate = Gate(sys.argv[1])
for _ in range(50):
    gate.acquire(30)
    number = int(open(sys.argv[2]).read())
    time.sleep(0.0005)
    open(sys.argv[2], "w").write(str(number + 1))
    gate.release()
"""

#: Waits for the gate; says when it waits and when it is in, and holds it until its standard input ends.
WAIT = """
import sys
from datastore.engines.sqlite.gate import Gate
gate = Gate(sys.argv[1])
print("waits", flush=True)
gate.acquire(60)
print("in", flush=True)
sys.stdin.read()
gate.release()
"""

Hold = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "app.db.gate")


@pytest.fixture
def hold(file: str) -> Iterator[Hold]:
    """Starts a process that holds the gate."""
    started: list[subprocess.Popen[str]] = []

    def hold() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def test_processes_exclude_each_other(file: str, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, file, str(number)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert number.read_text() == "150"


def test_threads_exclude_each_other(file: str) -> None:
    gate = Gate(file)
    gate.acquire(1)
    caught: list[type[BaseException]] = []

    def wait() -> None:
        try:
            gate.acquire(0.1)
        except BusyError as error:
            caught.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    gate.release()
    assert caught == [BusyError]
    gate.acquire(0.1)
    gate.release()
    gate.close()


def test_waiting_ends_at_the_timeout(file: str, hold: Hold) -> None:
    hold()
    gate = Gate(file)
    began = time.monotonic()
    with pytest.raises(BusyError, match="write gate"):
        gate.acquire(0.2)
    assert 0.15 < time.monotonic() - began < 15
    assert not gate.mine


def test_a_waiter_gets_the_gate_when_it_is_let_go(file: str, hold: Hold) -> None:
    process = hold()
    assert process.stdin is not None
    timer = threading.Timer(0.2, process.stdin.close)
    timer.start()
    gate = Gate(file)
    gate.acquire(10)
    assert gate.mine
    other = Gate(file)
    with pytest.raises(BusyError):
        other.acquire(0.1)
    gate.release()
    gate.close()


def test_a_waiter_that_gave_up_lets_go_what_it_gets_late(file: str, hold: Hold) -> None:
    process = hold()
    gate = Gate(file)
    with pytest.raises(BusyError):
        gate.acquire(0.05)
    process.communicate()  # ends it; the abandoned waiter is next in the queue
    gate.acquire(5)
    gate.release()
    gate.close()


def test_the_death_of_a_holder_frees_the_gate(file: str, hold: Hold) -> None:
    process = hold()
    os.kill(process.pid, signal.SIGKILL)
    gate = Gate(file)
    gate.acquire(5)
    gate.release()
    gate.close()


def test_without_processes_no_file_is_made(file: str) -> None:
    gate = Gate(file, across_processes=False)
    gate.acquire(1)
    gate.release()
    assert not Path(file).exists()


def test_an_open_gate_lets_in_whoever_has_no_time_to_wait(file: str) -> None:
    holder, other = Gate(file), Gate(file)
    holder.acquire(1)
    with pytest.raises(BusyError):
        other.acquire(0)
    holder.release()
    other.acquire(0)  # nobody holds it
    other.release()
    holder.close()
    other.close()


# The tickets.


def tickets(file: str) -> tuple[int, int]:
    """The last ticket drawn, the last one that went in."""
    return struct.unpack("=QQ", Path(file).read_bytes()[:16])


@pytest.fixture
def wait(file: str) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that waits for the gate, and returns when it has drawn its ticket."""
    started: list[subprocess.Popen[str]] = []

    def wait() -> subprocess.Popen[str]:
        drawn = tickets(file)[0]
        process = subprocess.Popen(
            [sys.executable, "-c", WAIT, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert said(process) == "waits"
        until(lambda: tickets(file)[0] == drawn + 1)
        return process

    yield wait
    for process in started:
        process.kill()
        process.wait()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def test_who_waits_goes_in_by_ticket(file: str, hold: Hold, wait: Hold) -> None:
    holder = hold()
    waiters = [wait() for _ in range(4)]
    holder.communicate()
    for number, process in enumerate(waiters, 1):
        assert said(process) == "in"
        until(lambda number=number: tickets(file) == (4, number))  # type: ignore[misc]
        other = Gate(file)
        with pytest.raises(BusyError):  # whoever comes now is behind all of them, and there is one inside
            other.acquire(0.02)
        other.close()
        write_tickets(file, 4, number)  # the ticket that it drew was given up with it
        process.communicate()


def write_tickets(file: str, drawn: int, served: int) -> None:
    with open(file, "r+b") as stream:
        stream.write(struct.pack("=QQ", drawn, served))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "is stopped"])
def test_a_waiter_that_is_gone_does_not_block_those_behind(file: str, hold: Hold, wait: Hold, number: int) -> None:
    holder = hold()
    gone, behind, last = wait(), wait(), wait()
    os.kill(gone.pid, number)
    if number == signal.SIGKILL:
        gone.wait()
    else:
        os.waitpid(gone.pid, os.WUNTRACED)  # it has stopped
    for process in (behind, last):  # their order may be lost once: each leaves as soon as it was in
        assert process.stdin is not None
        process.stdin.close()
    holder.communicate()
    assert [said(process) for process in (behind, last)] == ["in", "in"]
    assert [process.wait(60) for process in (behind, last)] == [0, 0]
    if number == signal.SIGSTOP:
        os.kill(gone.pid, signal.SIGCONT)  # it comes late, and gets in
        assert said(gone) == "in"


def test_a_timeout_gives_the_place_up(file: str, hold: Hold, wait: Hold) -> None:
    holder = hold()
    gate = Gate(file)
    with pytest.raises(BusyError):
        gate.acquire(0.1)
    assert tickets(file) == (1, 0)
    behind = wait()
    holder.communicate()
    assert said(behind) == "in"
    behind.communicate()
    gate.acquire(10)  # and who gave up may come again
    gate.release()
    gate.close()


def test_ctrl_c_while_waiting_leaves_nothing_held(file: str, hold: Hold, wait: Hold) -> None:
    holder = hold()
    gate = Gate(file)
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        gate.acquire(30)
    timer.join()
    assert not gate.mine
    behind = wait()
    holder.communicate()
    assert said(behind) == "in"
    with pytest.raises(BusyError):
        gate.acquire(0.05)
    behind.communicate()
    gate.acquire(10)
    gate.release()
    gate.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_not_what_its_parent_holds(file: str) -> None:
    gate = Gate(file)
    gate.acquire(1)
    child = os.fork()
    if child == 0:  # no assertion may leave the child
        code = 1
        try:
            gate.forget()
            try:
                gate.acquire(0.2)
            except BusyError:
                code = 0 if not gate.mine else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other = Gate(file)
    with pytest.raises(BusyError):  # the child's end has not let go of the parent's lock
        other.acquire(0.05)
    gate.release()
    other.acquire(5)
    other.release()
    gate.close()
    other.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\xff" * 16,
        struct.pack("=QQ", 5, 0),
        struct.pack("=QQ", 0, 2**40),
        struct.pack("=QQ", 2**48 - 1, 2**48 - 2),
        struct.pack("=QQ", 2**64 - 1, 0),
        os.urandom(4096),
    ],
    ids=["empty", "short", "ones", "tickets of the dead", "ahead", "at the end", "far behind", "noise"],
)
def test_whatever_the_side_file_says_there_is_never_a_second_one_inside(
    file: str, tmp_path: Path, content: bytes
) -> None:
    Path(file).write_bytes(content)
    number = tmp_path / "number"
    number.write_text("0")
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNT.replace("50", "15"), file, str(number)]) for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert number.read_text() == "45"


def test_a_side_file_that_changes_meanwhile_lets_nobody_in_beside_another(file: str, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    Path(file).write_bytes(bytes(16))
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, file, str(number)]) for _ in range(3)]
    chance = random.Random(1)
    while any(process.poll() is None for process in processes):
        write_tickets(file, chance.randrange(2**64), chance.randrange(2**64))
        time.sleep(0.002)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert number.read_text() == "150"
