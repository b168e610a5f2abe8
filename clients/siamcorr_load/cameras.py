"""A camera and its targets, as a tracker serves them: one request a frame, and templates that change.

Targets come and go: a new template is made, it takes the place of the old one, and the old one is dropped
once no request that named it is out. An update replaces a template; it has the next generation then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Unpack

import numpy.typing as npt

from siamcorr.answers import Response, Template
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateOptions, Image
from siamcorr.errors import SiamcorrError
from siamcorr_load.checking import is_right
from siamcorr_load.payloads import VARIANTS, Payload
from siamcorr_load.settings import Load

__all__ = ["Caller", "Camera", "Correlator", "Seen", "Target"]

_PATIENCE_S = 10.0
"""What is made before anything is measured is waited for as long as this, in seconds."""


class Correlator(Protocol):
    """A client, or a stream of one."""

    async def correlate(
        self,
        template: Sequence[str],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> list[Response]:
        """Correlate."""


class Caller(Protocol):
    """The rest of a client."""

    async def create_template(
        self,
        features: Array | None = None,
        *,
        image: Image | None = None,
        box: npt.ArrayLike | None = None,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> Template:
        """Make a template."""

    async def update_template(
        self,
        template: str,
        features: Array | None = None,
        *,
        image: Image | None = None,
        box: npt.ArrayLike | None = None,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> Template:
        """Replace a template."""

    async def delete_template(self, template: str, *, timeout_s: float | None = None) -> None:
        """Forget a template."""


@dataclass(slots=True, eq=False)
class Target:
    """One target: its template's handle, and the variant that each generation of it has.

    After an update that failed it is not known any more which generation it has.
    """

    number: int
    handle: str
    variants: dict[int, int] = field(default_factory=dict)
    is_updating: bool = False
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """The answer to one frame, and the targets that it was asked for."""

    frame: int
    targets: tuple[Target, ...]
    responses: list[Response]


class Camera:
    """Sends the requests of one camera."""

    def __init__(
        self, number: int, load: Load, payload: Payload, caller: Caller, correlator: Correlator
    ) -> None:
        """Have no targets yet; :meth:`open` makes them."""
        self.out = 0
        """How many correlate requests wait for an answer."""
        self._load, self._payload = load, payload
        self._patience_s = max(load.timeout_s, _PATIENCE_S)
        self._caller, self._correlator = caller, correlator
        self._chance = random.Random(f"{load.seed} targets {number}")  # noqa: S311 - a load, not a secret
        self._targets: list[Target] = []
        self._all: set[Target] = set()
        self._waiting: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        """Make the templates."""
        targets = range(self._load.targets)
        self._targets = [await self._create(target, self._patience_s) for target in targets]

    async def close(self) -> None:
        """Drop the templates that are left; a server that is gone has none."""
        for target in list(self._all):
            try:
                await self._drop(target)
            except SiamcorrError:
                continue

    async def learn(self) -> None:
        """Ask for each frame once, for the payload to know the answers that it does not compute."""
        for frame in range(self._payload.lessons):
            responses = await self._correlator.correlate(
                [target.handle for target in self._targets],
                timeout_s=self._patience_s,
                **self._payload.search(frame, is_lesson=True),
            )
            self._payload.learn(0, frame, responses)

    async def correlate(self, frame: int) -> Seen:
        """Send one frame's request.

        Raises:
            SiamcorrError: it failed.
        """
        targets = tuple(self._targets)
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(finished)
        self.out += 1
        try:
            responses = await self._correlator.correlate(
                [target.handle for target in targets],
                timeout_s=self._load.timeout_s,
                **self._payload.search(frame),
            )
        finally:
            self.out -= 1
            self._waiting.discard(finished)
            finished.set_result(None)
        return Seen(frame, targets, responses)

    def changes(self, frame: int) -> list[Coroutine[Any, Any, None]]:
        """Return what is to be done beside one frame's request, because targets come, go and change."""
        found = []
        load = self._load
        if load.update_every and frame % load.update_every == load.update_every - 1:
            found.append(self._update(self._chance.choice(self._targets)))
        if load.life_s is not None:
            share = load.period_s / load.life_s
            places = range(len(self._targets))
            found += [self._replace(place) for place in places if self._chance.random() < share]
        return found

    def check(self, seen: Seen) -> bool | None:
        """Return whether one response of an answer, at random, is right; None where that is not known."""
        if len(seen.responses) != len(seen.targets):
            return False
        place = self._chance.randrange(len(seen.targets))
        target, response = seen.targets[place], seen.responses[place]
        if not target.is_known:
            return None
        variant = target.variants.get(response.generation)
        if response.template != target.handle or variant is None:
            return False
        expected = self._payload.expected(target.number, variant, seen.frame)
        return None if expected is None else is_right(response, expected)

    async def _create(self, number: int, timeout_s: float) -> Target:
        source = self._payload.template(number, 0)
        template = await self._caller.create_template(timeout_s=timeout_s, **source)
        target = Target(number, template.handle, {template.generation: 0})
        self._all.add(target)
        return target

    async def _drop(self, target: Target) -> None:
        self._all.discard(target)
        await self._caller.delete_template(target.handle, timeout_s=self._load.timeout_s)

    async def _replace(self, place: int) -> None:
        old = self._targets[place]
        new = await self._create(old.number, self._load.timeout_s)
        if self._targets[place] is not old:  # another one was faster
            await self._drop(new)
            return
        self._targets[place] = new
        if self._waiting:
            await asyncio.wait(self._waiting)
        await self._drop(old)

    async def _update(self, target: Target) -> None:
        if target.is_updating or not target.is_known or target not in self._targets:
            return
        target.is_updating = True
        try:
            generation, variant = max(target.variants.items())
            variant = (variant + 1) % VARIANTS
            target.variants[generation + 1] = variant  # before it is sent: answers may already have used it
            source = self._payload.template(target.number, variant)
            await self._caller.update_template(target.handle, timeout_s=self._load.timeout_s, **source)
        except SiamcorrError:
            target.is_known = False
            raise
        finally:
            target.is_updating = False
