"""What a whole network does with a template and a search region: features, correlations, and its head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import torch

from siamcorr.embed.architecture import Branch
from siamcorr.embed.runtime import Runtime
from siamcorr.embed.workers import Workers
from siamcorr.ops import Correlator
from siamcorr.ops.operands import Rows
from siamcorr.ops.threads import parts_of

__all__ = ["Network"]


class Network:
    """Many pairs at once, each with the same bits in any company.

    Attributes:
        tensors: the template's tensor of each correlation.
        correlators: the correlations; they say what templates are prepared into.
        maps: the shapes (C, H, W) of its maps, by name.
        plan: how the correlations are computed.
        pair_multiply_adds: what a pair's correlations and its head take.
        pair_bytes: what a pair holds at the most, between its features and its maps.
    """

    def __init__(
        self,
        correlators: Mapping[Branch, Correlator],
        head: Runtime,
        maps: Sequence[str],
        *,
        search: Runtime,
        features: Sequence[str],
        workers: Workers,
    ) -> None:
        """Set it up.

        Args:
            correlators: the correlations, in the head's order.
            head: makes the maps of their responses.
            maps: the names of the maps.
            search: makes the features of a search region of its crop.
            features: their names.
            workers: who computes.
        """
        self.tensors = tuple(branch.tensor for branch in correlators)
        self.correlators = tuple(correlators.values())
        self.maps = dict(zip(maps, head.shapes, strict=True))
        self.plan = ", ".join(dict.fromkeys(correlator.plan.name for correlator in self.correlators))
        responses = sum(prod(correlator.response_shape) for correlator in self.correlators)
        self.pair_bytes = 4 * (responses + sum(map(prod, self.maps.values())))
        self.pair_multiply_adds = head.multiply_adds + sum(
            prod(correlator.response_shape[1:]) * prod(correlator.problem.resolved.weight)
            for correlator in self.correlators
        )
        self._search, self._head, self._workers = search, head, workers
        self._features = tuple(features)

    def __call__(
        self,
        templates: Sequence[Rows],
        crops: torch.Tensor,
        template_index: Sequence[int],
        search_index: Sequence[int],
        on_embedded: Callable[[], object] = lambda: None,
    ) -> dict[str, torch.Tensor]:
        """Return the maps (P, C, H, W) float32 of each pair, by name.

        On a CPU each thread has its share of the pairs. Where every pair has a search region of its own, the
        thread makes the region's features too, and waits for no other one.

        Args:
            templates: for each correlation, the rows of T templates, prepared where its correlator has a
                form.
            crops: S search regions, (S, size, size, 3) uint8 BGR.
            template_index: which template each of the P pairs takes.
            search_index: which search region each of them takes.
            on_embedded: called once when all features are there, maybe by another thread.
        """
        pairs, device = len(template_index), crops.device
        shares = parts_of(pairs, self._workers.threads if device.type == "cpu" else 1)
        has_own = list(search_index) == list(range(len(crops)))
        features = self._search.outputs(len(crops), device) if has_own else self._search(crops)
        embed = self._search.item_of([crops], features)
        search = dict(zip(self._features, features, strict=True))
        maps = self._head.outputs(pairs, device)
        left = iter(range(1, len(shares)))  # shares without features, but for the last one
        if not has_own:
            on_embedded()

        def respond(part: int) -> None:
            some = slice(*shares[part])
            if has_own:
                for region in range(*shares[part]):
                    embed(region)
                if next(left, None) is None:
                    on_embedded()
            with torch.inference_mode():
                responses = [
                    correlator(rows, search[tensor], template_index[some], search_index[some])
                    for correlator, rows, tensor in zip(
                        self.correlators, templates, self.tensors, strict=True
                    )
                ]
                run = self._head.item_of(responses, [tensor[some] for tensor in maps])
                for index in range(len(responses[0])):
                    run(index)

        self._workers.each(respond, len(shares))
        return dict(zip(self.maps, maps, strict=True))
