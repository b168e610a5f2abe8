"""A whole network: what its maps are, and how they are made of templates and search regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from siamcorr.embed.architecture import Branch
from siamcorr.embed.runtime import Runtime
from siamcorr.embed.workers import Workers
from siamcorr.ops import Correlator
from siamcorr.ops.operands import Preparer, Rows
from siamcorr.ops.threads import parts_of
from siamcorr.shapes import Shape

__all__ = ["Network", "Pairs", "Stages"]


class Pairs(Protocol):
    """Makes the maps of many pairs at once, each with the same bits in any company."""

    @property
    def plan(self) -> str:
        """How the correlations are computed."""

    @property
    def takes(self) -> Sequence[tuple[str, Preparer]]:
        """What it takes of a template: each time a tensor, and what prepares that."""

    def __call__(
        self,
        templates: Sequence[Rows],
        crops: torch.Tensor,
        template_index: Sequence[int],
        search_index: Sequence[int],
        on_embedded: Callable[[], object] = lambda: None,
    ) -> dict[str, torch.Tensor]:
        """Return the maps (P, C, H, W) float32 of each pair, by name.

        Args:
            templates: for each of ``takes``, the rows of T templates, prepared where there is a form.
            crops: S search regions, (S, size, size, 3) uint8 BGR.
            template_index: which template each of the P pairs takes.
            search_index: which search region each of them takes.
            on_embedded: called once, when all features are there; or the maps, where both is one step.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """What is known of a network, and what computes it.

    ``maps`` are the shapes (C, H, W) of its maps, by name. ``pair_multiply_adds`` is what a pair's
    correlations and its head take, and ``pair_bytes`` what a pair holds at the most, between its features and
    its maps.
    """

    maps: Mapping[str, Shape]
    pair_multiply_adds: int
    pair_bytes: int
    pairs: Pairs


class Stages:
    """Features of all search regions, then correlations, then heads; of these a thread has a share each."""

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
        self.takes = [(branch.tensor, correlator) for branch, correlator in correlators.items()]
        self.plan = ", ".join(dict.fromkeys(one.plan.name for one in correlators.values()))
        self._maps, self._features = tuple(maps), tuple(features)
        self._search, self._head, self._workers = search, head, workers

    def __call__(
        self,
        templates: Sequence[Rows],
        crops: torch.Tensor,
        template_index: Sequence[int],
        search_index: Sequence[int],
        on_embedded: Callable[[], object] = lambda: None,
    ) -> dict[str, torch.Tensor]:
        """See :class:`Pairs`."""
        pairs, device = len(template_index), crops.device
        search = dict(zip(self._features, self._search(crops), strict=True))
        on_embedded()
        maps = self._head.outputs(pairs, device)
        shares = parts_of(pairs, self._workers.threads if device.type == "cpu" else 1)

        def respond(part: int) -> None:
            some = slice(*shares[part])
            with torch.inference_mode():
                responses = [
                    correlator(rows, search[tensor], template_index[some], search_index[some])
                    for rows, (tensor, correlator) in zip(templates, self.takes, strict=True)
                ]
                run = self._head.item_of(responses, [tensor[some] for tensor in maps])
                for index in range(len(responses[0])):
                    run(index)

        self._workers.each(respond, len(shares))
        return dict(zip(self._maps, maps, strict=True))
