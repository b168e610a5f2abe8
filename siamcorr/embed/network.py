"""What a whole network does with a template and a search region: its correlations, and its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod

import torch

from siamcorr.embed.architecture import Branch
from siamcorr.embed.runtime import Runtime
from siamcorr.embed.workers import Workers
from siamcorr.ops import Correlator
from siamcorr.ops.operands import Rows

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
        self, correlators: Mapping[Branch, Correlator], head: Runtime, maps: Sequence[str], workers: Workers
    ) -> None:
        """Take the correlations in the head's order, the names of its maps, and who computes."""
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
        self._head, self._workers = head, workers

    def __call__(
        self,
        templates: Sequence[Rows],
        search: Mapping[str, torch.Tensor],
        template_index: Sequence[int],
        search_index: Sequence[int],
    ) -> dict[str, torch.Tensor]:
        """Return the maps (P, C, H, W) float32 of each pair, by name.

        Args:
            templates: for each correlation, the rows of T templates, prepared where its correlator has a
                form.
            search: the features of S search regions by name.
            template_index: which template each of the P pairs takes.
            search_index: which search region each of them takes.
        """
        responses = self._responses(templates, search, template_index, search_index)
        return dict(zip(self.maps, self._head(*responses), strict=True))

    def _responses(
        self,
        templates: Sequence[Rows],
        search: Mapping[str, torch.Tensor],
        template_index: Sequence[int],
        search_index: Sequence[int],
    ) -> list[torch.Tensor]:
        """Return the response of each correlation to all pairs.

        On a CPU each correlation is one thread's: half of the pairs cost as much in Python as all of them do.
        Pairs are parted only where threads would have nothing to do.
        """
        on_cpu = next(iter(search.values())).device.type == "cpu"
        parts = -(-self._workers.threads // len(self.correlators)) if on_cpu else 1
        step = -(-len(template_index) // parts)
        starts = range(0, len(template_index), step)
        work = list(product(range(len(self.correlators)), starts))
        found: dict[tuple[int, int], torch.Tensor] = {}

        def correlate(number: int) -> None:
            branch, start = work[number]
            some = slice(start, start + step)
            regions = search[self.tensors[branch]]
            with torch.inference_mode():
                found[branch, start] = self.correlators[branch](
                    templates[branch], regions, template_index[some], search_index[some]
                )

        if on_cpu:
            self._workers.each(correlate, len(work))
        else:  # one thread gives the orders
            for number in range(len(work)):
                correlate(number)
        each = ([found[branch, start] for start in starts] for branch in range(len(self.correlators)))
        return [pieces[0] if len(pieces) == 1 else torch.cat(pieces) for pieces in each]
