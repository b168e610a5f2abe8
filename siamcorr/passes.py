"""From search features to responses: all that the launches of one key have in common, set up once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from siamcorr.device import DTYPES
from siamcorr.ops import Correlator, Head
from siamcorr.ops.operands import Rows
from siamcorr.shapes import Correlation, Shape, resolve
from siamcorr.tasks import CorrelateKey, Epilogue

__all__ = ["Pass"]


class Pass:
    """Correlation, gain, bias, head and sum of one :class:`~siamcorr.tasks.CorrelateKey`.

    Attributes:
        correlator: the first of it; it says what templates are to be prepared into.
        name: how it is computed.
    """

    def __init__(self, key: CorrelateKey, device: torch.device) -> None:
        """Plan it."""
        epilogue = key.epilogue
        head, self._sum = _head(epilogue), None
        outputs = resolve(key.correlation, key.template.shape, key.search).response[0]
        if epilogue.output.sum_channels and head is None and outputs > 1:
            head = Head(torch.ones(1, outputs))  # a sum is a head of ones, which can be folded into templates
        self._gain = epilogue.gain
        self._bias = _bias(epilogue)
        self.correlator = Correlator(
            key.correlation,
            key.template.shape,
            key.search,
            template_dtype=key.template.dtype,
            search_dtype=DTYPES[key.dtype] if key.model is None else torch.float32,
            precision=key.precision,
            one_search=key.one_search,
            head=head,
            device=device,
        )
        self.name = self.correlator.plan.name
        if epilogue.output.sum_channels and self.correlator.response_shape[0] > 1:
            self._sum = _Sum(self.correlator.response_shape, self.correlator.dtype, device)

    def __call__(
        self,
        templates: Rows,
        search: Rows,
        template_index: Sequence[int],
        search_index: Sequence[int],
    ) -> torch.Tensor:
        """Return the response of each pair; templates are prepared, where the correlator has a form."""
        response = self.correlator(
            templates, search, template_index, search_index, gain=self._gain, bias=self._bias
        )
        return response if self._sum is None else self._sum(response)


class _Sum:
    """The sum of all channels: one naive correlation with ones, which all pairs share."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        ones = torch.ones(1, shape[0], 1, 1, dtype=dtype, device=device)
        one = shape[0], 1, 1
        self._correlator = Correlator(Correlation(), one, shape, template_dtype=dtype, device=device)
        self._ones = self._correlator.prepare(ones)

    def __call__(self, response: torch.Tensor) -> torch.Tensor:
        return self._correlator(self._ones, response, (0,) * len(response), range(len(response)))


def _bias(epilogue: Epilogue) -> torch.Tensor | None:
    bias = _floats(epilogue.bias)
    return bias[0] if bias is not None and len(bias) == 1 else bias


def _head(epilogue: Epilogue) -> Head | None:
    weight = _floats(epilogue.head)
    if weight is None:
        return None
    return Head(weight.view(epilogue.head_outputs, -1), _floats(epilogue.head_bias))


def _floats(raw: bytes | None) -> torch.Tensor | None:
    return None if raw is None else torch.frombuffer(bytearray(raw), dtype=torch.float32)
