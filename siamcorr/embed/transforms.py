"""Template transforms: what is made of a template's features, once at creation and at each update.

Whatever the transform, what comes out is a template of the usual shape, and its response an ordinary
correlation. A transform is a property of a model, and any embedder can have any of them.

- ``none``: the features as they are, for networks that were trained so.
- ``mean``: the features less their mean, weighted towards the middle.
- ``ridge``: the correlation filter of J. Valmadre et al., End-to-end representation learning for Correlation
  Filter based tracking (CFNet), CVPR 2017, and Q. Wang et al., DCFNet, arXiv:1704.04057: of all filters the
  one whose circular response to the features is nearest to a Gaussian about the target, in least squares with
  a penalty on the filter's energy. It is made from the crop of a whole search region, so it has learned how
  what is around the target differs from it. With one kernel for all channels it is closed-form::

      k = (1/n) sum over channels of conj(X) X + lambda,   w = (1/n) ifft(conj(y / k) X)

  with X the windowed features' and y the Gaussian's Fourier transform, and n the number of features. Its
  middle, of a template's size, is what slides over search features.

Rules:

- Templates are made one by one, so that one has the same bits beside any others.
- A template's middle stays where it was. Where the margin around a template is an odd number of cells, and
  the middle of the map lies between cells, the filter is made to answer there: its Gaussian is half a cell
  off.
- ``mean`` and ``ridge`` are scaled to answer 1 to the crop that they were made from, at its middle.
- Features that vanish, as those of a black crop do, make a template that answers 0.

Ways rejected, by the SiamFC tracker's mean overlap over six sequences of OTB and VOT2015, begun anew every
60 frames and followed for 100, with ``hog`` and a blend of 1 % a frame. It is 0.66 for ``mean`` and
``ridge``:

- A cosine window over the whole search region, as published, instead of a Gaussian about the target, with a
  tenth of the penalty: 0.58. The filter holds on to what is around the target.
- A regression over the shifts inside the search region alone, which nothing wraps around, solved in its dual
  form: 0.65. It needs a matrix of as many rows and columns as there are shifts.
- A tenth of the penalty, and a response from 0.06 to 0.1 of a template wide: no gain above 0.005.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import torch

from siamcorr.errors import InvalidArgument
from siamcorr.precision import in_full_precision

__all__ = ["TRANSFORMS", "Transform", "transform_of"]

_WINDOW_SIGMA = 0.25
"""The standard deviation of the weights over a crop, as a part of a template's side."""

_LABEL_SIGMA = 0.08
"""The standard deviation of the response that ``ridge`` aims at, as a part of a template's side."""

_LAMBDA = 0.1
"""The penalty of ``ridge``, as a part of the windowed features' mean square."""

_FAINTEST = 1e-6
"""What counts as that mean square at least."""

_LEAST_SELF_RESPONSE = 0.01
"""What answers less to itself before it is scaled, almost nothing, answers below 1 after it too."""


class Transform(Protocol):
    """Features in, templates out."""

    @property
    def from_search(self) -> bool:
        """Whether it takes the features of crops that are cut as search regions are, or as templates are."""

    def __call__(self, features: torch.Tensor, template_shape: tuple[int, ...]) -> torch.Tensor:
        """Return templates (N, C, h, w) float32 of features (N, C, H, W).

        Args:
            features: those of each template's crop.
            template_shape: (C, h, w).

        Raises:
            InvalidArgument: names ``features``: they are no (N, C, H, W), or not what such a template is made
                of.
        """


class _AsTheyAre:
    from_search = False

    def __call__(self, features: torch.Tensor, template_shape: tuple[int, ...]) -> torch.Tensor:
        _check_same(features, template_shape)
        return features.to(torch.float32)


class _LessTheirMean:
    from_search = False

    def __call__(self, features: torch.Tensor, template_shape: tuple[int, ...]) -> torch.Tensor:
        _check_same(features, template_shape)
        _, rows, cols = template_shape
        weights = _window(rows, cols, template_shape, features.device)
        weights /= weights.sum()
        templates = torch.empty_like(features, dtype=torch.float32)
        with in_full_precision(features.device):
            for index, cells in enumerate(features.to(torch.float32)):
                weighted = (cells - (cells * weights).sum((1, 2), keepdim=True)) * weights
                templates[index] = weighted / _at_least(_product(weighted, cells))
        return templates


class _Ridge:
    from_search = True

    def __call__(self, features: torch.Tensor, template_shape: tuple[int, ...]) -> torch.Tensor:
        _check_holds(features, template_shape)
        channels, rows, cols = template_shape
        margins = features.shape[2] - rows, features.shape[3] - cols
        top, left = margins[0] // 2, margins[1] // 2
        middle = (slice(None), slice(top, top + rows), slice(left, left + cols))
        weights = _window(features.shape[2], features.shape[3], template_shape, features.device)
        label = _label(features, template_shape)
        peak = label[0, 0]
        label_frequencies = torch.fft.rfft2(label)
        templates = features.new_empty((len(features), channels, rows, cols), dtype=torch.float32)
        with in_full_precision(features.device):
            for index, cells in enumerate(features.to(torch.float32)):
                template = _regress(cells * weights, label_frequencies)[middle]
                templates[index] = template / _at_least(_product(template, cells[middle]) / peak)
        return templates


_BY_NAME: Mapping[str, Transform] = MappingProxyType(
    {"none": _AsTheyAre(), "mean": _LessTheirMean(), "ridge": _Ridge()}
)

TRANSFORMS = tuple(_BY_NAME)
"""The names that :func:`transform_of` knows."""


def transform_of(name: str) -> Transform:
    """Return the transform of this name.

    Raises:
        InvalidArgument: names ``model``: there is none.

    >>> transform_of("ridge")(torch.rand(2, 20, 31, 31), (20, 15, 15)).shape
    torch.Size([2, 20, 15, 15])
    """
    if name not in _BY_NAME:
        expected = f"one of {', '.join(TRANSFORMS)} behind the +"
        raise InvalidArgument.found("model", f"a template transform {name!r:.80}", expected)
    return _BY_NAME[name]


def _regress(cells: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the filter (C, H, W) whose circular response to ``cells`` (C, H, W) is nearest to a label.

    ``label`` is the Fourier transform of the response (H, W), of which entry (i, j) belongs to a shift by i
    rows and j columns.
    """
    penalty = _LAMBDA * (_product(cells, cells) / cells.numel()).clamp(min=_FAINTEST)
    spectrum = torch.fft.rfft2(cells)
    energy = (spectrum.real.square() + spectrum.imag.square()).sum(0) / cells.numel()
    filters = (label / (energy + penalty)).conj() * spectrum
    found: torch.Tensor = torch.fft.irfft2(filters, s=cells.shape[1:])
    return found / cells.numel()


def _label(features: torch.Tensor, template_shape: tuple[int, ...]) -> torch.Tensor:
    """Return the response (H, W) to aim at: a Gaussian about no shift, or half a cell beside it."""
    lines = []
    for axis in (1, 2):
        cells, extent = features.shape[1 + axis], template_shape[axis]
        shifts = (torch.arange(cells) + cells // 2) % cells - cells // 2
        lines.append(_gaussian(shifts - (cells - extent) % 2 / 2, _LABEL_SIGMA * extent))
    return (lines[0][:, None] * lines[1]).to(features.device)


def _window(rows: int, cols: int, template_shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return the weights (rows, cols) of a crop's cells."""
    lines = [
        _gaussian(torch.arange(cells) - (cells - 1) / 2, _WINDOW_SIGMA * extent)
        for cells, extent in zip((rows, cols), template_shape[1:], strict=True)
    ]
    return (lines[0][:, None] * lines[1]).to(device)


def _gaussian(distances: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.exp(-0.5 * (distances / sigma) ** 2)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the sum of products of (C, H, W), in an order that the number of threads does not change."""
    return (a * b).sum((1, 2)).sum()


def _at_least(self_response: torch.Tensor) -> torch.Tensor:
    return self_response.clamp(min=_LEAST_SELF_RESPONSE)


def _check_same(features: torch.Tensor, template_shape: tuple[int, ...]) -> None:
    if features.ndim != 4 or tuple(features.shape[1:]) != template_shape:
        raise InvalidArgument.found("features", f"shape {tuple(features.shape)}", f"(N, *{template_shape})")


def _check_holds(features: torch.Tensor, template_shape: tuple[int, ...]) -> None:
    channels, rows, cols = template_shape
    shape = tuple(features.shape)
    if len(shape) != 4 or shape[1] != channels or shape[2] < rows or shape[3] < cols:
        expected = f"(N, {channels}, H, W) with at least {rows} rows and {cols} columns"
        raise InvalidArgument.found("features", f"shape {shape}", expected)
