"""Small banks, and short words for what tests do with them."""

from __future__ import annotations

import torch

from siamcorr.answers import Template
from siamcorr.bank import Bank
from siamcorr.resident import Origin, specs_of, write

__all__ = ["CPU", "ROW_BYTES", "create", "features", "update"]

CPU = torch.device("cpu")
ROW_BYTES = 64


def features(value: float = 1.0, shape: tuple[int, ...] = (4, 2, 2)) -> dict[str, torch.Tensor]:
    return {"features": torch.full(shape, value)}


def create(bank: Bank, tensors: dict[str, torch.Tensor] | None = None, now_s: float = 0.0) -> Template:
    named = tensors or features()
    reservation = bank.reserve(specs_of(named), now_s)
    write(reservation, named)
    return bank.publish(reservation, now_s, origin=Origin("hog", (1, 2, 3)))


def update(bank: Bank, handle: str, value: float, now_s: float = 0.0) -> Template:
    reservation = bank.reserve(specs_of(features()), now_s)
    write(reservation, features(value))
    return bank.publish_update(handle, reservation, now_s)
