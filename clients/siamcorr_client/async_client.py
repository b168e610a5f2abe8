"""The client for asyncio. Its calls are those of :class:`~siamcorr_client.Client`, which describes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast, overload

import grpc
import grpc.aio
import numpy.typing as npt

from siamcorr.answers import Response, Template
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateOptions, Handle, Image
from siamcorr.checks import create_call, handle_of, update_rate, update_source
from siamcorr.errors import Cancelled
from siamcorr_client import _calls
from siamcorr_client._attach import ATTACH, attach_async, late
from siamcorr_client._base import ClientBase
from siamcorr_client._calls import CORRELATE_STREAM, Call
from siamcorr_client._errors import RpcFailure
from siamcorr_client._shared_memory import SharedMemory
from siamcorr_client.async_stream import AsyncCorrelateStream

__all__ = ["AsyncClient"]

_T = TypeVar("_T")


class AsyncClient(ClientBase):
    """A connection to a server, of one event loop. Its tasks may share it, and each call may be cancelled.

    Arguments, answers and errors are those of :class:`~siamcorr_client.Client`.

    Example::

        async with AsyncClient("127.0.0.1:50051") as client:
            template = await client.create_template(features=z)      # (256, 6, 6) float32
            response = await client.correlate(template, features=x)  # (256, 22, 22) float32
            handles = [template.handle async for template in client.list_templates()]
        response.map.shape, template.handle in handles  # ((1, 17, 17), True)
    """

    _channel: grpc.aio.Channel | None = None
    _memory: SharedMemory | None = None
    _attached: asyncio.Task[None] | None = None

    async def create_template(
        self,
        features: Array | Mapping[str, Array] | None = None,
        *,
        image: Image | None = None,
        box: npt.ArrayLike | None = None,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> Template:
        """Make a template: see :meth:`Client.create_template`."""
        source = update_source(features, image=image, box=box, model=model)
        return (await self._run(_calls.create(source), timeout_s))[0]

    async def create_templates(
        self,
        *,
        image: Image,
        boxes: npt.ArrayLike,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> list[Template]:
        """Make a template for each box of an image: see :meth:`Client.create_templates`."""
        source = create_call(image=image, boxes=boxes, model=model)
        return await self._run(_calls.create(source), timeout_s)

    async def get_template(self, template: Handle, *, timeout_s: float | None = None) -> Template:
        """Describe a template: see :meth:`Client.get_template`."""
        return await self._run(_calls.get(handle_of(template)), timeout_s)

    async def list_templates(self, *, timeout_s: float | None = None) -> AsyncIterator[Template]:
        """Yield all templates: see :meth:`Client.list_templates`."""
        after = ""
        while True:
            templates, after = await self._run(_calls.page(after), timeout_s)
            for template in templates:
                yield template
            if not after:
                return

    async def update_template(
        self,
        template: Handle,
        features: Array | Mapping[str, Array] | None = None,
        *,
        image: Image | None = None,
        box: npt.ArrayLike | None = None,
        model: str | None = None,
        rate: float = 1.0,
        timeout_s: float | None = None,
    ) -> Template:
        """Give a template its next generation: see :meth:`Client.update_template`."""
        source = update_source(features, image=image, box=box, model=model)
        return await self._run(_calls.update(handle_of(template), source, update_rate(rate)), timeout_s)

    async def delete_template(self, template: Handle, *, timeout_s: float | None = None) -> None:
        """Forget a template: see :meth:`Client.delete_template`."""
        await self._run(_calls.delete(handle_of(template)), timeout_s)

    @overload  # a handle is a str, and so a sequence of handles to a type checker; it is caught first
    async def correlate(  # type: ignore[overload-overlap]
        self, template: Handle, *, timeout_s: float | None = None, **options: Unpack[CorrelateOptions]
    ) -> Response: ...

    @overload
    async def correlate(
        self,
        template: Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> list[Response]: ...

    async def correlate(
        self,
        template: Handle | Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> Response | list[Response]:
        """Slide templates over search regions: see :meth:`Client.correlate`."""
        return await self._run(_calls.correlate_as_written(template, options), timeout_s)

    def stream(self, *, max_in_flight: int = 16) -> AsyncCorrelateStream:
        """Open a stream on which up to ``max_in_flight`` correlate requests are out at once.

        Example::

            async with client.stream() as stream:
                calls = [stream.correlate(template, features=x) for x in regions]
                responses = await asyncio.gather(*calls)
            len(responses)  # 3
        """
        self._check_open()
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._open_channel().stream_stream(
            CORRELATE_STREAM
        )
        headers = self._headers()
        return AsyncCorrelateStream(
            lambda requests: method(requests, metadata=headers),
            self._check_stream_call,
            max_in_flight,
            self._shared_memory,
        )

    async def wait_ready(self, timeout_s: float | None = None) -> None:
        """Wait until the server can be reached: see :meth:`Client.wait_ready`."""
        self._check_open()
        limit_s = self._timeout(timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                await self._open_channel().channel_ready()
        except TimeoutError as error:
            raise self._not_ready(limit_s) from error

    async def close(self) -> None:
        """Close the connection. Calls that other tasks still wait for end with ``Cancelled``."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()
        if self._attached is not None:
            await asyncio.wait([self._attached])
        self._memory = None

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()

    def _connect(self) -> None:
        self._attaching = asyncio.Lock()

    def _open_channel(self) -> grpc.aio.Channel:
        """Return the channel, made at first use, because it belongs to the event loop that runs then."""
        if self._channel is None:
            target, options = self._settings.target, self._settings.channel_options()
            if self._settings.credentials is None:
                self._channel = grpc.aio.insecure_channel(target, options)
            else:
                self._channel = grpc.aio.secure_channel(target, self._settings.credentials, options)
        return self._channel

    async def _run(self, call: Call[_T], timeout_s: float | None) -> _T:
        limit_s, headers = self._check_call(call, timeout_s), self._headers()
        deadline_s = time.monotonic() + limit_s
        if (memory := await self._shared_memory(limit_s)) is not None:
            call, limit_s = call.through(memory), max(0.0, deadline_s - time.monotonic())
        sending = self._sending(call, limit_s, headers)
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._open_channel().unary_unary(call.method)
        metadata = grpc.aio.Metadata(*sending.headers)
        try:
            data = await method(sending.request, timeout=sending.timeout_s, metadata=metadata)
            return call.answer(data)
        except grpc.RpcError as failure:
            raise sending.failed(cast(RpcFailure, failure)) from failure
        except asyncio.CancelledError as cancelled:
            if self._closed and not _is_cancelling():
                raise Cancelled("the client was closed") from cancelled
            raise
        finally:
            call.end()

    async def _shared_memory(self, limit_s: float) -> SharedMemory | None:
        """Return the region, if one is wanted, attached at the first call and again when it was lost."""
        slot_bytes = self._settings.slot_bytes
        if not slot_bytes or (self._memory is not None and not self._memory.is_lost):
            return self._memory
        deadline_s = time.monotonic() + limit_s
        try:
            async with asyncio.timeout(limit_s):
                await self._attaching.acquire()
        except TimeoutError as error:
            raise late(limit_s) from error
        try:
            if self._memory is None or self._memory.is_lost:
                method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
                method, headers = self._open_channel().stream_stream(ATTACH), self._headers()
                self._memory, self._attached = await attach_async(
                    lambda said: method(said, metadata=headers), slot_bytes, deadline_s - time.monotonic()
                )
            return self._memory
        finally:
            self._attaching.release()


def _is_cancelling() -> bool:
    """Whether it is the task that is being cancelled. grpc.aio tells of a closed channel in the same way."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
