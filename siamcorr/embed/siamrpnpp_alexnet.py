"""SiamRPN++ with AlexNet, pysot's ``siamrpn_alex_dwxcorr``: one level, so no neck.

A template of 127 pixels, (256, 6, 6), becomes 4x4, a search region of 287 pixels 24x24, their maps 21x21.
See :mod:`siamcorr.embed.depthwise_rpn`.
"""

from __future__ import annotations

from siamcorr.embed.alexnet import CHANNELS, AlexNet
from siamcorr.embed.architecture import Architecture
from siamcorr.embed.depthwise_rpn import siamrpnpp
from siamcorr.embed.weights import StateDict

__all__ = ["build"]


def build(state: StateDict) -> Architecture:
    """Return the network with the weights of pysot's state dict.

    Raises:
        InvalidArgument: names ``model``: the tensors are not those of the layout.
    """
    return siamrpnpp("siamrpnpp_alexnet", state, backbone=AlexNet, channels=(CHANNELS,), search_px=287)
