"""The operators in torch: correlation of many pairs at once, and peaks of its response maps.

It needs torch: ``pip install siamcorr[engine]``. The ways to correlate share one signature
(:mod:`~siamcorr.ops.operands`): :mod:`~siamcorr.ops.trick` is the definition, :mod:`~siamcorr.ops.reference`
the plain loops that all are tested against, :mod:`~siamcorr.ops.matmul`, :mod:`~siamcorr.ops.fourier` and
:mod:`~siamcorr.ops.one_search` the fast ways, and :mod:`~siamcorr.ops.planner` picks. :class:`Correlator` is
one choice of shapes and settings, decided once for many calls.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("siamcorr.ops needs torch: pip install siamcorr[engine]") from error

from siamcorr.kept_memory import keep_freed_memory
from siamcorr.ops.correlator import Correlator
from siamcorr.ops.correlators import correlator_of
from siamcorr.ops.head import Head
from siamcorr.ops.peaks import batched_peaks
from siamcorr.ops.planner import one_search_pays
from siamcorr.ops.prepared import Prepared, prepare
from siamcorr.ops.xcorr import xcorr, xcorr_reference

__all__ = [
    "Correlator",
    "Head",
    "Prepared",
    "batched_peaks",
    "correlator_of",
    "one_search_pays",
    "prepare",
    "xcorr",
    "xcorr_reference",
]

keep_freed_memory()
