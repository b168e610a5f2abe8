"""The operators in torch: correlation of many pairs at once, and peaks of its response maps.

It needs torch: ``pip install siamcorr[engine]``. The ways to correlate share one signature
(:mod:`~siamcorr.ops.operands`): :mod:`~siamcorr.ops.trick` is the definition, :mod:`~siamcorr.ops.reference`
the plain loops that all are tested against, :mod:`~siamcorr.ops.matmul` the fast way, and
:mod:`~siamcorr.ops.planner` picks.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("siamcorr.ops needs torch: pip install siamcorr[engine]") from error

from siamcorr.ops.head import Head
from siamcorr.ops.peaks import batched_peaks
from siamcorr.ops.xcorr import xcorr, xcorr_reference

__all__ = ["Head", "batched_peaks", "xcorr", "xcorr_reference"]
