"""What answers must be: the reference in numpy against the library's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from siamcorr.answers import Response
from siamcorr.errors import InvalidArgument
from siamcorr.ops import xcorr
from siamcorr.peaks import Peak, find_peaks
from siamcorr_load.checking import correlate, is_right, map_of

SHAPES = {
    "naive": ((6, 3, 2), (6, 7, 8)),
    "depthwise": ((6, 3, 2), (6, 7, 8)),
    "upchannel": ((12, 3, 2), (6, 7, 8)),
    "pixelwise": ((6, 3, 2), (6, 7, 8)),
}


def drawn(kind: str) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(5)
    template, search = SHAPES[kind]
    return chance.standard_normal(template, np.float32), chance.standard_normal(search, np.float32)


@pytest.mark.parametrize("kind", SHAPES)
def test_the_reference_is_the_librarys_operator(kind: str) -> None:
    template, search = drawn(kind)
    theirs = xcorr(torch.from_numpy(template[None]), torch.from_numpy(search[None]), kind=kind)[0].numpy()
    np.testing.assert_allclose(correlate(kind, template, search), theirs, rtol=0, atol=1e-4)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(InvalidArgument, match="kind: found 'network'"):
        correlate("network", *drawn("naive"))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rounding_is_no_fault_and_another_region_is(dtype: type[np.floating]) -> None:
    template, search = drawn("depthwise")
    expected = correlate("depthwise", template, search)
    assert is_right(Response("t", 1, expected.astype(dtype)), expected)
    other = correlate("depthwise", template, search[:, ::-1])
    assert not is_right(Response("t", 1, other.astype(dtype)), expected)
    assert not is_right(Response("t", 1, expected[:1].astype(dtype)), expected)
    assert not is_right(Response("t", 1, np.full(expected.shape, np.nan, dtype)), expected)


def test_of_peaks_place_and_height_are_checked() -> None:
    expected = correlate("depthwise", *drawn("depthwise"))
    (peak, *_) = find_peaks(expected.astype(np.float32))
    assert is_right(Response("t", 1, None, (peak,)), expected)
    for wrong in (
        dataclasses.replace(peak, score=peak.score * 1.1),
        dataclasses.replace(peak, row=peak.row + 2),
        dataclasses.replace(peak, channel=peak.channel + 7),
    ):
        assert not is_right(Response("t", 1, None, (wrong,)), expected)
    assert not is_right(Response("t", 1, None), expected)
    assert isinstance(peak, Peak)


def test_a_networks_maps_are_checked_as_one() -> None:
    maps = {"loc": np.ones((4, 2, 2), np.float32), "cls": np.zeros((2, 2, 2), np.float32)}
    response = Response("t", 1, None, maps=maps)
    expected = map_of(response)
    assert expected is not None
    assert expected.shape == (1, 1, 24)
    assert is_right(response, expected)
    assert not is_right(dataclasses.replace(response, maps=maps | {"cls": maps["cls"] + 1}), expected)
