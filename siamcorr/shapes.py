"""The one operator, in shapes: which correlations are legal, and what comes out of them.

Every kind is a convolution with per-sample weights::

    weight (O, C/g, h, w)  applied to  search (C, H, W)  with g groups  ->  response (O, H', W')
    H' = (H + 2*padding - dilation*(h-1) - 1) // stride + 1          h and w are the weight's

=========== =================================== ================== =============== ======== ===========
kind        published by                        template as stored weight          groups g response
=========== =================================== ================== =============== ======== ===========
naive       SiamFC, arXiv:1606.09549            (C, h, w)          (1, C, h, w)    1        (1, H', W')
depthwise   SiamRPN++, arXiv:1812.11703         (C, h, w)          (C, 1, h, w)    C        (C, H', W')
upchannel   SiamRPN, CVPR 2018                  (k*C, h, w)        (k, C, h, w)    1        (k, H', W')
groupwise   naive is g = 1, depthwise is g = C  (C, h, w)          (g, C/g, h, w)  g        (g, H', W')
pixelwise   Alpha-Refine, arXiv:2012.06815      (C, h, w)          (h*w, C, 1, 1)  1        (h*w, H, W)
grouped     any: the template is the weight     (O, C/g, h, w)     as stored       g        (O, H', W')
=========== =================================== ================== =============== ======== ===========

Rules:

- A kind is data: a view of the template and a group count. No kind has arithmetic of its own.
- :class:`Correlation` refuses what is wrong whatever the shapes; :func:`resolve` refuses the rest.
- Shapes here are of one sample, without the batch axis. A batch never mixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from siamcorr.errors import InvalidArgument

__all__ = ["KINDS", "MAX_COUNT", "MAX_STEP", "Correlation", "IntPair", "Resolved", "Shape", "resolve"]

IntPair: TypeAlias = int | tuple[int, int]
Shape: TypeAlias = tuple[int, ...]

KINDS = ("naive", "depthwise", "upchannel", "groupwise", "pixelwise", "grouped")

MAX_STEP = 1024
"""Upper bound of padding, stride and dilation, in cells: far above any tracker's, far below any overflow."""

MAX_COUNT = 1 << 20
"""Upper bound of ``groups``, of ``k`` and of every axis of a shape."""

_WITH_GROUPS = ("groupwise", "grouped")
_DEFAULTS = {"padding": (0, 0), "stride": (1, 1), "dilation": (1, 1)}


@dataclass(frozen=True, slots=True, init=False)
class Correlation:
    """How a template is slid over a search region. Hashable, so that it can be part of a batch key.

    ``groups`` belongs to ``groupwise`` and ``grouped``, which need it. ``k`` belongs to ``upchannel``: it
    follows from the channels, and if given it is checked against them. ``padding`` (with zeros), ``stride``
    and ``dilation`` are (row, col) in cells; one integer stands for both. Pixel-wise slides a 1x1 weight, so
    it takes only their defaults.

    Raises:
        InvalidArgument: names the setting.

    >>> Correlation("depthwise", padding=1).padding
    (1, 1)
    >>> Correlation("depthwise", groups=2)
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: groups: found 2, expected none: only groupwise and grouped take groups
    """

    kind: str
    groups: int | None
    k: int | None
    padding: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __init__(
        self,
        kind: str = "naive",
        *,
        groups: int | None = None,
        k: int | None = None,
        padding: IntPair = 0,
        stride: IntPair = 1,
        dilation: IntPair = 1,
    ) -> None:
        """Check and normalise. Written out, so that what may be an integer or a pair is read as a pair."""
        if kind not in KINDS:
            raise InvalidArgument.found("kind", repr(kind)[:80], f"one of {', '.join(KINDS)}")
        settings = {
            "kind": kind,
            "groups": _count(groups, "groups", kind, taken_by=_WITH_GROUPS),
            "k": _count(k, "k", kind, taken_by=("upchannel",)),
            "padding": _pair(padding, "padding", least=0),
            "stride": _pair(stride, "stride", least=1),
            "dilation": _pair(dilation, "dilation", least=1),
        }
        if kind in _WITH_GROUPS and groups is None:
            raise InvalidArgument.found("groups", "none", f"a number of groups for {kind}")
        for name, default in _DEFAULTS.items():
            if kind == "pixelwise" and settings[name] != default:
                raise InvalidArgument.found(name, settings[name], f"{default} for pixelwise")
        for name, value in settings.items():
            object.__setattr__(self, name, value)  # a frozen dataclass is set up in this way


@dataclass(frozen=True, slots=True)
class Resolved:
    """The operator of one sample: ``weight`` (O, C/g, h, w), ``groups`` g, ``response`` (O, H', W')."""

    weight: tuple[int, int, int, int]
    groups: int
    response: tuple[int, int, int]


def resolve(
    correlation: Correlation,
    template_shape: Sequence[int],
    search_shape: Sequence[int],
    *,
    search_field: str = "search",
) -> Resolved:
    """Return the operator that ``correlation`` is for these two shapes, or say why there is none.

    Args:
        correlation: the settings.
        template_shape: as stored, of one sample: (C, h, w); (k*C, h, w) for upchannel; (O, C/g, h, w) for
            grouped.
        search_shape: (C, H, W).
        search_field: what the caller calls the search region, for the errors.

    Raises:
        InvalidArgument: names ``template``, ``groups``, ``k`` or ``search_field``.

    >>> resolve(Correlation("naive"), (256, 6, 6), (256, 22, 22))
    Resolved(weight=(1, 256, 6, 6), groups=1, response=(1, 17, 17))
    >>> resolve(Correlation("upchannel", k=10), (2560, 4, 4), (256, 20, 20)).response
    (10, 17, 17)
    >>> resolve(Correlation("depthwise"), (256, 5, 5), (255, 29, 29))
    Traceback (most recent call last):
    siamcorr.errors.InvalidArgument: template: found 256 channels, expected 255, as in search
    """
    template = _shape(template_shape, "template", axes=4 if correlation.kind == "grouped" else 3)
    search = _shape(search_shape, search_field, axes=3)
    weight, groups = _VIEWS[correlation.kind](correlation, template, search[0], search_field)
    outputs, depth, rows, cols = weight
    response_rows = _positions(correlation, 0, rows, search[1], search_field)
    response_cols = _positions(correlation, 1, cols, search[2], search_field)
    return Resolved((outputs, depth, rows, cols), groups, (outputs, response_rows, response_cols))


_View: TypeAlias = tuple[Shape, int]


def _naive(_: Correlation, template: Shape, channels: int, search_field: str) -> _View:
    _same_channels(template[0], channels, search_field)
    return (1, *template), 1


def _depthwise(_: Correlation, template: Shape, channels: int, search_field: str) -> _View:
    _same_channels(template[0], channels, search_field)
    return (channels, 1, *template[1:]), channels


def _upchannel(correlation: Correlation, template: Shape, channels: int, search_field: str) -> _View:
    k, rest = divmod(template[0], channels)
    if rest:
        expected = f"a multiple of the {channels} in {search_field}"
        raise InvalidArgument.found("template", f"{template[0]} channels", expected)
    if correlation.k not in {None, k}:
        expected = f"{k}: {template[0]} template channels over {channels} in {search_field}"
        raise InvalidArgument.found("k", correlation.k, expected)
    return (k, channels, *template[1:]), 1


def _groupwise(correlation: Correlation, template: Shape, channels: int, search_field: str) -> _View:
    _same_channels(template[0], channels, search_field)
    groups = _divisor(correlation, channels, f"channels of {search_field}")
    return (groups, channels // groups, *template[1:]), groups


def _pixelwise(_: Correlation, template: Shape, channels: int, search_field: str) -> _View:
    _same_channels(template[0], channels, search_field)
    return (template[1] * template[2], channels, 1, 1), 1


def _grouped(correlation: Correlation, template: Shape, channels: int, search_field: str) -> _View:
    groups = _divisor(correlation, channels, f"channels of {search_field}")
    _divisor(correlation, template[0], "outputs of the template")
    if template[1] != channels // groups:
        expected = f"{channels // groups}: {channels} in {search_field} over {groups} groups"
        raise InvalidArgument.found("template", f"{template[1]} channels a group", expected)
    return template, groups


_VIEWS: dict[str, Callable[[Correlation, Shape, int, str], _View]] = {
    "naive": _naive,
    "depthwise": _depthwise,
    "upchannel": _upchannel,
    "groupwise": _groupwise,
    "pixelwise": _pixelwise,
    "grouped": _grouped,
}


def _positions(correlation: Correlation, axis: int, extent: int, size: int, search_field: str) -> int:
    """Return how many positions the weight has along one axis (0 rows, 1 columns)."""
    reach = correlation.dilation[axis] * (extent - 1) + 1
    room = size + 2 * correlation.padding[axis]
    if reach > room:
        name = ("rows", "columns")[axis]
        found = f"{reach} {name}" + (f" ({extent} dilated)" if reach != extent else "")
        expected = f"at most {room}, the {name} of {search_field}" + (" padded" if room != size else "")
        raise InvalidArgument.found("template", found, expected)
    return (room - reach) // correlation.stride[axis] + 1


def _same_channels(found: int, channels: int, search_field: str) -> None:
    if found != channels:
        raise InvalidArgument.found("template", f"{found} channels", f"{channels}, as in {search_field}")


def _divisor(correlation: Correlation, number: int, what: str) -> int:
    groups = correlation.groups or 1
    if number % groups:
        raise InvalidArgument.found("groups", groups, f"a divisor of the {number} {what}")
    return groups


def _shape(sizes: Sequence[int], field: str, axes: int) -> Shape:
    shape = tuple(sizes)
    if len(shape) != axes:
        expected = f"{axes} axes a sample"
        if field == "template" and len(shape) == 4:
            expected += ": no batch axis, or the kind grouped"
        raise InvalidArgument.found(field, f"{len(shape)} axes {shape}", expected)
    if not all(1 <= size <= MAX_COUNT for size in shape):
        raise InvalidArgument.found(field, f"shape {shape}", f"sizes from 1 to {MAX_COUNT}")
    return shape


def _count(value: int | None, field: str, kind: str, taken_by: tuple[str, ...]) -> int | None:
    if value is None:
        return None
    if kind not in taken_by:
        takers = " and ".join(taken_by) + (" take" if len(taken_by) > 1 else " takes")
        raise InvalidArgument.found(field, repr(value)[:80], f"none: only {takers} {field}")
    if not _is_int(value) or not 1 <= value <= MAX_COUNT:
        raise InvalidArgument.found(field, repr(value)[:80], f"an integer from 1 to {MAX_COUNT}")
    return value


def _pair(value: object, field: str, least: int) -> tuple[int, int]:
    pair = (value, value) if _is_int(value) else value
    if isinstance(pair, tuple | list) and len(pair) == 2:
        row, col = pair
        if _is_int(row) and _is_int(col) and least <= min(row, col) and max(row, col) <= MAX_STEP:
            return row, col
    expected = f"an integer from {least} to {MAX_STEP}, or (row, col)"
    raise InvalidArgument.found(field, repr(value)[:80], expected)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
