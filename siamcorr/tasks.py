"""What the device is asked to do: tasks, of which those with equal keys share a launch.

Rules:
- A key holds all that a launch has in common: shapes, dtypes, kind, model, and what is done to the response.
  So a batch never mixes them, and everything after the upload is done once for the whole batch.
- :mod:`siamcorr.planning` makes tasks of calls, :mod:`siamcorr.frames` cuts their crops, and
  :mod:`siamcorr.launch` computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from siamcorr.answers import MapToFrame
from siamcorr.arguments import Array
from siamcorr.calls import Frame, Output, Precision
from siamcorr.errors import InvalidArgument
from siamcorr.geometry import Crop
from siamcorr.resident import Lease, Origin
from siamcorr.shapes import Correlation, Shape
from siamcorr.slabs import RowForm

__all__ = [
    "CorrelateKey",
    "CorrelateTask",
    "Epilogue",
    "Load",
    "NetworkKey",
    "PrepareTask",
    "TemplateKey",
    "TemplateTask",
    "check_work",
]


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What is done to a response: ``head(gain * response + bias)``, and what is kept of it.

    Arrays are held as their bytes (float32), so that equal ones of different callers are equal.
    """

    gain: float
    bias: bytes | None
    head: bytes | None
    head_outputs: int
    head_bias: bytes | None
    output: Output


@dataclass(frozen=True, slots=True)
class CorrelateKey:
    """What all pairs of one launch share.

    ``search`` is the shape (C, H, W) of the search features, ``dtype`` that of what is uploaded. If that is
    crops, ``model`` is the embedder in between. With ``one_search`` the templates of a task meet one search
    region and are computed together, and tasks one by one. Its hash is computed once, because queues ask for
    it again and again.
    """

    tensor: str
    template: RowForm
    search: Shape
    dtype: str
    model: str | None
    correlation: Correlation
    precision: Precision
    epilogue: Epilogue
    one_search: bool = False
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the hash."""
        parts = (
            *(self.tensor, self.template, self.search, self.dtype, self.model),
            *(self.correlation, self.precision, self.epilogue, self.one_search),
        )
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        """Return the hash."""
        return self._hash


@dataclass(frozen=True, slots=True)
class NetworkKey:
    """What all pairs of one launch of a whole network share; ``dtype`` is that of its maps."""

    model: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Load:
    """What a key's tasks weigh: bytes for each pair, each search region and in all; work for each of both."""

    pair_bytes: int
    region_bytes: int
    shared_bytes: int
    pair_multiply_adds: int
    region_multiply_adds: int = 0

    def multiply_adds(self, pairs: int, regions: int) -> int:
        """Return the work of so many pairs on so many search regions."""
        return pairs * self.pair_multiply_adds + regions * self.region_multiply_adds


def check_work(multiply_adds: int, most: float) -> None:
    """Refuse a request that would keep the device for longer than is allowed.

    Raises:
        InvalidArgument: names ``request``.
    """
    if multiply_adds > most:
        expected = f"at most {most:.3g} (max_multiply_adds)"
        raise InvalidArgument.found("request", f"{multiply_adds:.3g} multiply-adds", expected)


@dataclass(slots=True, eq=False)
class CorrelateTask:
    """Pairs of one key: pair i is ``leases[template_index[i]]`` on ``regions[search_index[i]]``.

    ``regions`` are (C, H, W) features, or once they are cut out crops, (S, S, 3) each in one array, ``cuts``
    the squares of the frame that these were, and ``places`` where their response maps lie in it.
    ``search_slots`` says which of the call's search regions they are: the same one again where its crop is
    cut for templates of different backgrounds. ``slots`` says which of the call's responses the pairs are.
    """

    key: CorrelateKey | NetworkKey
    load: Load
    leases: Sequence[Lease]
    template_index: Sequence[int]
    search_index: Sequence[int]
    slots: Sequence[int]
    search_slots: Sequence[int]
    regions: Sequence[Array] | Array = ()
    places: Sequence[MapToFrame] = ()
    cuts: Sequence[Crop] = ()

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.slots)

    @property
    def size_bytes(self) -> int:
        """Bytes that it holds at the most: what goes up, is widened and padded, and comes out."""
        regions = sum(region.nbytes for region in self.regions) + len(self.regions) * self.load.region_bytes
        return regions + self.size * self.load.pair_bytes + self.load.shared_bytes


@dataclass(frozen=True, slots=True)
class TemplateKey:
    """Which embedder makes templates from crops, or None for those that come as features."""

    model: str | None


@dataclass(slots=True, eq=False)
class TemplateTask:
    """``count`` templates to make, or a generation of ``handle``, from ``features`` or from one crop each.

    ``made_bytes`` are those of all tensors that come of crops. ``origin`` is set once there are crops.
    """

    key: TemplateKey
    count: int
    features: Mapping[str, Array]
    handle: str | None = None
    rate: float = 1.0
    made_bytes: int = 0
    crops: Sequence[Array] | Array = ()
    origin: Origin | None = None

    @property
    def size(self) -> int:
        """Number of templates."""
        return self.count

    @property
    def size_bytes(self) -> int:
        """Bytes that go up to the device, and that come of them there."""
        features = sum(array.nbytes for array in self.features.values())
        return features + sum(int(crop.nbytes) for crop in self.crops) + self.made_bytes


@dataclass(slots=True, eq=False)
class PrepareTask:
    """A frame to decode, and the ``tasks`` that wait for crops of it: ``crop_bytes`` of them."""

    frame: Frame
    tasks: Sequence[CorrelateTask | TemplateTask]
    crop_bytes: int
    size: int = 1

    @property
    def key(self) -> int:
        """Frames share nothing."""
        return id(self)

    @property
    def size_bytes(self) -> int:
        """Bytes of the image as it came, and of all crops."""
        image = self.frame.image
        return (len(image) if isinstance(image, bytes) else image.nbytes) + self.crop_bytes
