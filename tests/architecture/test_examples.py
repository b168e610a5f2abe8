"""Every example in a docstring runs, and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from architecture.house import ROOT
from architecture.sources import installed_sources

WITH_EXAMPLES = [source.module for source in installed_sources(ROOT) if ">>> " in source.text]


def failed_and_tried(module: ModuleType) -> tuple[int, int]:
    result = doctest.testmod(module)
    return result.failed, result.attempted


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_run(name: str) -> None:
    failed, tried = failed_and_tried(importlib.import_module(name))
    assert tried, "there are examples, but not in a docstring that doctest finds"
    assert not failed, "see the captured output"


def test_a_wrong_example_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong_example.py").write_text('"""\n>>> 1 + 1\n3\n"""\n')
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert failed_and_tried(importlib.import_module("wrong_example")) == (1, 1)
    finally:
        del sys.modules["wrong_example"]
