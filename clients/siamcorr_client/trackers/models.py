"""Which kind of tracker, and which numbers, suit each model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from siamcorr.errors import InvalidArgument
from siamcorr_client.trackers.settings import (
    AnchorFreeSettings,
    AnchorSettings,
    SiamFCSettings,
    TrackerSettings,
)

__all__ = ["SETTINGS", "settings_for"]

SETTINGS: Mapping[str, TrackerSettings] = MappingProxyType(
    {
        "hog": SiamFCSettings(),
        "dcfnet": SiamFCSettings(template_px=84, search_px=164),
        "siamfc": SiamFCSettings(gain=1e-3),
        "siamrpn": AnchorSettings(penalty_k=0.055, window_influence=0.42, rate=0.295, search_px=271),
        "siamrpnpp_alexnet": AnchorSettings(penalty_k=0.16, window_influence=0.4, rate=0.3, search_px=287),
        "siamrpnpp_mobilenetv2": AnchorSettings(penalty_k=0.04, window_influence=0.4, rate=0.5),
        "siamrpnpp_resnet50": AnchorSettings(),
        "nanotrackv1": AnchorFreeSettings(penalty_k=0.148, window_influence=0.462, rate=0.39),
        "nanotrackv2": AnchorFreeSettings(penalty_k=0.15, window_influence=0.49, rate=0.385),
        "nanotrackv3": AnchorFreeSettings(),
    }
)
"""By model, the published numbers: of SiamFC (hog and dcfnet too), DaSiamRPN, pysot and NanoTrack."""


def settings_for(model: str) -> TrackerSettings:
    """Return the settings that suit a model; ``+`` and a template transform behind its name change nothing.

    Raises:
        InvalidArgument: names ``model``: there are none for it. Pass ``settings`` of your own.

    >>> settings_for("hog+ridge").scales
    3
    """
    name = model.partition("+")[0] if isinstance(model, str) else model
    if name not in SETTINGS:
        expected = f"one of {', '.join(SETTINGS)}, or settings of your own"
        raise InvalidArgument.found("model", repr(model)[:80], expected)
    return SETTINGS[name]
