"""Times counted in buckets that are never wider than a thousandth of the time: an HdrHistogram's layout.

A bucket holds whole microseconds that agree in their eleven highest bits. Counts are exact, so the histograms
of several processes and windows are merged without loss; maximum and sum are kept beside them. The package
``hdrhistogram`` does the same and more; it has no types and brings setuptools to run time, for what is a
shift here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from siamcorr_load.results import Distribution

__all__ = ["Histogram"]

_BITS = 11
_HALF = 1 << (_BITS - 1)

_PLOTTED = (0.0, 10.0, 25.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 96.0, 97.0, 98.0, 99.0,
            99.25, 99.5, 99.75, 99.9, 99.95, 99.975, 99.99, 99.995, 99.999, 100.0)  # fmt: skip


@dataclass(slots=True)
class Histogram:
    """How often each time was seen.

    >>> histogram = Histogram()
    >>> for ms in range(1, 1001):
    ...     histogram.record(ms / 1e3)
    >>> histogram.count, round(histogram.percentile(99), 3), histogram.max_s
    (1000, 0.99, 1.0)
    """

    counts: Counter[int] = field(default_factory=Counter)
    sum_s: float = 0.0
    max_s: float = 0.0

    @property
    def count(self) -> int:
        """How many times were recorded."""
        return self.counts.total()

    def record(self, seconds: float) -> None:
        """Count one time; a negative one, of clocks that disagree, counts as none."""
        seconds = max(0.0, seconds)
        self.counts[_bucket(round(seconds * 1e6))] += 1
        self.sum_s += seconds
        self.max_s = max(self.max_s, seconds)

    def merge(self, other: Histogram) -> None:
        """Add all that ``other`` has counted."""
        self.counts.update(other.counts)
        self.sum_s += other.sum_s
        self.max_s = max(self.max_s, other.max_s)

    def percentile(self, percent: float) -> float:
        """Return the time in seconds that ``percent`` of those recorded do not exceed, or 0."""
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Iterable[float]) -> list[float]:
        """Return several; ``percents`` rise."""
        count, seen, found = self.count, 0, []
        buckets = iter(sorted(self.counts.items()))
        highest_s = 0.0
        for percent in percents:
            rank = max(1, -int(-(percent / 100 * count) // 1))
            while seen < min(rank, count):
                bucket, times = next(buckets)
                seen += times
                highest_s = min(_highest_us(bucket) / 1e6, self.max_s)
            found.append(highest_s)
        return found

    def distribution(self) -> Distribution:
        """Return the figures that are reported, and points to plot."""
        if not self.count:
            return Distribution()
        p1, p50, p90, p95, p99, p999, p9999 = self.percentiles((1, 50, 90, 95, 99, 99.9, 99.99))
        points = tuple(zip(_PLOTTED, self.percentiles(_PLOTTED), strict=True))
        return Distribution(
            count=self.count,
            mean_s=self.sum_s / self.count,
            p1_s=p1,
            p50_s=p50,
            p90_s=p90,
            p95_s=p95,
            p99_s=p99,
            p999_s=p999,
            p9999_s=p9999,
            max_s=self.max_s,
            points=points,
        )


def _bucket(us: int) -> int:
    shift = max(0, us.bit_length() - _BITS)
    return shift * _HALF + (us >> shift)


def _highest_us(bucket: int) -> int:
    shift = max(0, bucket // _HALF - 1)
    return ((bucket - shift * _HALF + 1) << shift) - 1
