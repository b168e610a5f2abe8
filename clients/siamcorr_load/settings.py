"""What is asked of a server in one run: the command line, checked, as it travels to the generators."""

from __future__ import annotations

from dataclasses import dataclass

from siamcorr.calls import MapDtype, OutputKind, WireDtype

__all__ = ["KINDS", "PAYLOADS", "Load"]

PAYLOADS = ("features", "jpeg", "raw")
KINDS = ("naive", "depthwise", "upchannel", "pixelwise", "network")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load, and how it is measured.

    ``cameras`` send ``fps`` frames a second each, in a ``pattern`` of the pacer; each frame is one request
    with a search region for each of its ``targets``. With ``concurrency`` it is a closed loop instead: so
    many requests are out at any time. A target lives ``life_s`` seconds on average, for ever where that is
    None, and each ``update_every`` frames one of a camera's templates is replaced; 0: none is.

    ``payload`` is features of ``template_shape`` and ``search_shape``, (C, h, w) each, or frames as JPEG
    files or raw pixels, from the folder ``frames`` or drawn in ``frame_size`` (width, height).

    ``windows`` of ``window_s`` seconds are measured after ``warm_up_s``, until the last three agree within
    ``tolerance``, and ``max_windows`` at most. One pair of each ``check_every``-th answer is checked.
    """

    server: str
    cameras: int = 1
    fps: float = 25.0
    targets: int = 1
    pattern: str = "jittered"
    concurrency: int | None = None
    life_s: float | None = None
    update_every: int = 0
    payload: str = "features"
    frames: str | None = None
    frame_size: tuple[int, int] = (640, 480)
    kind: str = "naive"
    model: str | None = None
    template_shape: tuple[int, int, int] = (256, 6, 6)
    search_shape: tuple[int, int, int] = (256, 22, 22)
    wire_dtype: WireDtype = "float32"
    map_dtype: MapDtype = "float32"
    output: OutputKind = "map"
    shared_memory: bool = False
    stream: bool = False
    processes: int = 1
    warm_up_s: float = 2.0
    window_s: float = 2.0
    windows: int = 3
    max_windows: int = 10
    tolerance: float = 0.2
    repeats: int = 1
    check_every: int = 10
    headroom: bool = True
    timeout_s: float = 10.0
    seed: int = 0
    server_pid: int | None = None
    metrics_url: str | None = None

    @property
    def period_s(self) -> float:
        """From one frame of a camera to the next, in seconds."""
        return 1 / self.fps

    @property
    def late_s(self) -> float:
        """A request that the generator sends later than this after it was due was sent late, in seconds."""
        return max(2e-3, self.period_s / 10)

    def mine(self, process: int) -> range:
        """Return the numbers of the cameras that one of the processes plays."""
        return range(process, self.cameras, self.processes)
