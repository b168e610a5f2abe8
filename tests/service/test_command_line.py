"""The command line: what each flag sets, and one line for each mistake."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from servers import serving
from siamcorr.errors import InvalidArgument
from siamcorr.settings import EngineSettings, WarmShape
from siamcorr.shapes import Correlation
from siamcorr_server.__main__ import main
from siamcorr_server.command_line import CommandLine
from siamcorr_server.config import ServerConfig


def test_without_flags_everything_is_as_the_settings_have_it() -> None:
    assert CommandLine().read([]) == ServerConfig()


def test_each_flag_sets_one_setting() -> None:
    flags = """
        --listen [::1]:0 --device cpu --model nanotrackv3=w.pt --template-bytes 512MiB --template-ttl 2.5
        --evict lru --max-jobs 7 --max-queue-bytes 3KiB --max-batch 5 --max-message-bytes 1GiB
        --max-image-pixels 99 --max-multiply-adds 1000 --drain-seconds 1.5 --log-format json
        --log-level debug --threads 3 --decode-threads 4 --stream-window 6 --allow-nonfinite
        --metrics localhost:9464 --tracing --dashboard 8080
        --system-shared-memory /search_ --system-shared-memory /response
        --shared-memory 2GiB --prepared-bytes 0 --warm naive:8x3x3:8x9x9 --warm groupwise/2:8x3x3:8x9x9
    """
    assert CommandLine().read(flags.split()) == ServerConfig(
        listen="[::1]:0",
        engine=EngineSettings(
            device="cpu",
            models={"hog": None, "nanotrackv3": "w.pt"},
            budget_bytes=512 << 20,
            ttl_s=2.5,
            evict="lru",
            max_jobs=7,
            max_bytes=3 << 10,
            max_batch=5,
            max_image_pixels=99,
            max_multiply_adds=1000,
            check_finite=False,
            decode_threads=4,
            prepared_bytes=0,
            warm_shapes=[
                WarmShape(Correlation(), (8, 3, 3), (8, 9, 9)),
                WarmShape(Correlation("groupwise", groups=2), (8, 3, 3), (8, 9, 9)),
            ],
        ),
        max_message_bytes=1 << 30,
        shared_memory_bytes=2 << 30,
        system_memory_prefixes=("/search_", "/response"),
        metrics_listen="localhost:9464",
        tracing=True,
        dashboard_port=8080,
        drain_s=1.5,
        stream_window=6,
        threads=3,
        log_format="json",
        log_level="debug",
    )


def told(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """Run the program with a mistake; return its one line."""
    with pytest.raises(SystemExit) as end:
        main(flags)
    output = capsys.readouterr()
    assert end.value.code == 2
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("siamcorr-server: error: ")
    return line.removeprefix("siamcorr-server: error: ")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--listen nonsense", "--listen: found 'nonsense', expected HOST:PORT"),
        ("--listen 127.0.0.1:65536", "--listen: found"),
        ("--dashboard 65536", "--dashboard: found 65536, expected a port from 0 to 65535"),
        ("--metrics 9464", "--metrics: found '9464', expected HOST:PORT"),
        ("--metrics 127.0.0.1:65536", "--metrics: found"),
        ("--template-bytes 12MB", "argument --template-bytes: found '12MB', expected bytes, KiB"),
        ("--template-bytes 0", "--template-bytes: found 0, expected"),
        ("--template-ttl soon", "argument --template-ttl: found 'soon', expected seconds, or never"),
        ("--template-ttl nan", "--template-ttl: found nan"),
        ("--max-jobs 0", "--max-jobs: found 0"),
        ("--max-jobs many", "argument --max-jobs: invalid int value: 'many'"),
        ("--max-message-bytes 2GiB", "--max-message-bytes: found 2147483648"),
        ("--drain-seconds -1", "--drain-seconds: found -1.0"),
        ("--drain-seconds inf", "--drain-seconds: found inf"),
        ("--shared-memory -1", "argument --shared-memory: "),
        (
            "--shared-memory 1GiB --listen 0.0.0.0:0",
            "--shared-memory: found memory to share while listening on 0.0.0.0, expected a loopback address",
        ),
        ("--system-shared-memory /", "--system-shared-memory: found '/', expected '/' and one or more of"),
        ("--system-shared-memory /ok --system-shared-memory no", "--system-shared-memory: found 'no'"),
        ("--system-shared-memory /a/b", "--system-shared-memory: found '/a/b'"),
        (
            "--system-shared-memory /a --listen 0.0.0.0:0",
            "--system-shared-memory: found memory to share while listening on 0.0.0.0, expected a loopback",
        ),
        ("--threads 0", "--threads: found 0"),
        ("--evict maybe", "argument --evict: invalid choice: 'maybe'"),
        ("--model nanotrackv3=", "argument --model: found 'nanotrackv3=', expected NAME or NAME=FILE"),
        (
            "--model hog+mean --model dcfnet=a --model dcfnet=b",
            "argument --model: found 'dcfnet' twice, expected one file for a name",
        ),
        ("--model =net.pt", "argument --model: found '=net.pt', expected NAME or NAME=FILE"),
        ("--warm naive", "argument --warm: warm_shapes: found 'naive', expected KIND:CxHxW:CxHxW"),
        ("--warm naive:8x3:8x9x9", "argument --warm: warm_shapes: found"),
        ("--warm nave:8x3x3:8x9x9", "argument --warm: kind: found 'nave'"),
        ("--warm naive:8x3x3:9x9x9", "argument --warm: template: found 8 channels, expected 9"),
        ("--prepared-bytes many", "argument --prepared-bytes: found 'many'"),
        ("--colour red", "unrecognized arguments: --colour red"),
        ("--template 1GiB", "unrecognized arguments: --template 1GiB"),
    ],
)
def test_a_bad_setting_ends_with_one_line_that_names_the_flag(
    capsys: pytest.CaptureFixture[str], flags: str, expected: str
) -> None:
    assert told(capsys, *flags.split()).startswith(expected)


def test_what_only_the_engine_can_refuse_ends_alike(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listen = ("--listen", "127.0.0.1:0")
    missing = tmp_path / "missing.pt"
    assert told(capsys, *listen, "--device", "tpu:9").startswith("--device: found 'tpu:9'")
    assert told(capsys, *listen, "--model", f"nanotrackv3={missing}").startswith("--model: ")
    assert told(capsys, *listen, "--model", f"resnet={missing}").startswith("--model: found 'resnet'")


def test_a_port_in_use_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = told(capsys, "--listen", address)
    assert line == f"--listen: found {address} (Address already in use), expected an address to listen on"


def test_an_unknown_host_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--listen", "no_such_host.invalid:0").startswith("--listen: found no_such_host.inv")


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_are_told_on_stdout(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    with pytest.raises(SystemExit) as end:
        main([flag])
    output = capsys.readouterr()
    assert (end.value.code, output.err) == (0, "")
    assert "siamcorr" in output.out
    assert all(len(line) <= 100 for line in output.out.splitlines())


def test_memory_is_shared_on_linux_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(InvalidArgument, match="shared_memory_bytes: found a system darwin, expected Linux"):
        ServerConfig(shared_memory_bytes=1 << 30)
    with pytest.raises(InvalidArgument, match="system_memory_prefixes: found a system darwin"):
        ServerConfig(system_memory_prefixes=("/a",))
    assert ServerConfig(listen="0.0.0.0:0").shared_memory_bytes == 0, "it is off"


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(TypeError):
        ServerConfig(max_mesage_bytes=1)  # type: ignore[call-arg]
    with pytest.raises(InvalidArgument, match="log_format: found 'xml'"):
        ServerConfig(log_format="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listen", "beyond"),
    [
        ("127.0.0.1:0", False),
        ("localhost:0", False),
        ("[::1]:0", False),
        ("0.0.0.0:0", True),
        ("[::]:0", True),
    ],
)
def test_it_is_known_who_can_reach_an_address(listen: str, beyond: bool) -> None:
    assert ServerConfig(listen=listen).is_loopback is not beyond


def test_a_warning_says_that_there_is_no_authentication(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    with serving():
        assert "authentication" not in caplog.text
    monkeypatch.setattr(ServerConfig, "is_loopback", False)
    with serving():
        assert "authentication" in caplog.text
