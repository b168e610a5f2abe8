"""What the pages say, taken apart: their examples, the commands and flags that they name, and their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from architecture.house import ROOT
from servers import RunningServer
from siamcorr.explain import main as explain
from siamcorr_demo.__main__ import main as demonstrate
from siamcorr_demo.options import read_options as read_demo_options
from siamcorr_eval.__main__ import main as evaluate
from siamcorr_eval.options import read_options as read_eval_options
from siamcorr_load.__main__ import main as load
from siamcorr_load.options import read_options as read_load_options
from siamcorr_server.__main__ import main as serve
from siamcorr_server.command_line import CommandLine
from siamcorr_server.config import ServerConfig

__all__ = [
    "MAINS",
    "READERS",
    "blocks",
    "commands",
    "flags_in",
    "help_of",
    "missing_links",
    "read_commands",
    "run",
    "text_of",
]

Program = Callable[[list[str]], object]

MAINS: Mapping[str, Program] = {
    "siamcorr-server": serve,
    "siamcorr-demo": demonstrate,
    "siamcorr-eval": evaluate,
    "siamcorr-load": load,
    "siamcorr-explain": explain,
}

READERS: Mapping[str, Program] = {
    "siamcorr-server": CommandLine().read,
    "siamcorr-demo": lambda arguments: read_demo_options(arguments, has_screen=True),
    "siamcorr-eval": read_eval_options,
    "siamcorr-load": read_load_options,
    "siamcorr-explain": lambda arguments: explain([*arguments, "--repeats", "1"]),
}
"""What reads a program's arguments, without doing more than it must."""

_FILE = re.compile(r"[\w+]+=(?P<files>[\w./,-]+)")
_LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str = "python") -> list[str]:
    """Return the fenced blocks of a language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


def run(block: str, names: dict[str, Any], server: RunningServer, page: str) -> dict[str, Any]:
    """Run a block of a page against a server, and return its names."""
    exec(compile(block.replace(ServerConfig().listen, server.address), page, "exec"), names)  # noqa: S102
    return names


def commands(text: str) -> list[str]:
    """Return the lines that call a program of ours or make."""
    return re.findall(r"^    (?:[\w./]*/bin/)?((?:siamcorr-|make ).*)$", text, re.MULTILINE)


def read_commands(lines: Iterable[str], folder: Path) -> set[str]:
    """Let programs read their commands, with the files that these name in ``folder``; return which."""
    programs = set()
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        programs.add(program)
        for argument in arguments:
            if named := _FILE.fullmatch(argument):
                for name in named["files"].split(","):
                    if not name.startswith("/"):
                        (folder / name).touch()
        if program != "make":
            READERS[program](arguments)
    return programs


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def help_of(program: Program, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        program(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def missing_links(page: str) -> Iterator[str]:
    """Yield the links of a page whose file, or whose heading in a page, is not there."""
    for link in _LINK.finditer(text_of(page)):
        path, anchor = link["path"], link["anchor"]
        if "://" in path:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))):
            yield link.group()


def _anchors(text: str) -> set[str]:
    """Return what headings are linked by, as the common forges make it of them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
