"""What importing really brings along, seen in a fresh process: the rules read the sources, this runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.house import CLIENT, LIGHT

WATCH = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
loaded = {name for name in set(sys.modules) - before if getattr(sys.modules[name], "__spec__", None)}
google = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("google.")}
foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"google"}
print(json.dumps(sorted(foreign | google)))
"""

NUMPY_AND_MESSAGES = {"siamcorr", "numpy", "google.protobuf", "google._upb"}


def brought_by(*modules: str, path: Path | None = None) -> set[str]:
    """Return the packages, not of the standard library, that are loaded when ``modules`` were imported."""
    paths = [str(path)] if path else []
    inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths + inherited)}
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *modules], env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_face_brings_no_torch_no_opencv_and_no_grpc() -> None:
    assert brought_by("siamcorr") <= NUMPY_AND_MESSAGES


def test_the_light_rooms_bring_numpy_and_messages_only() -> None:
    assert brought_by(*(f"siamcorr.{room}" for room in LIGHT)) <= NUMPY_AND_MESSAGES


@pytest.mark.parametrize("module", ["siamcorr_client", "siamcorr_client.trackers"])
def test_the_client_brings_what_its_install_has(module: str) -> None:
    needed_by_grpc = {"typing_extensions"}
    taken_by_grpc_where_installed = {"grpc_health", "grpc_reflection", "grpc_tools"}
    ours = {"siamcorr", "siamcorr_client"}
    brought = brought_by(module) - taken_by_grpc_where_installed
    assert brought <= ours | NUMPY_AND_MESSAGES | CLIENT | needed_by_grpc


def test_what_is_brought_is_seen(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text("")
    (tmp_path / "light.py").write_text("try:\n    import heavy\nexcept ImportError:\n    pass\n")
    assert brought_by("light", path=tmp_path) == {"light", "heavy"}
