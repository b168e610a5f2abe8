"""What a model takes and gives, and how the protocol tells it.

Metadata tell a model's plain use: the inputs that make a request, and the outputs that come where none is
named. Whoever builds requests of metadata alone, as perf_analyzer does, sends all of the inputs and reads all
of the outputs. What can stand instead of an input, and what is only computed where it is asked for, is in
``more_inputs`` and ``more_outputs``, which metadata leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siamcorr.errors import InvalidArgument, ModelNotFound
from siamcorr_server.inference.statistics import VERSION
from siamcorr_server.inference.v2 import open_inference_pb2 as pb

__all__ = ["PLATFORM", "Declared", "Spec", "check_version"]

PLATFORM = "siamcorr"
ANY = -1


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor: its name, the datatypes that it may have, the one to be told first, and its shape."""

    name: str
    datatypes: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """A model's tensors, and the names of its own parameters."""

    name: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    more_inputs: tuple[Spec, ...] = ()
    more_outputs: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()

    def input(self, name: str) -> Spec:
        """Return the input of that name.

        Raises:
            InvalidArgument: names ``inputs``: there is none.
        """
        known = {spec.name: spec for spec in (*self.inputs, *self.more_inputs)}
        if name not in known:
            raise InvalidArgument.found("inputs", repr(name)[:80], f"one of {', '.join(known)}")
        return known[name]

    def check_output(self, name: str) -> None:
        """Check that there is an output of that name.

        Raises:
            InvalidArgument: names ``outputs``: there is none.
        """
        known = [*(spec.name for spec in self.outputs), *self.more_outputs]
        if name not in known:
            raise InvalidArgument.found("outputs", repr(name)[:80], f"one of {', '.join(known)}")

    def metadata(self) -> pb.ModelMetadataResponse:
        """Return what ModelMetadata tells."""
        return pb.ModelMetadataResponse(
            name=self.name,
            versions=[VERSION],
            platform=PLATFORM,
            inputs=_metadata(self.inputs),
            outputs=_metadata(self.outputs),
        )

    def config(self) -> pb.ModelConfig:
        """Return what ModelConfig tells: shapes are whole, and requests of many callers share a launch."""
        return pb.ModelConfig(
            name=self.name,
            platform=PLATFORM,
            backend=PLATFORM,
            max_batch_size=0,
            input=[
                pb.ModelInput(name=spec.name, data_type=_data_type(spec), dims=spec.shape)
                for spec in self.inputs
            ],
            output=[
                pb.ModelOutput(name=spec.name, data_type=_data_type(spec), dims=spec.shape)
                for spec in self.outputs
            ],
            dynamic_batching=pb.ModelDynamicBatching(),
            model_transaction_policy=pb.ModelTransactionPolicy(decoupled=False),
        )


def check_version(version: str, field: str) -> None:
    """Check a model's version; none is the only one.

    Raises:
        ModelNotFound: names ``field``.
    """
    if version not in ("", VERSION):
        found = f"{field}: found {version!r:.80}, expected {VERSION!r}, the only one, or none"
        raise ModelNotFound(found, field=field)


def _metadata(specs: Sequence[Spec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatypes[0], shape=spec.shape)
        for spec in specs
    ]


def _data_type(spec: Spec) -> str:
    name = "STRING" if spec.datatypes[0] == "BYTES" else spec.datatypes[0]
    return f"TYPE_{name}"
