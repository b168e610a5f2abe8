"""The examples in the docstrings run against a server, and each expression gives what its comment says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gates import PATIENCE_S
from servers import RunningServer, serving
from siamcorr import EngineSettings
from siamcorr_client import AsyncClient, Client

RANDOM = np.random.default_rng(0)
ADDRESS = "127.0.0.1:50051"


def examples_of(client: type) -> list[tuple[str, str]]:
    """Return the literal blocks after ``Example::``, each with the name of what it documents."""
    documented = [(client.__name__, client), *inspect.getmembers(client, inspect.isfunction)]
    return [
        (name, textwrap.dedent(inspect.getdoc(item).partition("Example::\n\n")[2]))  # type: ignore[union-attr]
        for name, item in documented
        if "Example::\n\n" in (inspect.getdoc(item) or "")
    ]


async def run_example(source: str, names: dict[str, Any]) -> list[tuple[str, str]]:
    """Run ``source``, and return what its commented expressions gave beside what their comments say."""
    lines, told = source.splitlines(), []
    for statement in ast.parse(source).body:
        comment = lines[(statement.end_lineno or 0) - 1][statement.end_col_offset or 0 :].strip()
        code = ast.unparse(statement)
        mode = "eval" if isinstance(statement, ast.Expr) and comment else "exec"
        value = eval(compile(code, "example", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307
        if inspect.isawaitable(value):
            value = await value
        if mode == "eval":
            told.append((repr(value), comment.removeprefix("# ")))
    return told


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(EngineSettings(device="cpu", models={})) as server:
        yield server


def names(server: RunningServer) -> dict[str, Any]:
    z = RANDOM.standard_normal((256, 6, 6), np.float32)
    x = RANDOM.standard_normal((256, 22, 22), np.float32)
    template = server.engine.create_template(z)
    return {"z": z, "x": x, "regions": [x, x, x], "template": template, "asyncio": asyncio}


@pytest.mark.parametrize(("name", "source"), examples_of(Client))
def test_the_examples_of_the_client_run(server: RunningServer, name: str, source: str) -> None:
    with Client(server.address) as client:
        there = names(server) | {"Client": Client, "client": client}
        told = asyncio.run(run_example(source.replace(ADDRESS, server.address), there))
    assert told, f"{name} tells no result"
    assert [found for found, _ in told] == [expected for _, expected in told]


@pytest.mark.parametrize(("name", "source"), examples_of(AsyncClient))
def test_the_examples_of_the_asyncio_client_run(server: RunningServer, name: str, source: str) -> None:
    async def work() -> list[tuple[str, str]]:
        async with AsyncClient(server.address) as client:
            there = names(server) | {"AsyncClient": AsyncClient, "client": client}
            return await run_example(source.replace(ADDRESS, server.address), there)

    told = server.start(work()).result(PATIENCE_S)
    assert told, f"{name} tells no result"
    assert [found for found, _ in told] == [expected for _, expected in told]


def test_there_are_examples() -> None:
    assert [name for name, _ in examples_of(Client)] == ["Client", "stream"]
    assert [name for name, _ in examples_of(AsyncClient)] == ["AsyncClient", "stream"]


def test_a_wrong_example_is_found() -> None:
    assert asyncio.run(run_example("a = 1\na + 1  # 3", {})) == [("2", "3")]
