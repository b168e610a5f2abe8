"""The metrics' port: when it is there, who may come, and that nobody who comes does harm."""

from __future__ import annotations

import http.client
import logging
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from itertools import count

import grpc
import numpy as np
import pytest

from gates import PATIENCE_S
from refusals import refused
from scraped import Scrape, door_of
from servers import Stubs, process, serving
from siamcorr_server.__main__ import main
from siamcorr_server.metrics import Metrics
from siamcorr_server.metrics import door as door_module

LISTEN = "127.0.0.1:0"
Z = np.ones((4, 3, 3), np.float32)


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)


def is_closed(address: str) -> bool:
    try:
        connected(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_two_servers_in_one_process_count_apart() -> None:
    with serving(metrics_listen=LISTEN) as one, serving(metrics_listen=LISTEN) as other:
        stubs = Stubs(one.address)
        with stubs.channel:
            stubs.create(Z)
        found = [Scrape.of(door_of(server).address)["siamcorr_templates"] for server in (one, other)]
    assert found == [1, 0]


def test_the_port_is_closed_with_the_server() -> None:
    with serving(metrics_listen=LISTEN) as server:
        address = door_of(server).address
        assert not is_closed(address)
    assert is_closed(address)


async def test_a_door_that_was_never_opened_gives_its_port_back() -> None:
    door = Metrics(LISTEN)
    await door.close()
    assert is_closed(door.address)


def test_a_server_s_process_tells_in_its_log_where_its_metrics_are() -> None:
    with process("--metrics", LISTEN, "--log-format", "text") as server:
        with grpc.insecure_channel(server.address) as channel:
            grpc.channel_ready_future(channel).result(PATIENCE_S)  # so the line is on its way
        assert server.stop(signal.SIGTERM) == 0
        (line,) = (line for line in server.errors().splitlines() if " metrics " in line)
    assert line.split()[-1].startswith("address=127.0.0.1:")
    assert not line.endswith(":0")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("nonsense", "HOST:PORT"),
        ("no_such_host.invalid:0", "an address to listen on"),
        ("192.0.2.1:0", "an address to listen on"),  # for documentation: no machine has it
    ],
)
def test_an_address_that_cannot_be_bound_is_refused_by_its_name(address: str, why: str) -> None:
    error = refused(Metrics, address)
    assert error.field == "metrics_listen"
    assert address in error.message
    assert error.message.endswith(f"expected {why}") or why == "HOST:PORT"


def test_a_port_in_use_is_told_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit) as end:
            main(["--listen", LISTEN, "--metrics", address, "--model", "nanotrackv3=missing.pt"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    expected = f"--metrics: found {address} (Address already in use), expected an address to listen on"
    assert line == f"siamcorr-server: error: {expected}"


def test_without_prometheus_client_the_extra_that_brings_it_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("siamcorr_server.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert main(["--listen", LISTEN, "--metrics", LISTEN]) == 2
    expected = "siamcorr-server needs prometheus_client: pip install 'siamcorr[server]'\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n\r\n",
        b"\x00\xff" * 100,
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept: \xff\xff;q=x\r\n\r\n",
        b"GET /metrics?name[]=" + b"x" * 1000 + b" HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    ],
    ids=lambda sent: f"{sent[:20]!r}",
)
def test_what_is_no_http_harms_nobody(
    sent: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)
    with serving(metrics_listen=LISTEN) as server:
        address = door_of(server).address
        for _ in range(3):
            with connected(address) as visitor:
                visitor.sendall(sent)
        assert Scrape.of(address)["siamcorr_templates"] == 0
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_a_visitor_that_resets_its_connection_is_no_news(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)
    with serving(metrics_listen=LISTEN) as server:
        address = door_of(server).address
        with connected(address) as visitor:
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            visitor.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert Scrape.of(address)["siamcorr_templates"] == 0
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_of_visitors_who_say_nothing_there_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module._Visit, "timeout", PATIENCE_S)
    with serving(metrics_listen=LISTEN) as server, ExitStack() as silent:
        address = door_of(server).address
        for _ in range(door_module._MOST_VISITORS):
            silent.enter_context(connected(address))
        with connected(address) as one_more:
            assert one_more.recv(1) == b"", "it is sent away"
        silent.close()
        for attempt in count():  # their threads see it in their own time
            try:
                assert Scrape.of(address)["siamcorr_templates"] == 0
            except (ConnectionError, http.client.HTTPException):
                assert attempt < 10_000
            else:
                break


def test_a_visitor_who_says_nothing_is_sent_away_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < door_module._Visit.timeout < PATIENCE_S
    monkeypatch.setattr(door_module._Visit, "timeout", 0.01)
    with serving(metrics_listen=LISTEN) as server, connected(door_of(server).address) as visitor:
        assert visitor.recv(1) == b""


def test_a_visitor_who_never_comes_to_an_end_is_sent_away_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_PATIENCE_S", 0.1)
    with serving(metrics_listen=LISTEN) as server, connected(door_of(server).address) as visitor:
        visitor.settimeout(0.01)
        for _ in range(1000):  # of one line that may have 65536 bytes
            visitor.sendall(b"x")
            with suppress(TimeoutError):
                assert visitor.recv(1) == b""
                return
        pytest.fail("it may stay")


def test_a_fault_while_scraping_is_an_error_in_the_log_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with serving(metrics_listen=LISTEN) as server:
        address = door_of(server).address
        with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
            broken.setattr(type(server.engine._device), "stats", fail)
            with connected(address) as visitor:
                visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert visitor.recv(1) == b""
        assert Scrape.of(address)["siamcorr_templates"] == 0
    assert [record.message for record in caplog.records] == ["a scrape failed"]


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
async def test_an_ipv6_address_is_told_with_its_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 address")
    door = Metrics("[::1]:0")
    assert door.address.startswith("[::1]:")
    await door.close()
