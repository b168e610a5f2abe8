"""Logs on stderr, one line a record, as text or as JSON.

Rules:
- A record's facts are in its ``fields``: ``logger.info("call", extra={"fields": {"code": "OK"}})``.
- Who logs never waits: records go to a bounded queue, and a thread of its own formats and writes them. When
  stderr blocks and the queue is full, records are dropped, and the next one that gets through says how many.
- That thread is woken 20 times a second at the most. To be woken for each call would cost the call as much as
  a tenth of its time, on a machine whose cores have better things to do.
- gRPC logs a traceback where a peer is gone before it has read its answer. That is the peer's affair, and
  whoever likes could fill the log with it, so it is dropped; the call has its line.
- Handles are as good as keys, so they are never logged, nor are messages of errors, which may name them.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from logging.handlers import QueueHandler, QueueListener
from typing import Literal, TextIO

__all__ = [
    "LOG_FORMATS",
    "LOG_LEVELS",
    "JsonFormatter",
    "LeanRecord",
    "LogFormat",
    "TextFormatter",
    "logging_to",
]

LogFormat = Literal["text", "json"]

LOG_FORMATS: tuple[LogFormat, ...] = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")

_QUEUED_RECORDS = 10_000
_GATHER_S = 0.05


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the record's fields, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        facts: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts |= _fields(record)
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts, default=str)


class TextFormatter(logging.Formatter):
    """Time (UTC), level, message, the record's fields as ``name=value``; a traceback on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class LeanRecord(logging.LogRecord):
    """A record of ``fields``, without what nobody prints here: thread, process, and the place in the source.

    To find these out costs more than all else that is done for a line.
    """

    def __init__(self, logger: str, level: int, message: str, fields: dict[str, object]) -> None:
        """Note the time."""
        self.name, self.levelno, self.levelname = logger, level, logging.getLevelName(level)
        self.msg, self.args, self.exc_info, self.fields = message, None, None, fields
        self.filename, self.lineno, self.exc_text, self.stack_info = "", 0, None, None  # formatters name them
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


@contextmanager
def logging_to(stream: TextIO, log_format: LogFormat, level: str) -> Iterator[None]:
    """Send all of the process's logs to ``stream`` until the end of the block."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    records: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUED_RECORDS)
    listener = _Exit(records, handler)
    root = logging.getLogger()
    entrance, level_before = _Entrance(records), root.level
    root.addHandler(entrance)
    root.setLevel(level.upper())
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(entrance)
        root.setLevel(level_before)
        with suppress(queue.Full):  # then its thread is stuck in a write, and ends with the process
            listener.stop()


class _Entrance(QueueHandler):
    """The near end of the queue. It hands records on as they are: the far end is in the same process."""

    def __init__(self, records: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(records)
        self.addFilter(_is_no_lost_peer)
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._dropped:
            record.__dict__["fields"] = _fields(record) | {"dropped_before": self._dropped}
        try:
            self.queue.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1


class _Exit(QueueListener):
    """The far end. Having slept, it lets some records gather: meanwhile nobody has to wake it."""

    def __init__(self, records: queue.Queue[logging.LogRecord], handler: logging.Handler) -> None:
        super().__init__(records, handler)
        self._records, self._stopping = records, threading.Event()

    def dequeue(self, block: bool) -> logging.LogRecord:
        has_slept = self._records.empty()
        record = super().dequeue(block)
        if has_slept:
            self._stopping.wait(_GATHER_S)
        return record

    def stop(self) -> None:
        self._stopping.set()
        super().stop()


def _is_no_lost_peer(record: logging.LogRecord) -> bool:
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ExecuteBatchError"  # gRPC does not export it


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=2)
def _second(since_1970: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))
