"""Layouts of published checkpoints, written out: the name and shape of each tensor; and random weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Layout = dict[str, tuple[int, ...]]

ALEXNET = ((0, 3, 96, 11), (4, 96, 256, 5), (8, 256, 384, 3), (11, 384, 384, 3), (14, 384, 256, 3))
"""Index, inputs, outputs and kernel of each convolution."""

MOBILENET = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 1, 2),
    (6, 96, 3, 1, 2),
    (6, 160, 3, 1, 4),
    (6, 320, 1, 1, 4),
)
"""Expansion, width before it is times 1.4, blocks, stride and dilation of each stage."""

RESNET = ((64, 3, 1, 1), (128, 4, 2, 1), (256, 6, 1, 2), (512, 3, 1, 4))
"""Width, blocks, stride and dilation of each layer."""


def conv(name: str, outputs: int, inputs: int, kernel: int, *, bias: bool = False) -> Layout:
    weight: Layout = {f"{name}.weight": (outputs, inputs, kernel, kernel)}
    return weight | ({f"{name}.bias": (outputs,)} if bias else {})


def norm(name: str, channels: int) -> Layout:
    tensors: Layout = {
        f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")
    }
    return tensors | {f"{name}.num_batches_tracked": ()}


def siamfc_layout() -> Layout:
    layout: Layout = {}
    for number, outputs, inputs, kernel in (
        (1, 96, 3, 11),
        (2, 256, 48, 5),
        (3, 384, 256, 3),
        (4, 384, 192, 3),
    ):
        layout |= conv(f"backbone.conv{number}.0", outputs, inputs, kernel, bias=True)
        layout |= norm(f"backbone.conv{number}.1", outputs)
    return layout | conv("backbone.conv5.0", 256, 192, 3, bias=True)


def alexnet_layout() -> Layout:
    layout: Layout = {}
    for index, inputs, outputs, kernel in ALEXNET:
        layout |= conv(f"backbone.features.{index}", outputs, inputs, kernel, bias=True)
        layout |= norm(f"backbone.features.{index + 1}", outputs)
    return layout


def siamrpn_layout() -> Layout:
    layout = alexnet_layout() | conv("rpn_head.loc_adjust", 20, 20, 1, bias=True)
    for output, numbers in (("cls", 10), ("loc", 20)):
        layout |= conv(f"rpn_head.template_{output}_conv", numbers * 256, 256, 3, bias=True)
        layout |= conv(f"rpn_head.search_{output}_conv", 256, 256, 3, bias=True)
    return layout


def rpn_layout(prefix: str) -> Layout:
    layout: Layout = {}
    for output, numbers in (("cls", 10), ("loc", 20)):
        for part, kernel in (("conv_kernel", 3), ("conv_search", 3), ("head", 1)):
            layout |= conv(f"{prefix}.{output}.{part}.0", 256, 256, kernel)
            layout |= norm(f"{prefix}.{output}.{part}.1", 256)
        layout |= conv(f"{prefix}.{output}.head.3", numbers, 256, 1, bias=True)
    return layout


def levels_layout(channels: Sequence[int], *, weighted: bool) -> Layout:
    layout: Layout = {}
    for number, inputs in enumerate(channels, start=2):
        layout |= conv(f"neck.downsample{number}.downsample.0", 256, inputs, 1)
        layout |= norm(f"neck.downsample{number}.downsample.1", 256)
        layout |= rpn_layout(f"rpn_head.rpn{number}")
    learned: Layout = {f"rpn_head.{output}_weight": (len(channels),) for output in ("cls", "loc")}
    return layout | (learned if weighted else {})


def mobilenet_layout() -> Layout:
    layout = conv("backbone.layer0.0", 44, 3, 3) | norm("backbone.layer0.1", 44)
    inputs = 44
    for stage, (expansion, width, blocks, _, _) in enumerate(MOBILENET, start=1):
        outputs = int(width * 1.4)
        for block in range(blocks):
            name, expanded = f"backbone.layer{stage}.{block}.conv", inputs * expansion
            layout |= conv(f"{name}.0", expanded, inputs, 1) | norm(f"{name}.1", expanded)
            layout |= conv(f"{name}.3", expanded, 1, 3) | norm(f"{name}.4", expanded)
            layout |= conv(f"{name}.6", outputs, expanded, 1) | norm(f"{name}.7", outputs)
            inputs = outputs
    return layout


def resnet_layout() -> Layout:
    layout = conv("backbone.conv1", 64, 3, 7) | norm("backbone.bn1", 64)
    inputs = 64
    for number, (width, blocks, _, _) in enumerate(RESNET, start=1):
        outputs = 4 * width
        for block in range(blocks):
            name = f"backbone.layer{number}.{block}"
            layout |= conv(f"{name}.conv1", width, inputs, 1) | norm(f"{name}.bn1", width)
            layout |= conv(f"{name}.conv2", width, width, 3) | norm(f"{name}.bn2", width)
            layout |= conv(f"{name}.conv3", outputs, width, 1) | norm(f"{name}.bn3", outputs)
            if block == 0:
                around = conv(f"{name}.downsample.0", outputs, inputs, 1 if number == 1 else 3)
                layout |= around | norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return layout


def random_state(layout: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights that keep features in range, with statistics that folding has to get right.

    Variances are so small that the epsilon that is added to them counts.
    """
    source = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in layout.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif len(shape) == 4:
            spread = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5 / (100 if shape[1] == 3 else 1)
            state[name] = torch.randn(shape, generator=source) * spread
        elif name.endswith("running_var"):
            state[name] = (torch.rand(shape, generator=source) + 0.5) * 1e-4
        elif name.replace("weight", "running_var") in layout:
            state[name] = (torch.rand(shape, generator=source) + 0.5) * 1e-2
        else:
            state[name] = torch.randn(shape, generator=source) * 0.3
    return state
