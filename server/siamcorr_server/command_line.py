"""The command line: flags to a checked :class:`~siamcorr_server.config.ServerConfig`.

Every flag stands for one setting, and an error about the setting names the flag. Abbreviated flags are
refused, because a flag that is added later could change what they mean.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NoReturn

from siamcorr.errors import InvalidArgument, SiamcorrError
from siamcorr.settings import DEFAULT_MODEL, EngineSettings, WarmShape
from siamcorr_server.config import ServerConfig
from siamcorr_server.logs import LOG_FORMATS, LOG_LEVELS
from siamcorr_server.own_version import own_version

__all__ = ["CommandLine", "seconds_or_never", "size_bytes"]

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(rf"(\d{{1,15}}) ?({'|'.join(_UNITS)})")

_DESCRIPTION = """\
Serve resident templates and batched cross-correlation for Siamese trackers over gRPC.
Prints one line "listening on HOST:PORT" when it is ready; logs go to stderr.
SIGTERM or SIGINT: finish what is in flight, then exit; a second one: exit at once.
"""
_EPILOG = """\
SIZE is a number of bytes, or of KiB, MiB or GiB: 512MiB.
There is no authentication: listen on an address that only those reach who may use the server.
"""


def size_bytes(text: str) -> int:
    """Read a number of bytes.

    >>> size_bytes("1000"), size_bytes("512MiB")
    (1000, 536870912)
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected bytes, KiB, MiB or GiB: 512MiB")
    return int(found[1]) * _UNITS[found[2]]


def seconds_or_never(text: str) -> float | None:
    """Read a number of seconds, or ``never``, which is None."""
    try:
        return None if text == "never" else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected seconds, or never") from error


class CommandLine:
    """Reads the command line.

    >>> CommandLine().read(["--listen", "127.0.0.1:0", "--template-ttl", "never"]).engine.ttl_s is None
    True
    """

    def __init__(self) -> None:
        """Set up the flags."""
        self._flags: dict[str, str] = {}
        self._parser = _Parser(
            prog="siamcorr-server",
            description=_DESCRIPTION,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,  # what is not given is left to the settings' own defaults
            allow_abbrev=False,
        )
        self._parser.add_argument("--version", action="version", version=f"siamcorr {own_version()}")
        self._add_network()
        self._add_engine()

    def read(self, arguments: Sequence[str]) -> ServerConfig:
        """Return the settings. What is wrong ends the process, with one line on stderr and code 2."""
        given = vars(self._parser.parse_args(arguments))
        if "models" in given:
            given["models"] = {DEFAULT_MODEL: None} | self._by_name(given["models"])
        engine_fields = {field.name for field in fields(EngineSettings)}
        engine = {name: given.pop(name) for name in engine_fields & given.keys()}
        try:
            return ServerConfig(engine=EngineSettings(**engine), **given)
        except InvalidArgument as error:
            self.refuse(error)

    def refuse(self, error: SiamcorrError) -> NoReturn:
        """End the process because of a setting, named as the user wrote it."""
        message = error.message
        if flag := self._flags.get(error.field):
            message = message.removeprefix(error.field).removeprefix(":").strip()
            message = f"{flag}: {message}"
        self._parser.error(message)

    def _by_name(self, models: Sequence[tuple[str, str | None]]) -> dict[str, str | None]:
        named = dict(models)
        if len(named) < len(models):
            names = [name for name, _ in models]
            twice = next(name for name in names if names.count(name) > 1)
            self._parser.error(f"argument --model: found {twice!r:.80} twice, expected one file for a name")
        return named

    def _add_network(self) -> None:
        add = self._add
        add("--listen", "listen", "HOST:PORT", "where to listen; port 0: any free one (127.0.0.1:50051)")
        add(
            "--max-message-bytes",
            "max_message_bytes",
            "SIZE",
            "bound of one message, in either direction (64MiB)",
            size_bytes,
        )
        add(
            "--shared-memory",
            "shared_memory_bytes",
            "SIZE",
            "bound of all memory shared with clients of this host and user (0: off)",
            size_bytes,
        )
        self._flags["system_memory_prefixes"] = "--system-shared-memory"
        self._parser.add_argument(
            "--system-shared-memory",
            dest="system_memory_prefixes",
            metavar="PREFIX",
            action="append",
            help="beginning of names in /dev/shm that clients of the Open Inference Protocol on this host "
            "may have read and written, such as /search_; may be repeated (off)",
        )
        add("--stream-window", "stream_window", "N", "requests of one stream in flight at most (64)", int)
        add("--metrics", "metrics_listen", "HOST:PORT", "where Prometheus finds metrics (off)")
        self._flags["tracing"] = "--tracing"
        self._parser.add_argument(
            "--tracing",
            dest="tracing",
            action="store_true",
            help="trace requests with OpenTelemetry; the OTEL_* variables say where to (off)",
        )
        add(
            "--dashboard",
            "dashboard_port",
            "PORT",
            "serve a page to look at, on 127.0.0.1 (off; 0: any port)",
            int,
        )
        add("--drain-seconds", "drain_s", "S", "time to finish after the first signal (10)", float)
        self._parser.add_argument(
            "--log-format", dest="log_format", choices=LOG_FORMATS, help="form of the log's lines (text)"
        )
        self._parser.add_argument(
            "--log-level", dest="log_level", choices=LOG_LEVELS, help="least level that is logged (info)"
        )

    def _add_engine(self) -> None:
        add = self._add
        add("--device", "device", "NAME", "auto, cpu, cuda or cuda:N (auto)")
        add("--threads", "threads", "N", "CPU threads for one operator (1)", int)
        add("--decode-threads", "decode_threads", "N", "threads that decode images (2)", int)
        add("--model-threads", "model_threads", "N", "CPU threads for a network's crops (all cores)", int)
        self._flags["model"] = self._flags["models"] = "--model"
        self._parser.add_argument(
            "--model",
            dest="models",
            metavar="NAME[+TRANSFORM][=FILE]",
            type=_model,
            action="append",
            help="a model and its weights, maybe with what templates are made into: none, mean or ridge; "
            "may be repeated (hog, which has no weights, is always there)",
        )
        self._flags["warm_shapes"] = "--warm"
        self._parser.add_argument(
            "--warm",
            dest="warm_shapes",
            metavar="KIND:CxHxW:CxHxW",
            type=_warm,
            action="append",
            help="template and search region of calls to come, made ready before the first; may be repeated",
        )
        add("--template-bytes", "budget_bytes", "SIZE", "what all templates may take (1GiB)", size_bytes)
        add(
            "--prepared-bytes",
            "prepared_bytes",
            "SIZE",
            "what they may take beside that, in the forms that they are computed in (256MiB)",
            size_bytes,
        )
        add(
            "--template-ttl",
            "ttl_s",
            "SECONDS",
            "how long an unused template lives, or never (600)",
            seconds_or_never,
        )
        self._parser.add_argument(
            "--evict",
            dest="evict",
            choices=("refuse", "lru"),
            help="when that is full: refuse, or drop the least recently used (refuse)",
        )
        add("--max-jobs", "max_jobs", "N", "jobs in the queue at most (1024)", int)
        add(
            "--max-queue-bytes",
            "max_bytes",
            "SIZE",
            "bytes in the queue, and of answers not yet read, at most (256MiB)",
            size_bytes,
        )
        add("--max-batch", "max_batch", "N", "pairs in one launch at most (64)", int)
        add("--max-image-pixels", "max_image_pixels", "N", "width times height at most (64000000)", int)
        add(
            "--max-multiply-adds",
            "max_multiply_adds",
            "N",
            "work of one call at most, which no cancelling stops (200000000000)",
            int,
        )
        self._parser.add_argument(
            "--allow-nonfinite",
            dest="check_finite",
            action="store_false",
            help="compute with NaN and infinity instead of refusing them: saves a reading pass",
        )

    def _add(
        self, flag: str, setting: str, metavar: str, text: str, kind: Callable[[str], Any] = str
    ) -> None:
        self._flags[setting] = flag
        self._parser.add_argument(flag, dest=setting, metavar=metavar, type=kind, help=text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line: a usage of 20 flags would hide it."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def _model(text: str) -> tuple[str, str | None]:
    name, equals, path = text.partition("=")
    if not name or bool(equals) != bool(path):
        raise argparse.ArgumentTypeError(f"found {text!r:.80}, expected NAME or NAME=FILE")
    return name, path or None


def _warm(text: str) -> WarmShape:
    try:
        return WarmShape.parse(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.message) from error
