"""Each kind of correlation as a model, asked by Triton's own client."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from gates import IMAGE, PATIENCE_S
from servers import RunningServer
from siamcorr.answers import Response
from siamcorr.arguments import Array
from siamcorr.ops import xcorr_reference
from siamcorr.peaks import Peak
from siamcorr_client import Client
from siamcorr_server.inference.correlate import _peaks
from triton_client import given, handles, infer, outputs, refusal, response

RNG = np.random.default_rng(8)
X = RNG.standard_normal((2, 8, 12, 10)).astype(np.float32)
BOX = np.array([[10.0, 10.0, 20.0, 20.0], [40.0, 30.0, 9.0, 12.0]], np.float32)

KINDS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "naive": ((8, 3, 4), {"padding": (1, 2)}),
    "depthwise": ((8, 3, 4), {"stride": 2}),
    "upchannel": ((24, 3, 4), {"k": 3}),
    "groupwise": ((8, 3, 4), {"groups": 4, "dilation": (2, 1)}),
    "pixelwise": ((8, 3, 4), {"gain": 0.5}),
    "grouped": ((6, 4, 3, 4), {"groups": 2}),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def features(kind: str, count: int) -> Array:
    shape, _ = KINDS[kind]
    return np.random.default_rng(9).standard_normal((count, *shape)).astype(np.float32)


def expected(kind: str, templates: Array, search: Array) -> Array:
    """Return the response maps in loops and float64."""
    _, options = KINDS[kind]
    z, x = (torch.from_numpy(one.astype(np.float64)) for one in (templates, search))
    found: Array = xcorr_reference(z, x, kind, **options).numpy()
    return found


@each_kind
def test_resident_templates_give_our_own_bits(kind: str, triton: Any, client: Client) -> None:
    _, options = KINDS[kind]
    made = [client.create_template(one) for one in features(kind, 2)]
    found = response(triton, kind, handles(*made), X, **options)
    assert found.dtype == np.float32
    for mine, ours in zip(found, client.correlate(made, features=X, kind=kind, **options), strict=True):
        np.testing.assert_array_equal(mine, ours.map)


@each_kind
def test_templates_of_one_call_give_the_right_maps_and_are_gone(
    kind: str, triton: Any, server: RunningServer
) -> None:
    _, options = KINDS[kind]
    before = server.engine.stats().bank.templates
    found = response(triton, kind, features(kind, 2), X, **options)
    np.testing.assert_allclose(found, expected(kind, features(kind, 2), X), atol=1e-4)
    assert server.engine.stats().bank.templates == before


@each_kind
def test_one_template_without_a_batch_axis_meets_every_search_region(kind: str, triton: Any) -> None:
    _, options = KINDS[kind]
    (template,) = features(kind, 1)
    found = response(triton, kind, template, X, **options)
    np.testing.assert_allclose(found, expected(kind, np.stack([template] * 2), X), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_taken(dtype: Any, triton: Any) -> None:
    template, search = features("naive", 2).astype(dtype), X.astype(dtype)
    found = response(triton, "naive", template, search, padding=(1, 2))
    np.testing.assert_allclose(found, expected("naive", template, search), atol=1e-3)


def test_maps_come_as_float16_on_demand(triton: Any) -> None:
    found = response(triton, "depthwise", features("depthwise", 2), X, map_dtype="float16")
    assert found.dtype == np.float16


def test_one_search_region_without_a_batch_axis_is_one_pair(triton: Any) -> None:
    assert response(triton, "naive", features("naive", 1)[0], X[0]).shape == (1, 1, 10, 7)


def test_a_call_like_another_is_answered_with_its_own_template_and_search(
    triton: Any, client: Client
) -> None:
    made = [client.create_template(one) for one in features("depthwise", 2)]
    for template in made:
        for search in X:
            found = response(triton, "depthwise", handles(template), search, gain=0.0)
            assert not found.any()
            found = response(triton, "depthwise", handles(template), search)
            ours = client.correlate(template, features=search, kind="depthwise").map
            np.testing.assert_array_equal(found[0], ours)


def test_peaks_come_where_they_are_asked_for(triton: Any, client: Client) -> None:
    template = client.create_template(features("depthwise", 1)[0])
    inputs = {"template": handles(template), "search": X}
    answer = infer(triton, "depthwise", inputs, outputs=outputs("peaks"), parameters={"top_k": 3})
    peaks = answer.as_numpy("peaks")
    assert answer.as_numpy("response") is None
    ours = client.correlate([template], features=X, kind="depthwise", output="peaks", top_k=3)
    for mine, response_ in zip(peaks, ours, strict=True):
        rows = [(peak.row, peak.col, peak.score, peak.psr, peak.channel) for peak in response_.peaks]
        assert mine.shape == (3, 5)
        np.testing.assert_array_equal(mine[: len(rows)], np.array(rows, np.float32))
        assert np.isnan(mine[len(rows) :]).all()


def test_outputs_come_in_the_order_in_which_they_are_asked_for(triton: Any) -> None:
    inputs = {"template": features("naive", 1), "search": X}
    for names in (("peaks", "response"), ("response", "peaks")):
        answer = infer(triton, "naive", inputs, outputs=outputs(*names)).get_response()
        assert tuple(output.name for output in answer.outputs) == names
        assert len(answer.raw_output_contents) == 2


def test_boxes_of_an_image_stand_for_search_regions(triton: Any, client: Client) -> None:
    made = client.create_templates(image=IMAGE, boxes=BOX, model="gate")
    inputs = {"template": handles(*made), "image": IMAGE, "box": BOX}
    answer = infer(triton, "depthwise", inputs, outputs=outputs("response", "map_to_frame"))
    ours = client.correlate(made, image=IMAGE, box=BOX, kind="depthwise")
    for n, one in enumerate(ours):
        place = one.map_to_frame
        assert place is not None
        np.testing.assert_array_equal(answer.as_numpy("response")[n], one.map)
        rows = np.array([place.x0, place.y0, place.step_x, place.step_y], np.float32)
        np.testing.assert_array_equal(answer.as_numpy("map_to_frame")[n], rows)


def test_many_callers_get_their_own_answers(triton: Any, client: Client, server: RunningServer) -> None:
    templates = features("depthwise", 16)
    made = [client.create_template(one) for one in templates]
    done: list[Future[Any]] = [Future() for _ in made]

    def settle(future: Future[Any]) -> Callable[[Any, Any], None]:
        return lambda result, error: future.set_exception(error) if error else future.set_result(result)

    for n, (template, future) in enumerate(zip(made, done, strict=True)):
        named = handles(template) if n % 2 else templates[n]
        inputs = [given("template", named), given("search", X[n % 2])]
        triton.async_infer("depthwise", inputs, settle(future), request_id=str(n))
    for n, (template, future) in enumerate(zip(made, done, strict=True)):
        answer = future.result(PATIENCE_S)
        assert answer.get_response().id == str(n)
        ours = client.correlate(template, features=X[n % 2], kind="depthwise").map
        np.testing.assert_array_equal(answer.as_numpy("response")[0], ours)
        client.delete_template(template)


def test_an_unknown_template_is_not_found(triton: Any) -> None:
    status, said = refusal(response, triton, "naive", handles("no_such_template"), X)
    assert status == "NOT_FOUND"
    assert "no_such_template" in said


def test_errors_speak_of_the_inputs_by_name(triton: Any) -> None:
    template, broken = features("naive", 1), X.copy()
    broken[0, 0, 0, 0] = np.nan
    assert refusal(response, triton, "naive", template, broken)[1].startswith("search: found NaN")
    _, said = refusal(response, triton, "naive", np.full_like(template, np.nan), X)
    assert said.startswith("template: found NaN")
    _, said = refusal(response, triton, "naive", template[:, :4], X)
    assert said == "template: found 4 channels, expected 8, as in search"


def test_peaks_that_float32_cannot_hold_are_infinite() -> None:
    response = Response("tpl_x", 1, None, (Peak(row=1.0, col=2.0, score=3.0, psr=1e39, channel=0),))
    found = np.frombuffer(b"".join(_peaks([response]).parts), np.float32)
    assert found.tolist() == [1.0, 2.0, 3.0, np.inf, 0.0]


def test_a_handle_that_is_there_twice_is_deleted_once(triton: Any, client: Client) -> None:
    template, other = client.create_template(features=X[0]), client.create_template(features=X[1])
    gone = infer(triton, "delete_template", {"template": handles(template, other, template)})
    assert gone.as_numpy("template").tolist() == [template.handle.encode(), other.handle.encode()]
