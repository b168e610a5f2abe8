"""Templates in other forms: the same answers, whatever is kept, and no more than fits is kept."""

from __future__ import annotations

import pytest
import torch

from banks import CPU
from siamcorr.ops import Correlator
from siamcorr.prepared_templates import PreparedTemplates
from siamcorr.resident import Lease
from siamcorr.shapes import Correlation
from siamcorr.slabs import Row, RowForm, Slab

FORM = RowForm((6, 3, 3), torch.float32)
UPCHANNEL = Correlator(Correlation("upchannel"), (6, 3, 3), (2, 7, 7))
NAIVE = Correlator(Correlation(), (6, 3, 3), (6, 7, 7))


@pytest.fixture
def leases() -> list[Lease]:
    slab = Slab(FORM, 4, 1, CPU)
    slab.tensor.copy_(torch.randn(4, *FORM.shape, generator=torch.Generator().manual_seed(1)))
    return [Lease(f"tpl_{index}", 1, {"features": Row(slab, index)}, None) for index in range(4)]


def size_of(correlator: Correlator) -> int:
    assert correlator.form is not None
    return correlator.form.size_bytes


def test_what_needs_no_other_form_is_taken_from_the_bank_itself(leases: list[Lease]) -> None:
    assert NAIVE.form is None
    prepared = PreparedTemplates(1 << 20)
    rows = prepared.rows(leases, "features", NAIVE)
    assert [row.data_ptr() for row in rows] == [lease.rows["features"].view.data_ptr() for lease in leases]
    assert (len(prepared), prepared.bytes_used) == (0, 0)


def test_a_form_is_made_once_a_generation(leases: list[Lease]) -> None:
    prepared = PreparedTemplates(1 << 20)
    first, again = (prepared.rows(leases, "features", UPCHANNEL) for _ in range(2))
    assert all(one is other for one, other in zip(first, again, strict=True))
    stored = torch.stack([lease.rows["features"].view for lease in leases])
    assert torch.equal(torch.stack(first), UPCHANNEL.prepare(stored))
    updated = Lease(leases[0].handle, 2, leases[1].rows, None)
    (new,) = prepared.rows([updated], "features", UPCHANNEL)
    assert torch.equal(new, first[1])
    assert (len(prepared), prepared.bytes_used) == (5, 5 * size_of(UPCHANNEL))


def test_the_least_recently_used_goes_when_room_is_needed(leases: list[Lease]) -> None:
    prepared = PreparedTemplates(2 * size_of(UPCHANNEL) + 1)
    one, two, three, _ = leases
    (kept, lost) = prepared.rows([one, two], "features", UPCHANNEL)
    prepared.rows([one], "features", UPCHANNEL)
    prepared.rows([three], "features", UPCHANNEL)
    assert (len(prepared), prepared.bytes_used) == (2, 2 * size_of(UPCHANNEL))
    assert prepared.rows([one], "features", UPCHANNEL)[0] is kept
    (made_again,) = prepared.rows([two], "features", UPCHANNEL)
    assert made_again is not lost
    assert torch.equal(made_again, lost)


@pytest.mark.parametrize("budget_bytes", [0, 1])
def test_without_room_nothing_is_kept_and_all_is_answered(leases: list[Lease], budget_bytes: int) -> None:
    prepared = PreparedTemplates(budget_bytes)
    rows = prepared.rows(leases, "features", UPCHANNEL)
    assert torch.equal(
        torch.stack(rows), torch.stack(PreparedTemplates(1 << 20).rows(leases, "features", UPCHANNEL))
    )
    assert (len(prepared), prepared.bytes_used) == (0, 0)
