"""Random calls in random order, the device held now and then: each gets what it would have got alone."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gates import IMAGE, PATIENCE_S, Gate, held
from siamcorr import Engine, EngineSettings
from siamcorr.arguments import Array
from siamcorr.calls import Frame
from siamcorr.checks import correlate_call
from siamcorr.errors import DeadlineExceeded, TemplateNotFound
from siamcorr.geometry import as_boxes, search_crop, template_crop
from siamcorr.images import channel_mean, cut
from siamcorr.ops import xcorr

NOW_S = 100.0
SHAPES = [(3, 3, 3), (3, 2, 4)]
KINDS: list[dict[str, Any]] = [
    {"kind": "naive"},
    {"kind": "depthwise", "gain": 0.5},
    {"kind": "pixelwise"},
    {"kind": "naive", "padding": 1},
]
BOX = (10.0, 10.0, 20.0, 20.0)
DEADLINES = st.sampled_from([None, None, None, NOW_S + 1, NOW_S])


def numbers(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def crop(square: Any, size_px: int) -> Array:
    return np.moveaxis(cut(IMAGE, square, size_px, channel_mean(IMAGE)), 2, 0).astype(np.float32)


def responses_of(templates: list[Array], x: Array, options: dict[str, Any]) -> list[Array]:
    """Correlate all templates of one shape in one call, as the engine does with those of one request."""
    responses: dict[int, Array] = {}
    for shape in {z.shape for z in templates}:
        slots = [slot for slot, z in enumerate(templates) if z.shape == shape]
        alike = torch.from_numpy(np.stack([templates[slot] for slot in slots]))
        computed = xcorr(alike, torch.from_numpy(x)[None], **options).numpy()
        responses |= dict(zip(slots, computed, strict=True))
    return [responses[slot] for slot in range(len(templates))]


@dataclass(eq=False)
class Known:
    """A template as the test knows it: all its generations."""

    handle: str
    generations: list[Array]
    is_deleted: bool = False


@dataclass(eq=False)
class Call:
    """A call that waits while the device is held, and what shall come of it."""

    future: Future[Any]
    kind: str
    deadline_s: float | None
    templates: list[Known] = field(default_factory=list)
    expected: list[Array] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    rate: float = 1.0
    is_cancelled: bool = False


class Calls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.pixels = Gate(), Gate()
        self.pixels.opened.set()
        self.stack = ExitStack()
        self.holding = ExitStack()
        self.is_held = False
        self.known: list[Known] = []
        self.waiting: list[Call] = []

    @initialize()
    def open(self) -> None:
        options = EngineSettings(device="cpu", models={}, max_batch=5, ttl_s=None)
        embedders = {"gate": self.gate, "pixels": self.pixels}
        self.engine = self.stack.enter_context(Engine(options, embedders=embedders, clock=lambda: NOW_S))

    @precondition(lambda self: not self.is_held)
    @rule()
    def hold(self) -> None:
        self.holding.enter_context(held(self.engine, self.gate))
        self.is_held = True

    @precondition(lambda self: self.is_held)
    @rule()
    def let_go(self) -> None:
        self.holding.close()
        self.is_held = False
        self.check_all()

    @rule(shape=st.sampled_from(SHAPES), seed=st.integers(0, 99), deadline_s=DEADLINES)
    def create(self, shape: tuple[int, ...], seed: int, deadline_s: float | None) -> None:
        z = numbers(shape, seed)
        self.submit(
            "create", deadline_s, partial(self.engine.submit_create, {"features": z}, deadline_s), [z]
        )

    @rule(count=st.integers(1, 3))
    def create_from_a_frame(self, count: int) -> None:
        boxes = as_boxes([BOX] * count)
        z = crop(template_crop(BOX, self.pixels.crop), 8)
        frame = Frame(IMAGE, boxes, "pixels")
        self.submit("create", None, partial(self.engine.submit_create, frame), [z] * count)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), seed=st.integers(0, 99), rate=st.sampled_from([1.0, 0.5]), deadline_s=DEADLINES)
    def update(self, data: st.DataObject, seed: int, rate: float, deadline_s: float | None) -> None:
        known = data.draw(st.sampled_from(self.known))
        z = numbers(known.generations[0].shape, seed)
        submit = partial(self.engine.submit_update, known.handle, {"features": z}, rate, deadline_s)
        self.submit("update", deadline_s, submit, [z], [known], rate=rate)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), seeds=st.lists(st.integers(0, 99), max_size=4), options=st.sampled_from(KINDS))
    def correlate(self, data: st.DataObject, seeds: list[int], options: dict[str, Any]) -> None:
        for seed in seeds:
            chosen = data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=3))
            x, deadline_s = numbers((3, 9, 9), seed), data.draw(DEADLINES)
            call = correlate_call([one.handle for one in chosen], features=x, **options)
            submit = partial(self.engine.submit_correlate, call, deadline_s)
            expected = responses_of([one.generations[-1] for one in chosen], x, options)
            self.submit("correlate", deadline_s, submit, expected, chosen)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), options=st.sampled_from(KINDS))
    def correlate_with_a_frame(self, data: st.DataObject, options: dict[str, Any]) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=3))
        x = crop(search_crop(BOX, self.pixels.crop), 16)
        handles = [one.handle for one in chosen]
        call = correlate_call(handles, image=IMAGE, box=BOX, model="pixels", **options)
        expected = responses_of([one.generations[-1] for one in chosen], x, options)
        self.submit("correlate", None, partial(self.engine.submit_correlate, call), expected, chosen)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self.known))
        self.known.remove(known)
        known.is_deleted = True
        self.engine.delete_template(known.handle)

    @precondition(lambda self: any(not call.is_cancelled for call in self.waiting))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from([call for call in self.waiting if not call.is_cancelled]))
        assert call.future.cancel()
        call.is_cancelled = True

    def submit(
        self,
        kind: str,
        deadline_s: float | None,
        submit: Any,
        expected: list[Array],
        templates: list[Known] | None = None,
        rate: float = 1.0,
    ) -> None:
        templates = templates or []
        generations = [len(one.generations) for one in templates]
        call = Call(submit(), kind, deadline_s, templates, expected, generations, rate)
        self.waiting.append(call)
        if not self.is_held:
            self.check_all()

    def check_all(self) -> None:
        """Wait for all calls, in the order in which they came, and check what came of them."""
        for call in self.waiting:
            self.check(call)
        self.waiting.clear()

    def check(self, call: Call) -> None:
        if call.is_cancelled:
            assert call.future.cancelled()
            return
        if call.deadline_s == NOW_S:
            assert isinstance(call.future.exception(PATIENCE_S), DeadlineExceeded)
        elif call.kind == "update":
            self.check_update(call)
        elif call.kind == "create":
            created = zip(call.future.result(PATIENCE_S), call.expected, strict=True)
            self.known += [Known(template.handle, [z]) for template, z in created]
        else:
            answers = zip(
                call.future.result(PATIENCE_S), call.templates, call.generations, call.expected, strict=True
            )
            for response, known, generation, expected in answers:
                assert (response.template, response.generation) == (known.handle, generation)
                np.testing.assert_array_equal(response.map, expected)

    def check_update(self, call: Call) -> None:
        (known,), (z,) = call.templates, call.expected
        if known.is_deleted:
            assert isinstance(call.future.exception(PATIENCE_S), TemplateNotFound)
            return
        (template,) = call.future.result(PATIENCE_S)
        known.generations.append(z if call.rate == 1 else known.generations[-1] * 0.5 + z * 0.5)
        assert template.generation == len(known.generations)

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "engine"):
            self.engine.check_invariants()

    def teardown(self) -> None:
        self.holding.close()
        if not hasattr(self, "engine"):
            return
        self.check_all()
        assert self.engine.wait_idle(PATIENCE_S)
        self.engine.check_invariants()
        stats = self.engine.stats()
        assert (stats.requests, stats.bank.leased, stats.bank.reserved) == (0, 0, 0)
        assert (stats.device.waiting, stats.device.running, stats.device.queued_bytes) == (0, 0, 0)
        live = {template.handle for template in self.engine.list_templates()}
        assert live == {known.handle for known in self.known}
        for known in self.known:
            response = self.engine.correlate(known.handle, features=numbers((3, 9, 9), 0))
            np.testing.assert_array_equal(
                response.map, responses_of([known.generations[-1]], numbers((3, 9, 9), 0), {})[0]
            )
        self.stack.close()


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
