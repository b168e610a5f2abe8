"""Metrics of a real server: they agree with what was sent, and whoever comes to read them does no harm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from gates import IMAGE, PATIENCE_S, held
from scraped import Scrape, door_of
from servers import Refusal, RunningServer, Stubs, serving
from siamcorr import EngineSettings
from siamcorr.checks import correlate_call
from siamcorr.v1 import correlation_service_pb2 as pb
from whole_messages import correlate_request

LISTEN = "127.0.0.1:0"
Z = np.ones((4, 3, 3), np.float32)
X = np.ones((4, 8, 8), np.float32)
BOX = (10.0, 10.0, 20.0, 20.0)

CREATE, CORRELATE, STREAM = (
    "TemplateService/CreateTemplate",
    "CorrelationService/Correlate",
    "CorrelationService/CorrelateStream",
)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(metrics_listen=LISTEN) as running:
        yield running


def scrape(server: RunningServer) -> Scrape:
    return Scrape.of(door_of(server).address)


def test_a_new_server_shows_what_it_is_and_no_requests(server: RunningServer) -> None:
    found = scrape(server)
    assert list(found.by("siamcorr_build_info", "version").values()) == [1]
    assert not found.by("siamcorr_requests_total", "method", "code")
    assert found.by("siamcorr_rejects_total", "reason") == {"QUEUE_FULL": 0, "BANK_FULL": 0, "DRAINING": 0}
    assert found["siamcorr_templates"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus_client finds them out on Linux")
def test_the_process_s_memory_and_time_are_there(server: RunningServer) -> None:
    found = scrape(server)
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["process_cpu_seconds_total"] > 0


def test_calls_are_counted_by_method_and_code_and_their_pairs_by_kind(
    server: RunningServer, stubs: Stubs
) -> None:
    templates = [stubs.create(Z)[0] for _ in range(3)]
    for _ in range(4):
        stubs.correlate(templates[0], features=X)
    stubs.correlate(templates, features=X, kind="depthwise")
    Refusal.of(stubs.correlate, "tpl_unknown", features=X)
    Refusal.of(stubs.correlate, templates[0], features=X[:2])
    found = scrape(server)
    assert found.by("siamcorr_requests_total", "method", "code") == {
        (CREATE, "OK"): 3,
        (CORRELATE, "OK"): 5,
        (CORRELATE, "NOT_FOUND"): 1,
        (CORRELATE, "INVALID_ARGUMENT"): 1,
    }
    assert found.by("siamcorr_request_seconds_count", "method") == {CREATE: 3, CORRELATE: 5}
    assert found.by("siamcorr_launch_pairs_sum", "kind") == {"template": 3, "naive": 4, "depthwise": 3}
    assert found.by("siamcorr_launch_pairs_count", "kind") == {"template": 3, "naive": 4, "depthwise": 1}
    stages = {"prepare": 0, "queue": 5, "embed": 0, "compute": 5, "copy": 5}
    assert found.by("siamcorr_stage_seconds_count", "stage") == stages


def test_templates_and_bytes_are_the_engine_s(server: RunningServer, stubs: Stubs) -> None:
    for _ in range(3):
        stubs.create(Z)
    found, stats = scrape(server), server.engine.stats()
    assert found["siamcorr_templates"] == stats.bank.templates == 3
    assert found["siamcorr_template_bytes"] == stats.bank.bytes_used > 0
    assert found["siamcorr_template_budget_bytes"] == stats.bank.budget_bytes
    assert found["siamcorr_requests_in_flight"] == 0


def test_of_frames_what_was_decoded_and_embedded_is_timed(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(image=IMAGE, boxes=[BOX], model="gate")
    stubs.correlate(template, image=IMAGE, box=BOX)
    found = scrape(server)
    stages = {"prepare": 1, "queue": 1, "embed": 1, "compute": 1, "copy": 1}
    assert found.by("siamcorr_stage_seconds_count", "stage") == stages


def test_a_stream_is_counted_by_its_requests(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    asked = [
        pb.CorrelateStreamRequest(id=id_, request=correlate_request(correlate_call(handle, features=X)))
        for id_, handle in enumerate([template.handle, "tpl_unknown", template.handle])
    ]
    assert len(list(stubs.correlation.CorrelateStream(iter(asked)))) == 3
    found = scrape(server).by("siamcorr_requests_total", "method", "code")
    assert found == {(CREATE, "OK"): 1, (STREAM, "OK"): 2, (STREAM, "NOT_FOUND"): 1}


def test_a_caller_cannot_make_up_a_label(server: RunningServer, stubs: Stubs) -> None:
    made_up = "/siamcorr.v1.CorrelationService/MadeUp", "/made.Up/Correlate", "/siamcorr.v1.X/"
    for method in made_up:
        call: Any = stubs.channel.unary_unary(method)
        assert Refusal.of(call, b"").code is grpc.StatusCode.UNIMPLEMENTED
    assert not scrape(server).by("siamcorr_requests_total", "method", "code")


def test_what_waits_and_runs_shows_while_it_does(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z)
    stubs.create(Z)  # stays idle
    request = correlate_request(correlate_call(template, features=X))
    with held(server.engine, server.gate):
        calls = [stubs.correlation.Correlate.future(request) for _ in range(2)]
        server.until(lambda: server.engine.stats().device.waiting == 2)
        found = scrape(server)
        jobs = found.by("siamcorr_queue_jobs", "queue", "state")
        assert jobs == {
            ("frames", "waiting"): 0,
            ("frames", "running"): 0,
            ("device", "waiting"): 2,
            ("device", "running"): 1,
        }
        assert found.by("siamcorr_queue_bytes", "queue")["device"] >= 2 * X.nbytes
        assert found.by("siamcorr_queue_oldest_seconds", "queue")["device"] > 0
        assert found["siamcorr_requests_in_flight"] == 3
        assert found["siamcorr_templates_leased"] == 1, "not the idle one"
    for call in calls:
        call.result(PATIENCE_S)


def test_what_is_refused_because_of_overload_is_counted_by_reason() -> None:
    settings = EngineSettings(device="cpu", models={}, max_jobs=1, budget_bytes=IMAGE.nbytes)
    large = np.ones(IMAGE.size // 6, np.float32).reshape(-1, 1, 1)
    with serving(settings, metrics_listen=LISTEN) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            (template,) = stubs.create(large)
            Refusal.of(stubs.create, large)
            with held(server.engine, server.gate):
                for _ in range(2):
                    Refusal.of(stubs.correlate, template, features=large)
                drained = server.start(server.server.drain(PATIENCE_S))
                refusal = Refusal.of(stubs.correlate, template, features=large)
                while refusal.reason != "DRAINING":  # the drain begins when the event loop comes to it
                    refusal = Refusal.of(stubs.correlate, template, features=large)
                found = scrape(server)
            assert drained.result(PATIENCE_S)
    rejects = found.by("siamcorr_rejects_total", "reason")
    assert (rejects["BANK_FULL"], rejects["DRAINING"]) == (1, 1)
    assert rejects["QUEUE_FULL"] >= 2


def test_evicted_templates_are_counted() -> None:
    settings = EngineSettings(device="cpu", models={}, budget_bytes=2 * Z.nbytes, evict="lru")
    with serving(settings, metrics_listen=LISTEN) as server:
        stubs = Stubs(server.address)
        with stubs.channel:
            for _ in range(5):
                stubs.create(Z)
        found = scrape(server)
        evicted = server.engine.stats().bank.evicted
    assert found.by("siamcorr_templates_dropped_total", "cause") == {"evicted": evicted, "expired": 0}
    assert evicted > 0
