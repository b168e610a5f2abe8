"""What gRPC alone can do: a program that answers a request of any size with as many bytes as it asks for.

It computes nothing and parses no message. Its process keeps freed memory as ``siamcorr-server`` does, so that
neither pays for page faults. The first 8 bytes of a request say how many the answer shall have.

``BARE`` sends what lies ready. ``WRITTEN`` views the request's payload as an array and writes the answer's
payload freshly, as each server of tensors must.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
from typing import Any

import grpc
import grpc.aio
import numpy as np

from siamcorr.kept_memory import keep_freed_memory

__all__ = ["BARE", "HEAD_BYTES", "WRITTEN", "head"]

_SERVICE = "echo.Echo"
BARE, WRITTEN = f"/{_SERVICE}/Bare", f"/{_SERVICE}/Written"

HEAD_BYTES = 8
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def head(answer_bytes: int) -> bytes:
    """Return the beginning of a request that asks for ``answer_bytes``."""
    return answer_bytes.to_bytes(HEAD_BYTES, "little")


@functools.cache
def _ready(size: int) -> bytes:
    return b"x" * size  # not bytes(size): that is one page of zeros, seen many times


async def _bare(request: bytes, _: object) -> bytes:
    return _ready(int.from_bytes(request[:HEAD_BYTES], "little"))


async def _written(request: bytes, _: object) -> bytes:
    np.frombuffer(request, np.uint8, offset=HEAD_BYTES)
    size = int.from_bytes(request[:HEAD_BYTES], "little")
    return b"".join((request[:HEAD_BYTES], memoryview(_ready(size))[HEAD_BYTES:]))


async def _serve(address: str) -> None:
    server = grpc.aio.server(options=_UNLIMITED)
    methods: dict[str, Any] = {
        path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(answer)
        for path, answer in ((BARE, _bare), (WRITTEN, _written))
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
    port = server.add_insecure_port(address)
    await server.start()
    print(f"listening on {address.rpartition(':')[0]}:{port}", flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    keep_freed_memory()
    asyncio.run(_serve(parser.parse_args().listen))


if __name__ == "__main__":
    main()
