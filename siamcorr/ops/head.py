"""The 1x1 convolution that follows a correlation: anchor scores, box offsets, fewer channels.

A head is itself the one operator: a 1x1 ``grouped`` correlation whose template all pairs share. So it is
computed by the same ways, and is as independent of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from siamcorr.errors import InvalidArgument

__all__ = ["Head", "as_head"]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """``weight`` (K, O/groups) or (K, O/groups, 1, 1), and ``bias`` (K,) or None.

    The number of groups follows from O, the channels that the head is applied to.

    Raises:
        InvalidArgument: names ``head``.

    >>> Head(torch.zeros(2, 256, 1, 1)).weight.shape
    torch.Size([2, 256])
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __post_init__(self) -> None:
        """Bring the weight to two axes and check both tensors."""
        weight = self.weight
        if not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
            raise InvalidArgument.found("head", _kind_of(weight), "a floating-point tensor as weight")
        if weight.ndim == 4 and weight.shape[2:] == (1, 1):
            weight = weight[:, :, 0, 0]
        if weight.ndim != 2 or weight.numel() == 0:
            found = f"weight {tuple(weight.shape)}"
            raise InvalidArgument.found("head", found, "(K, O/groups) or (K, O/groups, 1, 1), not empty")
        object.__setattr__(self, "weight", weight)
        bias = self.bias
        if bias is None:
            return
        if not isinstance(bias, torch.Tensor) or not bias.is_floating_point():
            raise InvalidArgument.found("head", _kind_of(bias), "a floating-point tensor as bias, or None")
        if bias.shape != (len(weight),):
            raise InvalidArgument.found("head", f"bias {tuple(bias.shape)}", f"({len(weight)},)")

    def groups(self, channels: int) -> int:
        """Return the number of groups over ``channels`` input channels.

        Raises:
            InvalidArgument: names ``head``, if the channels or the outputs do not divide.

        >>> Head(torch.zeros(4, 5)).groups(10)
        2
        """
        outputs, depth = self.weight.shape
        if channels % depth:
            expected = f"a divisor of the response's {channels} channels"
            raise InvalidArgument.found("head", f"weights for {depth} channels a group", expected)
        if outputs % (channels // depth):
            raise InvalidArgument.found(
                "head", f"{outputs} outputs", f"a multiple of {channels // depth} groups"
            )
        return channels // depth


def as_head(head: Head | torch.Tensor) -> Head:
    """Take a bare weight for a head without a bias."""
    return head if isinstance(head, Head) else Head(head)


def _kind_of(value: object) -> str:
    return f"dtype {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__
