from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttachRequest(_message.Message):
    __slots__ = ("open", "given_up")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    open: RegionSize
    given_up: SlotUse
    def __init__(self, open: _Optional[_Union[RegionSize, _Mapping]] = ..., given_up: _Optional[_Union[SlotUse, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("region", "released")
    REGION_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    region: Region
    released: SlotUse
    def __init__(self, region: _Optional[_Union[Region, _Mapping]] = ..., released: _Optional[_Union[SlotUse, _Mapping]] = ...) -> None: ...

class RegionSize(_message.Message):
    __slots__ = ("slots", "slot_bytes")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    slots: int
    slot_bytes: int
    def __init__(self, slots: _Optional[int] = ..., slot_bytes: _Optional[int] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("process_id", "descriptor", "key")
    PROCESS_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    process_id: int
    descriptor: int
    key: bytes
    def __init__(self, process_id: _Optional[int] = ..., descriptor: _Optional[int] = ..., key: _Optional[bytes] = ...) -> None: ...

class SlotUse(_message.Message):
    __slots__ = ("slot", "sequence")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    slot: int
    sequence: int
    def __init__(self, slot: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...
