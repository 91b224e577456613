"""Signal handlers that use the store, and programs that are stopped by a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.programs.running import PATIENCE, ROOT, Database, Outcome, environment, kill_group, run

BOTH_ENGINES = True


@pytest.mark.parametrize("calls", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_a_signal_handler_that_uses_the_store(database: Database, calls: int) -> None:
    """Its call works, or is refused with a TransactionError; the call that it interrupted is not harmed."""
    outcome = run("signals", database, str(calls), patience=60 if calls < 1000 else 300)
    assert outcome.untyped == []
    assert outcome.facts["signals"] > calls / 20
    assert {kind for key, kind in outcome.refused.items() if key.startswith("signal")} <= {
        "TransactionError",
        "BusyError",
    }
    assert {kind for key, kind in outcome.refused.items() if key.startswith("main")} == {"Refused"}
    # Inside a block that was rolled back the handler's rows are a part of it, or of their own.
    kept = set(outcome.facts["open"]) & set(database.stored())
    outcome.assert_kept(database, also=kept)


@pytest.mark.parametrize("kind", [signal.SIGTERM])
def test_a_handler_that_sets_a_flag(database: Database, kind: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.apps.stopping"], stdout=subprocess.PIPE, env=environment(database), cwd=ROOT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(kind)
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    finally:
        kill_group(process)
    outcome = Outcome(**json.loads(out))
    assert outcome.refused == {}
    assert outcome.acknowledged
    outcome.assert_kept(database)
