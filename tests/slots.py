"""What tests of shared memory look at: a client's slots, and requests that name them."""

from __future__ import annotations

from typing import Any

import grpc

from random_calls import bits
from servers import Refusal, RunningServer, Stubs
from siamcorr.checks import correlate_call
from siamcorr.v1 import correlation_service_pb2 as pb
from siamcorr.wire.correlation import seal_correlate_request
from siamcorr_client import AsyncClient, Client, Response, Template
from siamcorr_client._shared_memory import SLOTS, Loan, SharedMemory

__all__ = ["lent", "loan_of", "memory_of", "refused", "request_of", "told", "uses"]


def memory_of(client: Client | AsyncClient) -> SharedMemory:
    """Return the region of a client that has made a call."""
    assert client._memory is not None
    return client._memory


def lent(client: Client | AsyncClient) -> int:
    """Return how many slots are not free."""
    return SLOTS - len(memory_of(client)._free)


def uses(client: Client | AsyncClient) -> int:
    """Return how often a slot was lent."""
    return sum(memory_of(client)._sequences) // 4


def told(response: Response) -> Any:
    """Return all that a response says, but for the times."""
    return bits(response)[1][:-1]


def loan_of(client: Client, template: Template, **options: Any) -> Loan:
    """Take a slot for a request as the client does, but do not send it."""
    client.get_template(template)
    loan = memory_of(client).lend(seal_correlate_request(correlate_call(template, **options)))
    assert loan is not None
    return loan


def request_of(loan: Loan) -> pb.CorrelateRequest:
    """Return the request that names the slot."""
    return pb.CorrelateRequest.FromString(b"".join(loan.parts))


def refused(server: RunningServer, request: pb.CorrelateRequest) -> str:
    """Send a request that must be refused because of its slot; return the message."""
    stubs = Stubs(server.address)
    with stubs.channel:
        refusal = Refusal.of(stubs.correlation.Correlate, request)
    assert (refusal.code, refusal.violations) == (grpc.StatusCode.INVALID_ARGUMENT, ["shared"])
    assert request.shared.region.hex() not in refusal.message or not request.shared.region
    return refusal.message
