"""Two servers under the same load in turns, to be compared although the machine has good and bad minutes."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime
from functools import partial

from siamcorr_load.controller import Enough, OnWindow, measure
from siamcorr_load.cut_short import CUTS, as_cut
from siamcorr_load.kept import Kept
from siamcorr_load.results import Run
from siamcorr_load.settings import Load
from siamcorr_load.summary import summary

__all__ = ["run_in_turns"]


def run_in_turns(
    load: Load, against: str, on_window: OnWindow = lambda _: None, *, keeps_what_it_has: bool = False
) -> tuple[Run, Run]:
    """Load the load's server and the server ``against``, HOST:PORT, in turns, ``load.repeats`` times each.

    The order is a b, b a, a b and so on, so that a machine that slows down steadily is fair to both. Each
    repeat has just ``load.windows`` windows. ``Run.turns`` tells that the two belong together.

    Args:
        load: what is asked of both.
        against: the second server.
        on_window: told each window.
        keeps_what_it_has: if it is cut short (:mod:`siamcorr_load.cut_short`) when both servers have closed a
            window, return what was measured, as runs that cannot be believed.

    Raises:
        ServerUnavailable: a server, or a generator, failed before that.
    """
    loads = (load, dataclasses.replace(load, server=against))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    kept = (Kept(), Kept())
    try:
        for number in range(load.repeats):
            for place in (0, 1) if number % 2 == 0 else (1, 0):
                kept[place].add(partial(measure, loads[place], on_window, _has_all(load)))
        return _pair(loads, kept, started)
    except CUTS as error:
        if not (keeps_what_it_has and all(one.repeats() for one in kept)):
            raise
        a, b = _pair(loads, kept, started)
        return as_cut(a, error), as_cut(b, error)


def _has_all(load: Load) -> Enough:
    return lambda windows: len(windows) >= load.windows


def _pair(loads: tuple[Load, Load], kept: tuple[Kept, Kept], started: str) -> tuple[Run, Run]:
    turns = uuid.uuid4().hex
    a, b = (
        dataclasses.replace(summary(load, one.repeats(), started=started, must_agree=False), turns=turns)
        for load, one in zip(loads, kept, strict=True)
    )
    return a, b
