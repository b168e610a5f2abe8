"""A server that answers at once and computes nothing: what the generators can do at most.

It reads requests as the real one does, and its responses have zeros of one size, whatever was asked.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio
import numpy as np

from siamcorr.answers import Response, Template, TensorInfo
from siamcorr.kept_memory import keep_freed_memory
from siamcorr.v1 import template_service_pb2 as pb
from siamcorr.wire.correlation import seal_correlate_response
from siamcorr.wire.families import RequestReader
from siamcorr.wire.templates import write_template

__all__ = ["serve"]

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_SHAPE = (1, 17, 17)


def serve(pipe: Connection) -> None:
    """Serve on a free port of this machine, and send the address, until the other end of the pipe closes."""
    keep_freed_memory()
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    server = grpc.aio.server(options=_UNLIMITED)
    for service, methods in _services().items():
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), over.set)
    pipe.send(f"127.0.0.1:{port}")
    await over.wait()
    await server.stop(None)


def _services() -> dict[str, dict[str, Callable[[bytes, Any], Awaitable[bytes]]]]:
    reader, numbers = RequestReader(), itertools.count()
    zeros = np.zeros(_SHAPE, np.float32)

    async def correlate(data: bytes, _: object) -> bytes:
        opened = reader.open(data)
        call = opened.read(opened.payload)
        responses = [Response(call.templates[number], 1, zeros) for number in call.template_index]
        return b"".join(seal_correlate_response(responses))

    async def create(_data: bytes, _: object) -> bytes:
        response = pb.CreateTemplateResponse()
        tensors = (TensorInfo("features", "float32", _SHAPE),)
        write_template(response.templates.add(), Template(f"null-{next(numbers)}", 1, tensors, None, 1, 0.0))
        return response.SerializeToString()

    async def delete(_data: bytes, _: object) -> bytes:
        return b""

    return {
        "siamcorr.v1.CorrelationService": {"Correlate": correlate},
        "siamcorr.v1.TemplateService": {"CreateTemplate": create, "DeleteTemplate": delete},
    }
