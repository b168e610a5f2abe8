"""What can be asked of siamcorr: the checked calls that Engine, server and client share.

:mod:`siamcorr.checks` builds them from what a caller writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from siamcorr.answers import Template
from siamcorr.arguments import Array, Indices, as_count
from siamcorr.errors import InvalidArgument
from siamcorr.shapes import Correlation, IntPair

__all__ = [
    "DEFAULT_TENSOR",
    "NETWORK",
    "CorrelateCall",
    "CorrelateOptions",
    "Family",
    "Features",
    "Frame",
    "Handle",
    "HeadLike",
    "HeadWeights",
    "Image",
    "MapDtype",
    "Output",
    "OutputKind",
    "Precision",
    "TemplateSource",
    "WireDtype",
]

Handle: TypeAlias = str | Template
Image: TypeAlias = bytes | npt.NDArray[np.uint8]
OutputKind: TypeAlias = Literal["map", "peaks", "both"]
MapDtype: TypeAlias = Literal["float32", "float16"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
WireDtype: TypeAlias = Literal["float32", "float16", "bfloat16"]

DEFAULT_TENSOR = "features"
"""What a template's only tensor is called when its maker did not name it."""

NETWORK = "network"
"""The ``kind`` that asks for a model's own maps."""

_MAX_TOP_K = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Search regions as feature maps: (N, C, H, W) float32, float16 or bfloat16."""

    regions: Array

    @property
    def count(self) -> int:
        """N, the number of search regions."""
        return len(self.regions)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image and boxes in it.

    ``image`` is a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR. ``boxes`` is (N, 4) float64: x, y, w, h
    in pixels, x and y of the top left corner. ``model`` names the embedder; None leaves it to the engine.
    """

    image: Image
    boxes: npt.NDArray[np.float64]
    model: str | None = None

    @property
    def count(self) -> int:
        """N, the number of boxes: each gives one search region or template."""
        return len(self.boxes)


TemplateSource: TypeAlias = Mapping[str, Array] | Frame
"""What templates are made from: named tensors, or a frame."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadWeights:
    """A 1x1 convolution over a response's channels: ``weight`` (K, O/groups), ``bias`` (K,), float32."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32] | None = None


HeadLike: TypeAlias = HeadWeights | npt.NDArray[np.floating] | tuple[npt.ArrayLike, npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class Output:
    """What comes back of a response map: the map, its ``top_k`` best peaks, or both.

    ``sum_channels`` sums the channels, after the head, into one.

    Raises:
        InvalidArgument: names ``output``, ``map_dtype`` or ``top_k``.
    """

    kind: OutputKind = "map"
    map_dtype: MapDtype = "float32"
    top_k: int = 1
    sum_channels: bool = False

    def __post_init__(self) -> None:
        """Refuse what nobody could answer."""
        if self.kind not in ("map", "peaks", "both"):
            raise InvalidArgument.found("output", repr(self.kind)[:80], "'map', 'peaks' or 'both'")
        if self.map_dtype not in ("float32", "float16"):
            raise InvalidArgument.found("map_dtype", repr(self.map_dtype)[:80], "'float32' or 'float16'")
        as_count(self.top_k, "top_k", most=_MAX_TOP_K)
        if not isinstance(self.sum_channels, bool):
            raise InvalidArgument.found("sum_channels", repr(self.sum_channels)[:80], "True or False")


@dataclass(slots=True, eq=False)
class Family:
    """Calls that differ in their handles and in the numbers of their search features alone.

    Such are a tracker's from frame to frame, and those of all that track alike. ``plans`` is what the engine
    has found out about them, by the forms of their templates.
    """

    plans: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class CorrelateCall:
    """A checked request: pair i is ``templates[template_index[i]]`` on search region ``search_index[i]``.

    With ``is_network`` it is not a correlation that is asked for but the templates' whole network; of what
    follows it in the fields only the output's ``map_dtype`` counts then. ``family`` is set where the same
    engine is asked the like again and again.
    """

    templates: tuple[str, ...]
    search: Features | Frame
    template_index: tuple[int, ...]
    search_index: tuple[int, ...]
    correlation: Correlation
    tensor: str = ""
    gain: float = 1.0
    bias: npt.NDArray[np.float32] | None = None
    head: HeadWeights | None = None
    output: Output = Output()
    precision: Precision = "float32"
    is_network: bool = False
    family: Family | None = None


class CorrelateOptions(TypedDict, total=False):
    """The keywords of ``correlate``; :func:`correlate_call` says what each means."""

    features: Array | None
    image: Image | None
    box: npt.ArrayLike | None
    model: str | None
    tensor: str
    kind: str
    groups: int | None
    k: int | None
    padding: IntPair
    stride: IntPair
    dilation: IntPair
    gain: float
    bias: npt.ArrayLike | None
    pairs: tuple[Indices, Indices] | None
    head: HeadLike | None
    output: OutputKind
    map_dtype: MapDtype
    top_k: int
    sum_channels: bool
    precision: Precision
    wire_dtype: WireDtype | None
