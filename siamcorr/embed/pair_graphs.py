"""The maps of a network's pairs by graphs that have its correlations in them, in ONNX Runtime.

From the crop to the maps, channels stay in blocks, see :mod:`siamcorr.embed.exported`: nothing is laid out
anew between features, correlations and head. On two threads (Intel, AVX-512) 32 pairs of NanoTrack take 0.92
of the time that stages take. The larger a network, the less it saves: eight pairs of SiamRPN++ take 0.95 with
MobileNetV2 and 0.99 with ResNet-50.

Rules:

- A pair's bits are the same in any company, and whether others share its search region or not. One optimised
  graph is the whole network; two others are cut from it, before and behind the features. None is optimised
  again, so all three compute alike.
- A template is put in order at its first use, 70 us for NanoTrack's, and kept where other prepared forms are.
- Graphs are used only once they have given the numbers of torch. Where they cannot be made, or ONNX Runtime
  has a correlation outside of blocks, stages remain.

Ways rejected:

- The halves alone: 2 % slower where each pair has a search region of its own, as most trackers' have.
- One input for a template, in one row: 2 % slower if the graph splits it, 3 % if it is split before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt
import torch
from torch import nn

from siamcorr.embed.exported import scales_as_weights
from siamcorr.embed.numbered import Parts, take_template
from siamcorr.embed.onnx_session import Session, export, in_halves, optimise
from siamcorr.embed.workers import Workers
from siamcorr.ops.operands import Preparer, Rows
from siamcorr.precision import in_full_precision
from siamcorr.shapes import Shape

__all__ = ["Graphs", "PairGraphs", "pair_graphs"]

_Array: TypeAlias = npt.NDArray[Any]

_log = logging.getLogger(__name__)

_TOLERANCE = 1e-4
"""Of a map's largest number: what rounding may change."""


class Graphs(NamedTuple):
    """``whole``: a crop (1, size, size, 3), then a template's inputs -> maps (1, C, H, W).

    Its halves: ``search`` makes features of a crop, laid out as it likes; ``pair`` takes these, then the
    template's inputs.
    """

    whole: Session
    search: Session
    pair: Session


class PairGraphs:
    """Makes the maps of pairs, see :class:`siamcorr.embed.network.Pairs`."""

    plan = "graph"

    def __init__(
        self,
        graphs: Graphs,
        takes: Sequence[tuple[str, Preparer]],
        maps: Mapping[str, Shape],
        workers: Workers,
    ) -> None:
        """Set it up.

        Args:
            graphs: what computes them.
            takes: for each input of a template its tensor, and what makes the input of that.
            maps: the shapes (C, H, W) of the maps, by name.
            workers: who computes.
        """
        self.takes = takes
        self._graphs, self._maps, self._workers = graphs, maps, workers

    def __call__(
        self,
        templates: Sequence[Rows],
        crops: torch.Tensor,
        template_index: Sequence[int],
        search_index: Sequence[int],
        on_embedded: Callable[[], object] = lambda: None,
    ) -> dict[str, torch.Tensor]:
        """Return the maps (P, C, H, W) float32 of each pair, by name: all of it is embedding."""
        pairs, pixels = len(template_index), crops.numpy()
        maps = {name: torch.empty(pairs, *shape) for name, shape in self._maps.items()}
        given = [map_.numpy() for map_ in maps.values()]
        search: list[Sequence[_Array]] = [[pixels[region : region + 1]] for region in range(len(crops))]
        graph = self._graphs.whole

        def embed(region: int) -> None:
            search[region] = self._graphs.search(search[region])

        if len(set(search_index)) < pairs:
            self._workers.each(embed, len(crops))
            graph = self._graphs.pair

        def answer(pair: int) -> None:
            template = template_index[pair]
            results = graph([*search[search_index[pair]], *(rows[template].numpy() for rows in templates)])
            for array, result in zip(given, results, strict=True):
                array[pair] = result[0]

        self._workers.each(answer, pairs)
        on_embedded()
        return maps


def pair_graphs(
    parts: Parts,
    crop: torch.Tensor,
    template: Mapping[str, torch.Tensor],
    maps: Mapping[str, Shape],
    workers: Workers,
) -> PairGraphs | None:
    """Return what makes the maps of a network, or None where its graphs cannot be made or are not fast.

    Args:
        parts: the network.
        crop: one to try it on, (1, size, size, 3) uint8.
        template: one to try it with, (1, ...) each by name.
        maps: the shapes (C, H, W) of its maps, by name.
        workers: who computes.
    """
    try:
        made = _made(parts, crop, maps, workers)
        if made is not None:
            stored = [template[branch.tensor] for branch in parts.problems]
            _check(made, crop, template, parts.with_templates(stored))
    except Exception:  # no room for a file, or a graph that another version makes or refuses
        _log.warning("a network's pairs are computed in stages", exc_info=True)
        return None
    return made


def _made(parts: Parts, crop: torch.Tensor, maps: Mapping[str, Shape], workers: Workers) -> PairGraphs | None:
    numbers = parts.numbers()
    model = optimise(export(parts.with_templates([one.template() for one in numbers]), [crop]))
    scales_as_weights(model)
    takes: list[tuple[str, Preparer]] = []
    names: list[str] = []
    for branch, one in zip(parts.problems, numbers, strict=True):
        if (inputs := take_template(model, one)) is None:
            _log.info("a network's pairs are computed in stages: %s is not on blocks as it is", branch.tensor)
            return None
        names += [name for name, _ in inputs]
        takes += [(branch.tensor, order) for _, order in inputs]
    models = model, *in_halves(model, names)
    graphs = Graphs(*(Session(one.SerializeToString(), is_optimised=True) for one in models))
    return PairGraphs(graphs, takes, maps, workers)


def _check(
    pairs: PairGraphs, crop: torch.Tensor, template: Mapping[str, torch.Tensor], network: nn.Module
) -> None:
    """Refuse graphs that make other maps, whole or in halves, than the network with the template in it.

    Raises:
        ValueError: they do.
    """
    rows = [preparer.prepare(template[tensor]) for tensor, preparer in pairs.takes]
    with in_full_precision(crop.device):
        expected = network(crop)
    for count in (1, 2):
        found = pairs(rows, crop, [0] * count, [0] * count)
        for (name, map_), right in zip(found.items(), expected, strict=True):
            apart, largest = float((map_ - right).abs().max()), float(right.abs().max())
            if not apart <= _TOLERANCE * largest:
                raise ValueError(
                    f"{name} is {apart:.1e} away from torch's, which is {largest:.1e} at the most"
                )
