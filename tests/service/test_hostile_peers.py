"""Peers that do harm: they do not read, leave in the middle, or send what is slow to read."""

from __future__ import annotations

import io
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from gates import PATIENCE_S, held
from servers import Refusal, RunningServer, Stubs, process, serving
from siamcorr import EngineSettings
from siamcorr.checks import correlate_call
from siamcorr.wire.correlation import seal_correlate_request
from siamcorr_server import logs
from siamcorr_server import server as server_module
from siamcorr_server.messages import MAX_SMALL_BYTES

Z = np.ones((1, 1, 1), np.float32)
X = np.ones((1, 1, 1), np.float32)
LARGE_BYTES = 2049**2 * 4  # of the map of X with the widest padding
GRPC_WAITS_S = 15.0  # at least, for such a peer

WIDEST = 0x7FFFFFFF
HEADERS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/siamcorr.v1.CorrelationService/Correlate",
    ":authority": "a",
    "content-type": "application/grpc",
    "te": "trailers",
}


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


@contextmanager
def never_reading(address: str, template: str, window: int = WIDEST) -> Iterator[None]:
    """Ask for a large map over a bare connection that reads nothing; gRPC may send ``window`` bytes."""
    headers = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in HEADERS.items()
    )
    message = b"".join(seal_correlate_request(correlate_call(template, features=X, padding=1024)))
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        peer.sendall(frame(4, 0, 0, struct.pack(">HI", 4, window)))
        peer.sendall(frame(8, 0, 0, struct.pack(">I", window - 0xFFFF)))
        peer.sendall(frame(1, 4, 1, headers))
        peer.sendall(frame(0, 1, 1, b"\0" + struct.pack(">I", len(message)) + message))
        yield


@pytest.fixture
def narrow() -> Iterator[RunningServer]:
    """Return a server with room for one large map, and for the padded region that it is made of."""
    with serving(EngineSettings(device="cpu", models={}, max_bytes=2 * LARGE_BYTES + 50)) as running:
        yield running


def test_answers_that_nobody_reads_are_bounded(narrow: RunningServer) -> None:
    interceptor, stubs = narrow.server._interceptor, Stubs(narrow.address)
    with stubs.channel:
        (template,) = stubs.create(Z)
        with never_reading(narrow.address, template.handle):
            narrow.until(lambda: interceptor._unread_bytes > LARGE_BYTES)
            (other,) = stubs.create(Z)
            with never_reading(narrow.address, other.handle):
                narrow.until(lambda: interceptor._unread_bytes > 2 * LARGE_BYTES)
                refusal = Refusal.of(stubs.create, Z)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert refusal.retry_s == 0.25
        narrow.until(lambda: not interceptor._unread_bytes)
        assert len(stubs.correlate(template, features=X)) == 1


def test_the_log_does_not_mind_a_peer_that_leaves_before_its_answer(
    narrow: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    stubs, out = Stubs(narrow.address), io.StringIO()
    with stubs.channel, logs.logging_to(out, "text", "info"):
        (template,) = stubs.create(Z)
        with never_reading(narrow.address, template.handle, window=1 << 20):
            narrow.until(lambda: narrow.server._interceptor._unread_bytes > LARGE_BYTES)
        narrow.until(lambda: not narrow.server._interceptor._unread_bytes)
    assert any(record.exc_info for record in caplog.records), "what gRPC logs"
    assert "method=Correlate code=OK" in out.getvalue()
    assert "Traceback" not in out.getvalue()


def test_a_launch_does_not_hold_the_end_up(
    server: RunningServer, stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LAST_WORDS_S", 0.1)
    with held(server.engine, server.gate):
        assert server.start(server.server.drain(0.0)).result(PATIENCE_S) is False


def test_a_process_ends_in_spite_of_a_peer_that_does_not_read() -> None:
    with process("--drain-seconds", "0") as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(Z)
            with never_reading(server.address, template.handle):
                while "code=OK" not in server.errors().partition("method=Correlate")[2]:
                    pass
                began_s = time.monotonic()
                assert server.stop(signal.SIGTERM) == 0
                assert time.monotonic() - began_s < GRPC_WAITS_S
        assert "peer_left=True" in server.errors()


@pytest.mark.parametrize("method", ["GetTemplate", "ListTemplates", "DeleteTemplate"])
def test_a_message_without_payload_is_small(stubs: Stubs, method: str) -> None:
    unknown_fields = b"\xa0\x06\x00" * (MAX_SMALL_BYTES // 3 + 1)
    call: Any = stubs.channel.unary_unary(f"/siamcorr.v1.TemplateService/{method}")
    refusal = Refusal.of(call, unknown_fields)
    assert (refusal.code, refusal.violations) == (grpc.StatusCode.INVALID_ARGUMENT, ["message"])
