"""The house: which room may stand on which, and what else it may import. A new room is added to FLOORS.

A room is a module or a package directly in ``siamcorr``. It imports only rooms of the floors below its own,
so that no two rooms lean on each other. Beside it stands what importing it may bring along of other people's
packages, by itself or through the rooms that it stands on.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["CLIENT", "FACE", "FLOORS", "LIGHT", "PACKAGES", "ROOT"]

ROOT = Path(__file__).parents[2]

BARE: frozenset[str] = frozenset()
NUMPY = frozenset({"numpy"})
MESSAGES = frozenset({"numpy", "google.protobuf"})
IMAGES = frozenset({"numpy", "cv2", "simplejpeg"})
TORCH = frozenset({"llvmlite", "ml_dtypes", "numpy", "onnx", "onnxruntime", "safetensors", "torch"})

FACE = "__init__"

FLOORS: tuple[dict[str, frozenset[str]], ...] = (
    # The ground floor.
    {"closed_pipe": BARE, "errors": BARE, "kept_memory": BARE, "v1": MESSAGES},
    {
        "arguments": NUMPY,
        "batcher": BARE,
        "peaks": NUMPY,
        "precision": TORCH,
        "shapes": BARE,
        "slabs": TORCH,
    },
    {
        "answers": NUMPY,
        "cost": BARE,
        "device": TORCH,
        "lane": BARE,
        "ops": TORCH,
        "resident": TORCH,
        "settings": NUMPY,
        "shared_memory": NUMPY,
        "tensors": MESSAGES,
    },
    {"calls": NUMPY, "explain": TORCH, "geometry": NUMPY, "handles": TORCH},
    {"embed": TORCH, "eviction": TORCH, "images": IMAGES, "sources": NUMPY},
    {"checks": NUMPY},
    {"bank": TORCH, "blocking": NUMPY, "tasks": TORCH, "wire": MESSAGES},
    {
        "frames": IMAGES | TORCH,
        "passes": TORCH,
        "prepared_templates": TORCH,
        "recipes": TORCH,
        "shared_bank": TORCH,
        "stats": TORCH,
    },
    {"launch": TORCH, "planning": TORCH, "warm_up": NUMPY},
    {"requests": TORCH},
    {"engine": IMAGES | TORCH},
    # The roof: what the lazy names of `import siamcorr` may bring, once they are used.
    {FACE: IMAGES | TORCH},
)

LIGHT = tuple(room for floor in FLOORS for room, brings in floor.items() if brings <= MESSAGES)
"""The rooms that a client may stand on: torch and OpenCV are not needed to import them."""

CLIENT = frozenset({"numpy", "grpc", "google.protobuf"})

PACKAGES: dict[str, frozenset[str]] = {
    # What each installed package may import beside itself. siamcorr.light stands for the light rooms.
    "siamcorr": IMAGES | TORCH | MESSAGES,
    "siamcorr_server": IMAGES
    | TORCH
    | {
        "aiohttp",
        "siamcorr",
        "grpc",
        "grpc_health",
        "grpc_reflection",
        "grpc_status",
        "opentelemetry",
        "prometheus_client",
        "google.protobuf",
        "google.rpc",
    },
    "siamcorr_client": CLIENT | {"siamcorr.light"},
    "siamcorr_demo": IMAGES | {"PIL", "siamcorr", "siamcorr_client", "siamcorr_eval", "tqdm"},
    "siamcorr_eval": IMAGES | {"matplotlib", "siamcorr", "siamcorr_client", "trax"},
    "siamcorr_load": CLIENT | {"PIL", "prometheus_client", "psutil", "siamcorr.light", "siamcorr_client"},
}
