"""The recipe's application with a broker and results in a folder, so that no server is needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.programs.recipes.celery_app import app, start

folder = Path(os.environ["CELERY_FOLDER"])
for name in ("queue", "control", "results"):
    (folder / name).mkdir(exist_ok=True)
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.05,
    },
    result_backend=f"file://{folder / 'results'}",
    worker_hijack_root_logger=False,
)

if __name__ == "__main__":
    # Hand in tasks; print those that were acknowledged, one a line.
    waiting = [start.delay(session) for session in sys.argv[1:]]
    for result in waiting:
        print(result.get(timeout=50, interval=0.02))
