"""The Open Inference Protocol's service: what every client of it may call.

What is not here is answered with UNIMPLEMENTED: models are not loaded and unloaded by callers, and neither
traces nor the log are theirs to set.
"""

# ruff: noqa: N802 - gRPC names a handler as the method in the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import grpc

from siamcorr import Engine
from siamcorr.errors import Draining, InvalidArgument, ModelNotFound, SiamcorrError
from siamcorr_server.inference.asked import Inference
from siamcorr_server.inference.declared import check_version
from siamcorr_server.inference.models import Models
from siamcorr_server.inference.regions import Regions
from siamcorr_server.inference.statistics import VERSION, Statistics
from siamcorr_server.inference.stream import InferenceAsked
from siamcorr_server.inference.v2 import open_inference_pb2 as pb
from siamcorr_server.interceptor import Context, Registry, current_call
from siamcorr_server.messages import parse
from siamcorr_server.own_version import own_version
from siamcorr_server.streams import Pending, Stream, given_up

__all__ = ["PACKAGE", "SERVICE", "InferenceService"]

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
"""The names that callers know the package and the service by."""


class InferenceService:
    """Shows an engine's correlations, networks and templates as models."""

    def __init__(
        self, engine: Engine, regions: Regions, *, max_message_bytes: int, stream_window: int
    ) -> None:
        """Serve ``engine``; the bounds are those of :class:`~siamcorr_server.config.ServerConfig`."""
        self._models = Models(engine)
        self._regions = regions
        self._statistics = Statistics(self._models.names)
        self._max_message_bytes = max_message_bytes
        self._stream_window = stream_window
        self._streams: set[Stream] = set()

    def register(self, registry: Registry) -> None:
        """Add the handlers, under the protocol's own name."""
        described = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        handlers: dict[str, Any] = {
            method.name: (stream if method.client_streaming else unary)(getattr(self, method.name))
            for method in described.methods
        }
        registry.add_registered_method_handlers(SERVICE, handlers)

    async def ServerLive(self, data: bytes, _: Context) -> bytes:
        """Tell that it runs."""
        parse(pb.ServerLiveRequest, data)
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def ServerReady(self, data: bytes, _: Context) -> bytes:
        """Tell that it takes requests: a server that does not refuses this one too."""
        parse(pb.ServerReadyRequest, data)
        return pb.ServerReadyResponse(ready=True).SerializeToString()

    async def ModelReady(self, data: bytes, _: Context) -> bytes:
        """Tell whether there is such a model: they are ready when the server is."""
        request = parse(pb.ModelReadyRequest, data)
        try:
            self._models.find(request.name)
            check_version(request.version, "version")
        except ModelNotFound:
            return pb.ModelReadyResponse(ready=False).SerializeToString()
        return pb.ModelReadyResponse(ready=True).SerializeToString()

    async def ServerMetadata(self, data: bytes, _: Context) -> bytes:
        """Tell name, version and extensions."""
        parse(pb.ServerMetadataRequest, data)
        extensions = ["model_configuration", "statistics", "parameters"]
        if self._regions.is_on:
            extensions.append("system_shared_memory")
        response = pb.ServerMetadataResponse(name="siamcorr", version=own_version(), extensions=extensions)
        return response.SerializeToString()

    async def ModelMetadata(self, data: bytes, _: Context) -> bytes:
        """Tell a model's tensors."""
        request = parse(pb.ModelMetadataRequest, data)
        model = self._models.find(request.name, "name")
        check_version(request.version, "version")
        return model.declared.metadata().SerializeToString()

    async def ModelConfig(self, data: bytes, _: Context) -> bytes:
        """Tell the same in Triton's terms."""
        request = parse(pb.ModelConfigRequest, data)
        model = self._models.find(request.name, "name")
        check_version(request.version, "version")
        return pb.ModelConfigResponse(config=model.declared.config()).SerializeToString()

    async def ModelStatistics(self, data: bytes, _: Context) -> bytes:
        """Tell the counters of one model, or of all."""
        request = parse(pb.ModelStatisticsRequest, data)
        if request.name:
            self._models.find(request.name, "name")
        check_version(request.version, "version")
        messages = self._statistics.messages(request.name)
        return pb.ModelStatisticsResponse(model_stats=messages).SerializeToString()

    async def RepositoryIndex(self, data: bytes, _: Context) -> bytes:
        """Tell all models: those that are there are ready."""
        request = parse(pb.RepositoryIndexRequest, data)
        if request.repository_name:
            expected = "none: there is one repository"
            raise InvalidArgument.found("repository_name", repr(request.repository_name)[:80], expected)
        response = pb.RepositoryIndexResponse()
        for name in self._models.names:
            response.models.add(name=name, version=VERSION, state="READY")
        return response.SerializeToString()

    async def ModelInfer(self, data: bytes, _: Context) -> bytes:
        """Answer one request."""
        call = current_call()
        inference = self._read(data)
        with closing(inference):
            try:
                result = await _outcome(inference, call.deadline_s)
                answer = inference.answer(result, self._max_message_bytes)
            except SiamcorrError as error:
                told = inference.told(error)
                raise told.with_traceback(None)  # noqa: B904 - its frames hold the payload
        call.answered = answer.responses
        return answer.data

    async def ModelStreamInfer(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Answer the requests of one stream."""

        def read(data: bytes) -> InferenceAsked:
            return InferenceAsked(self._read(data), self._max_message_bytes)

        stream = Stream(current_call(), requests, context.write, read=read, window=self._stream_window)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def SystemSharedMemoryStatus(self, data: bytes, _: Context) -> bytes:
        """Tell one region, or all."""
        request = parse(pb.SystemSharedMemoryStatusRequest, data)
        response = pb.SystemSharedMemoryStatusResponse()
        for region in self._regions.status(request.name):
            told = response.regions[region.name]
            told.name, told.key = region.name, region.key
            told.offset, told.byte_size = region.offset, region.byte_size
        return response.SerializeToString()

    async def SystemSharedMemoryRegister(self, data: bytes, _: Context) -> bytes:
        """Open shared memory under a name."""
        request = parse(pb.SystemSharedMemoryRegisterRequest, data)
        self._regions.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse().SerializeToString()

    async def SystemSharedMemoryUnregister(self, data: bytes, _: Context) -> bytes:
        """Take a name away, or all."""
        request = parse(pb.SystemSharedMemoryUnregisterRequest, data)
        await self._regions.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse().SerializeToString()

    async def CudaSharedMemoryStatus(self, data: bytes, _: Context) -> bytes:
        """Tell that there is none."""
        request = parse(pb.CudaSharedMemoryStatusRequest, data)
        if request.name:
            raise _no_cuda(request.name)
        return pb.CudaSharedMemoryStatusResponse().SerializeToString()

    async def CudaSharedMemoryRegister(self, data: bytes, _: Context) -> bytes:
        """Refuse."""
        raise _no_cuda(parse(pb.CudaSharedMemoryRegisterRequest, data).name)

    async def CudaSharedMemoryUnregister(self, data: bytes, _: Context) -> bytes:
        """Do nothing: clients make sure that there is none, and so it is."""
        parse(pb.CudaSharedMemoryUnregisterRequest, data)
        return pb.CudaSharedMemoryUnregisterResponse().SerializeToString()

    def drain(self, reason: Draining) -> None:
        """End the streams that are open, once what they have read is answered."""
        for stream in self._streams:
            stream.drain(reason)

    def close(self) -> None:
        """Let go of shared memory."""
        self._regions.close()

    def _read(self, data: bytes) -> Inference:
        return Inference(data, self._models, self._regions, self._statistics)


async def _outcome(inference: Inference, deadline_s: float | None) -> Any:
    """Return what a request's future comes to within the time that the request allows.

    Raises:
        DeadlineExceeded: that is over; and whatever the future comes to.
    """
    timeout_s = inference.timeout_s
    if timeout_s is None:
        return await _awaited(inference.start(deadline_s))
    own_s = asyncio.get_running_loop().time() + timeout_s  # the loop's clock is the monotonic one
    try:
        async with asyncio.timeout_at(own_s):
            deadline_s = own_s if deadline_s is None else min(own_s, deadline_s)
            return await _awaited(inference.start(deadline_s))
    except SiamcorrError:
        raise
    except TimeoutError:
        raise given_up() from None


async def _awaited(pending: Pending) -> Any:
    return await (asyncio.wrap_future(pending) if isinstance(pending, Future) else pending)


def _no_cuda(name: str) -> InvalidArgument:
    return InvalidArgument.found("name", f"CUDA shared memory {name!r:.80}", "system shared memory, or none")
