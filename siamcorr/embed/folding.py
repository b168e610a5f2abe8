"""Linear layers in one: what is exact in arithmetic and done once, in float64, when weights are loaded."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["chained", "fold_batch_norm", "in_groups", "padded", "pointwise"]

M = TypeVar("M", bound=nn.Module)


def fold_batch_norm(module: M) -> M:
    """Fold each batch normalisation into the convolution before it, in every nn.Sequential, in place.

    >>> layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU()).double().eval()
    >>> [type(layer).__name__ for layer in fold_batch_norm(layers)]
    ['Conv2d', 'Identity', 'ReLU']
    """
    for child in module.children():
        fold_batch_norm(child)
    if isinstance(module, nn.Sequential):
        for index in range(1, len(module)):
            before, layer = module[index - 1], module[index]
            if isinstance(before, nn.Conv2d) and isinstance(layer, nn.BatchNorm2d):
                module[index - 1], module[index] = fuse_conv_bn_eval(before, layer), nn.Identity()
    return module


def pointwise(weight: torch.Tensor, bias: torch.Tensor) -> nn.Conv2d:
    """Return the 1x1 convolution with ``weight`` (O, C) and ``bias`` (O,)."""
    outputs, inputs = weight.shape
    layer = nn.Conv2d(inputs, outputs, 1, device="meta")  # without random numbers, which are the caller's
    layer.load_state_dict({"weight": weight[:, :, None, None], "bias": bias}, assign=True)
    return layer


def chained(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """Return the 1x1 convolution that does what two 1x1 convolutions with a bias do, one after the other.

    >>> first, second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
    >>> chained(first, second)
    Conv2d(3, 2, kernel_size=(1, 1), stride=(1, 1))
    """
    weight, after = first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]
    bias = torch.zeros(len(weight), dtype=weight.dtype) if first.bias is None else first.bias
    offset = torch.zeros(len(after), dtype=weight.dtype) if second.bias is None else second.bias
    return pointwise((after @ weight).detach(), (after @ bias + offset).detach())


def padded(layer: nn.Conv2d, inputs: int, outputs: int) -> nn.Conv2d:
    """Return a dense or depthwise convolution, with a bias, of so many channels: zeros behind its own.

    >>> padded(nn.Conv2d(3, 8, 1), 4, 16)
    Conv2d(4, 16, kernel_size=(1, 1), stride=(1, 1))
    """
    weight, bias = _parameters(layer)
    more_outputs, more_inputs = outputs - layer.out_channels, inputs - layer.in_channels
    depthwise = layer.groups == layer.in_channels > 1
    weight = F.pad(weight, (0, 0, 0, 0, 0, 0 if depthwise else more_inputs, 0, more_outputs))
    return _like(layer, weight, F.pad(bias, (0, more_outputs)), groups=outputs if depthwise else 1)


def in_groups(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution that does what two do, with biases, each on its half of the channels.

    >>> in_groups(nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 1))
    Conv2d(8, 16, kernel_size=(1, 1), stride=(1, 1), groups=2)
    """
    weights, biases = zip(*map(_parameters, (first, second)), strict=True)
    return _like(first, torch.cat(weights), torch.cat(biases), groups=2 * first.groups)


def _parameters(layer: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.weight.detach(), cast(torch.Tensor, layer.bias).detach()


def _like(layer: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor, groups: int) -> nn.Conv2d:
    """Return a convolution of the same geometry as ``layer`` with other weights."""
    outputs, inputs, *kernel = weight.shape
    geometry = [kernel, layer.stride, layer.padding, layer.dilation]
    size, stride, padding, dilation = cast("list[tuple[int, int]]", geometry)
    with torch.device("meta"):  # without random numbers, which are the caller's
        made = nn.Conv2d(inputs * groups, outputs, size, stride, padding, dilation, groups)
    made.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return made
