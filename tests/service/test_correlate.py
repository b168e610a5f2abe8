"""Correlation over the wire gives what the operators give."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from gates import IMAGE
from servers import RunningServer, Stubs
from siamcorr.ops import xcorr
from siamcorr.peaks import find_peaks

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((2, 8, 9, 9), np.float32)
Z = {
    "naive": RANDOM.standard_normal((8, 3, 3), np.float32),
    "upchannel": RANDOM.standard_normal((16, 3, 3), np.float32),
    "grouped": RANDOM.standard_normal((6, 4, 3, 3), np.float32),
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("naive", {}),
        ("naive", {"padding": (1, 2), "stride": 2, "dilation": (1, 2), "gain": 0.5}),
        ("depthwise", {"padding": 1}),
        ("upchannel", {"k": 2}),
        ("groupwise", {"groups": 4}),
        ("pixelwise", {}),
        ("grouped", {"groups": 2}),
    ],
)
def test_each_kind_gives_what_the_operator_gives(stubs: Stubs, kind: str, options: dict[str, Any]) -> None:
    z = Z.get(kind, Z["naive"])
    (template,) = stubs.create(z)
    responses = stubs.correlate([template], features=X, kind=kind, **options, pairs=([0, 0], [0, 1]))
    given = {name: value for name, value in options.items() if name != "k"}
    expected = xcorr(torch.from_numpy(z)[None].repeat_interleave(2, 0), torch.from_numpy(X), kind, **given)
    np.testing.assert_array_equal([response.map for response in responses], expected.numpy())


def test_many_templates_of_many_shapes_meet_their_search_regions(stubs: Stubs) -> None:
    shapes = [(8, 3, 3), (8, 2, 5), (8, 1, 1)]
    arrays = [RANDOM.standard_normal(shape, np.float32) for shape in shapes]
    templates = [stubs.create(array)[0] for array in arrays]
    pairs = ([2, 0, 1, 1], [0, 1, 1, 0])
    responses = stubs.correlate(templates, features=X, pairs=pairs)
    assert [response.template for response in responses] == [templates[i].handle for i in pairs[0]]
    for response, template, search in zip(responses, *pairs, strict=True):
        expected = xcorr(torch.from_numpy(arrays[template])[None], torch.from_numpy(X[search : search + 1]))
        assert response.map is not None
        np.testing.assert_allclose(response.map, expected[0].numpy(), rtol=0, atol=1e-5)


def test_bias_head_and_output_settings_reach_the_engine(server: RunningServer, stubs: Stubs) -> None:
    (template,) = stubs.create(Z["naive"])
    options: dict[str, Any] = {
        "features": X[0],
        "kind": "depthwise",
        "bias": RANDOM.standard_normal(8, np.float32),
        "head": (RANDOM.standard_normal((4, 8), np.float32), RANDOM.standard_normal(4, np.float32)),
        "output": "both",
        "top_k": 3,
        "map_dtype": "float16",
        "sum_channels": True,
    }
    (response,) = stubs.correlate(template, **options)
    expected = server.engine.correlate(template.handle, **options)
    assert response.map is not None
    assert response.map.dtype == np.float16
    assert response.map.shape == (1, 7, 7)
    np.testing.assert_array_equal(response.map, expected.map)
    assert response.peaks == expected.peaks
    assert len(response.peaks) == 3


def test_peaks_come_without_the_map(stubs: Stubs) -> None:
    (template,) = stubs.create(Z["naive"])
    (both,) = stubs.correlate(template, features=X[0], output="both")
    (response,) = stubs.correlate(template, features=X[0], output="peaks")
    assert response.map is None
    assert response.peak == both.peak
    assert both.map is not None
    assert (response.peak.row, response.peak.col) == pytest.approx(
        (find_peaks(both.map)[0].row, find_peaks(both.map)[0].col), abs=1e-3
    )


def test_a_frame_is_cropped_and_embedded_on_the_server(server: RunningServer, stubs: Stubs) -> None:
    box = (20.0, 12.0, 10.0, 14.0)
    (template,) = stubs.create(image=IMAGE, boxes=box, model="gate")
    png = cv2.imencode(".png", IMAGE)[1].tobytes()
    (raw,), (packed,) = (stubs.correlate(template, image=image, box=box) for image in (IMAGE, png))
    expected = server.engine.correlate(template.handle, image=IMAGE, box=box)
    for response in (raw, packed):
        np.testing.assert_array_equal(response.map, expected.map)
        assert response.map_to_frame == expected.map_to_frame
        assert response.timings.batch_pairs == 1
        assert response.timings.prepare_s > 0
