"""``xcorr``: every kind by its published definition, which meets which, and what may come in."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch

from siamcorr.ops import xcorr, xcorr_reference

Array: TypeAlias = npt.NDArray[np.float64]
Operator: TypeAlias = Callable[..., torch.Tensor]

pytestmark = pytest.mark.usefixtures("one_thread")

OPERATORS = pytest.mark.parametrize("operator", [xcorr, xcorr_reference])


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def einsum(subscripts: str, *operands: Array) -> Array:
    result: Array = np.einsum(subscripts, *operands)
    return result


def windows(search: Array, template: Array) -> Array:
    """Return (C, H', W', h, w): what the template sees at each position."""
    seen: Array = np.lib.stride_tricks.sliding_window_view(search, template.shape[-2:], axis=(1, 2))
    return seen


def naive(template: Array, search: Array) -> Array:
    return einsum("chw,cyxhw->yx", template, windows(search, template))[None]


def depthwise(template: Array, search: Array) -> Array:
    return einsum("chw,cyxhw->cyx", template, windows(search, template))


def upchannel(template: Array, search: Array) -> Array:
    parts = np.split(template, len(template) // len(search))
    return np.concatenate([naive(part, search) for part in parts])


def groupwise(template: Array, search: Array) -> Array:
    pairs = zip(np.split(template, 3), np.split(search, 3), strict=True)
    return np.concatenate([naive(*pair) for pair in pairs])


def pixelwise(template: Array, search: Array) -> Array:
    return einsum("ch,cyx->hyx", template.reshape(len(template), -1), search)


def grouped(template: Array, search: Array) -> Array:
    regions = np.split(search, 3)
    return np.concatenate([naive(one, regions[index // 2]) for index, one in enumerate(template)])


@OPERATORS
@pytest.mark.parametrize(
    ("definition", "stored", "settings"),
    [
        (naive, (6, 3, 2), {}),
        (depthwise, (6, 3, 2), {}),
        (upchannel, (24, 3, 2), {"k": 4}),
        (groupwise, (6, 3, 2), {"groups": 3}),
        (pixelwise, (6, 3, 2), {}),
        (grouped, (6, 2, 3, 2), {"groups": 3}),
    ],
)
def test_a_kind_is_what_its_paper_says(
    definition: Callable[[Array, Array], Array],
    stored: tuple[int, ...],
    settings: dict[str, int],
    operator: Operator,
) -> None:
    template, search = random(2, *stored), random(2, 6, 7, 9, seed=1)
    response = operator(template, search, definition.__name__, **settings)
    pairs = zip(template.double().numpy(), search.double().numpy(), strict=True)
    np.testing.assert_allclose(response, np.stack([definition(*pair) for pair in pairs]), atol=2e-5)


@OPERATORS
def test_padding_stride_and_dilation_are_row_and_column(operator: Operator) -> None:
    template, search = random(1, 4, 3, 2), random(1, 4, 9, 11, seed=1)
    response = operator(template, search, "depthwise", padding=(1, 2), stride=(2, 3), dilation=(2, 4))
    spread = np.zeros((4, 5, 5))
    spread[:, ::2, ::4] = template[0]
    padded = np.pad(search[0].double().numpy(), ((0, 0), (1, 1), (2, 2)))
    np.testing.assert_allclose(response[0], depthwise(spread, padded)[:, ::2, ::3], atol=1e-5)


def test_the_reference_takes_the_same_arguments() -> None:
    taken, of_xcorr = (dict(inspect.signature(operator).parameters) for operator in (xcorr_reference, xcorr))
    del taken["template"], of_xcorr["template"]  # only xcorr takes prepared ones
    assert taken == of_xcorr


def test_the_reference_owes_nothing_to_the_routines_it_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    template, search, head = random(2, 4, 3, 3), random(2, 4, 7, 7), random(2, 4)
    expected = xcorr_reference(template, search, "depthwise", head=head)
    for owner, routine in ((torch.nn.functional, "conv2d"), (torch, "bmm"), (torch, "einsum")):
        monkeypatch.setattr(owner, routine, None)
    assert torch.equal(xcorr_reference(template, search, "depthwise", head=head), expected)


@OPERATORS
@pytest.mark.parametrize(
    ("templates", "regions", "pairs", "expected"),
    [
        (3, 3, None, [(0, 0), (1, 1), (2, 2)]),
        (1, 3, None, [(0, 0), (0, 1), (0, 2)]),
        (3, 1, None, [(0, 0), (1, 0), (2, 0)]),
        (2, 4, ([0, 1, 0, 1], range(4)), [(0, 0), (1, 1), (0, 2), (1, 3)]),
        (3, 2, ([0, 1, 2] * 2, [0] * 3 + [1] * 3), [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]),
        (5, 4, ([4, 0, 4], (3, 3, 1)), [(4, 3), (0, 3), (4, 1)]),
        (5, 4, [torch.tensor([2, 2]), np.array([1, 1])], [(2, 1), (2, 1)]),
    ],
    ids=["i with i", "one template", "one region", "modulo", "all pairs", "out of order", "repeated"],
)
def test_pairs_say_which_template_meets_which_search_region(
    templates: int, regions: int, pairs: Any, expected: list[tuple[int, int]], operator: Operator
) -> None:
    template, search = random(templates, 5, 3, 3), random(regions, 5, 8, 8, seed=1)
    response = operator(template, search, pairs=pairs)
    assert len(response) == len(expected)
    for one, (z, x) in zip(response, expected, strict=True):
        torch.testing.assert_close(one, operator(template[z : z + 1], search[x : x + 1])[0])


@pytest.mark.parametrize(
    ("template_dtype", "search_dtype", "expected"),
    [
        (torch.float32, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.float64, torch.float64),
    ],
)
def test_halves_are_widened_first(
    template_dtype: torch.dtype, search_dtype: torch.dtype, expected: torch.dtype
) -> None:
    template, search = random(2, 4, 3, 3, dtype=template_dtype), random(2, 4, 6, 6, dtype=search_dtype)
    response = xcorr(template, search, bias=torch.ones(1, dtype=torch.float64))
    assert response.dtype == expected
    assert torch.equal(response, xcorr(template.to(expected), search.to(expected), bias=1))
    assert xcorr_reference(template, search).dtype == torch.float64


@pytest.mark.parametrize(("kind", "channels"), [("naive", 1), ("depthwise", 16)])
def test_an_autocast_region_does_not_lower_the_precision(kind: str, channels: int) -> None:
    template, search, head = random(2, 16, 3, 3), random(2, 16, 9, 9), random(3, channels)
    expected = xcorr(template, search, kind, head=head)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(xcorr(template, search, kind, head=head), expected)


@OPERATORS
@pytest.mark.parametrize("kind", ["naive", "depthwise", "pixelwise"])
def test_any_layout_in_memory_gives_the_same(kind: str, operator: Operator) -> None:
    template, search = random(3, 6, 4, 5), random(3, 6, 9, 8, seed=1)
    expected = operator(template, search, kind)
    for other in (
        lambda tensor: tensor.contiguous(memory_format=torch.channels_last),
        lambda tensor: tensor.mT.contiguous().mT,
        lambda tensor: torch.stack([tensor, tensor], -1)[..., 1],
        lambda tensor: tensor.flip(0).flip(0),
    ):
        assert torch.equal(operator(other(template), other(search), kind), expected)


def test_inputs_are_left_as_they_were_and_no_gradient_is_kept() -> None:
    template, search = random(2, 4, 1, 1).requires_grad_(), random(2, 4, 6, 6).requires_grad_()
    before = template.clone(), search.clone()
    response = xcorr(template, search, "pixelwise", gain=2, bias=1, head=torch.nn.Parameter(torch.ones(1, 1)))
    assert not response.requires_grad
    response.zero_()
    assert torch.equal(template, before[0])
    assert torch.equal(search, before[1])


@OPERATORS
@pytest.mark.parametrize("kind", ["naive", "depthwise"])
def test_a_nan_passes_to_the_cells_that_see_it(kind: str, operator: Operator) -> None:
    search = torch.zeros(1, 2, 6, 6)
    search[0, 0, 0, 5] = torch.nan
    response = operator(torch.ones(1, 2, 3, 3), search, kind)
    seen = torch.zeros(response.shape, dtype=torch.bool)
    seen[0, 0, 0, 3] = True
    assert torch.equal(response.isnan(), seen)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", ["naive", "depthwise", "pixelwise"])
@pytest.mark.parametrize("size", [8, 40])
def test_a_gpu_gives_the_same_in_full_precision(kind: str, size: int) -> None:
    template, search = random(3, 64, 7, 7), random(3, 64, size, size)
    expected = xcorr_reference(template, search, kind)
    response = xcorr(template.cuda(), search.cuda(), kind).cpu()
    assert (response - expected).abs().max() < 1e-5 * expected.abs().max()


def test_without_torch_the_error_names_the_extra() -> None:
    without_torch = "import sys; sys.modules['torch'] = None; import siamcorr.ops"
    ran = subprocess.run([sys.executable, "-c", without_torch], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "ImportError: siamcorr.ops needs torch: pip install siamcorr[engine]" in ran.stderr
