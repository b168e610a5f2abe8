"""Who is in the bank: live handles in order of creation and of last use, and what became of the dropped ones.

Rules:
- A handle is ``tpl_`` and 128 random bits; it is a key as much as a name. No live or remembered handle is
  given out again.
- Time is an argument in monotonic seconds and never runs backwards: an earlier moment counts as the latest
  one seen.
- An entry is idle while nothing holds a lease on it. Idle entries are kept in order of last use, so the next
  to expire is the first one, and nothing is ever swept.
- Why a handle was dropped without its owner's asking is remembered for the last ``REMEMBERED_DROPS`` of them.
"""

from __future__ import annotations

import math
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from siamcorr.answers import Template, TensorInfo
from siamcorr.errors import InvalidArgument, TemplateEvicted, TemplateExpired, TemplateNotFound
from siamcorr.resident import Origin
from siamcorr.slabs import Row

__all__ = ["MAX_PAGE", "REMEMBERED_DROPS", "Entry", "Generation", "Handles", "Page"]

REMEMBERED_DROPS = 4096
MAX_PAGE = 1000
_CURSOR_LENGTH = 20


@dataclass(slots=True, eq=False)
class Generation:
    """One version of a template's tensors; its rows are freed when it is neither current nor leased."""

    number: int
    rows: Mapping[str, Row]
    leases: int = 0
    current: bool = True


@dataclass(slots=True, eq=False)
class Entry:
    """One live template. ``leases`` counts those of all its generations."""

    handle: str
    ordinal: int
    origin: Origin | None
    generation: Generation
    last_used_s: float
    leases: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Templates in order of creation; ``next`` is the next call's ``after``, empty on the last page."""

    templates: tuple[Template, ...]
    next: str


@dataclass(slots=True, eq=False)
class Handles:
    """The register of live templates; ``ttl_s`` is the time to live after the last use, None for ever."""

    ttl_s: float | None = None
    now_s: float = -math.inf
    evicted: int = 0
    expired: int = 0
    _created: int = 0
    _live: dict[str, Entry] = field(default_factory=dict)
    _idle: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    _dropped: OrderedDict[str, type[TemplateNotFound]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        """Count the live templates."""
        return len(self._live)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate in order of creation."""
        return iter(self._live.values())

    def idle(self) -> Iterator[Entry]:
        """Iterate over those without a lease, the least recently used first."""
        return iter(self._idle.values())

    @property
    def leased(self) -> int:
        """Number of live templates with a lease."""
        return len(self._live) - len(self._idle)

    def add(self, generation: Generation, origin: Origin | None) -> Entry:
        """Register a new template under a new handle."""
        self._created += 1
        entry = Entry(self._new_handle(), self._created, origin, generation, self.now_s)
        self._live[entry.handle] = self._idle[entry.handle] = entry
        return entry

    def find(self, handle: str) -> Entry:
        """Look a handle up.

        Raises:
            TemplateNotFound: or the subclass that says why it was dropped.
        """
        entry = self._live.get(handle)
        if entry is not None:
            return entry
        error = self._dropped.get(handle, TemplateNotFound)
        raise error(f"template: {handle!r:.80} {_FATES[error]}", field="template")

    def is_live(self, entry: Entry) -> bool:
        """Tell whether ``entry`` still has its handle."""
        return self._live.get(entry.handle) is entry

    def remove(self, entry: Entry, reason: type[TemplateNotFound] = TemplateNotFound) -> None:
        """Take a handle out of use; ``reason`` is what its owner is told when it was not asked for."""
        del self._live[entry.handle]
        self._idle.pop(entry.handle, None)
        if reason is TemplateNotFound:
            return
        self.evicted += reason is TemplateEvicted
        self.expired += reason is TemplateExpired
        self._dropped[entry.handle] = reason
        if len(self._dropped) > REMEMBERED_DROPS:
            self._dropped.popitem(last=False)

    def used(self, entry: Entry) -> None:
        """Record that a live ``entry`` is used at this moment, and whether it is idle from now on."""
        entry.last_used_s = self.now_s
        self._idle.pop(entry.handle, None)
        if not entry.leases:
            self._idle[entry.handle] = entry

    def advance(self, now_s: float) -> Entry | None:
        """Move time on. Return an idle entry whose time is over, for the caller to remove, or None."""
        self.now_s = max(self.now_s, now_s)
        expiry_s = self.next_expiry_s()
        return None if expiry_s is None or expiry_s > self.now_s else next(self.idle())

    def next_expiry_s(self) -> float | None:
        """Return the moment when the first idle entry expires, or None."""
        oldest = next(self.idle(), None)
        return None if oldest is None or self.ttl_s is None else oldest.last_used_s + self.ttl_s

    def describe(self, entry: Entry) -> Template:
        """Describe a template at this moment."""
        rows = entry.generation.rows
        return Template(
            handle=entry.handle,
            generation=entry.generation.number,
            tensors=tuple(
                TensorInfo(name, str(row.form.dtype).removeprefix("torch."), row.form.shape)
                for name, row in rows.items()
            ),
            model=None if entry.origin is None else entry.origin.model,
            size_bytes=sum(row.form.row_bytes for row in rows.values()),
            idle_s=0.0 if entry.leases else self.now_s - entry.last_used_s,
        )

    def page(self, after: str, limit: int) -> Page:
        """Describe up to ``limit`` templates, from where the page whose ``next`` is ``after`` ended.

        Raises:
            InvalidArgument: ``limit`` is not from 1 to ``MAX_PAGE``, or ``after`` came from no page.
        """
        if type(limit) is not int or not 1 <= limit <= MAX_PAGE:
            raise InvalidArgument.found("limit", repr(limit), f"an integer from 1 to {MAX_PAGE}")
        if after and not (after.isascii() and after.isdigit() and len(after) <= _CURSOR_LENGTH):
            raise InvalidArgument.found("after", repr(after)[:80], "a page's next, or nothing")
        start = int(after or 0)
        found = list(islice((entry for entry in self if entry.ordinal > start), limit + 1))
        following = str(found[limit - 1].ordinal) if len(found) > limit else ""
        return Page(tuple(self.describe(entry) for entry in found[:limit]), following)

    def problems(self) -> list[str]:
        """List every way in which the orders contradict each other; none when all is well."""
        checks = {
            "live handles are out of order": _ascending([entry.ordinal for entry in self]),
            "idle templates are out of order": _ascending([entry.last_used_s for entry in self.idle()]),
            "idle is not: live without a lease": self._idle
            == {handle: entry for handle, entry in self._live.items() if not entry.leases},
            "a live handle counts as dropped": self._live.keys().isdisjoint(self._dropped),
            "too many drops are remembered": len(self._dropped) <= REMEMBERED_DROPS,
        }
        return [name for name, holds in checks.items() if not holds]

    def _new_handle(self) -> str:
        while True:
            handle = f"tpl_{secrets.token_urlsafe(16)}"
            if handle not in self._live and handle not in self._dropped:
                return handle


_FATES = {
    TemplateNotFound: "is not in the bank: never was, was deleted, or the server was started again",
    TemplateEvicted: "was evicted to make room for another template",
    TemplateExpired: "expired: it was not used for its whole time to live",
}


def _ascending(values: list[float]) -> bool:
    return values == sorted(values)
