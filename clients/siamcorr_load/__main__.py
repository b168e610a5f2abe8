"""The program ``siamcorr-load``: from the command line to the verdict.

Exit codes: 0 for a valid run; 1 for one that cannot be believed, a comparison that found worse, or a server
that is not sound after chaos; 2 when something is wrong with the command, its files or the server; 128 and
the signal's number after a signal. The first Ctrl-C, and SIGTERM, report what was measured until then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from siamcorr.closed_pipe import quiet_when_unread
from siamcorr.errors import InvalidArgument, SiamcorrError
from siamcorr_client.server_process import signals_unwind
from siamcorr_load.capacity import find_capacity, is_enough
from siamcorr_load.chaos import run_chaos
from siamcorr_load.compare import compare, exit_code
from siamcorr_load.controller import run
from siamcorr_load.cut_short import Interrupts
from siamcorr_load.live import Live, Plan
from siamcorr_load.machine import shares_machine
from siamcorr_load.options import Options, read_options
from siamcorr_load.page import comparison_page, page
from siamcorr_load.report import aftermath_text, capacity_text, comparison_text, point_text, run_text
from siamcorr_load.report_units import count_text
from siamcorr_load.restart import run_restart
from siamcorr_load.result_json import from_json, to_json
from siamcorr_load.results import Capacity, CapacityPoint, Run
from siamcorr_load.served import served_process
from siamcorr_load.settings import Load
from siamcorr_load.turns import run_in_turns

__all__ = ["main"]

_WINDOW_SENDS = 1000
"""So many requests a window has at least, for 99.9 % of them to be a number, unless that takes too long."""

_STRETCH = 3


@quiet_when_unread
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load test; return the exit code."""
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    interrupts = Interrupts()
    try:
        for path in (options.json, options.html, *options.runs):
            if path is not None:
                _try_to_write(path)
        if options.load is None:
            return _compare(options)
        if options.chaos is not None:
            return _chaos(options, options.chaos, options.load)
        with interrupts:
            code = _loaded(options, options.load, interrupts)
        return code if interrupts.came is None else _interrupted(interrupts.came)
    except SiamcorrError as error:
        print(f"siamcorr-load: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted(interrupts.came or signal.SIGINT)


def _loaded(options: Options, load: Load, interrupts: Interrupts) -> int:
    if options.against is not None:
        a, b = _in_turns(options, load, options.against)
        interrupts.report()
        for path, one in zip(options.runs, (a, b), strict=False):
            _write(path, to_json(one))
        return _compared(options, a, b)
    result = _measured(options, load)
    interrupts.report()
    print(run_text(result) if isinstance(result, Run) else capacity_text(result))
    if options.json is not None:
        _write(options.json, to_json(result))
    if options.html is not None:
        _write(options.html, page(result))
    return 0 if result.verdict.is_valid else 1


def _measured(options: Options, load: Load) -> Run | Capacity:
    if options.find_capacity:
        return _capacity(load, options.within_s, tell=lambda point: _tell(options, point_text(point)))
    with nullcontext() if options.quiet else Live(_plan(load), sys.stderr) as live:
        return run(load, live.window if live else lambda _: None, keeps_what_it_has=True)


def _in_turns(options: Options, load: Load, against: str) -> tuple[Run, Run]:
    plan = dataclasses.replace(_plan(load), windows=2 * load.windows * load.repeats)
    with nullcontext() if options.quiet else Live(plan, sys.stderr) as live:
        return run_in_turns(load, against, live.window if live else lambda _: None, keeps_what_it_has=True)


def _capacity(load: Load, within_s: float, tell: Callable[[CapacityPoint], None]) -> Capacity:
    """Vary the cameras; each has as many targets as the load says."""

    def trial(cameras: int) -> Run:
        fit = _WINDOW_SENDS / (cameras * load.fps)
        window_s = min(max(load.window_s, fit), _STRETCH * load.window_s)
        tried = dataclasses.replace(load, cameras=cameras, window_s=window_s)
        return run(tried, enough=lambda windows: is_enough(windows, load.period_s))

    return find_capacity(
        trial,
        targets_each=load.targets,
        first=load.cameras,
        within_s=within_s,
        shares_machine=shares_machine(load.server),
        tell=tell,
    )


def _compare(options: Options) -> int:
    a, b = (from_json(_read(path), Run) for path in options.compare or ())
    return _compared(options, a, b)


def _compared(options: Options, a: Run, b: Run) -> int:
    comparison = compare(a, b)
    print(comparison_text(comparison))
    if options.json is not None:
        _write(options.json, to_json(comparison))
    if options.html is not None:
        _write(options.html, comparison_page(comparison, a, b))
    return exit_code(comparison)


def _chaos(options: Options, mode: str, load: Load) -> int:
    wait = f"until what clients leave behind has outlived its {options.ttl_s:g} s"
    _tell(options, f"{mode}: this may take {wait}; --ttl is the server's --template-ttl")
    if options.serve is not None:
        with signals_unwind(), served_process(options.serve, options.ttl_s) as server:
            aftermath = asyncio.run(run_restart(server, ttl_s=options.ttl_s))
    else:
        aftermath = asyncio.run(run_chaos(mode, load.server, ttl_s=options.ttl_s, seed=load.seed))
    print(aftermath_text(aftermath))
    return int(bool(aftermath.faults))


def _plan(load: Load) -> Plan:
    return Plan(
        title=f"{count_text(load.cameras)} x {count_text(load.targets)} targets at {load.fps:g} fps",
        warm_up_s=load.warm_up_s,
        window_s=load.window_s,
        windows=load.windows * load.repeats,
        max_windows=load.max_windows * load.repeats,
    )


def _interrupted(number: int) -> int:
    print("siamcorr-load: interrupted", file=sys.stderr)
    return 128 + number


def _tell(options: Options, line: str) -> None:
    if not options.quiet:
        print(line, file=sys.stderr, flush=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument.found(str(path), error.strerror, "a file of siamcorr-load --json") from error


def _try_to_write(path: Path) -> None:
    """Refuse before minutes of load what could not be written after them."""
    is_new = not path.exists()
    _write(path, "", mode="a")
    if is_new:
        path.unlink()


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidArgument.found(str(path), error.strerror, "a file to write") from error


if __name__ == "__main__":
    sys.exit(main())
