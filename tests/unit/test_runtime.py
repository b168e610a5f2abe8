"""Runtimes: both give what the module gives, item by item, with the same bits in any company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from siamcorr.embed import Workers, onnx_session, runtime
from siamcorr.embed.runtime import Runtime, runtime_of

EXAMPLES = torch.zeros(1, 3, 17, 17), torch.zeros(1, 8, 9, 9)


class Net(nn.Module):
    """Two inputs, two outputs, among them convolutions, a mean and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.first, self.second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 1)
            self.linear = nn.Linear(8, 4)

    def forward(self, crop: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        joined = torch.relu(self.first(crop)) + self.second(features)
        return joined, self.linear(joined.mean((2, 3)))


@pytest.fixture(params=["onnxruntime", "torch"])
def runtime_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def made(
    name: str, monkeypatch: pytest.MonkeyPatch, module: nn.Module, examples: Sequence[torch.Tensor]
) -> Runtime:
    if name == "torch":
        monkeypatch.setattr(onnx_session, "find_spec", lambda _: None)
    run = runtime_of(module, examples, Workers(2))
    assert (type(run).__name__ == "_Torch") == (name == "torch")
    return run


@pytest.fixture
def run(runtime_name: str, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    return made(runtime_name, monkeypatch, Net().eval().requires_grad_(False), EXAMPLES)


def random_inputs(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(count, *example.shape[1:], generator=generator) for example in EXAMPLES]


def test_it_gives_what_the_module_gives(run: Runtime) -> None:
    inputs = random_inputs(5)
    with torch.no_grad():
        expected = Net()(*inputs)
    assert list(run.shapes) == [(8, 9, 9), (4,)]
    for found, right in zip(run(*inputs), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def test_an_item_has_the_same_bits_in_any_company(run: Runtime) -> None:
    inputs = random_inputs(7)
    together = run(*inputs)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    for found, right in zip(run(*(tensor[order] for tensor in inputs)), together, strict=True):
        assert torch.equal(found, right[order])
    for found, right in zip(run(*(tensor[4:5] for tensor in inputs)), together, strict=True):
        assert torch.equal(found, right[4:5])


def test_an_output_that_is_the_first_channels_of_another_is_not_copied(
    runtime_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parted(nn.Module):
        def forward(self, crop: torch.Tensor) -> tuple[torch.Tensor, ...]:
            doubled = crop * 2
            return doubled[:, :2], crop + 1, doubled, doubled[:, 1:], doubled[:, :, :3]

    crops = random_inputs(4)[0]
    run = made(runtime_name, monkeypatch, Parted(), [crops[:1]])
    first, other, whole, *rest = run(crops)
    assert first.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    for found, right in zip((first, other, whole, *rest), Parted()(crops), strict=True):
        assert torch.equal(found, right)
    storages = {output.untyped_storage().data_ptr() for output in (other, whole, *rest)}
    assert len(storages) == 4


def test_no_items_give_none(run: Runtime) -> None:
    assert [tuple(output.shape) for output in run(*random_inputs(0))] == [(0, 8, 9, 9), (0, 4)]


def test_a_callers_autocast_does_not_lower_the_precision(run: Runtime) -> None:
    inputs = random_inputs(2)
    expected = run(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(*inputs)
    assert all(map(torch.equal, found, expected))


def test_multiply_adds_are_those_of_convolutions_and_linear_layers(run: Runtime) -> None:
    assert run.multiply_adds == 8 * 81 * 27 + 8 * 81 * 8 + 4 * 8


def test_a_module_is_run_as_it_is_used_and_not_as_it_is_trained(
    runtime_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = nn.BatchNorm2d(3).requires_grad_(False)

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, crop: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.norm(crop),)

    crops = torch.full((2, 3, 4, 4), 5.0)
    (found,) = made(runtime_name, monkeypatch, Normed(), [crops[:1]])(crops)
    torch.testing.assert_close(found, crops, rtol=1e-4, atol=0)
    assert torch.equal(norm.state_dict()["running_mean"], torch.zeros(3))


def test_off_the_cpu_one_thread_runs_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "in_full_precision", lambda _: nullcontext())  # it knows no meta device
    workers = Workers(2)
    monkeypatch.setattr(workers, "each", lambda *_: pytest.fail("threads share the items"))
    examples = [example.to("meta") for example in EXAMPLES]
    run = runtime_of(Net().to("meta").requires_grad_(False), examples, workers)
    outputs = run(*(example.expand(5, -1, -1, -1) for example in examples))
    assert [tuple(output.shape) for output in outputs] == [(5, 8, 9, 9), (5, 4)]


@pytest.mark.parametrize("broken", [lambda: runtime_of(nn.Conv2d(3, 1, 40), EXAMPLES[:1], Workers(1))])
def test_a_module_that_cannot_run_fails_at_once(broken: Callable[[], Runtime]) -> None:
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
        broken()
