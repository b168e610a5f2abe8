"""The published networks as straightforward torch: one published layer after the other, nothing folded.

Each function computes what the published code computes, on a state dict of a layout that
:mod:`published_layouts` writes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it

from published_layouts import ALEXNET, MOBILENET, RESNET
from siamcorr.embed.architecture import Architecture
from siamcorr.ops import xcorr

State = Mapping[str, torch.Tensor]


def crops(count: int, size_px: int, seed: int = 0) -> torch.Tensor:
    """Return crops as modules take them: (N, 3, S, S) float32, BGR from 0 to 255."""
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size_px, size_px), generator=source).float()


@torch.no_grad()
def maps_of(architecture: Architecture, z: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the maps of each pair of template and search region, by name."""
    template = dict(zip(architecture.tensors, architecture.template(z), strict=True))
    search = dict(zip(architecture.tensors, architecture.search(x), strict=True))
    responses = []
    for branch in architecture.branches:
        kind, k, padding = branch.correlation.kind, branch.correlation.k, branch.correlation.padding
        responses.append(xcorr(template[branch.tensor], search[branch.tensor], kind, k=k, padding=padding))
    assert architecture.head is not None
    return dict(zip(architecture.maps, architecture.head(*responses), strict=True))


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value; maps without form are refused."""
    assert found.shape == expected.shape
    assert float(expected.std()) > 1e-3 * float(expected.abs().max()), "a map that says nothing tests nothing"
    return float((found - expected).abs().max() / expected.abs().max())


def _conv(state: State, name: str, features: torch.Tensor, **settings: int) -> torch.Tensor:
    bias = state.get(f"{name}.bias")
    return F.conv2d(features, state[f"{name}.weight"], bias, **settings)


def _norm(state: State, name: str, features: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(features, mean, variance, weight, bias, training=False, eps=eps)


def _correlated(kernels: torch.Tensor, search: torch.Tensor, groups: int) -> torch.Tensor:
    """Each template over its search region: the public trackers' grouped convolution."""
    batch, channels, *_ = search.shape
    weight = kernels.reshape(-1, channels // groups, *kernels.shape[-2:])
    response = F.conv2d(search.reshape(1, batch * channels, *search.shape[2:]), weight, groups=batch * groups)
    return response.reshape(batch, -1, *response.shape[2:])


@torch.no_grad()
def siamfc(state: State, z: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
    def features(crops: torch.Tensor) -> torch.Tensor:
        out = crops.flip(1)  # to RGB
        for number, stride, groups, pooled in ((1, 2, 1, 1), (2, 1, 2, 1), (3, 1, 1, 0), (4, 1, 2, 0)):
            name = f"backbone.conv{number}"
            out = _conv(state, f"{name}.0", out, stride=stride, groups=groups)
            out = _norm(state, f"{name}.1", out, eps=1e-6).relu()
            out = F.max_pool2d(out, 3, 2) if pooled else out
        return _conv(state, "backbone.conv5.0", out, groups=2)

    return {"response": _correlated(features(z), features(x), 1) * 0.001}


@torch.no_grad()
def alexnet(state: State, crops: torch.Tensor) -> list[torch.Tensor]:
    out = crops
    for index, *_ in ALEXNET:
        out = _conv(state, f"backbone.features.{index}", out, stride=2 if index == 0 else 1)
        out = _norm(state, f"backbone.features.{index + 1}", out)
        out = F.max_pool2d(out, 3, 2) if index < 8 else out
        out = out.relu() if index < 14 else out
    return [out]


@torch.no_grad()
def siamrpn(state: State, z: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
    (template,), (search,) = alexnet(state, z), alexnet(state, x)
    maps = {}
    for output in ("cls", "loc"):
        kernels = _conv(state, f"rpn_head.template_{output}_conv", template)
        maps[output] = _correlated(kernels, _conv(state, f"rpn_head.search_{output}_conv", search), 1)
    return {"cls": maps["cls"], "loc": _conv(state, "rpn_head.loc_adjust", maps["loc"])}


@torch.no_grad()
def mobilenet(state: State, crops: torch.Tensor) -> list[torch.Tensor]:
    out = _norm(state, "backbone.layer0.1", _conv(state, "backbone.layer0.0", crops, stride=2))
    out, levels, last_dilation = F.relu6(out), [], 1
    for stage, (_, _, blocks, stride, dilation) in enumerate(MOBILENET, start=1):
        for block in range(blocks):
            name, before = f"backbone.layer{stage}.{block}.conv", out
            step = stride if block == 0 else 1
            dilated = max(dilation // 2, 1) if block == 0 and dilation != last_dilation else dilation
            padding = dilated if dilated > 1 else 2 - step
            out = F.relu6(_norm(state, f"{name}.1", _conv(state, f"{name}.0", out)))
            settings = {"stride": step, "padding": padding, "dilation": dilated, "groups": out.shape[1]}
            out = F.relu6(_norm(state, f"{name}.4", _conv(state, f"{name}.3", out, **settings)))
            out = _norm(state, f"{name}.7", _conv(state, f"{name}.6", out))
            out = out + before if step == 1 and out.shape[1] == before.shape[1] else out
        last_dilation = dilation
        levels += [out] if stage in {3, 5, 7} else []
    return levels


@torch.no_grad()
def resnet(state: State, crops: torch.Tensor) -> list[torch.Tensor]:
    out = _norm(state, "backbone.bn1", _conv(state, "backbone.conv1", crops, stride=2)).relu()
    out, levels = F.max_pool2d(out, 3, 2, padding=1), []
    for number, (_, blocks, stride, dilation) in enumerate(RESNET, start=1):
        for block in range(blocks):
            name, before = f"backbone.layer{number}.{block}", out
            step = stride if block == 0 else 1
            dilated = dilation // 2 if block == 0 and dilation > 1 else dilation
            padding = 0 if step == 2 else dilated
            out = _norm(state, f"{name}.bn1", _conv(state, f"{name}.conv1", out)).relu()
            settings = {"stride": step, "padding": padding, "dilation": dilated}
            out = _norm(state, f"{name}.bn2", _conv(state, f"{name}.conv2", out, **settings)).relu()
            out = _norm(state, f"{name}.bn3", _conv(state, f"{name}.conv3", out))
            if block == 0:
                around = {} if number == 1 else settings
                before = _conv(state, f"{name}.downsample.0", before, **around)
                before = _norm(state, f"{name}.downsample.1", before)
            out = (out + before).relu()
        levels += [out] if number > 1 else []
    return levels


@torch.no_grad()
def rpn(state: State, prefix: str, output: str, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    name = f"{prefix}.{output}"
    sides = {}
    for part, features in (("conv_kernel", z), ("conv_search", x)):
        sides[part] = _norm(state, f"{name}.{part}.1", _conv(state, f"{name}.{part}.0", features)).relu()
    response = _correlated(sides["conv_kernel"], sides["conv_search"], 256)
    hidden = _norm(state, f"{name}.head.1", _conv(state, f"{name}.head.0", response)).relu()
    return _conv(state, f"{name}.head.3", hidden)


@torch.no_grad()
def levels(state: State, z: Sequence[torch.Tensor], x: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the maps of three levels, averaged as the state dict says."""
    maps: dict[str, list[torch.Tensor]] = {"cls": [], "loc": []}
    for number, (template, search) in enumerate(zip(z, x, strict=True), start=2):
        neck = f"neck.downsample{number}.downsample"
        z_f, x_f = (_norm(state, f"{neck}.1", _conv(state, f"{neck}.0", side)) for side in (template, search))
        for output, found in maps.items():
            found.append(rpn(state, f"rpn_head.rpn{number}", output, z_f[:, :, 4:11, 4:11], x_f))
    averaged = {}
    for output, found in maps.items():
        learned = state.get(f"rpn_head.{output}_weight", torch.zeros(3))
        averaged[output] = sum(
            (share * level for share, level in zip(learned.softmax(0), found, strict=True)), torch.tensor(0.0)
        )
    return averaged
