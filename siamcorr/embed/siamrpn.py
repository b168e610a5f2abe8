"""SiamRPN: AlexNet features, and an up-channel correlation each for score and box (B. Li et al., CVPR 2018).

Names and layers are those of pysot's ``AlexNetLegacy`` and ``UPChannelRPN``. From a template of 127
pixels, (256, 6, 6), one convolution makes the kernels (2560, 4, 4) of the score and another those (5120,
4, 4) of the box. A search region of 271 pixels, as DaSiamRPN has it, is (256, 24, 24), and (256, 22, 22)
after one convolution for the score and one for the box. The maps are ``cls``, (10, 19, 19), before the
softmax, and ``loc``, (20, 19, 19): channel = class or coordinate * 5 + anchor.
"""

from __future__ import annotations

import torch
from torch import nn

from siamcorr.embed.alexnet import CHANNELS, AlexNet
from siamcorr.embed.architecture import Architecture, Branch
from siamcorr.embed.folding import fold_batch_norm
from siamcorr.embed.weights import StateDict, load
from siamcorr.geometry import CropSettings
from siamcorr.shapes import Correlation

__all__ = ["build"]

_SCORES, _COORDINATES = 2 * 5, 4 * 5  # of 5 anchors


def build(state: StateDict) -> Architecture:
    """Return SiamRPN with the weights of a state dict in pysot's layout.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    with torch.device("meta"):  # places and shapes only: no memory is filled, no random number drawn
        backbone, head = AlexNet(), _Head()
        published = nn.ModuleDict({"backbone": backbone, "rpn_head": head})
    load(published, state)
    fold_batch_norm(published.double().eval())
    published.float().requires_grad_(False)
    return Architecture(
        name="siamrpn",
        crop=CropSettings(context=0.5, template_px=127, search_px=271),
        stride=8,
        tensors=("cls", "loc"),
        template=_Side(backbone, head.template_cls_conv, head.template_loc_conv),
        search=_Side(backbone, head.search_cls_conv, head.search_loc_conv),
        branches=(
            Branch("cls", Correlation("upchannel", k=_SCORES)),
            Branch("loc", Correlation("upchannel", k=_COORDINATES)),
        ),
        head=head,
        maps=("cls", "loc"),
    )


class _Side(nn.Module):
    """Crops to what is correlated for the score, and for the box."""

    def __init__(self, backbone: AlexNet, score: nn.Conv2d, box: nn.Conv2d) -> None:
        super().__init__()
        self.backbone, self.score, self.box = backbone, score, box

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        (features,) = self.backbone(crops)
        return self.score(features), self.box(features)


class _Head(nn.Module):
    """The published head's layers by name. It runs what follows the correlations."""

    def __init__(self) -> None:
        super().__init__()
        self.template_cls_conv = nn.Conv2d(CHANNELS, _SCORES * CHANNELS, 3)
        self.template_loc_conv = nn.Conv2d(CHANNELS, _COORDINATES * CHANNELS, 3)
        self.search_cls_conv = nn.Conv2d(CHANNELS, CHANNELS, 3)
        self.search_loc_conv = nn.Conv2d(CHANNELS, CHANNELS, 3)
        self.loc_adjust = nn.Conv2d(_COORDINATES, _COORDINATES, 1)

    def forward(self, score: torch.Tensor, box: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return score, self.loc_adjust(box)
