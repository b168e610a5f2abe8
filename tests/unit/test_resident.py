"""The device's work on resident tensors: write and blend, without a bank."""

from __future__ import annotations

import pytest
import torch

from siamcorr.errors import InternalError, InvalidArgument
from siamcorr.resident import Lease, Reservation, blend, forms_of, specs_of, write
from siamcorr.slabs import Slabs


def lease(tensors: dict[str, torch.Tensor], slabs: Slabs | None = None) -> Lease:
    """Store ``tensors`` as a template would be, in slabs of its own or shared ones."""
    forms = forms_of(specs_of(tensors))
    rows = (slabs or Slabs(torch.device("cpu"))).allocate(list(forms.values()), 1 << 30)
    reservation = Reservation(dict(zip(forms, rows or [], strict=True)))
    write(reservation, tensors)
    assert reservation.written
    return Lease("tpl_x", 1, reservation.rows, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rate", [0.005, 0.5])
def test_a_blend_is_computed_wide_and_rounded_once(dtype: torch.dtype, rate: float) -> None:
    old, new = torch.randn(2, 64, 5, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    blended = blend(lease({"z": old}), {"z": new}, rate)["z"]
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert torch.equal(blended, ((1 - rate) * old.to(wide) + rate * new.to(wide)).to(dtype))
    assert blended.dtype == dtype


def test_a_small_rate_moves_a_half_precision_template() -> None:
    old, new = torch.ones(4, dtype=torch.float16), torch.full((4,), 3.0, dtype=torch.float16)
    blended = blend(lease({"z": old}), {"z": new}, 0.001)["z"]
    assert torch.equal(blended, torch.full((4,), 1.002).half())


def test_a_blend_at_rate_one_replaces_even_what_is_not_finite() -> None:
    new = {"z": torch.ones(4)}
    assert torch.equal(blend(lease({"z": torch.full((4,), torch.nan)}), new, 1.0)["z"], new["z"])


def test_a_blend_leaves_the_template_and_needs_its_form() -> None:
    one = lease({"z": torch.ones(4)})
    blend(one, {"z": torch.zeros(4)}, 0.5)
    assert torch.equal(one.rows["z"].view, torch.ones(4))
    with pytest.raises(InvalidArgument, match="the template's float32"):
        blend(one, {"z": torch.zeros(4, dtype=torch.float16)}, 0.5)


def test_what_is_written_is_what_was_reserved_and_carries_no_gradient() -> None:
    reserved = Reservation(lease({"z": torch.ones(4)}).rows)
    with pytest.raises(InternalError, match="not those reserved"):
        write(reserved, {"z": torch.ones(5)})
    with pytest.raises(InternalError, match="not those reserved"):
        write(reserved, {})
    assert not reserved.written
    write(reserved, {"z": torch.full((4,), 2.0, requires_grad=True)})
    assert not reserved.rows["z"].view.requires_grad
    assert reserved.rows["z"].view.tolist() == [2.0] * 4
