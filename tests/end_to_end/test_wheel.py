"""What is installed: the wheel holds our packages and nothing else, and its base install is a client."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest
from build import ProjectBuilder
from packaging.requirements import Requirement

from architecture.house import PACKAGES, ROOT
from architecture.sources import all_sources


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = ProjectBuilder(ROOT).build("wheel", folder)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture(scope="module")
def base_install(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of an install without extras: ours, and what it requires with all that this requires."""
    theirs = tmp_path_factory.mktemp("requirements")
    waiting = [requirement for requirement in requirements(metadata(installed)) if not requirement.marker]
    seen = set()
    while waiting:
        name = waiting.pop().name
        if name not in seen:
            seen.add(name)
            link(name, theirs)
            needed = [Requirement(text) for text in distribution(name).requires or ()]
            waiting += [one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
    return [installed, theirs]


def metadata(installed: Path) -> Message:
    (path,) = installed.glob("siamcorr-*.dist-info/METADATA")
    return Parser().parsestr(path.read_text(encoding="utf-8"))


def requirements(of: Message) -> Iterator[Requirement]:
    yield from (Requirement(text) for text in of.get_all("Requires-Dist", ()))


def link(name: str, folder: Path) -> None:
    """Link an installed distribution's packages; of a namespace that is shared, its own part."""
    found = distribution(name)
    for file in found.files or ():
        depth = 2 if file.parts[0] == "google" else 1
        top = PurePosixPath(*file.parts[:depth])
        if ".." in top.parts or top.name == "__pycache__" or (folder / top).exists():
            continue
        (folder / top).parent.mkdir(exist_ok=True)
        (folder / top).symlink_to(str(found.locate_file(str(top))))


def run_with(folders: list[Path], code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` where only the standard library and ``folders`` can be imported."""
    code = f"import sys\nsys.path[:0] = {[str(folder) for folder in folders]!r}\n{code}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )


def test_only_our_packages_become_importable(installed: Path) -> None:
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == set(PACKAGES)


def test_every_module_and_its_types_are_in_the_wheel(installed: Path) -> None:
    sources = {
        source.path for source in all_sources(ROOT) if not source.path.startswith(("tests/", "protos/"))
    }
    ours = {path.removeprefix("server/").removeprefix("clients/") for path in sources}
    assert {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")} == ours
    assert all((installed / package / "py.typed").exists() for package in PACKAGES)
    messages = list((installed / "siamcorr/v1").glob("*_pb2.py"))
    assert messages
    assert all(path.with_suffix(".pyi").exists() for path in messages)


def test_the_dashboards_files_are_in_the_wheel(installed: Path) -> None:
    static = Path("siamcorr_server/dashboard/static")
    ours = {path.relative_to(ROOT / "server").as_posix() for path in (ROOT / "server" / static).rglob("*.*")}
    assert f"{static}/vendor/uPlot.LICENSE" in ours
    assert {path.relative_to(installed).as_posix() for path in (installed / static).rglob("*.*")} == ours


def test_every_command_is_a_function_of_the_wheel(installed: Path) -> None:
    (path,) = installed.glob("siamcorr-*.dist-info/entry_points.txt")
    entry_points = configparser.ConfigParser()
    entry_points.read(path)
    commands = dict(entry_points["console_scripts"])
    assert commands.keys() == {
        "siamcorr-demo",
        "siamcorr-eval",
        "siamcorr-explain",
        "siamcorr-load",
        "siamcorr-server",
        "siamcorr-trax",
    }
    for target in commands.values():
        module, function = target.split(":")
        tree = ast.parse((installed / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert function in defined | imported, target


def test_the_licence_and_the_extras_are_told(installed: Path) -> None:
    told = metadata(installed)
    assert told["License-Expression"] == "Apache-2.0"
    assert list(installed.glob("siamcorr-*.dist-info/licenses/LICENSE"))
    assert set(told.get_all("Provides-Extra", ())) == {
        "engine",
        "server",
        "tracing",
        "dashboard",
        "demo",
        "eval",
        "load",
    }


def test_the_base_install_is_a_client(base_install: list[Path]) -> None:
    done = run_with(
        base_install,
        "import siamcorr, siamcorr_client, siamcorr_client.trackers\n"
        "from siamcorr_client import AsyncClient, Client\n"
        "print(siamcorr_client.__file__)",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(base_install[0])), "the wheel's, not the checkout's"


@pytest.mark.parametrize("statement", ["from siamcorr.ops import xcorr", "from siamcorr import Engine"])
def test_what_needs_torch_names_the_extra(statement: str, base_install: list[Path]) -> None:
    done = run_with(base_install, statement)
    assert done.returncode != 0
    assert "ImportError" in done.stderr.splitlines()[-1]
    assert "siamcorr[engine]" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("program", "main", "extra"),
    [
        ("siamcorr_server.__main__", "main", "siamcorr[server]"),
        ("siamcorr_demo.start", "main", "siamcorr[demo]"),
        ("siamcorr_eval.start", "main", "siamcorr[eval]"),
        ("siamcorr_eval.start", "trax_main", "vot-trax"),
        ("siamcorr_load.start", "main", "siamcorr[load]"),
    ],
)
def test_a_program_without_its_extra_says_so_in_one_line(
    program: str, main: str, extra: str, base_install: list[Path]
) -> None:
    done = run_with(base_install, f"sys.argv[1:] = []\nfrom {program} import {main}\nsys.exit({main}())")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert extra in line


def test_what_is_not_required_is_out_of_reach(base_install: list[Path]) -> None:
    for module in ("torch", "cv2", "google.rpc", "pytest"):
        done = run_with(base_install, f"import {module}")
        assert "ModuleNotFoundError" in done.stderr, module
