"""Real servers for tests: one in a thread of the test's process, and one in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from gates import PATIENCE_S, Gate
from siamcorr import Engine, EngineSettings
from siamcorr.answers import Response, Template
from siamcorr.checks import correlate_call, create_call
from siamcorr.embed import Model
from siamcorr.v1.correlation_service_pb2_grpc import CorrelationServiceStub
from siamcorr.v1.template_service_pb2_grpc import TemplateServiceStub
from siamcorr.wire.correlation import read_correlate_response
from siamcorr.wire.templates import read_template
from siamcorr_server.config import ServerConfig
from siamcorr_server.doors import Door, doors_of
from siamcorr_server.observers import Observer, Observers
from siamcorr_server.server import Server
from whole_messages import correlate_request, create_request, read

__all__ = [
    "MODULE",
    "Refusal",
    "RunningServer",
    "ServerProcess",
    "Stubs",
    "process",
    "secret_fault",
    "serving",
]

T = TypeVar("T")

MODULE = ("-m", "siamcorr_server")
"""What Python is told to run for ``siamcorr-server``."""


def secret_fault(*_: Any) -> Any:
    """Fail in a way that nobody but the log may hear of."""
    raise KeyError("secret")


class Stubs:
    """The generated stubs of both services on a channel of their own, without limits and without retries."""

    def __init__(self, address: str) -> None:
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=[*limits, ("grpc.enable_retries", 0)])
        self.templates: Any = TemplateServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.correlation: Any = CorrelationServiceStub(self.channel)  # type: ignore[no-untyped-call]

    def create(self, *features: Any, **options: Any) -> list[Template]:
        """Create templates as ``create_call`` is told."""
        response = self.templates.CreateTemplate(create_request(create_call(*features, **options)))
        return [read_template(message) for message in response.templates]

    def correlate(self, template: Any, **options: Any) -> list[Response]:
        """Correlate as ``correlate_call`` is told."""
        request = correlate_request(correlate_call(template, **options))
        return read(read_correlate_response, self.correlation.Correlate(request, timeout=PATIENCE_S))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call failed: all that its trailers and details say."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    violations: list[str]
    retry_s: float | None
    trailers: dict[str, str | bytes]

    @classmethod
    def of(cls, call: Any, *arguments: Any, **options: Any) -> Refusal:
        """Make a call that must fail."""
        with pytest.raises(grpc.RpcError) as caught:
            call(*arguments, **options)
        error: Any = caught.value
        trailers = dict(error.trailing_metadata())
        status = rpc_status.from_call(error)
        return cls.from_status(status, trailers) if status else cls.bare(error, trailers)

    @classmethod
    def bare(cls, error: Any, trailers: dict[str, str | bytes]) -> Refusal:
        """Read an error that gRPC made by itself."""
        return cls(error.code(), error.details(), "", {}, [], None, trailers)

    @classmethod
    def from_status(cls, status: Any, trailers: dict[str, str | bytes] | None = None) -> Refusal:
        """Read a google.rpc.Status, or ours."""
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        unpacked = [detail.Unpack(kind) for detail in status.details for kind in (info, bad, retry)]
        assert sum(unpacked) == len(status.details), "a detail of another kind"
        assert info.domain == "siamcorr"
        return cls(
            code=next(code for code in grpc.StatusCode if code.value[0] == status.code),
            message=status.message,
            reason=info.reason,
            metadata=dict(info.metadata),
            violations=[violation.field for violation in bad.field_violations],
            retry_s=retry.retry_delay.ToMilliseconds() / 1e3 if retry.HasField("retry_delay") else None,
            trailers=trailers or {},
        )


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server in a thread; ``gate`` is a model of its engine that holds the device when it is shut."""

    address: str
    engine: Engine
    gate: Gate
    server: Server
    doors: Sequence[Door]
    _loop: asyncio.AbstractEventLoop

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the server's event loop turn until ``condition`` holds."""

        async def turn() -> None:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
                    await asyncio.sleep(0)

        self.start(turn()).result()


@contextmanager
def serving(
    engine: EngineSettings | None = None,
    *,
    models: Mapping[str, Model] | None = None,
    observers: Sequence[Observer] = (),
    **config: Any,
) -> Iterator[RunningServer]:
    """Serve in a thread on a free port of this machine until the block ends.

    Args:
        engine: the engine's settings; None is the CPU without models.
        models: more of them.
        observers: told of every request and launch.
        config: more settings of :class:`ServerConfig`.

    At the end the engine must be idle and sound, and no task may be left in the event loop.
    """
    settings = engine or EngineSettings(device="cpu", models={})
    gate = Gate()
    gate.opened.set()
    config = {"listen": "127.0.0.1:0"} | config
    checked = ServerConfig(engine=settings, **config)
    doors = doors_of(checked)
    told = Observers([*observers, *doors])
    with Engine(settings, embedders={"gate": gate}, models=models, on_launch=told.launched) as served:
        thread = _Thread(checked, served, told, doors)
        thread.start()
        try:
            if not thread.ready.wait(PATIENCE_S):
                raise TimeoutError("the server did not start")
            if thread.server is None:
                raise RuntimeError("the server did not start") from thread.error
            yield RunningServer(thread.server.address, served, gate, thread.server, doors, thread.loop)
        finally:
            thread.stop()
        served.check_invariants()
        assert served.stats().requests == 0
        assert not thread.left_tasks


class _Thread(threading.Thread):
    def __init__(
        self, config: ServerConfig, engine: Engine, observers: Observers, doors: Sequence[Door]
    ) -> None:
        super().__init__(name="server under test", daemon=True)
        self.config = config
        self.engine = engine
        self.observers = observers
        self.doors = doors
        self.ready = threading.Event()
        self.server: Server | None = None
        self.error: BaseException | None = None
        self.left_tasks: list[str] = []

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ready.set()

    def stop(self) -> None:
        if self.ready.is_set() and self.is_alive():
            self.loop.call_soon_threadsafe(self._told_to_stop.set)
        self.join(PATIENCE_S)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._told_to_stop = asyncio.Event()
        server = Server(self.config, self.observers, self.doors)
        await server.start(self.engine)
        self.server = server
        self.ready.set()
        await self._told_to_stop.wait()
        await server.drain(0.0)
        self.left_tasks = [str(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]


@dataclass(slots=True)
class ServerProcess:
    """A server's process that has told its address."""

    address: str
    popen: subprocess.Popen[str]
    _errors: IO[str] = field(repr=False)

    def stop(self, number: int) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE_S)

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{line}\n")
        self.popen.stdin.flush()

    def hear(self) -> str:
        """Read the next line of its stdout."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def errors(self) -> str:
        """Return what is on stderr so far."""
        self._errors.seek(0)
        return self._errors.read()


@contextmanager
def process(*flags: str, program: Sequence[str] = MODULE) -> Iterator[ServerProcess]:
    """Run ``siamcorr-server`` with ``flags`` on a free port; it is killed at the end if it still runs."""
    command = [sys.executable, *program, "--listen", "127.0.0.1:0", *flags]
    with (
        tempfile.TemporaryFile("a+") as errors,  # appending, so that reading here moves nothing there
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as popen,
    ):
        try:
            assert popen.stdout is not None
            words = popen.stdout.readline().split()
            errors.seek(0)
            assert words[:2] == ["listening", "on"], errors.read()
            yield ServerProcess(words[2], popen, errors)
        finally:
            popen.kill()
