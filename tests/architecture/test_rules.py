"""The rules of the house hold, and each of them can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from architecture import rules
from architecture.house import ROOT
from architecture.rules import RULES, Rule

FINE = '"""A room."""\n\n__all__ = []\n'

BREACHES: list[tuple[Rule, str, str, str]] = [
    # The rule, a file that breaks it, its text, and what the rule says.
    (rules.every_room_has_a_floor, "siamcorr/attic.py", "", "siamcorr.attic: add it to FLOORS in"),
    (rules.every_room_has_a_floor, "siamcorr/errors.py", "", "siamcorr.shapes: gone, so take it out of"),
    (
        rules.nothing_imports_upward,
        "siamcorr/shapes.py",
        "import siamcorr.bank",
        "shapes on floor 1 leans on",
    ),
    (rules.nothing_imports_upward, "siamcorr/shapes.py", "from siamcorr import bank", "on siamcorr.bank on"),
    (rules.nothing_imports_upward, "siamcorr/shapes.py", "from siamcorr import Engine", "siamcorr.__init__"),
    (rules.nothing_imports_upward, "siamcorr/shapes.py", "from .peaks import Peak", "on siamcorr.peaks on 1"),
    (rules.nothing_imports_upward, "siamcorr/ops/__init__.py", "from ..bank import Bank", "siamcorr.bank"),
    (rules.nothing_imports_upward, "siamcorr/ops/trick.py", "from .. import bank", "siamcorr.bank"),
    (
        rules.no_room_grows_heavy,
        "siamcorr/batcher.py",
        "import torch",
        "siamcorr.batcher may not import torch",
    ),
    (
        rules.no_room_grows_heavy,
        "siamcorr/shapes.py",
        "def f() -> None:\n    from cv2 import imread",
        "shapes.py:2: siamcorr.shapes may not import cv2.imread",
    ),
    (
        rules.no_room_grows_heavy,
        "siamcorr/wire/parts.py",
        "from siamcorr.images import decode",
        "siamcorr.wire would bring cv2, simplejpeg through siamcorr.images",
    ),
    (
        rules.packages_import_what_they_may,
        "siamcorr/wire/parts.py",
        "import grpc",
        "siamcorr may not import grpc",
    ),
    (
        rules.packages_import_what_they_may,
        "siamcorr/engine.py",
        "from siamcorr.v1 import template_service_pb2_grpc",
        "siamcorr may not import siamcorr.v1.template_service_pb2_grpc",
    ),
    (
        rules.packages_import_what_they_may,
        "siamcorr/engine.py",
        "import siamcorr_server.limits",
        "siamcorr may not import siamcorr_server.limits",
    ),
    (
        rules.packages_import_what_they_may,
        "clients/siamcorr_client/client.py",
        "from siamcorr.ops import xcorr",
        "siamcorr_client may not import siamcorr.ops.xcorr",
    ),
    (
        rules.packages_import_what_they_may,
        "clients/siamcorr_client/client.py",
        "from siamcorr import Engine",
        "siamcorr_client may not import siamcorr.Engine",
    ),
    (
        rules.packages_import_what_they_may,
        "clients/siamcorr_client/client.py",
        "from google.rpc import error_details_pb2",
        "siamcorr_client may not import google.rpc.error_details_pb2",
    ),
    (
        rules.packages_import_what_they_may,
        "clients/siamcorr_demo/app.py",
        "from siamcorr_server import serve",
        "siamcorr_demo may not import siamcorr_server.serve",
    ),
    (
        rules.packages_import_what_they_may,
        "server/siamcorr_server/app.py",
        "import siamcorr_client",
        "siamcorr_server may not import siamcorr_client",
    ),
    (rules.packages_import_what_they_may, "clients/siamcorr_new/app.py", "", "add siamcorr_new to PACKAGES"),
    (rules.no_asserts_where_python_may_skip_them, "siamcorr/bank.py", "assert True", "bank.py:1: assert"),
    (rules.files_are_short, "tests/unit/test_bank.py", "\n" * 301, "test_bank.py: 301 lines, at most 300"),
    (rules.tests_never_sleep, "tests/unit/test_a.py", "from time import sleep", "from time import sleep"),
    (
        rules.tests_never_sleep,
        "tests/unit/test_a.py",
        "import time\ntime.sleep(1)",
        "test_a.py:2: time.sleep(1)",
    ),
    (
        rules.tests_never_sleep,
        "tests/unit/test_a.py",
        "asyncio.sleep(0.1)",
        "test_a.py:1: asyncio.sleep(0.1)",
    ),
    (rules.no_paths_of_one_machine, "README.md", "See /" + "home/me/notes.", "README.md:1: /" + "home/m"),
    (rules.no_paths_of_one_machine, "tests/unit/test_a.py", "X = '/" + "tmp/x'", "test_a.py:1: /" + "tmp/x"),
    (rules.modules_say_what_they_are, "siamcorr/bank.py", "__all__ = []", "siamcorr/bank.py: no docstring"),
    (
        rules.modules_say_what_they_are,
        "siamcorr/ops/__init__.py",
        '"""Ops."""\nX = 1',
        "__init__.py: no __all__",
    ),
    (rules.modules_say_what_they_are, "server/siamcorr_server/__main__.py", "", "__main__.py: no docstring"),
]


def tree_of(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule) -> None:
    breaches = rule(ROOT)
    assert not breaches, "\n".join([rule.__doc__ or "", *breaches])


@pytest.mark.parametrize(("rule", "path", "text", "says"), BREACHES)
def test_the_rule_can_fail(rule: Rule, path: str, text: str, says: str, tmp_path: Path) -> None:
    rooms = {f"siamcorr/{room}.py": FINE for room in ("bank", "peaks", "images", "answers")}
    breaches = rule(tree_of(tmp_path, rooms | {path: text}))
    assert any(says in breach for breach in breaches), breaches


def test_every_rule_is_seen_to_fail() -> None:
    assert {rule for rule, *_ in BREACHES} == set(RULES)


def test_what_is_allowed_is_not_a_breach(tmp_path: Path) -> None:
    fine = {
        "siamcorr/shapes.py": f"{FINE}from math import pi\nfrom siamcorr.errors import InvalidArgument\n",
        "siamcorr/errors.py": FINE,
        "siamcorr/v1/tensor_pb2_grpc.py": "import grpc\nassert grpc\n" + "\n" * 400,
        "siamcorr/wire/__init__.py": '"""A package without names of its own."""\n',
        "siamcorr/ops/__init__.py": f"{FINE}from .trick import trick\nimport torch\n",
        "siamcorr/ops/trick.py": f"{FINE}from siamcorr.ops import operands, peaks\n",
        "clients/siamcorr_client/__init__.py": f"{FINE}from siamcorr.v1 import x_pb2_grpc\nimport grpc.aio\n",
        "server/siamcorr_server/_x.py": "from siamcorr import Engine\nfrom google.rpc import code_pb2\n",
        "tests/unit/test_shapes.py": "import asyncio\nassert asyncio.sleep(0)\n",
        "README.md": "See https://example.org/home/page and ./work/x, and <tmp>/x.\n",
    }
    tree_of(tmp_path, fine)
    assert [breach for rule in RULES[1:] for breach in rule(tmp_path)] == []
