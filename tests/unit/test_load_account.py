"""The server's own account: read from its metrics, held against the harness's, and shown."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from siamcorr.errors import InvalidArgument, ServerUnavailable
from siamcorr_load.account import Account, Reading, account_of, read_metrics

BEFORE = """\
# TYPE siamcorr_requests_total counter
siamcorr_requests_total{method="CorrelationService/Correlate",code="OK"} 100
siamcorr_requests_total{method="TemplateService/CreateTemplate",code="OK"} 7
# TYPE siamcorr_rejects_total counter
siamcorr_rejects_total{reason="QUEUE_FULL"} 2
# TYPE siamcorr_request_seconds histogram
siamcorr_request_seconds_bucket{method="CorrelationService/Correlate",le="+Inf"} 100
siamcorr_request_seconds_sum{method="CorrelationService/Correlate"} 1.0
siamcorr_request_seconds_count{method="CorrelationService/Correlate"} 100
# TYPE siamcorr_stage_seconds histogram
siamcorr_stage_seconds_bucket{stage="queue",le="+Inf"} 100
siamcorr_stage_seconds_sum{stage="queue"} 0.1
siamcorr_stage_seconds_count{stage="queue"} 100
# TYPE siamcorr_launch_pairs histogram
siamcorr_launch_pairs_bucket{kind="naive",le="1"} 50
siamcorr_launch_pairs_bucket{kind="naive",le="2"} 60
siamcorr_launch_pairs_bucket{kind="naive",le="+Inf"} 60
siamcorr_launch_pairs_sum{kind="naive"} 70
siamcorr_launch_pairs_count{kind="naive"} 60
siamcorr_launch_pairs_bucket{kind="template",le="+Inf"} 7
siamcorr_launch_pairs_sum{kind="template"} 7
siamcorr_launch_pairs_count{kind="template"} 7
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1000
"""

AFTER = """\
# TYPE siamcorr_requests_total counter
siamcorr_requests_total{method="CorrelationService/Correlate",code="OK"} 300
siamcorr_requests_total{method="CorrelationService/CorrelateStream",code="OK"} 50
siamcorr_requests_total{method="CorrelationService/Correlate",code="RESOURCE_EXHAUSTED"} 4
siamcorr_requests_total{method="TemplateService/CreateTemplate",code="OK"} 99
# TYPE siamcorr_rejects_total counter
siamcorr_rejects_total{reason="QUEUE_FULL"} 6
# TYPE siamcorr_request_seconds histogram
siamcorr_request_seconds_bucket{method="CorrelationService/Correlate",le="+Inf"} 304
siamcorr_request_seconds_sum{method="CorrelationService/Correlate"} 2.02
siamcorr_request_seconds_count{method="CorrelationService/Correlate"} 304
# TYPE siamcorr_stage_seconds histogram
siamcorr_stage_seconds_bucket{stage="queue",le="+Inf"} 350
siamcorr_stage_seconds_sum{stage="queue"} 0.6
siamcorr_stage_seconds_count{stage="queue"} 350
siamcorr_stage_seconds_bucket{stage="embed",le="+Inf"} 0
siamcorr_stage_seconds_sum{stage="embed"} 0
siamcorr_stage_seconds_count{stage="embed"} 0
# TYPE siamcorr_launch_pairs histogram
siamcorr_launch_pairs_bucket{kind="naive",le="1"} 70
siamcorr_launch_pairs_bucket{kind="naive",le="2"} 100
siamcorr_launch_pairs_bucket{kind="naive",le="+Inf"} 105
siamcorr_launch_pairs_sum{kind="naive"} 200
siamcorr_launch_pairs_count{kind="naive"} 105
siamcorr_launch_pairs_bucket{kind="template",le="+Inf"} 99
siamcorr_launch_pairs_sum{kind="template"} 99
siamcorr_launch_pairs_count{kind="template"} 99
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 2000
"""


@contextmanager
def showing(pages: Sequence[str]) -> Iterator[str]:
    """Show one page after the other over HTTP."""
    left = iter(pages)

    class Visit(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = next(left).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        server.shutdown()
        thread.join()


def readings() -> tuple[Reading, Reading]:
    with showing([BEFORE, AFTER]) as url:
        first, second = read_metrics(url), read_metrics(url)
    return Reading(10.0, first.samples), Reading(20.0, second.samples)


def test_an_account_is_what_grew_between_two_readings_of_correlations() -> None:
    account = account_of([readings()])
    assert account is not None
    assert account.stages_s == {"queue": pytest.approx(0.002)}
    assert account.request_s == pytest.approx(0.005)
    assert dataclasses.replace(account, stages_s={}, request_s=None) == Account(
        seconds=10.0,
        requests={"OK": 250, "RESOURCE_EXHAUSTED": 4},
        rejects={"QUEUE_FULL": 4},
        launches={"1": 20, "2": 20, "inf": 5},
        pairs=130,
        resident_bytes=2000,
    )


def test_rates_and_means_are_made_of_the_counts() -> None:
    account = account_of([readings()])
    assert account is not None
    assert account.answers_per_s == 25.0
    assert account.pairs_of_launch == pytest.approx(130 / 45)


def test_several_repeats_are_added() -> None:
    once, twice = account_of([readings()]), account_of([readings()] * 2)
    assert once is not None
    assert twice is not None
    assert twice.requests == {code: 2 * count for code, count in once.requests.items()}
    assert (twice.seconds, twice.pairs) == (20.0, 260)
    assert twice.answers_per_s == once.answers_per_s
    assert twice.resident_bytes == once.resident_bytes


def test_without_readings_there_is_no_account() -> None:
    assert account_of([]) is None


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/metrics", "127.0.0.1:9464", "file:///metrics"])
def test_an_address_that_is_none_of_http_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="metrics_url"):
        read_metrics(url)


def test_a_page_that_has_no_metrics_is_refused() -> None:
    with showing(["<html> {"]) as url, pytest.raises(InvalidArgument, match="Prometheus"):
        read_metrics(url)


def test_metrics_that_nobody_shows_are_not_available() -> None:
    with pytest.raises(ServerUnavailable, match="no metrics at"):
        read_metrics("http://127.0.0.1:1/metrics")
