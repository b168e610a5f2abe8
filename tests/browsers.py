"""A headless Chromium for tests, driven by its own protocol over a pipe: no driver needs to be installed."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gates import PATIENCE_S

__all__ = ["Tab", "browsing"]

NAMES = ("chromium", "chromium-browser", "google-chrome")

_WITH_PIPES = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page. ``complaints`` are errors and warnings of its console, and what it could not load."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._read = b""
        self._last = 0
        self._session = ""
        self.complaints: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.tell(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page."""
        self.tell("Page.navigate", url=url)

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        look = f"const look = () => ({condition}) ? done() : setTimeout(look, 50);"
        self.value(f"new Promise((done) => {{ {look} look(); }})")

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression is, or resolves to."""
        found = self.tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text that is seen in an element."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def tell(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its result."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._requests, json.dumps(command).encode() + b"\0")
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            message = self._next(deadline_s)
            if message.get("id") == self._last:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _next(self, deadline_s: float) -> Any:
        while b"\0" not in self._read:
            is_ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline_s - time.monotonic()))
            assert is_ready, "the browser does not answer"
            data = os.read(self._answers, 1 << 16)
            assert data, "the browser has ended"
            self._read += data
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    def _note(self, message: Any) -> None:
        found, method = message.get("params", {}), message.get("method")
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(found["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and found["type"] in {"error", "warning", "assert"}:
            self.complaints.append(str(found["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(f"{found['entry']['text']} {found['entry'].get('url', '')}")


@contextmanager
def browsing(profile: Path, *, width: int = 1280, height: int = 900) -> Iterator[Tab]:
    """Run a browser until the block ends; skip the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs one of {', '.join(NAMES)}")
    (theirs_in, requests), (answers, theirs_out) = os.pipe(), os.pipe()
    flags = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *(f"--user-data-dir={profile}", f"--window-size={width},{height}", "--remote-debugging-pipe"),
    ]
    command = [sys.executable, "-c", _WITH_PIPES, str(theirs_in), str(theirs_out), found, *flags]
    with subprocess.Popen(
        command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as popen:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Tab(requests, answers)
        finally:
            popen.terminate()
            os.close(requests)
            os.close(answers)
