"""A server that dies in the middle of a load and is started again: what its clients see of that.

Clients keep asking, as trackers do: after a failure they try again a moment later, and when they are told
that there is no such template, which a new server must say, they make it again. So they come back by
themselves, or the server, or the client, has a fault.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from siamcorr.answers import Template
from siamcorr.errors import SiamcorrError, TemplateNotFound
from siamcorr_client import AsyncClient
from siamcorr_load.report_units import time_text
from siamcorr_load.soundness import TEMPLATE, Aftermath, call, is_answer, left_behind, wrong_answers

__all__ = ["Restartable", "run_restart"]

_TIMEOUT_S = 1.0
_PAUSE_S = 0.02  # after a failure, before the next try
_ANSWERS = 20  # of each client, before the server goes and after it has come again
_PATIENCE_S = 30.0


class Restartable(Protocol):
    """A server that can be killed, and started again at the same address."""

    address: str

    def start(self) -> None:
        """Start it, and return once it answers."""

    def kill(self) -> None:
        """End it without a warning."""


@dataclass(slots=True)
class _Seen:
    """What one client has met."""

    answers: int = 0
    wrong: int = 0
    last_s: float = 0.0
    longest_gap_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def answered(self, now_s: float, *, is_right: bool) -> None:
        """Take in an answer."""
        if self.last_s:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_s)
        self.answers += 1
        self.wrong += not is_right
        self.last_s = now_s


async def run_restart(server: Restartable, *, ttl_s: float, size: int = 4) -> Aftermath:
    """Kill a server that runs under load, start it again, and look what its clients and it came to.

    Args:
        server: it runs.
        ttl_s: the server's ``--template-ttl``, in seconds.
        size: how many clients there are.
    """
    seen = [_Seen() for _ in range(size)]
    following = [asyncio.create_task(_follow(server.address, one)) for one in seen]
    try:
        faults = await _until_all_answered(seen, "before the server was killed")
        begin_s = time.monotonic()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        away_s = time.monotonic() - begin_s
        for one in seen:
            one.answers = 0  # the gap goes on: it began with the last answer
        faults += await _until_all_answered(seen, "after the server had come again")
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    if faults:
        return Aftermath("restart", _words(seen, away_s), tuple(faults))
    async with AsyncClient(server.address) as client:
        faults += _faults_of(seen)
        faults += await wrong_answers(client)
        faults += await left_behind(client, set(), ttl_s)
    return Aftermath("restart", _words(seen, away_s), tuple(faults))


async def _follow(address: str, seen: _Seen) -> None:
    async with AsyncClient(address, timeout_s=_TIMEOUT_S, attempts=1) as client:
        template: Template | None = None
        while True:
            try:
                if template is None:
                    template = await client.create_template(TEMPLATE)
                response = await call(client, template)
            except SiamcorrError as error:
                seen.failures[error.reason] += 1
                if isinstance(error, TemplateNotFound):
                    template = None
                await asyncio.sleep(_PAUSE_S)
            else:
                seen.answered(time.monotonic(), is_right=is_answer(response))


async def _until_all_answered(seen: list[_Seen], when: str) -> list[str]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while any(one.answers < _ANSWERS for one in seen):  # noqa: ASYNC110 - many tell of it
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        silent = sum(one.answers < _ANSWERS for one in seen)
        return [f"{silent} of {len(seen)} clients were not answered {when}"]
    return []


def _faults_of(seen: list[_Seen]) -> list[str]:
    faults = []
    if wrong := sum(one.wrong for one in seen):
        faults.append(f"wrong answers: {wrong}")
    if untold := sum(not one.failures[TemplateNotFound.reason] for one in seen):
        faults.append(f"{untold} of {len(seen)} clients were not told that their template is gone")
    return faults


def _words(seen: list[_Seen], away_s: float) -> str:
    failures = sum((one.failures for one in seen), Counter[str]())
    each = ", ".join(f"{count} {reason}" for reason, count in sorted(failures.items()))
    gap_s = max(one.longest_gap_s for one in seen)
    return (
        f"the server was killed under {len(seen)} clients and was back after {time_text(away_s)}; they were "
        f"without answers for {time_text(gap_s)} at most; {failures.total()} requests failed ({each})"
    )
