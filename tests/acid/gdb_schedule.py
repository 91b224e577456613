"""Runs inside gdb: stops a checkpoint between reading the WAL's header and using it, and lets it go on when told.

After the checkpoint's lock is taken (byte 121 of the -shm file, WAL_CKPT_LOCK), the process is stepped, instruction by
instruction, to the n-th return into sqlite3WalCheckpoint before its next lock. Then the file "stopped" is made, and the
file "go" is waited for.
"""

import os
import time
from pathlib import Path

import gdb  # what gdb gives its scripts

folder = Path(os.environ["ACID_FOLDER"])
number = int(os.environ["ACID_RETURN"])


def run(command: str) -> None:
    gdb.execute(command, to_string=True)


for setting in ("pagination off", "confirm off", "breakpoint pending on"):
    run(f"set {setting}")
run("tbreak getppid")  # the script's mark, behind its imports
run("run")
run("tbreak *fcntl64 if $rsi == 6 && *(short *)$rdx == 1 && *(long *)($rdx + 8) == 121")
run("continue")
run("finish")
name, returns = "", 0
for _ in range(5000):
    run("stepi")
    before, name = name, gdb.selected_frame().name() or ""
    if "fcntl" in name:
        break
    if name == "sqlite3WalCheckpoint" and before != name:
        returns += 1
        if returns == number:
            (folder / "stopped").touch()
            end = time.monotonic() + 20
            while not (folder / "go").exists() and time.monotonic() < end:
                time.sleep(0.01)
            break
run("continue")
