"""Measure, and say whether it is enough: a table, and a JSON file.

Every figure is a ratio of two things that were measured in turns in this run. Run it by ``make bench``, or
``make bench CASES="a b" OUT=file.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import operators
from benchmarks.timing import Row

ROWS = operators.ROWS


def main() -> int:
    """Run the rows that were asked for; 1 if one of them did not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"rows to run: {' '.join(ROWS)} (all)")
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(ROWS):
        parser.error(f"CASE: found {' '.join(sorted(unknown))}, expected some of {' '.join(ROWS)}")
    torch.set_num_threads(1)
    rows = []
    for case in options.cases or ROWS:
        for row in ROWS[case]():
            rows.append(row)
            print(_line(row), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps([_as_json(row) for row in rows], indent=1) + "\n")
    return 0 if all(row.passed for row in rows) else 1


def _line(row: Row) -> str:
    verdict = "ok" if row.passed else "MISSED"
    return f"{row.case:3}{row.what:58}{row.ratio:9.2f}x  >= {row.at_least:<6g}{verdict:8}{row.note}"


def _as_json(row: Row) -> dict[str, object]:
    names = {"case": row.case, "what": row.what, "note": row.note}
    return names | {"ratio": row.ratio, "at_least": row.at_least, "passed": row.passed}


if __name__ == "__main__":
    sys.exit(main())
