"""How well ``siamcorr-load --against`` tells two servers apart, and leaves one server alone: on a real one.

    python tests/benchmarks/load_compare.py --pairs 10

Two ``siamcorr-server`` run, the second with every launch longer by a share of what a request takes, or not.
``siamcorr-load --against`` has to say "no difference" when it is not, and "worse" when it is, nine times in
ten. The device's thread computes for that time, without Python's lock: a slower operator would take it in the
same way.

The load is one caller that waits for its answer, so that a request gets slower by just that share.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if not __package__:  # run as a file
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), *(str(root / part) for part in ("server", "clients", "tests"))]

from siamcorr_load.compare import NO_DIFFERENCE, SAME, WORSE, compare
from siamcorr_load.controller import run
from siamcorr_load.results import Comparison, Run
from siamcorr_load.settings import Load
from siamcorr_load.turns import run_in_turns

__all__ = ["main"]

_NEEDED = 0.9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pairs; return 0 if the verdicts are right nine times in ten."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, default=10, help="(10)")
    parser.add_argument("--turn", type=float, default=0.9, help="seconds of a turn that are measured (0.9)")
    parser.add_argument("--repeats", type=int, default=8, help="turns of each server (8)")
    parser.add_argument("--slower", type=float, default=0.2, help="by this share of a request's time (0.2)")
    options = parser.parse_args(arguments)
    if options.serve:
        return _serve()
    same, slower = Counter[str](), Counter[str]()
    with _server() as (one, _), _server() as (two, tell):
        load = _load(one, options.turn, options.repeats)
        for server in (two, one):  # a server's first requests take longer
            usual = run(dataclasses.replace(load, server=server, repeats=1))
        for number in range(1, options.pairs + 1):
            for name, counter, share in (("same", same, 0.0), ("slower", slower, options.slower)):
                tell.write(f"{share * usual.service_time.p50_s}\n")
                tell.flush()
                a, b = run_in_turns(load, two)
                found = compare(a, b, in_turns=True)
                counter[found.verdict] += 1
                print(f"{number:3} {name:6} {_line(a, b, found)}", flush=True)
    print(f"same server: {dict(same)}; slower by {options.slower:.0%}: {dict(slower)}")
    is_right = min(same[NO_DIFFERENCE], slower[WORSE]) >= _NEEDED * options.pairs
    return 0 if is_right else 1


def _load(address: str, seconds: float, repeats: int) -> Load:
    return Load(
        server=address,
        concurrency=1,
        warm_up_s=0.5,
        window_s=seconds / 3,
        windows=3,
        max_windows=3,
        repeats=repeats,
        headroom=False,
    )


def _line(a: Run, b: Run, found: Comparison) -> str:
    p50 = f"p50 {1e3 * a.latency.p50_s:.2f} -> {1e3 * b.latency.p50_s:.2f} ms"
    rows = [row for row in found.rows if row.verdict != SAME]
    each = (f"{row.name} {row.change:+.1%} (noise {row.noise:.1%}) {row.verdict}" for row in rows)
    return f"{p50}: {found.verdict}  {'; '.join(each)}"


@contextmanager
def _server() -> Iterator[tuple[str, IO[str]]]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("no pipes")
            yield process.stdout.readline().split()[-1], process.stdin
        finally:
            process.kill()


def _serve() -> int:
    """Be a ``siamcorr-server`` that is slower by as many seconds a launch as stdin says."""
    import torch  # noqa: PLC0415 - only the server's process has it

    from siamcorr import Engine  # noqa: PLC0415
    from siamcorr_server import doors  # noqa: PLC0415
    from siamcorr_server.__main__ import main as server  # noqa: PLC0415
    from siamcorr_server.observers import Finished  # noqa: PLC0415

    grain = torch.ones(64, 64)

    class Slowness:
        """A door that nobody can come through, and that holds the device's thread up."""

        seconds = 0.0

        def launched(self, tasks: object, outcomes: object) -> None:
            until_s = time.perf_counter() + self.seconds
            while time.perf_counter() < until_s:
                torch.mm(grain, grain)

        def finished(self, request: Finished) -> None:
            """Requests do not concern it."""

        async def open(self, engine: Engine) -> None:
            """Nothing is to be opened."""

        async def close(self) -> None:
            """And nothing closed."""

    slowness = Slowness()

    def listen() -> None:
        for line in sys.stdin:
            slowness.seconds = float(line)

    threading.Thread(target=listen, daemon=True).start()
    setattr(doors, "doors_of", lambda _: [slowness])  # noqa: B010 - mypy would not let it be assigned
    return server(["--listen", "127.0.0.1:0", "--device", "cpu", "--log-level", "warning"])


if __name__ == "__main__":
    sys.exit(main())
