"""Triton's own client, unmodified, with less to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton  # type: ignore[import-untyped]
from tritonclient.utils import (  # type: ignore[import-untyped]
    InferenceServerException,
    np_to_triton_dtype,
)

from siamcorr.arguments import Array
from siamcorr_client import Template

__all__ = ["connected", "given", "handles", "infer", "outputs", "refusal", "response"]


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a server until the block ends."""
    with triton.InferenceServerClient(address) as client:
        yield client


def given(name: str, value: Array) -> Any:
    """Return an input; objects are BYTES."""
    tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
    return tensor.set_data_from_numpy(value)


def handles(*templates: Template | str) -> Array:
    """Return templates as a BYTES tensor."""
    names = [one if isinstance(one, str) else one.handle for one in templates]
    return np.array([name.encode() for name in names], object)


def outputs(*names: str) -> list[Any]:
    """Return requested outputs."""
    return [triton.InferRequestedOutput(name) for name in names]


def infer(client: Any, model: str, inputs: Mapping[str, Array], **options: Any) -> Any:
    """Make a request; what is None is left out."""
    tensors = [given(name, value) for name, value in inputs.items() if value is not None]
    return client.infer(model, tensors, **options)


def response(client: Any, kind: str, template: Array, search: Array, **parameters: Any) -> Array:
    """Return the output ``response`` of a kind; pairs of cells are written out."""
    written = {
        name: f"{value[0]},{value[1]}" if isinstance(value, tuple) else value
        for name, value in parameters.items()
    }
    answer = infer(client, kind, {"template": template, "search": search}, parameters=written)
    found: Array = answer.as_numpy("response")
    return found


def refusal(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """Make a call that must fail; return the status and what is said."""
    with pytest.raises(InferenceServerException) as caught:
        call(*arguments, **options)
    return str(caught.value.status()).removeprefix("StatusCode."), caught.value.message()
