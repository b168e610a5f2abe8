"""The numbers of the trackers, by name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

from siamcorr.arguments import as_count, as_number, is_int
from siamcorr.errors import InvalidArgument

__all__ = [
    "AnchorFreeSettings",
    "AnchorSettings",
    "LostSettings",
    "ProposalSettings",
    "SiamFCSettings",
    "TrackerSettings",
    "as_settings",
]


_RANGES = {
    "scale_step": (1.0, 2.0),
    "scale_penalty": (0.0, 1.0),
    "scale_rate": (0.0, 1.0),
    "window_influence": (0.0, 1.0),
    "penalty_k": (0.0, 10.0),
    "rate": (0.0, 1.0),
    "gain": (1e-9, 1e9),
    "min_side_px": (1.0, 1e3),
    "context": (0.0, 16.0),
}


def _check_range(settings: object, field: str, least: float, most: float) -> None:
    number = as_number(getattr(settings, field), field)
    if not least <= number <= most:
        raise InvalidArgument.found(field, number, f"a number from {least:g} to {most:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSettings:
    """When a target counts as lost, and what is done to find it again.

    It is lost once its confidence was under ``below`` for ``patience`` frames on end, and found again once it
    is at least ``above``; between the two nothing changes.

    ``rings`` of search regions are laid around a lost target's last place: 1 makes 9 regions in all, 2 makes
    25. They go with the same request. Until one of them has the target, its box stays where it was, as in the
    long-term tracker of "SiamRPN++". With 0 nothing but the word changes: the box is what it would have been
    without a LOST state.

    Raises:
        InvalidArgument: names the setting.

    >>> LostSettings(below=0.9, above=0.5)
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: above: found 0.5, expected a number from 0.9 to 1
    """

    below: float = 0.3
    above: float = 0.5
    patience: int = 3
    rings: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no sense."""
        _check_range(self, "below", 0.0, 1.0)
        _check_range(self, "above", self.below, 1.0)
        as_count(self.patience, "patience", most=10_000)
        if not is_int(self.rings) or not 0 <= self.rings <= 3:
            raise InvalidArgument.found("rings", repr(self.rings)[:80], "an integer from 0 to 3")


def _check_common(settings: SiamFCSettings | ProposalSettings) -> None:
    for field in fields(settings):
        if field.name in _RANGES:
            _check_range(settings, field.name, *_RANGES[field.name])
    as_count(settings.template_px, "template_px", most=2048)
    as_count(settings.search_px, "search_px", most=2048)
    if not isinstance(settings.lost, LostSettings):
        raise InvalidArgument.found("lost", repr(settings.lost)[:80], "LostSettings")


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
    height of a box, in pixels. ``context``, ``template_px`` and ``search_px`` say how the model cuts its
    crops; only the wider search for a ``lost`` target asks.

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
    context: float = 0.5
    template_px: int = 127
    search_px: int = 255
    lost: LostSettings = LostSettings()

    def __post_init__(self) -> None:
        """Refuse what no target could be followed with."""
        if not as_count(self.scales, "scales", most=15) % 2:
            raise InvalidArgument.found("scales", self.scales, "an odd number from 1 to 15")
        as_count(self.upsampling, "upsampling", most=64)
        _check_common(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalSettings:
    """How a tracker chooses among a network's boxes, and moves; its defaults are NanoTrack v3's.

    ``penalty_k`` is how strongly a change of size and proportions counts against a box, and
    ``window_influence`` the part that a cosine window has in the choice. Of the chosen size the part ``rate``
    times its score is taken over; the place is taken over whole. ``stride`` is in pixels of the resized
    search region a cell; ``context``, ``template_px`` and ``search_px`` say how the model cuts its crops.
    ``min_side_px`` is the least width and height of a box, in pixels.

    Raises:
        InvalidArgument: names the setting.
    """

    penalty_k: float = 0.138
    window_influence: float = 0.455
    rate: float = 0.348
    stride: int = 16
    min_side_px: float = 10.0
    context: float = 0.5
    template_px: int = 127
    search_px: int = 255
    lost: LostSettings = LostSettings()

    def __post_init__(self) -> None:
        """Refuse what no target could be followed with."""
        as_count(self.stride, "stride", most=256)
        _check_common(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorFreeSettings(ProposalSettings):
    """How the anchor-free kind chooses and moves, as NanoTrack does.

    >>> AnchorFreeSettings(window_influence=0.49).rate
    0.348
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSettings(ProposalSettings):
    """How the anchor kind chooses and moves, as SiamRPN and SiamRPN++ do; its defaults are ResNet-50's.

    ``ratios`` (height over width) and ``scales`` are those of the anchors that the network was trained with.

    >>> AnchorSettings(ratios=())
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: ratios: found (), expected 1 to 64 numbers from 0.01 to 100
    """

    penalty_k: float = 0.05
    window_influence: float = 0.42
    rate: float = 0.38
    stride: int = 8
    ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scales: tuple[float, ...] = (8.0,)

    def __post_init__(self) -> None:
        """Refuse what no target could be followed with."""
        ProposalSettings.__post_init__(self)
        for field in ("ratios", "scales"):
            numbers = getattr(self, field)
            is_some = isinstance(numbers, tuple) and 1 <= len(numbers) <= 64
            if not is_some or not all(0.01 <= as_number(number, field) <= 100 for number in numbers):
                expected = "1 to 64 numbers from 0.01 to 100"
                raise InvalidArgument.found(field, repr(numbers)[:80], expected)


TrackerSettings: TypeAlias = SiamFCSettings | AnchorSettings | AnchorFreeSettings


def as_settings(settings: object) -> TrackerSettings:
    """Check settings that a caller gives."""
    if isinstance(settings, SiamFCSettings | AnchorSettings | AnchorFreeSettings):
        return settings
    expected = "SiamFCSettings, AnchorSettings or AnchorFreeSettings"
    raise InvalidArgument.found("settings", repr(settings)[:80], expected)
