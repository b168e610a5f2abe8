"""ONNX Runtime, where it is installed: modules exported in memory, their graphs, and sessions that run them.

A graph that is to be changed once it is optimised passes through a temporary file: ONNX Runtime gives it away
in no other way.

Way rejected: torch's newer exporter. It takes 3.5 s a module instead of 0.2 s, and one more package.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import torch
from torch import nn

from siamcorr.precision import in_full_precision

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Session", "export", "in_halves", "is_available", "optimise"]

_PACKAGES = ("onnx", "onnxruntime")  # torch exports with the one, and the other runs
_ERRORS = 3  # of ONNX Runtime's log levels


class Session:
    """A graph that is ready to run, one item at a time, on the thread that calls it."""

    def __init__(self, model: bytes, *, is_optimised: bool = False) -> None:
        """Open a graph; one that is optimised runs as it is."""
        self._session = _opened(model, is_optimised=is_optimised)
        self._inputs = [taken.name for taken in self._session.get_inputs()]
        self._outputs = [made.name for made in self._session.get_outputs()]

    def __call__(self, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Return the outputs (1, ...) of inputs (1, ...), or of whatever shape the graph has them in."""
        made: list[npt.NDArray[Any]] = self._session.run(
            self._outputs, dict(zip(self._inputs, inputs, strict=True))
        )
        return made


def is_available() -> bool:
    """Return whether modules can be exported and run."""
    return all(map(find_spec, _PACKAGES))


def export(module: nn.Module, examples: Sequence[torch.Tensor]) -> bytes:
    """Return the graph of a module that takes such tensors, as it is traced."""
    file = io.BytesIO()
    with in_full_precision(examples[0].device), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the older exporter, see above
        torch.onnx.export(
            module,
            tuple(examples),
            file,  # type: ignore[arg-type]  # documented, but not declared
            input_names=[f"input{index}" for index in range(len(examples))],
            dynamo=False,
        )
    return file.getvalue()


def optimise(graph: bytes) -> ModelProto:
    """Return what ONNX Runtime makes of a graph for this machine."""
    import onnx  # noqa: PLC0415 - it takes a while, and only networks need it

    with TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        _opened(graph, write_to=path)
        return onnx.load(path)


def in_halves(model: ModelProto, names: Sequence[str]) -> tuple[ModelProto, ModelProto]:
    """Return a graph in two, of which only the second depends on the inputs of these names.

    The first takes the graph's first input. The second's inputs are the first's outputs, then ``names``.
    """
    from onnx import TensorProto, helper, utils  # noqa: PLC0415 - as above

    graph = model.graph
    [crop, *_], depending = [one.name for one in graph.input], set(names)
    independent: set[str] = set()
    handed: dict[str, None] = {}
    for node in graph.node:
        if depending.isdisjoint(node.input):
            independent.update(node.output)
        else:
            handed.update(dict.fromkeys(name for name in node.input if name in independent))
            depending.update(node.output)
    graph.value_info.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in handed)
    parts = utils.Extractor(model)
    first = parts.extract_model([crop], list(handed))
    second = parts.extract_model([*handed, *names], [one.name for one in graph.output])
    return first, second


def _opened(model: bytes, *, is_optimised: bool = False, write_to: Path | None = None) -> Any:
    import onnxruntime  # noqa: PLC0415 - it takes a while, and only networks need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if is_optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if write_to is not None:
        options.optimized_model_filepath = str(write_to)
        options.log_severity_level = _ERRORS  # it warns that the file suits this machine alone, as it shall
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
