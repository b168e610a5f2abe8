"""Whoever else can reach the dashboard's port: other sites in the same browser, and odd programs."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dashboards import address_of, ask, get
from gates import PATIENCE_S
from servers import serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(dashboard_port=0) as server:
        yield address_of(server)
        assert get(address_of(server), "state")  # whatever came, it still answers


def raw(address: str, text: str, *, is_all: bool = False) -> str:
    """Send bytes, and maybe say that they are all; return the first line of what comes back."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall(text.encode("latin-1"))
        if is_all:
            connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").readline().decode().strip()


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/state", "/api/watch?handle=x", "/no-such-page"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "x" * 300]
)
def test_another_host_is_refused_everywhere(address: str, path: str, host: str) -> None:
    named = host.format(port=address.partition(":")[2])
    status, headers, body = ask(address, path, Host=named)
    assert status in {400, 421}
    assert b"127.0.0.1" in body or status == 400
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machines_own_names_are_let_in(address: str, name: str) -> None:
    assert ask(address, "/", Host=f"{name}:{address.partition(':')[2]}")[0] == 200


def test_two_hosts_or_none_are_refused(address: str) -> None:
    own = f"Host: {address}\r\n"
    assert " 200 " in raw(address, f"GET / HTTP/1.1\r\n{own}Connection: close\r\n\r\n")
    for headers in (f"{own}Host: evil.example\r\n", f"Host: evil.example\r\n{own}", own * 2, ""):
        line = raw(address, f"GET / HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
        assert " 200 " not in line
        assert line.startswith("HTTP/1.")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_link_to_the_page_and_nothing_else(address: str, site: str) -> None:
    assert ask(address, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 200
    assert ask(address, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
    assert ask(address, "/api/state", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 403
    assert ask(address, "/api/state", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/state", "/vendor/uPlot.js", "/no-such-page"])
def test_every_answer_says_what_a_browser_may_do_with_it(address: str, path: str) -> None:
    _, headers, _ = ask(address, path, Origin="http://evil.example")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert not [name for name in headers if name.startswith("Access-Control")]
    assert "aiohttp" not in headers["Server"].lower()


@pytest.mark.parametrize(
    "path",
    [
        "/../door.py",
        "/vendor/../../door.py",
        "/%2e%2e/door.py",
        "/vendor/%2e%2e%2f%2e%2e%2fdoor.py",
        "//etc/passwd",
        "/vendor/",
        "/vendor/uPlot.LICENSE",
        "/static/index.html",
        "/index.html%00",
        "/api",
        "/api/watch/x",
    ],
)
def test_no_address_reaches_another_file(address: str, path: str) -> None:
    status, _, body = ask(address, path)
    assert status in {400, 404}
    assert b"import" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/", "/api/watch?handle=x"])
def test_nothing_but_get_is_answered(address: str, method: str, path: str) -> None:
    headers = f"Host: {address}\r\nConnection: close\r\nContent-Length: 4"
    head = f"{method} {path} HTTP/1.1\r\n{headers}\r\n\r\nbody"
    assert raw(address, head).split()[1] in {"400", "405"}


@pytest.mark.parametrize(
    "query",
    [
        "watch",
        "watch?handle=",
        "watch?handle=" + "x" * 7000,
        "watch?handle=%00%ff",
        "watch?handle=tpl_x&view=" + "y" * 500,
        "watch?view=map:mean",
        "templates?skip=-1",
        "templates?skip=99999999999999999999",
        "templates?skip=%C2%B2",
        "templates?filter=" + "x" * 81,
        "state?" + "x" * 20_000,
    ],
)
def test_what_is_wrong_or_endless_is_refused(address: str, query: str) -> None:
    status, _, body = ask(address, f"/api/{query}")
    assert status in {400, 404, 414}
    assert len(body) < 1000


@pytest.mark.parametrize(
    "text", ["", "\r\n", "GET", "\x00" * 100, "GET / HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_what_is_no_http_is_no_trouble(address: str, text: str) -> None:
    assert " 200 " not in raw(address, text, is_all=True)
