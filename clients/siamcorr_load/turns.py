"""Two servers under the same load in turns, to be compared although the machine has good and bad minutes."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime

from siamcorr_load.controller import OnWindow, measure
from siamcorr_load.results import Run
from siamcorr_load.settings import Load
from siamcorr_load.summary import Measured, summary

__all__ = ["run_in_turns"]


def run_in_turns(load: Load, against: str, on_window: OnWindow = lambda _: None) -> tuple[Run, Run]:
    """Load the load's server and the server ``against``, HOST:PORT, in turns, ``load.repeats`` times each.

    The order is a b, b a, a b and so on, so that a machine that slows down steadily is fair to both. Each
    repeat has just ``load.windows`` windows. ``Run.turns`` tells that the two belong together.

    Raises:
        ServerUnavailable: a server, or a generator, failed; what was measured until then is lost.
    """
    loads = (load, dataclasses.replace(load, server=against))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    measured: tuple[list[Measured], list[Measured]] = ([], [])
    for number in range(load.repeats):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            measured[place].append(measure(loads[place], on_window, lambda all_: len(all_) >= load.windows))
    turns = uuid.uuid4().hex
    a, b = (
        dataclasses.replace(summary(one, repeats, started=started, must_agree=False), turns=turns)
        for one, repeats in zip(loads, measured, strict=True)
    )
    return a, b
