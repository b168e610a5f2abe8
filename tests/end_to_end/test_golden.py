"""The answers of public trackers' own code: through the engine in process, and through client and server."""

from __future__ import annotations

import numpy as np

from golden import GoldenOperator
from servers import serving
from siamcorr import Engine, EngineSettings
from siamcorr.blocking import BlockingCalls
from siamcorr_client import Client

TOLERANCE = 1e-5


def check(calls: BlockingCalls, golden: GoldenOperator) -> None:
    templates = [calls.create_template(features) for features in golden.template]
    responses = calls.correlate(templates, features=golden.search, **golden.keywords)
    found = np.stack([response.map for response in responses if response.map is not None])
    error = np.abs(found - golden.response.astype(np.float64)).max() / np.abs(golden.response).max()
    assert found.shape == golden.response.shape
    assert error < TOLERANCE


def test_the_engine_reproduces_it(golden_operator: GoldenOperator) -> None:
    with Engine(EngineSettings(device="cpu", models={})) as engine:
        check(engine, golden_operator)


def test_client_and_server_reproduce_it(golden_operator: GoldenOperator) -> None:
    with serving() as running, Client(running.address) as client:
        check(client, golden_operator)
