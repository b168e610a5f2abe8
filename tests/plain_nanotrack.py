"""NanoTrack v3 as its authors run it: one published layer after the other, nothing folded, batch 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

from siamcorr.embed.mobilenet_v3 import layers
from siamcorr.embed.nanotrack import _published_head
from siamcorr.embed.weights import StateDict, load

__all__ = ["PlainNanoTrack"]

_BRANCHES = (("cls", "cls_tower", "cls_logits"), ("reg", "bbox_tower", "bbox_pred"))


class PlainNanoTrack(nn.Module):
    """The published network; ``double()`` makes it a reference."""

    def __init__(self, state: StateDict) -> None:
        super().__init__()
        self.backbone, self.head = layers(), _published_head()
        load(self.backbone, state, "backbone.features.")
        load(self.head, state, "ban_head.")
        self.eval()

    @torch.no_grad()
    def features(self, pixels: npt.NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Return the features (1, 96, h, w) of a crop (S, S, 3)."""
        crop = torch.as_tensor(pixels).permute(2, 0, 1)[None]
        made: torch.Tensor = self.backbone(crop.to(next(self.parameters()).dtype))
        return made

    @torch.no_grad()
    def maps(self, template: torch.Tensor, search: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return score (1, 2, 15, 15) and box (1, 4, 15, 15) of one pair of features."""
        score, box = (self._map(names, template, search) for names in _BRANCHES)
        return score, box.exp()

    def _map(self, names: tuple[str, str, str], template: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        name, tower, last = names
        kernel = self._layer(f"corr_pw_{name}.conv_kernel", template)
        region = self._layer(f"corr_pw_{name}.conv_search", search)
        cells = kernel.flatten(2).transpose(1, 2) @ region.flatten(2)
        response = cells.reshape(1, -1, *region.shape[2:])
        squeezed = F.relu(self._layer(f"corr_pw_{name}.CA_layer.fc1", response.mean((2, 3), keepdim=True)))
        kept = response * torch.sigmoid(self._layer(f"corr_pw_{name}.CA_layer.fc2", squeezed))
        middle = self._layer(f"corr_dw_{name}.conv_kernel", template[:, :, 2:6, 2:6])
        region = self._layer(f"corr_dw_{name}.conv_search", search)
        other = F.conv2d(region, middle.transpose(0, 1), padding=1, groups=region.shape[1])
        joined = torch.cat([self._layer(f"corr_pw_{name}.conv", kept), other], 1)
        return self._layer(last, self._layer(tower, self._layer(f"down_{name}", joined)))

    def _layer(self, path: str, features: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.head.get_submodule(path)(features)
        return made
