"""What is sent, made ready beforehand: a few templates and frames that all cameras share.

A template has a ``variant``, and which one it is now is known by its handle and generation: so each answer
can be foreseen. Of features the response is computed here. Of a frame it cannot be, because the model is the
server's: there the first answer, to the first request of all, is what later ones must be.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from siamcorr.answers import Response
from siamcorr.calls import CorrelateOptions
from siamcorr.errors import InvalidArgument
from siamcorr_load.checking import Map, correlate, map_of
from siamcorr_load.settings import Load

__all__ = ["VARIANTS", "FeaturePayload", "FramePayload", "Payload", "payload_for"]

VARIANTS = 4
"""How many different templates, and frames, there are."""

_BOX_PX = 48
_SUFFIXES = {".jpg", ".jpeg"}


class Payload(Protocol):
    """Templates and search regions, and what they must give. Targets are counted within a camera."""

    lessons: int
    """How many frames there are to learn from."""

    def template(self, target: int, variant: int) -> dict[str, Any]:
        """Return the arguments of ``create_template`` and ``update_template``."""

    def search(self, frame: int, *, is_lesson: bool = False) -> CorrelateOptions:
        """Return the arguments of ``correlate``, for all targets; a lesson is an answer to learn from."""

    def learn(self, variant: int, frame: int, responses: list[Response]) -> None:
        """Take these responses, of templates all of one variant, as right, if nothing better is known."""

    def expected(self, target: int, variant: int, frame: int) -> Map | None:
        """Return what the response must be, if that is known."""


def payload_for(load: Load) -> Payload:
    """Make a load's payloads.

    Raises:
        InvalidArgument: names ``frames`` or ``kind``.
    """
    return FeaturePayload(load) if load.payload == "features" else FramePayload(load)


class FeaturePayload:
    """Random features, normally distributed."""

    lessons = 0

    def __init__(self, load: Load) -> None:
        """Draw the features, and compute all responses that they give."""
        chance = np.random.default_rng(load.seed)
        dtype = np.dtype(load.wire_dtype)
        self._options = CorrelateOptions(
            kind=load.kind, output=load.output, map_dtype=load.map_dtype, gain=1 / load.template_shape[0]
        )
        self._templates = chance.standard_normal((VARIANTS, *load.template_shape)).astype(dtype)
        regions = chance.standard_normal((VARIANTS, *load.search_shape)).astype(dtype)
        self._searches = [
            regions[[(frame + target) % VARIANTS for target in range(load.targets)]]
            for frame in range(VARIANTS)
        ]
        self._expected = [
            [correlate(load.kind, template, region) / load.template_shape[0] for region in regions]
            for template in self._templates
        ]

    def template(self, target: int, variant: int) -> dict[str, Any]:
        """Return one variant's features, the same for all targets."""
        del target
        return {"features": self._templates[variant]}

    def search(self, frame: int, *, is_lesson: bool = False) -> CorrelateOptions:
        """Return (targets, C, H, W) features."""
        del is_lesson
        return {**self._options, "features": self._searches[frame % VARIANTS]}

    def learn(self, variant: int, frame: int, responses: list[Response]) -> None:
        """Learn nothing: all is known."""

    def expected(self, target: int, variant: int, frame: int) -> Map | None:
        """Return the response."""
        return self._expected[variant][(frame + target) % VARIANTS]


class FramePayload:
    """Frames of a folder, or drawn: noise over which each target's box lies still."""

    def __init__(self, load: Load) -> None:
        """Read or draw the frames.

        Raises:
            InvalidArgument: names ``frames``.
        """
        is_raw = load.payload == "raw"
        if load.frames is None:
            files = [_jpeg(pixels) for pixels in _drawn(load)]
        else:
            files = _read(Path(load.frames))
        self._frames: list[bytes | npt.NDArray[np.uint8]] = [
            _pixels(file) if is_raw else file for file in files
        ]
        with Image.open(io.BytesIO(files[0])) as first:
            self._boxes = _boxes(first.size, load.targets)
        self.lessons = len(self._frames)
        self._model = load.model
        self._options = CorrelateOptions(kind=load.kind, map_dtype=load.map_dtype)
        if load.kind != "network":
            self._options["output"] = load.output
        self._known: dict[tuple[int, int, int], Map] = {}

    def template(self, target: int, variant: int) -> dict[str, Any]:
        """Return one of the first frames with the target's box."""
        image = self._frames[variant % len(self._frames)]
        return {"image": image, "box": self._boxes[target], "model": self._model}

    def search(self, frame: int, *, is_lesson: bool = False) -> CorrelateOptions:
        """Return the frame with a box for each target."""
        options: CorrelateOptions = {**self._options, "box": self._boxes}
        options["image"] = self._frames[frame % len(self._frames)]
        if is_lesson and "output" in options:
            options["output"] = "map"
        return options

    def learn(self, variant: int, frame: int, responses: list[Response]) -> None:
        """Keep the responses."""
        for target, response in enumerate(responses):
            if (known := map_of(response)) is not None:
                self._known[target, variant, frame % len(self._frames)] = known

    def expected(self, target: int, variant: int, frame: int) -> Map | None:
        """Return the map that was seen first, or one whose peak lies where it did."""
        return self._known.get((target, variant, frame % len(self._frames)))


def _drawn(load: Load) -> list[npt.NDArray[np.uint8]]:
    """Noise of blobs, not of pixels: so that it compresses as pictures do."""
    chance = np.random.default_rng(load.seed)
    width, height = load.frame_size
    drawn = []
    for _ in range(VARIANTS):
        coarse = Image.fromarray(chance.integers(0, 256, (height // 8, width // 8, 3), np.uint8))
        drawn.append(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)))
    return drawn


def _read(folder: Path, most: int = 64) -> list[bytes]:
    if not folder.is_dir():
        raise InvalidArgument.found("frames", repr(str(folder))[:80], "a folder of JPEG files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)[:most]
    if not paths:
        raise InvalidArgument.found(
            "frames", f"no JPEG file in {str(folder)!r:.80}", "a folder of JPEG files"
        )
    files, sizes = zip(*map(_picture, paths), strict=True)
    for path, (width, height) in zip(paths, sizes, strict=True):
        if (width, height) != sizes[0]:
            expected = f"{sizes[0][0]}x{sizes[0][1]} pixels, as {paths[0].name} has"
            raise InvalidArgument.found("frames", f"{path}: {width}x{height} pixels", expected)
    return list(files)


def _picture(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Read a file that can be sent, and its width and height."""
    try:
        file = path.read_bytes()
        with Image.open(io.BytesIO(file)) as image:
            image.load()
            return file, image.size
    except Image.DecompressionBombError as error:
        raise InvalidArgument.found("frames", f"{path}: {error}", "frames of a video") from error
    except OSError as error:  # Pillow's errors are of this kind too, without a strerror
        found = f"{path}: {error.strerror or 'no picture'}"
        raise InvalidArgument.found("frames", found, "a folder of JPEG files") from error


def _jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=90)
    return written.getvalue()


def _pixels(file: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(file)) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _boxes(size: tuple[int, int], targets: int) -> npt.NDArray[np.float64]:
    """Spread the targets over a frame of ``size`` (width, height), row by row."""
    side = min(_BOX_PX, *(length // 2 for length in size))
    across = max(1, int(np.ceil(np.sqrt(targets))))
    rows, cols = np.divmod(np.arange(targets), across)
    step = np.array([(length - side) / across for length in size])
    corners = np.stack([cols, rows], axis=1) * step
    return np.concatenate([corners, np.full((targets, 2), float(side))], axis=1)
