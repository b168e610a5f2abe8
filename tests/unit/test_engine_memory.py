"""What templates cost: little more than their own bytes, as counted and as the operating system sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")

PROGRAM = """
import json, resource
from pathlib import Path

import numpy as np

from siamcorr import Engine, EngineSettings

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

z = np.ones((256, 6, 6), np.float32)
with Engine(EngineSettings(device="cpu", models={})) as engine:
    first = engine.create_template(z)
    engine.correlate(first, features=np.ones((256, 22, 22), np.float32))
    before = resident()
    templates = [engine.create_template(z) for _ in range(10_000)]
    print(json.dumps({
        "own": (len(templates) + 1) * z.nbytes,
        "counted": engine.stats().bank.bytes_used,
        "resident": resident() - before,
    }))
"""


@pytest.mark.skipif(not STATM.exists(), reason="needs Linux's /proc")
def test_ten_thousand_templates_take_a_tenth_more_than_their_own_bytes() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["own"] == 10_001 * 256 * 6 * 6 * 4
    assert found["own"] <= found["counted"] <= 1.1 * found["own"]
    assert found["resident"] <= 1.1 * found["own"]
