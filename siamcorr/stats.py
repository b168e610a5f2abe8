"""Numbers of an engine at one moment, for whoever watches over it."""

from __future__ import annotations

from dataclasses import dataclass

from siamcorr.bank import BankStats
from siamcorr.lane import LaneStats
from siamcorr.ops.kernel import Compilations

__all__ = ["EngineStats"]


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Calls that have not ended, the two queues, and the bank. ``device.batches`` counts launches.

    ``device_bytes`` is what all tensors of this process take on the device; None on the CPU, where torch does
    not count. ``compilations`` are those of kernels for new shapes, for which launches had to wait.
    """

    requests: int
    frames: LaneStats
    device: LaneStats
    bank: BankStats
    device_bytes: int | None
    compilations: Compilations
