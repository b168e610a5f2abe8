"""Measure, and say whether it is enough: a table, and with --out a JSON file and a plot.

Every figure is a ratio of two things that were measured in turns in this run; more is better. Rows a to i are
about the operators, on one thread, and take about 2 minutes; j to o are about the server, and take about 3;
p makes 100,000 calls, which takes about 4 by itself. q to s are about whole trackers, and need the videos and
weights that SIAMCORR_SHARED points to. t is about metrics, and takes 2. Run it by ``make bench``, or
``make bench CASES="a j" OUT=file.json``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import machine, metrics, operators, report, serving, trackers

ROWS = operators.ROWS | serving.ROWS | trackers.ROWS | metrics.ROWS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that were asked for; 1 if one of them did not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"rows to run: {' '.join(ROWS)} (all)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the rows, and FILE.png beside")
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(ROWS):
        parser.error(f"CASE: found {' '.join(sorted(unknown))}, expected some of {' '.join(ROWS)}")
    if options.out and options.out.suffix != ".json":
        parser.error(f"--out: found {str(options.out)!r:.80}, expected a name that ends in .json")
    torch.set_num_threads(1)
    described = machine.describe()
    print(described, flush=True)
    rows = []
    for case in options.cases or ROWS:
        for row in ROWS[case]():
            rows.append(row)
            print(report.line(row), flush=True)
    if options.out:
        report.write(rows, described, options.out)
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
