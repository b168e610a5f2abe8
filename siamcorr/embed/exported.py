"""Layers that ONNX Runtime is faster with in another form than torch, and what becomes of that form.

ONNX Runtime's convolutions want a map's channels in blocks, where it finds AVX. Whatever has no operator on
blocks costs passes more, out of them and in again: a product with a number a channel, means, most
activations. Pools, convolutions and what is fused into one have such an operator. So scaling a map's
channels, as attention does, is exported as the first of these lines, which stays in blocks, and becomes the
second, with the same bits in two passes less:

    scales (N, C, 1, 1) -> Resize to the map's size -> Mul with the map -> Conv by a weight of 1, + bias
    scales (N, C, 1, 1) -> Reshape -> Conv of the map with the scales for weights, + bias

The second cannot be exported, as only convolutions with constant weights are put on blocks: it is written
into the graph that ONNX Runtime has made of the first. If it makes another one some day, the first remains,
and is right.

Ways rejected:

- The map as one row of cells for the second form: 1 % slower, for two more Reshapes.
- Asking torch.onnx whether it exports: it imports each time, 10 us.
"""

from __future__ import annotations

import platform
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["BLOCK", "BLOCKED", "OnPixels", "and_with_ones", "has_scales", "scaled", "scales_as_weights"]

BLOCK = 16
"""Channels that lie together with AVX-512, twice those of AVX2. Scales are read in whole blocks alone."""

_HAS_BLOCKS = platform.machine().lower() in {"x86_64", "amd64"}
BLOCKED = "com.microsoft.nchwc"
"""The domain of ONNX Runtime's operators on blocks."""


def _exporting() -> bool:
    """Return whether a module is run to be traced, and not for its numbers."""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # as documented
    return tracing


class OnPixels(nn.Module):
    """A convolution of crops (N, 3, S, S) whose pixels lie in memory with their channels side by side.

    torch reads them as they lie, ONNX Runtime would transpose them first. So it is told of one channel, three
    times as wide, (N, 1, S, 3 S), of a kernel alike, and of columns that are three steps apart.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        """Take the convolution of three channels."""
        super().__init__()
        self.convolution = convolution

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return what the convolution makes of them."""
        layer = self.convolution
        if not _exporting():
            made: torch.Tensor = layer(crops)
            return made
        crops, weight = (tensor.permute(0, 2, 3, 1).flatten(2)[:, None] for tensor in (crops, layer.weight))
        (down, right), (above, left) = layer.stride, cast(tuple[int, int], layer.padding)
        channels = layer.in_channels
        return F.conv2d(crops, weight, layer.bias, (down, channels * right), (above, channels * left))


def and_with_ones(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``features`` (N, C, H, W), and the same with a channel of ones behind.

    Outside of an export the first is a view of the second.
    """
    with_ones = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    return features if _exporting() else with_ones[:, : features.shape[1]], with_ones


def scaled(features: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return ``features`` (N, C, H, W) times ``scales`` (N, C, 1, 1) plus ``bias`` (C,).

    >>> scaled(torch.ones(1, 2, 1, 1), torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).flatten().tolist()
    [3.0, 4.0]
    """
    if _HAS_BLOCKS and _exporting():
        made: torch.Tensor = _Scaled.apply(features, scales, bias)  # type: ignore[no-untyped-call]
        return made
    return _product(features, scales, bias)


def _product(features: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product = features * scales
    return product if bias is None else product + bias[:, None, None]


class _Scaled(torch.autograd.Function):
    """:func:`scaled`, exported in the form that stays in blocks."""

    @staticmethod
    def forward(
        _: Any, features: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return _product(features, scales, bias)

    @staticmethod
    def symbolic(graph: Any, features: Any, scales: Any, bias: Any) -> Any:
        _, channels, *size = features.type().sizes()
        times, ones = torch.tensor([1.0, 1.0, *size]), torch.ones(channels, 1, 1, 1)
        spread = graph.op(
            "Resize",
            scales,
            graph.op("Constant", value_t=torch.empty(0)),  # the region of interest that other modes take
            graph.op("Constant", value_t=times),
            mode_s="nearest",
            coordinate_transformation_mode_s="asymmetric",
            nearest_mode_s="floor",
        )
        weight = graph.op("Constant", value_t=ones)
        given = [graph.op("Mul", features, spread), weight, *([] if bias is None else [bias])]
        return graph.op("Conv", *given, group_i=channels, kernel_shape_i=[1, 1]).setType(features.type())


def has_scales(model: ModelProto) -> bool:
    """Return whether an exported graph may have what :func:`scales_as_weights` looks for."""
    return any(_is(node, "Resize") for node in model.graph.node)


def scales_as_weights(model: ModelProto) -> bool:
    """Bring scaling into its second form in a graph that ONNX Runtime has optimised, in place.

    Returns whether there were any. Other graphs are left as they are, and so is what somebody else reads too.
    Maps are of one item: its scales are the weight.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415 - it is there where ONNX Runtime is used

    graph = model.graph
    ones = {
        tensor.name
        for tensor in graph.initializer
        if list(tensor.dims[1:]) == [1, 1, 1] and (numpy_helper.to_array(tensor) == 1).all()
    }
    read = Counter([name for node in graph.node for name in node.input] + [one.name for one in graph.output])
    makers = {name: node for node in graph.node for name in node.output if read[name] == 1}
    shape = numpy_helper.from_array(np.array([-1, 1, 1, 1]), "weight_of_scales")
    products = []
    for convolution in graph.node:
        if not (_is(convolution, "Conv", BLOCKED) and convolution.input[1] in ones):
            continue
        product = makers.get(convolution.input[0])
        spread = makers.get(product.input[1]) if product is not None and _is(product, "Mul") else None
        if product is None or spread is None or not _is(spread, "Upsample", BLOCKED):
            continue
        spread.CopyFrom(helper.make_node("Reshape", [spread.input[0], shape.name], spread.output))
        convolution.input[0], convolution.input[1] = product.input[0], spread.output[0]
        products.append(product)
    if not products:
        return False
    for product in products:
        graph.node.remove(product)
    graph.initializer.append(shape)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]  # a Reshape has not the shape of what it stands for
    return True


def _is(node: NodeProto, name: str, domain: str = "") -> bool:
    return (node.op_type, node.domain) == (name, domain)
