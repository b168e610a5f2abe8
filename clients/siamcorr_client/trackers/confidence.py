"""How clearly a score map has one peak: numbers to trust a place by, apart from its score.

- PSR, the peak-to-sidelobe ratio of MOSSE (D. Bolme et al., CVPR 2010), as :mod:`siamcorr.peaks` defines it,
  of the map's highest cell.
- APCE, the average peak-to-correlation energy of LMCF (M. Wang et al., Large Margin Object Tracking with
  Circulant Feature Maps, CVPR 2017): |max - min|^2 over the mean of (cell - min)^2. It is near 1 where all is
  equally high, and at most the number of cells, where one stands alone.

Both do not change when a map is multiplied, and PSR not when it is shifted either. Of an even map, or of one
with NaN in it, both are 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siamcorr.peaks import exclusion_radius
from siamcorr_client.trackers.places import Floats

__all__ = ["apce", "psr"]


def apce(maps: npt.NDArray[np.floating]) -> Floats:
    """Return the average peak-to-correlation energy of each of ``maps`` (N, H, W): (N,).

    >>> alone = np.zeros((1, 5, 5))
    >>> alone[0, 2, 2] = 3
    >>> apce(alone).tolist()
    [25.0]
    """
    cells = maps.reshape(len(maps), -1).astype(np.float64)
    least = cells.min(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        height = cells.max(axis=1) - least[:, 0]
        energy = np.square(cells - least).sum(axis=1) / cells.shape[1]
        return _defined(height**2, energy)


def psr(maps: npt.NDArray[np.floating]) -> Floats:
    """Return the peak-to-sidelobe ratio of each of ``maps`` (N, H, W): (N,).

    >>> stripes = np.tile([1.0, -1.0], (1, 17, 9))
    >>> stripes[0, 8, 8] = 9
    >>> psr(stripes).round(1).tolist()
    [9.0]
    """
    count, rows, cols = maps.shape
    cells = maps.reshape(count, -1).astype(np.float64)
    best = cells.argmax(axis=1)
    radius = exclusion_radius(rows, cols)
    is_far_row = np.abs(np.arange(rows) - (best // cols)[:, None]) > radius
    is_far_col = np.abs(np.arange(cols) - (best % cols)[:, None]) > radius
    outside = (is_far_row[:, :, None] | is_far_col[:, None, :]).reshape(count, -1)
    size = outside.sum(axis=1)
    with np.errstate(all="ignore"):
        mean = np.where(outside, cells, 0.0).sum(axis=1) / size
        deviation = np.where(outside, cells - mean[:, None], 0.0)
        spread = np.sqrt(np.square(deviation).sum(axis=1) / size)
        return _defined(cells[np.arange(count), best] - mean, spread)


def _defined(part: Floats, whole: Floats) -> Floats:
    ratio = part / whole
    return np.where((whole > 0) & np.isfinite(ratio), ratio, 0.0)
