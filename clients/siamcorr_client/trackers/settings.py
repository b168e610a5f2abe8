"""The numbers of the SiamFC tracker, by name, and the ones that suit each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from siamcorr.arguments import as_count, as_number
from siamcorr.errors import InvalidArgument

__all__ = ["SETTINGS", "SiamFCSettings", "settings_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiamFCSettings:
    """How SiamFC searches and moves.

    The defaults are those of "SiamFC-3s" (Bertinetto et al., arXiv:1606.09549), with the values of its widely
    used port to PyTorch, siamfc-pytorch.

    ``scales`` boxes are tried a frame, an odd number, each ``scale_step`` times as large as the one before.
    The response of a changed size is multiplied by ``scale_penalty``, and of the change that wins, the part
    ``scale_rate`` is made. A cosine window takes the part ``window_influence`` of the response in which the
    place is looked for; it holds back jumps. Response maps are upsampled ``upsampling`` times. ``gain``
    multiplies responses, and so scores; it decides nothing else. ``min_side_px`` is the least width and
    height of a box, in pixels.

    Raises:
        InvalidArgument: names the setting.

    >>> SiamFCSettings(scales=2)
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: scales: found 2, expected an odd number from 1 to 15
    """

    scales: int = 3
    scale_step: float = 1.0375
    scale_penalty: float = 0.9745
    scale_rate: float = 0.59
    window_influence: float = 0.176
    upsampling: int = 16
    gain: float = 1.0
    min_side_px: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what no target could be followed with."""
        if not as_count(self.scales, "scales", most=15) % 2:
            raise InvalidArgument.found("scales", self.scales, "an odd number from 1 to 15")
        as_count(self.upsampling, "upsampling", most=64)
        for field, (least, most) in _RANGES.items():
            number = as_number(getattr(self, field), field)
            if not least <= number <= most:
                raise InvalidArgument.found(field, number, f"a number from {least:g} to {most:g}")


_RANGES = {
    "scale_step": (1.0, 2.0),
    "scale_penalty": (0.0, 1.0),
    "scale_rate": (0.0, 1.0),
    "window_influence": (0.0, 1.0),
    "gain": (1e-9, 1e9),
    "min_side_px": (1.0, 1e3),
}

SETTINGS: Mapping[str, SiamFCSettings] = MappingProxyType(
    {
        "hog": SiamFCSettings(),
        "nanotrackv3": SiamFCSettings(gain=1 / (96 * 8 * 8)),
    }
)
"""By model. The published numbers suit both: on six sequences others were no better on the whole.

The gain for ``nanotrackv3`` makes a score the mean product of a template's and a search region's features.
"""


def settings_for(model: str) -> SiamFCSettings:
    """Return the settings that suit a model.

    Raises:
        InvalidArgument: names ``model``: there are none for it. Pass ``settings`` of your own.

    >>> settings_for("hog").scales
    3
    """
    if model not in SETTINGS:
        expected = f"one of {', '.join(SETTINGS)}, or settings of your own"
        raise InvalidArgument.found("model", repr(model)[:80], expected)
    return SETTINGS[model]
