"""What the README says is true: its examples run, its commands are taken, and what it points at is there."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import pages
import siamcorr
import siamcorr_client
from architecture.house import ROOT
from pages import MAINS, READERS, blocks, commands, flags_in, help_of, missing_links, read_commands, text_of
from servers import RunningServer, serving
from siamcorr import EngineSettings, errors
from siamcorr.errors import CallerError, InternalError, OverloadError
from siamcorr.shapes import KINDS, Correlation, resolve
from siamcorr_client import Client, trackers
from siamcorr_demo.clip import Clip
from siamcorr_server.config import ServerConfig

README = text_of("README.md")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
DOCS = (*(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")), "examples/nodejs/README.md")
FIRST, SET_UP, CALLS, TRACKER, IN_PROCESS = blocks(README)
CLIP = Clip(frames=3, targets=4)

pytestmark = pytest.mark.usefixtures("one_thread")


def encoded(ending: str) -> Callable[[Any], bytes]:
    return lambda pixels: cv2.imencode(ending, pixels)[1].tobytes()


IMAGES: Mapping[str, Callable[[Any], Any]] = {
    "pixels": lambda pixels: pixels,
    "JPEG": encoded(".jpg"),
    "PNG": encoded(".png"),
}


def run(block: str, names: dict[str, Any], server: RunningServer) -> dict[str, Any]:
    """Run a block of the README against a server, and return its names."""
    return pages.run(block, names, server, "README.md")


def length(axis: str, sizes: Mapping[str, int]) -> float:
    """Return an axis of the table, such as ``C/g``, in numbers."""
    first, *others = re.split(r"([*/])", axis.replace("'", "_"))
    value: float = sizes.get(first) or int(first)
    for sign, name in zip(others[::2], others[1::2], strict=True):
        value = value * sizes[name] if sign == "*" else value / sizes[name]
    return value


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(EngineSettings(device="cpu")) as running:
        yield running


def test_the_first_example_prints_what_it_says(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ServerConfig().listen in FIRST
    assert len(FIRST.splitlines()) < 15
    run(FIRST, {}, server)
    printed = capsys.readouterr().out
    (said,) = re.findall(r"print\(.*\n +# (.*\n)", FIRST)
    assert doctest.OutputChecker().check_output(said, printed, doctest.ELLIPSIS), printed
    assert not server.engine.stats().bank.templates


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_every_call_that_is_shown_can_be_made(server: RunningServer, image: Callable[[Any], Any]) -> None:
    names = run(SET_UP, run(FIRST, {}, server), server)
    with names["client"]:
        names["frame"] = image(names["frame"])
        run(CALLS, names, server)
    assert [future.result().generation for future in names["futures"]] == [2, 2, 2]
    assert [response.peak for response in names["responses"]] == 2 * [
        future.result().peak for future in names["futures"]
    ]
    assert len(names["cars"]) == len(names["boxes"])
    x, y, w, h = names["boxes"][0]  # where the template is from, in the same frame
    assert names["middle"] == pytest.approx((x + w / 2, y + h / 2), abs=2)
    assert names["response"].map.shape == (1, 17, 17)
    assert names["response"].map.dtype == np.float16
    assert not names["response"].map.flags.writeable
    assert not server.engine.stats().bank.templates


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_shapes_is_the_operators(kind: str) -> None:
    (head, *rows) = re.findall(r"^\| (`kind`|template|response map) \| (.*) \|$", README, re.MULTILINE)
    column = head[1].split(" | ").index(kind)
    # h and w are 2 and 3 cells, so that a search region of 8 x 10 has 7 x 8 positions.
    sizes = {"C": 12, "h": 2, "w": 3, "k": 5, "g": 4, "O": 8, "H": 8, "W": 10, "H_": 7, "W_": 8}
    template, response = (
        tuple(int(length(axis, sizes)) for axis in row[1].split(" | ")[column].strip("()").split(", "))
        for row in rows
    )
    correlation = Correlation(kind, groups=sizes["g"] if kind in {"groupwise", "grouped"} else None)
    assert resolve(correlation, template, (12, 8, 10)).response == response


def test_the_tracker_that_is_shown_follows_its_targets(server: RunningServer) -> None:
    frames = [CLIP.image(1), CLIP.image(2)]
    with Client(server.address) as client:
        names: dict[str, Any] = {
            "client": client,
            "first_frame": CLIP.image(0),
            "frames": frames,
            "boxes": CLIP.boxes(0),
        }
        run(TRACKER, names, server)
    boxes = [names["tracks"][number].box for number in names["numbers"]]
    assert np.array(boxes) == pytest.approx(CLIP.boxes(2), abs=8)


def test_the_same_calls_can_be_made_in_one_process(server: RunningServer) -> None:
    names = run(IN_PROCESS, run(FIRST, {}, server), server)
    assert names["maps"][0].numpy() == pytest.approx(names["response"].map, rel=1e-5)
    assert names["response"].peaks


def test_every_command_that_is_shown_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "otb").mkdir()
    assert read_commands(commands(README), tmp_path) == {"make", *READERS}


def test_every_flag_that_is_named_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    of = {program: flags_in(help_of(main, capsys)) for program, main in MAINS.items()}
    assert len(flags_in(section("Running it"))) > 5
    assert flags_in(section("Running it")) <= of["siamcorr-server"]
    assert flags_in(section("The demo")) <= of["siamcorr-demo"]
    assert flags_in(section("Evaluate a tracker")) <= of["siamcorr-eval"]
    assert flags_in(section("Load test")) <= of["siamcorr-load"]
    assert flags_in(README) <= set().union(*of.values())


@pytest.mark.parametrize("page", [*PAGES, *DOCS])
def test_every_link_and_picture_is_there(page: str) -> None:
    assert not list(missing_links(page))
    assert page != "README.md" or "](" in README


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = re.findall(r"`([\w.]+/[\w./]*)`", (ROOT / page).read_text(encoding="utf-8"))
    missing = [path for path in named if not (ROOT / path).exists() and not path.startswith("results/")]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_is_named_is_there(page: str) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(
        r"(?:^    |`)make ([a-z ]*[a-z])", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {target for line in named for target in line.split()} <= set(targets)
    assert named or page == "CHANGELOG.md"


def test_the_rooms_on_a_requests_path_are_there() -> None:
    rows = re.findall(r"^    (\S.*?) {2,}(\S.*?) {2,}(\S.*)$", section("The path of a request"), re.MULTILINE)
    assert len(rows) > 8
    for _, rooms, _ in rows:
        first, *others = rooms.split(", ")
        for room in (Path(first), *(Path(first).parent / other for other in others)):
            assert (ROOT / room).is_dir() or (ROOT / room).with_suffix(".py").is_file(), room


def test_every_name_in_capitals_is_public() -> None:
    named = set(re.findall(r"`([A-Z][a-z]\w+)`", README)) - {"BlockingIOError"}
    public = {*siamcorr.__all__, *siamcorr_client.__all__, *trackers.__all__}
    assert named <= public


@pytest.mark.parametrize("family", [CallerError, OverloadError, InternalError])
def test_every_error_is_named_in_its_family(family: type[Exception]) -> None:
    families = re.findall(r"\(`((?:Caller|Overload|Internal)Error)`(.*?)\)", README, re.DOTALL)
    named = {name: set(re.findall(r"`([A-Z]\w+)`", text)) for name, text in families}
    members = {name for name in errors.__all__ if name != "BY_REASON"}
    assert members <= set(siamcorr_client.__all__)
    assert named[family.__name__] == {
        name for name in members if issubclass(getattr(errors, name), family) and name != family.__name__
    }
