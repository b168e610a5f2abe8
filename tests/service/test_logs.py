"""What the log's lines look like, and that logging never waits."""

from __future__ import annotations

import io
import json
import logging
import threading
from typing import TextIO

import pytest

from gates import PATIENCE_S
from siamcorr_server import logs

log = logging.getLogger("siamcorr.test")


def test_json_lines_hold_fields_and_tracebacks() -> None:
    out = io.StringIO()
    with logs.logging_to(out, "json", "info"):
        log.info("call", extra={"fields": {"code": "OK", "templates": 3}})
        log.debug("not asked for")
        log.error("internal error", exc_info=KeyError("lost"))
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "siamcorr.test",
        "message": "call",
        "code": "OK",
        "templates": 3,
    }
    assert second["level"] == "error"
    assert second["traceback"].endswith("KeyError: 'lost'")


def test_text_lines_hold_fields_and_tracebacks() -> None:
    out = io.StringIO()
    with logs.logging_to(out, "text", "debug"):
        log.debug("call", extra={"fields": {"code": "OK", "templates": 3}})
        log.error("broken", exc_info=ValueError("why"))
    first, second, *_, last = out.getvalue().splitlines()
    assert first.split(" ", 1)[1] == "DEBUG call code=OK templates=3"
    assert second.endswith("ERROR broken")
    assert last == "ValueError: why"


def test_logging_ends_with_its_block() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    with logs.logging_to(io.StringIO(), "text", "error"):
        assert (len(root.handlers), root.level) == (len(before[0]) + 1, logging.ERROR)
    assert (root.handlers, root.level) == before


class Stuck(io.StringIO):
    """A stream whose reader has fallen asleep."""

    def __init__(self) -> None:
        super().__init__()
        self.awake = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.awake.wait(PATIENCE_S)
        return super().write(text)


def test_who_logs_does_not_wait_for_a_stuck_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_QUEUED_RECORDS", 2)
    out = Stuck()
    stream: TextIO = out
    with logs.logging_to(stream, "json", "info"):
        log.info("0")
        assert out.entered.wait(PATIENCE_S), "this one is stuck, so two more have room"
        for number in range(1, 8):
            log.info("%d", number)
        out.awake.set()
        logging.getLogger().handlers[-1].queue.join()  # type: ignore[attr-defined]
        log.info("8")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["0", "1", "2", "8"]
    assert lines[-1]["dropped_before"] == 5
