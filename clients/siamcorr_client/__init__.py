"""The client of siamcorr: :class:`Client` for threads, :class:`AsyncClient` for asyncio; numpy in and out.

It needs numpy, grpcio and protobuf, and neither torch nor OpenCV.
"""

from siamcorr.answers import MapToFrame, Response, Template, TensorInfo, Timings
from siamcorr.errors import (
    BankFull,
    CallerError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidArgument,
    ModelNotFound,
    OverloadError,
    QueueFull,
    ServerUnavailable,
    SiamcorrError,
    TemplateEvicted,
    TemplateExpired,
    TemplateNotFound,
)
from siamcorr.peaks import Peak
from siamcorr_client.async_client import AsyncClient
from siamcorr_client.async_stream import AsyncCorrelateStream
from siamcorr_client.client import Client
from siamcorr_client.stream import CorrelateStream

__all__ = [
    "AsyncClient",
    "AsyncCorrelateStream",
    "BankFull",
    "CallerError",
    "Cancelled",
    "Client",
    "CorrelateStream",
    "DeadlineExceeded",
    "Draining",
    "InternalError",
    "InvalidArgument",
    "MapToFrame",
    "ModelNotFound",
    "OverloadError",
    "Peak",
    "QueueFull",
    "Response",
    "ServerUnavailable",
    "SiamcorrError",
    "Template",
    "TemplateEvicted",
    "TemplateExpired",
    "TemplateNotFound",
    "TensorInfo",
    "Timings",
]
