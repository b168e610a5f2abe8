"""What the README says is true: its examples run, its commands are taken, and what it points at is there."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import siamcorr
import siamcorr_client
from architecture.house import ROOT
from servers import RunningServer, serving
from siamcorr import EngineSettings, errors
from siamcorr.errors import CallerError, InternalError, OverloadError
from siamcorr_client import Client
from siamcorr_demo.__main__ import main as demonstrate
from siamcorr_demo.clip import Clip
from siamcorr_demo.options import read_options
from siamcorr_server.__main__ import main as serve
from siamcorr_server.command_line import CommandLine
from siamcorr_server.config import ServerConfig

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
FIRST, CALLS, TRACKER, IN_PROCESS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^    (?:\.venv/bin/)?((?:siamcorr-|make ).*)$", README, re.MULTILINE)
RANDOM = np.random.default_rng(5)
CLIP = Clip(frames=3)

pytestmark = pytest.mark.usefixtures("one_thread")


def features(*shape: int) -> Any:
    return RANDOM.standard_normal(shape, np.float32)


def encoded(ending: str) -> Callable[[int], bytes]:
    return lambda index: cv2.imencode(ending, CLIP.image(index))[1].tobytes()


IMAGES: Mapping[str, Callable[[int], Any]] = {
    "pixels": CLIP.image,
    "JPEG": encoded(".jpg"),
    "PNG": encoded(".png"),
}


def run(block: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a block of the README, and return its names."""
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102
    return names


def given(address: str) -> dict[str, Any]:
    """What the README's readers have before its second example: their features and the first example."""
    names = run(FIRST.replace(ServerConfig().listen, address), {})
    shapes = {"z_cls": (256, 6, 6), "z_loc": (128, 4, 4), "z_new": (256, 6, 6), "xs": (3, 256, 22, 22)}
    return names | {name: features(*shape) for name, shape in shapes.items()}


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def help_of(program: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        program(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(EngineSettings(device="cpu")) as running:
        yield running


def test_the_first_example_prints_what_it_says(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ServerConfig().listen in FIRST
    assert len(FIRST.splitlines()) < 15
    run(FIRST.replace(ServerConfig().listen, server.address), {})
    printed = capsys.readouterr().out
    (said,) = re.findall(r"print\(.*\n +# (.*\n)", FIRST)
    assert doctest.OutputChecker().check_output(said, printed, doctest.ELLIPSIS), printed
    assert not server.engine.stats().bank.templates


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_every_call_that_is_shown_can_be_made(server: RunningServer, image: Callable[[int], Any]) -> None:
    names = given(server.address)
    with Client(server.address) as client:
        names |= {
            "client": client,
            "other": client.create_template(names["z_new"]),
            "frame": image(0),
            "boxes": CLIP.boxes(0),
            "last_box": (410, 120, 64, 48),
            "weight": features(10, 256),
            "bias": features(10),
        }
        run(CALLS, names)
    assert [future.result().generation for future in names["futures"]] == [2, 2, 2]
    assert len(names["cars"]) == len(CLIP.boxes(0))
    assert names["response"].map.shape == (1, 17, 17)
    assert names["response"].map.dtype == np.float16
    assert not names["response"].map.flags.writeable
    assert not server.engine.stats().bank.templates


def test_the_tracker_that_is_shown_follows_its_targets(server: RunningServer) -> None:
    frames = [CLIP.image(1), CLIP.image(2)]
    with Client(server.address) as client:
        names: dict[str, Any] = {
            "client": client,
            "first_frame": CLIP.image(0),
            "frames": frames,
            "boxes": CLIP.boxes(0),
        }
        run(TRACKER, names)
    assert names["boxes"] == pytest.approx(CLIP.boxes(2), abs=8)
    assert names["scores"].shape == (4,)


def test_the_same_calls_can_be_made_in_one_process(server: RunningServer) -> None:
    names = run(IN_PROCESS, given(server.address))
    assert names["maps"][0].numpy() == pytest.approx(names["response"].map, rel=1e-5)
    assert names["response"].peaks


def test_every_command_that_is_shown_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nanotrackv3_state_dict.pt").touch()
    read: dict[str, Callable[[list[str]], object]] = {
        "siamcorr-server": CommandLine().read,
        "siamcorr-demo": lambda arguments: read_options(arguments, has_screen=True),
    }
    programs = set()
    for command in COMMANDS:
        program, *arguments = shlex.split(command, comments=True)
        programs.add(program)
        if program != "make":
            read[program](arguments)
    assert programs == {"make", *read}


def test_every_flag_that_is_named_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    of_server, of_demo = (flags_in(help_of(program, capsys)) for program in (serve, demonstrate))
    assert len(flags_in(section("Running it"))) > 5
    assert flags_in(section("Running it")) <= of_server
    assert flags_in(section("The demo")) <= of_demo
    assert flags_in(README) <= of_server | of_demo


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing
    assert links or page != "README.md"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = re.findall(r"`([\w.]+/[\w./]*)`", (ROOT / page).read_text(encoding="utf-8"))
    missing = [path for path in named if not (ROOT / path).exists()]
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
    public = {*siamcorr.__all__, *siamcorr_client.__all__}
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
