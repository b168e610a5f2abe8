"""``xcorr``: templates slid over search regions, for all kinds, many pairs at once.

Rules:

- All that can be wrong is refused first, by name; see :mod:`siamcorr.ops.arguments`.
- A pair's answer has the same bits alone, in any batch, at any place in it and beside any neighbours. Another
  machine, another version of torch or another number of threads may round differently.
- float16 and bfloat16 are widened first: products and sums are float32, and so is the answer. Neither an
  autocast region around the call nor a GPU's TF32 convolutions change that.
- ``xcorr_reference`` is the same call with each step in float64 and in loops. They differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from siamcorr.arguments import as_number
from siamcorr.ops.arguments import Indices, as_offset, common_dtype, paired, resolve_batches
from siamcorr.ops.fold import fold, fold_offset
from siamcorr.ops.head import Head, as_head
from siamcorr.ops.operands import Operands, Way, used_rows, view_as_weight
from siamcorr.ops.planner import planned
from siamcorr.ops.reference import reference
from siamcorr.precision import in_full_precision
from siamcorr.shapes import Correlation, IntPair, resolve

__all__ = ["correlate", "xcorr", "xcorr_reference"]


def xcorr(
    template: torch.Tensor,
    search: torch.Tensor,
    kind: str = "naive",
    *,
    groups: int | None = None,
    k: int | None = None,
    padding: IntPair = 0,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    gain: float = 1.0,
    bias: float | Sequence[float] | torch.Tensor | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: Head | torch.Tensor | None = None,
) -> torch.Tensor:
    """Correlate pairs of template and search region: ``head(gain * correlation + bias)``.

    Args:
        template: (T, C, h, w); (T, k*C, h, w) for ``upchannel``; (T, O, C/g, h, w) for ``grouped``. float32,
            float16, bfloat16 or float64.
        search: (S, C, H, W), one of the same dtypes, on the same device.
        kind: one of :data:`siamcorr.shapes.KINDS`, which also says what comes out.
        groups: for ``groupwise`` and ``grouped``.
        k: for ``upchannel``: checked against the channels.
        padding: zeros around the search region, in cells: an integer, or (row, col).
        stride: in cells, as ``padding``.
        dilation: in cells, as ``padding``.
        gain: a finite number. SiamFC takes 1e-3.
        bias: a number, or (O,) numbers.
        pairs: (template indices, search indices) of one length B. Without it T and S are equal and i meets i,
            or one of them is 1 and is shared.
        head: a :class:`Head`, or its weight.

    Returns:
        (B, O, H', W'), or (B, K, H', W') with a head; float32, or float64 if template or search is. It has
        no gradient.

    Raises:
        InvalidArgument: names the argument, what was found and what was expected.

    >>> z, x = torch.ones(1, 256, 6, 6), torch.ones(3, 256, 22, 22)
    >>> response = xcorr(z, x, gain=1e-3)                                # SiamFC: one template, three scales
    >>> response.shape, round(response[0, 0, 0, 0].item(), 3)
    (torch.Size([3, 1, 17, 17]), 9.216)
    >>> xcorr(torch.ones(5, 256, 6, 6), x, pairs=([0, 4], [2, 2]), kind="depthwise").shape
    torch.Size([2, 256, 17, 17])
    """
    correlation = Correlation(kind, groups=groups, k=k, padding=padding, stride=stride, dilation=dilation)
    return correlate(planned, template, search, correlation, gain=gain, bias=bias, pairs=pairs, head=head)


def xcorr_reference(
    template: torch.Tensor,
    search: torch.Tensor,
    kind: str = "naive",
    *,
    groups: int | None = None,
    k: int | None = None,
    padding: IntPair = 0,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    gain: float = 1.0,
    bias: float | Sequence[float] | torch.Tensor | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: Head | torch.Tensor | None = None,
) -> torch.Tensor:
    """Do what :func:`xcorr` does, with the same arguments and errors, slowly: in plain float64 loops.

    Returns:
        (B, O, H', W'), or (B, K, H', W') with a head; always float64.

    >>> z, x = torch.rand(2, 8, 3, 3), torch.rand(2, 8, 9, 9)
    >>> torch.allclose(xcorr(z, x, kind="depthwise").double(), xcorr_reference(z, x, kind="depthwise"))
    True
    """
    correlation = Correlation(kind, groups=groups, k=k, padding=padding, stride=stride, dilation=dilation)
    return correlate(
        reference,
        template,
        search,
        correlation,
        gain=gain,
        bias=bias,
        pairs=pairs,
        head=head,
        dtype=torch.float64,
    )


def correlate(
    way: Way,
    template: torch.Tensor,
    search: torch.Tensor,
    correlation: Correlation,
    *,
    gain: float = 1.0,
    bias: float | Sequence[float] | torch.Tensor | None = None,
    pairs: tuple[Indices, Indices] | None = None,
    head: Head | torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Do what :func:`xcorr` does, correlation and head computed by ``way``.

    ``dtype`` is that of every step and of the answer; None is what the inputs call for.

    Raises:
        InvalidArgument: names the argument.
    """
    widened = common_dtype(template, search)
    dtype = dtype or widened
    resolved = resolve_batches(correlation, template, search)
    template_index, search_index = paired(pairs, len(template), len(search))
    gain = as_number(gain, "gain")
    offset = None if bias is None else as_offset(bias, resolved.response[0], search.device, dtype)
    last = None if head is None else _HeadStep(as_head(head), resolved.response, search.device, dtype)
    with in_full_precision(search.device):
        template, template_index = used_rows(template, template_index)
        search, search_index = used_rows(search, search_index)
        weight = view_as_weight(template.to(dtype).contiguous(), correlation, resolved)
        regions = search.to(dtype).contiguous()
        operands = Operands(weight, regions, template_index, search_index, correlation, resolved)
        if last is not None and way is planned and (folded := last.folded_into(operands)) is not None:
            operands, offset, last = folded, last.offset_after(offset), None
        response = way(operands)
        if gain != 1:
            response.mul_(gain)
        if offset is not None:
            response.add_(offset)
        return response if last is None else last(response, way)


class _HeadStep:
    """A head, checked against the response that it is applied to."""

    def __init__(
        self, head: Head, response: tuple[int, int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.correlation = Correlation("grouped", groups=head.groups(response[0]))
        self.weight = head.weight.detach().to(device, dtype)[None, :, :, None, None].contiguous()
        self.bias = None if head.bias is None else head.bias.detach().to(device, dtype)[:, None, None]
        self.resolved = resolve(self.correlation, self.weight.shape[1:], response)

    def folded_into(self, operands: Operands) -> Operands | None:
        """Return the operands of correlation and head in one, where that is worth it."""
        return fold(operands, self.weight[0, :, :, 0, 0], self.resolved.groups)

    def offset_after(self, offset: torch.Tensor | None) -> torch.Tensor | None:
        """Return what is to be added once it is folded in: its bias and what it makes of ``offset``."""
        if offset is None:
            return self.bias
        made = fold_offset(offset, self.weight[0, :, :, 0, 0], self.resolved.groups)
        return made if self.bias is None else made + self.bias

    def __call__(self, response: torch.Tensor, way: Way) -> torch.Tensor:
        shared, each = (0,) * len(response), tuple(range(len(response)))
        headed = way(Operands(self.weight, response, shared, each, self.correlation, self.resolved))
        return headed if self.bias is None else headed.add_(self.bias)
