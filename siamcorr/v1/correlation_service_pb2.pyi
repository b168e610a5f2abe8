import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from siamcorr.v1 import error_pb2 as _error_pb2
from siamcorr.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_NAIVE: _ClassVar[Kind]
    KIND_DEPTHWISE: _ClassVar[Kind]
    KIND_UPCHANNEL: _ClassVar[Kind]
    KIND_GROUPWISE: _ClassVar[Kind]
    KIND_PIXELWISE: _ClassVar[Kind]
    KIND_GROUPED: _ClassVar[Kind]
    KIND_NETWORK: _ClassVar[Kind]

class Precision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRECISION_UNSPECIFIED: _ClassVar[Precision]
    PRECISION_FLOAT32: _ClassVar[Precision]
    PRECISION_BFLOAT16: _ClassVar[Precision]

class OutputKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_KIND_UNSPECIFIED: _ClassVar[OutputKind]
    OUTPUT_KIND_MAP: _ClassVar[OutputKind]
    OUTPUT_KIND_PEAKS: _ClassVar[OutputKind]
    OUTPUT_KIND_BOTH: _ClassVar[OutputKind]
KIND_UNSPECIFIED: Kind
KIND_NAIVE: Kind
KIND_DEPTHWISE: Kind
KIND_UPCHANNEL: Kind
KIND_GROUPWISE: Kind
KIND_PIXELWISE: Kind
KIND_GROUPED: Kind
KIND_NETWORK: Kind
PRECISION_UNSPECIFIED: Precision
PRECISION_FLOAT32: Precision
PRECISION_BFLOAT16: Precision
OUTPUT_KIND_UNSPECIFIED: OutputKind
OUTPUT_KIND_MAP: OutputKind
OUTPUT_KIND_PEAKS: OutputKind
OUTPUT_KIND_BOTH: OutputKind

class Cells(_message.Message):
    __slots__ = ("rows", "cols")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    cols: int
    def __init__(self, rows: _Optional[int] = ..., cols: _Optional[int] = ...) -> None: ...

class Correlation(_message.Message):
    __slots__ = ("kind", "groups", "k", "padding", "stride", "dilation", "gain", "precision")
    KIND_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    DILATION_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    groups: int
    k: int
    padding: Cells
    stride: Cells
    dilation: Cells
    gain: float
    precision: Precision
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., groups: _Optional[int] = ..., k: _Optional[int] = ..., padding: _Optional[_Union[Cells, _Mapping]] = ..., stride: _Optional[_Union[Cells, _Mapping]] = ..., dilation: _Optional[_Union[Cells, _Mapping]] = ..., gain: _Optional[float] = ..., precision: _Optional[_Union[Precision, str]] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("weight", "bias")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    weight: _tensor_pb2.Tensor
    bias: _tensor_pb2.Tensor
    def __init__(self, weight: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., bias: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("kind", "map_dtype", "top_k", "sum_channels")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MAP_DTYPE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    SUM_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    kind: OutputKind
    map_dtype: _tensor_pb2.DataType
    top_k: int
    sum_channels: bool
    def __init__(self, kind: _Optional[_Union[OutputKind, str]] = ..., map_dtype: _Optional[_Union[_tensor_pb2.DataType, str]] = ..., top_k: _Optional[int] = ..., sum_channels: bool = ...) -> None: ...

class CorrelateRequest(_message.Message):
    __slots__ = ("templates", "features", "frame", "template_index", "search_index", "tensor_name", "correlation", "bias", "head", "output", "padding", "shared", "payload")
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_INDEX_FIELD_NUMBER: _ClassVar[int]
    SEARCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    TENSOR_NAME_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedScalarFieldContainer[str]
    features: _tensor_pb2.Tensor
    frame: _tensor_pb2.Frame
    template_index: _containers.RepeatedScalarFieldContainer[int]
    search_index: _containers.RepeatedScalarFieldContainer[int]
    tensor_name: str
    correlation: Correlation
    bias: _tensor_pb2.Tensor
    head: Head
    output: Output
    padding: bytes
    shared: _tensor_pb2.SharedSlot
    payload: bytes
    def __init__(self, templates: _Optional[_Iterable[str]] = ..., features: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., frame: _Optional[_Union[_tensor_pb2.Frame, _Mapping]] = ..., template_index: _Optional[_Iterable[int]] = ..., search_index: _Optional[_Iterable[int]] = ..., tensor_name: _Optional[str] = ..., correlation: _Optional[_Union[Correlation, _Mapping]] = ..., bias: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., head: _Optional[_Union[Head, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., padding: _Optional[bytes] = ..., shared: _Optional[_Union[_tensor_pb2.SharedSlot, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Peak(_message.Message):
    __slots__ = ("row", "col", "score", "psr", "channel")
    ROW_FIELD_NUMBER: _ClassVar[int]
    COL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PSR_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    row: float
    col: float
    score: float
    psr: float
    channel: int
    def __init__(self, row: _Optional[float] = ..., col: _Optional[float] = ..., score: _Optional[float] = ..., psr: _Optional[float] = ..., channel: _Optional[int] = ...) -> None: ...

class MapToFrame(_message.Message):
    __slots__ = ("x0", "y0", "step_x", "step_y")
    X0_FIELD_NUMBER: _ClassVar[int]
    Y0_FIELD_NUMBER: _ClassVar[int]
    STEP_X_FIELD_NUMBER: _ClassVar[int]
    STEP_Y_FIELD_NUMBER: _ClassVar[int]
    x0: float
    y0: float
    step_x: float
    step_y: float
    def __init__(self, x0: _Optional[float] = ..., y0: _Optional[float] = ..., step_x: _Optional[float] = ..., step_y: _Optional[float] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("template", "generation", "map", "peaks", "map_to_frame", "maps")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    PEAKS_FIELD_NUMBER: _ClassVar[int]
    MAP_TO_FRAME_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    template: str
    generation: int
    map: _tensor_pb2.Tensor
    peaks: _containers.RepeatedCompositeFieldContainer[Peak]
    map_to_frame: MapToFrame
    maps: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.Tensor]
    def __init__(self, template: _Optional[str] = ..., generation: _Optional[int] = ..., map: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., peaks: _Optional[_Iterable[_Union[Peak, _Mapping]]] = ..., map_to_frame: _Optional[_Union[MapToFrame, _Mapping]] = ..., maps: _Optional[_Iterable[_Union[_tensor_pb2.Tensor, _Mapping]]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("prepare_s", "queue_s", "embed_s", "compute_s", "copy_s", "batch_pairs", "plan", "compile_s")
    PREPARE_S_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    EMBED_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    COPY_S_FIELD_NUMBER: _ClassVar[int]
    BATCH_PAIRS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    COMPILE_S_FIELD_NUMBER: _ClassVar[int]
    prepare_s: float
    queue_s: float
    embed_s: float
    compute_s: float
    copy_s: float
    batch_pairs: int
    plan: str
    compile_s: float
    def __init__(self, prepare_s: _Optional[float] = ..., queue_s: _Optional[float] = ..., embed_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., copy_s: _Optional[float] = ..., batch_pairs: _Optional[int] = ..., plan: _Optional[str] = ..., compile_s: _Optional[float] = ...) -> None: ...

class CorrelateResponse(_message.Message):
    __slots__ = ("results", "timings", "padding", "shared", "payload")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Result]
    timings: Timings
    padding: bytes
    shared: _tensor_pb2.SharedSlot
    payload: bytes
    def __init__(self, results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., padding: _Optional[bytes] = ..., shared: _Optional[_Union[_tensor_pb2.SharedSlot, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class CorrelateStreamRequest(_message.Message):
    __slots__ = ("id", "timeout", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    timeout: _duration_pb2.Duration
    request: CorrelateRequest
    def __init__(self, id: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request: _Optional[_Union[CorrelateRequest, _Mapping]] = ...) -> None: ...

class CorrelateStreamResponse(_message.Message):
    __slots__ = ("id", "error", "response")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    id: int
    error: _error_pb2.Status
    response: CorrelateResponse
    def __init__(self, id: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Status, _Mapping]] = ..., response: _Optional[_Union[CorrelateResponse, _Mapping]] = ...) -> None: ...
