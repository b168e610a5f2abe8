"""How well ``siamcorr-load --compare`` tells a slower server from the same one: with real servers and runs.

    python tests/benchmarks/load_compare.py --runs 10
    python tests/benchmarks/load_compare.py --in-turns --runs 10

A ``siamcorr-server`` is loaded again and again, by turns as it is and with every launch longer by a share of
what a request takes. Each run is compared with each other: of two of the same server the verdict has to be
"no difference", of one as it is and one slowed "worse", nine times in ten. A run that says itself that it
cannot be believed is made again. ``--in-turns`` runs two servers and asks the same of ``siamcorr-load
--against``.

A slowed launch computes for that time on the device's thread, without Python's lock: a slower operator would
take it in the same way. The load is one caller that waits for its answer, so that a request gets slower by
just that share.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations, product
from pathlib import Path

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
_TRIES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparisons; return 0 if the verdicts are right nine times in ten."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--in-turns", action="store_true", help="compare two servers, loaded in turns")
    parser.add_argument("--runs", type=int, default=10, help="runs of each, or comparisons of each (10)")
    parser.add_argument("--slower", type=float, default=0.2, help="by this share of a request's time (0.2)")
    options = parser.parse_args(arguments)
    if options.serve:
        return _serve()
    found = (_in_turns if options.in_turns else _apart)(options.runs, options.slower)
    print(f"same server: {dict(found['same'])}; slower by {options.slower:.0%}: {dict(found['slower'])}")
    same, slower = found["same"], found["slower"]
    is_right = same[NO_DIFFERENCE] >= _NEEDED * same.total() and slower[WORSE] >= _NEEDED * slower.total()
    return 0 if is_right else 1


def _apart(count: int, slower: float) -> dict[str, Counter[str]]:
    """Compare runs that were made one after the other, as ``siamcorr-load`` makes them by default."""
    runs: dict[str, list[Run]] = {"same": [], "slower": []}
    with _server() as (server, slow_down):
        load = Load(server=server, concurrency=1, headroom=False)
        usual = run(load)  # a server's first requests take longer
        for number in range(1, count + 1):
            for name, share in (("same", 0.0), ("slower", slower)):
                slow_down(share * usual.service_time.p50_s)
                made = _believed(load)
                runs[name].append(made)
                times = f"p50 {1e3 * made.latency.p50_s:.2f} ms, p1 {1e3 * made.latency.p1_s:.2f} ms"
                print(f"{number:3} {name:6} {times}", flush=True)
    same = Counter(compare(a, b).verdict for a, b in permutations(runs["same"], 2))
    return {"same": same, "slower": Counter(compare(a, b).verdict for a, b in product(*runs.values()))}


def _believed(load: Load) -> Run:
    for _ in range(_TRIES):
        made = run(load)
        if made.verdict.is_valid:
            return made
        print(f"not believed: {'; '.join(made.verdict.reasons)}", flush=True)
    raise SystemExit(
        f"none of {_TRIES} runs in a row could be believed: let nothing else run on this machine"
    )


def _in_turns(count: int, slower: float) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {"same": Counter(), "slower": Counter()}
    with _server() as (one, _), _server() as (two, slow_down):
        load = Load(
            server=one, concurrency=1, warm_up_s=0.5, window_s=0.3, max_windows=3, repeats=8, headroom=False
        )
        for server in (two, one):
            usual = run(dataclasses.replace(load, server=server, repeats=1))
        for number in range(1, count + 1):
            for name, share in (("same", 0.0), ("slower", slower)):
                slow_down(share * usual.service_time.p50_s)
                a, b = run_in_turns(load, two)
                comparison = compare(a, b)
                found[name][comparison.verdict] += 1
                print(f"{number:3} {name:6} {_line(a, b, comparison)}", flush=True)
    return found


def _line(a: Run, b: Run, found: Comparison) -> str:
    p50 = f"p50 {1e3 * a.latency.p50_s:.2f} -> {1e3 * b.latency.p50_s:.2f} ms"
    rows = [row for row in found.rows if row.verdict != SAME]
    each = (f"{row.name} {row.change:+.1%} (noise {row.noise:.1%}) {row.verdict}" for row in rows)
    return f"{p50}: {found.verdict}  {'; '.join(each)}"


@contextmanager
def _server() -> Iterator[tuple[str, Callable[[float], None]]]:
    """Run a server; yield its address, and what makes it slower by so many seconds a launch."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("no pipes")
            told = process.stdin

            def slow_down(seconds: float) -> None:
                told.write(f"{seconds}\n")
                told.flush()

            yield process.stdout.readline().split()[-1], slow_down
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
