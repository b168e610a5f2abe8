"""Histograms of oriented gradients and hue: features without weights, made for plain correlation.

Each cell says which edges run through it and which hue it has:

- 18 numbers: gradients of the strongest colour channel, by signed direction, each pixel shared between the
  two nearest directions and the four nearest cells. N. Dalal and B. Triggs, Histograms of Oriented
  Gradients for Human Detection, CVPR 2005; the 18 signed directions are those of P. Felzenszwalb et al.,
  Object Detection with Discriminatively Trained Part-Based Models, PAMI 2010.
- 2 numbers: the mean colour's red-green and yellow-blue opponents, whose direction is the hue. J. van de
  Weijer and C. Schmid, Coloring Local Feature Extraction, ECCV 2006.

Rules:

- Plain correlation adds products, so whatever is strong everywhere wins everywhere. The directions of a
  cell have zero mean, and a cell no norm above 1: a bright, busy or plain place is worth no more than
  another.
- Templates and search regions have the same features. What makes a template of them is a transform,
  :mod:`siamcorr.embed.transforms`: with ``mean`` and ``ridge`` the naive response is 1 for the crop that the
  template was made from, around 0 for what has nothing in common with it, and below 0 for what is contrary.
- Cells are centred on pixels 7, 15, 23, ... of a crop: the grid's middle is the crop's, for 127 and for 255.
- Crops run one by one, so that a crop's features have the same bits beside any others.
- Directions are measured along a diamond, up to 4 degrees off, because the last bits of torch's arc tangent
  depend on the number of threads.

Ways rejected, by the SiamFC tracker's mean overlap on 120 frames each of six sequences of OTB and VOT2015,
which is 0.67 as it is, with the template transform ``mean``:

- The transform ``ridge``: 0.66, and as good as ``mean`` where templates are renewed. It costs a larger crop.
- No transform: 0.43; the background is followed.
- No colour: 0.64. Nine unsigned directions: 0.62.
- Cells of 4 pixels, blocks of 3x3 cells, clipping, histograms of hue or of brightness: no gain above 0.01.
"""

from __future__ import annotations

import math

import torch

from siamcorr.embed.workers import Workers
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import CropSettings
from siamcorr.precision import in_full_precision

__all__ = ["Hog"]

_DIRECTIONS = 18
_COLOURS = 2
_COLOUR_SHARE = 0.3
"""What part of a cell's squared norm colour can have."""

_FAINT_EDGE = 2.0
"""The edge strength, in grey levels, at which a cell's directions have half their full squared norm."""

_FAINT_COLOUR = 30.0
"""The saturation, in grey levels, at which a cell's colour has half its full squared norm."""


class Hog:
    """Gradient directions and hue as an embedder: 127 pixels -> (20, 15, 15), 255 pixels -> (20, 31, 31).

    ``transform`` is what is made of a template's features unless the model's name says otherwise.

    Args:
        device: where the crops are and the features shall be.
        workers: who shares the crops of a call, on CPUs; None is the caller alone.

    >>> hog = Hog(torch.device("cpu"))
    >>> hog(torch.zeros(2, 255, 255, 3, dtype=torch.uint8)).shape
    torch.Size([2, 20, 31, 31])
    """

    name = "hog"
    crop = CropSettings(context=0.5, template_px=127, search_px=255)
    stride = 8
    transform = "mean"

    def __init__(self, device: torch.device, workers: Workers | None = None) -> None:
        """Prepare the weights of pixels in cells."""
        self._workers = workers if workers is not None and device.type == "cpu" else Workers(1)
        sizes = (self.crop.template_px, self.crop.search_px)
        self._pools = {size_px: _pooling_matrix(size_px, self.stride).to(device) for size_px in sizes}

    def shape(self, size_px: int) -> tuple[int, int, int]:
        """Return (20, h, w): a cell for each 8 pixels, less those that would reach outside the crop."""
        cells = (size_px + 1) // self.stride - 1
        return _DIRECTIONS + _COLOURS, cells, cells

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the features (N, 20, h, w) float32 of crops (N, S, S, 3) uint8 BGR, S being 127 or 255.

        Raises:
            InvalidArgument: names ``crops``: another shape or dtype.
        """
        size_px = crops.shape[1] if crops.ndim == 4 else 0
        if size_px not in self._pools or crops.shape[2:] != (size_px, 3) or crops.dtype != torch.uint8:
            expected = f"uint8 (N, S, S, 3), S being {' or '.join(map(str, self._pools))}"
            raise InvalidArgument.found("crops", f"{crops.dtype} {tuple(crops.shape)}", expected)
        features = torch.empty((len(crops), *self.shape(size_px)), device=crops.device)

        def embed(index: int) -> None:
            with torch.inference_mode(), in_full_precision(crops.device):
                features[index] = _cells(crops[index], self._pools[size_px])

        self._workers.each(embed, len(crops))
        return features


def _cells(crop: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    """Return the cells (20, h, w) of one crop (S, S, 3); ``pool`` is (h, S)."""
    planes = crop.permute(2, 0, 1).contiguous().to(torch.float32)
    edges = _fade(_edge_histograms(planes, pool), _FAINT_EDGE)
    colours = _fade(_opponents(pool @ planes @ pool.T), _FAINT_COLOUR)
    return torch.cat([edges * math.sqrt(1 - _COLOUR_SHARE), colours * math.sqrt(_COLOUR_SHARE)])


def _edge_histograms(planes: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    """Return each cell's edge strength by direction, less its mean: (18, h, w), in grey levels."""
    x, y, squares = _strongest_gradients(planes)
    turn = _turn(x, y) * _DIRECTIONS
    before = turn.floor()
    strength = squares.sqrt()
    share = strength * (turn - before)
    lower = before.to(torch.int64)[None] % _DIRECTIONS
    by_direction = planes.new_zeros((_DIRECTIONS, *x.shape))
    by_direction.scatter_(0, lower, (strength - share)[None])
    by_direction.scatter_(0, (lower + 1) % _DIRECTIONS, share[None])
    histograms = pool @ by_direction @ pool.T
    return histograms - histograms.mean(0)


def _strongest_gradients(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x, y and squared length of each pixel's longest gradient in three planes (3, S, S).

    At the border a gradient has no part across it.
    """
    x, y = torch.zeros_like(planes), torch.zeros_like(planes)
    x[:, :, 1:-1] = planes[:, :, 2:] - planes[:, :, :-2]
    y[:, 1:-1] = planes[:, 2:] - planes[:, :-2]
    squares = x * x + y * y
    best_x, best_y, best = x[0], y[0], squares[0]
    for channel in (1, 2):
        longer = squares[channel] > best
        best_x = torch.where(longer, x[channel], best_x)
        best_y = torch.where(longer, y[channel], best_y)
        best = torch.where(longer, squares[channel], best)
    return best_x, best_y, best


def _turn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return each vector's direction as a part of a whole turn, 0 to 1, walked along a diamond."""
    along = x / (x.abs() + y.abs()).clamp(min=1.0)  # gradients are whole numbers: only 0 is below 1
    return torch.where(y < 0, along + 3, 1 - along) / 4


def _opponents(colours: torch.Tensor) -> torch.Tensor:
    """Return (2, h, w), red against green and yellow against blue, from BGR (3, h, w)."""
    blue, green, red = colours
    return torch.stack([(red - green) / math.sqrt(2), (red + green - 2 * blue) / math.sqrt(6)])


def _fade(cells: torch.Tensor, faint: float) -> torch.Tensor:
    """Scale each cell of (C, h, w) to a norm below 1: near 1 far above ``faint``, near 0 far below it."""
    return cells / (cells.square().sum(0) + faint**2).sqrt()


def _pooling_matrix(size_px: int, stride: int) -> torch.Tensor:
    """Return the weights (cells, pixels) of pixels in cells along one axis: triangles between the middles."""
    middles = torch.arange(stride - 1, size_px - stride + 1, stride)
    distances = (torch.arange(size_px) - middles[:, None]).abs()
    return (1 - distances / stride).clamp(min=0) / stride
