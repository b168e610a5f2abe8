"""Tensors of resident templates: what is leased and reserved, and the device's work on it.

:func:`write` and :func:`blend` only touch rows that a reservation or lease holds, and none of the bank's
books: the device's thread calls them without the lock. A launch reads the rows of its leases where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch

from siamcorr.errors import InternalError, InvalidArgument
from siamcorr.slabs import Row, RowForm

__all__ = [
    "Background",
    "Lease",
    "Origin",
    "Reservation",
    "Specs",
    "blend",
    "check_same_form",
    "forms_of",
    "specs_of",
    "write",
]

Specs: TypeAlias = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""What a template is made of: name -> (shape, dtype)."""


Background: TypeAlias = tuple[int, int, int]
"""A colour, BGR: the mean of the frame that a template was made from. Its search regions have it outside."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that made a template from an image, and that image's mean colour."""

    model: str
    background: Background


@dataclass(slots=True, eq=False)
class Reservation:
    """Rows taken for a template or generation that nobody can see yet."""

    rows: Mapping[str, Row]
    written: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """One generation of one template, held until it is released, whatever happens to the handle.

    ``rows[name].form`` gives a tensor's shape and dtype without touching the device. ``origin`` is
    None where the template came as features.
    """

    handle: str
    generation: int
    rows: Mapping[str, Row]
    origin: Origin | None = None

    @property
    def model(self) -> str | None:
        """The model that made the template from an image, or None."""
        return None if self.origin is None else self.origin.model

    def check_made_by(self, model: str | None) -> None:
        """Check that no other model made the template: features of the same shapes would mean other things.

        Raises:
            InvalidArgument: names ``model``.
        """
        if self.model not in (None, model):
            raise InvalidArgument.found("model", repr(model)[:80], f"{self.model}, which made the template")

    def check_same_form(self, specs: Specs) -> None:
        """Check that an update has the template's names, shapes and dtypes.

        Raises:
            InvalidArgument: ``features`` differ from the template's.
        """
        check_same_form(self.rows, forms_of(specs))


def specs_of(tensors: Mapping[str, torch.Tensor]) -> Specs:
    """Describe tensors for a reservation.

    >>> specs_of({"features": torch.zeros(4, 2, 2)})
    {'features': ((4, 2, 2), torch.float32)}
    """
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def forms_of(specs: Specs) -> dict[str, RowForm]:
    """Check specs and turn them into row forms.

    Raises:
        InvalidArgument: ``features`` are none, have an empty axis, or are no floating-point numbers.
    """
    if not specs:
        raise InvalidArgument.found("features", "no tensors", "1 or more")
    for name, (shape, dtype) in specs.items():
        if not dtype.is_floating_point:
            raise InvalidArgument.found(f"features[{name!r}]", f"dtype {dtype}", "a floating-point dtype")
        if any(size < 1 for size in shape):
            raise InvalidArgument.found(f"features[{name!r}]", f"shape {tuple(shape)}", "no zero sizes")
    return {name: RowForm(tuple(shape), dtype) for name, (shape, dtype) in specs.items()}


def check_same_form(rows: Mapping[str, Row], forms: Mapping[str, RowForm]) -> None:
    """Check that ``forms`` are those of ``rows``, name by name.

    Raises:
        InvalidArgument: ``features`` differ.
    """
    if forms.keys() != rows.keys():
        raise InvalidArgument.found("features", f"tensors {sorted(forms)}", f"the template's {sorted(rows)}")
    for name, row in rows.items():
        if forms[name] != row.form:
            found, expected = (
                f"{str(form.dtype).removeprefix('torch.')} {form.shape}" for form in (forms[name], row.form)
            )
            raise InvalidArgument.found("features", f"{name} of {found}", f"the template's {expected}")


def write(reservation: Reservation, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy ``tensors`` into the reserved rows, from whatever device they are on.

    Raises:
        InternalError: their names, shapes or dtypes are not those that were reserved.
    """
    try:
        check_same_form(reservation.rows, forms_of(specs_of(tensors)))
    except InvalidArgument as error:
        raise InternalError(f"written tensors are not those reserved: {error}") from error
    for name, tensor in tensors.items():
        reservation.rows[name].view.copy_(tensor.detach())
    reservation.written = True


def blend(lease: Lease, tensors: Mapping[str, torch.Tensor], rate: float) -> dict[str, torch.Tensor]:
    """Return ``(1 - rate) * z + rate * z2`` for each tensor z of the leased generation and z2 of ``tensors``.

    It is computed in float32 (float64 for float64) and rounded once to the stored dtype: the running average
    of SiamFC's descendants (CFNet, Valmadre et al., CVPR 2017). Rate 1 is z2 itself, whatever z holds. Two
    blends of one template must follow one another: lease, blend, write and publish the one before the lease
    of the other, or one of them is lost.

    Raises:
        InvalidArgument: names, shapes or dtypes of ``features`` are not those of the template.
    """
    lease.check_same_form(specs_of(tensors))
    if rate == 1:
        return dict(tensors)
    return {name: _blend(lease.rows[name].view, new, rate) for name, new in tensors.items()}


def _blend(old: torch.Tensor, new: torch.Tensor, rate: float) -> torch.Tensor:
    wide = torch.promote_types(old.dtype, torch.float32)
    return (old.to(wide) * (1 - rate) + new.to(wide) * rate).to(old.dtype)
