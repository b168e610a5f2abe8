"""The command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from siamcorr.errors import InvalidArgument
from siamcorr_load.__main__ import main
from siamcorr_load.controller import Enough
from siamcorr_load.options import read_options
from siamcorr_load.payloads import VARIANTS, payload_for
from siamcorr_load.recorder import Tally
from siamcorr_load.result_json import from_json, to_json
from siamcorr_load.results import Capacity, Run
from siamcorr_load.settings import Load
from siamcorr_load.summary import Measured, summary

SERVER = ["--server", "127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "found no server, expected --server HOST:PORT or --compare A.json B.json"),
        ([*SERVER, "--cameras", "0"], "found '0', expected a number from 1"),
        ([*SERVER, "--fps", "fast"], "found 'fast', expected 0.1 to"),
        ([*SERVER, "--fps", "nan"], "found 'nan', expected 0.1 to"),
        ([*SERVER, "--template", "1,2"], "found '1,2', expected 3 numbers from 1, with commas"),
        ([*SERVER, "--pattern", "waves"], "invalid choice: 'waves'"),
        ([*SERVER, "--kind", "network"], "network expected --payload jpeg or raw"),
        ([*SERVER, "--frames", "video"], "expected --payload jpeg or raw"),
        ([*SERVER, "--template", "9,6,6"], "template: found 9 channels, expected 256"),
        ([*SERVER, "--compare", "a", "b"], "--server: not allowed with argument --compare"),
        ([*SERVER, "--chaos", "restart"], "--serve: expected --chaos restart and --serve FLAGS"),
        (["--serve", ""], "--serve: expected --chaos restart and --serve FLAGS"),
        ([*SERVER, "--chaos", "restart", "--serve", ""], "--server: not allowed with argument --serve"),
        (["--chaos", "kill"], "found no server"),
        (["--against", "b:1"], "found no server"),
        ([*SERVER, "--against", "b:1", "--repeats", "2"], "--repeats: found 2, expected 3 or more"),
        ([*SERVER, "--camera", "2"], "unrecognized arguments: --camera"),
        *(
            (["--server", bad], f"--server: found '{bad}', expected HOST:PORT")
            for bad in ("camera7", "camera7:", ":50051", "camera7:0", "camera7:65536", "http://camera7:1")
        ),
        ([*SERVER, "--windows", "5", "--max-windows", "4"], "found 4, expected --windows, 5, or more"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("beside", "idle"),
    [
        ("--find-capacity", "--against b:1"),
        ("--find-capacity", "--concurrency 2"),
        ("--find-capacity", "--repeats 2"),
        ("--find-capacity", "--windows 4"),
        ("--find-capacity", "--max-windows 4"),
        ("--find-capacity", "--tolerance 0.1"),
        ("--find-capacity", "--no-headroom"),
        ("--against b:1", "--max-windows 4"),
        ("--against b:1", "--tolerance 0.1"),
        ("--against b:1", "--no-headroom"),
        ("--against b:1", "--metrics-url http://b"),
        ("--against b:1", "--server-pid 1"),
        ("--concurrency 2", "--pattern burst"),
        ("--chaos kill", "--find-capacity"),
        ("--chaos kill", "--against b:1"),
        ("--chaos kill", "--html a"),
        ("--chaos kill", "--cameras 2"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    beside: str, idle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options([*SERVER, *idle.split(), *beside.split()])
    assert ended.value.code == 2
    says = f"argument {idle.split(maxsplit=1)[0]}: not allowed with argument {beside.split(maxsplit=1)[0]}\n"
    assert capsys.readouterr().err.endswith(says)


@pytest.mark.parametrize(
    ("alone", "says"),
    [
        ("--within 9", "argument --within: expected --find-capacity beside it"),
        ("--runs a b", "argument --runs: expected --against HOST:PORT beside it"),
        ("--ttl 9", "argument --ttl: expected --chaos MODE beside it"),
        ("--model hog", "argument --model: expected --payload jpeg or raw beside it"),
        ("--frame-size 64,64", "argument --frame-size: expected --payload jpeg or raw beside it"),
        ("--payload jpeg --search 9,9,9", "argument --search: expected --payload features beside it"),
        (
            "--payload jpeg --wire-dtype float16",
            "argument --wire-dtype: expected --payload features beside it",
        ),
        ("--payload raw --frames a --frame-size 64,64", "--frame-size: not allowed with argument --frames"),
        ("--payload raw --kind network --output map", "argument --output: not allowed with --kind network"),
        ("--output peaks --map-dtype float16", "argument --map-dtype: not allowed with --output peaks"),
    ],
)
def test_an_option_says_what_it_needs_beside_it(
    alone: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_options([*SERVER, *alone.split()])
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", ["find_capacity", "fps", "repeats"])
def test_beside_a_comparison_of_files_nothing_of_a_load_is_allowed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option = {"find_capacity": ["--find-capacity"]}.get(name, [f"--{name}", "5"])
    with pytest.raises(SystemExit):
        read_options(["--compare", "a", "b", *option])
    assert f"argument {option[0]}: not allowed with argument --compare" in capsys.readouterr().err


def test_a_search_has_defaults_of_its_own_and_takes_what_is_given() -> None:
    load = read_options([*SERVER, "--find-capacity", "--fps", "2"]).load
    assert load is not None
    assert (load.cameras, load.warm_up_s, load.timeout_s, load.headroom) == (8, 1.0, 2.0, False)
    given = ["--fps", "2", "--warm-up", "5", "--timeout", "7", "--cameras", "3"]
    load = read_options([*SERVER, "--find-capacity", *given]).load
    assert load is not None
    assert (load.cameras, load.warm_up_s, load.timeout_s) == (3, 5.0, 7.0)


def test_so_many_windows_as_are_asked_for_are_allowed() -> None:
    load = read_options([*SERVER, "--windows", "20"]).load
    assert load is not None
    assert load.max_windows == 20


def test_what_cannot_be_written_is_told_before_the_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("siamcorr_load.__main__.run", lambda *_, **__: pytest.fail("there was a load"))
    assert main([*SERVER, "--json", str(tmp_path / "a.json"), "--html", str(tmp_path)]) == 2
    assert "expected a file to write" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_flags_that_no_shell_would_take_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chaos", "restart", "--serve", "'x"]) == 2
    assert "serve: found" in capsys.readouterr().err


def test_a_comparison_of_what_is_not_there_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--compare", str(tmp_path / "a.json"), "b.json"]) == 2
    assert "a.json: found No such file or directory" in capsys.readouterr().err


def test_targets_are_spread_within_the_frame_and_frames_differ() -> None:
    payload = payload_for(Load(server="", payload="raw", frame_size=(160, 120), targets=7))
    frames = [payload.search(number) for number in range(VARIANTS)]
    boxes = np.asarray(frames[0]["box"], np.float64)
    assert boxes.shape == (7, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (160, 120)).all()
    assert len({frame["image"].tobytes() for frame in frames}) == VARIANTS  # type: ignore[union-attr]
    assert payload.search(VARIANTS)["image"] is frames[0]["image"]


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_frames_is_named(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match="frames: found"):
        payload_for(Load(server="", payload="jpeg", frames=str(tmp_path / folder)))


@pytest.mark.parametrize("payload", ["jpeg", "raw"])
def test_a_frame_that_is_no_picture_is_named(payload: str, tmp_path: Path) -> None:
    (tmp_path / "0001.jpg").write_text("none")
    with pytest.raises(InvalidArgument, match=r"0001\.jpg: no picture"):
        payload_for(Load(server="", payload=payload, frames=str(tmp_path)))


def test_frames_of_different_sizes_are_named(tmp_path: Path) -> None:
    for number, size in enumerate([(96, 64), (96, 64), (64, 96)]):
        drawn = payload_for(Load(server="", payload="jpeg", frame_size=size)).search(0)["image"]
        assert isinstance(drawn, bytes)
        (tmp_path / f"000{number}.jpg").write_bytes(drawn)
    says = r"found .*0002\.jpg: 64x96 pixels, expected 96x64 pixels, as 0000\.jpg has"
    with pytest.raises(InvalidArgument, match=says):
        payload_for(Load(server="", payload="jpeg", frames=str(tmp_path)))


def test_a_frame_that_would_fill_the_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = payload_for(Load(server="", payload="jpeg", frame_size=(64, 64))).search(1)["image"]
    assert isinstance(drawn, bytes)
    (tmp_path / "0001.jpg").write_bytes(drawn)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 9)
    with pytest.raises(InvalidArgument, match=r"0001\.jpg: Image size"):
        payload_for(Load(server="", payload="jpeg", frames=str(tmp_path)))


def test_frames_of_a_folder_are_sent_as_they_are(tmp_path: Path) -> None:
    drawn = payload_for(Load(server="", payload="jpeg", frame_size=(64, 64))).search(1)["image"]
    assert isinstance(drawn, bytes)
    (tmp_path / "0001.jpg").write_bytes(drawn)
    (tmp_path / "notes.txt").write_text("none")
    payload = payload_for(Load(server="", payload="jpeg", frames=str(tmp_path)))
    assert payload.search(0)["image"] == payload.search(1)["image"] == drawn


def test_the_search_varies_cameras_and_tells_targets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[Load] = []

    def scripted(load: Load, enough: Enough) -> Run:
        tried.append(load)
        tally = Tally(sent=1000, on_time=1000)
        for _ in range(1000):
            tally.latency.record(0.01 if load.cameras <= 20 else 0.5)
        tally.on_time = 1000 if load.cameras <= 20 else 0
        tally.checked = 10
        return summary(load, [Measured((tally,) * 3, (tally.window(1.0),) * 3)], started="now")

    monkeypatch.setattr("siamcorr_load.__main__.run", scripted)
    out = tmp_path / "capacity.json"
    code = main([*SERVER, "--find-capacity", "--cameras", "8", "--targets", "3", "--json", str(out)])
    found = from_json(out.read_bytes(), Capacity)
    assert (code, found.answer) == (0, 60)
    assert [point.targets for point in found.points] == [3 * load.cameras for load in tried]
    assert tried[0].cameras == 8
    assert all(load.timeout_s == 1.0 and not load.headroom for load in tried)
    assert "60" in capsys.readouterr().out


def test_a_run_compared_with_itself_is_no_different(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally(sent=10, on_time=10)
    for _ in range(10):
        tally.latency.record(0.01)
    run = summary(Load(server="a"), [Measured((tally,) * 3, (tally.window(1.0),) * 3)], started="now")
    (tmp_path / "a.json").write_text(to_json(run), encoding="utf-8")
    assert main(["--compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 0
    assert "no difference" in capsys.readouterr().out


def test_two_servers_are_compared_turn_by_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def scripted(load: Load, *_rest: object) -> Measured:
        """Measure a machine that slows down all the time, and a server "b" that is slower by a half."""
        order.append(load.server)
        tally = Tally(sent=100, on_time=100, checked=1)
        for _ in range(100):
            tally.latency.record(0.01 * 1.2 ** len(order) * (1.5 if load.server == "b:1" else 1.0))
        return Measured((tally,) * 3, (tally.window(1.0),) * 3)

    monkeypatch.setattr("siamcorr_load.turns.measure", scripted)
    shown = tmp_path / "difference.html"
    kept = [str(tmp_path / name) for name in ("a.json", "b.json")]
    command = ["--server", "a:1", "--against", "b:1", "--quiet", "--html", str(shown), "--runs", *kept]
    assert main(command) == 1
    assert order == ["a:1", "b:1", "b:1", "a:1"] * 4
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "worse"
    assert main(["--compare", *kept]) == 1
    assert capsys.readouterr().out == said
    assert main(["--compare", *reversed(kept)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "better"
    assert "b:1" in shown.read_text(encoding="utf-8")
    order.clear()
    assert main([*command[:3], "a:1", *command[4:]]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no difference"
