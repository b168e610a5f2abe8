"""What a lane tells of itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from siamcorr.batcher import Limits
from siamcorr.lane import Lane, Ticket

PATIENCE_S = 30.0


@dataclass
class Chore:
    key: str = "k"
    size: int = 1
    size_bytes: int = 1


def test_the_age_of_the_queue_is_that_of_the_oldest_that_waits() -> None:
    now_s, entered, may_end = [10.0], threading.Event(), threading.Event()

    def serve(chores: Sequence[Chore]) -> list[object]:
        entered.set()
        assert may_end.wait(PATIENCE_S)
        return [None for _ in chores]

    def ticket() -> Ticket[Chore]:
        return Ticket(Chore(), lambda *_: None)

    limits = Limits(max_jobs=50, max_bytes=1000, max_batch=4)
    lane = Lane[Chore]("test", limits, serve, threads=1, clock=lambda: now_s[0])
    lane.admit([ticket()])
    assert entered.wait(PATIENCE_S)
    assert lane.stats().oldest_s == 0.0
    now_s[0] = 11.0
    lane.admit([ticket()])
    now_s[0] = 14.0
    lane.admit([ticket()])
    assert lane.stats().oldest_s == 3.0
    may_end.set()
    lane.close()
    assert lane.stats().oldest_s == 0.0
