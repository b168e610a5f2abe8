"""Where a number's last bits could depend on more than the numbers: what torch is told before it computes.

Operators and embedders compute under :func:`in_full_precision`, so that neither the caller's settings nor the
thread that calls decides about bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch

__all__ = ["in_full_precision"]


_NOTHING = nullcontext()


def in_full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Keep away gradients, and whatever would compute in less than the dtype at hand.

    A thread that is new to torch multiplies on all cores, whatever ``torch.set_num_threads`` was told, until
    it asks for the number of threads. On other numbers of threads sums are rounded elsewhere.

    >>> with torch.autocast("cpu"), in_full_precision(torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    torch.get_num_threads()
    is_kept_away = not torch.is_grad_enabled() and not torch.is_autocast_enabled(device.type)
    return _NOTHING if is_kept_away and device.type == "cpu" else _kept_away(device)


@contextmanager
def _kept_away(device: torch.device) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if torch.is_autocast_enabled(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            cudnn = torch.backends.cudnn
            stack.enter_context(cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False))
        yield
