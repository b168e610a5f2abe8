"""SiamRPN++ behind its backbone: necks, depthwise correlations, and heads whose maps are averaged.

B. Li et al., SiamRPN++ (arXiv:1812.11703). Names and layers are pysot's (``AdjustAllLayer``,
``DepthwiseRPN``, ``MultiRPN``). Each level of the backbone has a neck to 256 channels, of which a
template keeps the middle 7x7 cells, and two branches: one for the score of each anchor, one for its box.
A branch is a convolution on either side, a depthwise correlation and a head. The heads' maps are averaged
over the levels, with weights that the network learned where its file has them.

The maps are ``cls``, (10, n, n), before the softmax, and ``loc``, (20, n, n): channel = class or
coordinate * 5 + anchor.

What is linear is folded, in float64:

- All branches are one depthwise correlation: their channels lie side by side, the scores of all levels
  first. The next layer of all heads is one convolution in groups.
- The average over the levels goes into the last layer of the heads.

Way rejected: the neck folded into the convolutions behind it. They would have as many inputs as the
backbone has channels, and there are two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import torch
from torch import nn

from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.folding import fold_batch_norm, pointwise
from siamcorr.embed.weights import StateDict, load
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["siamrpnpp"]

_WIDTH = 256
_OUTPUTS = {"cls": 2 * 5, "loc": 4 * 5}  # of 5 anchors
_ALL, _MIDDLE = slice(None), slice(4, 11)  # of the 15x15 cells of a template
_FIRST_LEVEL = 2  # as the files count them

_Weights: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""A convolution's weight and bias."""


def siamrpnpp(
    name: str,
    state: StateDict,
    *,
    backbone: Callable[[], nn.Module],
    channels: Sequence[int],
    search_px: int,
) -> Architecture:
    """Return a SiamRPN++ with the weights of a state dict in pysot's layout.

    Args:
        name: what the model is called.
        state: tensors ``backbone.*``, ``neck.*`` and ``rpn_head.*``.
        backbone: makes the module from crops (N, 3, S, S) to a tuple with the features of each level.
        channels: of each level. One level has no neck, and nothing is averaged.
        search_px: the side of a search region.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    weighted = len(channels) > 1 and any(f"rpn_head.{output}_weight" in state for output in _OUTPUTS)
    with torch.device("meta"):  # places and shapes only: no memory is filled, no random number drawn
        published = _Published(backbone(), channels, weighted=weighted)
    load(published, state)
    fold_batch_norm(published.double().eval())
    middle = _MIDDLE if len(channels) > 1 else _ALL
    template = _Side(published, [branch.conv_kernel for branch in published.branches], middle)
    search = _Side(published, [branch.conv_search for branch in published.branches], _ALL)
    head = _Head(published)
    for part in (template, search, head):
        part.float().requires_grad_(False)
    return Architecture(
        name=name,
        crop=CropSettings(context=0.5, template_px=127, search_px=search_px),
        stride=8,
        tensors=("branches",),
        template=template,
        search=search,
        branches=(Branch("branches", Correlation("depthwise")),),
        head=head,
        maps=tuple(_OUTPUTS),
    )


class _Side(nn.Module):
    """Crops (N, 3, S, S) -> what is correlated, (N, branches * 256, h, w)."""

    def __init__(self, published: _Published, convolutions: Sequence[nn.Module], kept: slice) -> None:
        super().__init__()
        self.backbone, self.necks = published.backbone, nn.ModuleList(published.necks)
        self.convolutions, self.kept = nn.ModuleList(convolutions), kept

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        kept = (features[:, :, self.kept, self.kept] for features in self.backbone(crops))
        levels = [neck(features) for neck, features in zip(self.necks, kept, strict=True)]
        sides = zip(self.convolutions, levels * len(_OUTPUTS), strict=True)
        return (torch.cat([convolution(level) for convolution, level in sides], dim=1),)


class _Head(nn.Module):
    """The response (P, branches * 256, n, n) -> ``cls`` (P, 10, n, n) and ``loc`` (P, 20, n, n)."""

    def __init__(self, published: _Published) -> None:
        super().__init__()
        levels = len(published.levels)
        first, last = zip(*(branch.head_weights() for branch in published.branches), strict=True)
        weights, biases = (torch.cat(tensors) for tensors in zip(*first, strict=True))
        self.hidden = nn.Conv2d(len(biases), len(biases), 1, groups=2 * levels, dtype=torch.float64)
        self.hidden.load_state_dict({"weight": weights, "bias": biases})
        self.score = _averaged(last[:levels], published.shares("cls"))
        self.box = _averaged(last[levels:], published.shares("loc"))

    def forward(self, response: torch.Tensor) -> tuple[torch.Tensor, ...]:
        score, box = self.hidden(response).relu().chunk(2, dim=1)
        return self.score(score), self.box(box)


def _averaged(layers: Sequence[_Weights], shares: torch.Tensor) -> nn.Conv2d:
    """Return one 1x1 convolution for the weighted sum of several, each of which has channels of its own."""
    weights, biases = zip(*layers, strict=True)
    shared = [share * weight[:, :, 0, 0] for share, weight in zip(shares, weights, strict=True)]
    return pointwise(torch.cat(shared, dim=1), shares @ torch.stack(biases))


class _Published(nn.Module):
    """The layers with the names that they have in the published files."""

    def __init__(self, backbone: nn.Module, channels: Sequence[int], *, weighted: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.levels = [_Level() for _ in channels]
        if len(channels) == 1:
            self.necks: list[nn.Module] = [nn.Identity()]
            self.rpn_head: nn.Module = self.levels[0]
            return
        self.necks = [nn.Sequential(*_convolution(inputs, 1)) for inputs in channels]
        numbered = list(enumerate(zip(self.necks, self.levels, strict=True), start=_FIRST_LEVEL))
        self.neck = nn.ModuleDict(
            {f"downsample{number}": nn.ModuleDict({"downsample": neck}) for number, (neck, _) in numbered}
        )
        self.rpn_head = nn.ModuleDict({f"rpn{number}": level for number, (_, level) in numbered})
        for output in _OUTPUTS if weighted else ():
            self.rpn_head.register_parameter(f"{output}_weight", nn.Parameter(torch.empty(len(channels))))

    @property
    def branches(self) -> list[_Branch]:
        """Score of each level, then box of each level."""
        return [level.cls for level in self.levels] + [level.loc for level in self.levels]

    def shares(self, output: str) -> torch.Tensor:
        """Return how much of each level is in the average: (levels,), float64, 1 together."""
        learned = dict(self.rpn_head.named_parameters(recurse=False)).get(f"{output}_weight")
        weights = torch.zeros(len(self.levels), dtype=torch.float64) if learned is None else learned.detach()
        return weights.softmax(0)


class _Level(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls, self.loc = (_Branch(outputs) for outputs in _OUTPUTS.values())


class _Branch(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv_kernel = nn.Sequential(*_convolution(_WIDTH, 3), nn.ReLU(inplace=True))
        self.conv_search = nn.Sequential(*_convolution(_WIDTH, 3), nn.ReLU(inplace=True))
        self.head = nn.Sequential(*_convolution(_WIDTH, 1), nn.ReLU(), nn.Conv2d(_WIDTH, outputs, 1))

    def head_weights(self) -> tuple[_Weights, _Weights]:
        """Return those of the head's first and last layer, once batch normalisation is folded."""
        first, last = cast(nn.Conv2d, self.head[0]), cast(nn.Conv2d, self.head[-1])
        return _weights(first), _weights(last)


def _convolution(inputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, _WIDTH, kernel, bias=False), nn.BatchNorm2d(_WIDTH)]


def _weights(layer: nn.Conv2d) -> _Weights:
    return layer.weight.detach(), cast(torch.Tensor, layer.bias).detach()
