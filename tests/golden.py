"""What public trackers' own code computed, from the shared data, and how to ask siamcorr for the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["OPERATORS", "GoldenOperator", "load_operator"]

OPERATORS = (
    "depthwise_alexnet",
    "depthwise_dilation2_stride2",
    "depthwise_nanotrackv3_padding1",
    "depthwise_nonsquare",
    "depthwise_siamrpnpp",
    "naive_all_pairs",
    "naive_modulo_pairing_gain",
    "naive_one_template_three_scales_gain",
    "naive_siamfc",
    "pixelwise_nanotrack",
    "upchannel_k10",
)


@dataclass(frozen=True, slots=True, eq=False)
class GoldenOperator:
    """A call and its answer: ``template`` (T, C, h, w), ``search`` (S, C, H, W), ``response`` (B, O, H', W').

    ``keywords`` are those of ``xcorr`` and of ``client.correlate`` alike, in plain Python. Where it has no
    ``pairs``, each of T and S is B or 1.
    """

    name: str
    template: npt.NDArray[np.float32]
    search: npt.NDArray[np.float32]
    keywords: dict[str, Any]
    response: npt.NDArray[np.float32]


def load_operator(shared: Path, name: str) -> GoldenOperator:
    """Read one of :data:`OPERATORS`."""
    with np.load(shared / "golden" / "operators" / f"{name}.npz") as file:
        arrays = dict(file)
    template, search, response = (arrays.pop(key) for key in ("template", "search", "response"))
    keywords: dict[str, Any] = {"kind": name.partition("_")[0]}
    if name == "naive_all_pairs":  # (S, T, H', W'): every template on every search region
        of_search, of_template = np.indices(response.shape[:2]).reshape(2, -1).tolist()
        keywords["pairs"] = of_template, of_search
        response = response.reshape(-1, 1, *response.shape[2:])
    if "pairing" in arrays:  # the template that each search region meets
        keywords["pairs"] = arrays.pop("pairing").tolist(), list(range(len(search)))
    keywords |= {setting: value.item() for setting, value in arrays.items()}
    return GoldenOperator(name, template, search, keywords, response)
