"""What runs a network's layers: ONNX Runtime on CPUs where it is installed, torch elsewhere.

Rules:

- Items of a batch run one by one, shared among threads: an item's numbers have the same bits in any company,
  because none of these libraries promises that for a batch. No operator uses more than one thread.
- Off the CPU one thread gives the orders: they wait in one queue there, and what keeps cuDNN to full
  precision is set for the whole process, so a thread that is done would take it from one that is not.
- Both runtimes have one interface, and are given the same module. For ONNX Runtime it is exported once. Where
  its graph cannot be rewritten it runs as it was exported.
- An output that is the first channels of another one is never copied beside it.

What ONNX Runtime is slow with is exported in another form: see :mod:`siamcorr.embed.exported`. Before that,
measured with NanoTrack v3's backbone, a crop of 255 pixels, two cores (AMD Zen 4): torch 2.7 ms one by one
and 2.2 ms in batches; ONNX Runtime 1.7 ms one by one, 1.8 ms in batches of 2 to 8, 2.1 ms in one of 32, all
on one thread; 0.92 ms with both cores one by one, 0.90 to 1.1 ms with two threads an operator.

Ways rejected:

- A batch with two threads an operator: no faster, and the threads wait actively for one another.
- OpenVINO: as fast as ONNX Runtime within 5 %, and no faster in an engine, where a third thread feeds it.
- XNNPACK, by ExecuTorch: 1.1 times slower for NanoTrack's heads.
- Outputs bound to their places in the batch, which saves a copy: binding takes as long, within 2 %.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import nn

from siamcorr.embed.exported import has_scales, scales_as_weights
from siamcorr.embed.onnx_session import Session, export, is_available, optimise
from siamcorr.embed.workers import Workers
from siamcorr.precision import in_full_precision

__all__ = ["Measured", "Runtime", "Selected", "measured", "runtime_of"]


_RunItem: TypeAlias = Callable[[int], None]

_log = logging.getLogger(__name__)


class Runtime(ABC):
    """A module, ready to run.

    Attributes:
        shapes: of the outputs of one item.
        multiply_adds: of one item, in convolutions and linear layers.
    """

    def __init__(self, known: Measured, workers: Workers) -> None:
        """Take what was measured, and who runs it."""
        self.shapes, self._wholes, self.multiply_adds = known
        self._distinct = sorted(set(self._wholes))
        self._workers = workers

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs (N, ...) float32 of inputs (N, ...), item by item."""
        outputs = self.outputs(len(inputs[0]), inputs[0].device)
        run = self.item_of(inputs, outputs)
        if inputs[0].device.type == "cpu":
            self._workers.each(run, len(inputs[0]))
        else:
            for index in range(len(inputs[0])):
                run(index)
        return outputs

    def outputs(self, items: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Return memory for the outputs of so many items; first channels of another one are a view of it."""
        wholes = {whole: torch.empty(items, *self.shapes[whole], device=device) for whole in self._distinct}
        return tuple(wholes[at][:, : shape[0]] for at, shape in zip(self._wholes, self.shapes, strict=True))

    @abstractmethod
    def item_of(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> _RunItem:
        """Return what computes the outputs of one item, by its index, on the thread that calls it."""


class Selected(nn.Module):
    """Some of a module's outputs, by their indices: what only the others need is not exported."""

    def __init__(self, module: nn.Module, indices: Sequence[int]) -> None:
        """Take which."""
        super().__init__()
        self.module, self.indices = module, indices

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return those."""
        made = self.module(*inputs)
        return tuple(made[index] for index in self.indices)


def runtime_of(module: nn.Module, examples: Sequence[torch.Tensor], workers: Workers) -> Runtime:
    """Return what runs ``module`` on the device of ``examples``: one item (1, ...) for each of its inputs."""
    known = measured(module.eval(), examples)
    if examples[0].device.type == "cpu" and is_available():
        return _OnnxRuntime(module, examples, known, workers)
    return _Torch(module, known, workers)


class _Torch(Runtime):
    """torch, eagerly. Layers are laid out with their channels last, which is faster on CPUs."""

    def __init__(self, module: nn.Module, known: Measured, workers: Workers) -> None:
        super().__init__(known, workers)
        self._module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def item_of(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> _RunItem:
        def run(index: int) -> None:
            with torch.inference_mode(), in_full_precision(inputs[0].device):
                results = self._module(*(tensor[index : index + 1] for tensor in inputs))
                for output in self._distinct:
                    outputs[output][index] = results[output][0]

        return run


class _OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU."""

    def __init__(
        self, module: nn.Module, examples: Sequence[torch.Tensor], known: Measured, workers: Workers
    ) -> None:
        super().__init__(known, workers)
        self._session = _session(export(Selected(module, self._distinct), examples))

    def item_of(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> _RunItem:
        taken = [tensor.numpy() for tensor in inputs]
        given = [outputs[index].numpy() for index in self._distinct]

        def run(index: int) -> None:
            results = self._session([array[index : index + 1] for array in taken])
            for array, result in zip(given, results, strict=True):
                array[index] = result[0]

        return run


def _session(graph: bytes) -> Session:
    """Return what runs an exported module: as it was optimised, but for what is better said afterwards."""
    import onnx  # noqa: PLC0415 - it takes a while, and only networks need it

    if has_scales(onnx.load_from_string(graph)):
        try:
            model = optimise(graph)
            if scales_as_weights(model):
                return Session(model.SerializeToString(), is_optimised=True)
        except Exception:  # no room for a file, or a graph that another version makes or refuses
            _log.warning("a network runs in a slower form", exc_info=True)
    return Session(graph)


class Measured(NamedTuple):
    """The shapes of one item's outputs; which output each is the first channels of, or itself; its work."""

    shapes: Sequence[tuple[int, ...]]
    wholes: Sequence[int]
    multiply_adds: int


def measured(module: nn.Module, examples: Sequence[torch.Tensor]) -> Measured:
    """Return what is to be known of one item, by running it once."""
    counts: list[int] = []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            counts.append(output.numel() * layer.weight[0].numel())

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    try:
        with torch.no_grad(), in_full_precision(examples[0].device):
            outputs = module(*examples)
    finally:
        for hook in hooks:
            hook.remove()
    shapes = [tuple(output.shape[1:]) for output in outputs]
    return Measured(shapes, [_whole(output, outputs) for output in outputs], sum(counts))


def _whole(part: torch.Tensor, outputs: Sequence[torch.Tensor]) -> int:
    """Return which of the outputs ``part`` is the first channels of: another one, or itself."""
    for index, whole in enumerate(outputs):
        is_start = part._base is whole and part.storage_offset() == 0 and whole._base is None
        if is_start and part.shape[2:] == whole.shape[2:] and part.stride() == whole.stride():
            return index
    return next(index for index, output in enumerate(outputs) if output is part)
