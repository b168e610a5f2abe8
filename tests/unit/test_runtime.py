"""Runtimes: both give what the module gives, item by item, with the same bits in any company."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from siamcorr.embed import Workers, runtime
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
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    if request.param == "torch":
        monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    made = runtime_of(Net().eval().requires_grad_(False), EXAMPLES, Workers(2))
    assert (type(made).__name__ == "_Torch") == (request.param == "torch")
    return made


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


@pytest.mark.parametrize("broken", [lambda: runtime_of(nn.Conv2d(3, 1, 40), EXAMPLES[:1], Workers(1))])
def test_a_module_that_cannot_run_fails_at_once(broken: Callable[[], Runtime]) -> None:
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
        broken()
