"""A device that tests can hold: everything that comes meanwhile waits, so what happens next does not race."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from siamcorr import Engine
from siamcorr.calls import Frame
from siamcorr.geometry import CropSettings

__all__ = ["IMAGE", "PATIENCE_S", "Gate", "held"]

PATIENCE_S = 30.0
"""How long a test waits for what must happen before it fails: no test takes nearly as long."""

IMAGE = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)


class Gate:
    """An embedder of raw pixels that waits, on the device's thread, until it is opened."""

    name = "gate"
    crop = CropSettings(template_px=8, search_px=16)
    stride = 1

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def shape(self, size_px: int) -> tuple[int, int, int]:
        return 3, size_px, size_px

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.entered.set()
        if not self.opened.wait(PATIENCE_S):
            raise TimeoutError("nobody opened the gate")
        return crops.permute(0, 3, 1, 2).float()


@contextmanager
def held(engine: Engine, gate: Gate) -> Iterator[None]:
    """Hold the device of ``engine``, which has ``gate`` as a model, until the block ends."""
    gate.entered.clear()
    gate.opened.clear()
    holder = engine.submit_create(Frame(IMAGE, np.array([[10.0, 10.0, 20.0, 20.0]]), "gate"))
    if not gate.entered.wait(PATIENCE_S):
        raise TimeoutError("the device was never reached")
    try:
        yield
    finally:
        gate.opened.set()
        (template,) = holder.result(PATIENCE_S)
        engine.delete_template(template)
