"""Public trackers' own correlation code, reproduced: by the planner's way and by the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from golden import OPERATORS, GoldenOperator
from siamcorr.ops import xcorr, xcorr_reference


@pytest.mark.parametrize("operator", [xcorr, xcorr_reference])
def test_a_public_trackers_responses_are_reproduced(
    golden_operator: GoldenOperator, operator: Callable[..., torch.Tensor]
) -> None:
    template, search = torch.from_numpy(golden_operator.template), torch.from_numpy(golden_operator.search)
    expected = torch.from_numpy(golden_operator.response).double()
    response = operator(template, search, **golden_operator.keywords)
    assert response.shape == expected.shape
    assert (response - expected).abs().max() < 1e-5 * expected.abs().max()


def test_no_golden_file_is_left_out(shared: Path) -> None:
    assert {path.stem for path in (shared / "golden" / "operators").glob("*.npz")} == set(OPERATORS)
