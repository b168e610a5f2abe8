"""Rows about whole trackers: NanoTrack v3 through a server, against what people run instead.

One frame after the other of a 1280x720 video, as JPEG files, decoding and cropping included; all on the same
cores. OpenCV's TrackerNano runs an older and smaller NanoTrack. The plain loop is what a tracker's own code
does: a frame decoded once, and for each target a crop and torch's layers as they are published, batch 1.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.timing import Row, race
from plain_nanotrack import PlainNanoTrack
from servers import process
from siamcorr.embed.weights import read_state_dict
from siamcorr.geometry import CropSettings, search_crop, template_crop
from siamcorr.images import channel_mean, cut
from siamcorr_client import Client
from siamcorr_client.trackers import MultiTracker

__all__ = ["ROWS"]

TARGETS, FRAMES, TURNS = 32, 12, 9
SIDE_PX = 47.0


def many_against_opencv() -> Iterator[Row]:
    """Row q."""
    with _ours(TARGETS) as ours:
        pair = race(_opencv(TARGETS), ours, turns=TURNS)
    note = f"{TARGETS / pair.fast_s:.0f} target-updates/s, TrackerNano {TARGETS / pair.slow_s:.0f}"
    yield Row("q", f"{TARGETS} targets, NanoTrack v3, against TrackerNano in a loop", pair.ratio, 3.0, note)


def many_against_torch() -> Iterator[Row]:
    """Row r."""
    with _ours(TARGETS) as ours:
        pair = race(_plain(TARGETS), ours, turns=TURNS)
    note = f"{TARGETS / pair.fast_s:.0f} target-updates/s, the loop {TARGETS / pair.slow_s:.0f}"
    yield Row("r", f"{TARGETS} targets, NanoTrack v3, against a loop of torch", pair.ratio, 2.5, note)


def one_against_opencv() -> Iterator[Row]:
    """Row s: at most 1.5 times TrackerNano's latency, turned over so that more is better."""
    with _ours(1) as ours:
        pair = race(_opencv(1), ours, turns=31, turn_s=0.2)
    note = f"{pair.fast_s * 1e3:.1f} ms, TrackerNano {pair.slow_s * 1e3:.1f} ms"
    yield Row("s", "1 target: TrackerNano's latency over ours", pair.ratio, 1 / 1.5, note)


def _shared() -> Path:
    if not (found := os.environ.get("SIAMCORR_SHARED")):
        raise SystemExit("rows q, r and s need videos and weights: set SIAMCORR_SHARED to their folder")
    return Path(found)


def _files() -> list[bytes]:
    paths = sorted((_shared() / "sequences/vot15_ball1/img").iterdir())[:FRAMES]
    return [path.read_bytes() for path in paths]


def _boxes(targets: int) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(0)
    corners = random.uniform((50, 50), (1000, 500), (targets, 2))
    return np.concatenate([corners, np.full((targets, 2), SIDE_PX)], axis=1)


def _weights() -> Path:
    return _shared() / "weights/nanotrackv3/derived/nanotrackv3_state_dict.pt"


@contextmanager
def _ours(targets: int) -> Iterator[Callable[[], object]]:
    first, *files = _files()
    turns = itertools.cycle(files)
    with ExitStack() as stack:
        server = stack.enter_context(process("--model", f"nanotrackv3={_weights()}"))
        client = stack.enter_context(Client(server.address))
        tracker = stack.enter_context(MultiTracker(client, model="nanotrackv3"))
        tracker.add(first, _boxes(targets))
        yield lambda: tracker.update(next(turns))


def _opencv(targets: int) -> Callable[[], object]:
    first, *files = _files()
    turns, weights = itertools.cycle(files), _shared() / "weights/nanotrackv2"
    parameters = cv2.TrackerNano.Params()
    parameters.backbone = str(weights / "nanotrack_backbone_sim.onnx")
    parameters.neckhead = str(weights / "nanotrack_head_sim.onnx")
    trackers = [cv2.TrackerNano.create(parameters) for _ in range(targets)]
    for tracker, box in zip(trackers, _boxes(targets).astype(int).tolist(), strict=True):
        tracker.init(_decoded(first), box)

    def update() -> None:
        frame = _decoded(next(turns))
        for tracker in trackers:
            tracker.update(frame)

    return update


def _plain(targets: int) -> Callable[[], object]:
    """Return the loop of torch, on as many threads as there are cores: it has them to itself."""
    first, *files = _files()
    turns, boxes, crop = itertools.cycle(files), _boxes(targets), CropSettings()
    network = PlainNanoTrack(read_state_dict(str(_weights())))
    frame = _decoded(first)
    fill = channel_mean(frame)
    templates = [
        network.features(cut(frame, template_crop(box, crop), crop.template_px, fill)) for box in boxes
    ]

    def update() -> None:
        frame = _decoded(next(turns))
        threads = torch.get_num_threads()
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        for template, box in zip(templates, boxes, strict=True):
            region = cut(frame, search_crop(box, crop), crop.search_px, fill)
            network.maps(template, network.features(region))
        torch.set_num_threads(threads)

    return update


def _decoded(file: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), np.uint8)


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "q": many_against_opencv,
    "r": many_against_torch,
    "s": one_against_opencv,
}
