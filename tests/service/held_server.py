"""``siamcorr-server`` with the gate as a model, for tests that hold the device of a whole process.

A line on stdin shuts the gate, which is told on stdout, and so is that the device's thread is held. Another
line opens it again.
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import siamcorr.engine
from gates import Gate
from siamcorr_server.__main__ import main


def obey(gate: Gate) -> None:
    """Do as the lines on stdin say."""
    sys.stdin.readline()
    gate.entered.clear()
    gate.opened.clear()
    sys.stdout.write("shut\n")
    sys.stdout.flush()
    gate.entered.wait()
    sys.stdout.write("entered\n")
    sys.stdout.flush()
    sys.stdin.readline()
    gate.opened.set()


if __name__ == "__main__":
    gate = Gate()
    gate.opened.set()
    siamcorr.engine.Engine = partial(siamcorr.engine.Engine, embedders={"gate": gate})  # type: ignore[misc, assignment]
    threading.Thread(target=obey, args=(gate,), daemon=True).start()
    sys.exit(main())
